"""Fixed-step integrators for `rate` under a voltage held over the step (zero-order hold).

Order of convergence: euler 1, heun 2 (explicit trapezoid), rk4 4 (classical Runge-Kutta).
"""

from collections.abc import Callable
from typing import Any

import jax

from memjax.devices.base import clip

State = Any


def _ahead(state: State, slope: State, dt) -> State:
    return jax.tree.map(lambda s, k: s + dt * k, state, slope)


def euler(rate: Callable[[State], State], state: State, dt) -> State:
    """Advance by s + dt k1."""
    return _ahead(state, rate(state), dt)


def heun(rate: Callable[[State], State], state: State, dt) -> State:
    """Advance by s + dt (k1 + k2) / 2, k2 at the Euler prediction."""
    k1 = rate(state)
    k2 = rate(_ahead(state, k1, dt))
    return _ahead(state, jax.tree.map(lambda a, b: (a + b) / 2, k1, k2), dt)


def rk4(rate: Callable[[State], State], state: State, dt) -> State:
    """Advance by s + dt (k1 + 2 k2 + 2 k3 + k4) / 6."""
    k1 = rate(state)
    k2 = rate(_ahead(state, k1, dt / 2))
    k3 = rate(_ahead(state, k2, dt / 2))
    k4 = rate(_ahead(state, k3, dt))
    return _ahead(state, jax.tree.map(lambda a, b, c, d: (a + 2 * (b + c) + d) / 6, k1, k2, k3, k4), dt)


SOLVERS = {"euler": euler, "heun": heun, "rk4": rk4}


def unbounded(lo, hi) -> bool:
    """Tell whether a leaf's bounds are the Python floats -inf and inf, which mark a record without limits."""
    return isinstance(lo, float) and isinstance(hi, float) and lo == -float("inf") and hi == float("inf")


def clamp(bounds: Callable | None, params, state: State) -> State:
    """Clip every bounded leaf of a state to bounds(params) = (State_lo, State_hi)."""
    if bounds is None:
        return state
    lo, hi = bounds(params)
    return jax.tree.map(lambda s, a, b: s if unbounded(a, b) else clip(s, a, b), state, lo, hi)


def advance(solver: str, rate: Callable, bounds: Callable | None, params, state: State, v, dt) -> State:
    """Integrate rate(params, state, v) over one step of constant v [V] and length dt [s].

    Every stage and the result are clipped to the bounds: outside them a window or a resistance means nothing.
    """
    return clamp(bounds, params, SOLVERS[solver](lambda s: rate(params, clamp(bounds, params, s), v), state, dt))
