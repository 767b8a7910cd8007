"""Designs: the same points everywhere, the distributions asked for, and errors that fall as theory says."""

import hashlib
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from memjax import designs
from memjax.designs import LogNormal, Normal, Truncated, Uniform

KEY = jax.random.key(7)
QUANTITIES = {
    "d2d": Uniform(0.0, 0.4),
    "tau": LogNormal(2e-3, 0.5),
    "offset": Truncated(Normal(0.0, 1e-3), -2e-3, 1e-3),
}


def digest(kind):
    return hashlib.sha256(designs.points(64, 5, KEY, kind).tobytes()).hexdigest()


def test_another_process_with_other_devices_and_x64_draws_the_same_points():
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_designs as t; "
    code += "print(*(t.digest(kind) for kind in t.designs.KINDS))"
    set_otherwise = {"JAX_ENABLE_X64": "1", "XLA_FLAGS": "--xla_force_host_platform_device_count=3"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **set_otherwise}
    )
    assert done.stdout.split() == [digest(kind) for kind in designs.KINDS]


@pytest.mark.parametrize("kind", designs.KINDS)
def test_points_are_of_the_open_cube_and_of_their_key(kind):
    u = designs.points(256, 3, KEY, kind)
    assert u.dtype == np.float64
    assert u.shape == (256, 3)
    assert 0 < u.min() < u.max() < 1
    np.testing.assert_array_equal(u, designs.points(256, 3, KEY, kind))
    assert not np.isin(u, designs.points(256, 3, jax.random.key(8), kind)).any()
    # Columns are not each other's: |r| < 4 / sqrt(n) for independent ones.
    assert np.abs(np.corrcoef(u.T) - np.eye(3)).max() < 4 / 16


@pytest.mark.parametrize("kind", ["independent", "sobol"])
def test_a_longer_design_begins_with_the_shorter_one(kind):
    np.testing.assert_array_equal(designs.points(32, 4, KEY, kind), designs.points(128, 4, KEY, kind)[:32])


@pytest.mark.parametrize("kind, n", [("latin_hypercube", 100), ("sobol", 128)])
def test_every_stratum_has_one_point(kind, n):
    u = designs.points(n, 6, KEY, kind)
    np.testing.assert_array_equal(np.sort((u * n).astype(int), axis=0), np.arange(n)[:, None].repeat(6, axis=1))


def test_sobol_points_fill_every_elementary_box_of_a_pair():
    """The first two coordinates are a (0, m, 2)-net: every box 2^-a x 2^-(m - a) has one of the 2^m points."""
    u = designs.points(64, 2, KEY, "sobol")
    for a in range(7):
        boxes = (u * [2**a, 2 ** (6 - a)]).astype(int)
        assert len(np.unique(boxes, axis=0)) == 64


@pytest.mark.parametrize("kind", designs.KINDS)
def test_quantities_have_their_distributions(kind):
    n = 4096
    drawn = designs.design(QUANTITIES, n, KEY, kind)
    assert list(drawn) == list(QUANTITIES)
    assert all(x.shape == (n,) and x.dtype == jnp.result_type(float) for x in drawn.values())
    s = np.sqrt(np.log(1.25))
    reference = {
        "d2d": stats.uniform(0, 0.4),
        "tau": stats.lognorm(s, scale=2e-3 * np.exp(-(s**2) / 2)),
        "offset": stats.truncnorm(-2, 1, 0, 1e-3),
    }
    for name, distribution in reference.items():
        # Float32 rounds the ends: the same distribution to the resolution of n points.
        assert stats.kstest(drawn[name].astype(float), distribution.cdf).statistic < 1.63 / np.sqrt(n)  # 1 % level
    assert drawn["tau"].mean() == pytest.approx(2e-3, rel=4 * 0.5 / np.sqrt(n))


def test_lognormal_has_the_mean_and_the_relative_deviation_it_names():
    x = LogNormal(3.0, 0.4).ppf(designs.points(2**14, 1, KEY, "sobol")[:, 0])
    assert x.mean() == pytest.approx(3.0, rel=1e-3)
    assert x.std() == pytest.approx(1.2, rel=1e-2)


def test_truncation_far_in_a_tail():
    """Beyond 9 standard deviations F is 1 in float64; the mean there is Mills' ratio, 9 + 1 / 9 - 2 / 9^3 + ..."""
    x = Truncated(Normal(0.0, 1.0), 9.0).ppf(designs.points(2**12, 1, KEY, "sobol")[:, 0])
    assert x.min() >= 9.0
    assert x.mean() == pytest.approx(stats.norm.pdf(9.0) / stats.norm.sf(9.0), rel=1e-5)
    y = Truncated(LogNormal(1.0, 0.2), 0.9, 1.1).ppf(np.linspace(0.0, 1.0, 11))
    np.testing.assert_allclose(y[[0, -1]], [0.9, 1.1], rtol=1e-12)


