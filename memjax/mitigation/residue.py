"""An arithmetic residue code on digitised columns: a wrong digit of a block is found by its residue, and put right.

Integer weights lie on columns as digits (`periphery.slice_weights`), and what an ADC makes of a column is an integer
y_j = sum_i x_i d_ij, or y_j + e after an error (a flipped bit, e = +-2^b; a level next to the right one, e = +-1).
Every block of n columns has K check columns, with digits of every word line such that

    sum_j a_j d_ij = 0   (mod A)       then for any integer inputs       s = sum_j a_j y_j = 0   (mod A)

and an error of column j makes the syndrome s = a_j e. The multipliers a_j are such that all a_j e, of all columns and
of all errors expected, are different and none is 0: a table of A entries says which column was wrong, and by what.
Syndromes of no single error are detected and left; those of several errors may be among the table's.

With a_j = base^j it is the AN code: the number that the digits write is a multiple of A. Multipliers that are free tell
more columns apart by the same A, and need no carries. A block costs K / n more devices and conversions, with K about
log A / log(values of a digit), and a table of A (log2(n + K) + log2(errors)) bits.

Inputs have to be integers, and devices near enough to their levels that a sum is digitised as the right integer: what
is left of analogue errors after rounding is what is corrected here, one a block.
Sources: Feinberg, Wang and Ipek, HPCA 2018, doi:10.1109/HPCA.2018.00015 (AN codes and correction tables for
memristive arrays); Brown, IRE Trans. Electron. Comput. EC-9, 333 (1960), doi:10.1109/TEC.1960.5219855 (AN codes). The
search is ours.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

MOST = 2**14  # of A: beyond, syndromes of a hundred columns overflow int32


class Code(NamedTuple):
    """A code of one block, all static: A, a multiplier for each column (data first, then checks), errors, digits."""

    modulus: int
    multipliers: tuple[int, ...]
    columns: int
    errors: tuple[int, ...]  # magnitudes, of both signs
    low: int  # smallest and largest digit of a check column
    high: int

    @property
    def checks(self) -> int:
        return len(self.multipliers) - self.columns

    @property
    def devices(self) -> float:
        """Columns that are built relative to those of the data."""
        return len(self.multipliers) / self.columns

    @property
    def table_bits(self) -> int:
        """Bits of the table that the decoder looks syndromes up in."""
        column = math.ceil(math.log2(len(self.multipliers) + 1))
        return self.modulus * (column + math.ceil(math.log2(2 * len(self.errors))))


def design(columns: int, errors: Sequence[int] = (1,), *, low: int = -3, high: int = 3) -> Code:
    """Search the code of a block of `columns` that corrects any one error of the magnitudes `errors`, with least A.

    low, high  digits that check columns hold: of a differential pair of 2-bit devices -3 to 3, of a single one 0 to 3

    Raises ValueError for errors below 1, no column, one digit alone, or where A would exceed 2^14.
    """
    if columns < 1 or high <= low or not errors or min(errors) < 1:
        raise ValueError(
            f"mitigation: a code of {columns} columns, errors {tuple(errors)}, digits {low} to {high}: accepted are "
            "1 column and more, errors of 1 and more, two digits and more"
        )
    errors = tuple(sorted(set(errors)))
    for modulus in range(2 * len(errors) * (columns + 1) + 1, MOST):
        # Digits of b values write every residue as a number of base b. Errors may forbid a base: a flipped bit of one
        # digit of base 4 is one of the next.
        for base in range(high - low + 1, 1, -1):
            checks = [base**k % modulus for k in range(_places(modulus, base))]
            found = _multipliers(modulus, checks, columns, errors)
            if found is not None:
                return Code(modulus, (*found, *checks), columns, errors, low, high)
    raise ValueError(
        f"mitigation: {columns} columns, errors {errors}: accepted is what a modulus below {MOST} tells apart"
    )


def _places(modulus: int, base: int) -> int:
    """Return how many digits of a base it takes to write modulus numbers."""
    places = 1
    while base**places < modulus:
        places += 1
    return places


def _multipliers(modulus: int, checks: list[int], columns: int, errors: tuple[int, ...]) -> list[int] | None:
    """Return a multiplier for each data column, so that all errors of these and the checks' differ; or None."""
    signed, taken, found = np.array([*errors, *(-e for e in errors)]), np.zeros(modulus, bool), []
    if 2 * len(errors) * (columns + len(checks)) >= modulus:
        return None
    taken[0] = True
    for number, a in enumerate(itertools.chain(checks, range(1, modulus))):
        residues = a * signed % modulus
        if taken[residues].any() or len(np.unique(residues)) < len(residues):
            if number < len(checks):
                return None
            continue
        taken[residues] = True
        if number >= len(checks):
            found.append(a)
        if len(found) == columns:
            return found
    return None


