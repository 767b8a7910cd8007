"""Everything that changes an array: pulses, rest, spikes, and switching tiles on and off."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from memjax._fusion import keep
from memjax.crossbar._array import Crossbar, Lines
from memjax.crossbar._conductance import changed, net_of, solves
from memjax.crossbar._disturb import disturb
from memjax.crossbar._layout import active_lines, like, pad, to_tiles
from memjax.crossbar._wired import reached
from memjax.devices import end_pulse
from memjax.devices.base import accept
from memjax.devices.base import conductance as device_conductance
from memjax.energy import Events, count
from memjax.wires import Wires


def write(
    xbar: Crossbar,
    pulses: Array,
    dt: Any,
    key: Array | None,
    *,
    rows: Array | Lines | None = None,
    max_pulses: int | None = None,
    frozen: bool = False,
    wires: Wires | None = None,
) -> tuple[Crossbar, Events]:
    """Apply signed pulse counts at the write voltage; returns (array, events).

    pulses      [P, rows, cols]: > 0 potentiates, < 0 depresses, 0 leaves the device to relax; a fraction is a pulse of
                that amplitude. With `rows` (int [k], distinct, or `Lines`: k = R count): [P, k, cols], for these word
                lines only; the others relax (not those of a `slow` device: rest it)
    dt          width of one pulse [s]; a train takes dt times the longest train
    max_pulses  the longest train, a Python integer; a count above it is cut. 1: one step, no loop. None: what the
                largest count asks for, in a loop of traced length (which reverse-mode autodiff refuses)
    frozen      an inactive tile stays as it was, instead of relaxing
    wires       resistance of every tile's lines, in place of the array's own: a device gets the voltage that reaches
                it, with one word line of a tile selected at a time (V/2 scheme, as if all devices had their
                conductance at the read voltage)

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
    if not jnp.issubdtype(pulses.dtype, jnp.floating):
        pulses = pulses.astype(jnp.result_type(float))  # counts as integers: half a volt would be none
    selected = Lines(0, m) if rows is None else rows
    lines = wires if wires is not None or not solves(xbar) else xbar.wires
    params, before, faults = (_take(xbar, tree, selected) for tree in (xbar.params, xbar.state, xbar.faults))
    left = None if xbar.losses is None else _take(xbar, xbar.losses.write, selected)
    active = active_lines(xbar, selected)
    pulses = pad(pad(pulses, 1, active.shape[1]), 2, tile_cols * n)
    pulses = jnp.where(active, pulses, jnp.zeros_like(pulses))
    if max_pulses is not None:
        pulses = jnp.clip(pulses, -max_pulses, max_pulses)
    if rows is None:  # worked out with the noise, in one loop over the devices, it takes four times as long
        pulses = keep(pulses)

    def pulse(i, state):
        part, own = pulses, key
        if i is not None:
            part = jnp.sign(pulses) * jnp.clip(jnp.abs(pulses) - i.astype(pulses.dtype), 0, 1)
            # The same key would give every pulse of a train the same C2C noise.
            own = None if key is None else jax.random.fold_in(key, i)
        v = part * xbar.v_write
        if lines is not None:
            v = reached(_with(xbar, state, rows), part, selected, lines)
        elif left is not None:
            v = v * left
        new = end_pulse(xbar.device.step(params, state, v, dt, own))
        if faults is not None:
            new = jax.tree.map(lambda a, b: jnp.where(like(faults, a) != 0, b, a), new, state)
        if frozen:
            new = jax.tree.map(lambda a, b: jnp.where(like(active, a), a, b), new, state)
        return new

    if max_pulses == 1:
        most, after = 1, pulse(None, before)
    else:
        most, times = max_pulses, max_pulses
        if most is None:
            most = jnp.maximum(jnp.ceil(jnp.max(jnp.abs(pulses))), 1.0)
            times = most.astype(jnp.int32)
        after = jax.lax.fori_loop(0, times, pulse, before)
    number = count(pulses) if max_pulses == 1 else jnp.sum(jnp.ceil(jnp.abs(pulses)), dtype=jnp.int32)
    events = Events(pulse=number)
    if rows is None:
        after = after if xbar.net is None else jax.tree.map(keep, after)  # or the noise is drawn again for the net
        written = changed(xbar, _with(xbar, after, None).state)
    else:
        rest = xbar if xbar.device.relax is None or xbar.device.slow else relax(xbar, most * dt, frozen=frozen)
        written = _put(rest, after, params, rows)
    return (written if xbar.half_select is None else disturb(written, pulses, selected, dt, key)), events


