"""Sampled chips: exact moments, draws keyed by the field's name, and what a wrong seed looks like."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from scipy import stats

from memjax import devices, variation
from memjax.variation import Spread

N = 1 << 20
SHAPE = (2, 1024, 512)


@struct.dataclass
class Params:
    a: float = 2.0
    b: float = -3.0
    c: float = 1e-6


@pytest.mark.parametrize("sigma", [0.05, 0.2, 0.6])
def test_lognormal_has_the_mean_and_the_spread_it_says(sigma):
    values = np.asarray(variation.sample_params(Params(), {"a": sigma}, SHAPE, jax.random.key(0)).a, np.float64) / 2
    assert values.shape == SHAPE
    assert values.min() > 0
    s2 = np.log1p(sigma**2)
    kurtosis = np.exp(4 * s2) + 2 * np.exp(3 * s2) + 3 * np.exp(2 * s2) - 3  # of a lognormal, not in excess of 3
    assert abs(values.mean() - 1) < 5 * sigma / N**0.5
    assert abs(values.var() / sigma**2 - 1) < 5 * np.sqrt((kurtosis - 1) / N)
    sample = np.log(values.ravel()[:200_000])
    assert stats.kstest((sample + s2 / 2) / s2**0.5, "norm").pvalue > 1e-4


def test_normal_has_the_mean_and_the_spread_it_says():
    values = variation.sample_params(Params(), {"b": Spread(0.2, "normal")}, SHAPE, jax.random.key(1)).b
    values = np.asarray(values, np.float64) / -3
    assert abs(values.mean() - 1) < 5 * 0.2 / N**0.5
    assert abs(values.std() / 0.2 - 1) < 5 / np.sqrt(2 * N)
    assert stats.kstest((values.ravel()[:200_000] - 1) / 0.2, "norm").pvalue > 1e-4


def test_normal_is_clipped_before_the_sign_flips():
    sigma = 0.5
    values = variation.sample_params(Params(), {"a": Spread(sigma, "normal")}, SHAPE, jax.random.key(1)).a
    values = np.asarray(values, np.float64) / 2
    np.testing.assert_allclose(values.min(), 0.01, rtol=1e-6)
    share = stats.norm.cdf((0.01 - 1) / sigma)
    clipped = np.mean(values < 0.010001)
    assert abs(clipped - share) < 5 * np.sqrt(share / N)
    # What the docstring promises for the spreads in use.
    assert stats.norm.cdf((0.01 - 1) / 0.3) < 5e-4


def test_a_further_field_does_not_reshuffle_the_others():
    key = jax.random.key(3)
    alone = variation.sample_params(Params(), {"a": 0.2}, (100,), key)
    both = variation.sample_params(Params(), {"c": 0.3, "a": 0.2}, (100,), key)
    np.testing.assert_array_equal(alone.a, both.a)
    assert alone.c == 1e-6
    assert both.b == -3.0
    # Nor does the device's class, nor the other fields' order: the name alone keys the draw.
    soft = devices.get("soft_bounds").Params(step_up=2.0)
    other = devices.get("exponential").Params(step_up=2.0)
    first, second = (variation.sample_params(p, {"step_up": 0.2}, (100,), key).step_up for p in (soft, other))
    np.testing.assert_array_equal(first, second)


def test_fields_and_chips_are_independent():
    spread = {"a": Spread(0.2, "normal"), "b": Spread(0.2, "normal"), "c": Spread(0.2, "normal")}
    chips = [variation.sample_params(Params(), spread, (N // 4,), jax.random.key(seed)) for seed in (0, 1)]
    draws = [(np.asarray(getattr(chip, f)) / getattr(Params(), f) - 1) / 0.2 for chip in chips for f in "abc"]
    correlation = np.corrcoef(draws) - np.eye(6)
    assert np.max(np.abs(correlation)) < 5 / (N // 4) ** 0.5


def test_one_seed_is_one_chip_and_another_seed_another():
    spread = {"a": 0.2, "c": 0.1}
    first, again, other = (variation.sample_params(Params(), spread, SHAPE, jax.random.key(s)) for s in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert np.mean(np.asarray(first.a) == np.asarray(other.a)) < 1e-4
    # Neither polarity nor row repeats another one's draws.
    a = np.asarray(first.a)
    assert np.mean(a[0] == a[1]) < 1e-4
    assert np.mean(a[:, 1:] == a[:, :-1]) < 1e-4


def test_chips_drawn_together_are_the_chips_drawn_alone():
    keys = jax.random.split(jax.random.key(0), 5)

    def chip(key):
        return (
            variation.sample_params(Params(), {"a": Spread(0.2, "normal")}, (4, 6), key),
            variation.sample_stuck((4, 6), 0.1, 0.2, key),
        )

    together, alone = jax.jit(jax.vmap(chip))(keys), jax.jit(chip)
    for i, key in enumerate(keys):
        params, stuck = alone(key)
        np.testing.assert_allclose(together[0].a[i], params.a, rtol=1e-6)
        np.testing.assert_array_equal(together[1][i], stuck)


def test_stuck_shares():
    stuck = np.asarray(variation.sample_stuck(SHAPE, 0.005, 0.02, jax.random.key(0)))
    assert stuck.dtype == np.int8
    for value, share in ((1, 0.005), (-1, 0.02), (0, 0.975)):
        assert abs(np.mean(stuck == value) - share) < 5 * np.sqrt(share * (1 - share) / N), value
    assert not variation.sample_stuck((100,), 0.0, 0.0, jax.random.key(0)).any()
    assert np.all(np.asarray(variation.sample_stuck((1000,), 1.0, 0.0, jax.random.key(0))) == 1)


def test_stuck_devices_do_not_follow_the_spread():
    key = jax.random.key(0)
    stuck = np.asarray(variation.sample_stuck(SHAPE, 0.5, 0.0, key)).ravel()
    a = np.asarray(variation.sample_params(Params(), {"a": 0.2}, SHAPE, key).a).ravel()
    assert abs(np.corrcoef(stuck, a)[0, 1]) < 5 / N**0.5


def test_an_array_may_be_its_own_nominal_device():
    nominal = jnp.asarray([1.0, 10.0, 100.0])
    drawn = variation.sample_params(Params(a=nominal), {"a": 0.1}, (3,), jax.random.key(0)).a
    same = variation.sample_params(Params(a=1.0), {"a": 0.1}, (3,), jax.random.key(0)).a
    np.testing.assert_allclose(drawn / nominal, same, rtol=1e-6)


def test_sigma_zero_is_the_nominal_device_and_sigma_may_be_traced():
    key = jax.random.key(0)
    np.testing.assert_array_equal(variation.sample_params(Params(), {"a": 0.0}, (9,), key).a, 2.0)
    traced = jax.jit(lambda s: variation.sample_params(Params(), {"a": s}, (9,), key).a)(0.2)
    np.testing.assert_allclose(traced, variation.sample_params(Params(), {"a": 0.2}, (9,), key).a, rtol=1e-6)


def test_derivatives_where_the_spread_is_off(x64):
    """At sigma = 0 a lognormal is 1 + sigma xi; a field's white noise has no length yet."""
    key = jax.random.key(4)

    def draw(sigma):
        return variation.factor(Spread(sigma), (3, 4), key)

    np.testing.assert_allclose(jax.jacobian(draw)(0.0), variation.deviate(Spread(0.0), (3, 4), key), rtol=1e-14)
    for covariance in variation.COVARIANCES:

        def loss(length, covariance=covariance):
            return jnp.sum(variation.correlated_field((6, 8), length, key, covariance) ** 3)

        slope = jax.jit(jax.grad(loss))
        assert slope(0.0) == 0
        for length in (1.0, 9.0):  # the second longer than the array, with power that is cut
            apart = (loss(length + 1e-6) - loss(length - 1e-6)) / 2e-6
            np.testing.assert_allclose(slope(length), apart, rtol=1e-4)


def test_float64(x64):
    assert variation.sample_params(Params(), {"a": 0.2}, (9,), jax.random.key(0)).a.dtype == np.float64


@pytest.mark.parametrize(
    "spread, message",
    [
        ({"d": 0.1}, r"no field 'd'; accepted are a, b, c"),
        ({"a": -0.1}, r"sigma of a = -0.1: accepted is 0 or more"),
        ({"a": float("nan")}, r"sigma of a = nan"),
        ({"a": Spread(0.1, "uniform")}, r"distribution of a = 'uniform': accepted is one of lognormal, normal"),
    ],
)
def test_bad_spread(spread, message):
    with pytest.raises(ValueError, match=message):
        variation.sample_params(Params(), spread, (3,), jax.random.key(0))


@pytest.mark.parametrize("on, off", [(-0.1, 0.0), (0.0, -0.1), (0.6, 0.5)])
def test_bad_stuck_shares(on, off):
    with pytest.raises(ValueError, match="add up to at most 1"):
        variation.sample_stuck((3,), on, off, jax.random.key(0))
