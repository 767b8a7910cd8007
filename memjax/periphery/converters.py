"""Converters between codes and voltages or currents: uniform quantisation with the errors of a real circuit.

A converter of b bits has the codes k = 0 ... top and the nominal levels low + (k + shift) LSB (IEEE Std 1241 for the
first two, with LSB = (high - low) / 2^b):

    grid        LSB                          top        shift   levels
    mid_tread   (high - low) / 2^b           2^b - 1    0       low ... high - LSB; zero is one where low = 0 or -high
    mid_rise    (high - low) / 2^b           2^b - 1    1/2     the centres of 2^b equal bins; zero is an edge
    end_point   (high - low) / (2^b - 1)     2^b - 1    0       low ... high, both included
    symmetric   (high - low) / (2^b - 2)     2^b - 2    0       low ... high with the centre: b >= 2, one code unused

A DAC drives the level next to what is wanted, clipped to its range, with its own errors:

    v = (1 + gain) (low + (k + shift + INL_k) LSB) + offset

An ADC sees x = (1 + gain) i + offset and returns the nominal level of the code whose bin x lies in, clipped to the
lowest and highest code; INL_k moves the transition from code k to k + 1. Its output never falls when its input rises;
a DAC's does where DNL_k = INL_(k+1) - INL_k < -1 LSB.

Inside the range the error of an ideal converter is uniform over one LSB, of variance LSB^2 / 12.

Gradients are straight-through: those of the converter without steps, 1 + gain (the identity, without a gain error)
from low to high and zero outside, where the bounds get them. Offset and gain have theirs; the steps and INL have none.
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jax.core import Tracer

from memjax import noise
from memjax.devices.base import accept
from memjax.periphery._lines import fit


class Grid(NamedTuple):
    """Where the levels are: `steps` LSB from low to high, codes 0 ... top, code 0 at `shift` LSB above low."""

    steps: int
    top: int
    shift: float


GRIDS = ("mid_tread", "mid_rise", "end_point", "symmetric")
MOST_BITS = 24  # float32 counts no further


@struct.dataclass
class DAC:
    """Digital to analogue converter of voltages, one for all word lines or, with leaves [rows], one each.

    low, high  lowest and highest end of the range [V]
    offset     added to the output [V]
    gain       relative error of the slope, about 0 V
    inl        [codes] or [rows, codes] in LSB: the level's distance from its place; None: none
    """

    low: Array | float = 0.0
    high: Array | float = 0.1
    offset: Array | float = 0.0
    gain: Array | float = 0.0
    inl: Array | None = None
    bits: int = struct.field(pytree_node=False, default=8)
    grid: str = struct.field(pytree_node=False, default="end_point")


@struct.dataclass
class ADC:
    """Analogue to digital converter of currents, one for all bit lines or, with leaves [cols] or [R, cols], one each.

    low, high  lowest and highest end of the range [A]
    offset     added to the input [A]
    gain       relative error of the slope, about 0 A
    inl        [codes - 1] or [..., cols, codes - 1] in LSB: the transition's distance from its place; None: none
    """

    low: Array | float = -1e-4
    high: Array | float = 1e-4
    offset: Array | float = 0.0
    gain: Array | float = 0.0
    inl: Array | None = None
    bits: int = struct.field(pytree_node=False, default=8)
    grid: str = struct.field(pytree_node=False, default="mid_tread")


Converter = TypeVar("Converter", DAC, ADC)


def check(converter: DAC | ADC) -> None:
    """Raise ValueError for bits, grid, range or INL that make no converter; what is traced passes."""
    what, bits = type(converter).__name__, converter.bits
    if converter.grid not in GRIDS:
        raise ValueError(f"{what}: grid = {converter.grid!r}: accepted is one of {', '.join(GRIDS)}")
    least = 2 if converter.grid == "symmetric" else 1
    if isinstance(bits, bool) or not isinstance(bits, int | np.integer) or not least <= bits <= MOST_BITS:
        raise ValueError(f"{what}: bits = {bits!r}: accepted is a whole number, {least} to {MOST_BITS}")
    low, high, inl = converter.low, converter.high, converter.inl
    if not isinstance(low, Tracer) and not isinstance(high, Tracer):
        accept(f"{what}: high", high, np.asarray(high) > np.asarray(low), f"more than low = {np.asarray(low)}")
    if inl is None:
        return
    wanted = _points(converter)
    if np.shape(inl)[-1:] != (wanted,):
        raise ValueError(f"{what}: inl has shape {np.shape(inl)}: accepted is [{wanted}] or [..., lines, {wanted}]")
    if isinstance(converter, ADC) and not isinstance(inl, Tracer):
        steps = np.diff(np.asarray(inl), axis=-1)
        accept(f"{what}: a step of inl", steps, steps >= -1 - 1e-5, "-1 LSB or more: transitions are in order")


def lsb(converter: DAC | ADC) -> Array | float:
    """Return the step between two levels [V] or [A]."""
    return (converter.high - converter.low) / _grid(converter).steps


def levels(converter: DAC | ADC) -> Array:
    """Return the nominal levels of all codes, of a converter whose range is a scalar [codes] [V] or [A]."""
    grid = _grid(converter)
    step = lsb(converter)
    return converter.low + (jnp.arange(grid.top + 1, dtype=jnp.result_type(float, step)) + grid.shift) * step


def codes_of(converter: DAC | ADC, x: Array) -> Array:
    """Return the code of x [..., lines], as a whole number in x's type: what the digital side sees or sends."""
    check(converter)
    grid = _grid(converter)
    low, step = fit(converter.low, x), fit(lsb(converter), x)
    if isinstance(converter, DAC):
        return jnp.clip(jnp.floor((x - low) / step - grid.shift + 0.5), 0, grid.top)
    bins = (_seen(converter, x) - low) / step - grid.shift + 0.5  # code k is from k to k + 1
    if converter.inl is None:
        return jnp.clip(jnp.floor(bins), 0, grid.top)
    return _count(jnp.arange(1, grid.top + 1, dtype=x.dtype), converter.inl.astype(x.dtype), bins)


