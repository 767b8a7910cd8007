"""Conjugate gradients on the bit-line voltages of an array, with exact line solves inside and as preconditioner.

With W and B the voltages of the word- and bit-line nodes, L_w and L_b the lines' Laplacians and G the cells,
Kirchhoff's law is (L_w + G) W - G B = s_w and (L_b + G) B - G W = s_b.  Without W it is S B = s, where S = M - G (L_w
+ G)^-1 G is symmetric and positive, and M = L_b + G, the bit lines alone with the word lines held, preconditions it:
all eigenvalues of M^-1 S are in (0, 1]. Both inverses are ladders.  M itself, with its 1/r, is never applied: q = M p
is carried along, by p's own recurrence.

The unknown is y = M B too, the current that M's sources would have to be: B = M^-1 y exists where y is of any size, r
= 0 included. The number of iterations grows like n sqrt(g r).

Layouts: word [n, T, I, m] and bit [m, T, I, n], each with the axis first along which its ladders run.  Elementwise
work is done inside the scans, where its operands are in registers already: a pass over an array of its own costs as
much as half a scan.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from memjax.wires._ladder import Ladder


class Start(NamedTuple):
    """A right-hand side r of S dB = r, in both layouts, with z = M^-1 r [bit] and r z, summed [T, I, 1]."""

    r_word: Array
    r_bit: Array
    z: Array
    rz: Array


def flip(x: Array) -> Array:
    """Turn the word layout into the bit layout, or back."""
    return jnp.swapaxes(x, 0, -1)


def start(bit: Ladder, r: Array) -> Start:
    """Return the start of an iteration for the right-hand side r [word layout]."""
    r_bit = flip(r)
    zero = jnp.zeros_like(r[0, :, :, :1])
    r_bit, z, rz = _precondition(bit, r_bit, jnp.zeros_like(r_bit), zero)
    return Start(r, r_bit, z, rz)


def correct(g: Array, word: Ladder, bit: Ladder, begin: Start, goal: Array, limit: Array) -> tuple[Array, Array, Array]:
    """Return dy = M dB with S dB = r [word layout], what is left of r z, and the iterations [T, I, 1].

    g [n, T, 1, m]; the iteration of an array ends where r z <= goal [T, I, 1], or after `limit` iterations.
    """

    def unfinished(carry):
        _, _, _, _, _, _, rz, _, count = carry
        return jnp.any((rz > goal) & (count < limit))

    def iterate(carry):
        p, q, y, r_word, r_bit, z, rz, beta, count = carry
        on = (rz > goal) & (count < limit)

        def gather(passing, node):
            z, p, cell, share = node
            p = z + beta * p
            j = cell * p + passing
            return share * j, (p, j)

        _, (p, j) = lax.scan(gather, jnp.zeros_like(p[0]), (flip(z), p, g, word.share), reverse=True)

        def spread(carry, node):
            w, total = carry
            r, q, p, j, cell, share, ohm = node
            q = r + beta * q
            w = share * (w + ohm * j)
            t = q - cell * w
            return (w, total + p * t), (q, t)

        zero = jnp.zeros_like(p[0])
        (_, total), (q, t) = lax.scan(spread, (zero, zero), (r_word, q, p, j, g, word.share, word.r))
        alpha = jnp.where(on, rz / _sum(total), 0)
        y, r_word = y + alpha[None] * q, r_word - alpha[None] * t
        r_bit, z, new = _precondition(bit, r_bit, flip(t), alpha)
        beta = jnp.where(on, new / rz, 0)
        return p, q, y, r_word, r_bit, z, jnp.where(on, new, rz), beta, count + on.astype(count.dtype)

    zero = jnp.zeros_like(begin.r_word)
    none: Any = jnp.zeros_like(begin.rz)
    count = jnp.zeros(none.shape, jnp.int32)
    carry = (zero, zero, zero, begin.r_word, begin.r_bit, begin.z, begin.rz, none, count)
    _, _, y, _, _, _, rz, _, count = lax.while_loop(unfinished, iterate, carry)
    return y, rz, count


def _precondition(bit: Ladder, r: Array, t: Array, alpha: Array) -> tuple[Array, Array, Array]:
    """Return r <- r - alpha t, z = M^-1 r and the sum of r z [T, I, 1]; the terminals are at 0 V."""

    def gather(passing, node):
        r, t, share = node
        r = r - alpha * t
        j = r + passing
        return share * j, (r, j)

    _, (r, j) = lax.scan(gather, jnp.zeros_like(r[0]), (r, t, bit.share), reverse=True)

    def spread(carry, node):
        z, total = carry
        r, j, share, ohm = node
        z = share * (z + ohm * j)
        return (z, total + r * z), z

    zero = jnp.zeros_like(r[0])
    (_, total), z = lax.scan(spread, (zero, zero), (r, j, bit.share, bit.r))
    return r, z, _sum(total)


def _sum(x: Array) -> Array:
    return jnp.sum(x, axis=-1, keepdims=True)
