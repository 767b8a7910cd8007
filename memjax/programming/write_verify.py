"""Write, read, correct: program devices to target weights within a tolerance, in as few pulses as each needs.

All devices of an array at once, in one masked loop. With e = target - read, a device (or pair, by push-pull) whose |e|
exceeds the tolerance gets one pulse of e's sign and scale s, and is read again:

    unit        s = 1
    amplitude   s = |e| / (gain step): one pulse of s v_write
    width       s = |e| / (gain step): one pulse of s dt, in parts of `smallest` dt; on a device that takes one pulse
                a step whatever dt is ("programmed"), what s unit pulses in a row do, the last one in part

with s between `smallest` and `largest`. gain is the device's own step in that direction relative to the nominal one,
learned from what earlier pulses moved by a scalar Kalman filter: it starts at 1 with variance d2d^2, a pulse observes
r = moved / (s step) with variance c2c^2, and what a step loses along the range (nonlinearity) enters as a variance
`wander`^2 per pulse:

    K = p / (p + c2c^2),  gain += K (r - gain),  p <- (1 - K) p + wander^2

Ledger: a pulse counts once whatever its amplitude, and as ceil(s) pulses where it is s wide; every read of a device is
a `verify`. As a programmer it keeps the wanted weights beside the array, digitally: dw is added to them, and what it
reaches is programmed. What it has learned of each device stays with it from call to call.
Source: program-and-verify with a pulse that follows the error, as Alibart et al., Nanotechnology 23, 075201 (2012);
the estimate of each device's own step is ours.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import crossbar, noise
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.plasticity.base import dense
from memjax.programming.base import Programmer, dtype, none_yet, number_of, pulse_size, reached, spread

MODULATIONS = ("unit", "amplitude", "width")


@struct.dataclass
class Params:
    """Write-verify: step as in `base.Params`; the rest is the controller's."""

    step: Array | float
    tolerance: Array | float = 0.01  # of the range of weights
    budget: Array | int = 100  # pulses a device may get
    smallest: Array | float = 0.25  # scale of the weakest pulse
    largest: Array | float = 8.0  # scale of the strongest
    d2d: Array | float = 0.3  # sd of a device's step relative to the nominal, as it is believed to be
    c2c: Array | float = 0.3  # sd of one pulse relative to its step, the same
    wander: Array | float = 0.15  # sd by which the step changes from pulse to pulse, the same
    read_noise: Array | float | None = None  # sd of a device's conductance at a verifying read, relative to its range
    modulation: str = struct.field(pytree_node=False, default="amplitude")
    sides: str = struct.field(pytree_node=False, default="both")


@struct.dataclass
class Learned:
    """What pulses have told of every device's step, down and up [2, rows, cols]: relative size and its variance."""

    gain: Array
    variance: Array


class Result(NamedTuple):
    """What programming took, [rows, cols]: pulses (each a shot, however strong or wide), and whether it failed."""

    pulses: Array
    failed: Array
    learned: Learned


class _Loop(NamedTuple):
    xbar: Crossbar
    learned: Learned
    read: Array
    pulses: Array
    number: Array
    events: Events


