"""One line of an array as a ladder: cells to somewhere at every node, wire between the nodes, a terminal at the end.

Node k = 0 .. K-1 is counted from the terminal.  Looking from node k away from the terminal, the line is a conductance
y_k beside a current source J_k (Norton), and both follow from the far end, with c_k the current injected into node k:

    y_k = g_k + y_{k+1} / (1 + r y_{k+1}),    J_k = c_k + J_{k+1} / (1 + r y_{k+1}),
    v_k = (v_{k-1} + r J_k) / (1 + r y_k),    v_{-1} the terminal's voltage.

No difference of voltages and no 1/r appears, so r = 0 is exact, and every v_k is a sum of terms of one sign wherever
its sources are: nothing cancels.

Arrays are [K, T, I, L]: nodes, arrays of cells, inputs, lines beside each other (the axis that the processor
vectorises).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax


class Ladder(NamedTuple):
    """What the recurrences need of a line, worked out once for all inputs.

    share  [K, T, 1, L]  1 / (1 + r y_k): the part of a voltage, or of a current, that passes node k
    r      [K, ...]      resistance before node k [ohm]
    y      [T, 1, L]     y_0 [S]
    closed [...]         whether the line has its terminals; an open line floats
    far    [T, 1, L]     conductance of the path to a second terminal, at the far end [S], or None
    g      [K, T, 1, L]  the cells, where there is a second terminal, or None
    lost   [K, T, 1, L]  1 - share, without its rounding, or None: in float32 that adds up along a line
    """

    share: Array
    r: Array
    y: Array
    closed: Array
    far: Array | None = None
    g: Array | None = None
    lost: Array | None = None


def ladder(g: Array, r: Array, end: Array, both: bool) -> Ladder:
    """Return the ladder of lines with cells g [K, T, 1, L], r [] a segment, end [T or 1, 1, L or 1] a terminal [ohm].

    end = inf leaves the line open.  both: a second terminal, of the same voltage, behind one more segment at the far
    end.
    """
    path, closed = r + end, jnp.isfinite(end)
    # A path of no resistance: the line is ideal up to both terminals, and the near one holds it alone.
    far = jnp.where(closed & (path > 0), 1 / jnp.where(path > 0, path, 1), 0) if both else None
    far = None if far is None else jnp.broadcast_to(far, g.shape[1:])

    def grow(carry, cell):
        y = cell + carry[0]
        share = 1 / (1 + r * y)
        return (y * share, y), (share, y)

    zero = jnp.zeros_like(g[0])
    (_, y), (share, all_y) = lax.scan(grow, (zero if far is None else far, zero), g, reverse=True)
    # An open line has only its cells to hold it (or nothing, then it stays at 0 V): v_0 = J_0 / y_0.
    alone = jnp.where(y > 0, 1 / jnp.where(y > 0, y, 1), 0)
    first = jnp.where(closed, 1 / (1 + jnp.where(closed, path, 0) * y), alone)
    before = jnp.where(closed, path, 1)[None]
    rest = jnp.broadcast_to(r, (g.shape[0] - 1, *before.shape[1:]))
    lost = None
    if g.dtype == jnp.float32:
        near = jnp.where(closed, jnp.where(closed, path, 0) * y * first, 1 - first)
        lost = (r * all_y * share).at[0].set(near)
    return Ladder(share.at[0].set(first), jnp.concatenate([before, rest]), y, closed, far, g if both else None, lost)


def potentials(line: Ladder, c: Array, e: Array) -> tuple[Array, Array]:
    """Return the node voltages [K, T, I, L] and the current into the terminals [T, I, L].

    c [K, T, I, L]: currents injected into the nodes [A]; e [T, I, L]: the terminals' voltage [V].
    """

    def through(x, share, lost):
        """Return share x, as a difference where little is lost."""
        return share * x if lost is None else jnp.where(share > 0.5, x - lost * x, share * x)

    def gather(passing, node):
        injected, share, lost = node
        j = injected + passing
        return through(j, share, lost), j

    e = jnp.where(line.closed, e, 0)
    begin = jnp.zeros_like(c[0]) if line.far is None else line.far * e
    passed, j = lax.scan(gather, begin, (c, line.share, line.lost), reverse=True)

    def spread(before, node):
        j, r, share, lost = node
        v = through(before + r * j, share, lost)
        return v, v

    _, v = lax.scan(spread, e, (j, line.r, line.share, line.lost))
    if line.g is None:
        return v, jnp.where(line.closed, passed - line.y * line.share[0] * e, 0)
    # By Kirchhoff's law: between two terminals over little resistance, e / r would swamp the cells' currents.
    return v, jnp.sum(c - line.g * v, axis=0)


def cast(line: Ladder, dtype) -> Ladder:
    """Return the ladder with its numbers rounded to dtype."""
    return jax.tree.map(lambda leaf: leaf if leaf.dtype == bool else lax.convert_element_type(leaf, dtype), line)
