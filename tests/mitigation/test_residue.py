"""The residue code: every single error of every column is put right, exhaustively, and what is not is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import periphery
from memjax.mitigation import residue

FLIPS = tuple(2**b for b in range(12))


@pytest.mark.parametrize(
    "columns, errors, low, high, modulus, checks",
    [
        (5, (1,), 0, 3, 15, 2),  # 2 x 7 columns and 0: no residue is left over, the code is perfect
        (32, (1,), -3, 3, None, 3),
        (16, (1, 2, 3), -3, 3, None, 4),
        (16, FLIPS, 0, 3, None, 6),
        (64, FLIPS, -3, 3, None, 4),
    ],
)
def test_every_single_error_of_every_column_is_corrected(columns, errors, low, high, modulus, checks):
    code = residue.design(columns, errors, low=low, high=high)
    assert modulus in (None, code.modulus)
    assert code.checks == checks
    assert code.modulus > 2 * len(errors) * (columns + checks)
    rng = np.random.default_rng(0)
    digits = rng.integers(low, high + 1, (20, columns)).astype(np.int32)
    whole = np.asarray(residue.encode(code, jnp.asarray(digits)))
    np.testing.assert_array_equal(whole[:, :columns], digits)
    assert low <= whole.min()
    assert whole.max() <= high
    y = rng.integers(0, 16, 20) @ whole
    at, e = np.divmod(np.arange(len(code.multipliers) * 2 * len(errors)), 2 * len(errors))
    signed = np.array([*errors, *(-e for e in errors)])[e]
    wrong = np.tile(y, (len(at), 1))
    wrong[np.arange(len(at)), at] += signed
    decoded = jax.jit(partial(residue.decode, code))(jnp.asarray(wrong, jnp.int32))
    np.testing.assert_array_equal(decoded.value, np.tile(y[:columns], (len(at), 1)))
    assert np.all(decoded.detected)
    assert not np.any(decoded.left)
    clean = residue.decode(code, jnp.asarray(y[None], jnp.int32))
    assert not np.any(clean.detected)


def test_the_code_with_powers_of_its_base_is_the_an_code():
    """The digits of a block write a number: with a_j = 4^j it is a multiple of A in Python's own integers."""
    code = residue.Code(19, tuple(4**j % 19 for j in range(8)), 5, (1,), 0, 3)  # 19: 2 x 8 errors and 0 differ
    assert len(set(np.flatnonzero(residue.table(code)[0] >= 0))) == 16
    digits = np.random.default_rng(1).integers(0, 4, (50, 5)).astype(np.int32)
    for row in np.asarray(residue.encode(code, jnp.asarray(digits))):
        assert sum(int(d) * 4**j for j, d in enumerate(row)) % 19 == 0


def test_two_errors_are_detected_or_mistaken_as_counted_by_a_loop():
    code, rng = residue.design(16, (1, 2)), np.random.default_rng(2)
    n = len(code.multipliers)
    errors = np.zeros((3000, n), np.int64)
    for row in errors:
        row[rng.choice(n, 2, replace=False)] = rng.choice([-2, -1, 1, 2], 2)
    decoded = residue.decode(code, jnp.asarray(errors, jnp.int32))
    single = {a * e % code.modulus for a in code.multipliers for e in (-2, -1, 1, 2)}
    s = [sum(a * int(e) for a, e in zip(code.multipliers, row, strict=True)) % code.modulus for row in errors]
    np.testing.assert_array_equal(decoded.detected, [v != 0 for v in s])
    np.testing.assert_array_equal(decoded.left, [v != 0 and v not in single for v in s])
    assert 0.02 < np.mean(np.asarray(decoded.left)) < 0.5


def test_sliced_weights_keep_their_products_through_flipped_bits():
    """With `periphery`: slices of 8-bit weights as blocks, a flipped bit in each, and the product is exact."""
    slicing, rng = periphery.Slicing(8, 2, "differential"), np.random.default_rng(3)
    w, x = rng.integers(-127, 128, (30, 16)), rng.integers(0, 16, (7, 30))
    digits = periphery.slice_weights(jnp.asarray(w, jnp.int32), slicing)
    block = (digits[0] - digits[1]).reshape(30, -1)
    code = residue.design(block.shape[1], FLIPS)
    y = x @ np.asarray(residue.encode(code, block))
    bad = y.copy()
    for row, at, b in zip(bad, rng.integers(0, y.shape[1], 7), rng.integers(0, 12, 7), strict=True):
        row[at] ^= 1 << b
    assert (bad != y).any(1).all()
    value = residue.decode(code, jnp.asarray(bad, jnp.int32)).value
    product = periphery.recombine(value.reshape(7, slicing.slices, 16).astype(jnp.float32), slicing)
    np.testing.assert_array_equal(product, x @ w)


def test_errors_name_what_is_accepted():
    code = residue.design(4)
    np.testing.assert_allclose(code.devices, len(code.multipliers) / 4)
    assert code.table_bits >= code.modulus
    with pytest.raises(ValueError, match="errors of 1 and more"):
        residue.design(4, (0,))
    with pytest.raises(ValueError, match="a modulus below 16384"):
        residue.design(2000, tuple(range(1, 9)))
    with pytest.raises(ValueError, match=r"accepted are integers, \[..., 4\]"):
        residue.encode(code, jnp.zeros((3, 5), jnp.int32))
    with pytest.raises(ValueError, match="read-outs of shape .* type float"):
        residue.decode(code, jnp.zeros((3, len(code.multipliers))))
