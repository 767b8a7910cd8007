"""`wox` against the closed form of its linear equation, and its time constant at rest."""

import numpy as np
import pytest

from memjax import devices

WOX = devices.get("wox")
PARAMS = WOX.Params()


def test_relaxes_in_2_22_seconds(x64):
    """A fit of the simulated decay: tau / lambda, not the tau = 10 s that the equation writes."""
    t = np.arange(1, 501) * 0.02
    _, trace = devices.simulate(WOX, PARAMS, WOX.init(PARAMS, 0.8), np.zeros(500), 0.02)
    slope, start = np.polyfit(t, np.log(trace.state.w), 1)
    np.testing.assert_allclose(-1 / slope, 10 / 4.5, rtol=1e-9)
    np.testing.assert_allclose(-1 / slope, 2.22, rtol=1e-2 / 9)
    np.testing.assert_allclose(np.exp(start), 0.8, rtol=1e-9)


@pytest.mark.parametrize("v", [0.9, 0.5, -0.2, 1.5, -2.0])
def test_constant_voltage_is_exponential_until_the_bound(x64, v):
    """Against fine Euler steps with Richardson's extrapolation, clipped: no closed form in the reference."""

    def euler(n):
        w = 0.3
        for _ in range(n):
            w = min(max(w + 0.7 / n * 4.5 * (0.004 * np.sinh(4 * v) - w / 10), 0.0), 1.0)
        return w

    expected = 2 * euler(8000) - euler(4000)
    one = WOX.step(PARAMS, WOX.init(PARAMS, 0.3), v, 0.7, None)
    np.testing.assert_allclose(one.w, expected, atol=2e-8)
    many, _ = devices.simulate(WOX, PARAMS, WOX.init(PARAMS, 0.3), np.full(70, v), 0.01, record=())
    np.testing.assert_allclose(many.w, one.w, rtol=1e-13)


def test_current_is_the_sum_of_both_paths(x64):
    v = np.linspace(-1.5, 1.5, 13)
    for w in (0.0, 0.4, 1.0):
        expected = (1 - w) * 0.5e-6 * (1 - np.exp(-0.5 * v)) + w * 4e-6 * np.sinh(2 * v)
        np.testing.assert_allclose(WOX.current(PARAMS, WOX.init(PARAMS, w), v), expected, rtol=1e-12, atol=1e-22)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tau": -10.0}, "tau = -10.0: accepted is more than 0 s"),
        ({"lam": 0.0}, "lam = 0.0: accepted is more than 0"),
        ({"eta2": -4.0}, "eta2 = -4.0: accepted is more than 0 1/V"),
        ({"delta": 0.01}, "delta = 0.01: accepted is more than alpha beta / gamma"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        WOX.check(PARAMS.replace(**change))
