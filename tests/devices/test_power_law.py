"""`power_law` against a plain loop, its closed form for small steps, and the two laws it contains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices

pytestmark = pytest.mark.broad

POWER, SOFT = devices.get("power_law"), devices.get("soft_bounds")


def pulse(p, x, v):
    """One pulse on one device, as the source writes it: the step is scaled by (distance to the bound / range)^gamma."""
    s = v / p.v_write
    change = p.step_up * 2**p.p_up * (1 - x) ** p.p_up * s if v > 0 else p.step_down * 2**p.p_down * x**p.p_down * s
    return min(max(x + change, 0.0), 1.0)


def test_matches_a_plain_loop(x64):
    params = POWER.Params(step_up=0.1, step_down=0.2, v_write=2.0, p_up=3.0, p_down=1.5)
    x, rng = np.linspace(0, 1, 6), np.random.default_rng(2)
    voltage = rng.choice([-3.0, -2.0, -0.4, 0.0, 0.4, 2.0, 3.0], (60, 6))
    _, trace = devices.simulate(POWER, params, POWER.init(params, x), voltage, 1e-3, record="state")
    for t in range(60):
        x = np.array([pulse(params, x[n], voltage[t, n]) for n in range(6)])
        np.testing.assert_allclose(trace.state.x[t], x, rtol=1e-12, atol=1e-15)


def test_exponents_zero_and_one_are_the_linear_device_and_soft_bounds(x64):
    state = SOFT.init(SOFT.Params(), np.linspace(0, 1, 9))
    for v in (0.7, -0.7):
        linear = POWER.step(POWER.Params(p_up=0.0, p_down=0.0), state, v, 1e-3, None).x
        np.testing.assert_allclose(linear, np.clip(state.x + v / 64, 0, 1), rtol=1e-14)
        same = POWER.step(POWER.Params(p_up=1.0, p_down=1.0), state, v, 1e-3, None).x
        np.testing.assert_allclose(same, SOFT.step(SOFT.Params(), state, v, 1e-3, None).x, rtol=1e-14)


def test_many_small_pulses_meet_the_closed_form(x64):
    """(1 - x)^(1 - p) = 1 + (p - 1) 2^p step n, the solution of dx/dn = step (2 (1 - x))^p, to first order in step."""
    errors = []
    for n in (1000, 2000):
        params = POWER.Params(step_up=2.0 / n, p_up=3.0)
        end, _ = devices.simulate(POWER, params, POWER.init(params, 0.0), np.ones(n), 1e-3, record=())
        errors.append(abs(float(end.x) - (1 - (1 + 2 * 8 * 2.0) ** -0.5)))
    assert errors[0] < 2e-3
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.02)


def test_refuses_an_exponent_without_a_finite_slope():
    with pytest.raises(ValueError, match=r"p_up = 0.5: accepted is 0 .*or 1 or more"):
        POWER.check(POWER.Params(p_up=0.5))
    with pytest.raises(ValueError, match=r"p_down = -1.0: accepted is 0"):
        POWER.check(POWER.Params(p_down=-1.0))
    slope = jax.grad(lambda x: POWER.step(POWER.Params(p_up=1.0), POWER.init(POWER.Params(), x), 1.0, 1e-3, None).x)
    assert jnp.isfinite(slope(1.0))
