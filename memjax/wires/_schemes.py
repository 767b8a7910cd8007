"""What the lines of an array are driven with to select one cell: half-select schemes and floating lines."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array


class Drive(NamedTuple):
    """Voltages [V] and resistances [ohm] of the terminals of m word and n bit lines, as `solve` takes them."""

    v: Array
    v_bit: Array
    r_source: Array
    r_sense: Array


SCHEMES = ("half", "third", "ground", "floating")


def select(
    shape: tuple[int, int], row: Any, col: Any, v: Any, scheme: str = "half", *, r_source: Any = 0.0, r_sense: Any = 0.0
) -> Drive:
    """Return the drive of all lines that puts v across the cell (row, col): its word line at v, its bit line at 0 V.

    The other lines (word, bit) are at, and with ideal wires the other cells see:

        "half"      v/2, v/2    v/2 on the selected lines, 0 elsewhere
        "third"     v/3, 2v/3   v/3 on the selected lines, -v/3 elsewhere
        "ground"    0, 0        v on the selected word line, 0 elsewhere
        "floating"  open        what the sneak paths make of it

    v [] in V; row and col may be traced; resistances [] of the lines' terminals in ohm.
    Raises ValueError for a scheme that is not one of these.
    Source: A. Chen, IEEE Trans. Electron Devices 60, 1318 (2013), doi:10.1109/TED.2013.2246791.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"wires: scheme = {scheme!r}: accepted are {', '.join(SCHEMES)}")
    v = jnp.asarray(v, jnp.result_type(float, v))
    word, bit = (jnp.arange(size) == index for size, index in zip(shape, (row, col), strict=True))
    of_word, of_bit = {"half": (1 / 2, 1 / 2), "third": (1 / 3, 2 / 3)}.get(scheme, (0.0, 0.0))
    other = (jnp.asarray(jnp.inf, v.dtype),) * 2 if scheme == "floating" else (r_source, r_sense)
    return Drive(
        jnp.where(word, v, of_word * v),
        jnp.where(bit, jnp.zeros_like(v), of_bit * v),
        jnp.where(word, jnp.asarray(r_source, v.dtype), jnp.asarray(other[0], v.dtype)),
        jnp.where(bit, jnp.asarray(r_sense, v.dtype), jnp.asarray(other[1], v.dtype)),
    )