def test_a_distribution_of_scipy_is_one():
    drawn = designs.design({"rate": stats.loguniform(1e-6, 1e-2)}, 64, KEY, "latin_hypercube")["rate"]
    counts, _ = np.histogram(np.log10(drawn), bins=4, range=(-6, -2))
    np.testing.assert_array_equal(counts, 16)


@pytest.mark.parametrize("kind", ["independent", "latin_hypercube"])
def test_a_further_quantity_leaves_the_others_as_they_were(kind):
    few = designs.design(QUANTITIES, 50, KEY, kind)
    more = designs.design({"first": Normal(0.0, 1.0), **QUANTITIES}, 50, KEY, kind)
    for name in QUANTITIES:
        np.testing.assert_array_equal(few[name], more[name])


def test_standard_normal_numbers_become_quantities():
    z = np.array([[-6.0, 0.0, 0.0], [0.0, 6.0, 5.0]])
    quantities = {"a": Normal(1.0, 2.0), "b": LogNormal(1.0, 0.1), "c": Uniform(0.0, 2.0)}
    got = designs.from_normal(quantities, z)
    np.testing.assert_allclose(got["a"], [-11.0, 1.0], rtol=1e-6)
    s = np.sqrt(np.log1p(0.01))
    np.testing.assert_allclose(got["b"], np.exp([-(s**2) / 2, 6 * s - s**2 / 2]), rtol=1e-6)
    np.testing.assert_allclose(got["c"], [1.0, 2 * stats.norm.cdf(5.0)], rtol=1e-6)


# --- errors of a mean -------------------------------------------------------------------------------------------------


def errors(f, exact, kind, n, d, repetitions):
    return np.array([f(designs.points(n, d, jax.random.key(k), kind)).mean() - exact for k in range(repetitions)])


def test_a_latin_hypercube_keeps_the_variance_of_interactions_alone():
    """f = x1 + x2^2 + 3 (x1 - 1/2)(x2 - 1/2): its additive part has variance 1/12 + 4/45, its interaction 9 / 144."""

    def f(u):
        return u[:, 0] + u[:, 1] ** 2 + 3 * (u[:, 0] - 0.5) * (u[:, 1] - 0.5)

    additive, interaction, n, repetitions = 1 / 12 + 4 / 45, 9 / 144, 64, 600
    for kind, variance in (("independent", additive + interaction), ("latin_hypercube", interaction)):
        measured = n * np.mean(errors(f, 5 / 6, kind, n, 2, repetitions) ** 2)
        # A variance of 600 errors has a standard deviation of sqrt(2 / 600) = 6 %; Stein's result holds up to o(1 / n).
        assert measured == pytest.approx(variance, rel=0.18), kind


def test_errors_of_a_smooth_mean_fall_as_theory_says():
    """exp(x1 + x2 / 2): rms errors ~ n^-1/2 from independent draws, n^-3/2 (log n)^((d - 1) / 2) from Sobol points."""

    def f(u):
        return np.exp(u[:, 0] + 0.5 * u[:, 1])

    exact = (np.e - 1) * 2 * (np.sqrt(np.e) - 1)
    n = np.array([32, 128, 512, 2048])
    rms, slope = {}, {}
    for kind, rate in (("independent", np.ones(4)), ("sobol", np.sqrt(np.log(n)))):
        rms[kind] = np.array([np.sqrt(np.mean(errors(f, exact, kind, m, 2, 150) ** 2)) for m in n])
        slope[kind] = np.polyfit(np.log(n), np.log(rms[kind] / rate), 1)[0]
    # The slopes' standard deviations are 0.03 and 0.09 (by resampling): errors of Sobol points have heavy tails.
    assert slope["independent"] == pytest.approx(-0.5, abs=0.1)
    assert slope["sobol"] == pytest.approx(-1.5, abs=0.25)
    assert rms["sobol"][-1] < rms["independent"][-1] / 500


# --- wrong input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: designs.points(10, 2, KEY, "halton"), "kind = 'halton': accepted is one of independent, latin"),
        (lambda: designs.points(0, 2, KEY), "0 points in 2 dimensions: accepted is at least 1"),
        (lambda: designs.points(1000, 2, KEY, "sobol"), "n = 1000 .*powers of 2, as 512 and 1024"),
        (lambda: designs.design({}, 10, KEY), "no quantities"),
        (lambda: designs.design({"a": 3.0}, 10, KEY), "a = 3.0: accepted are Uniform"),
        (lambda: designs.design({"a": Uniform(1.0, 0.0)}, 10, KEY), "a = Uniform.*low <= high"),
        (lambda: designs.design({"a": Normal(0.0, -1.0)}, 10, KEY), "sd >= 0"),
        (lambda: designs.design({"a": LogNormal(0.0, 1.0)}, 10, KEY), "a mean above 0"),
        (lambda: designs.design({"a": Truncated(Normal(0.0, 1.0), 2.0, 1.0)}, 10, KEY), "low < high"),
        (lambda: designs.design({"a": Truncated(Uniform(0.0, 1.0), 0.0, 1.0)}, 10, KEY), "to truncate"),
        (lambda: designs.points(8, 2, jnp.zeros(2, jnp.uint32), "sobol"), "typed key"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
