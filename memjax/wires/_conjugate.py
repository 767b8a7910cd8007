"""Conjugate gradients on the bit-line voltages of an array, with exact line solves inside and as preconditioner.

With W and B the voltages of the word- and bit-line nodes, L_w and L_b the lines' Laplacians and G the cells,
Kirchhoff's law is (L_w + G) W - G B = s_w and (L_b + G) B - G W = s_b.  Without W it is S B = s, where S = M - G (L_w
+ G)^-1 G is symmetric and positive, and M = L_b + G, the bit lines alone with the word lines held, preconditions it:
all eigenvalues of M^-1 S are in (0, 1]. Both inverses are ladders.  M itself, with its 1/r, is never applied: q = M p
is carried along, by p's own recurrence.

The unknown is y = M B too, the current that M's sources would have to be: B = M^-1 y exists where y is of any size, r
= 0 included. The number of iterations grows like n sqrt(g r).

Layouts: word [n, T, I, m] and bit [m, T, I, n], each with the axis first along which its ladders run.  Only p and the
cells' currents change between them.  What is elementwise is done inside the scans where it can be: its operands are in
the cache already.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from memjax.wires._ladder import Ladder


class Start(NamedTuple):
    """A right-hand side r of S dB = r, z = M^-1 r [bit layout], and the sum of r z [T, I, 1]."""

    r: Array
    z: Array
    rz: Array


def flip(x: Array) -> Array:
    """Turn the word layout into the bit layout, or back."""
    return jnp.swapaxes(x, 0, -1)


def start(bit: Ladder, r: Array) -> Start:
    """Return the start of an iteration for the right-hand side r [bit layout]."""

    def gather(passing, node):
        r, share = node
        j = r + passing
        return share * j, j

    _, j = lax.scan(gather, jnp.zeros_like(r[0]), (r, bit.share), reverse=True)
    return Start(r, *_spread(bit, r, j))


def correct(g: Array, word: Ladder, bit: Ladder, begin: Start, goal: Array, limit: Array) -> tuple[Array, Array, Array]:
    """Return dy = M dB with S dB = r [bit layout], what is left of r z, and the iterations [T, I, 1].

    g [n, T, 1, m]; the iteration of an array ends where r z <= goal [T, I, 1], or after `limit` iterations.
    """

    def unfinished(carry):
        *_, rz, count = carry
        return jnp.any((rz > goal) & (count < limit))

    def iterate(carry):
        p, q, y, r, rz, count = carry
        on = (rz > goal) & (count < limit)
        current = flip(_cells(g, word, flip(p)))
        # Of differences, not a difference of sums: where lines couple strongly, S p is a small part of M p.
        alpha = jnp.where(on, rz / jnp.sum(p * (q - current), axis=(0, -1), keepdims=True)[0], 0)

        def gather(passing, node):
            q, current, y, r, share = node
            r = r - alpha * (q - current)
            j = r + passing
            return share * j, (j, r, y + alpha * q)

        _, (j, r, y) = lax.scan(gather, jnp.zeros_like(r[0]), (q, current, y, r, bit.share), reverse=True)
        z, new = _spread(bit, r, j)
        beta = jnp.where(on, new / rz, 0)
        p, q = z + beta[None] * p, r + beta[None] * q
        return p, q, y, r, jnp.where(on, new, rz), count + on.astype(count.dtype)

    count = jnp.zeros(begin.rz.shape, jnp.int32)
    carry = (begin.z, begin.r, jnp.zeros_like(begin.r), begin.r, begin.rz, count)
    _, _, y, _, rz, count = lax.while_loop(unfinished, iterate, carry)
    return y, rz, count


def _cells(g: Array, word: Ladder, p: Array) -> Array:
    """Return the currents G W of word lines that the bit lines' voltages p drive [word layout]."""

    def gather(passing, node):
        p, cell, share = node
        j = cell * p + passing
        return share * j, j

    zero = jnp.zeros_like(p[0])
    _, j = lax.scan(gather, zero, (p, g, word.share), reverse=True)

    def spread(w, node):
        j, cell, share, ohm = node
        w = share * (w + ohm * j)
        return w, cell * w

    return lax.scan(spread, zero, (j, g, word.share, word.r))[1]


def _spread(bit: Ladder, r: Array, j: Array) -> tuple[Array, Array]:
    """Return z = M^-1 r from the gathered currents j, and the sum of r z [T, I, 1]; the terminals are at 0 V."""

    def spread(carry, node):
        z, total = carry
        r, j, share, ohm = node
        z = share * (z + ohm * j)
        return (z, total + r * z), z

    zero = jnp.zeros_like(r[0])
    (_, total), z = lax.scan(spread, (zero, zero), (r, j, bit.share, bit.r))
    return z, _sum(total)


def _sum(x: Array) -> Array:
    return jnp.sum(x, axis=-1, keepdims=True)
