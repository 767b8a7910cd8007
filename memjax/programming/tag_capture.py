"""Synaptic tagging and capture: a change fades unless its neuron is active enough, while it lasts, to make it stay.

A synapse's early change a is volatile and marks the synapse (the tag) while it is large. A neuron (a column) that has
enough tagged synapses at once makes plasticity-related products p, and wherever these meet a tag, in either order, the
early change becomes lasting: whole pulses on the devices, taken out of a.

    a_ij <- leak a_ij + dw_ij                           tag_ij = 1 where |a_ij| >= tag_at u
    p_j  <- 1 where sum_i tag_ij >= tags, else keep p_j
    where tag_ij and p_j >= capture_at:  n = round(|a_ij| / u) pulses of a's sign,  a_ij <- a_ij - n u sign(a_ij)

u is what a pulse moves the weight by. A call at interval T has leak = exp(-T / tau) of the early phase (1-3 h in
slices) and keep = exp(-T / tau_p) of the products.
Sources: the observation, Frey and Morris, Nature 385, 533 (1997), and Redondo and Morris, Nat. Rev. Neurosci. 12, 17
(2011); products made where tags outnumber a threshold, Clopath et al., PLoS Comput. Biol. 4, e1000248 (2008).
Abstracted here: the early change is the tag, products appear at once, and capture is immediate.
"""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.plasticity.base import Outer, dense
from memjax.programming.base import Programmer, changes, deliver, dtype, pulse_size


@struct.dataclass
class Params:
    """Tag and capture; step as in `base.Params`."""

    step: Array | float
    leak: Array | float = 0.999  # share of the early change that a call leaves
    tag_at: Array | float = 0.5  # early change that tags a synapse, in units of what a pulse moves the weight by
    tags: Array | int = 4  # tagged synapses at once that make a neuron produce
    keep: Array | float = 0.999  # share of the products that a call leaves
    capture_at: Array | float = 0.5  # products that capture
    max_pulses: int = struct.field(pytree_node=False, default=4)
    sides: str = struct.field(pytree_node=False, default="both")


@struct.dataclass
class State:
    """Early changes a [rows, cols] [w] and a neuron's products [cols]."""

    a: Array
    products: Array


def init(params: Params, xbar: Crossbar) -> State:
    """Return a synapse at rest; raise ValueError for unknown sides."""
    pulse_size(xbar, params.step, params.sides)
    return State(jnp.zeros(xbar.shape, dtype(xbar)), jnp.zeros(xbar.shape[1], dtype(xbar)))


def step(params: Params, state: State, dw: Array | Outer, xbar: Crossbar, dt: Any, key: Array | None, turn: Any):
    unit = pulse_size(xbar, params.step, params.sides)
    a = params.leak * state.a + dense(dw)
    tagged = jnp.abs(a) >= params.tag_at * unit
    strong = jnp.sum(tagged, axis=0, dtype=jnp.int32) >= params.tags
    products = jnp.where(strong, jnp.ones_like(state.products), params.keep * state.products)
    captured = tagged & (products >= params.capture_at)[None, :]
    n = jnp.clip(jnp.round(jnp.abs(a) / unit), 0, params.max_pulses)
    pulses = jnp.where(captured, jnp.sign(a) * n, jnp.zeros_like(a))
    xbar, events = deliver(xbar, pulses, dt, key, max_pulses=params.max_pulses, sides=params.sides)
    return xbar, State(a - unit * pulses, products), events + Events(accumulate=changes(dw))


PROGRAMMER = Programmer("tag_capture", Params, init, step)
