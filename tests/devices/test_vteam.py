"""`vteam` against its closed form under constant voltage, in the paper's own variables and signs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices

VTEAM = devices.get("vteam")
PARAMS = VTEAM.Params()


def paper(w, v, t):
    """Return w(t) [m] of eq. 5 without window, at the paper's voltage v held from 0 to t, held inside [0, D]."""
    k_on, k_off, v_on, v_off, d = -216.2, 0.091, -1.5, 0.3, 3e-9
    slope = k_on * (v / v_on - 1) ** 4 if v < v_on else k_off * (v / v_off - 1) ** 4 if v > v_off else 0.0
    return min(max(w + slope * t, 0.0), d)


@pytest.mark.parametrize("v", [2.0, 1.6, 1.5, 0.7, 0.0, -0.3, -0.31, -1.0, -2.0])
def test_constant_voltage_is_linear_in_time(x64, v):
    """One step and a thousand, short of the bound and past it, to 1e-9 and better."""
    for t in (1e-12, 2e-11, 3e-10, 1e-6):
        x = 1 - paper(0.7 * 3e-9, -v, t) / 3e-9
        one = VTEAM.step(PARAMS, VTEAM.init(PARAMS, 0.3), v, t, None)
        np.testing.assert_allclose(one.x, x, rtol=1e-12, atol=1e-15)
    many, trace = devices.simulate(VTEAM, PARAMS, VTEAM.init(PARAMS, 0.3), np.full(1000, v), 1e-12)
    path = 1 - np.array([paper(0.7 * 3e-9, -v, n * 1e-12) for n in range(1, 1001)]) / 3e-9
    np.testing.assert_allclose(trace.state.x, path, rtol=1e-9)
    np.testing.assert_allclose(trace.current[-1], v / (1e3 * path[-2] + 300e3 * (1 - path[-2])), rtol=1e-9)


def test_switching_times(x64):
    """About 1 ns at 2 V: the docstring's numbers."""
    for v, x, time in [(2.0, 0.0, 1.124e-9), (-2.0, 1.0, 32e-12), (1.55, 0.0, 11.2e-6)]:
        assert abs(float(VTEAM.step(PARAMS, VTEAM.init(PARAMS, x), v, time * 0.98, None).x) - x) < 1
        assert abs(float(VTEAM.step(PARAMS, VTEAM.init(PARAMS, x), v, time * 1.02, None).x) - x) == 1


def test_gradient_is_finite_at_the_threshold_for_any_exponent(x64):
    def end(v, alpha):
        p = PARAMS.replace(alpha_on=alpha, alpha_off=alpha)
        return VTEAM.step(p, VTEAM.init(p, 0.5), v, 1e-13, None).x

    grads = [jax.grad(end, (0, 1))(v, alpha) for v in (1.5, -0.3, 1.0) for alpha in (0.5, 4.0)]
    np.testing.assert_array_equal(grads, 0.0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"v_on": -1.5}, r"v_on = -1.5: accepted is more than 0 V \(the paper's -v_on\)"),
        ({"v_off": 0.3}, r"v_off = 0.3: accepted is less than 0 V"),
        ({"k_on": -216.2}, r"k_on = -216.2: accepted is more than 0 m/s \(the paper's -k_on\)"),
        ({"r_on": 1e6}, "r_off = 300000.0: accepted is more than r_on"),
        ({"r_off": jnp.array([3e5, 1e2])}, "r_off = 100.0: accepted is more than r_on"),
        ({"d": 0.0}, "d = 0.0: accepted is more than 0 m"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        VTEAM.check(PARAMS.replace(**change))
