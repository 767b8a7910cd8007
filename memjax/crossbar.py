"""The modular array: devices at every crossing of word lines (rows) and bit lines (columns), cut into tiles.

Leaves of params and state are [P, R, m, C, n] (polarity, tile row, word line, tile column, bit line), followed by the
inner axes that a device model declares. This order reshapes for free to [P, rows, cols]. A tile is an index, not a
class; any size works, padded inside: a padded device is never driven, read or counted. What users pass in and get back
is in logical [P, rows, cols].

An inactive tile contributes no current, reads as zero and gets no pulses; its volatile state still decays, or with
`frozen` stays as it was (the modular framework's mode).
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jax.core import Tracer

from memjax import noise as draws
from memjax._fusion import keep
from memjax.devices.base import Device, accept
from memjax.devices.base import conductance as device_conductance
from memjax.energy import Events


@struct.dataclass
class Crossbar:
    """An array of devices.

    params, state  leaves [P, R, m, C, n, ...]; a leaf of params may also be a scalar
    faults         int8 [P, R, m, C, n]: 1 stuck on, -1 stuck off, 0 healthy; or None
    active         bool [R, C]
    v_read         read voltage of a full-scale input [V]
    v_write        amplitude of one programming pulse [V]
    net            cached net conductance [R, m, cols] that reads use, or None; every change of the array keeps it true
    """

    params: Any
    state: Any
    faults: Array | None
    active: Array
    v_read: Array | float
    v_write: Array | float
    net: Array | None
    device: Device = struct.field(pytree_node=False)
    shape: tuple[int, int] = struct.field(pytree_node=False)
    tile: tuple[int, int] = struct.field(pytree_node=False)
    polarity: int = struct.field(pytree_node=False)


class Lines(NamedTuple):
    """The word lines start .. start + count - 1 of every row of tiles: what all tiles can select at once.

    start may be traced. A line of the last row of tiles that does not exist takes zeros.
    """

    start: Any
    count: int


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
    key: Array | None = None,
) -> Crossbar:
    """Build an array of shape (rows, cols) from one device model, all tiles active.

    tile       (word lines, bit lines) of a tile, one number for a square, None for a single tile
    polarity   devices a weight: 2 is a differential pair, 1 is single-ended
    params     the device's Params; leaves are scalars or [P, rows, cols, ...] (see `variation.sample_params`)
    x          normalised initial state, a scalar or [P, rows, cols]; None draws it uniformly from `key`
    faults     int8 [P, rows, cols] (see `variation.sample_stuck`): a stuck device sits at x = 1 or 0 and never changes

    Raises ValueError for sizes that are not positive, a polarity that is not 1 or 2, leaves of another shape, or x out
    of [0, 1].
    """
    rows, cols = shape
    m, n = shape if tile is None else (tile, tile) if isinstance(tile, int) else tile
    if min(rows, cols, m, n) < 1:
        raise ValueError(f"crossbar: shape {shape} and tile {(m, n)}: all sizes must be at least 1")
    if polarity not in (1, 2):
        raise ValueError(f"crossbar: polarity = {polarity}: accepted is 1 (single-ended) or 2 (differential pair)")
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
    )

    def place(leaf, name):
        if jnp.ndim(leaf) == 0:
            return leaf
        if jnp.shape(leaf)[:3] != logical:
            raise ValueError(
                f"crossbar: {name} has shape {jnp.shape(leaf)}: "
                f"accepted is a scalar or {logical} (polarity, rows, cols)"
            )
        return _to_tiles(xbar, jnp.asarray(leaf))

    params = jax.tree.map(lambda leaf: place(leaf, "a leaf of params"), params)
    x = place(x, "x")
    if faults is not None:
        faults = place(jnp.asarray(faults, jnp.int8), "faults")
        x = jnp.where(faults > 0, 1.0, jnp.where(faults < 0, 0.0, x))
    full = (polarity, tiles[0], m, tiles[1], n)
    x = jnp.asarray(x) if jnp.ndim(x) else jnp.full(full, x, jnp.result_type(float))
    return replace(xbar, params=params, state=device.init(params, x), faults=faults)


def conductance(xbar: Crossbar) -> Array:
    """Return the conductances at the read voltage g [P, rows, cols] [S]; inactive tiles read as zero."""
    return _to_logical(xbar, _tiled_conductance(xbar))


def net_conductance(xbar: Crossbar) -> Array:
    """Return what a column's current sees, g+ - g- of a differential pair or g itself [rows, cols] [S]."""
    net = _net_lines(xbar)
    return net.reshape(-1, net.shape[-1])[: xbar.shape[0]]


