"""`metastable_switch` against its closed form and its time constants."""

import jax
import numpy as np
import pytest

from memjax import devices

SWITCH = devices.get("metastable_switch")
PARAMS = SWITCH.Params()
BETA = 1.602176634e-19 / (1.380649e-23 * 298.5)  # 1/V


def closed_form(x, v, t, tau=1e-4, v_on=0.27, v_off=0.27):
    on, off = 1 / (1 + np.exp(-BETA * (v - v_on))), 1 / (1 + np.exp(-BETA * (-v - v_off)))
    settled = on / (on + off)
    return settled + (x - settled) * np.exp(-(on + off) / tau * t)


@pytest.mark.parametrize("v", [1.0, 0.27, 0.1, 0.0, -0.15, -0.6])
def test_constant_voltage_is_exponential(x64, v):
    for t in (1e-6, 1e-4, 0.1, 5.0):
        step = SWITCH.step(PARAMS, SWITCH.init(PARAMS, 0.2), v, t, None)
        np.testing.assert_allclose(step.x, closed_form(0.2, v, t), rtol=1e-12, atol=1e-16)
    many, _ = devices.simulate(SWITCH, PARAMS, SWITCH.init(PARAMS, 0.2), np.full(100, v), 1e-6, record=())
    np.testing.assert_allclose(many.x, closed_form(0.2, v, 1e-4), rtol=1e-12)


def test_relaxes_to_one_half_in_1_8_seconds(x64):
    x0, t = np.array([0.0, 0.9]), np.arange(1, 401) * 0.01
    end, trace = devices.simulate(SWITCH, PARAMS, SWITCH.init(PARAMS, x0), np.zeros(400), 0.01)
    expected = 1e-4 * (1 + np.exp(BETA * 0.27)) / 2
    np.testing.assert_allclose(expected, 1.8, rtol=0.01)
    for n in range(2):
        slope, _ = np.polyfit(t, np.log(np.abs(trace.state.x[:, n] - 0.5)), 1)
        np.testing.assert_allclose(-1 / slope, expected, rtol=1e-9)
    np.testing.assert_allclose(SWITCH.relax(PARAMS, end, 100.0).x, 0.5, rtol=1e-12)


def test_unequal_barriers_settle_by_boltzmanns_factor(x64):
    """Far below the barriers p_on / p_off = exp((v_off - v_on) / V_T), but for terms of exp(-v_on / V_T)."""
    params = PARAMS.replace(v_on=0.25)
    x = SWITCH.relax(params, SWITCH.init(params, 0.0), 1e3).x
    np.testing.assert_allclose(x / (1 - x), np.exp(BETA * 0.02), rtol=1e-4)


def test_steps_of_any_length_stay_finite_in_float32():
    state = SWITCH.init(PARAMS, np.linspace(0, 1, 5))
    for v in (100.0, -100.0):
        np.testing.assert_array_equal(SWITCH.step(PARAMS, state, v, 1e6, None).x, float(v > 0))


@pytest.mark.parametrize("change", [{"temperature": 20.0}, {"v_on": 2.5, "v_off": 2.5}])
def test_in_the_cold_nothing_moves(change):
    """Both probabilities are below the smallest float32: no rate, and no place to settle either."""
    params = SWITCH.Params(**change)
    x, slopes = jax.value_and_grad(lambda x, v: SWITCH.step(params, SWITCH.init(params, x), v, 1e-3, None).x, (0, 1))(
        0.3, 0.0
    )
    np.testing.assert_allclose([x, *slopes], [0.3, 1.0, 0.0], rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tau": -1e-4}, "tau = -0.0001: accepted is more than 0 s"),
        ({"v_off": -0.27}, "v_off = -0.27: accepted is more than 0 V: the size of the barrier"),
        ({"r_on": 2e3}, "r_off = 1500.0: accepted is more than r_on"),
        ({"temperature": 0.0}, "temperature = 0.0: accepted is more than 0 K"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        SWITCH.check(PARAMS.replace(**change))
