"""Reads: currents of the columns, or of the rows, their noise and their events."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from jax import Array

from memjax import noise as draws
from memjax import periphery
from memjax.crossbar._array import Crossbar
from memjax.crossbar._conductance import conductance_range, lossy_lines, solves
from memjax.crossbar._layout import by_tile, pad
from memjax.crossbar._wired import effective_lines, few, tile_currents, tile_currents_back
from memjax.energy import Events
from memjax.periphery import ADC, DAC
from memjax.wires import Wires


def read(
    xbar: Crossbar,
    v: Array,
    *,
    wires: Wires | None = None,
    dac: DAC | None = None,
    adc: ADC | None = None,
    per_tile: bool = True,
    noise: Any = None,
    key: Array | None = None,
) -> Array:
    """Read the columns: i_j = sum_i v_i (g+_ij - g-_ij), v [..., rows] [V] -> i [..., cols] [A].

    Linear, with the conductances at the read voltage.

    wires     resistance of every tile's lines, in place of the array's own (`Crossbar.wires`); exact. Where the array
              keeps what its own wires make of its conductances (`cache`), that is used
    dac, adc  converters of the inputs and of the currents; a differential pair is subtracted before its ADC
    per_tile  every tile has its own ADCs and the results are added digitally; False: one ADC a column, after the sum
    noise     standard deviation of white read noise on every device's conductance, relative to the mean range
              g_max - g_min and drawn anew at every read (not D2D, not C2C). It is drawn once a column, before the ADC,
              with the exact variance of the devices' sum, (noise range)^2 P sum_i v_i^2 over active tiles. With wires
              that is an upper bound: devices see less than v

    Raises ValueError for v of another length, noise without a key, and what the converters and the wires refuse.
    """
    if v.shape[-1] != xbar.shape[0]:
        raise ValueError(
            f"crossbar: read with v of shape {v.shape}: the last axis must have {xbar.shape[0]} word lines"
        )
    if dac is not None:
        v = periphery.dac(dac, v)
    lines = xbar.wires if wires is None else wires
    tiles = by_tile(v, (xbar.active.shape[0], xbar.tile[0]))
    if lines is not None and _solved(xbar, v, wires):
        partial = tile_currents(xbar, tiles, lines)
    else:
        net = _seen(xbar, wires)
        if adc is None:
            i = jnp.tensordot(tiles, net, 2, precision="highest")
            return i if noise is None else i + _drawn(noise_sd(xbar, v, noise), key)
        partial = jnp.einsum("...rm,rmc->...rc", tiles, net, precision="highest")
    if noise is not None:
        partial = partial + _drawn(noise_sd(xbar, v, noise, each_tile=True), key)
    return periphery.sum_tiles(adc, partial, per_tile=per_tile, active=_on(xbar))


def cache(xbar: Crossbar) -> Crossbar:
    """Keep the net conductance that reads see, [rows, cols], beside the devices, for loops that read often.

    A write to few rows brings it up to date. An array with wires keeps its effective conductances, exactly, for as long
    as nothing changes: every write drops them, so it pays for many reads of a frozen array. With losses they are kept.
    """
    return replace(xbar, net=_seen(replace(xbar, net=None), None))


def read_back(
    xbar: Crossbar, v: Array, *, wires: Wires | None = None, noise: Any = None, key: Array | None = None
) -> Array:
    """Read the array from its bit lines: i_i = sum_j v_j (g+_ij - g-_ij), v [..., cols] [V] -> i [..., rows] [A].

    Wires, noise and errors are those of `read`.
    """
    if v.shape[-1] != xbar.shape[1]:
        raise ValueError(
            f"crossbar: read_back with v of shape {v.shape}: the last axis must have {xbar.shape[1]} bit lines"
        )
    lines = xbar.wires if wires is None else wires
    if lines is not None and _solved(xbar, v, wires):
        i = jnp.sum(tile_currents_back(xbar, by_tile(v, (xbar.active.shape[1], xbar.tile[1])), lines), axis=-1)
        i = i.reshape(*i.shape[:-2], -1)[..., : xbar.shape[0]]
    else:
        net = _seen(xbar, wires)
        i = jnp.matmul(v, net.reshape(-1, net.shape[-1]).T, precision="highest")[..., : xbar.shape[0]]
    return i if noise is None else i + _drawn(noise_sd(xbar, v, noise, back=True), key)


def noise_sd(xbar: Crossbar, v: Array, sigma: Any, *, back: bool = False, each_tile: bool = False) -> Array:
    """Return the sd of every column's read noise for v [..., rows] (`back`: of every row's for v [..., cols]) [A].

    each_tile: of every tile's own currents, [..., R, cols] (not `back`).
    """
    if each_tile:
        power = jnp.sum(by_tile(v * v, (xbar.active.shape[0], xbar.tile[0])), axis=-1, keepdims=True)
        power = jnp.where(_on(xbar), power, 0)
        return sigma * conductance_range(xbar) * _root(xbar.polarity * power)
    active, (m, n), lines = (
        (xbar.active.T, xbar.tile[::-1], xbar.shape[0]) if back else (xbar.active, xbar.tile, xbar.shape[1])
    )
    reach = jnp.repeat(active.astype(v.dtype), m, axis=0)[: v.shape[-1]]
    power = jnp.repeat(jnp.matmul(v * v, reach, precision="highest"), n, axis=-1)[..., :lines]
    return sigma * conductance_range(xbar) * _root(xbar.polarity * power)


def read_events(xbar: Crossbar, delivered: Array, vectors: Array | int = 1, *, back: bool = False) -> Events:
    """Count reads: delivered [rows] (`back`: [cols]) non-zero inputs of each line over `vectors` input vectors.

    Every device of an active tile that such an input reaches is a MAC; every column of an active tile is sensed once a
    vector.
    """
    active, tile, lines = xbar.active.astype(jnp.int32), xbar.tile, xbar.shape[1]
    if back:
        active, tile, lines = active.T, tile[::-1], xbar.shape[0]
    # Columns of each tile that exist: the padded ones of the last tile are not read.
    columns = jnp.clip(lines - tile[1] * jnp.arange(active.shape[1], dtype=jnp.int32), 0, tile[1])
    inputs = pad(delivered.astype(jnp.int32), 0, active.shape[0] * tile[0]).reshape(active.shape[0], tile[0])
    # Counts stay int32 where 64-bit types are enabled too: a sum of integers would widen them.
    inputs = jnp.sum(inputs, axis=1, dtype=jnp.int32)
    reached = jnp.sum(inputs[:, None] * active * columns[None, :], dtype=jnp.int32)
    sensed = jnp.sum(columns * jnp.max(active, axis=0), dtype=jnp.int32)
    return Events(mac=xbar.polarity * reached, read=xbar.polarity * vectors * sensed)


def _solved(xbar: Crossbar, v: Array, wires: Wires | None) -> bool:
    """Say whether a read through wires is solved for its inputs: nothing is kept, and they are few."""
    return few(xbar, v) and (wires is not None or (xbar.net is None and solves(xbar)))


def _seen(xbar: Crossbar, wires: Wires | None) -> Array:
    """Return the net conductance [R, m, cols] that a read sees, through the array's own wires if none are given."""
    if wires is None and xbar.net is not None:
        return xbar.net
    if wires is None and not solves(xbar):
        return lossy_lines(xbar)
    return effective_lines(xbar, xbar.wires if wires is None else wires)


def _on(xbar: Crossbar) -> Array:
    """Return which tiles of every column are active [R, cols]."""
    return jnp.repeat(xbar.active, xbar.tile[1], axis=1)[:, : xbar.shape[1]]


def _root(power: Array) -> Array:
    """Return sqrt(power), with a gradient of 0 at 0: an input without noise is no reason for one that is not finite."""
    some = power != 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, power, jnp.ones_like(power))), jnp.zeros_like(power))


def _drawn(sd: Array, key: Array | None) -> Array:
    if key is None:
        raise ValueError("crossbar: read noise is drawn at every read: give a key, as jax.random.key(0)")
    return sd * draws.normal(key, sd.shape, sd.dtype)