def conductance_range(xbar: Crossbar) -> Array:
    """Return the mean range g(x = 1) - g(x = 0) of the array's devices [] [S]."""
    return _mean(xbar, _end(xbar, 1.0) - _end(xbar, 0.0))


def weights(xbar: Crossbar, w_max: Any = 1.0) -> Array:
    """Return the weights w = w_max (g+ - g-) / (g_max - g_min) [rows, cols].

    Single-ended: w_max (g - g_min) / (g_max - g_min). g_min and g_max are means over the array's devices.
    """
    net, span = net_conductance(xbar), conductance_range(xbar)
    if xbar.polarity == 1:
        net = net - _mean(xbar, _end(xbar, 0.0))
    return w_max * net / span


def cache(xbar: Crossbar) -> Crossbar:
    """Keep the net conductance [rows, cols] beside the devices, for loops that read often and write few rows."""
    return replace(xbar, net=_net_lines(xbar))


def uncache(xbar: Crossbar) -> Crossbar:
    """Drop the cached net conductance."""
    return replace(xbar, net=None)


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
    net = _net_lines(xbar)
    i = jnp.tensordot(_by_tile(v, net.shape[:2]), net, 2)
    return i if noise is None else i + _drawn(noise_sd(xbar, v, noise), key)


def read_back(xbar: Crossbar, v: Array, *, noise: Any = None, key: Array | None = None) -> Array:
    """Read the array from its bit lines: i_i = sum_j v_j (g+_ij - g-_ij), v [..., cols] [V] -> i [..., rows] [A].

    Noise and errors are those of `read`.
    """
    if v.shape[-1] != xbar.shape[1]:
        raise ValueError(
            f"crossbar: read_back with v of shape {v.shape}: the last axis must have {xbar.shape[1]} bit lines"
        )
    net = _net_lines(xbar)
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
    inputs = _pad(delivered.astype(jnp.int32), 0, active.shape[0] * tile[0]).reshape(active.shape[0], tile[0])
    # Counts stay int32 where 64-bit types are enabled too: a sum of integers would widen them.
    inputs = jnp.sum(inputs, axis=1, dtype=jnp.int32)
    reached = jnp.sum(inputs[:, None] * active * columns[None, :], dtype=jnp.int32)
    sensed = jnp.sum(columns * jnp.max(active, axis=0), dtype=jnp.int32)
    return Events(mac=xbar.polarity * reached, read=xbar.polarity * vectors * sensed)


