"""`soft_bounds` and `exponential` against plain loops and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices

SOFT, EXPONENTIAL = devices.get("soft_bounds"), devices.get("exponential")


def test_soft_bounds_after_n_pulses(x64):
    params = SOFT.Params(step_up=1 / 20, step_down=1 / 30)
    x0 = np.array([0.0, 0.3, 1.0])
    _, up = devices.simulate(SOFT, params, SOFT.init(params, x0), np.ones(100), 1e-3, record="state")
    _, down = devices.simulate(SOFT, params, SOFT.init(params, x0), -np.ones(100), 1e-3, record="state")
    n = np.arange(1, 101)[:, None]
    np.testing.assert_allclose(up.state.x, 1 - (1 - x0) * (1 - 2 / 20) ** n, rtol=1e-12)
    np.testing.assert_allclose(down.state.x, x0 * (1 - 2 / 30) ** n, rtol=1e-12, atol=1e-16)


def pulse(name, p, x, v):
    """One pulse on one device, as the papers write it."""
    s = abs(v) / p.v_write
    if v == 0:
        return x
    if name == "soft_bounds":
        change = 2 * p.step_up * (1 - x) * s if v > 0 else -2 * p.step_down * x * s
    else:
        # dG+ = alpha+ exp(-beta+ (G - G_min) / (G_max - G_min)), and dG- its mirror in G_max - G
        g = p.g_min + (p.g_max - p.g_min) * x
        rise, fall = (g - p.g_min) / (p.g_max - p.g_min), (p.g_max - g) / (p.g_max - p.g_min)
        up = p.step_up * np.exp(p.beta_up / 2) * np.exp(-p.beta_up * rise)
        down = p.step_down * np.exp(p.beta_down / 2) * np.exp(-p.beta_down * fall)
        change = up * s if v > 0 else -down * s
    return min(max(x + change, 0.0), 1.0)


@pytest.mark.parametrize(
    "name, params",
    [
        ("soft_bounds", SOFT.Params(step_up=0.1, step_down=0.2, v_write=2.0)),
        ("exponential", EXPONENTIAL.Params(step_up=0.1, step_down=0.2, v_write=2.0, beta_up=3.0, beta_down=0.5)),
        ("exponential", EXPONENTIAL.Params(step_up=0.2, beta_up=0.0)),
    ],
)
def test_matches_a_plain_loop(x64, name, params):
    device, rng = devices.get(name), np.random.default_rng(2)
    x = np.linspace(0, 1, 6)
    voltage = rng.choice([-3.0, -2.0, -0.4, 0.0, 0.4, 2.0, 3.0], (80, 6))
    _, trace = devices.simulate(device, params, device.init(params, x), voltage, 1e-3)
    for t in range(80):
        i = [(params.g_min + (params.g_max - params.g_min) * x[n]) * voltage[t, n] for n in range(6)]
        np.testing.assert_allclose(trace.current[t], i, rtol=1e-12)
        x = np.array([pulse(name, params, x[n], voltage[t, n]) for n in range(6)])
        np.testing.assert_allclose(trace.state.x[t], x, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("device", [SOFT, EXPONENTIAL], ids=lambda device: device.name)
def test_the_named_step_is_the_step_at_mid_range(x64, device):
    params = device.Params(step_up=1 / 50, step_down=1 / 40)
    state = device.init(params, 0.5)
    np.testing.assert_allclose(device.step(params, state, 1.0, 1e-3, None).x, 0.5 + 1 / 50, rtol=1e-15)
    np.testing.assert_allclose(device.step(params, state, -1.0, 1e-3, None).x, 0.5 - 1 / 40, rtol=1e-15)
    ten = device.step(params, state, 10.0, 1e-3, None)  # the scale is linear: ten write voltages, ten steps at once
    np.testing.assert_allclose(ten.x, 0.5 + 10 / 50, rtol=1e-15)
    other = device.step(params, state, 1.0, 1e9, None)  # one pulse a step, whatever dt is
    np.testing.assert_array_equal(other.x, device.step(params, state, 1.0, 1e-9, None).x)


def test_the_two_laws_differ_at_the_bound(x64):
    """Soft bounds stop there, the exponential law runs into it."""
    near = 1 - 1e-3
    soft, exponential = SOFT.Params(), EXPONENTIAL.Params()
    assert SOFT.step(soft, SOFT.init(soft, near), 1.0, 1e-3, None).x < 1
    assert EXPONENTIAL.step(exponential, EXPONENTIAL.init(exponential, near), 1.0, 1e-3, None).x == 1


def test_the_hot_step_holds_no_branch():
    """Training spends its writes here: one pass of elementwise work, no control flow, one exponential at most."""
    for device, exps in ((SOFT, 0), (EXPONENTIAL, 1)):
        state = device.init(device.Params(), jnp.full((2, 4, 8), 0.5))
        jaxpr = jax.make_jaxpr(device.step)(device.Params(), state, jnp.ones((2, 4, 8)), 1e-3, None)
        text = str(jaxpr)
        assert "cond" not in text
        assert "while" not in text
        assert text.count(" exp ") == exps
