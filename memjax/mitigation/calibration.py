"""Calibration of columns: gain and offset of every column, from test reads by least squares, taken out digitally.

A column whose converter or sense amplifier is not ideal shows s = a y + b in place of y. With test inputs x_k, of which
it is known what they should give, y_k = x_k w, and idle reads, of x = 0,

    b = mean s(0),   a_LS = sum_k (y_k - <y>) (s_k - <s>) / sum_k (y_k - <y>)^2,   a = 1 + q (a_LS - 1)
    q = D / (D + r^2 / p^2),   D = sum_k (y_k - <y>)^2,   r^2 the mean square of what the line leaves

and the column is read as (s - b) / a. q is the posterior mean's share for gains that are spread by p around 1: a column
whose test outputs hardly differ keeps its nominal gain, where least squares alone would divide by noise.

Why the offset is not the line's intercept: stored weights are known as they were wanted, w, not as they are, w + e. An
idle read knows nothing of e, and a slope only its projection on w: of inputs without correlation between rows it is off
by w.e / w.w, which is small. An intercept would take up the mean of x e, which is not.

What y may be: outputs of the stored weights for `patterns`, which give every column its largest outputs of both signs;
or known references, such as word lines of reference devices. A remedy at the read, `Reader` -> `Reader`; it
costs the reads of `cost`, and two numbers a column.
Source: gain and offset of a converter by least squares, as in IEEE Std 1241-2010, doi:10.1109/IEEESTD.2011.5692956.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import crossbar, noise
from memjax.crossbar import Crossbar
from memjax.energy import Events, count
from memjax.mitigation._reader import Reader, Seen, columns

LEAST = 0.1  # a column that shows less of its output is read as if it showed this: more would be noise


@struct.dataclass
class Calibration:
    """What columns show of their outputs, s = gain y + offset, in units of weight [cols]."""

    gain: Array
    offset: Array


def calibrate(
    read: Reader, x: Array, wanted: Array, key: Array | None, *, idle: int = 16, spread: Any = 0.3
) -> Calibration:
    """Estimate gain and offset of every column from test reads x [k, rows] that should give wanted [k, cols].

    idle: reads of x = 0 for the offsets. spread: sd of the gains, as it is believed to be. Every read draws its own
    noise from key. Raises ValueError for shapes that do not fit, fewer than 3 test reads or no idle one, or a reader
    with noise without a key.
    """
    if x.ndim != 2 or wanted.ndim != 2 or x.shape[0] != wanted.shape[0] or x.shape[0] < 3:
        raise ValueError(
            f"mitigation: test reads of shape {x.shape} for outputs {wanted.shape}: accepted are [k, rows] and "
            "[k, cols] with one k of 3 or more"
        )
    if idle < 1:
        raise ValueError(f"mitigation: idle = {idle}: accepted is 1 or more")
    s = _drawn(read(x, x * x), key, "test")
    if s.shape != wanted.shape:
        raise ValueError(f"mitigation: outputs of shape {wanted.shape} for reads of {s.shape}: accepted is one shape")
    rest = jnp.zeros((idle, x.shape[1]), x.dtype)
    offset = jnp.mean(_drawn(read(rest, rest), key, "idle"), axis=0)
    dy, ds = (a - jnp.mean(a, axis=0, keepdims=True) for a in (wanted, s))
    d = jnp.sum(dy * dy, axis=0)
    some = d > 0
    slope = jnp.where(some, jnp.sum(dy * ds, axis=0) / jnp.where(some, d, 1), 1)
    left = jnp.sum(jnp.square(ds - slope[None] * dy), axis=0) / (x.shape[0] - 2)
    known = d / jnp.where(some, d + left / spread**2, 1)
    return Calibration(gain=jnp.maximum(1 + known * (slope - 1), LEAST), offset=offset)


def calibrated(read: Reader, found: Calibration) -> Reader:
    """Return the reader whose columns are read as (s - offset) / gain."""

    def corrected(x: Array, power: Array) -> Seen:
        seen = read(x, power)
        gain = columns(found.gain, seen.value)
        value = (seen.value - columns(found.offset, seen.value)) / gain
        return Seen(value, None if seen.sd is None else seen.sd / gain)

    return corrected


def patterns(w: Array, largest: Any, *, every: int = 1) -> Array:
    """Return test inputs x [k, rows] in [0, 1] for stored weights w [rows, cols]: the rows of each sign.

    Column j's own are x_i = s [w_ij > 0] and s [w_ij < 0]: the largest |y_j| of all inputs in [0, s]. s <= 1 keeps
    every column's |y| within `largest`, of the range of the converters. every: n takes those of each n-th column alone.
    """
    own = w[:, ::every]
    x = jnp.concatenate([own > 0, own < 0], axis=1).T.astype(w.dtype)
    y = jnp.max(jnp.abs(x @ w), axis=1, keepdims=True)
    return x * jnp.minimum(1, largest / jnp.where(y > 0, y, 1))


def cost(xbar: Crossbar, x: Array, idle: int = 16) -> Events:
    """Count the reads of a calibration: devices, column read-outs, and one conversion of every column a read."""
    delivered = jax.vmap(count, in_axes=1)(x)
    reads = x.shape[0] + idle
    events = crossbar.read_events(xbar, delivered, reads)
    return events + Events(adc=reads * xbar.shape[1])


def _drawn(seen: Seen, key: Array | None, name: str) -> Array:
    """Return what one read of each input shows."""
    if seen.sd is None:
        return seen.value
    if key is None:
        raise ValueError("mitigation: read noise is drawn at every read: give a key, as jax.random.key(0)")
    return seen.value + seen.sd * noise.normal(noise.fold_in(key, name), seen.value.shape, seen.value.dtype)
