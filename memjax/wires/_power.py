"""Where the power of an array with wires goes."""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.wires._network import segment_currents
from memjax.wires._solve import TOPOLOGIES, Wires, WireSolution


@struct.dataclass
class Power:
    """Power [W] of an array, each [...]: what the terminals deliver, and what turns into heat, where.

    Delivered equals the sum of the others (Tellegen), as far as the solution obeys Kirchhoff's laws.
    """

    delivered: Array
    cells: Array
    word: Array
    bit: Array
    terminals: Array

    @property
    def dissipated(self) -> Array:
        return self.cells + self.word + self.bit + self.terminals


def power(solution: WireSolution, wires: Wires, v: Any, v_bit: Any = None) -> Power:
    """Return the power delivered, sum(v i_word) - sum(v_bit i), and dissipated: sum(i u) of cells, sum(r i^2) of wires.

    solution: of `solve` with these wires and voltages v [..., m], v_bit [..., n] (None: 0 V).  Terminals are r_source
    and r_sense.
    """
    i = solution.i_cell
    v = jnp.broadcast_to(jnp.asarray(v, i.dtype), solution.i_word.shape)
    delivered = jnp.sum(v * solution.i_word, axis=-1)
    if v_bit is not None:
        delivered = delivered - jnp.sum(
            jnp.broadcast_to(jnp.asarray(v_bit, i.dtype), solution.i.shape) * solution.i, axis=-1
        )
    both_word, both_bit = TOPOLOGIES[wires.topology]

    def line(out, r, end, both):
        """Return the power of the wires and of the terminals of lines whose nodes lose `out` [..., lines, nodes]."""
        r, end = jnp.asarray(r, i.dtype), jnp.asarray(end, i.dtype)
        end = jnp.broadcast_to(end, out.shape[:-1])
        current = segment_currents(out, r, end, both, -1)
        square = current**2
        ends = square[..., 0] + square[..., -1] if both else square[..., 0]
        lost = jnp.where(jnp.isfinite(end), end, 0) * ends
        return r * jnp.sum(square, axis=(-2, -1)), jnp.sum(lost, axis=-1)

    word, sources = line(i, wires.r_word, wires.r_source, both_word)
    bit, senses = line(jnp.swapaxes(-i, -1, -2)[..., ::-1], wires.r_bit, wires.r_sense, both_bit)
    cells = jnp.sum(i * (solution.v_word - solution.v_bit), axis=(-2, -1))
    return Power(delivered, cells, word, bit, sources + senses)