def dac(converter: DAC, v: Array) -> Array:
    """Drive the level next to v, v [..., rows] [V] -> [..., rows] [V]; see the module for errors and gradients.

    Raises ValueError as `check` does.
    """
    k = jax.lax.stop_gradient(codes_of(converter, v))
    at = k + _grid(converter).shift
    if converter.inl is not None:
        at = at + _look_up(converter.inl.astype(v.dtype), k)
    level = fit(converter.low, v) + at * fit(lsb(converter), v)
    driven = _straight_through(level, _clipped(converter, v))
    return (1 + fit(converter.gain, v)) * driven + fit(converter.offset, v)


def adc(converter: ADC, i: Array) -> Array:
    """Return the nominal level of the code of i, i [..., cols] [A] -> [..., cols] [A]; see the module.

    Raises ValueError as `check` does.
    """
    k = jax.lax.stop_gradient(codes_of(converter, i))
    level = fit(converter.low, i) + (k + _grid(converter).shift) * fit(lsb(converter), i)
    return _straight_through(level, _clipped(converter, _seen(converter, i)))


def sample(
    converter: Converter,
    lines: int | tuple[int, ...],
    key: Array,
    *,
    offset: Any = 0.0,
    gain: Any = 0.0,
    dnl: Any = 0.0,
) -> Converter:
    """Draw the converters of a chip, one a line ((R, cols): a tile and line): D2D, around the errors of `converter`.

    offset and gain are standard deviations, absolute [V] or [A] and relative; dnl is that of a step, in LSB (see
    `sample_inl`; None: leave INL as it is). Raises ValueError for a negative one.
    """
    check(converter)
    for name, value in (("offset", offset), ("gain", gain), ("dnl", dnl)):
        if value is not None and not isinstance(value, Tracer):
            accept(f"{type(converter).__name__}: sd of {name}", value, np.asarray(value) >= 0, "0 or more")

    lines = (lines,) if isinstance(lines, int) else lines

    def spread(name, sd):
        drawn = noise.normal(noise.fold_in(key, name), lines, jnp.result_type(float))
        return getattr(converter, name) + sd * drawn

    inl = converter.inl if dnl is None else sample_inl(converter, lines, noise.fold_in(key, "inl"), dnl)
    return replace(converter, offset=spread("offset", offset), gain=spread("gain", gain), inl=inl)


