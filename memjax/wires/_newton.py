"""Cells with any current i(u): Newton's method around the linear network.

At the cell voltages u_0 a cell is the slope s = i'(u_0) beside the current source i(u_0) - s u_0 (its companion
model), so each step is one solution of the linear network.  The lines stay linear, so every iterate obeys Kirchhoff's
law with *some* current i_lin in each cell, and i(u) - i_lin is all that is wrong: no Laplacian with its 1/r is needed
to judge a step.

With rising i the network minimises its content sum(int i du) + lines, a convex function: its derivative along a step du
is sum((i(u + t du) - i_lin(t)) du), and a step is halved while that says it went too far.  So the iteration converges
from anywhere, steep exponentials included.  Where i falls (negative differential resistance) the slope is replaced by
a small positive one.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from memjax.wires._network import Lines, Options, Response, Sources, network

HALVINGS = 40
# A step that leaves more than this share of the descent it began with, on the other side, went too far.
OVERSHOT = 0.25


class Cells(NamedTuple):
    """Where the iteration stands: [T, 1, m, n] and what is left of Kirchhoff's law."""

    u: Array
    bit: Array
    i_lin: Array
    error: Array
    steps: Array
    iterations: Array


def newton(
    options: Options, iv: Callable, g: Array, lines: Lines, sources: Sources, steps: int
) -> tuple[Response, Array, Cells]:
    """Return the network's response, the cells' currents and how the iteration ended.

    iv: u [T, 1, m, n] -> i, elementwise; g: slopes to start from.  Derivatives by the implicit function: the last
    solution is one more Newton step, linear in what iv, the lines and the sources move there.
    """
    # What iv closes over becomes an argument, or the loop would be differentiated with it.
    pure, closed = jax.closure_convert(iv, g)
    closed, start, still, held = lax.stop_gradient((closed, g, lines, sources))
    cells = _iterate(options, lambda u: pure(u, *closed), start, still, held, steps)
    u, slope = cells.u, _slope(lambda u: pure(u, *closed), cells.u)[1]
    source = iv(u) - slope * u
    guess = cells.i_lin + slope * cells.bit - lax.stop_gradient(source)
    out: Any = network(options, slope, lines, replace(sources, word=-source, bit=source), guess)
    return out, slope * (out.word - out.bit) + source, cells


def _slope(iv: Callable, u: Array) -> tuple[Array, Array]:
    i, s = jax.jvp(iv, (u,), (jnp.ones_like(u),))
    largest = jnp.max(jnp.abs(s), axis=(-2, -1), keepdims=True)
    return i, jnp.maximum(s, jnp.finfo(s.dtype).eps ** 2 * largest)


def _iterate(options: Options, iv: Callable, g: Array, lines: Lines, sources: Sources, steps: int) -> Cells:
    if options.precision == "mixed":  # the last step alone needs it
        options = options._replace(precision="float32")
    tolerance = 1e-13 if g.dtype == jnp.float64 else 1e-6

    def total(x):
        return jnp.sum(x, axis=(-2, -1), keepdims=True)

    def off(u, i_lin):
        """Return what is wrong, relative to the numbers that round it [T, 1, 1, 1], and i and slope of every cell."""
        i, s = _slope(iv, u)
        size = jnp.max(jnp.abs(i) + s * jnp.abs(u), axis=(-2, -1), keepdims=True)
        error = jnp.max(jnp.abs(i - i_lin), axis=(-2, -1), keepdims=True)
        return error / jnp.where(size > 0, size, 1), i, s

    def unfinished(carry):
        _, error, _, _ = carry
        return (carry[0].steps < steps) & jnp.any(error > tolerance)

    def step(carry):
        cells, error, i, s = carry
        source = i - s * cells.u
        guess = cells.i_lin + s * cells.bit - source
        out: Any = network(options, s, lines, replace(sources, word=-source, bit=source), guess)
        new = out.word - out.bit
        du, di = new - cells.u, s * new + source - cells.i_lin
        descent = total((i - cells.i_lin) * du)

        def too_far(carry):
            t, halvings = carry
            along = total((iv(cells.u + t * du) - (cells.i_lin + t * di)) * du)
            # Not `>`: an exponential that overflows is too far as well.
            return (halvings < HALVINGS) & ~(along <= OVERSHOT * jnp.abs(descent))

        def halve(carry):
            t, halvings = carry
            return jnp.where(too_far(carry), t / 2, t), halvings + 1

        t = lax.while_loop(
            lambda carry: jnp.any(too_far(carry)), halve, (jnp.ones_like(descent), jnp.zeros(descent.shape, jnp.int32))
        )[0]
        t = jnp.where(error > tolerance, t, 0)
        u, i_lin, bit = cells.u + t * du, cells.i_lin + t * di, cells.bit + t * (out.bit - cells.bit)
        error, i, s = off(u, i_lin)
        cells = Cells(u, bit, i_lin, error, cells.steps + 1, cells.iterations + out.iterations)
        return cells, error, i, s

    out: Any = network(options, g, lines, sources, None)
    u = out.word - out.bit
    error, i, s = off(u, g * u)
    cells = Cells(u, out.bit, g * u, error, jnp.zeros((), jnp.int32), out.iterations)
    cells = lax.while_loop(unfinished, step, (cells, error, i, s))[0]
    return cells._replace(error=cells.error[..., 0, 0])
