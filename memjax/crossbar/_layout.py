"""How logical [P, rows, cols] lies in tiles [P, R, m, C, n], and back."""

import jax.numpy as jnp
from jax import Array

from memjax.crossbar._array import Crossbar, Lines


def pad(x: Array, axis: int, size: int) -> Array:
    if x.shape[axis] == size:
        return x
    return jnp.pad(x, [(0, size - x.shape[axis] if a == axis else 0) for a in range(x.ndim)])


def like(mask: Array, leaf: Array) -> Array:
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - mask.ndim))


def by_tile(v: Array, tiles: tuple[int, ...]) -> Array:
    """[..., rows] -> [..., R, m], padded with zeros."""
    return pad(v, v.ndim - 1, tiles[0] * tiles[1]).reshape(*v.shape[:-1], *tiles)


def to_tiles(xbar: Crossbar, x: Array) -> Array:
    """[P, rows, cols, ...] -> [P, R, m, C, n, ...]; a padded device repeats the last one: its params are valid."""
    (m, n), (r, c) = xbar.tile, xbar.active.shape
    widths = [(0, 0), (0, r * m - x.shape[1]), (0, c * n - x.shape[2])] + [(0, 0)] * (x.ndim - 3)
    padded = jnp.pad(x, widths, mode="edge") if any(map(any, widths)) else x
    return padded.reshape(x.shape[0], r, m, c, n, *x.shape[3:])


def _lines(xbar: Crossbar, x: Array) -> Array:
    """[P, R, m, C, n, ...] -> [P, R m, C n, ...], for free."""
    (m, n), (r, c) = xbar.tile, xbar.active.shape
    return x.reshape(x.shape[0], r * m, c * n, *x.shape[5:])


def to_logical(xbar: Crossbar, x: Array) -> Array:
    return _lines(xbar, x)[:, : xbar.shape[0], : xbar.shape[1]]


def active_lines(xbar: Crossbar, rows: Array | Lines) -> Array:
    """Which devices of the selected word lines are in an active tile [1, k, C n]."""
    tiles = (
        jnp.repeat(xbar.active, rows.count, axis=0) if isinstance(rows, Lines) else xbar.active[rows // xbar.tile[0]]
    )
    return jnp.repeat(tiles, xbar.tile[1], axis=1)[None]
