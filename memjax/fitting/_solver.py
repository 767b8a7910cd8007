"""Many starts at once: Levenberg-Marquardt, or Adam by the gradient through the simulation with the former at the end.

Levenberg-Marquardt needs a forward derivative a parameter and few steps, Adam one reverse derivative and many: for the
ten parameters of a device the first is the cheaper.  Adam walks over the kinks of clipped states and thresholds.
"""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from memjax.fitting import problem as problems
from memjax.fitting.problem import Problem

NOISE = 0.06  # of the peak: what the prior is weighed against; see `problem.residuals`
STEPS = 100  # of Levenberg-Marquardt, at most
METHODS = ("levenberg_marquardt", "adam")
ADAM = (1000, 0.1)  # steps; the first one's size in theta, which falls as a cosine to zero
FINISHED = 4  # of Adam's ends, the best, go on to the bottom
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


@partial(jax.jit, static_argnames=("robust", "steps"))
def descend(problem: Problem, theta, *, robust: float | None = None, noise=NOISE, steps: int = ADAM[0]) -> Found:
    """Go down the gradient from every start theta [S, P] by Adam -> Found: near a minimum, not at it."""
    import optax

    adam = optax.adam(optax.cosine_decay_schedule(ADAM[1], steps))

    def cost(theta):
        return jnp.sum(problems.residuals(problem, theta, robust, noise) ** 2)

    def one(start):
        def move(carry, _):
            theta, state = carry
            slope = jax.grad(cost)(theta)
            # Where a prediction is no number its derivative is none either: such a start stays where it is.
            with jax.numpy_dtype_promotion("standard"):  # Optax raises a float to an integer's power
                change, state = adam.update(jnp.nan_to_num(slope), state)
            return (theta + change, state), None

        theta = lax.scan(move, (start, adam.init(start)), None, length=steps)[0][0]
        reached = cost(theta)
        return Found(theta, jnp.where(jnp.isfinite(reached), reached, jnp.inf), jnp.asarray(steps))

    return jax.vmap(one)(theta)


def search(problem: Problem, theta, method: str, *, robust: float | None = None, steps: int = STEPS) -> Found:
    """Find minima from every start theta [S, P] by one of METHODS -> Found."""
    if method == METHODS[0]:
        return minimise(problem, theta, robust=robust, steps=steps)
    down = descend(problem, theta, robust=robust)
    order = best(down)[:FINISHED]
    end = minimise(problem, down.theta[order], robust=robust, steps=steps)
    return Found(*(old.at[order].set(new) for old, new in zip(down, end, strict=True)))


def best(found: Found) -> np.ndarray:
    """Return the order of the starts, the best first."""
    return np.argsort(np.asarray(found.cost))
