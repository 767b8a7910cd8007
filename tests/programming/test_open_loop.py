"""Trains of pulses without a look: nominal devices arrive, and the counts are those of the closed form."""

import jax
import jax.numpy as jnp
import numpy as np

from memjax import crossbar, devices, programming

EXPONENTIAL = devices.get("exponential")


def test_staircases_are_the_devices_steps():
    params = EXPONENTIAL.Params(step_up=0.02, step_down=0.03)
    stairs = programming.staircase(EXPONENTIAL, params, most=20)
    up, down = 0.0, 1.0
    for k in range(21):
        np.testing.assert_allclose([stairs.up[k], stairs.down[k]], [up, down], rtol=1e-5)
        up, down = up + 0.02 * np.exp(0.5 - up), down - 0.03 * np.exp(down - 0.5)


def test_a_linear_device_needs_the_distance_over_its_step():
    params = EXPONENTIAL.Params(step_up=0.02, step_down=0.025, beta_up=0.0, beta_down=0.0)
    stairs = programming.staircase(EXPONENTIAL, params)
    start, end = jnp.asarray([0.1, 0.5, 0.9, 0.3, 0.0]), jnp.asarray([0.5, 0.5, 0.2, 0.99, 0.99])
    want = [0.4 / 0.02, 0.0, -0.7 / 0.025, 0.69 / 0.02, 49.5]
    np.testing.assert_allclose(programming.pulses_between(stairs, start, end), want, atol=2e-3)


def test_nominal_devices_arrive_within_half_a_step_and_pulses_are_counted():
    """Up and down, from anywhere, in an array of one device model; two stuck ones stay, and cost as much."""
    params = EXPONENTIAL.Params(step_up=0.02, step_down=0.03)
    stairs = programming.staircase(EXPONENTIAL, params)
    rng = np.random.default_rng(0)
    start, end = (jnp.asarray(rng.uniform(0.02, 0.98, (2, 9, 5)), jnp.result_type(float)) for _ in range(2))
    faults = np.zeros((2, 9, 5), np.int8)
    faults[0, 0, 0], faults[1, 3, 2] = 1, -1
    xbar = crossbar.create(EXPONENTIAL, (9, 5), 4, params=params, x=start, faults=faults)
    made, events = jax.jit(programming.open_loop)(stairs, xbar, start, end, 1e-8, None)
    x = (np.asarray(crossbar.conductance(made)) - 1e-6) / 99e-6
    healthy = faults == 0
    half = np.where(np.asarray(end) > np.asarray(start), 0.01, 0.015) * np.exp(0.5)
    assert np.all(np.abs(x - np.asarray(end))[healthy] < half[healthy])
    np.testing.assert_allclose(x[~healthy], [1, 0], atol=1e-6)
    want = np.abs(np.round(np.asarray(programming.pulses_between(stairs, start, end)))).sum()
    assert int(events.pulse) == want


def test_a_device_that_never_arrives_gets_what_the_staircase_has():
    soft = devices.get("soft_bounds")
    stairs = programming.staircase(soft, soft.Params(), most=30)
    n = programming.pulses_between(stairs, jnp.zeros(1), jnp.ones(1))
    np.testing.assert_allclose(n, 30)