def write(
    xbar: Crossbar,
    pulses: Array,
    dt: Any,
    key: Array | None,
    *,
    rows: Array | Lines | None = None,
    max_pulses: int | None = None,
    frozen: bool = False,
) -> tuple[Crossbar, Events]:
    """Apply signed pulse counts at the write voltage; returns (array, events).

    pulses      [P, rows, cols]: > 0 potentiates, < 0 depresses, 0 leaves the device to relax; a fraction is a pulse of
                that amplitude. With `rows` (int [k], distinct, or `Lines`: k = R count): [P, k, cols], for these word
                lines only; the others relax
    dt          width of one pulse [s]; a train takes dt times the longest train
    max_pulses  the longest train, a Python integer; a count above it is cut. 1: one step, no loop. None: what the
                largest count asks for, in a loop of traced length (which reverse-mode autodiff refuses)
    frozen      an inactive tile stays as it was, instead of relaxing

    Raises ValueError for pulses of another shape, or (where they are concrete) word lines that do not exist.
    """
    (tile_rows, tile_cols), (m, n) = xbar.active.shape, xbar.tile
    k = xbar.shape[0] if rows is None else tile_rows * rows.count if isinstance(rows, Lines) else rows.shape[0]
    if pulses.shape != (xbar.polarity, k, xbar.shape[1]):
        accepted = (xbar.polarity, k, xbar.shape[1])
        raise ValueError(
            f"crossbar: pulses have shape {pulses.shape}: accepted is {accepted} (polarity, word lines, bit lines)"
        )
    if rows is not None and not isinstance(rows, Lines):
        _require_index("rows", rows, xbar.shape[0])
    selected = Lines(0, m) if rows is None else rows
    params, before, faults = (_take(xbar, tree, selected) for tree in (xbar.params, xbar.state, xbar.faults))
    active = _active(xbar, selected)
    pulses = _pad(_pad(pulses, 1, active.shape[1]), 2, tile_cols * n)
    pulses = jnp.where(active, pulses, jnp.zeros_like(pulses))
    if max_pulses is not None:
        pulses = jnp.clip(pulses, -max_pulses, max_pulses)

    def pulse(i, state):
        part, own = pulses, key
        if i is not None:
            part = jnp.sign(pulses) * jnp.clip(jnp.abs(pulses) - i.astype(pulses.dtype), 0, 1)
            # The same key would give every pulse of a train the same C2C noise.
            own = None if key is None else jax.random.fold_in(key, i)
        new = xbar.device.step(params, state, part * xbar.v_write, dt, own)
        if faults is not None:
            new = jax.tree.map(lambda a, b: jnp.where(_like(faults, a) != 0, b, a), new, state)
        if frozen:
            new = jax.tree.map(lambda a, b: jnp.where(_like(active, a), a, b), new, state)
        return new

    if max_pulses == 1:
        most, after = 1, pulse(None, before)
    else:
        most, count = max_pulses, max_pulses
        if most is None:
            most = jnp.maximum(jnp.ceil(jnp.max(jnp.abs(pulses))), 1.0)
            count = most.astype(jnp.int32)
        after = jax.lax.fori_loop(0, count, pulse, before)
    events = Events(pulse=jnp.sum(jnp.ceil(jnp.abs(pulses)), dtype=jnp.int32))
    if rows is None:
        return _changed(xbar, jax.tree.map(lambda leaf, new: new.reshape(leaf.shape), xbar.state, after)), events
    rest = xbar if xbar.device.relax is None else relax(xbar, most * dt, frozen=frozen)
    return _put(rest, after, params, rows), events


def relax(xbar: Crossbar, dt: Any, *, frozen: bool = False) -> Crossbar:
    """Let the array rest for dt [s] at zero volts; `frozen` inactive tiles stay as they were."""
    if xbar.device.relax is None:
        return xbar
    return _evolve(xbar, lambda params, state: xbar.device.relax(params, state, dt), frozen)  # type: ignore[misc]


def spike(xbar: Crossbar, step: Callable, pre: Array, post: Array, dt: Any, *, frozen: bool = False) -> Crossbar:
    """Let the two spike lines of every device act on it: state <- step(params, state, pre_i, post_j, dt).

    step is a device's own spike table, as `devices.volatile.spike_step`; pre [rows] and post [cols] hold what it takes,
    0 and 1 for spikes.
    Spikes do not reach an inactive tile. Raises ValueError for spikes of another shape.
    """
    (rows, cols), (m, n), (r, c) = xbar.shape, xbar.tile, xbar.active.shape
    if pre.shape != (rows,) or post.shape != (cols,):
        raise ValueError(
            f"crossbar: spikes of shapes {pre.shape} and {post.shape}: accepted are {(rows,)} and {(cols,)}"
        )
    on = xbar.active[None, :, None, :, None]
    pre, post = _pad(pre, 0, r * m).reshape(1, r, m, 1, 1), _pad(post, 0, c * n).reshape(1, 1, 1, c, n)
    pre, post = (jnp.where(on, line, jnp.zeros_like(line)) for line in (pre, post))
    return _evolve(xbar, lambda params, state: step(params, state, pre, post, dt), frozen)


