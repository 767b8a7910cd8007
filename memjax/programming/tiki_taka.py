"""Tiki-Taka, version 2: gradients are collected on a fast array of devices, and moved on to the weights line by line.

    A <- stochastic pulses of gain dw                                               every call, on an array of its own
    every `every` calls, for the next word line i in turn:
        h_i <- h_i + transfer (w_A,i - w_A,i(0))                                    one read of A; h is digital
        pulses of sign(h_ij) on C where |h_ij| >= u,   h_ij <- h_ij - u sign(h_ij)  u: what a pulse moves a weight by

C is the array that computes. A is made of devices with the Params of C's, in mirrored columns, so that no device meets
itself, and starts from the middle of its range, w_A(0). A device whose up and down steps differ drifts to where they
are equal, and h takes that drift for a gradient: make A's devices symmetric in mid-range, as the source does by
shifting its reference.
Ledger: pulses on both arrays, the line read of A as MACs and read-outs.
Source: Gokmen, Front. Artif. Intell. 4, 699148 (2021), doi:10.3389/frai.2021.699148. Ours: one line a call, in turn.
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


@struct.dataclass
class State:
    """The fast array A, the weights w_A(0) it started from [rows, cols] and the digital sums h [rows, cols] [w]."""

    fast: Crossbar
    start: Array
    h: Array


def init(params: Params, xbar: Crossbar) -> State:
    """Return A in mid-range and empty sums."""
    mirrored = jax.tree.map(lambda leaf: jnp.flip(leaf, (3, 4)) if jnp.ndim(leaf) else leaf, xbar.params)
    middle = jnp.full((xbar.polarity, *_tiles(xbar)), 0.5, base.dtype(xbar))
    fast = replace(xbar, params=mirrored, state=xbar.device.init(mirrored, middle), net=None)
    start = crossbar.weights(fast)
    return State(fast, start, jnp.zeros_like(start))


def step(params: Params, state: State, dw: Array | Outer, xbar: Crossbar, dt: Any, key: Array | None, turn: Any):
    # A step smaller by the gain asks for as many more pulses.
    pulses = base.Params(params.step / params.gain, max_pulses=params.max_pulses)
    fast, _, events = stochastic.step(pulses, (), dw, replace(state.fast, active=xbar.active), dt, key, turn)
    rows, unit = xbar.shape[0], base.pulse_size(xbar, params.step, "both")
    due, row = (turn + 1) % params.every == 0, (turn // params.every) % rows
    # Faults of C sit in A too; a line that is not due is taken, and gets nothing.
    held = jax.lax.dynamic_index_in_dim(crossbar.weights(fast) - state.start, row, keepdims=True)
    h = jax.lax.dynamic_index_in_dim(state.h, row, keepdims=True) + jnp.where(due, params.transfer * held, 0.0)
    fired = jnp.where(due & (jnp.abs(h) >= unit), jnp.sign(h), jnp.zeros_like(h))
    selected = jnp.reshape(row, (1,)).astype(jnp.int32)
    own = None if key is None else noise.fold_in(key, "transfer")
    xbar, more = crossbar.write(xbar, base.push_pull(xbar, fired), dt, own, rows=selected, max_pulses=1)
    one = (jnp.arange(rows, dtype=jnp.int32) == row) & due
    looked = crossbar.read_events(fast, one)
    looked = replace(looked, read=looked.read * due.astype(jnp.int32))
    h = jax.lax.dynamic_update_index_in_dim(state.h, (h - unit * fired)[0], row, 0)
    return xbar, State(fast, state.start, h), events + more + looked


def _tiles(xbar: Crossbar) -> tuple[int, int, int, int]:
    (r, c), (m, n) = xbar.active.shape, xbar.tile
    return r, m, c, n


PROGRAMMER = Programmer("tiki_taka", Params, init, step)
