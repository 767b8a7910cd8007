"""`linear_ion_drift` against its flux solution, and each window against an independent transcription."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices

ION = devices.get("linear_ion_drift")
PARAMS = ION.Params()
with_window = devices.linear_ion_drift.with_window
R_ON, R_OFF, K = 100.0, 16e3, 1e-14 * 100.0 / 10e-9**2  # K = mu r_on / d^2
WINDOWED = [("joglekar", 1, 1), ("joglekar", 7, 1), ("biolek", 2, 1), ("prodromakis", 3, 1.2), ("zha", 2, 0.9)]


def flux_solution(x0, flux):
    """The root of r_off x - (r_off - r_on) x^2 / 2 = c + K flux that starts at x0, in extended precision."""
    x0, flux = np.longdouble(x0), np.asarray(flux, np.longdouble)
    a, c = (R_OFF - R_ON) / np.longdouble(2), R_OFF * x0 - (R_OFF - R_ON) / np.longdouble(2) * x0**2
    return ((R_OFF - np.sqrt(R_OFF**2 - 4 * a * (c + K * flux))) / (2 * a)).astype(float)


def sine(steps=1000, amplitude=1.0, periods=1.0):
    """A sine sampled in the middle of its steps, over a period of 1 s."""
    t = (np.arange(steps) + 0.5) / steps * periods
    return amplitude * np.sin(2 * np.pi * t), periods / steps


def test_meets_the_flux_solution_to_machine_precision(x64):
    voltage, dt = sine()
    _, trace = devices.simulate(ION, PARAMS, ION.init(PARAMS, 0.1), voltage, dt)
    exact = flux_solution(0.1, np.cumsum(voltage) * dt)
    assert exact.max() < 0.5
    np.testing.assert_allclose(trace.state.x, exact, rtol=0, atol=1e-14)


def test_one_large_step_is_as_exact_as_many(x64):
    many, _ = devices.simulate(ION, PARAMS, ION.init(PARAMS, 0.1), np.full(1000, 1.0), 5e-4)
    one = ION.step(PARAMS, ION.init(PARAMS, 0.1), 1.0, 0.5, None)
    np.testing.assert_allclose(one.x, many.x, rtol=1e-13)
    np.testing.assert_allclose(one.x, flux_solution(0.1, 0.5), rtol=1e-14)


def test_float32_steps_do_not_cancel():
    """One step is exact to rounding; so is the end of 10^5 steps, where some single ones are below any rounding."""
    step = ION.step(PARAMS, ION.init(PARAMS, 0.5), 1.0, 1e-6, None)
    np.testing.assert_allclose(step.x - 0.5, flux_solution(0.5, 1e-6) - 0.5, atol=6e-8)
    for x, v, dt in ((0.5, 1.0, 1e-6), (0.1, 0.5, 8e-6), (0.1, 1e-2, 1e-6), (0.5, -1e-2, 1e-6)):
        end, _ = devices.simulate(ION, PARAMS, ION.init(PARAMS, x), np.full(100_000, v), dt, record=())
        np.testing.assert_allclose(end.x, flux_solution(x, 1e5 * v * dt), atol=2e-7)


def test_derivatives_of_the_end_of_a_run_are_those_of_its_steps(x64):
    """Whether or not the rounding of its steps is evened out: also past a bound, which forgets what was before."""
    voltage, state = jnp.asarray(np.tile([0.9, -0.3, 0.5], 20)), jnp.array([0.1, 0.5, 0.98])

    def end(scale, r_off, record):
        params = PARAMS.replace(r_off=r_off)
        return devices.simulate(ION, params, ION.init(params, state), scale * voltage, 5e-3, record=record)[0].x

    jacobian = jax.jit(jax.jacobian(end, (0, 1)), static_argnames="record")
    chart, steps = (jacobian(1.0, 16e3, record) for record in ((), ("state",)))
    np.testing.assert_allclose(chart[0], steps[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(chart[1], steps[1], rtol=1e-9, atol=1e-15)


def test_from_end_to_end_takes_805_millivolt_seconds(x64):
    state = ION.init(PARAMS, 0.0)
    just = ION.step(PARAMS, state, 1.0, 0.805, None)
    np.testing.assert_allclose(just.x, 1.0, rtol=1e-7)  # x -> 1 as the root of the flux: precise to sqrt(eps)
    assert ION.step(PARAMS, state, 1.0, 0.8049, None).x < 1
    assert ION.step(PARAMS, state, 1.0, 0.8051, None).x == 1
    assert ION.step(PARAMS, ION.init(PARAMS, 1.0), -1.0, 0.8049, None).x > 0
    assert ION.step(PARAMS, ION.init(PARAMS, 1.0), -1.0, 0.8051, None).x == 0
    assert ION.step(PARAMS, state, 1e9, 1e9, None).x == 1
    assert ION.step(PARAMS, state, -1e9, 1e9, None).x == 0


def test_loop_is_pinched_and_narrows_with_frequency(x64):
    def loop(frequency):
        voltage, dt = sine(2000)
        _, trace = devices.simulate(ION, PARAMS, ION.init(PARAMS, 0.1), voltage, dt / frequency)
        i = np.asarray(trace.current)
        return voltage, i, i[500:1000][::-1] - i[:500]  # the same positive voltages on the way down and up

    voltage, i, opening = loop(1.0)
    assert (np.sign(i) == np.sign(voltage)).all()
    assert (opening > 0).all()  # positive voltage has raised the conductance
    # At high frequency x moves by an amount proportional to the flux of half a period, 1 / f.
    np.testing.assert_allclose(loop(200.0)[2].sum() / loop(100.0)[2].sum(), 0.5, rtol=1e-2)


def test_the_end_alone_is_the_end_of_the_recorded_run(x64):
    """Without a record the squared resistance is stepped: same end, for devices of their own that meet both bounds."""
    x, scale = np.linspace(0, 1, 5), np.array([0.5, 0.8, 1.0, 1.5, 2.0])
    many = ION.Params(r_on=100 * scale, r_off=np.linspace(1e3, 16e3, 5), d=10e-9, mu=1e-14 * scale)
    voltage, dt = 3 * sine(200)[0], np.linspace(1e-3, 9e-3, 200)
    start = ION.init(many, x)
    end, nothing = devices.simulate(ION, many, start, voltage, dt, record=())
    last, trace = devices.simulate(ION, many, start, voltage, dt)
    assert nothing.current is None
    assert trace.state.x.min() == 0
    assert trace.state.x.max() == 1
    np.testing.assert_allclose(end.x, last.x, rtol=0, atol=1e-12)
    still, _ = devices.simulate(ION, many, start, np.zeros(3), dt[:3], record=())
    np.testing.assert_array_equal(still.x, x)

    def end_of(x, record):
        return devices.simulate(ION, PARAMS, ION.init(PARAMS, x), voltage[:50], 1e-3, record=record)[0].x

    slopes = [jax.grad(end_of)(0.4, record) for record in ((), "current")]
    np.testing.assert_allclose(*slopes, rtol=1e-10)


def test_only_the_models_own_step_is_charted(x64):
    """Noise, a window or a solver changes the step, so a run without a record must change with it."""
    start, voltage = ION.init(PARAMS, 0.4), np.ones(20)
    noisy = devices.with_c2c_noise(ION)
    runs = {
        "own": devices.simulate(ION, PARAMS, start, voltage, 1e-2, record=()),
        "noise": devices.simulate(noisy, noisy.Params(PARAMS, 0.3), start, voltage, 1e-2, jax.random.key(0), record=()),
        "window": devices.simulate(with_window("biolek", 2), PARAMS, start, voltage, 1e-2, record=()),
        "solver": devices.simulate(ION, PARAMS, start, voltage, 1e-2, record=(), solver="euler"),
        "series": devices.simulate(ION, PARAMS, start, voltage, 1e-2, record=(), r_series=1e3),
    }
    ends = [float(state.x) for state, _ in runs.values()]
    assert np.diff(sorted(ends)).min() > 1e-4, dict(zip(runs, ends, strict=True))


# --- windows ------------------------------------------------------------------------------------------------------


def reference_window(name, x, i, p, j):
    ahead = 1.0 if -i >= 0 else 0.0
    return {
        "joglekar": lambda: 1 - (2 * x - 1) ** (2 * p),
        "biolek": lambda: 1 - (x - ahead) ** (2 * p),
        "prodromakis": lambda: j * (1 - ((x - 0.5) ** 2 + 0.75) ** p),
        "zha": lambda: j * (1 - (0.25 * (x - ahead) ** 2 + 0.75) ** p),
    }[name]()


@pytest.mark.parametrize("name, p, j", WINDOWED)
@pytest.mark.parametrize("v", [0.7, 0.0, -0.7])
def test_rate_is_the_windows_formula(x64, name, p, j, v):
    device = with_window(name, p, j)
    x = np.linspace(0, 1, 21)
    got = device.rate(PARAMS, device.init(PARAMS, x), v).x
    i = v / (R_ON * x + R_OFF * (1 - x))
    expected = [K * i[k] * reference_window(name, x[k], v, p, j) for k in range(21)]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name, p, j", WINDOWED)
def test_windowed_trajectory_meets_an_independent_integration(x64, name, p, j):
    """Against Heun's method with 50 times finer steps, one number at a time."""
    device, (voltage, dt) = with_window(name, p, j), sine(100)
    _, trace = devices.simulate(device, PARAMS, device.init(PARAMS, 0.2), voltage, dt)

    def rate(x, v):
        i = v / (R_ON * x + R_OFF * (1 - x))
        return K * i * reference_window(name, x, i, p, j)

    x, h, path = 0.2, dt / 50, []
    for v in voltage:
        for _ in range(50):
            slope = rate(x, v)
            x += h / 2 * (slope + rate(x + h * slope, v))
        path.append(x)
    np.testing.assert_allclose(trace.state.x, path, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name, p, j", WINDOWED)
def test_windowed_step_is_of_order_four(x64, name, p, j):
    device = with_window(name, p, j)

    def end(steps):
        state, _ = devices.simulate(device, PARAMS, device.init(PARAMS, 0.2), np.ones(steps), 0.4 / steps, record=())
        return float(state.x)

    exact = end(640)
    errors = np.array([abs(end(n) - exact) for n in (20, 40, 80)])
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 4, atol=0.35)