def program_to(
    params: Params,
    xbar: Crossbar,
    target: Array,
    dt: Any,
    key: Array | None,
    *,
    where: Array | None = None,
    learned: Learned | None = None,
) -> tuple[Crossbar, Result, Events]:
    """Program the weights to target [rows, cols] (`crossbar.weights`, w_max 1), wherever `where` [rows, cols] says.

    `learned` is what an earlier call has found out. A weight has failed that still reads outside the tolerance when its
    budget is spent. Inactive tiles are left out. Raises ValueError for a target of another shape, an unknown modulation
    or sides, or read noise without a key.
    """
    if target.shape != xbar.shape:
        raise ValueError(f"programming: target has shape {target.shape}: accepted is {xbar.shape} (rows, cols)")
    if params.modulation not in MODULATIONS:
        raise ValueError(
            f"programming: modulation = {params.modulation!r}: accepted is one of {', '.join(MODULATIONS)}"
        )
    # The loop changes all of the array: what reads of it keep is worked out once, at its end.
    kept, xbar = xbar.net is not None, crossbar.uncache(xbar)
    where = reached(xbar) if where is None else where & reached(xbar)
    learned = blank(params, xbar) if learned is None else learned
    step = pulse_size(xbar, params.step, params.sides)
    tolerance = params.tolerance * xbar.polarity  # weights span [-1, 1] or [0, 1]

    # A weight is read with the noise of its devices, and a move is the difference of two reads.
    sd_read = 0.0 if params.read_noise is None else params.read_noise * xbar.polarity**0.5

    def read(xbar, number):
        w = crossbar.weights(xbar)
        if params.read_noise is None:
            return w
        if key is None:
            raise ValueError("programming: read noise is drawn at every read: give a key, as jax.random.key(0)")
        return w + sd_read * noise.normal(jax.random.fold_in(key, number), w.shape, w.dtype, salt=11)

    def wanted(loop):
        return where & (jnp.abs(target - loop.read) > tolerance) & (loop.pulses < params.budget)

    def pulse(loop):
        now, error = wanted(loop), target - loop.read
        up = error > 0
        scale = jnp.ones_like(error)
        if params.modulation != "unit":
            gain = jnp.where(up, loop.learned.gain[1], loop.learned.gain[0])
            scale = jnp.clip(jnp.abs(error) / (gain * step), params.smallest, params.largest)
        signed = jnp.where(now, jnp.where(up, scale, -scale), jnp.zeros_like(scale))
        xbar, spent = _shoot(params, loop.xbar, signed, dt, _fold(key, loop.number))
        after, wide = read(xbar, loop.number + 1), scale * step
        moved = jnp.where(up, after - loop.read, loop.read - after) / wide
        sd = jnp.sqrt(params.c2c**2 + 2 * jnp.square(sd_read / wide))
        learned = _learn(params, loop.learned, moved, sd, up, now)
        seen, pulses = jnp.where(now, after, loop.read), loop.pulses + now.astype(jnp.int32)
        events = loop.events + spent + Events(verify=xbar.polarity * number_of(now))
        return _Loop(xbar, learned, seen, pulses, loop.number + 1, events)

    zero, counts = jnp.zeros((), jnp.int32), none_yet() + Events(verify=xbar.polarity * number_of(where))
    start = _Loop(xbar, learned, read(xbar, 0), jnp.zeros(xbar.shape, jnp.int32), zero, counts)
    end = jax.lax.while_loop(lambda loop: jnp.any(wanted(loop)), pulse, start)
    failed = where & (jnp.abs(target - end.read) > tolerance)
    xbar = crossbar.cache(end.xbar) if kept else end.xbar
    return xbar, Result(end.pulses, failed, end.learned), end.events


def _fold(key: Array | None, number: Array | int) -> Array | None:
    return None if key is None else jax.random.fold_in(key, number)


def blank(params: Params, xbar: Crossbar) -> Learned:
    """Return what is known before the first pulse: nominal steps."""
    one = jnp.ones((2, *xbar.shape), dtype(xbar))
    return Learned(gain=one, variance=one * params.d2d**2)


def _learn(params: Params, known: Learned, moved: Array, sd: Array, up: Array, now: Array) -> Learned:
    """Update what is known by the observed steps `moved`, of standard deviation sd, both relative to the nominal."""
    told, p = jnp.stack([now & ~up, now & up]), known.variance
    # Nothing to weigh where the estimate and what is seen are both sure of themselves: it stays.
    doubt = p + jnp.square(sd)[None]
    k = p / jnp.where(doubt > 0, doubt, 1.0)
    # A device at its bound does not move: its gain would fall to zero, and the next pulse rise without limit.
    gain = jnp.clip(known.gain + k * (moved[None] - known.gain), 0.1, 10.0)
    return Learned(jnp.where(told, gain, known.gain), jnp.where(told, (1 - k) * p + params.wander**2, p))


def _shoot(params: Params, xbar: Crossbar, signed: Array, dt: Any, key: Array | None) -> tuple[Crossbar, Events]:
    """Give every device one pulse of its own scale."""
    each = spread(xbar, signed, params.sides)
    if params.modulation == "unit":
        return crossbar.write(xbar, each, dt, key, max_pulses=1)
    if params.modulation == "amplitude":
        # A write takes fractions of its write voltage: raised to that of the strongest pulse, they reach all scales.
        strong = replace(xbar, v_write=params.largest * xbar.v_write)
        after, events = crossbar.write(strong, each / params.largest, dt, key, max_pulses=1)
        return replace(after, v_write=xbar.v_write), events
    if xbar.device.switching == "programmed":
        return crossbar.write(xbar, each, dt, key)
    # At a constant voltage the parts add up to the whole pulse; the other devices rest as long as the widest takes.
    after, _ = crossbar.write(xbar, jnp.round(each / params.smallest), params.smallest * dt, key)
    return after, Events(pulse=jnp.sum(jnp.ceil(jnp.abs(each)), dtype=jnp.int32))


@struct.dataclass
class State:
    """The wanted weights [rows, cols], and what is known of the devices."""

    wanted: Array
    learned: Learned


def init(params: Params, xbar: Crossbar) -> State:
    """Return the weights as they are, and nothing known."""
    return State(wanted=crossbar.weights(xbar), learned=blank(params, xbar))


def step(params: Params, state: State, dw, xbar, dt, key, turn):
    dw = dense(dw)
    wanted = jnp.clip(state.wanted + dw, 1.0 - xbar.polarity, 1.0)
    xbar, result, events = program_to(params, xbar, wanted, dt, key, where=dw != 0, learned=state.learned)
    return xbar, State(wanted, result.learned), events


PROGRAMMER = Programmer("write_verify", Params, init, step)
