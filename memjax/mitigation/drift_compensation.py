"""Drift compensation: a known input is read again, and what its currents have lost is put back at every read.

K reference inputs r_k are read once after programming, and what the columns say, V_kj(0), is kept. Read again later,

    d = sum_kj A_kj(0) A_kj(t) / sum_kj A_kj(0)^2        one factor for the array
    d_j = sum_k A_kj(0) A_kj(t) / sum_k A_kj(0)^2        one for each column

is the least-squares answer to A(t) = d A(0), where A_kj = V_kj + rho sum_i r_ki is the current of the devices alone, in
units of weight: rho = 0 for pairs, and for a single-ended array what its reference column takes off, which is no device
and does not drift (`reference`). A read v of an input x is then corrected to

    (v + (1 - d_j) rho sum_i x_i) / d_j,      and its noise with it, 1 / d_j as large

It restores what devices have in common: with one exponent nu for all, everything, exactly. What a spread of nu does to
each of them it cannot see. One factor is the mean over all devices of the array; one a column follows a column's own
mean, which among n word lines differs from the array's by 1 / sqrt(n) of the spread, and is measured with more noise.
Pairs: a column's sum is a difference, and may be near zero, where d_j is noise; one factor is the safe choice there.

Cost: K reads of the array now and then (`cost`), and K x cols numbers of digital memory; no devices, no pulses.
Source: one factor, the global drift compensation of Joshi et al., Nat. Commun. 11, 2473 (2020),
doi:10.1038/s41467-020-16108-9; the least squares over inputs, a column's own and the reference's share are ours.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from memjax import crossbar, noise
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.mitigation._reader import Reader, Seen

PER = ("array", "column")


def measure(read: Reader, inputs: Array, key: Array | None = None) -> Array:
    """Read reference inputs [K, rows] once: what the columns say [K, cols], with read noise where there is a key."""
    seen = read(inputs, inputs * inputs)
    if seen.sd is None or key is None:
        return seen.value
    return seen.value + seen.sd * noise.normal(key, seen.value.shape, seen.value.dtype)


def factors(then: Array, now: Array, inputs: Array, *, reference: Any = 0.0, per: str = "array") -> Array:
    """Return what is left of the currents of the inputs [K, rows]: d [], or [cols] per column.

    then, now: what `measure` has found after programming and now [K, cols]. Raises ValueError for an unknown `per`.
    """
    if per not in PER:
        raise ValueError(f"mitigation: per = {per!r}: accepted is one of {', '.join(PER)}")
    fixed = reference * jnp.sum(inputs, axis=-1, keepdims=True)
    then, now = then + fixed, now + fixed
    axis = None if per == "array" else 0
    return jnp.sum(then * now, axis=axis) / jnp.sum(then * then, axis=axis)


def compensate(read: Reader, left: Array, *, reference: Any = 0.0) -> Reader:
    """Return a reader that puts back what has been lost: `left` [] or [cols] of the currents is left (`factors`)."""

    def corrected(x: Array, power: Array) -> Seen:
        seen = read(x, power)
        d = left if left.ndim == 0 else left.reshape((1,) * (seen.value.ndim - 1) + left.shape)
        fixed = reference * jnp.sum(x, axis=-1, keepdims=True)
        return Seen((seen.value + (1 - d) * fixed) / d, None if seen.sd is None else seen.sd / d)

    return corrected


def reference(xbar: Crossbar) -> Array:
    """Return what the reference of `mitigation.reader` takes off a unit of input, in units of weight; 0 for pairs.

    rho = 2 g_mid / (g_max - g_min) of an array of single devices: known from its design.
    """
    unit = crossbar.conductance_range(xbar)
    if xbar.polarity == 2:
        return jnp.zeros_like(unit)
    middle = crossbar.set_state(crossbar.uncache(xbar), jnp.full((1, *xbar.shape), 0.5, unit.dtype))
    return 2.0 * jnp.mean(crossbar.conductance(middle)) / unit


def cost(xbar: Crossbar, inputs: Array) -> Events:
    """Return the events of one measurement of inputs [K, rows]."""
    return crossbar.read_events(xbar, jnp.sum(inputs != 0, axis=0, dtype=jnp.int32), inputs.shape[0])
