"""Reads: currents of the columns, or of the rows, their noise and their events."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from memjax import noise as draws
from memjax.crossbar._array import Crossbar
from memjax.crossbar._conductance import conductance_range, net_lines
from memjax.crossbar._layout import by_tile, pad
from memjax.energy import Events


def read(xbar: Crossbar, v: Array, *, noise: Any = None, key: Array | None = None) -> Array:
    """Read the columns: i_j = sum_i v_i (g+_ij - g-_ij), v [..., rows] [V] -> i [..., cols] [A].

    Linear, with the conductances at the read voltage. noise is the standard deviation of white read noise on every
    device's conductance, relative to the mean range g_max - g_min and drawn anew at every read (not D2D, not C2C). It
    is drawn once a column with the exact variance of the devices' sum, (noise range)^2 P sum_i v_i^2 over active tiles.
    Raises ValueError for v of another length, or noise without a key.
    """
    if v.shape[-1] != xbar.shape[0]:
        raise ValueError(
            f"crossbar: read with v of shape {v.shape}: the last axis must have {xbar.shape[0]} word lines"
        )
    net = net_lines(xbar)
    i = jnp.tensordot(by_tile(v, net.shape[:2]), net, 2)
    return i if noise is None else i + _drawn(noise_sd(xbar, v, noise), key)


def read_back(xbar: Crossbar, v: Array, *, noise: Any = None, key: Array | None = None) -> Array:
    """Read the array from its bit lines: i_i = sum_j v_j (g+_ij - g-_ij), v [..., cols] [V] -> i [..., rows] [A].

    Noise and errors are those of `read`.
    """
    if v.shape[-1] != xbar.shape[1]:
        raise ValueError(
            f"crossbar: read_back with v of shape {v.shape}: the last axis must have {xbar.shape[1]} bit lines"
        )
    net = net_lines(xbar)
    i = (v @ net.reshape(-1, net.shape[-1]).T)[..., : xbar.shape[0]]
    return i if noise is None else i + _drawn(noise_sd(xbar, v, noise, back=True), key)


def noise_sd(xbar: Crossbar, v: Array, sigma: Any, *, back: bool = False) -> Array:
    """Return the sd of every column's read noise for v [..., rows] (`back`: of every row's for v [..., cols]) [A]."""
    active, (m, n), lines = (
        (xbar.active.T, xbar.tile[::-1], xbar.shape[0]) if back else (xbar.active, xbar.tile, xbar.shape[1])
    )
    reach = jnp.repeat(active.astype(v.dtype), m, axis=0)[: v.shape[-1]]
    power = jnp.repeat((v * v) @ reach, n, axis=-1)[..., :lines]
    return sigma * conductance_range(xbar) * jnp.sqrt(xbar.polarity * power)


def read_events(xbar: Crossbar, delivered: Array, vectors: int = 1, *, back: bool = False) -> Events:
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


def _drawn(sd: Array, key: Array | None) -> Array:
    if key is None:
        raise ValueError("crossbar: read noise is drawn at every read: give a key, as jax.random.key(0)")
    return sd * draws.normal(key, sd.shape, sd.dtype)
