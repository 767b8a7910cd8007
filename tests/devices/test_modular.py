"""`modular` against the closed-form responses of its modes to steps, pulses and ramps, and each part by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices, prony

pytestmark = pytest.mark.broad

MODULAR = devices.get("modular")
PARAMS = MODULAR.Params()
TAU = np.array([0.05, 1.0, np.inf])
modular = devices.modular
DTS = np.array([1e-4, 1e-2, 0.3, 20.0])  # s: from far below the fastest mode to far above the slowest


def respond(device, voltage, dts, params=PARAMS):
    """Return the modes [k, dt, T] from rest under one waveform, at several dt; `voltage` [T]."""
    rest = modular.State(x=tuple(jnp.zeros(()) for _ in params.tau))
    run = jax.vmap(lambda dt: devices.simulate(device, params, rest, voltage, dt, record="state")[1].state.x)
    return np.array(run(jnp.asarray(dts)))


def charge(t):
    """Return tau (1 - exp(-t / tau)) [k, ...], t where tau is infinite: the answer of each mode to f = 1."""
    t = np.asarray(t)[None]
    tau = TAU.reshape(-1, *[1] * (t.ndim - 1))
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(tau), t, -tau * np.expm1(-t / tau))


def decay(t):
    return np.exp(-np.asarray(t)[None] / TAU.reshape(-1, *[1] * np.ndim(t)))


# --- the memory ---------------------------------------------------------------------------------------------------


def test_answer_to_a_step(x64):
    x = respond(MODULAR, np.full(40, 0.7), DTS)
    t = DTS[:, None] * np.arange(1, 41)
    np.testing.assert_allclose(x, np.sinh(0.7 / 0.5) * charge(t), rtol=1e-12)


def test_answer_to_a_pulse_of_either_sign(x64):
    on, off = 5, 30
    for v in (1.0, -0.6):
        x = respond(MODULAR, np.r_[np.full(on, v), np.zeros(off)], DTS)[..., on:]
        t = DTS[:, None] * np.arange(1, off + 1)
        after = charge(on * DTS)[..., None] * decay(t)
        np.testing.assert_allclose(x, np.sinh(v / 0.5) * after, rtol=1e-11, atol=1e-300)


def test_answer_to_a_staircase_of_a_ramp(x64):
    """Each step of the staircase answers by itself, and the answers add up."""
    v = np.linspace(-0.8, 1.0, 50)
    x = respond(MODULAR, v, DTS)
    last = np.zeros((3, len(DTS)))
    for k, level in enumerate(v):  # what the level of step k has left at the end of step 49
        last += np.sinh(level / 0.5) * charge(DTS) * decay((49 - k) * DTS)
    np.testing.assert_allclose(x[..., -1], last, rtol=1e-9)


def test_staircases_meet_the_continuous_ramp(x64):
    """f = r t (linear drive): x = r tau [t - tau (1 - exp(-t / tau))], r t^2 / 2 where tau is infinite.

    A staircase through the middle of each step is of order 2 in dt: extrapolated to dt = 0, it meets the ramp.
    """
    device, span, slope = modular.with_parts("linear"), 0.4, 3.0

    def end(steps):
        t = (np.arange(steps) + 0.5) * span / steps
        return respond(device, 0.5 * slope * t, [span / steps])[:, 0, -1]

    exact = slope * np.where(np.isinf(TAU), span**2 / 2, 0)
    exact[:2] = slope * TAU[:2] * (span - charge(span)[:2])
    coarse, middle, fine = end(16), end(32), end(64)
    orders = np.log2(np.abs(coarse - exact)[:2] / np.abs(middle - exact)[:2])
    np.testing.assert_allclose(orders, 2, atol=0.05)
    np.testing.assert_allclose(middle[2], exact[2], rtol=1e-13)  # without decay the middle is the mean
    once = [(4 * b - a) / 3 for a, b in ((coarse, middle), (middle, fine))]
    np.testing.assert_allclose((16 * once[1] - once[0]) / 15, exact, rtol=1e-8)


def test_one_step_is_many(x64):
    """Constant voltage: steps of any lengths that add up to the same time end in the same state."""
    state = modular.State(x=(jnp.asarray(0.3), jnp.asarray(-2.0), jnp.asarray(0.1)))
    one = MODULAR.step(PARAMS, state, -0.4, 1.7, None)
    many, _ = devices.simulate(
        MODULAR, PARAMS, state, np.full(5, -0.4), [1e-9, 0.2, 1e-3, 1.0, 0.499 - 1e-9], record=()
    )
    np.testing.assert_allclose(one.x, many.x, rtol=1e-13)


def test_a_power_law_memory_forgets_as_a_power_law(x64):
    """A short pulse on a linear drive, then rest: u falls as t^-0.3 from 10 ms to 100 s."""
    series = prony.power_law(0.3, 1e-2, 1e2)
    params = PARAMS.replace(tau=series.tau, c=series.c)
    state = modular.State(x=tuple(jnp.zeros(()) for _ in series.tau))
    state = MODULAR.step(params, state, 0.5, 1e-9, None)
    t = jnp.geomspace(1e-2, 1e2, 20)
    later = jax.vmap(lambda dt: modular.cumulative(params, MODULAR.relax(params, state, dt)))(t)
    np.testing.assert_allclose(later / (np.sinh(1.0) * 1e-9), np.asarray(t) ** -0.3, rtol=2e-6)


def test_gradient_at_an_infinite_time_constant(x64):
    """d x / d (1 / tau) at 1 / tau = 0 is -f dt^2 / 2; with respect to tau itself it is 0, not nan."""

    def x(tau, v=0.5):
        params = PARAMS.replace(tau=(tau,), c=(1.0,))
        return MODULAR.step(params, modular.State(x=(jnp.zeros(()),)), v, 0.2, None).x[0]

    assert jax.grad(x)(jnp.inf) == 0
    np.testing.assert_allclose(jax.grad(lambda leak: x(1 / leak))(1e-9), -np.sinh(1.0) * 0.02, rtol=1e-7)
    np.testing.assert_allclose(jax.grad(lambda leak: x(1 / leak))(1.0), _slope(lambda k: float(x(1 / k))), rtol=1e-8)


def _slope(f, at=1.0, h=1e-5):
    return (f(at + h) - f(at - h)) / (2 * h)


def test_phi1_and_its_derivative_across_the_change_of_formula(x64):
    """Against extended precision, on both sides of 1e-3 where the series ends."""
    from memjax.devices._phi import phi1

    z = np.r_[0.0, np.geomspace(1e-12, 50, 60), 0.99e-3, 1.01e-3]
    wide = z.astype(np.longdouble)
    series = 1 - wide / 2 + wide**2 / 6 - wide**3 / 24 + wide**4 / 120 - wide**5 / 720
    apart = np.where(wide > 0, wide, 1)
    np.testing.assert_allclose(
        phi1(z), np.where(wide < 1e-3, series, -np.expm1(-apart) / apart).astype(float), rtol=4e-16
    )
    slope_series = -0.5 + wide / 3 - wide**2 / 8 + wide**3 / 30 - wide**4 / 144 + wide**5 / 840
    slope = np.where(wide < 0.05, slope_series, (np.exp(-wide) + np.expm1(-wide) / apart) / apart)
    np.testing.assert_allclose(jax.vmap(jax.grad(phi1))(z), slope.astype(float), rtol=2e-9)


# --- the parts ----------------------------------------------------------------------------------------------------


def test_drives_are_odd_and_rise():
    u = np.linspace(-4, 4, 81)
    for name, drive in modular.DRIVES.items():
        f = np.asarray(drive(jnp.asarray(u)))
        np.testing.assert_allclose(f, -f[::-1], rtol=1e-6, err_msg=name)
        assert (np.diff(f) >= 0).all()
    f = np.asarray(modular.DRIVES["threshold_linear"](jnp.asarray(u)))
    np.testing.assert_allclose(f, np.sign(u) * np.maximum(np.abs(u) - 1, 0), atol=1e-6)


def test_saturations_are_what_the_docstring_says(x64):
    u = jnp.linspace(-6, 6, 97)  # 0 included
    expected = {
        "tanh": 1 / (1 + np.exp(-2 * u)),
        "exponential": np.where(u < 0, np.exp(np.minimum(u, 0)) / 2, 1 - np.exp(-np.maximum(u, 0)) / 2),
        "algebraic": (1 + u / np.sqrt(1 + u**2)) / 2,
    }
    for name, (forward, inverse) in modular.SATURATIONS.items():
        s = forward(u)
        np.testing.assert_allclose(s, expected[name], rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(inverse(s), u, atol=1e-8)
        slope = jax.jit(jax.vmap(jax.grad(forward)))(jnp.append(u, jnp.array([-1e30, 1e30])))
        assert np.isfinite(slope).all()
        slope = slope[:-2]
        np.testing.assert_allclose(slope[48], 0.5)
        assert (slope > 0).all()
        np.testing.assert_array_equal(forward(jnp.array([-1e30, 1e30])), [0, 1])


@pytest.mark.parametrize("drive, saturation", [("sinh", "exponential"), ("threshold_linear", "algebraic")])
def test_any_parts_make_a_device(drive, saturation):
    device = modular.with_parts(drive, saturation)
    assert device.name == f"modular+{drive}+{saturation}"
    x = np.linspace(0, 1, 6)
    g = devices.conductance(device, PARAMS, device.init(PARAMS, x))
    np.testing.assert_allclose(g, 1e-6 + (1e-3 - 1e-6) * (1e-3 + 0.998 * x), rtol=1e-4)
    voltage = np.repeat([1.2, -1.2, 3.0, -3.0], 50)
    _, trace = devices.simulate(device, PARAMS, device.init(PARAMS, 0.5), voltage, 0.1)
    g = np.asarray(trace.current) / voltage
    assert ((g >= PARAMS.g_min) & (g <= PARAMS.g_max * (1 + 1e-6))).all()
    assert g.min() < 2e-4
    assert g.max() > 8e-4


def test_below_its_threshold_a_threshold_drive_rests():
    device = modular.with_parts("threshold_linear")
    state = device.init(PARAMS, 0.4)
    np.testing.assert_array_equal(device.step(PARAMS, state, 0.499, 1.0, None).x, state.x)
    np.testing.assert_allclose(device.step(PARAMS, state, -0.75, 1e-4, None).x[1], -0.5e-4, rtol=1e-3)


def test_exponential_saturation_takes_a_fixed_share_of_what_is_left(x64):
    device = modular.with_parts("sinh", "exponential")
    params = PARAMS.replace(tau=(jnp.inf,), c=(1.0,), g_min=0.0)
    _, trace = devices.simulate(device, params, device.init(params, 0.6), np.full(20, 0.5), 0.05)
    left = params.g_max - np.asarray(trace.current) / 0.5
    np.testing.assert_allclose(left[1:] / left[:-1], np.exp(-np.sinh(1.0) * 0.05), rtol=1e-12)


def test_the_same_parts_are_the_same_device():
    assert modular.with_parts() is MODULAR
    assert modular.with_parts("sinh", "tanh") is MODULAR
    assert modular.with_parts("linear", "algebraic") is modular.with_parts("linear", "algebraic")
    with pytest.raises(ValueError, match="drive 'cosh': accepted are 'sinh', 'linear', 'threshold_linear'"):
        modular.with_parts("cosh")
    with pytest.raises(ValueError, match="saturation 'relu': accepted are 'tanh', 'exponential', 'algebraic'"):
        modular.with_parts("sinh", "relu")


# --- in use -------------------------------------------------------------------------------------------------------


def test_devices_with_their_own_time_constants():
    params = PARAMS.replace(tau=(jnp.array([0.1, 0.2, 0.4]), jnp.inf), c=(1.0, 1.0))
    end, _ = devices.simulate(MODULAR, params, MODULAR.init(params, 0.5), np.ones(4), 0.1, record=())
    np.testing.assert_allclose(
        end.x[0], np.sinh(2) * -np.array([0.1, 0.2, 0.4]) * np.expm1(-0.4 / np.array([0.1, 0.2, 0.4])), rtol=1e-6
    )


def test_noise_reaches_the_modes():
    noisy = devices.with_c2c_noise(MODULAR)
    params = noisy.Params()
    state = noisy.init(params, jnp.full(2000, 0.5))
    new = noisy.step(params, state, 1.0, 1e-2, jax.random.key(0))
    step = np.asarray(new.x[0])
    np.testing.assert_allclose(step.std() / step.mean(), 0.3, rtol=0.06)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tau": (1.0, -1.0, jnp.inf)}, r"tau\[1\] = -1.0: accepted is more than 0 s, inf for"),
        ({"c": (1.0, -1.0, 1.0)}, r"c\[1\] = -1.0: accepted is 0 or more"),
        ({"c": (1.0, 1.0, 0.0)}, r"c\[2\] = 0.0: accepted is more than 0"),
        ({"c": (1.0, 1.0)}, "tau has 3 modes, c has 2: accepted is 1 or more, as many of both"),
        ({"tau": 0.1}, "tau = 0.1: accepted is a tuple, one entry a mode"),
        ({"g_max": 1e-7}, "g_max = 1e-07: accepted is more than g_min"),
        ({"v0": 0.0}, "v0 = 0.0: accepted is more than 0 V"),
        ({"rate": -1.0}, "rate = -1.0: accepted is more than 0 1/s"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        MODULAR.check(PARAMS.replace(**change))
