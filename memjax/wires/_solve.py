"""`solve`: from users' arrays of any leading axes to the network's [arrays of cells, inputs], and back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jax.core import Tracer

from memjax.devices.base import accept
from memjax.wires._network import Lines, Options, Sources, network
from memjax.wires._newton import newton

# Name -> whether word lines, and bit lines, have a terminal at both ends.
TOPOLOGIES = {
    "single": (False, False),
    "double_drive": (True, False),
    "double_sense": (False, True),
    "double": (True, True),
}
PRECISIONS = ("float32", "mixed", "float64")


@struct.dataclass
class WireSolution:
    """Voltages and currents of an array with wires.

    i           [..., n]     current out of each bit line, into its terminals [A]
    v_word      [..., m, n]  voltage of each word line at each cell [V]
    v_bit       [..., m, n]  voltage of each bit line at each cell [V]
    i_word      [..., m]     current into each word line, from its terminals [A]
    i_cell      [..., m, n]  current through each cell, from word to bit line [A]
    residual    [...]        what is left of Kirchhoff's law, relative: in the norm that conjugate gradients reduce, or
                for
                             nonlinear cells their largest current that is not carried away
    converged   [...]        whether that is as small as the precision asks for
    iterations  [...]        of conjugate gradients
    steps       []           of Newton's method; 0 for linear cells
    """

    i: Array
    v_word: Array
    v_bit: Array
    i_word: Array
    i_cell: Array
    residual: Array
    converged: Array
    iterations: Array
    steps: Array


@struct.dataclass
class Wires:
    """The lines of an array, for whoever passes them around: what `solve` takes, by the same names.

    r_word, r_bit      resistance of a segment [ohm]
    r_source, r_sense  resistance of the terminals [ohm], [] or one a line; inf: open
    topology, precision, limit: static
    """

    r_word: Any = 1.0
    r_bit: Any = 1.0
    r_source: Any = 0.0
    r_sense: Any = 0.0
    topology: str = struct.field(pytree_node=False, default="single")
    precision: str | None = struct.field(pytree_node=False, default=None)
    limit: int = struct.field(pytree_node=False, default=5000)


def solve(
    g: Any,
    v: Any,
    r_word: Any,
    r_bit: Any,
    *,
    topology: str = "single",
    r_source: Any = 0.0,
    r_sense: Any = 0.0,
    v_bit: Any = None,
    iv: Callable | None = None,
    precision: str | None = None,
    limit: int = 5000,
    steps: int = 100,
) -> WireSolution:
    """Solve an array of cells g at the crossings of m word lines and n bit lines for all its node voltages.

    Word lines are driven with v from the left, bit lines end at the bottom in a virtual ground; Kirchhoff's current
    law, exactly:

        (v_word_{i,j-1} - v_word_ij) / r_word = g_ij (v_word_ij - v_bit_ij) + (v_word_ij - v_word_{i,j+1}) / r_word,
        (v_bit_ij - v_bit_{i+1,j}) / r_bit    = g_ij (v_word_ij - v_bit_ij) + (v_bit_{i-1,j} - v_bit_ij) / r_bit

    g          conductances [..., m, n] [S], 0 or more
    v          voltages of the word lines' terminals [..., m] [V]
    r_word     resistance [] of the segment before each cell of a word line, the driver's first [ohm]; 0: an ideal line
    r_bit      resistance [] of the segment after each cell of a bit line, the last one to its terminal [ohm]
    topology   "single"; "double_drive": one more segment and the same terminal at the right end of the word lines;
               "double_sense": at the top of the bit lines; "double": both
    r_source   resistance of the terminals of the word lines [], [m] or [..., m] [ohm]; inf: open, the line floats
    r_sense    the same of the bit lines [], [n] or [..., n]
    v_bit      voltages of the bit lines' terminals [..., n] [V]; None: virtual ground
    iv         i(u), elementwise, u [..., m, n] [V] -> [A]: cells of any characteristic, as a Device's `current` with
               its params and state, rising; g then only starts Newton's method.  It must be able to take all leading
               axes
    precision  "float32"; "mixed", float32 iterations and float64 residuals whether x64 is on or not (default for
               float32 inputs); "float64" (default for float64).  Errors of currents, relative to the largest: a few
               1e-8 by "mixed", 1e-11 by "float64"; by "float32" 1e-6, but 7e-6 where r is so small that a segment's
               drop is rounded away (1e-6 ohm), and up to 1e-4 on arrays of equal cells
    limit      iterations of conjugate gradients at most, in each solution
    steps      steps of Newton's method at most

    Leading axes broadcast: inputs, tiles, chips.  Works under jit, vmap and reverse-mode grad, in g, v, all
    resistances, v_bit and what iv closes over (at r = 0 one-sided).  It never raises or gives NaN for not converging:
    see the solution's `converged`.

    Raises ValueError for shapes that do not fit and, where values are concrete, for negative or NaN conductances,
    negative resistances, voltages that are not finite, and floating lines that no cell connects to a terminal.

    Method: conjugate gradients on the bit lines, exact solution of each line inside (`_conjugate`, `_ladder`).
    Source of the equations: A. Chen, IEEE Trans. Electron Devices 60, 1318 (2013), doi:10.1109/TED.2013.2246791.
    """
    if topology not in TOPOLOGIES:
        raise ValueError(f"wires: topology = {topology!r}: accepted are {', '.join(TOPOLOGIES)}")
    if precision is not None and precision not in PRECISIONS:
        raise ValueError(f"wires: precision = {precision!r}: accepted are {', '.join(PRECISIONS)}")
    for name, count in (("limit", limit), ("steps", steps)):
        accept(f"wires: {name}", count, count >= 1, "1 or more")
    dtype = jnp.result_type(float, *(jnp.result_type(x) for x in (g, v) if _is_float(x)))
    given = g, v, np.zeros(jnp.shape(g)[-1:], dtype) if v_bit is None else v_bit
    g, v, v_bit = (jnp.asarray(x, dtype) for x in given)
    lines = Lines(*(jnp.asarray(x, dtype) for x in (r_word, r_bit, r_source, r_sense)))
    if precision is None:
        precision = "float64" if dtype == jnp.float64 else "mixed"
    if (precision == "float64") != (dtype == jnp.float64):
        raise ValueError(f"wires: precision = {precision!r} with {dtype} inputs: float64 goes with float64")
    axes = _axes(g, v, v_bit, lines, own=iv is not None)
    _check(g, v, v_bit, lines, iv)
    options = Options(precision, limit, *TOPOLOGIES[topology])
    cells, ends, sources = axes.enter(g, v, v_bit, lines)
    none = jnp.zeros((), jnp.int32)
    if iv is None:
        out: Any = network(options, cells, ends, sources, None)
        i_cell, residual, converged, count, taken = cells * (out.word - out.bit), out.residual, out.converged, 0, none
    else:
        full = axes.batch + g.shape[-2:]

        def current(u):
            return iv(u[..., ::-1, :].reshape(full)).reshape(u.shape)[..., ::-1, :]

        out, i_cell, end = newton(options, current, cells, ends, sources, steps)
        residual = jnp.maximum(out.residual, end.error)
        converged = out.converged & (end.error <= (1e-13 if dtype == jnp.float64 else 1e-6))
        count, taken = end.iterations, end.steps
    leave = axes.leave
    return WireSolution(
        i=leave(out.i_bit),
        v_word=leave(out.word[..., ::-1, :]),
        v_bit=leave(out.bit[..., ::-1, :]),
        i_word=-leave(out.i_word[..., ::-1]),
        i_cell=leave(i_cell[..., ::-1, :]),
        residual=leave(residual),
        converged=leave(converged),
        iterations=leave(out.iterations + count),
        steps=taken,
    )


def effective(g: Any, wires: Wires) -> Array:
    """Return what a linear array with wires does to its inputs, i = v g_eff: [..., m, n] [S], of g [..., m, n].

    The response to unit inputs, for many inputs and frozen conductances.  Reciprocity: driving the bit lines and
    sensing the word lines gives the same numbers, so the smaller side is driven.  Differentiable; errors are those of
    `solve`.
    """
    m, n = jnp.shape(g)[-2:]
    g = jnp.asarray(g, jnp.result_type(float, g))
    along = m if m < n else n
    unit = jnp.eye(along, dtype=g.dtype).reshape(along, *(1,) * (g.ndim - 2), along)
    rest = {name: getattr(wires, name) for name in ("topology", "r_source", "r_sense", "precision", "limit")}
    if m < n:
        return jnp.moveaxis(solve(g, unit, wires.r_word, wires.r_bit, **rest).i, 0, -2)
    found = solve(g, jnp.zeros(m, g.dtype), wires.r_word, wires.r_bit, v_bit=unit, **rest)
    return -jnp.moveaxis(found.i_word, 0, -1)


class _Axes(NamedTuple):
    """How leading axes map to [T, I]: T are those along which the cells differ, I those that share them."""

    batch: tuple[int, ...]
    cells: tuple[int, ...]  # of g, as long as batch
    order: tuple[int, ...]  # T's axes, then I's
    tiles: int
    inputs: int

    def enter(self, g: Array, v: Array, v_bit: Array, lines: Lines) -> tuple[Array, Lines, Sources]:
        def place(x, tail, batch, size):
            x = jnp.broadcast_to(x, batch + x.shape[x.ndim - tail :])
            x = jnp.transpose(x, (*self.order, *range(len(batch), x.ndim)))
            return x.reshape(self.tiles, size, *x.shape[len(batch) :])

        def end(x, step):
            if x.ndim == 0:
                return x.reshape(1, 1, 1)
            x = x[..., ::step]
            return x.reshape(1, 1, -1) if x.ndim == 1 else place(x, 1, self.cells, 1)

        ends = Lines(lines.r_word, lines.r_bit, end(lines.r_source, -1), end(lines.r_sense, 1))
        sources = Sources(
            None, None, place(v[..., ::-1], 1, self.batch, self.inputs), place(v_bit, 1, self.batch, self.inputs)
        )
        return place(g[..., ::-1, :], 2, self.cells, 1), ends, sources

    def leave(self, x: Array) -> Array:
        x = x.reshape(*(self.batch[a] for a in self.order), *x.shape[2:])
        return jnp.moveaxis(x, range(len(self.order)), self.order)


def _axes(g: Array, v: Array, v_bit: Array, lines: Lines, own: bool) -> _Axes:
    """Raise ValueError unless the shapes fit; own: every input has cells of its own."""
    if g.ndim < 2 or 0 in g.shape[-2:]:
        raise ValueError(f"wires: g has shape {g.shape}: accepted is [..., word lines, bit lines], 1 or more of each")
    m, n = g.shape[-2:]
    for name, x, size, line in (("v", v, m, "word"), ("v_bit", v_bit, n, "bit")):
        if x.ndim < 1 or x.shape[-1] != size:
            raise ValueError(f"wires: {name} has shape {x.shape}: the last axis must have {size} {line} lines")
    for name, x, size in (("r_source", lines.r_source, m), ("r_sense", lines.r_sense, n)):
        if x.ndim and x.shape[-1] != size:
            raise ValueError(f"wires: {name} has shape {x.shape}: accepted is [], or a last axis of {size} lines")
    for name, x in (("r_word", lines.r_word), ("r_bit", lines.r_bit)):
        if x.ndim:
            raise ValueError(f"wires: {name} has shape {x.shape}: accepted is one number (vmap over several)")
    leading = [g.shape[:-2], v.shape[:-1], v_bit.shape[:-1], lines.r_source.shape[:-1], lines.r_sense.shape[:-1]]
    try:
        batch = np.broadcast_shapes(*leading)
        cells = batch if own else np.broadcast_shapes(leading[0], *leading[3:])
    except ValueError:
        raise ValueError(
            f"wires: leading axes {leading} of g, v, v_bit, r_source, r_sense: they must broadcast"
        ) from None
    cells = (1,) * (len(batch) - len(cells)) + cells
    differ = [a for a in range(len(batch)) if cells[a] > 1 or batch[a] == 1]
    share = [a for a in range(len(batch)) if a not in differ]
    tiles, inputs = (int(np.prod([batch[a] for a in axes], dtype=int)) for axes in (differ, share))
    return _Axes(batch, cells, (*differ, *share), tiles, inputs)


def _check(g: Array, v: Array, v_bit: Array, lines: Lines, iv: Callable | None) -> None:
    """Raise ValueError for values that cannot be; tracers pass."""

    def require(name, x, test, accepted):
        if not isinstance(x, Tracer):
            x = np.asarray(x)
            accept(f"wires: {name}", x, test(x), accepted)

    require("g", g, lambda x: np.isfinite(x) & (x >= 0), "0 S or more")
    require("v", v, np.isfinite, "a finite voltage")
    require("v_bit", v_bit, np.isfinite, "a finite voltage")
    require("r_word", lines.r_word, lambda x: np.isfinite(x) & (x >= 0), "0 ohm or more")
    require("r_bit", lines.r_bit, lambda x: np.isfinite(x) & (x >= 0), "0 ohm or more")
    require("r_source", lines.r_source, lambda x: x >= 0, "0 ohm or more, inf for an open end")
    require("r_sense", lines.r_sense, lambda x: x >= 0, "0 ohm or more, inf for an open end")
    ends = lines.r_source, lines.r_sense
    if any(isinstance(x, Tracer) for x in ends) or all(np.isfinite(x).all() for x in map(np.asarray, ends)):
        return
    _check_floating(
        np.ones(g.shape) if iv is not None or isinstance(g, Tracer) else np.asarray(g), *map(np.asarray, ends)
    )


def _check_floating(g: np.ndarray, r_source: np.ndarray, r_sense: np.ndarray) -> None:
    """Raise ValueError unless cells connect every line with cells to a terminal: else its voltage is anything."""
    m, n = g.shape[-2:]
    joined = g > 0
    word = np.isfinite(np.broadcast_to(r_source, np.broadcast_shapes(g.shape[:-1], r_source.shape[:-1] + (m,))))
    bit = np.isfinite(np.broadcast_to(r_sense, np.broadcast_shapes(word.shape[:-1] + (n,), r_sense.shape[:-1] + (n,))))
    word = np.broadcast_to(word, bit.shape[:-1] + (m,))
    for _ in range(m + n):
        new_word = word | (joined & bit[..., None, :]).any(-1)
        new_bit = bit | (joined & new_word[..., :, None]).any(-2)
        if (new_word == word).all() and (new_bit == bit).all():
            break
        word, bit = new_word, new_bit
    for name, reached, cells in (("word", word, joined.any(-1)), ("bit", bit, joined.any(-2))):
        lost = ~reached & cells
        if lost.any():
            line = int(np.argwhere(lost)[0][-1])
            raise ValueError(
                f"wires: {name} line {line} floats and no cell connects it to a terminal: accepted is a path to a "
                "terminal from every line (r_source and r_sense are inf only where a line is open)"
            )


def _is_float(x: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jnp.floating)