@pytest.mark.parametrize("name, p, j", WINDOWED)
def test_windowed_state_stays_inside_for_any_step(name, p, j):
    device = with_window(name, p, j)
    voltage = np.random.default_rng(0).uniform(-5, 5, (200, 8))
    _, trace = devices.simulate(device, PARAMS, device.init(PARAMS, np.linspace(0, 1, 8)), voltage, 0.3)
    x = np.asarray(trace.state.x)
    assert ((x >= 0) & (x <= 1)).all()


@pytest.mark.parametrize("name", ["biolek", "zha"])
def test_windows_that_look_ahead_release_the_bound(name):
    device = with_window(name, 2)
    new = device.step(PARAMS, device.init(PARAMS, np.array([0.0, 1.0])), jnp.array([1.0, -1.0]), 1e-2, None)
    assert new.x[0] > 0
    assert new.x[1] < 1


def test_the_same_window_is_the_same_device():
    assert with_window("biolek", 2) is with_window("biolek", 2)
    assert with_window("biolek", 2) is not with_window("biolek", 3)
    assert with_window("none", 1) is ION
    assert with_window("zha", 1, j=1).name == "linear_ion_drift+zha"
    assert hash(with_window("zha", 1)) is not None
    assert devices.with_c2c_noise(with_window("zha", 1)) is devices.with_c2c_noise(with_window("zha", 1))


