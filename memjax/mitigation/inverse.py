"""Inverse mapping: what is asked of each device is changed by what it was measured to answer, until the weights fit.

A device's transfer, from the position that is asked of it, a in [0, 1], to the conductance that it then has, in units
of the mean range, is r = k a with a gain k of its own: of its range, of its steps, of both. Asking for the wanted
conductance t gives k t; asking for t / k, the inverse, gives t. In a few passes over the array,

    read       r, of every device whose weight is not yet within the tolerance, n reads averaged
    measure    k += K (r - k a),  K = p a / (p a^2 + R),  p <- (1 - K a) p,  with p = d2d^2 at first and
               R = read_noise^2 / n + c2c^2
    ask        a += d / k, where d is half of the weight's error e = w - (r+ - r-), with opposite signs for the two
    program    the pulses by which a nominal device comes to its new a (`programming.open_loop`), without reads between

What a device lacks at the end of its range is asked of its partner. k is a scalar Kalman filter's: where a is small a
read says little of the gain, and the nominal one stays. r enters the error as it was read, so that what C2C noise did
to the last train is corrected by the next: a closed loop, whose slope alone is estimated.

Against write-verify (`programming.write_verify`), which reads after every pulse: a train a pass, so a few
reads a device, and pulses that C2C noise and a wrong gain may waste. Costs no devices; digital memory for a and k while
it programs. Source: feedback tuning as Alibart et al., Nanotechnology 23, 075201 (2012),
doi:10.1088/0957-4484/23/7/075201, by trains in place of single pulses; the filter and the sharing of a pair are ours.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import crossbar, noise
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.mitigation._reader import mean_conductance
from memjax.programming import Staircase, open_loop, push_pull
from memjax.programming.base import none_yet, number_of, reached

LEAST = 0.1  # a gain below it, or above its inverse, is taken for it


@struct.dataclass
class Inverse:
    """How devices are asked: `reads` is static, the rest traced.

    tolerance   of a weight, relative to the range of weights
    d2d, c2c    sd of the gains around 1, and of what a train adds in units of the range, as they are believed to be
    read_noise  sd of a device's conductance at a read, relative to the mean range; None: none
    """

    tolerance: Any = 0.01
    d2d: Any = 0.4
    c2c: Any = 0.03
    read_noise: Any = None
    passes: Any = 5
    reads: int = struct.field(pytree_node=False, default=1)


class Asked(NamedTuple):
    """What inverse mapping ended with: position asked and gain measured [P, rows, cols], and which weights failed."""

    position: Array
    gain: Array
    failed: Array


class _Loop(NamedTuple):
    xbar: Crossbar
    asked: Array
    gain: Array
    variance: Array
    open: Array
    events: Events


def map_inverse(
    params: Inverse, stairs: Staircase, xbar: Crossbar, target: Array, dt: Any, key: Array | None, *, start: Any = 0.5
) -> tuple[Crossbar, Asked, Events]:
    """Program the weights to target [rows, cols] (`crossbar.weights`, w_max 1) -> (array, Asked, events).

    start: the nominal position of the devices before, [] or [P, rows, cols]. A weight has failed that still read
    outside the tolerance when the last pass was done, by a read of its own. Inactive tiles are left out. Raises
    ValueError for a target of another shape, or read noise without a key.
    """
    if target.shape != xbar.shape:
        raise ValueError(f"mitigation: target has shape {target.shape}: accepted is {xbar.shape} (rows, cols)")
    if params.read_noise is not None and key is None:
        raise ValueError("mitigation: read noise is drawn at every read: give a key, as jax.random.key(0)")
    kept, xbar = xbar.net is not None, crossbar.uncache(xbar)
    shape, dtype = (xbar.polarity, *xbar.shape), target.dtype
    stairs = jax.tree.map(lambda x: x.astype(dtype), stairs)  # they may have the default float where the array has not
    tolerance = params.tolerance * xbar.polarity  # weights span [-1, 1] or [0, 1]
    span = crossbar.conductance_range(xbar)
    there = reached(xbar)
    low = mean_conductance(xbar, 0.0)  # of devices as if none was stuck, which is what weights are above
    sd = 0.0 if params.read_noise is None else params.read_noise * params.reads**-0.5

    def read(xbar, number):
        r = (crossbar.conductance(xbar) - low) / span
        if params.read_noise is None or key is None:
            return r
        return r + sd * noise.normal(noise.fold_in(noise.fold_in(key, "read"), number), r.shape, r.dtype)

    def error(r):
        return target - _net(r)

    def one_pass(number, loop):
        r, a = read(loop.xbar, number), loop.asked
        e = error(r)
        now = loop.open & (jnp.abs(e) > tolerance)
        k, p = _measured(params, loop, r, sd)
        wanted = push_pull(xbar, e / xbar.polarity)
        new = jnp.clip(a + wanted / k, 0, 1)
        # Where anything lacks one of the two is at its end, so asking both again reaches the other alone.
        lacking = _net(wanted - k * (new - a))
        new = jnp.clip(new + push_pull(xbar, lacking) / k, 0, 1)
        new = jnp.where(now[None], new, a)
        own = None if key is None else noise.fold_in(noise.fold_in(key, "write"), number)
        xbar_, spent = open_loop(stairs, loop.xbar, a, new, dt, own)
        counted = spent + _verify(params, xbar, loop.open)
        return _Loop(xbar_, new, k, p, now, loop.events + counted)

    first = _Loop(
        xbar, jnp.broadcast_to(jnp.asarray(start, dtype), shape), jnp.ones(shape, dtype),
        jnp.full(shape, params.d2d**2, dtype), there, none_yet(),
    )  # fmt: skip
    end = jax.lax.fori_loop(0, params.passes, one_pass, first)
    failed = end.open & (jnp.abs(error(read(end.xbar, params.passes))) > tolerance)
    events = end.events + _verify(params, xbar, end.open)
    return crossbar.cache(end.xbar) if kept else end.xbar, Asked(end.asked, end.gain, failed), events


def _measured(params: Inverse, loop: _Loop, r: Array, sd: Any) -> tuple[Array, Array]:
    """Return gains and their variances after the reads r, of the devices whose weights are open."""
    a, p = loop.asked, loop.variance
    gain = p * a / (p * a * a + jnp.square(sd) + jnp.square(params.c2c))
    k = jnp.clip(loop.gain + gain * (r - loop.gain * a), LEAST, 1 / LEAST)
    seen = loop.open[None]
    return jnp.where(seen, k, loop.gain), jnp.where(seen, (1 - gain * a) * p, p)


def _net(r: Array) -> Array:
    return r[0] - r[1] if r.shape[0] == 2 else r[0]


def _verify(params: Inverse, xbar: Crossbar, some: Array) -> Events:
    return Events(verify=xbar.polarity * params.reads * number_of(some))
