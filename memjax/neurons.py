"""Leaky integrate-and-fire neurons in discrete time, and the surrogate derivative of their spike.

    v <- leak v + current;    spike where v > threshold (strictly);    then reset: v <- v - threshold spike ("subtract") or 0 ("zero")

A neuron that has just fired ignores its input for `refractory` steps. leak = 1 is the perfect integrator of SPEC A4; a membrane time
constant tau is leak = exp(-dt / tau).
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

RESETS = ("subtract", "zero")


@struct.dataclass
class Params:
    """LIF neuron: leak a step (1: none), threshold, and refractory period in steps."""

    leak: Array | float = 0.9
    threshold: Array | float = 1.0
    refractory: Array | int = 0


@struct.dataclass
class State:
    """Membrane potential v [...] and steps left of the refractory period [...]."""

    v: Array
    rest: Array


def check(params: Params) -> None:
    """Raise ValueError for a leak outside [0, 1], a threshold that is not positive, or a negative refractory period."""
    for name, value, ok, accepted in (
        ("leak", params.leak, lambda x: 0 <= x <= 1, "0 to 1"),
        ("threshold", params.threshold, lambda x: x > 0, "more than 0"),
        ("refractory", params.refractory, lambda x: x >= 0, "0 or more steps"),
    ):
        if not isinstance(value, jax.core.Tracer) and not ok(value):
            raise ValueError(f"neurons: {name} = {value}: accepted is {accepted}")


def init(shape: tuple[int, ...], dtype=None) -> State:
    """Return neurons [shape] at rest."""
    return State(v=jnp.zeros(shape, dtype or jnp.result_type(float)), rest=jnp.zeros(shape, jnp.int32))


def step(params: Params, state: State, current: Array, *, reset: str = "subtract") -> tuple[tuple[Array, Array], State]:
    """Advance one time step; returns ((spike [...] of 0 and 1, v [...] before the reset), state).

    Raises ValueError for an unknown reset.
    """
    if reset not in RESETS:
        raise ValueError(f"neurons: reset = {reset!r}: accepted is one of {RESETS}")
    awake = state.rest == 0
    v = params.leak * state.v + jnp.where(awake, current, jnp.zeros_like(current))
    fired = (v > params.threshold) & awake
    spike = fired.astype(v.dtype)
    after = v - params.threshold * spike if reset == "subtract" else jnp.where(fired, jnp.zeros_like(v), v)
    rest = jnp.where(fired, params.refractory, jnp.maximum(state.rest - 1, 0)).astype(jnp.int32)
    return (spike, v), State(v=after, rest=rest)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def spike(u: Array, width: float = 1.0) -> Array:
    """Fire where u = v - threshold > 0, with a triangle's derivative max(0, 1 - |u| / width) / width under autodiff.

    Bellec et al. 2020 (10.1038/s41467-020-17236-y).
    """
    return (u > 0).astype(u.dtype)


@spike.defjvp
def _spike_jvp(width, primals, tangents):
    (u,), (du,) = primals, tangents
    return spike(u, width), jnp.maximum(0.0, 1.0 - jnp.abs(u) / width) / width * du
