"""Prony series against the laws that they stand for, and against their integral representation."""

import numpy as np
import pytest
from scipy import integrate, special

from memjax import prony

T = np.geomspace(1e-3, 1e3, 997)  # other times than those of the fit


def largest(fitted, y):
    return np.abs(fitted / y - 1).max()


@pytest.mark.parametrize("a, error", [(0.05, 1e-8), (0.3, 1e-7), (0.7, 1e-6), (1.5, 1e-5)])
def test_power_law(a, error):
    series = prony.power_law(a, 1e-3, 1e3)
    assert series.error < error
    assert largest(prony.evaluate(series, T), T**-a) <= series.error * 1.05  # stated, and true between its own times
    assert min(series.c) > 0
    assert list(series.tau) == sorted(series.tau)


@pytest.mark.parametrize(
    "b, modes_per_decade, error", [(0.3, 4, 1e-7), (0.5, 4, 1e-6), (0.8, 8, 1e-6), (1.0, 4, 1e-12)]
)
def test_stretched_exponential(b, modes_per_decade, error):
    series = prony.stretched_exponential(2.0, b, 1e-2, 20.0, modes_per_decade=modes_per_decade)
    t = np.geomspace(1e-2, 20.0, 331)
    assert series.error < error
    assert largest(prony.evaluate(series, t), np.exp(-((t / 2.0) ** b))) <= max(series.error * 1.05, 1e-13)


def test_an_exponential_is_one_mode_of_its_own_time_constant():
    assert prony.stretched_exponential(2.0, 1.0, 1e-2, 30.0, amplitude=0.5) == ((2.0,), (0.5,), 0.0)
    series = prony.fit(np.geomspace(2e-2, 20.0, 99), 0.5 * np.exp(-np.geomspace(2e-2, 20.0, 99) / 2.0))
    np.testing.assert_allclose((series.tau, series.c), ([2.0], [0.5]), rtol=1e-12)


def test_a_constant_is_the_mode_that_stays():
    series = prony.fit(T, np.full_like(T, 3.0))
    np.testing.assert_allclose(prony.evaluate(series, T), 3.0, rtol=1e-12)
    assert series.tau[-1] == np.inf


def test_more_modes_are_closer():
    errors = [prony.power_law(0.5, 1e-2, 1e2, modes_per_decade=m).error for m in (1, 2, 3)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


def test_weights_follow_the_rate_distribution_of_a_power_law():
    """t^-a = int p(r) exp(-r t) dr with p(r) = r^(a-1) / Gamma(a): a mode holds the share of its interval of ln r."""
    a, spacing = 0.4, 4.0
    series = prony.power_law(a, 1e-3, 1e3, modes_per_decade=spacing)
    tau, c = np.array(series.tau), np.array(series.c)
    inside = (tau > 1e-2) & (tau < 1e2)
    expected = tau**-a / special.gamma(a) * np.log(10) / spacing
    np.testing.assert_allclose(c[inside], expected[inside], rtol=1e-2)
    whole, _ = integrate.quad(lambda x: np.exp(a * x - np.exp(x)) / special.gamma(a), -80, 10, epsabs=1e-12)
    np.testing.assert_allclose(prony.evaluate(series, 1.0), whole, rtol=1e-6)


def test_and_back():
    law = prony.to_power_law(prony.power_law(0.3, 1e-3, 1e3, amplitude=2.5), 1e-3, 1e3)
    np.testing.assert_allclose(law[:2], (2.5, 0.3), rtol=1e-6)
    series = prony.stretched_exponential(0.5, 0.6, 1e-3, 5.0, amplitude=0.1, modes_per_decade=6)
    law = prony.to_stretched_exponential(series, 1e-3, 5.0)
    np.testing.assert_allclose(law[:3], (0.1, 0.5, 0.6), rtol=1e-5)
    assert law.error < 1e-5
    # One decay is no power law, and the fit says so.
    assert prony.to_power_law(prony.Series((1.0,), (1.0,), 0.0), 1e-2, 10.0).error > 1


def test_effective_exponent():
    t = np.geomspace(1e-2, 1e2, 9)
    np.testing.assert_allclose(prony.effective_exponent(prony.power_law(0.3, 1e-3, 1e3), t), 0.3, rtol=1e-5)
    series = prony.stretched_exponential(2.0, 0.5, 1e-3, 20.0)
    np.testing.assert_allclose(prony.effective_exponent(series, t[t < 10]), 0.5 * (t[t < 10] / 2.0) ** 0.5, rtol=1e-4)
    assert prony.effective_exponent(prony.Series((2.0,), (5.0,), 0.0), 3.0) == pytest.approx(1.5)


def test_fit_to_noisy_samples_states_its_error():
    rng = np.random.default_rng(0)
    y = (0.7 * np.exp(-T / 0.05) + 0.3) * (1 + 0.01 * rng.standard_normal(T.size))
    series = prony.fit(T, y)
    assert 0.01 < series.error < 0.06
    np.testing.assert_allclose(prony.evaluate(series, 1e3), 0.3, rtol=0.01)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: prony.power_law(0, 1, 2), "a = 0: accepted is more than 0"),
        (lambda: prony.power_law(0.5, 2, 1), "t_min = 2, t_max = 1: accepted is 0 < t_min < t_max"),
        (lambda: prony.power_law(0.5, 1, 2, amplitude=-1), "amplitude = -1: accepted is more than 0"),
        (lambda: prony.power_law(0.5, 1, 2, modes_per_decade=0), "modes_per_decade = 0: accepted is more than 0"),
        (lambda: prony.stretched_exponential(1, 1.2, 1, 2), "b = 1.2: accepted is more than 0, at most 1"),
        (lambda: prony.stretched_exponential(-1, 0.5, 1, 2), "tau = -1: accepted is more than 0 s"),
        (lambda: prony.stretched_exponential(1, 0.9, 1, 1e4), "t_max = 10000.0: the law has died out there"),
        (lambda: prony.fit([1.0, 2.0], [1.0]), r"t has shape \(2,\) and y \(1,\): accepted are two of the same shape"),
        (lambda: prony.fit([2.0, 1.0], [1.0, 1.0]), "accepted are times above 0 s in ascending order"),
        (lambda: prony.fit([1.0, 2.0], [1.0, 0.0]), "accepted are finite values above 0"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
