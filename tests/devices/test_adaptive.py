"""The adaptive path against fixed steps and closed forms, steps refused as unstable, and characteristic frequencies."""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices

pytestmark = pytest.mark.broad

ION, SWITCH, WOX, YAKOPCIC, VTEAM, SINE = map(
    devices.get, ("linear_ion_drift", "metastable_switch", "wox", "yakopcic", "vteam", "sine_drift")
)


def wave(steps=6, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * (np.arange(steps) + 0.5) / steps)


# --- adaptive -----------------------------------------------------------------------------------------------------


def test_stiff_samples_meet_the_closed_form(x64):
    """Samples of 20 time constants, [2, 3] devices, each with its own barrier and wave."""
    params = SWITCH.Params(v_on=jnp.linspace(0.2, 0.3, 3).reshape(1, 3))
    state, voltage = SWITCH.init(params, jnp.full((2, 3), 0.3)), np.multiply.outer(wave(), np.ones((2, 1)))
    _, exact = devices.simulate(SWITCH, params, state, voltage, 2e-3)
    end, trace = devices.simulate_adaptive(SWITCH, params, state, voltage, 2e-3)
    np.testing.assert_array_equal(end.x, trace.state.x[-1])
    np.testing.assert_allclose(trace.state.x, exact.state.x, rtol=0, atol=2e-7)
    np.testing.assert_allclose(trace.current, exact.current, rtol=0, atol=2e-7 * 2e-3)


def test_equals_fixed_steps_and_so_do_the_gradients(x64):
    """Yakopcic, whose rate spans orders of magnitude over a sweep and has kinks; the gradient against differences."""
    refine, dt, voltage = 200, 0.05, wave()

    def end(simulate, v, dt, a_p):
        params = YAKOPCIC.Params(a_p=a_p)
        return simulate(YAKOPCIC, params, YAKOPCIC.init(params, 0.11), v, dt)[0].x

    fixed = jax.jit(lambda a_p: end(devices.simulate, np.repeat(voltage, refine), dt / refine, a_p))
    explicit = partial(devices.simulate_adaptive, method="tsit5")  # compiles in half the time
    adaptive = jax.jit(jax.value_and_grad(lambda a_p: end(explicit, voltage, dt, a_p)))
    value, slope = adaptive(7.5)
    assert 0.3 < value < 0.9
    np.testing.assert_allclose(value, fixed(7.5), atol=1e-6)
    numeric = (fixed(7.5 + 1e-3) - fixed(7.5 - 1e-3)) / 2e-3
    np.testing.assert_allclose(jax.grad(fixed)(7.5), numeric, rtol=1e-5)
    np.testing.assert_allclose(slope, numeric, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kvaerno5", "tsit5"])
def test_gradient_to_every_input(x64, method):
    """A smooth model at a tight tolerance: to a parameter, the start, the voltage and the time step."""

    def end(lam, x, v, dt):
        params = WOX.Params(lam=lam)
        run = devices.simulate_adaptive
        return run(WOX, params, WOX.init(params, x), v * wave(), dt, record=(), method=method, tolerance=1e-10)[0].w

    at, h = np.array([4.5, 0.4, 0.9, 0.3]), 1e-4
    end = jax.jit(end)
    numeric = [(end(*(at + h * e)) - end(*(at - h * e))) / (2 * h) for e in np.eye(4)]
    np.testing.assert_allclose(jax.jit(jax.grad(end, (0, 1, 2, 3)))(*at), numeric, rtol=1e-6)


def test_bounds_unbounded_leaves_series_resistance_and_float32():
    """sine_drift: a flux without bounds beside a share that is driven far past both of them."""
    params = SINE.Params()
    state, voltage = SINE.init(params, jnp.array([0.2, 0.8])), jnp.array([1.5, -1.5, 1.5, 0.0])
    end, trace = devices.simulate_adaptive(
        SINE, params, state, voltage, jnp.array([9.0, 9.0, 0.5, 1.0]), method="tsit5"
    )
    exact = devices.simulate(SINE, params, state, voltage, jnp.array([9.0, 9.0, 0.5, 1.0]))[1]
    assert end.w.dtype == jnp.float32
    np.testing.assert_array_equal(trace.state.w[:2], [[1, 1], [0, 0]])
    np.testing.assert_allclose(trace.state.w, exact.state.w, atol=1e-5)
    np.testing.assert_allclose(trace.state.phi, exact.state.phi, rtol=1e-5)
    np.testing.assert_allclose(trace.current, exact.current, rtol=1e-3)


def test_series_resistance_is_divided_at_every_moment(x64):
    """A resistor in series with linear ion drift adds to both of its resistances: a closed form again."""
    params, r, voltage = ION.Params(), 2e3, np.array([1.0, -0.5, 0.8])
    # mu r_on / d^2 stays, so mu falls as r_on rises.
    sum_of_both = params.replace(r_on=100.0 + r, r_off=16e3 + r, mu=1e-14 * 100.0 / (100.0 + r))
    exact = devices.simulate(ION, sum_of_both, ION.init(params, 0.2), voltage, 0.1)[1]
    run = devices.simulate_adaptive
    _, trace = run(ION, params, ION.init(params, 0.2), voltage, 0.1, r_series=r, method="tsit5")
    np.testing.assert_allclose(trace.state.x, exact.state.x, rtol=1e-7)
    np.testing.assert_allclose(trace.current, exact.current, rtol=1e-7)


def test_says_where_it_cannot_reach_the_tolerance():
    params = SWITCH.Params()
    with pytest.raises(RuntimeError, match=r"metastable_switch: 3 steps of 'tsit5' do not reach the tolerance 1e-05"):
        devices.simulate_adaptive(
            SWITCH, params, SWITCH.init(params, 0.3), np.ones(2), 1.0, method="tsit5", max_steps=3
        )


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("volatile", {}, "'volatile' has no rate to integrate: accepted is simulate"),
        ("wox", {"method": "rk4"}, "method = 'rk4': accepted are 'kvaerno5', 'tsit5'"),
        ("wox", {"record": "power"}, "accepted are 'current' and 'state'"),
        ("wox", {"params": WOX.Params(tau=-1.0)}, "tau = -1.0: accepted is more than 0 s"),
    ],
)
def test_adaptive_refuses(name, change, message):
    device = devices.get(name)
    arguments = {"params": device.Params(), "state": device.init(device.Params(), 0.5), "voltage": np.ones(2)}
    with pytest.raises(ValueError, match=message):
        devices.simulate_adaptive(device, dt=1e-3, **(arguments | change))


