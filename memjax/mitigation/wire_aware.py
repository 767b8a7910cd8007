"""Wire-aware mapping: conductances are asked for whose *effective* weights, behind the wires, are the wanted ones.

A linear array with resistive lines is linear in its inputs, i = v g_eff, whatever its conductances: only g_eff is not
g. Three measures bring it to the weights w [rows, cols]:

    window    one device of a pair carries |w| and the other rests at the low end, in place of (1 +- w) / 2 on both: the
              same weight at a fraction of the current. Most of what wires take is taken by what cancels in a pair
    devices   a fixed point over the exact solution. With a = g_eff / g of every device, and with
              e = c w - net g_eff / range, the carrier moves by e / a; what it cannot give below zero its partner does
    columns   where a carrier would need more than its range its column is programmed smaller, c < 1, and read as s / c:
              each column as large as its largest device allows

Reads are unchanged but for one digital gain a column (`calibrated`, with the gains found here); no devices, no pulses
beyond those of programming. What it takes is a solution of the wires a pass, on a computer, once for a network: of
nominal devices and the resistances that the wires are believed to have. Errors of the devices are not known to it.
Source: conversion of a matrix to conductances that anticipate the wires, M. Hu et al., Proc. DAC 2016, 19,
doi:10.1145/2897937.2898010; window, partner and gains as written here are ours.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from memjax import crossbar
from memjax.crossbar import Crossbar
from memjax.mitigation.calibration import Calibration

LEAST = 0.02  # share of a device's conductance that is seen: of one that is seen less, no more is asked


class WireMap(NamedTuple):
    """What to program, what the columns then show, and what is left.

    x        positions of the devices [P, rows, cols], in [0, 1]
    columns  `Calibration`: a column shows c times its output
    error    [passes] rms of c w - net g_eff / range before each correction: how the fixed point converges
    """

    x: Array
    columns: Calibration
    error: Array


def one_of_a_pair(target: Array) -> Array:
    """Return the positions [2, rows, cols] of weights [rows, cols] that one device of each pair carries."""
    return jnp.stack([jnp.maximum(target, 0), jnp.maximum(-target, 0)])


def map_wires(xbar: Crossbar, target: Array, *, passes: int = 8, largest: Any = 1.0) -> WireMap:
    """Find the positions whose effective weights, through the wires of xbar, are target [rows, cols].

    xbar: the array as it is believed to be, of differential pairs; its state does not matter. largest: of the gains c,
    1 or less: a smaller one keeps all currents lower, at more read noise. Raises ValueError for a target of another
    shape, single-ended devices or an array without wires.
    """
    if target.shape != xbar.shape:
        raise ValueError(f"mitigation: target has shape {target.shape}: accepted is {xbar.shape} (rows, cols)")
    if xbar.polarity != 2:
        raise ValueError("mitigation: wire-aware mapping of single-ended devices: accepted are differential pairs")
    span = crossbar.conductance_range(xbar)
    carries = jnp.stack([target >= 0, target < 0])
    sign = jnp.asarray([1.0, -1.0], target.dtype).reshape(2, 1, 1)

    def one_pass(carry, _):
        x, c = carry
        now = crossbar.set_state(crossbar.uncache(xbar), x)
        seen, own = crossbar.effective_conductance(now), crossbar.conductance(now)
        share = jnp.maximum(jnp.where(own > 0, seen / jnp.where(own > 0, own, 1), 1), LEAST)
        e = c * target - (seen[0] - seen[1]) / span
        wanted = jnp.where(carries, x + sign * e[None] / share, x)
        # A column whose largest device would leave its range shrinks, and grows again where the wires leave it room.
        top = jnp.max(wanted, axis=(0, 1))[None]
        fits = jnp.minimum(1 / jnp.maximum(top, 1e-6), largest / c)
        wanted = fits[None] * wanted
        new = jnp.clip(wanted, 0, 1)
        # In units of effective weight: what the carrier cannot go below zero for is its partner's.
        below = jnp.sum(jnp.where(carries, (new - wanted) * share, 0), axis=0)
        new = jnp.where(carries, new, jnp.clip(new + below[None] / share, 0, 1))
        return (new, fits * c), jnp.sqrt(jnp.mean(e * e))

    start = largest * one_of_a_pair(target), jnp.full((1, xbar.shape[1]), largest, target.dtype)
    (x, c), error = jax.lax.scan(one_pass, start, None, length=passes)
    return WireMap(x, Calibration(gain=c[0], offset=jnp.zeros_like(c[0])), error)
