"""Many sampled chips: who gets which key, the same draws for any batch, one compiled program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices, monte_carlo, noise, variation

KEY = jax.random.key(42)


def chip(key):
    params = variation.sample_params(devices.get("soft_bounds").Params(), {"g_max": 0.2}, (3, 4), key)
    return {"g_max": params.g_max, "xi": noise.normal(key, (5,)), "bits": noise.bits(key, (2,)), "one": jnp.ones(())}


def test_chip_i_has_the_key_fold_in_i():
    found = monte_carlo.run(lambda key: jax.random.key_data(key), 5, KEY)
    np.testing.assert_array_equal(found, [jax.random.key_data(jax.random.fold_in(KEY, i)) for i in range(5)])
    np.testing.assert_array_equal(
        jax.random.key_data(monte_carlo.chip_keys(KEY, 2, first=3)),
        [jax.random.key_data(jax.random.fold_in(KEY, i)) for i in (3, 4)],
    )


@pytest.mark.parametrize("n", [1, 65])
def test_draws_do_not_depend_on_the_batch(n):
    everything = monte_carlo.run(chip, n, KEY)
    assert everything["g_max"].shape == (n, 3, 4)
    assert everything["one"].shape == (n,)
    for batch_size in (1, 7, 64, 1000):
        parts = monte_carlo.run(chip, n, KEY, batch_size=batch_size)
        jax.tree.map(np.testing.assert_array_equal, everything, parts)


def test_a_chip_of_many_is_the_chip_alone():
    many, alone = monte_carlo.run(chip, 9, KEY, batch_size=4), jax.jit(chip)
    for i in (0, 3, 8):
        one = alone(jax.random.fold_in(KEY, i))
        jax.tree.map(lambda a, b, i=i: np.testing.assert_array_equal(a[i], b), many, one)


def test_more_chips_begin_with_the_same_ones():
    few, many = (monte_carlo.run(chip, n, KEY, batch_size=5) for n in (6, 13))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:6]), few, many)


def test_chips_share_their_arguments_and_differ_in_their_draws():
    found = monte_carlo.run(lambda key, x, y: x * noise.normal(key, (3,)) + y["b"], 4, KEY, args=(2.0, {"b": 1.0}))
    wanted = [2 * np.asarray(noise.normal(jax.random.fold_in(KEY, i), (3,))) + 1 for i in range(4)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
    assert np.unique(found).size == 12


def test_one_compiled_program_however_many_chips():
    traces = []

    def counted(key):
        traces.append(key.shape)
        return noise.normal(key, (1000,))

    for n in (3, 10, 100):
        traces.clear()
        assert monte_carlo.run(counted, n, KEY, batch_size=3).shape == (n, 1000)
        assert traces == [()]


@pytest.mark.parametrize(
    "n, batch_size, message",
    [(0, None, "n = 0 chips: accepted is at least 1"), (3, 0, "batch_size = 0: accepted is at least 1")],
)
def test_bad_input(n, batch_size, message):
    with pytest.raises(ValueError, match=message):
        monte_carlo.run(chip, n, KEY, batch_size=batch_size)