def set_active(xbar: Crossbar, tile_row: Any, tile_col: Any, on: Any) -> Crossbar:
    """Switch the tile (tile_row, tile_col) on or off, or the tiles that arrays of indices or slices name.

    Raises ValueError for a tile that does not exist, where the index is concrete.
    """
    for name, index, size in zip(("tile_row", "tile_col"), (tile_row, tile_col), xbar.active.shape, strict=True):
        if not isinstance(index, slice):
            _require_index(name, index, size)
    return _changed(replace(xbar, active=xbar.active.at[tile_row, tile_col].set(on)), xbar.state)


def _require_index(name: str, index: Any, size: int) -> None:
    if not isinstance(index, Tracer):
        accept(f"crossbar: {name}", index, (np.asarray(index) >= 0) & (np.asarray(index) < size), f"0 to {size - 1}")


def _evolve(xbar: Crossbar, step: Callable, frozen: bool) -> Crossbar:
    new = step(xbar.params, xbar.state)
    if (faults := xbar.faults) is not None:
        new = jax.tree.map(lambda a, b: jnp.where(_like(faults, a) != 0, b, a), new, xbar.state)
    if frozen:
        on = xbar.active[None, :, None, :, None]
        new = jax.tree.map(lambda a, b: jnp.where(_like(on, a), a, b), new, xbar.state)
    return _changed(xbar, new)


def _changed(xbar: Crossbar, state: Any) -> Crossbar:
    stale = replace(xbar, state=state, net=None)
    return stale if xbar.net is None else cache(stale)


def _end(xbar: Crossbar, x: float) -> Array:
    """Conductance at the end x of the range, [] or [P, R, m, C, n]."""
    return device_conductance(xbar.device, xbar.params, xbar.device.init(xbar.params, x), xbar.v_read)


def _mean(xbar: Crossbar, g: Array) -> Array:
    """Mean over the devices that exist: with the padded ones it would depend on the tile."""
    return jnp.mean(_to_logical(xbar, g) if g.ndim else g)


def _tiled_conductance(xbar: Crossbar) -> Array:
    g = device_conductance(xbar.device, xbar.params, xbar.state, xbar.v_read)
    return jnp.where(xbar.active[None, :, None, :, None], g, jnp.zeros_like(g))


def _net_lines(xbar: Crossbar) -> Array:
    """Net conductance of all word lines, the padded ones too [R, m, cols]: `net` where it is cached."""
    if xbar.net is not None:
        return xbar.net
    net = _net(_tiled_conductance(xbar))
    return net.reshape(*net.shape[:2], -1)[..., : xbar.shape[1]]


def _net(g: Array) -> Array:
    return g[0] - g[1] if g.shape[0] == 2 else g[0]


def _drawn(sd: Array, key: Array | None) -> Array:
    if key is None:
        raise ValueError("crossbar: read noise is drawn at every read: give a key, as jax.random.key(0)")
    return sd * draws.normal(key, sd.shape, sd.dtype)


def _by_tile(v: Array, tiles: tuple[int, ...]) -> Array:
    """[..., rows] -> [..., R, m], padded with zeros."""
    return _pad(v, v.ndim - 1, tiles[0] * tiles[1]).reshape(*v.shape[:-1], *tiles)


def _like(mask: Array, leaf: Array) -> Array:
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - mask.ndim))


