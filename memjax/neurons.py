"""Leaky integrate-and-fire neurons in discrete time, and the surrogate derivative of their spike.

    v <- leak v + current;  spike where v > threshold (strictly);  then v <- v - threshold ("subtract") or 0 ("zero")

A neuron that has just fired ignores its input, and stays silent, for `refractory` steps. leak = 1 is the perfect
integrator of the modular framework; a membrane time constant tau is leak = exp(-dt / tau).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

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
        ("leak", params.leak, lambda x: (x >= 0) & (x <= 1), "0 to 1"),
        ("threshold", params.threshold, lambda x: x > 0, "more than 0"),
        ("refractory", params.refractory, lambda x: x >= 0, "0 or more steps"),
    ):
        if not isinstance(value, Tracer) and not np.all(ok(np.asarray(value))):
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


def psi(u: Array, width: ArrayLike) -> Array:
    """Stand in for the derivative of a spike: a triangle of unit area, max(0, 1 - |u| / width) / width.

    u [...] = v - threshold and width > 0 share one unit.

    Bellec et al. 2020 (10.1038/s41467-020-17236-y) use this shape with width = threshold and a factor 0.3.
    """
    return jnp.maximum(0.0, 1.0 - jnp.abs(u) / width) / width


@jax.custom_jvp
def spike(u: Array, width: ArrayLike = 1.0) -> Array:
    """Fire where u = v - threshold > 0, with the derivative `psi` under autodiff (none with respect to width)."""
    return (u > 0).astype(u.dtype)


@spike.defjvp
def _spike_jvp(primals, tangents):
    u, width = primals
    return spike(u, width), psi(u, width) * tangents[0]