def set_state(xbar: Crossbar, x: Any) -> Crossbar:
    """Put every device at the normalised state x, a scalar or [P, rows, cols], without pulses; stuck ones stay.

    What an ideal programmer would do: for studies of what comes after programming.
    """
    full = jax.tree.leaves(xbar.state)[0].shape[:5]
    tiles = to_tiles(xbar, jnp.asarray(x)) if jnp.ndim(x) else jnp.full(full, x, jnp.result_type(float))
    state = xbar.device.init(xbar.params, tiles)
    if xbar.faults is not None:
        stuck = xbar.faults != 0
        state = jax.tree.map(lambda new, old: jnp.where(like(stuck, new), old, new), state, xbar.state)
    return changed(xbar, state)


def relax(xbar: Crossbar, dt: Any, *, frozen: bool = False, key: Array | None = None) -> Crossbar:
    """Let the array rest for dt [s] at zero volts; `frozen` inactive tiles stay as they were.

    key: what fluctuates by itself, as the wrappers' read noise and relaxation, moves too. It is a step of dt at zero
    volts then; without a key the closed form, in which they stand still.
    """
    if key is not None:
        return _evolve(xbar, lambda params, state: xbar.device.step(params, state, 0.0, dt, key), frozen)
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
    pre, post = pad(pre, 0, r * m).reshape(1, r, m, 1, 1), pad(post, 0, c * n).reshape(1, 1, 1, c, n)
    pre, post = (jnp.where(on, line, jnp.zeros_like(line)) for line in (pre, post))
    return _evolve(xbar, lambda params, state: step(params, state, pre, post, dt), frozen)


def set_active(xbar: Crossbar, tile_row: Any, tile_col: Any, on: Any) -> Crossbar:
    """Switch the tile (tile_row, tile_col) on or off, or the tiles that arrays of indices or slices name.

    Raises ValueError for a tile that does not exist, where the index is concrete.
    """
    for name, index, size in zip(("tile_row", "tile_col"), (tile_row, tile_col), xbar.active.shape, strict=True):
        if not isinstance(index, slice):
            _require_index(name, index, size)
    return changed(replace(xbar, active=xbar.active.at[tile_row, tile_col].set(on)), xbar.state)


def _require_index(name: str, index: Any, size: int) -> None:
    if not isinstance(index, Tracer):
        accept(f"crossbar: {name}", index, (np.asarray(index) >= 0) & (np.asarray(index) < size), f"0 to {size - 1}")


def _evolve(xbar: Crossbar, step: Callable, frozen: bool) -> Crossbar:
    new = step(xbar.params, xbar.state)
    if (faults := xbar.faults) is not None:
        new = jax.tree.map(lambda a, b: jnp.where(like(faults, a) != 0, b, a), new, xbar.state)
    if frozen:
        on = xbar.active[None, :, None, :, None]
        new = jax.tree.map(lambda a, b: jnp.where(like(on, a), a, b), new, xbar.state)
    return changed(xbar, new)


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


def _with(xbar: Crossbar, part: Any, rows: Array | Lines | None) -> Crossbar:
    """Return the array with the selected word lines' state (None: all of it) in its place; what is kept stays stale."""
    if rows is None:
        return replace(xbar, state=jax.tree.map(lambda leaf, new: new.reshape(leaf.shape), xbar.state, part))
    (r, c), (m, n) = xbar.active.shape, xbar.tile

    def put(leaf, new):
        if isinstance(rows, Lines):
            new = new.reshape(leaf.shape[0], r, rows.count, *leaf.shape[3:])
            return jax.lax.dynamic_update_slice_in_dim(leaf, new, rows.start, axis=2)
        new = new.reshape(*new.shape[:2], c, n, *new.shape[3:])
        return leaf.at[:, rows // m, rows % m].set(new, unique_indices=True)

    return replace(xbar, state=jax.tree.map(put, xbar.state, part))


def _put(xbar: Crossbar, part: Any, params: Any, rows: Array | Lines) -> Crossbar:
    """Put the selected word lines' new state back; bring their kept net conductance up to date, or drop it."""
    (r, _), (m, _) = xbar.active.shape, xbar.tile
    # Kept, or the new states would be worked out twice, noise and all: for the array and for its net conductance.
    part = jax.tree.map(keep, part)
    xbar = _with(xbar, part, rows)
    if xbar.net is None or solves(xbar):
        return replace(xbar, net=None)
    g = device_conductance(xbar.device, params, part, xbar.v_read)
    if xbar.losses is not None:
        g = g * _take(xbar, xbar.losses.read, rows)
    net = net_of(jnp.where(active_lines(xbar, rows), g, jnp.zeros_like(g)))[:, : xbar.shape[1]]
    if isinstance(rows, Lines):
        net = jax.lax.dynamic_update_slice_in_dim(xbar.net, net.reshape(r, rows.count, -1), rows.start, axis=1)
        return replace(xbar, net=net)
    return replace(xbar, net=xbar.net.at[rows // m, rows % m].set(net, unique_indices=True))
