"""Mixed precision: a digital chi collects dw exactly, and a device gets whole pulses of it, blindly.

    chi <- chi + dw,   n = trunc(chi / epsilon),   chi <- chi - n epsilon,    epsilon = what a pulse moves the weight by

A pair is written on one side: a rise on g+, a fall on g-. Every `every` calls the pairs that are `full` are reset and
their difference is rewritten (`rebalance`, counted as `refresh`; 0: never). Nothing else is verified. chi costs one
`accumulate` event a change, though it is a digital memory.
Source: Nandakumar et al., Front. Neurosci. 14, 406 (2020), doi:10.3389/fnins.2020.00406.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.plasticity.base import Outer, dense
from memjax.programming import write_verify
from memjax.programming._pair import rebalance
from memjax.programming.base import Programmer, changes, deliver, dtype, none_yet, pulse_size


@struct.dataclass
class Params:
    """Mixed precision; step as in `base.Params`."""

    step: Array | float
    full: Array | float = 0.9  # share of its range at which a device of a pair is full
    every: Array | int = 100  # calls between two looks for full pairs; 0: never
    max_pulses: int = struct.field(pytree_node=False, default=4)
    sides: str = struct.field(pytree_node=False, default="one")


def init(params: Params, xbar: Crossbar) -> Array:
    """Return chi = 0 [rows, cols]; raise ValueError for unknown sides."""
    pulse_size(xbar, params.step, params.sides)
    return jnp.zeros(xbar.shape, dtype(xbar))


def step(params: Params, state: Array, dw: Array | Outer, xbar: Crossbar, dt: Any, key: Array | None, turn: Any):
    epsilon = pulse_size(xbar, params.step, params.sides)
    chi = state + dense(dw)
    pulses = jnp.clip(jnp.trunc(chi / epsilon), -params.max_pulses, params.max_pulses)
    xbar, events = deliver(xbar, pulses, dt, key, max_pulses=params.max_pulses, sides=params.sides)
    events = events + Events(accumulate=changes(dw))
    if xbar.polarity == 2:
        due = (params.every > 0) & ((turn + 1) % jnp.maximum(params.every, 1) == 0)
        own = None if key is None else jax.random.fold_in(key, 1)
        controller = write_verify.Params(params.step, sides="one")
        xbar, more = jax.lax.cond(
            due,
            lambda xbar: rebalance(controller, xbar, params.full, dt, own),
            lambda xbar: (xbar, none_yet()),
            xbar,
        )
        events = events + more
    return xbar, chi - epsilon * pulses, events


PROGRAMMER = Programmer("mixed_precision", Params, init, step)
