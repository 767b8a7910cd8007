"""`sine_drift` against the code and the text of the visual network."""

import jax.numpy as jnp
import numpy as np

from memjax import devices

SINE = devices.get("sine_drift")


def test_matches_the_published_code(x64):
    """N = 5, dt = 0.1, 20 steps of V uniform in [-5, 5], one matrix of voltages a step."""
    rng = np.random.default_rng(0)
    w, voltage = rng.uniform(0.1, 0.9, (5, 5)), rng.uniform(-5, 5, (20, 5, 5))
    params = SINE.Params()
    end, trace = devices.simulate(SINE, params, SINE.init(params, w), voltage, 0.1)
    phi = np.zeros((5, 5))
    for t in range(20):
        i = voltage[t] / (0.1 * w + 10 * (1 - w))
        np.testing.assert_allclose(trace.current[t], i, rtol=1e-12)
        phi += voltage[t] * 0.1
        w = np.clip(w + 0.5 * np.sin(voltage[t]) * 0.1, 0, 1)
        np.testing.assert_allclose(trace.state.w[t], w, rtol=0, atol=1e-14)
        np.testing.assert_allclose(trace.state.phi[t], phi, rtol=0, atol=1e-13)
    r = 1 / np.asarray(devices.conductance(SINE, params, end))
    np.testing.assert_allclose(r, 0.1 * w + 10 * (1 - w), rtol=1e-12)


def test_clips_at_both_ends(x64):
    params = SINE.Params()
    voltage = np.stack([np.full(30, 1.5), np.full(30, -1.5)], 1)
    end, _ = devices.simulate(SINE, params, SINE.init(params, jnp.full(2, 0.5)), voltage, 0.1)
    np.testing.assert_array_equal(end.w, [1.0, 0.0])


def test_is_the_form_of_the_text_while_unclipped(x64):
    """R <- R + alpha sin(V) dt with alpha = -beta (r_off - r_on) = -4.95: the code's positive sin V lowers R."""
    params = SINE.Params()
    voltage = np.random.default_rng(1).uniform(-5, 5, 50)
    _, trace = devices.simulate(SINE, params, SINE.init(params, 0.5), voltage, 0.01)
    w = np.asarray(trace.state.w)
    assert ((w > 0) & (w < 1)).all()
    r = 0.1 * 0.5 + 10 * 0.5 + np.cumsum(-4.95 * np.sin(voltage) * 0.01)
    np.testing.assert_allclose(0.1 * w + 10 * (1 - w), r, rtol=1e-12)


def test_a_positive_voltage_lowers_the_resistance_below_pi_and_raises_it_above():
    params = SINE.Params()
    v = jnp.array([0.1, 1.0, 3.1, 3.2, 6.2])
    new = SINE.step(params, SINE.init(params, jnp.full(5, 0.5)), v, 0.1, None)
    np.testing.assert_array_equal(np.sign(np.asarray(new.w) - 0.5), [1, 1, 1, -1, -1])
