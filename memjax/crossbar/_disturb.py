"""Half-select disturb: what the pulses of one device do to the others on its lines.

Word lines of a tile are written one after another. For a pulse of amplitude V on the device (r, c), the scheme sets
    "half"    word line r to V/2, bit line c to -V/2, all others to 0: devices on r or on c see V/2
    "third"   word line r to V/2, bit line c to -V/2, other word lines to -V/6, other bit lines to V/6: devices on r or
              on c see V/3, all others of the tile -V/3
Every pulse of a train counts. A word line serves both devices of a pair, a bit line one polarity. All devices that are
disturbed by pulses of one sign see these together, after the write: a device that takes one pulse a step sees one of
their summed amplitude, an ODE device one pulse that has the area of all,

    v = share v_write peak,  lasting dt count / peak

with count the sum of their amplitudes, as parts of the write voltage, and peak the largest of these (of those on
neither line, the tile's largest). That is exact for pulses of one amplitude, as whole ones are, and for a rate that is
linear in the voltage; for a convex rate it is an upper bound.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from memjax import noise as draws
from memjax.crossbar._array import Crossbar, Lines
from memjax.crossbar._conductance import changed
from memjax.crossbar._layout import like


def disturb(xbar: Crossbar, pulses: Array, rows: Array | Lines, dt: Any, key: Array | None) -> Crossbar:
    """Return the array after the disturbs of pulses [P, k, C n] on the word lines `rows` (zero where inactive)."""
    half = xbar.half_select
    states = xbar.state
    for number, sign in enumerate((1.0, -1.0)):
        each = jnp.maximum(sign * pulses, 0)
        own = _place(xbar, each.reshape(*each.shape[:2], xbar.active.shape[1], xbar.tile[1]), rows)
        longest = jnp.max(own, axis=(0, 4), keepdims=True)  # of every word line of a tile: both polarities share it
        counts = _counts(own, longest)
        peaks = (None, None) if xbar.device.switching == "programmed" else _peaks(own, longest)
        for part, direction in enumerate((sign, -sign) if half.scheme == "third" else (sign,)):
            drawn = None if key is None else draws.fold_in(draws.fold_in(key, "half-select"), 2 * number + part)
            v = direction * half.fraction * xbar.v_write
            states = _pulse(xbar, states, counts[part], peaks[part], v, dt, drawn)
    return changed(xbar, states)


def _pulse(xbar: Crossbar, state: Any, count: Array, peak: Array | None, v: Any, dt: Any, key: Array | None) -> Any:
    some = count > 0
    if xbar.faults is not None:
        some = some & (xbar.faults == 0)
    if peak is None:
        v, time = v * count, dt
    else:
        peak = jnp.where(some, peak, jnp.ones_like(peak))
        v, time = jnp.where(some, v * peak, jnp.zeros_like(count)), dt * count / peak
    new = xbar.device.step(xbar.params, state, v, time, key)
    # Where nothing comes nothing happens: a step at 0 V would let the device rest once more.
    return jax.tree.map(lambda a, b: jnp.where(like(some, a), a, b), new, state)


def _counts(own: Array, longest: Array) -> tuple[Array, Array]:
    """Return how often each device [P, R, m, C, n] is half selected, and not selected at all, by pulses of a sign.

    own [P, R, m, C, n] are the devices' own pulses, longest [1, R, m, C, 1] the longest train of each word line.
    """
    on_row = longest - own  # while the line's longest train goes on
    on_col = jnp.sum(own, axis=2, keepdims=True) - own
    free = (jnp.sum(longest, axis=2, keepdims=True) - longest) - on_col
    return on_row + on_col, free


def _peaks(own: Array, longest: Array) -> tuple[Array, Array]:
    """Return the largest amplitude among the pulses of `_counts`, at most 1, for each of its counts."""
    most = jnp.max(own, axis=2, keepdims=True)  # on every bit line of a tile; without the device's own:
    largest = own == most
    alone = largest & (jnp.sum(largest, axis=2, keepdims=True, dtype=jnp.int32) == 1)
    others = jnp.where(alone, jnp.max(jnp.where(largest, 0, own), axis=2, keepdims=True), most)
    on_row = jnp.where(longest > own, longest, jnp.zeros_like(longest))
    of_tile = jnp.broadcast_to(jnp.max(longest, axis=2, keepdims=True), own.shape)
    return jnp.minimum(jnp.maximum(on_row, others), 1), jnp.minimum(of_tile, 1)


def _place(xbar: Crossbar, part: Array, rows: Array | Lines) -> Array:
    """Put [P, k, C, n] of some word lines into zeros [P, R, m, C, n]."""
    (r, c), (m, n) = xbar.active.shape, xbar.tile
    full = jnp.zeros((part.shape[0], r, m, c, n), part.dtype)
    if isinstance(rows, Lines):
        part = part.reshape(part.shape[0], r, rows.count, c, n)
        return part if rows.count == m else jax.lax.dynamic_update_slice_in_dim(full, part, rows.start, axis=2)
    return full.at[:, rows // m, rows % m].set(part, unique_indices=True)
