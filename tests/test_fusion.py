"""What is kept, or put off, is what was given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax._fusion import after, keep


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_kept_values_are_the_same_bits(shape, dtype, x64):
    x = (np.random.default_rng(0).normal(size=shape) * 1e6).astype(dtype)
    kept = jax.jit(keep)(jnp.asarray(x))
    assert (kept.shape, kept.dtype) == (x.shape, x.dtype)
    np.testing.assert_array_equal(kept, x)


def test_small_and_large_values_do_not_touch_their_neighbours():
    x = jnp.asarray([1e-37, 3e38, -1e-37, -3e38, 1.0], jnp.float32)
    np.testing.assert_array_equal(jax.jit(keep)(x), x)


def test_gradients_pass():
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.sum(keep(x) ** 2))(jnp.arange(3.0)), [0, 2, 4])


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_after_changes_nothing_whatever_comes_first(dtype):
    x = jnp.asarray(np.array([0, 1, 7], dtype))
    for first in (0.0, -3.0, np.inf, np.nan):
        found = jax.jit(after)(x, jnp.full((2, 2), first, jnp.float32))
        np.testing.assert_array_equal(found, x)
        assert found.dtype == dtype
