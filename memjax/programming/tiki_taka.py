"""Tiki-Taka, version 2: gradients are collected on a fast array of devices, and moved on to the weights line by line.

    A <- stochastic pulses of gain dw                                               every call, on an array of its own
    every `every` calls, for the next word line i in turn:
        h_i <- h_i + transfer (w_A,i - w_A,i(0))                                    one read of A; h is digital
        pulses of sign(h_ij) on C where |h_ij| >= u,   h_ij <- h_ij - u sign(h_ij)  u: what a pulse moves a weight by

C is the array that computes. A is made of devices with the Params of C's, in mirrored columns, so that no device meets
itself, and starts from the middle of its range, w_A(0). A device whose up and down steps differ drifts to where they
are equal, and h takes that drift for a gradient: the source shifts its reference to that point (`zero_shift`).
Ledger: pulses on both arrays, the line read of A as MACs and read-outs.
Source: Gokmen, Front. Artif. Intell. 4, 699148 (2021), doi:10.3389/frai.2021.699148. Ours: lines are read in turn, one
of the array or `lines` of every tile.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import crossbar, noise
from memjax.crossbar import Crossbar
from memjax.plasticity.base import Outer
from memjax.programming import base, stochastic
from memjax.programming.base import Programmer


@struct.dataclass
class Params:
    """Tiki-Taka; step as in `base.Params`, of both arrays."""

    step: Array | float
    gain: Array | float = 1.0  # of dw, on A
    transfer: Array | float = 0.1  # share of what A holds that h takes over at a read
    every: Array | int = 1  # calls between two reads of A
    max_pulses: int = struct.field(pytree_node=False, default=1)  # the longest train of a call on A
    # Word lines of every tile that are read at a time, a divisor of the tile's; None: one of the whole array.
    lines: int | None = struct.field(pytree_node=False, default=None)


@struct.dataclass
class State:
    """The fast array A, the weights w_A(0) it started from [rows, cols] and the digital sums h [rows, cols] [w]."""

    fast: Crossbar
    start: Array
    h: Array


def init(params: Params, xbar: Crossbar) -> State:
    """Return A in mid-range and empty sums; raise ValueError for lines that do not divide a tile."""
    if params.lines is not None and (params.lines < 1 or xbar.tile[0] % params.lines):
        raise ValueError(
            f"programming: lines = {params.lines}: accepted is a divisor of the tile's {xbar.tile[0]} word lines, or "
            "None for one line of the array"
        )
    mirrored = jax.tree.map(lambda leaf: _mirrored(xbar, leaf) if jnp.ndim(leaf) else leaf, xbar.params)
    middle = jnp.full((xbar.polarity, *_tiles(xbar)), 0.5, base.dtype(xbar))
    fast = replace(xbar, params=mirrored, state=xbar.device.init(mirrored, middle), net=None)
    start = crossbar.weights(fast)
    return State(fast, start, jnp.zeros_like(start))


def step(params: Params, state: State, dw: Array | Outer, xbar: Crossbar, dt: Any, key: Array | None, turn: Any):
    # A step smaller by the gain asks for as many more pulses.
    pulses = base.Params(params.step / params.gain, max_pulses=params.max_pulses)
    fast, _, events = stochastic.step(pulses, (), dw, replace(state.fast, active=xbar.active), dt, key, turn)
    unit, due = base.pulse_size(xbar, params.step, "both"), (turn + 1) % params.every == 0
    selected, rows = _selected(params, xbar, turn // params.every)
    there = rows < xbar.shape[0]  # the last tile may have fewer lines
    # Faults of C sit in A too; a line that is not due is taken, and gets nothing.
    held = jnp.take(crossbar.weights(fast) - state.start, rows, axis=0, mode="clip")
    h = jnp.take(state.h, rows, axis=0, mode="clip") + jnp.where(due, params.transfer * held, 0.0)
    fired = jnp.where(due & there[:, None] & (jnp.abs(h) >= unit), jnp.sign(h), jnp.zeros_like(h))
    own = None if key is None else noise.fold_in(key, "transfer")
    xbar, more = crossbar.write(xbar, base.push_pull(xbar, fired), dt, own, rows=selected, max_pulses=1)
    looked = jnp.zeros(xbar.shape[0], jnp.int32).at[rows].set(due.astype(jnp.int32), mode="drop")
    # Every line is read out by itself, those of different tiles side by side.
    spent = crossbar.read_events(fast, looked)
    spent = replace(spent, read=spent.read * jnp.sum(looked, dtype=jnp.int32))
    h = state.h.at[rows].set(h - unit * fired, mode="drop")
    return xbar, State(fast, state.start, h), events + more + spent


def zero_shift(state: State, dt: Any, key: Array | None, pairs: int = 200) -> State:
    """Bring every device of A to its symmetry point by `pairs` of an up and a down pulse, and take it as w_A(0).

    An exponential device goes to 1/2 + ln(step_up / step_down) / (beta_up + beta_down), one with soft bounds to
    step_up / (step_up + step_down), both closer by the share 2 beta step (4 step) a pair. Before the first call of
    `step`; the pulses are not in the ledger. Source: Kim et al., arXiv:1907.10228 (2019).
    """

    def pair(k, fast):
        for number, sign in enumerate((1.0, -1.0)):
            pulses = jnp.full((fast.polarity, *fast.shape), sign, base.dtype(fast))
            own = None if key is None else jax.random.fold_in(key, 2 * k + number)
            fast, _ = crossbar.write(fast, pulses, dt, own, max_pulses=1)
        return fast

    fast = jax.lax.fori_loop(0, pairs, pair, state.fast)
    return replace(state, fast=fast, start=crossbar.weights(fast))


def _selected(params: Params, xbar: Crossbar, number: Array) -> tuple[Array | crossbar.Lines, Array]:
    """Return the word lines of read number `number`, as a write takes them and as indices [k]: some may not exist."""
    (tiles, _), (m, _) = xbar.active.shape, xbar.tile
    if params.lines is None:
        row = jnp.reshape(number % xbar.shape[0], (1,)).astype(jnp.int32)
        return row, row
    start = (number % (m // params.lines)) * params.lines
    first = start + m * jnp.arange(tiles, dtype=jnp.int32)
    rows = first[:, None] + jnp.arange(params.lines, dtype=jnp.int32)[None, :]
    return crossbar.Lines(start, params.lines), rows.reshape(-1)


def _mirrored(xbar: Crossbar, leaf: Array) -> Array:
    """Turn the columns of [P, R, m, C, n, ...] over; a padded one stays a copy of the last that exists."""
    (*_, c, n), cols = _tiles(xbar), xbar.shape[1]
    across = leaf.reshape(*leaf.shape[:3], c * n, *leaf.shape[5:])
    source = jnp.maximum(cols - 1 - jnp.arange(c * n, dtype=jnp.int32), 0)
    return jnp.take(across, source, axis=3).reshape(leaf.shape)


def _tiles(xbar: Crossbar) -> tuple[int, int, int, int]:
    (r, c), (m, n) = xbar.active.shape, xbar.tile
    return r, m, c, n


PROGRAMMER = Programmer("tiki_taka", Params, init, step)