def _pad(x: Array, axis: int, size: int) -> Array:
    if x.shape[axis] == size:
        return x
    return jnp.pad(x, [(0, size - x.shape[axis] if a == axis else 0) for a in range(x.ndim)])


def _to_tiles(xbar: Crossbar, x: Array) -> Array:
    """[P, rows, cols, ...] -> [P, R, m, C, n, ...]; a padded device repeats the last one: its params are valid."""
    (m, n), (r, c) = xbar.tile, xbar.active.shape
    widths = [(0, 0), (0, r * m - x.shape[1]), (0, c * n - x.shape[2])] + [(0, 0)] * (x.ndim - 3)
    padded = jnp.pad(x, widths, mode="edge") if any(map(any, widths)) else x
    return padded.reshape(x.shape[0], r, m, c, n, *x.shape[3:])


def _lines(xbar: Crossbar, x: Array) -> Array:
    """[P, R, m, C, n, ...] -> [P, R m, C n, ...], for free."""
    (m, n), (r, c) = xbar.tile, xbar.active.shape
    return x.reshape(x.shape[0], r * m, c * n, *x.shape[5:])


def _to_logical(xbar: Crossbar, x: Array) -> Array:
    return _lines(xbar, x)[:, : xbar.shape[0], : xbar.shape[1]]


def _active(xbar: Crossbar, rows: Array | Lines) -> Array:
    """Which devices of the selected word lines are in an active tile [1, k, C n]."""
    tiles = (
        jnp.repeat(xbar.active, rows.count, axis=0) if isinstance(rows, Lines) else xbar.active[rows // xbar.tile[0]]
    )
    return jnp.repeat(tiles, xbar.tile[1], axis=1)[None]


def _take(xbar: Crossbar, tree: Any, rows: Array | Lines) -> Any:
    """Select word lines of every leaf: [P, k, C n, ...], with k = R count for Lines.

    A compiler vectorises over long last axes.
    """

    def take(leaf):
        if jnp.ndim(leaf) == 0:
            return leaf
        if isinstance(rows, Lines):
            part = (
                leaf
                if rows.count == xbar.tile[0]
                else jax.lax.dynamic_slice_in_dim(leaf, rows.start, rows.count, axis=2)
            )
        else:
            part = leaf[:, rows // xbar.tile[0], rows % xbar.tile[0]][:, :, None]
        return part.reshape(
            part.shape[0], part.shape[1] * part.shape[2], part.shape[3] * part.shape[4], *part.shape[5:]
        )

    return jax.tree.map(take, tree)


def _put(xbar: Crossbar, part: Any, params: Any, rows: Array | Lines) -> Crossbar:
    """Put the selected word lines' new state back, and bring their cached net conductance up to date."""
    (r, c), (m, n) = xbar.active.shape, xbar.tile

    def put(leaf, new):
        if isinstance(rows, Lines):
            new = new.reshape(leaf.shape[0], r, rows.count, *leaf.shape[3:])
            return jax.lax.dynamic_update_slice_in_dim(leaf, new, rows.start, axis=2)
        new = new.reshape(*new.shape[:2], c, n, *new.shape[3:])
        return leaf.at[:, rows // m, rows % m].set(new, unique_indices=True)

    # Kept, or the new states would be worked out twice, noise and all: for the array and for its net conductance.
    part = jax.tree.map(keep, part)
    xbar = replace(xbar, state=jax.tree.map(put, xbar.state, part))
    if xbar.net is None:
        return xbar
    g = device_conductance(xbar.device, params, part, xbar.v_read)
    net = _net(jnp.where(_active(xbar, rows), g, jnp.zeros_like(g)))[:, : xbar.shape[1]]
    if isinstance(rows, Lines):
        net = jax.lax.dynamic_update_slice_in_dim(xbar.net, net.reshape(r, rows.count, -1), rows.start, axis=1)
        return replace(xbar, net=net)
    return replace(xbar, net=xbar.net.at[rows // m, rows % m].set(net, unique_indices=True))