def _digits(code: Code) -> np.ndarray:
    """Return the check digits that have each residue [A, K], of those the smallest."""
    own, values = code.multipliers[code.columns :], range(code.low, code.high + 1)
    choices = np.array(list(itertools.product(values, repeat=len(own))), np.int64)
    choices = choices[np.argsort(-np.sum(choices**2, axis=1), kind="stable")]
    digits = np.zeros((code.modulus, len(own)), np.int32)
    digits[choices @ np.array(own) % code.modulus] = choices  # of equal residues the last, which is the smallest
    return digits


def encode(code: Code, digits: Array) -> Array:
    """Add the check columns of a block behind its digits, int32 [..., rows, n] -> [..., rows, n + K].

    Raises ValueError for digits of another type or number of columns.
    """
    if digits.shape[-1] != code.columns or not jnp.issubdtype(digits.dtype, jnp.integer):
        raise ValueError(
            f"mitigation: digits of shape {digits.shape} and type {digits.dtype}: accepted are integers, "
            f"[..., {code.columns}]"
        )
    residue = -_residue(code, digits, code.multipliers[: code.columns]) % code.modulus
    return jnp.concatenate([digits, jnp.asarray(_digits(code))[residue].astype(digits.dtype)], axis=-1)


class Decoded(NamedTuple):
    """Columns of the data [..., n]; whether anything was wrong with the block [...], and whether it is left so."""

    value: Array
    detected: Array
    left: Array


def decode(code: Code, y: Array) -> Decoded:
    """Correct one error in the digitised columns y of a block, integers [..., n + K] -> Decoded.

    Raises ValueError for y of another type or number of columns.
    """
    if y.shape[-1] != len(code.multipliers) or not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(
            f"mitigation: read-outs of shape {y.shape} and type {y.dtype}: accepted are integers, "
            f"[..., {len(code.multipliers)}]"
        )
    columns, errors = map(jnp.asarray, table(code))
    s = _residue(code, y, code.multipliers)
    column = columns[s][..., None]
    place = jnp.arange(code.columns, dtype=jnp.int32).reshape((1,) * (y.ndim - 1) + (-1,))
    wrong = jnp.where(column == place, errors[s][..., None], jnp.zeros((), jnp.int32))
    return Decoded(y[..., : code.columns] - wrong.astype(y.dtype), s != 0, (s != 0) & (column[..., 0] < 0))


def table(code: Code) -> tuple[np.ndarray, np.ndarray]:
    """Return for every syndrome the column that is wrong, or -1, and its error: int32 [A] each."""
    column, error = np.full(code.modulus, -1, np.int32), np.zeros(code.modulus, np.int32)
    for j, a in enumerate(code.multipliers):
        for e in (*code.errors, *(-e for e in code.errors)):
            column[a * e % code.modulus], error[a * e % code.modulus] = j, e
    return column, error


def _residue(code: Code, y: Array, multipliers: tuple[int, ...]) -> Array:
    # Residues first: products of two of them and their sum stay within int32.
    small = y.astype(jnp.int32) % code.modulus
    products = small * jnp.asarray(multipliers, jnp.int32).reshape((1,) * (y.ndim - 1) + (-1,)) % code.modulus
    return jnp.sum(products, axis=-1, dtype=jnp.int32) % code.modulus
