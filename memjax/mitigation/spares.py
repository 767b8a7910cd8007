"""Spare word lines and bit lines in every tile: bad lines of a measured fault map are left out by the line decoders.

A tile of m x n that is used has m + a word lines and n + b bit lines. The lines with the most stuck devices are left
out, and those behind them move up (shift redundancy), so a map from used to physical lines is all that is kept:

    word lines  of every row of tiles, since the tiles beside each other share their drivers [R, m]: one line left out
                is left out of all of them. It repairs a dead driver, and a dead word line of any one of the tiles; C
                tiles with a bad line each, at C places, take C spares
    bit lines   of every tile and polarity, since each has its own sensing [P, R, C, n]

What is left out is neither driven nor sensed. `route` returns the array as it is used from then on: a `Crossbar` of the
used lines, whose devices are the physical ones behind the decoders. All else (reads, programming, other remedies) works
on it and knows nothing of spares. An array with wires is refused: where on its lines a device lies would be lost.

Exact for as many bad lines as there are spares: what is used has no bad line then. Costs (1 + a / m)(1 + b / n) - 1
more devices, measuring (`fault_map.measure`), and one entry of log2(m + a) bits a line.
Source: redundancy of memories with spare rows and columns, as Schuster, IEEE J. Solid-State Circuits 13, 698 (1978),
doi:10.1109/JSSC.1978.1051122.
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from memjax.crossbar import Crossbar
from memjax.mitigation._plan import check_built
from memjax.mitigation.fault_map import FaultMap


class Routing(NamedTuple):
    """Physical line of every used one: of word lines [R, m], of bit lines [P, R, C, n]; int32, from 0 in each tile."""

    word: Array
    bit: Array


class Plan(NamedTuple):
    """Sizes of an array with spares, all static: what is used, (rows, cols) in tiles, and spare lines a tile."""

    shape: tuple[int, int]
    tile: tuple[int, int]
    spare: tuple[int, int]

    @property
    def tiles(self) -> tuple[int, int]:
        (rows, cols), (m, n) = self.shape, self.tile
        return math.ceil(rows / m), math.ceil(cols / n)

    @property
    def physical_shape(self) -> tuple[int, int]:
        """Word lines and bit lines that are built: what `crossbar.create` gets, with `physical_tile`."""
        (rows, cols), (r, c), (a, b) = self.shape, self.tiles, self.spare
        return rows + r * a, cols + c * b

    @property
    def physical_tile(self) -> tuple[int, int]:
        return self.tile[0] + self.spare[0], self.tile[1] + self.spare[1]

    @property
    def devices(self) -> float:
        """Devices that are built relative to those that are used."""
        return math.prod(self.physical_shape) / math.prod(self.shape)


def assign(plan: Plan, faults: FaultMap) -> Routing:
    """Choose the lines that are used, those with the fewest stuck devices, word lines before bit lines.

    faults: of the physical array. Of lines as bad as each other those in front are used. Raises ValueError for a map of
    another shape.
    """
    if faults.stuck.shape[1:] != plan.physical_shape:
        raise ValueError(
            f"mitigation: fault map of shape {faults.stuck.shape}: accepted is (P, *{plan.physical_shape}) "
            f"with the spare lines of {plan}"
        )
    (r, c), (m, n) = plan.tiles, plan.tile
    (rows, cols), (a, b) = plan.shape, plan.spare
    bad = _tiles(plan, faults.stuck.astype(jnp.int32))  # [P, R, k, C, q]
    used = jnp.minimum(m, rows - m * jnp.arange(r, dtype=jnp.int32))  # of the last row of tiles: fewer
    word = _fewest(jnp.sum(bad, axis=(0, 3, 4), dtype=jnp.int32), used, a, m)  # [R, m]
    bad = jnp.take_along_axis(bad, word[None, :, :, None, None], axis=2)
    bad = jnp.where((jnp.arange(m, dtype=jnp.int32)[None] < used[:, None])[None, :, :, None, None], bad, 0)
    used = jnp.minimum(n, cols - n * jnp.arange(c, dtype=jnp.int32))
    return Routing(word, _fewest(jnp.sum(bad, axis=2, dtype=jnp.int32), used, b, n))


def _fewest(bad: Array, used: Array, spare: int, size: int) -> Array:
    """Return the `used` [...] lines with the fewest bad devices of all used + spare, in order [..., size]."""
    line = jnp.arange(bad.shape[-1], dtype=jnp.int32).reshape((1,) * (bad.ndim - 1) + (-1,))
    used = used.reshape((1,) * (bad.ndim - 1 - used.ndim) + (*used.shape, 1))
    bad = jnp.where(line < used + spare, bad, jnp.iinfo(jnp.int32).max)
    rank = jnp.argsort(jnp.argsort(bad, axis=-1), axis=-1).astype(jnp.int32)  # both are stable
    return jnp.argsort(rank >= used, axis=-1)[..., :size].astype(jnp.int32)


def route(xbar: Crossbar, plan: Plan, routing: Routing) -> Crossbar:
    """Return the array of the used lines behind the decoders, of plan.shape in tiles of plan.tile.

    Raises ValueError for an array of another size than the plan's, or one with wires.
    """
    check_built(plan, xbar, "spares", "spare lines")

    def take(leaf: Any) -> Any:
        return leaf if jnp.ndim(leaf) == 0 else _take(leaf, routing)

    params, state, faults = (jax.tree.map(take, tree) for tree in (xbar.params, xbar.state, xbar.faults))
    return replace(xbar, params=params, state=state, faults=faults, net=None, shape=plan.shape, tile=plan.tile)


def route_map(plan: Plan, routing: Routing, faults: FaultMap) -> FaultMap:
    """Return the fault map of the used lines, [P, rows, cols]: what is left of it for other remedies."""
    (rows, cols), (r, c), (m, n) = plan.shape, plan.tiles, plan.tile

    def take(x: Array) -> Array:
        return _take(_tiles(plan, x), routing).reshape(x.shape[0], r * m, c * n)[:, :rows, :cols]

    return FaultMap(take(faults.stuck), take(faults.level))


def _tiles(plan: Plan, x: Array) -> Array:
    """Cut physical [P, rows, cols] into physical tiles [P, R, k, C, q], padded by zeros."""
    (r, c), (k, q) = plan.tiles, plan.physical_tile
    padded = jnp.pad(x, ((0, 0), (0, r * k - x.shape[1]), (0, c * q - x.shape[2])))
    return padded.reshape(x.shape[0], r, k, c, q)


def _take(leaf: Array, routing: Routing) -> Array:
    """Gather the used lines of a leaf [P, R, k, C, q, ...] -> [P, R, m, C, n, ...]."""
    inner = (1,) * (leaf.ndim - 5)
    leaf = jnp.take_along_axis(leaf, routing.word.reshape(1, *routing.word.shape, 1, 1, *inner), axis=2)
    p, r, c, n = routing.bit.shape
    return jnp.take_along_axis(leaf, routing.bit.reshape(p, r, 1, c, n, *inner), axis=4)
