"""Make an array: checks, padding, the first state."""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from memjax import noise as draws
from memjax.crossbar._array import SCHEMES, Crossbar, HalfSelect
from memjax.crossbar._layout import to_tiles
from memjax.devices.base import Device


def create(
    device: Device,
    shape: tuple[int, int],
    tile: int | tuple[int, int] | None = None,
    *,
    polarity: int = 2,
    params: Any = None,
    x: Any = 0.5,
    faults: Array | None = None,
    v_read: Any = 0.1,
    v_write: Any = 1.0,
    wires: Any = None,
    half_select: HalfSelect | None = None,
    key: Array | None = None,
) -> Crossbar:
    """Build an array of shape (rows, cols) from one device model, all tiles active.

    tile       (word lines, bit lines) of a tile, one number for a square, None for a single tile
    polarity   devices a weight: 2 is a differential pair, 1 is single-ended
    params     the device's Params; leaves are scalars or [P, rows, cols, ...] (see `variation.sample_params`)
    x          normalised initial state, a scalar or [P, rows, cols]; None draws it uniformly from `key`
    wires      `memjax.wires.Wires`: resistance of every tile's lines, which reads and writes then meet; None: ideal
    half_select  how writes disturb the other devices on their lines; None: they do not
    faults     int8 [P, rows, cols] (see `variation.sample_stuck`): a stuck device sits at x = 1 or 0 and never changes

    Raises ValueError for sizes that are not positive, a polarity that is not 1 or 2, leaves of another shape, x out of
    [0, 1], or an unknown scheme of half-selection.
    """
    rows, cols = shape
    m, n = shape if tile is None else (tile, tile) if isinstance(tile, int) else tile
    if min(rows, cols, m, n) < 1:
        raise ValueError(f"crossbar: shape {shape} and tile {(m, n)}: all sizes must be at least 1")
    if polarity not in (1, 2):
        raise ValueError(f"crossbar: polarity = {polarity}: accepted is 1 (single-ended) or 2 (differential pair)")
    if half_select is not None and half_select.scheme not in SCHEMES:
        raise ValueError(
            f"crossbar: half-select scheme {half_select.scheme!r}: accepted is one of {', '.join(SCHEMES)}"
        )
    params = device.Params() if params is None else params
    if device.check is not None:
        device.check(params)
    logical = (polarity, rows, cols)
    if x is None:
        if key is None:
            raise ValueError("crossbar: x=None draws the initial state: give a key, as jax.random.key(0)")
        x = draws.uniform(key, logical, jnp.result_type(float))
    tiles = (math.ceil(rows / m), math.ceil(cols / n))
    xbar = Crossbar(
        params=None,
        state=None,
        faults=None,
        active=jnp.ones(tiles, bool),
        v_read=v_read,
        v_write=v_write,
        net=None,
        device=device,
        shape=(rows, cols),
        tile=(m, n),
        polarity=polarity,
        wires=wires,
        half_select=half_select,
    )

    def place(leaf, name):
        if jnp.ndim(leaf) == 0:
            return leaf
        if jnp.shape(leaf)[:3] != logical:
            raise ValueError(
                f"crossbar: {name} has shape {jnp.shape(leaf)}: "
                f"accepted is a scalar or {logical} (polarity, rows, cols)"
            )
        return to_tiles(xbar, jnp.asarray(leaf))

    params = jax.tree.map(lambda leaf: place(leaf, "a leaf of params"), params)
    x = place(x, "x")
    if faults is not None:
        faults = place(jnp.asarray(faults, jnp.int8), "faults")
        x = jnp.where(faults > 0, 1.0, jnp.where(faults < 0, 0.0, x))
    full = (polarity, tiles[0], m, tiles[1], n)
    x = jnp.asarray(x) if jnp.ndim(x) else jnp.full(full, x, jnp.result_type(float))
    return replace(xbar, params=params, state=device.init(params, x), faults=faults)
