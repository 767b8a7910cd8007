"""Drift compensation: a known input is read again, and what its currents have lost is put back at every read.

K reference inputs r_k are read twice after programming, and what the columns say, V_kj and V'_kj, is kept. Read again
later,

    d = sum_kj B_kj A_kj(t) / sum_kj A_kj A'_kj        one factor for the array
    d_j = sum_k B_kj A_kj(t) / sum_k A_kj A'_kj        one for each column,      B = (A + A') / 2

answers A(t) = d A, where A_kj = V_kj + rho sum_i r_ki is the current of the devices alone, in units of weight: rho = 0
for pairs, and for a single-ended array what its reference column takes off, which is no device and does not drift
(`reference`). A read v of an input x is then corrected to

    (v + (1 - d_j) rho sum_i x_i) / d_j,      and its noise with it, 1 / d_j as large

Two reads, because one is noisy: with A^2 below, as least squares would have it, n s^2 of read noise adds to the sum of
n squares and d comes out low, by 1 / (1 + s^2 / <A^2>) however many inputs there are; pairs of small weights, with
currents that are small differences, would lose half of d at a noise of 5 %. Noise of separate reads has no correlation,
so the sum of A A' is that of A^2, and what is left of n terms is noise alone, which more inputs average out. s need not
be known:

    var d = s^2 (1 + d^2 / 2 + (1 / 2 + d^2) s^2 / <A^2>) / (n <A^2>)

Where sum A A' is less than `SURE` times its own noise, as the two reads show it, its d would be noise: there a column
takes the array's factor, and an array 1. A column of pairs whose sum is near zero is such a one.

It restores what devices have in common: with one exponent nu for all, everything, exactly. What a spread of nu does to
each of them it cannot see. One factor is the mean over all devices of the array; one a column follows a column's own
mean, which among n word lines differs from the array's by 1 / sqrt(n) of the spread, and is measured with more noise.
Pairs: a column's sum is a difference, and is measured badly; one factor is the safe choice there.

Cost: 2 K reads of the array at first and K now and then (`cost`), and 2 K x cols numbers of digital memory; no devices,
no pulses.
Source: one factor, the global drift compensation of Joshi et al., Nat. Commun. 11, 2473 (2020),
doi:10.1038/s41467-020-16108-9; the two first reads (an instrumental variable), a column's own factor and the
reference's share are ours.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from memjax import crossbar, noise
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.mitigation._reader import Reader, Seen, scaling

PER = ("array", "column")
SURE = 5.0  # sd of a sum of products that it has to be above zero; what passes gives d to a fifth or so


def measure(read: Reader, inputs: Array, key: Array | None = None) -> Array:
    """Read reference inputs [K, rows] once: what the columns say [K, cols], with read noise where there is a key.

    Every measurement takes a key of its own: `factors` asks for two first reads of separate noise.
    """
    seen = read(inputs, inputs * inputs)
    if seen.sd is None or key is None:
        return seen.value
    return seen.value + seen.sd * noise.normal(key, seen.value.shape, seen.value.dtype)


def factors(
    first: Array, second: Array, now: Array, inputs: Array, *, reference: Any = 0.0, per: str = "array"
) -> Array:
    """Return what is left of the currents of the inputs [K, rows]: d [], or [cols] per column.

    first, second, now: what `measure` has found after programming, twice, and now [K, cols]. 1 where an array shows
    nothing above its noise, and the array's d where a column does not. Raises ValueError for an unknown `per`.
    """
    if per not in PER:
        raise ValueError(f"mitigation: per = {per!r}: accepted is one of {', '.join(PER)}")
    fixed = reference * jnp.sum(inputs, axis=-1, keepdims=True)
    first, second, now = first + fixed, second + fixed, now + fixed
    noise_power = jnp.mean(jnp.square(first - second)) / 2  # s^2 of a read, of which every column has as much
    products, seen = first * second, (first + second) / 2 * now

    def ratio(axis, otherwise):
        power = jnp.sum(products, axis=axis)
        variance = noise_power * (2 * power + noise_power * (products.size // power.size))  # of power
        sure = (power > 0) & (jnp.square(power) > SURE**2 * variance)
        return jnp.where(sure, jnp.sum(seen, axis=axis) / jnp.where(sure, power, 1), otherwise)

    d = ratio(None, jnp.ones_like(noise_power))
    return d if per == "array" else ratio(0, jnp.broadcast_to(d, now.shape[1:]))


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
    unit, scale, middle = scaling(xbar)
    return scale * middle * xbar.v_read / unit


def cost(xbar: Crossbar, inputs: Array) -> Events:
    """Return the events of one measurement of inputs [K, rows]."""
    return crossbar.read_events(xbar, jnp.sum(inputs != 0, axis=0, dtype=jnp.int32), inputs.shape[0])
