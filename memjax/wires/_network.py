"""The linear network: cells, wires and terminals, currents injected into any node; solved and differentiated.

Everything is [T, I, ...]: arrays of cells, and inputs of each.  Column 0 is next to the word lines' terminals and row
0 next to the bit lines' (users count rows from the other side).  A solution is linear in its sources, and symmetric
(reciprocity): the map from injected currents and terminal voltages to node voltages and terminal currents is its own
transpose.  So a cotangent of the voltages is injected as a current, one of the terminal currents applied as a voltage,
            and the same solver gives the
adjoint voltages.  Tellegen's theorem then gives every derivative as a product of the two solutions, cell by cell and
                   segment by segment.
"""

import contextlib
import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, lax

from memjax.wires._conjugate import correct, flip, start
from memjax.wires._ladder import Ladder, cast, ladder, potentials

# Cells solved side by side: ten vectors of them stay in a core's second-level cache.
CHUNK = 2**15

# Largest error of sqrt(r z), relative to the same of the cells' currents, and of one round of iterations.
TOLERANCE = {"float64": 1e-14, "mixed": 1e-9, "float32": 1e-7}
ROUND = {"float64": 1e-9, "mixed": 1e-5, "float32": 1e-7}
ROUNDS = {"float64": 3, "mixed": 4, "float32": 1}


class Options(NamedTuple):
    """Static: "float64", "mixed" or "float32"; the iterations at most; which lines have a terminal at both ends."""

    precision: str
    limit: int
    both_word: bool
    both_bit: bool


@struct.dataclass
class Lines:
    """Resistances [ohm]: of a segment [], of terminals [T or 1, 1, m or 1] and [T or 1, 1, n or 1], inf where open."""

    r_word: Any
    r_bit: Any
    r_source: Any
    r_sense: Any


@struct.dataclass
class Sources:
    """Currents injected into the nodes [T, I, m, n] (or None) and terminal voltages [T, I, m] and [T, I, n]."""

    word: Any
    bit: Any
    v_word: Any
    v_bit: Any


