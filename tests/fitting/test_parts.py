"""Transforms, variance components, trends, the state-space split, drift: against closed forms and dense algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import fitting
from memjax.fitting import problem as problems
from memjax.fitting import state_space
from memjax.fitting.data import Retention
from memjax.fitting.problem import Range


def test_the_transform_keeps_to_the_box_and_comes_back(x64):
    ranges = {"r": Range(1e2, 1e6, "ohm"), "v": Range(-1.0, 0.5, "V", log=False)}
    made = problems.create(ranges, lambda values, inputs: values["r"][None], None, [0.0])
    phi = problems.phi_of(made, {"r": 3e3, "v": 0.2})
    np.testing.assert_allclose(problems.natural(made, problems.free(made, phi)), phi, rtol=1e-12)
    for theta in (-80.0, 80.0):
        found = problems.values(made, problems.natural(made, jnp.full(2, theta)))
        assert 1e2 * (1 - 1e-9) <= found["r"] <= 1e6 * (1 + 1e-9)
        assert -1.0 <= found["v"] <= 0.5
    with pytest.raises(ValueError, match=r"bounds of r = \(0.0, 1.0\): .* above 0"):
        problems.create({"r": Range(0.0, 1.0)}, lambda v, i: v, None, [0.0])


def test_components_of_a_balanced_design_are_those_of_the_analysis_of_variance():
    rng = np.random.default_rng(0)
    y = 5.0 + 0.6 * rng.normal(size=(12, 1)) + 0.2 * rng.normal(size=(12, 9))
    found = fitting.components(y.ravel(), np.repeat(np.arange(12), 9))
    within = y.var(axis=1, ddof=1).mean()
    between = y.mean(1).var(ddof=1) - within / 9
    np.testing.assert_allclose(found.c2c.value, np.sqrt(within), rtol=1e-3)
    np.testing.assert_allclose(found.d2d.value, np.sqrt(between), rtol=1e-3)
    np.testing.assert_allclose(found.mean.value, y.mean(), rtol=1e-9)
    assert found.d2d.low < 0.6 < found.d2d.high
    assert found.c2c.low < 0.2 < found.c2c.high


def test_components_find_no_spread_where_there_is_none():
    y = np.random.default_rng(1).normal(size=60)
    found = fitting.components(y, np.tile(np.arange(10), 6))
    assert found.d2d.low == 0.0
    assert found.d2d.value < 0.35
    assert found.d2d.high > found.d2d.value
    with pytest.raises(ValueError, match="10 devices, 1 cycles of one at most"):
        fitting.components(y[:10], np.arange(10))


def test_the_likelihood_is_the_dense_normal_one(x64):
    y = np.random.default_rng(2).normal(size=(2, 12))
    y[1, 9:] = np.nan
    r, q, phi = 0.7, 0.4, 0.8
    expected = 0.0
    for ramp in y:
        n = int(np.isfinite(ramp).sum())
        lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        cov = q**2 / (1 - phi**2) * phi**lag + r**2 * np.eye(n)
        expected += -0.5 * (
            n * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + ramp[:n] @ np.linalg.solve(cov, ramp[:n])
        )
    p = jnp.asarray([np.log(r), np.log(q), np.log(phi / (1 - phi))])
    np.testing.assert_allclose(state_space._log_likelihood(jnp.asarray(y), p, True), expected, rtol=1e-10)


@pytest.mark.parametrize("read, c2c", [(0.1, 0.02), (0.03, 0.03)])
def test_read_noise_and_c2c_noise_come_apart(read, c2c):
    rng = np.random.default_rng(3)
    walk = np.cumsum(c2c * rng.normal(size=(8, 200)), axis=1)
    found = fitting.split(walk + read * rng.normal(size=walk.shape))
    assert found.read_interval[0] < read < found.read_interval[1]
    assert found.c2c_interval[0] < c2c < found.c2c_interval[1]
    assert found.read_interval[1] < 1.3 * found.read_interval[0]


def test_drift_of_a_power_law_is_its_exponent():
    t = np.arange(1.0, 400.0)
    nu = np.array([0.0005, 0.02])
    noise = 1 + 0.01 * np.random.default_rng(4).normal(size=(2, t.size))
    found = fitting.drift(Retention("", "", t, np.array([[1e-4], [2e-5]]) * t ** -nu[:, None] * noise))
    assert ((found.low < nu) & (nu < found.high)).all()
    np.testing.assert_allclose(found.g, [1e-4, 2e-5], rtol=0.01)
    np.testing.assert_allclose(found.sd, 0.01, rtol=0.15)


def test_a_trend_counts_correlated_residuals_as_fewer_points():
    rng = np.random.default_rng(5)
    slopes, inside = [], []
    for _ in range(200):
        e = np.zeros(300)
        for k in range(1, 300):
            e[k] = 0.7 * e[k - 1] + rng.normal()
        found = fitting.trend(np.arange(300.0), 0.01 * np.arange(300) + e).slope
        slopes.append(found.value)
        inside.append(found.low < 0.01 < found.high)
    assert 0.88 < np.mean(inside) < 0.99


def test_jax_is_left_at_its_own_precision():
    fitting.split(np.random.default_rng(0).normal(size=40))
    assert not jax.config.jax_enable_x64 or jnp.zeros(1).dtype == jnp.float64