def test_gradient_through_a_windowed_step(x64):
    device = with_window("joglekar", 2)

    def end(r_off):
        params = PARAMS.replace(r_off=r_off)
        return devices.simulate(device, params, device.init(params, 0.3), np.ones(20), 1e-2, record=())[0].x

    numeric = (end(16e3 + 1) - end(16e3 - 1)) / 2
    np.testing.assert_allclose(jax.grad(end)(16e3), numeric, rtol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("bioleck", 1), "window 'bioleck': accepted are 'none', 'joglekar', 'biolek', 'prodromakis', 'zha'"),
        (("biolek", 0), "accepted are p > 0 and j > 0"),
        (("zha", 1, -1), "accepted are p > 0 and j > 0"),
        (("joglekar", 1, 2), "has no height, accepted is 1"),
    ],
)
def test_refuses_windows(arguments, message):
    with pytest.raises(ValueError, match=message):
        with_window(*arguments)


def test_windows_with_a_kink_have_finite_derivatives():
    for name, x, v in (("joglekar", 0.5, 1.0), ("biolek", 0.0, 1.0), ("biolek", 1.0, -1.0)):
        device = with_window(name, 0.5)
        slope = jax.grad(lambda x, v=v, device=device: device.rate(PARAMS, device.init(PARAMS, x), v).x)
        assert np.isfinite(slope(x))