def sample_inl(converter: DAC | ADC, lines: tuple[int, ...], key: Array, dnl: Any) -> Array:
    """Draw INL curves from independent normal steps of standard deviation dnl, in LSB [*lines, points].

    INL_k is the sum of the steps before point k, less the straight line through both end points, so that it is zero at
    both: a Brownian bridge, of standard deviation dnl sqrt(k (1 - k / (n - 1))), at most dnl sqrt(n - 1) / 2, over n
    points. A DAC's points are its levels. An ADC's are its transitions; where a large step would exchange two, they
    are put in order, as counting a thermometer code does.
    """
    points = _points(converter)
    steps = dnl * noise.normal(key, (*lines, points - 1), jnp.result_type(float))
    walk = jnp.concatenate([jnp.zeros((*lines, 1), steps.dtype), jnp.cumsum(steps, axis=-1)], axis=-1)
    place = fit(jnp.arange(points, dtype=walk.dtype), walk)
    inl = walk - walk[..., -1:] * place / max(points - 1, 1)
    return jnp.sort(inl + place, axis=-1) - place if isinstance(converter, ADC) else inl


def _grid(converter: DAC | ADC) -> Grid:
    n = 2**converter.bits
    return {
        "mid_tread": Grid(n, n - 1, 0.0),
        "mid_rise": Grid(n, n - 1, 0.5),
        "end_point": Grid(n - 1, n - 1, 0.0),
        "symmetric": Grid(n - 2, n - 2, 0.0),
    }[converter.grid]


def _points(converter: DAC | ADC) -> int:
    """How many levels a DAC has, or transitions an ADC."""
    return _grid(converter).top + (1 if isinstance(converter, DAC) else 0)


def _seen(converter: ADC, i: Array) -> Array:
    return (1 + fit(converter.gain, i)) * i + fit(converter.offset, i)


def _clipped(converter: DAC | ADC, x: Array) -> Array:
    # Not jnp.clip, which halves the gradient of an x that lies on a bound.
    low, high = (jnp.broadcast_to(fit(bound, x), x.shape).astype(x.dtype) for bound in (converter.low, converter.high))
    return jnp.where(x < low, low, jnp.where(x > high, high, x))


def _straight_through(value: Array, smooth: Array) -> Array:
    """Return value, to the bit, with the gradient of smooth."""
    return jax.lax.stop_gradient(value) + (smooth - jax.lax.stop_gradient(smooth))


def _look_up(curve: Array, k: Array) -> Array:
    """Return curve[k], or for curves [*lines, points] curve[line, k] [..., *lines]."""
    if curve.ndim == 1:
        return curve[k.astype(jnp.int32)]
    by_line, k_by_line = _flat(curve, k)
    return jax.vmap(lambda one, ks: one[ks.astype(jnp.int32)], in_axes=(0, 1), out_axes=1)(by_line, k_by_line).reshape(
        k.shape
    )


def _count(places: Array, inl: Array, x: Array) -> Array:
    """Count the transitions, at places + inl, that x [..., *lines] has passed."""
    if inl.ndim == 1:
        return jnp.searchsorted(places + inl, x, side="right").astype(x.dtype)
    by_line, x_by_line = _flat(inl, x)
    passed = jax.vmap(lambda t, xs: jnp.searchsorted(t, xs, side="right"), in_axes=(0, 1), out_axes=1)(
        places[None, :] + by_line, x_by_line
    )
    return passed.reshape(x.shape).astype(x.dtype)


def _flat(curves: Array, x: Array) -> tuple[Array, Array]:
    """Bring curves [*lines, points] and x [..., *lines] to [n, points] and [..., n]."""
    lines = curves.shape[:-1]
    x = jnp.broadcast_to(x, (*x.shape[: x.ndim - len(lines)], *lines))
    return curves.reshape(-1, curves.shape[-1]), x.reshape(-1, math.prod(lines))
