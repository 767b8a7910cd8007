"""Collect dw in a volatile element beside each synapse, and fire a pulse where it amounts to one.

    a <- leak a + dw;    where |a| >= u:  one push-pull pulse of a's sign,  a <- a - u sign(a)

u = fire_at step on a pair, half of that on a single-ended device: at the default, 2, what a pulse moves the weight by.

A tile selects few word lines at a time: in a call `lines` of each tile have their turn to fire, in rotation; the rest
collect and wait. What waits is kept in factors and added up at a line's turn, which is the same sum at a tenth of the
memory traffic. The element is ideal but for its leak; `composite` has the one that saturates and is noisy.

Where it is known what a pulse moves each weight by (`own`), u is scaled by that, down or up as a's sign is.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import crossbar
from memjax._fusion import keep
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.plasticity.base import Outer, dense
from memjax.programming.base import Programmer, changes, dtype, own_size, push_pull


@struct.dataclass
class AccumulatorParams:
    """Accumulator: step as in `Params`; leak is what a call leaves of it (1: all)."""

    step: Array | float
    fire_at: Array | float = 2.0  # what fires a pulse, in device steps of a pair (single-ended: counts half)
    leak: Array | float = 1.0
    # Word lines of every tile that have their turn in a call, a divisor of the tile's; None: all.
    lines: int | None = struct.field(pytree_node=False, default=1)
    own: Any = None  # [2, rows, cols], as of `base.own_size`; None: all are nominal


@struct.dataclass
class Accumulator:
    """What the volatile elements have collected [w].

    a is [rows, cols], or with turns [R, m, cols] as of each line's last turn, and what came since is kept in factors:
    pre [period, R, m] and b [period, cols], a slot for each of the last `period` = m / lines calls.
    """

    a: Array
    pre: Any = None
    b: Any = None


def collected(params: AccumulatorParams, state: Accumulator, xbar: Crossbar, turn: Any) -> Array:
    """Return what every accumulator holds before call number `turn` [rows, cols] [w]."""
    if params.lines is None:
        return state.a
    period = len(state.b)
    own = jnp.arange(xbar.tile[0], dtype=jnp.int32) // params.lines
    last = (turn - 1) % period  # slot of the latest call
    age = (last - jnp.arange(period, dtype=jnp.int32)) % period
    since = (last - own) % period  # calls since each line had its turn
    factor = jnp.where(age[:, None] < since[None, :], params.leak ** age[:, None].astype(state.a.dtype), 0.0)
    a = state.a * (params.leak ** since.astype(state.a.dtype))[None, :, None]
    a = a + jnp.einsum("trl,tl,tc->rlc", state.pre, factor, state.b, precision="highest")
    return a.reshape(-1, xbar.shape[1])[: xbar.shape[0]]


def step(params: AccumulatorParams, state: Accumulator, dw, xbar, dt, key, turn):
    if params.lines is None:
        a = params.leak * state.a + dense(dw)
        unit = own_size(threshold(params, xbar), params.own, a)
        fired = fire(a, unit)
        xbar, events = crossbar.write(xbar, push_pull(xbar, fired), dt, key, max_pulses=1)
        return xbar, replace(state, a=a - unit * fired), events + Events(accumulate=changes(dw))
    if not (isinstance(dw, Outer) and len(dw.a) == 1):
        raise ValueError(
            "programming: an accumulator that writes some lines a call takes an Outer of one product; give lines=None"
        )
    (tiles, (m, _)), period = (xbar.active.shape[0], xbar.tile), len(state.b)
    slot, b = turn % period, dw.b[0]
    pre = jnp.pad(dw.a[0], (0, tiles * m - xbar.shape[0])).reshape(tiles, m)
    start = slot * params.lines
    # What these lines have collected since their last turn, one product over the calls that wait: the same sum as
    # adding every call's outer product to the whole array, without touching the whole array. This call's slot still
    # holds the call of a period ago and is left out; writing it first would copy the buffers.
    age = (slot - jnp.arange(period, dtype=jnp.int32)) % period
    left = jnp.where(age > 0, params.leak ** age.astype(b.dtype), 0.0)
    recent = left[:, None, None] * jax.lax.dynamic_slice_in_dim(state.pre, start, params.lines, axis=2)
    old = keep(jax.lax.dynamic_slice_in_dim(state.a, start, params.lines, axis=1))
    a = params.leak**period * old + jnp.einsum("trl,tc->rlc", recent, state.b, precision="highest")
    a = keep(a + jax.lax.dynamic_slice_in_dim(pre, start, params.lines, axis=1)[:, :, None] * b[None, None, :])
    own = params.own
    if own is not None:  # a line of the last tile that does not exist has no pulses, whatever its own step
        turn_of = jnp.arange(params.lines, dtype=jnp.int32)[None, :]
        line = start + m * jnp.arange(tiles, dtype=jnp.int32)[:, None] + turn_of
        own = jnp.take(own, jnp.minimum(line, xbar.shape[0] - 1), axis=1)
    unit = own_size(threshold(params, xbar), own, a)
    fired = fire(a, unit)
    a = jax.lax.dynamic_update_slice_in_dim(state.a, a - unit * fired, start, axis=1)
    pulses = push_pull(xbar, fired.reshape(-1, xbar.shape[1]))
    xbar, events = crossbar.write(xbar, pulses, dt, key, rows=crossbar.Lines(start, params.lines), max_pulses=1)
    waiting = (
        jax.lax.dynamic_update_index_in_dim(buffer, new, slot, 0) for buffer, new in ((state.pre, pre), (state.b, b))
    )
    return xbar, Accumulator(a, *waiting), events + Events(accumulate=changes(dw))


def threshold(params: AccumulatorParams, xbar: Crossbar) -> Any:
    """Return what the accumulator of a nominal weight fires at [w]."""
    return params.fire_at * params.step * xbar.polarity / 2


def fire(a: Array, unit: Any) -> Array:
    """Return the pulse that each accumulator a fires: its sign where |a| >= unit, else 0."""
    return jnp.where(jnp.abs(a) >= unit, jnp.sign(a), jnp.zeros_like(a))


def init(params: AccumulatorParams, xbar: Crossbar) -> Accumulator:
    if params.lines is None:
        return Accumulator(a=jnp.zeros(xbar.shape, dtype(xbar)))
    (tiles, (m, _)), cols = (xbar.active.shape[0], xbar.tile), xbar.shape[1]
    if params.lines < 1 or m % params.lines:
        raise ValueError(
            f"programming: lines = {params.lines}: accepted is a divisor of the tile's {m} word lines, or None for all"
        )
    period = m // params.lines
    zeros = partial(jnp.zeros, dtype=dtype(xbar))
    return Accumulator(a=zeros((tiles, m, cols)), pre=zeros((period, tiles, m)), b=zeros((period, cols)))


PROGRAMMER = Programmer("accumulator", AccumulatorParams, init, step)
