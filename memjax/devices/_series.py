"""Something in series with the device: the voltage that is left for the device itself."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax


def device_voltage(current: Callable, v: jax.Array, r_series) -> jax.Array:
    """Solve u + r_series i(u) = v for the device voltage u, elementwise: a resistor in series.

    current: v [V] -> i [A], of the device in its present state, zero at 0 V and with the sign of v (passive), so that
    the root lies between 0 and v.  v [...] in V; r_series [] or [...] in ohm, >= 0.
    """
    return divide(lambda u: u + r_series * current(u) - v, v)


def divide(residual: Callable, v: jax.Array) -> jax.Array:
    """Solve residual(u) = 0 for the device voltage u between 0 and v [V], elementwise.

    residual: u [...] -> [...], rising (where it is flat, on the root's side), <= 0 at min(0, v) and >= 0 at max(0, v).
    Newton's method kept inside the bracket: a step that leaves it, or shrinks too slowly, becomes a bisection.
    Derivatives by the implicit function; none where the residual is flat at the root.
    """

    def solve(f, start):
        tolerance = 4 * jnp.finfo(start.dtype).eps * jnp.abs(start)

        def unfinished(carry):
            n, _, _, _, move = carry
            return (n < 100) & jnp.any(jnp.abs(move) > tolerance)

        def refine(carry):
            n, u, lo, hi, move = carry
            error, slope = jax.jvp(f, (u,), (jnp.ones_like(u),))
            lo, hi = jnp.where(error < 0, u, lo), jnp.where(error > 0, u, hi)
            newton = -error / slope
            middle = (lo + hi) / 2 - u
            # At the rounding floor Newton's steps stop shrinking, and a bisection would throw the root away.
            shrinks = jnp.abs(newton) <= jnp.maximum(jnp.abs(move) / 2, tolerance)
            inside = (u + newton >= lo) & (u + newton <= hi) & shrinks
            move = jnp.where(error == 0, jnp.zeros_like(u), jnp.where(inside, newton, middle))
            return n + 1, u + move, lo, hi, move

        zero = jnp.zeros_like(start)
        first = jnp.full_like(start, jnp.inf)
        return lax.while_loop(unfinished, refine, (0, start, jnp.minimum(zero, v), jnp.maximum(zero, v), first))[1]

    def tangent(linear, y):
        slope = linear(jnp.ones_like(y))
        return jnp.where(slope != 0, y / jnp.where(slope != 0, slope, jnp.ones_like(y)), jnp.zeros_like(y))

    return lax.custom_root(residual, v, solve, tangent)
