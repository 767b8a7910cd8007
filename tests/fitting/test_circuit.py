"""The measuring circuit against closed forms and against `devices.simulate` at small steps."""

import jax
import jax.numpy as jnp
import numpy as np

from memjax import devices
from memjax.fitting.circuit import respond

OHMIC = devices.get("soft_bounds")  # holds still at any voltage where its step is 0
PARAMS = OHMIC.Params(g_min=0.0, g_max=1e-3, step_up=0.0, step_down=0.0)


def test_a_resistor_divides_the_voltage(x64):
    drive = jnp.array([0.0, 0.3, -0.6, 0.9])
    found = respond(OHMIC, PARAMS, OHMIC.init(PARAMS, 0.5), drive, jnp.full(3, 1e-3), 3e3, 0.0)
    np.testing.assert_allclose(found.voltage, drive / (1 + 3e3 * 0.5e-3), rtol=1e-7)
    np.testing.assert_allclose(found.current, drive / (3e3 + 2e3), rtol=1e-7)


def test_a_capacitance_charges_exponentially(x64):
    """A step of the drive: v goes to its end with tau = C / (1/R + g), within the first order of implicit Euler."""
    tau = 1e-9 / (1 / 1e4 + 0.5e-3)
    drive, dt = jnp.ones(61).at[0].set(0.0), jnp.full(60, tau / 20)
    error = []
    for substeps in (4, 8):
        found = respond(OHMIC, PARAMS, OHMIC.init(PARAMS, 0.5), drive, dt, 1e4, 1e-9, substeps=substeps)
        # The drive rises over the first sample: the answer of a ramp, then of a constant.
        t = np.arange(1, 61) * tau / 20
        late = np.maximum(t - tau / 20, 0)
        expected = (t - late - tau * (np.exp(-late / tau) - np.exp(-t / tau))) / (tau / 20) / 6
        error.append(float(np.abs(found.voltage[1:] - expected).max()))
    assert error[0] < 2e-3
    np.testing.assert_allclose(error[0] / error[1], 2.0, rtol=0.1)


def test_it_converges_to_simulate_where_the_resistor_limits_the_current(x64):
    device = devices.get("metastable_switch")
    params = device.Params(tau=5e-4, v_on=0.29, v_off=0.11, r_on=2360.0, r_off=121e3, temperature=231.0)
    u, fine = 0.8 * np.sin(2 * np.pi * np.arange(201) / 200), 400
    start = device.init(params, 0.01)
    drive = np.interp(np.arange(200 * fine) / fine, np.arange(201), u)
    _, trace = devices.simulate(device, params, start, drive, 5e-4 / fine, r_series=5e3, record="current")
    error = []
    for substeps in (1, 2, 4):
        found = respond(device, params, start, jnp.asarray(u[:200]), jnp.full(199, 5e-4), 5e3, 0.0, substeps=substeps)
        error.append(
            float(np.sqrt(np.mean((found.current - trace.current[::fine]) ** 2)) / np.abs(found.current).max())
        )
    assert error[0] > error[1] > error[2]
    assert error[1] < 0.01  # of the peak, at the default
    assert error[2] < 0.65 * error[1]  # first order


def test_derivatives_are_those_of_finite_differences(x64):
    device = devices.get("metastable_switch")
    params = device.Params(tau=5e-4, v_on=0.29, v_off=0.11, r_on=2360.0, r_off=121e3, temperature=231.0)
    leaves = ("tau", "v_on", "r_on", "temperature")
    u = jnp.asarray(0.8 * np.sin(2 * np.pi * np.arange(60) / 60))

    @jax.jit
    def current(scales):
        changed = params.replace(**{leaf: getattr(params, leaf) * scales[k] for k, leaf in enumerate(leaves)})
        return respond(device, changed, device.init(params, 0.3), u, jnp.full(59, 1.7e-3), 5e3, 1e-9).current

    slopes = jax.jacfwd(current)(jnp.ones(4))
    for k in range(len(leaves)):
        step = 1e-4 * jnp.eye(4)[k]
        expected = (current(1 + step) - current(1 - step)) / 2e-4
        np.testing.assert_allclose(slopes[:, k], expected, rtol=2e-3, atol=1e-9, err_msg=leaves[k])
