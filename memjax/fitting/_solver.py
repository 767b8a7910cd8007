"""Levenberg-Marquardt from many starts at once."""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax.fitting import problem as problems
from memjax.fitting.problem import Problem

NOISE = 0.06  # of the peak: what the prior is weighed against; see `problem.residuals`
STEPS = 100  # of Levenberg-Marquardt, at most
SPREAD = 1.5  # sd of the random starts in theta: nine in ten lie in the inner nine tenths of their box


class Found(NamedTuple):
    theta: Array  # [S, P]
    cost: Array  # [S] sum of squares, of the peak
    steps: Array  # [S]


def optimistix():
    """Import the solver's library; raise ImportError with the extra that brings it."""
    try:
        import optimistix
    except ImportError as missing:
        raise ImportError('fitting needs optimistix: pip install "memjax[fit]"') from missing
    return optimistix


@cache
def _marquardt():
    """Return the solver: optimistix's with the damping adapted after nearly every step.

    optimistix lowers the damping only where the prediction was right within 1 %, which a model with thresholds hardly
    ever is: along a narrow valley it then stays at gradient descent, and stops there when its steps are used up.
    """
    optx = optimistix()

    class Marquardt(optx.LevenbergMarquardt):
        def __init__(self, rtol: float, atol: float):
            super().__init__(rtol, atol)
            self.search = optx.ClassicalTrustRegion(high_cutoff=0.5, high_constant=5.0)

    return Marquardt(rtol=1e-6, atol=1e-8)


def starts(problem: Problem, number: int, key: Array) -> Array:
    """Draw random starts theta [number, P] all over the box."""
    return SPREAD * jax.random.normal(key, (number, problem.size), float)


@partial(jax.jit, static_argnames=("robust", "steps"))
def minimise(problem: Problem, theta, *, robust: float | None = None, noise=NOISE, steps: int = STEPS) -> Found:
    """Minimise from every start theta [S, P] -> Found, each lane by its own damping.

    Raises ImportError without optimistix.
    """
    optx, solver = optimistix(), _marquardt()

    def one(start):
        def error(theta, _):
            return problems.residuals(problem, theta, robust, noise)

        # Forward mode: there are many more data than parameters.
        end = optx.least_squares(error, solver, start, options={"jac": "fwd"}, max_steps=steps, throw=False)
        cost = jnp.sum(error(end.value, None) ** 2)
        return Found(end.value, jnp.where(jnp.isfinite(cost), cost, jnp.inf), end.stats["num_steps"])

    return jax.vmap(one)(theta)


def best(found: Found) -> np.ndarray:
    """Return the order of the starts, the best first."""
    return np.argsort(np.asarray(found.cost))