def test_names_the_extra_where_diffrax_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(ImportError, match=r"memjax\[ode\]"):
        devices.simulate_adaptive(WOX, WOX.Params(), WOX.init(WOX.Params(), 0.5), np.ones(2), 1e-3)


# --- unstable steps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver, limit", [("euler", 2.0), ("heun", 2.0), ("rk4", 2.785)])
def test_unstable_steps_are_named(solver, limit):
    """At 1 V the switch decays at (p_on + p_off) / tau = 1e4 /s: the limit is where the run begins to diverge."""
    params = SWITCH.Params()
    state, voltage = SWITCH.init(params, 0.3), np.ones(4)
    devices.simulate(SWITCH, params, state, voltage, 0.99 * limit * 1e-4, solver=solver)
    devices.check_step(SWITCH, params, state, [-1.0, 1.0], 0.99 * limit * 1e-4, solver)
    message = (
        rf"'metastable_switch', solver '{solver}': dt = [\d.]+ s is unstable, dt \|d rate / d state\| reaches [\d.]+"
        rf" where at most {limit:g} is stable; accepted is dt <= {0.99 * limit * 1e-4:.3g} s, or the model's own step"
    )
    with pytest.raises(ValueError, match=message):
        devices.simulate(SWITCH, params, state, voltage, 1.01 * limit * 1e-4, solver=solver)
    with pytest.raises(ValueError, match=message):
        devices.check_step(SWITCH, params, state, 1.0, [1e-6, 1.01 * limit * 1e-4], solver)
    jax.jit(lambda dt: devices.simulate(SWITCH, params, state, voltage, dt, solver=solver)[0].x)(1.0)  # nothing known
    jax.jit(lambda: devices.simulate(SWITCH, params, state, voltage, 1.0, solver=solver)[0].x)()


def test_growth_and_rest_are_stable_at_any_step():
    """The state that grows away (linear drift upwards), does not matter (sine drift) or stands still (VTEAM)."""
    for device, v in ((ION, 1.0), (SINE, 1.0), (VTEAM, 1.0), (VTEAM, 2.0)):
        params = device.Params()
        devices.check_step(device, params, device.init(params, np.array([0.3, 0.9])), v, 1e3)
    still = VTEAM.init(VTEAM.Params(), 0.5)
    devices.simulate(VTEAM, VTEAM.Params(), still, np.ones(2), 1e3, solver="rk4")
    with pytest.raises(ValueError, match="'volatile' has no rate"):
        devices.check_step(devices.get("volatile"), None, None, 1.0, 1e-3)
    with pytest.raises(ValueError, match="solver = 'rk45': accepted are 'euler', 'heun', 'rk4'"):
        devices.check_step(ION, ION.Params(), ION.init(ION.Params(), 0.3), 1.0, 1e-3, "rk45")


# --- characteristic frequencies -----------------------------------------------------------------------------------


def test_characteristic_frequency_is_the_time_through_half_the_range(x64):
    frequency = devices.characteristic_frequency
    # Linear drift: R^2 is linear in flux, from x = 1/4 to 3/4 at 1 V.
    half = ((100 * 0.25 + 16e3 * 0.75) ** 2 - (100 * 0.75 + 16e3 * 0.25) ** 2) / (2 * (16e3 - 100) * 1e4)
    np.testing.assert_allclose(frequency(ION, ION.Params(), 1.0), 1 / half, rtol=1e-12)
    # VTEAM: SET is the slower side.
    np.testing.assert_allclose(frequency(VTEAM, VTEAM.Params(), 2.0), 216.2 * (2 / 1.5 - 1) ** 4 / 1.5e-9, rtol=1e-12)
    np.testing.assert_allclose(frequency(SINE, SINE.Params(), 1.0), np.sin(1.0), rtol=1e-12)
    # WOx: exponential towards w_inf; at .5 V it settles before three quarters.
    settled = 0.04 * np.sinh(4 * np.array([1.0, 1.5]))
    time = 10 / 4.5 * np.log((settled - 0.25) / (settled - 0.75))
    got = frequency(WOX, WOX.Params(), np.array([1.0, 1.5, 0.5]))
    np.testing.assert_allclose(got, [*(1 / time), 0.0], rtol=1e-3)
    assert frequency(VTEAM, VTEAM.Params(), 1.0) == 0
    with pytest.raises(ValueError, match="'volatile' has no rate"):
        frequency(devices.get("volatile"), devices.get("volatile").Params(), 1.0)
    # An array of different devices.
    params = jax.tree.map(lambda leaf: leaf * jnp.ones(3), SWITCH.Params())
    np.testing.assert_allclose(frequency(SWITCH, params, 1.0), 1e4 / np.log(3), rtol=1e-3)
