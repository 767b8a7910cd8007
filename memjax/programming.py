"""Programmers: turn wanted changes of weight into pulses on the devices of an array.

A programmer never sees the rule, only dw, in units of the weight (`crossbar.weights` with w_max = 1), and owns what it
must remember (the volatile accumulators). The device decides what a pulse really does.

accumulator   integrate dw in a volatile element beside each synapse; where it has collected `fire_at` device steps,
              fire one pulse and take that much out of it. A tile selects few word lines at a time: in a call `lines` of
              each tile have their turn to fire, in rotation; the rest collect and wait.
stochastic    pulses of random number with mean dw / step: floor, plus one more with the probability of the remainder
pulse_train   round(dw / step) pulses
sign          one pulse of dw's sign wherever |dw| exceeds a threshold (Manhattan rule)

On a differential pair every pulse is push-pull: up on one device, down on the other, which moves the weight by two
device steps.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.core import Tracer

from memjax import crossbar, noise
from memjax._fusion import keep
from memjax.crossbar import Crossbar
from memjax.devices.base import Device, conductance
from memjax.energy import Events, count
from memjax.plasticity.base import Outer, dense


class Programmer(NamedTuple):
    """Turns wanted weight changes into pulses.

    Params  struct.dataclass
    init    (params, xbar)                                                     -> State
    step    (params, state, dw [rows, cols] or Outer, xbar, dt [s], key, turn) -> (Crossbar, State, Events)

    dt is the width of a pulse; turn (int32) the number of this call, from 0 on: whose turn it is, where lines take
    turns. It is no part of the state, so that chips stepped together by vmap share it.
    """

    name: str
    Params: type
    init: Callable
    step: Callable


@struct.dataclass
class Params:
    """Programmer of pulses: step is the nominal change of a weight by one pulse on one device (`weight_step`)."""

    step: Array | float
    max_pulses: int = struct.field(pytree_node=False, default=1)  # the longest pulse train of one call


@struct.dataclass
class AccumulatorParams:
    """Accumulator: step as in `Params`; fires at fire_at device steps; leak is what a call leaves of it (1: all)."""

    step: Array | float
    fire_at: Array | float = 2.0
    leak: Array | float = 1.0
    # Word lines of every tile that have their turn in a call, a divisor of the tile's; None: all.
    lines: int | None = struct.field(pytree_node=False, default=1)


@struct.dataclass
class SignParams:
    """Manhattan rule: one pulse wherever |dw| > threshold [w]."""

    threshold: Array | float = 0.0


@struct.dataclass
class Accumulator:
    """What the volatile elements have collected [w].

    a is [rows, cols], or with turns [R, m, cols] as of each line's last turn, and what came since is kept in factors:
    pre [period, R, m] and b [period, cols], a slot for each of the last `period` = m / lines calls.
    """

    a: Array
    pre: Any = None
    b: Any = None


def collected(params: AccumulatorParams, state: Accumulator, xbar: Crossbar, turn: Any) -> Array:
    """Return what every accumulator holds before call number `turn` [rows, cols] [w]."""
    if params.lines is None:
        return state.a
    period = len(state.b)
    own = jnp.arange(xbar.tile[0], dtype=jnp.int32) // params.lines
    last = (turn - 1) % period  # slot of the latest call
    age = (last - jnp.arange(period, dtype=jnp.int32)) % period
    since = (last - own) % period  # calls since each line had its turn
    factor = jnp.where(age[:, None] < since[None, :], params.leak ** age[:, None].astype(state.a.dtype), 0.0)
    a = state.a * (params.leak ** since.astype(state.a.dtype))[None, :, None]
    a = a + jnp.einsum("trl,tl,tc->rlc", state.pre, factor, state.b)
    return a.reshape(-1, xbar.shape[1])[: xbar.shape[0]]


def weight_step(device: Device, params: Any, v_read: float = 0.1, v_write: float = 1.0, dt: float = 1e-8) -> Array:
    """Return the change of a weight by one pulse on one device at mid-range: (dg up + dg down) / 2 / (g_max - g_min).

    device is the bare model (no C2C wrapper) and params its nominal device. Raises ValueError where a pulse moves
    nothing.
    """

    def g(state):
        return conductance(device, params, state, v_read)

    middle = device.init(params, 0.5)
    up, down = (device.step(params, middle, jnp.full_like(g(middle), sign * v_write), dt, None) for sign in (1, -1))
    step = (g(up) - g(down)) / 2 / (g(device.init(params, 1.0)) - g(device.init(params, 0.0)))
    if not isinstance(step, Tracer) and not bool(jnp.all(step > 0)):
        pulse = f"a pulse of {v_write} V and {dt} s"
        raise ValueError(f"programming: {pulse} moves {device.name} by {step} of its range: it cannot learn")
    return step


def push_pull(xbar: Crossbar, signed: Array) -> Array:
    """Spread signed pulses [k, cols] over the devices of a weight: [P, k, cols]."""
    return jnp.stack([signed, -signed]) if xbar.polarity == 2 else signed[None]


def _accumulate(params: AccumulatorParams, state: Accumulator, dw, xbar, dt, key, turn):
    if params.lines is None:
        a = params.leak * state.a + dense(dw)
        fire = _fire(a, params.fire_at * params.step)
        xbar, events = crossbar.write(xbar, push_pull(xbar, fire), dt, key, max_pulses=1)
        return xbar, replace(state, a=a - params.fire_at * params.step * fire), events + Events(accumulate=_changes(dw))
    if not (isinstance(dw, Outer) and len(dw.a) == 1):
        raise ValueError(
            "programming: an accumulator that writes some lines a call takes an Outer of one product; give lines=None"
        )
    (tiles, (m, _)), period = (xbar.active.shape[0], xbar.tile), len(state.b)
    slot, b = turn % period, dw.b[0]
    pre = jnp.pad(dw.a[0], (0, tiles * m - xbar.shape[0])).reshape(tiles, m)
    start = slot * params.lines
    # What these lines have collected since their last turn, one product over the calls that wait: the same sum as
    # adding every call's outer product to the whole array, without touching the whole array. This call's slot still
    # holds the call of a period ago and is left out; writing it first would copy the buffers.
    age = (slot - jnp.arange(period, dtype=jnp.int32)) % period
    left = jnp.where(age > 0, params.leak ** age.astype(b.dtype), 0.0)
    recent = left[:, None, None] * jax.lax.dynamic_slice_in_dim(state.pre, start, params.lines, axis=2)
    old = keep(jax.lax.dynamic_slice_in_dim(state.a, start, params.lines, axis=1))
    a = params.leak**period * old + jnp.einsum("trl,tc->rlc", recent, state.b)
    a = keep(a + jax.lax.dynamic_slice_in_dim(pre, start, params.lines, axis=1)[:, :, None] * b[None, None, :])
    unit = params.fire_at * params.step
    fire = _fire(a, unit)
    a = jax.lax.dynamic_update_slice_in_dim(state.a, a - unit * fire, start, axis=1)
    pulses = push_pull(xbar, fire.reshape(-1, xbar.shape[1]))
    xbar, events = crossbar.write(xbar, pulses, dt, key, rows=crossbar.Lines(start, params.lines), max_pulses=1)
    waiting = (
        jax.lax.dynamic_update_index_in_dim(buffer, new, slot, 0) for buffer, new in ((state.pre, pre), (state.b, b))
    )
    return xbar, Accumulator(a, *waiting), events + Events(accumulate=_changes(dw))


def _fire(a: Array, unit: Any) -> Array:
    return jnp.where(jnp.abs(a) >= unit, jnp.sign(a), jnp.zeros_like(a))


def _changes(dw: Array | Outer) -> Array:
    """Count the weights a change reaches; a sum of k products counts k times."""
    if not isinstance(dw, Outer):
        return count(dw)
    pre, post = (jnp.sum(side != 0, axis=1, dtype=jnp.int32) for side in dw)
    return jnp.sum(pre * post, dtype=jnp.int32)


def _stochastic(params: Params, state, dw, xbar, dt, key, turn):
    wanted = dense(dw) / (xbar.polarity * params.step)
    whole = jnp.floor(jnp.abs(wanted))
    more = noise.uniform(key, wanted.shape, wanted.dtype, salt=7) < jnp.abs(wanted) - whole
    return _deliver(params, jnp.sign(wanted) * (whole + more.astype(wanted.dtype)), xbar, dt, key)


def _train(params: Params, state, dw, xbar, dt, key, turn):
    return _deliver(params, jnp.round(dense(dw) / (xbar.polarity * params.step)), xbar, dt, key)


def _deliver(params: Params, pulses: Array, xbar: Crossbar, dt, key):
    pulses = jnp.clip(pulses, -params.max_pulses, params.max_pulses)
    xbar, events = crossbar.write(xbar, push_pull(xbar, pulses), dt, key, max_pulses=params.max_pulses)
    return xbar, (), events


def _sign(params: SignParams, state, dw, xbar, dt, key, turn):
    dw = dense(dw)
    signed = jnp.where(jnp.abs(dw) > params.threshold, jnp.sign(dw), jnp.zeros_like(dw))
    xbar, events = crossbar.write(xbar, push_pull(xbar, signed), dt, key, max_pulses=1)
    return xbar, (), events


def _nothing(params, xbar):
    return ()


def _empty(params: AccumulatorParams, xbar: Crossbar) -> Accumulator:
    # The devices' float type, which need not be the default one.
    dtype = jnp.result_type(float, *(leaf.dtype for leaf in jax.tree.leaves(xbar.state)))
    if params.lines is None:
        return Accumulator(a=jnp.zeros(xbar.shape, dtype))
    (tiles, (m, _)), cols = (xbar.active.shape[0], xbar.tile), xbar.shape[1]
    if params.lines < 1 or m % params.lines:
        raise ValueError(
            f"programming: lines = {params.lines}: accepted is a divisor of the tile's {m} word lines, or None for all"
        )
    period = m // params.lines
    pre, b = jnp.zeros((period, tiles, m), dtype), jnp.zeros((period, cols), dtype)
    return Accumulator(a=jnp.zeros((tiles, m, cols), dtype), pre=pre, b=b)


PROGRAMMERS = {
    "accumulator": Programmer("accumulator", AccumulatorParams, _empty, _accumulate),
    "stochastic": Programmer("stochastic", Params, _nothing, _stochastic),
    "pulse_train": Programmer("pulse_train", Params, _nothing, _train),
    "sign": Programmer("sign", SignParams, _nothing, _sign),
}


def names() -> list[str]:
    """List the names of all programmers."""
    return sorted(PROGRAMMERS)


def get(name: str) -> Programmer:
    """Return a programmer by name; raises ValueError that lists the known ones."""
    if name not in PROGRAMMERS:
        raise ValueError(f"programming: unknown programmer {name!r}; accepted is one of {', '.join(names())}")
    return PROGRAMMERS[name]