@struct.dataclass
class Response:
    """Node voltages [T, I, m, n], currents into the terminals [T, I, m] and [T, I, n], and how it ended [T, I]."""

    word: Any
    bit: Any
    i_word: Any
    i_bit: Any
    residual: Any
    converged: Any
    iterations: Any


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def network(options: Options, g: Array, lines: Lines, sources: Sources, guess: Array | None) -> Response:
    """Solve the network of cells g [T, 1, m, n]; guess: y = M B to start from [T, I, m, n], or None."""
    (tiles, inputs), given = sources.v_word.shape[:2], g.dtype
    side = max(1, CHUNK // math.prod(g.shape[-2:]))
    r_word, r_bit = lines.r_word, lines.r_bit

    def some_tiles(operand):
        g, ends, sources, guess = operand
        ladders = _ladders(options, g, Lines(r_word, r_bit, *ends))
        return _mapped(lambda part: _solve(options, ladders, *part), (sources, guess), min(inputs, side), axis=1)

    ends = tuple(jnp.broadcast_to(end, (tiles, *end.shape[1:])) for end in (lines.r_source, lines.r_sense))
    with jax.enable_x64(True) if options.precision == "mixed" else contextlib.nullcontext():
        out = _mapped(some_tiles, (g, ends, sources, guess), max(1, side // inputs), axis=0)
        return jax.tree.map(lambda x: lax.convert_element_type(x, given) if _is_float(x) else x, out)


def _forward(options, g, lines, sources, guess):
    out: Any = network(options, g, lines, sources, guess)
    return out, (g, lines, sources, guess, out)


def _backward(options, kept, bar):
    g, lines, sources, guess, out = kept
    back = Sources(bar.word, bar.bit, bar.i_word, bar.i_bit)
    adjoint: Any = network(options, g, lines, back, None)
    u, u_bar = out.word - out.bit, adjoint.word - adjoint.bit
    i, i_bar = g * u, g * u_bar
    word = _wires(options.both_word, lines.r_word, lines.r_source, _plus(i, sources.word, -1), i_bar - bar.word, -1)
    bit = _wires(options.both_bit, lines.r_bit, lines.r_sense, -_plus(i, sources.bit), -i_bar - bar.bit, -2)
    of_lines = Lines(word[0], bit[0], word[1], bit[1])
    of_sources = Sources(
        None if sources.word is None else adjoint.word,
        None if sources.bit is None else adjoint.bit,
        adjoint.i_word,
        adjoint.i_bit,
    )
    return -_sum_to(u * u_bar, g.shape), of_lines, of_sources, jax.tree.map(jnp.zeros_like, guess)


network.defvjp(_forward, _backward)


def _wires(both: bool, r: Array, end: Array, out: Array, out_bar: Array, axis: int) -> tuple[Array, Array]:
    """Return the derivatives by a segment's and by the terminals' resistance: sums of (current) x (adjoint current)."""
    product, of_ends = (
        segment_currents(out, r, end, both, axis, wire) * segment_currents(out_bar, r, end, both, axis, wire)
        for wire in (1, 0)
    )
    ends = of_ends[..., 0] + of_ends[..., -1] if both else of_ends[..., 0]
    return jnp.sum(product), _sum_to(jnp.where(jnp.isfinite(end), ends, 0), end.shape)


def segment_currents(out: Array, r: Array, end: Array, both: bool, axis: int, wire: int = 1) -> Array:
    """Return the currents away from the near terminal in every segment [..., K], with `both` [..., K + 1] [A].

    out [T, I, m, n]: what leaves each node other than along its line; axis: the one along the lines.  Between two
    terminals without any resistance the currents are a limit: of a segment's resistance -> 0 (wire = 1), or the
    terminals' (0).
    """
    out = jnp.moveaxis(out, axis, -1)
    if not both:
        # By Kirchhoff's law alone: a difference of voltages over r would be 0 / 0 on an ideal line.
        return lax.cumsum(out, axis=out.ndim - 1, reverse=True)
    closed = jnp.isfinite(end)
    end = jnp.where(closed, end, 0)
    passed = jnp.pad(lax.cumsum(out, axis=out.ndim - 1), [(0, 0)] * (out.ndim - 1) + [(1, 0)])
    # The voltages around the loop through both terminals add up to zero.
    some = r + end > 0
    path = jnp.where(some, r + end, 1)[..., None]
    inner = jnp.broadcast_to(jnp.where(some, r, wire)[..., None], (*path.shape[:-1], out.shape[-1] - 1))
    weights = jnp.concatenate([path, inner, path], axis=-1)
    weights = weights / jnp.sum(weights, axis=-1, keepdims=True)
    near = jnp.where(closed, jnp.sum(weights * passed, axis=-1), 0)
    return near[..., None] - passed


def _plus(x: Array, y: Array | None, sign: int = 1) -> Array:
    return x if y is None else x + sign * y


def _is_float(x: Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def _sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Sum over the axes along which an array of this shape was broadcast."""
    return jnp.sum(x, axis=[a for a, size in enumerate(shape) if size == 1 and x.shape[a] > 1], keepdims=True)


def _mapped(function, operand, size: int, axis: int):
    """Apply a function to chunks of `size` along an axis of every leaf, one after the other; join the results."""
    total = jax.tree.leaves(operand)[0].shape[axis]
    chunks = math.ceil(total / size)
    if chunks == 1:
        return function(operand)
    size = math.ceil(total / chunks)

    def split(x):
        widths = [(0, chunks * size - total if a == axis else 0) for a in range(x.ndim)]
        x = jnp.pad(x, widths, mode="edge") if any(map(any, widths)) else x
        return jnp.moveaxis(x.reshape(*x.shape[:axis], chunks, size, *x.shape[axis + 1 :]), axis, 0)

    def join(x):
        x = jnp.moveaxis(x, 0, axis)
        return lax.slice_in_dim(x.reshape(*x.shape[:axis], chunks * size, *x.shape[axis + 2 :]), 0, total, axis=axis)

    return jax.tree.map(join, lax.map(function, jax.tree.map(split, operand)))


class _Ladders(NamedTuple):
    """Ladders in the precision of residuals and, of word and bit lines, in that of iterations."""

    g: Array
    word: Ladder
    bit: Ladder
    fast: tuple[Array, Ladder, Ladder]


def _ladders(options: Options, g: Array, lines: Lines) -> _Ladders:
    high, low = _types(options)
    g, lines = jax.tree.map(lambda leaf: lax.convert_element_type(leaf, high), (g, lines))
    cells = jnp.moveaxis(g, -1, 0)
    word = ladder(cells, lines.r_word, lines.r_source, options.both_word)
    bit = ladder(jnp.moveaxis(g, -2, 0), lines.r_bit, lines.r_sense, options.both_bit)
    fast = (
        (cells, word, bit) if low == high else (lax.convert_element_type(cells, low), cast(word, low), cast(bit, low))
    )
    return _Ladders(cells, word, bit, fast)


def _types(options: Options):
    high = np.dtype("float32" if options.precision == "float32" else "float64")
    return high, np.dtype("float64" if options.precision == "float64" else "float32")


def _solve(options: Options, ladders: _Ladders, sources: Sources, guess: Array | None) -> Response:
    high, low = _types(options)
    g, word, bit, fast = ladders
    sources, guess = jax.tree.map(lambda leaf: lax.convert_element_type(leaf, high), (sources, guess))
    into_word = None if sources.word is None else jnp.moveaxis(sources.word, -1, 0)
    into_bit = None if sources.bit is None else jnp.moveaxis(sources.bit, -2, 0)
    rounds, tolerance, part = (
        ROUNDS[options.precision],
        TOLERANCE[options.precision] ** 2,
        ROUND[options.precision] ** 2,
    )

    def evaluate(y):
        """Return the word lines' voltages, their terminals' currents and the cells' currents but for the bit lines'."""
        b, _ = potentials(bit, _plus(y, into_bit), sources.v_bit)
        w, i_word = potentials(word, _plus(g * flip(b), into_word), sources.v_word)
        return w, i_word, flip(g * w)

    def begin(r):
        """Return r in the precision of iterations, scaled because the squares of small numbers vanish, and r z."""
        scale = jnp.max(jnp.abs(r), axis=(0, -1), keepdims=True)[0]
        scale = jnp.where(scale > 0, scale, 1)
        first = start(fast[2], lax.convert_element_type(r / scale[None], low))
        return first, scale, scale**2 * lax.convert_element_type(first.rz, high)

    def unfinished(carry):
        left, whole, turn = carry[-3:]
        return (turn < rounds) & jnp.any(left > tolerance * whole)

    def improve(carry):
        y, _, first, scale, count, left, whole, turn = carry
        goal = jnp.maximum(part * left, tolerance / 4 * whole) / scale**2
        dy, rz, more = correct(*fast, first, lax.convert_element_type(goal, low), options.limit - count)
        y = y + scale[None] * lax.convert_element_type(dy, high)
        found = evaluate(y)
        if rounds > 1:
            first, scale, left = begin(found[2] - y)
        else:  # its own recurrence is the best that one precision knows
            left = scale**2 * rz
        return y, found, first, scale, count + more, left, whole, turn + 1

    shape = (g.shape[-1], *sources.v_bit.shape)
    y = jnp.zeros(shape, high) if guess is None else jnp.moveaxis(guess, -2, 0)
    found = evaluate(y)
    first, scale, whole = begin(found[2])
    left = whole
    if guess is not None:
        first, scale, left = begin(found[2] - y)
    count = jnp.zeros(whole.shape, jnp.int32)
    carry = (y, found, first, scale, count, left, whole, jnp.zeros((), jnp.int32))
    _, (w, i_word, current), _, _, count, left, whole, _ = lax.while_loop(unfinished, improve, carry)
    b, i_bit = potentials(bit, _plus(current, into_bit), sources.v_bit)
    left, whole, count = left[..., 0], whole[..., 0], count[..., 0]
    residual = jnp.sqrt(left / jnp.where(whole > 0, whole, 1))
    w, b = jnp.moveaxis(w, 0, -1), jnp.moveaxis(b, 0, -2)
    return Response(w, b, i_word, i_bit, residual, left <= tolerance * whole, count)
