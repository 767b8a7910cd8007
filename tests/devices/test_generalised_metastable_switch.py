"""`generalised_metastable_switch` against its closed form, and where it is the plain switch."""

import numpy as np
import pytest

from memjax import devices

SWITCH, PLAIN = devices.get("generalised_metastable_switch"), devices.get("metastable_switch")
THERMAL = 1.380649e-23 * 298.5 / 1.602176634e-19  # V
ONE_BARRIER = SWITCH.Params(
    tau=1e-4, v_on=0.3, v_off=0.2, s_on=0.03, s_off=0.04, w_on=0.0, w_off=0.0, r_on=500.0, r_off=5e3
)


def s(u):
    return 1 / (1 + np.exp(-u))


@pytest.mark.parametrize("v", [0.6, 0.3, -0.2, -0.7])
def test_one_barrier_is_exponential_for_any_step(x64, v):
    for t in (1e-6, 1e-4, 1e-2):
        up = s((v - 0.3) / 0.03) - s(-0.3 / 0.03) if v > 0 else 0.0
        down = s((-v - 0.2) / 0.04) - s(-0.2 / 0.04) if v < 0 else 0.0
        expected = 1 - 0.7 * np.exp(-up * t / 1e-4) if v > 0 else 0.3 * np.exp(-down * t / 1e-4)
        x = SWITCH.step(ONE_BARRIER, SWITCH.init(ONE_BARRIER, 0.3), v, t, None).x
        np.testing.assert_allclose(x, expected, rtol=1e-12)


def test_above_its_barriers_it_is_the_metastable_switch(x64):
    """The plain switch moves both ways at rest too: apart by exp(-v_off / V_T) = 4e-4 and less."""
    plain = PLAIN.Params(tau=1e-4, v_on=0.3, v_off=0.2, r_on=500.0, r_off=5e3)
    ours = ONE_BARRIER.replace(s_on=THERMAL, s_off=THERMAL, b=1e-6)
    for v in (0.5, -0.5):
        a = PLAIN.step(plain, PLAIN.init(plain, 0.4), v, 5e-5, None)
        b = SWITCH.step(ours, SWITCH.init(ours, 0.4), v, 5e-5, None)
        np.testing.assert_allclose(b.x, a.x, rtol=4e-4)
        np.testing.assert_allclose(SWITCH.current(ours, b, v), PLAIN.current(plain, a, v), rtol=4e-4)


def test_the_spread_of_barriers_makes_the_way_on_logarithmic_in_time(x64):
    """Below its barriers dx/dt = (1 - x) exp((v - v_on - w x) / s) / tau: x grows as (s / w) ln t while x << 1."""
    params = ONE_BARRIER.replace(w_on=3.0)
    slow, share = 1e-4 * np.exp(0.1 / 0.03), 0.03 / 3.0  # x = share ln(1 + t / (slow share))
    x, t = [], slow * share * np.array([10.0, 100.0, 1000.0])
    for end in t:
        state, _ = devices.simulate(
            SWITCH, params, SWITCH.init(params, 0.0), np.full(20000, 0.2), end / 20000, record=()
        )
        x.append(float(state.x))
    np.testing.assert_allclose(x, share * np.log1p(t / (slow * share)), rtol=0.03)


def test_nothing_moves_at_rest_and_it_is_pinched():
    params = SWITCH.Params()
    state = SWITCH.init(params, np.linspace(0, 1, 5))
    np.testing.assert_array_equal(SWITCH.step(params, state, 0.0, 1e9, None).x, state.x)
    np.testing.assert_array_equal(SWITCH.current(params, state, 0.0), 0.0)
