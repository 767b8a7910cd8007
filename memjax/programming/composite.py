"""A synapse of two memories: a volatile element collects dw, a non-volatile device or pair captures what amounts to it.

The volatile element of a synapse holds a [w]. One call adds dw and then captures whole pulses of size u:

    d = dw (1 - sign(dw) a / saturation) (1 + noise xi),  xi ~ N(0, 1)         soft bound; write noise of the element
    a <- leak a + d
    n = min(floor(|a| / u), max_pulses) pulses of a's sign,  a <- a - n u sign(a)

u = fire_at times what a pulse moves the weight by: two device steps on both sides of a pair, one on one side. Levels,
nonlinearity, asymmetry, C2C noise and faults of the capture are those of the array's devices. Each property of the
volatile element is traced and is switched off alone: leak = 1, saturation = inf, noise = None, cost = 0; with all
of them off this is the accumulator with lines = None. An element that decays in tau and is written every T has
leak = exp(-T / tau); its soft bound lets n equal changes collect S (1 - (1 - dw / S)^n).

It touches every element at every call; `accumulator` is the fast one.
"""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import noise
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.plasticity.base import Outer, dense
from memjax.programming.base import Programmer, changes, deliver, dtype, pulse_size


@struct.dataclass
class Params:
    """Composite synapse; step as in `base.Params`."""

    step: Array | float
    fire_at: Array | float = 1.0  # what fires a pulse, in units of what the pulse moves the weight by
    leak: Array | float = 1.0  # share of the collected that a call leaves
    saturation: Array | float = float("inf")  # bound of what an element can hold [w]
    noise: Array | float | None = None  # sd of an increment, relative to it; None: no draw
    cost: Array | int = 1  # `accumulate` events an increment is charged as
    max_pulses: int = struct.field(pytree_node=False, default=1)
    sides: str = struct.field(pytree_node=False, default="both")


def init(params: Params, xbar: Crossbar) -> Array:
    """Return empty elements [rows, cols]; raise ValueError for unknown sides."""
    pulse_size(xbar, params.step, params.sides)
    return jnp.zeros(xbar.shape, dtype(xbar))


def step(params: Params, state: Array, dw: Array | Outer, xbar: Crossbar, dt: Any, key: Array | None, turn: Any):
    state = collect(params, state, dw, key)
    unit = params.fire_at * pulse_size(xbar, params.step, params.sides)
    fired = jnp.sign(state) * jnp.clip(jnp.floor(jnp.abs(state) / unit), 0, params.max_pulses)
    xbar, events = deliver(xbar, fired, dt, key, max_pulses=params.max_pulses, sides=params.sides)
    return xbar, state - unit * fired, events + Events(accumulate=params.cost * changes(dw))


def collect(params: Params, state: Array, dw: Array | Outer, key: Array | None) -> Array:
    """Add a change to the volatile elements [rows, cols] [w]."""
    change = dense(dw)
    change = change * (1 - jnp.sign(change) * state / params.saturation)
    if params.noise is not None:
        if key is None:
            raise ValueError("programming: composite draws noise at every increment: give a key, as jax.random.key(0)")
        xi = noise.normal(noise.fold_in(key, "increment"), change.shape, change.dtype)
        change = change * (1 + params.noise * xi)
    return params.leak * state + change


PROGRAMMER = Programmer("composite", Params, init, step)
