"""`vcm` against its closed forms, an independent integrator, and what filaments are known for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices
from memjax.devices import vcm

pytestmark = pytest.mark.broad

VCM = devices.get("vcm")
ELEMENTARY_OVER_BOLTZMANN = 1.602176634e-19 / 1.380649e-23  # K/V


def published_rate(gap, v, *, gamma0=16.0, beta=0.8, f_min=1.4e9):
    """d gap / dt [m/s] as the source writes it, in NumPy."""
    i = 1e-3 * np.exp(-gap / 0.25e-9) * np.sinh(v / 0.25)
    kt = (298.0 + 2.1e3 * abs(v * i)) / ELEMENTARY_OVER_BOLTZMANN
    gamma = gamma0 - beta * (gap / 1e-9) ** 3
    if gamma * abs(v) / 12e-9 < f_min:
        return 0.0
    return -10.0 * np.exp(-0.6 / kt) * np.sinh(gamma * 0.25e-9 / 12e-9 * v / kt)


def test_rate_temperature_and_current(x64):
    gap, v = np.meshgrid(np.linspace(0.2e-9, 1.7e-9, 7), [-2.0, -1.5, -1.0, 0.1, 1.3, 1.6], indexing="ij")
    state, params = vcm.State(gap=jnp.asarray(gap)), VCM.Params()
    expected = np.vectorize(published_rate)(gap, v)
    assert (expected == 0).any()
    assert (expected != 0).any()
    np.testing.assert_allclose(VCM.rate(params, state, v).gap, expected, rtol=1e-5)
    i = VCM.current(params, state, v)
    np.testing.assert_allclose(i, 1e-3 * np.exp(-gap / 0.25e-9) * np.sinh(v / 0.25), rtol=1e-12)
    np.testing.assert_allclose(vcm.temperature(params, state, v) - 298.0, 2.1e3 * abs(v * i), rtol=1e-9, atol=1e-9)


def rk4(gap, v, time, steps):
    """Integrate the published rate by classical Runge-Kutta in time, held between the bounds."""
    h = time / steps
    for _ in range(steps):
        k1 = published_rate(gap, v)
        k2 = published_rate(gap + h / 2 * k1, v)
        k3 = published_rate(gap + h / 2 * k2, v)
        k4 = published_rate(gap + h * k3, v)
        gap = min(max(gap + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), 0.2e-9), 1.7e-9)
    return gap


@pytest.mark.parametrize(
    "gap, v, time", [(1.0e-9, 1.4, 2e-8), (0.2e-9, -1.5, 1e-9), (1.7e-9, 1.5, 1.4e-7)], ids=["set", "reset", "late set"]
)
def test_trajectory(x64, gap, v, time):
    """Agrees with an independent trajectory, with order 2, even where a step covers the whole of it."""
    reference = rk4(gap, v, time, 4000)
    assert abs(reference - gap) > 0.3e-9
    errors = []
    for n in (1, 8, 32):
        end, _ = devices.simulate(VCM, VCM.Params(), vcm.State(gap=gap), np.full(n, v), time / n, record=())
        errors.append(abs(float(end.gap) - reference))
    assert errors[0] < 2e-11  # 1 % of the whole gap
    assert errors[1] < 3e-13
    assert errors[2] < 2e-14
    assert errors[1] / errors[2] > 4**2 * 0.8


def test_agrees_with_scipy(x64):
    integrate = pytest.importorskip("scipy.integrate")
    found = integrate.solve_ivp(
        lambda t, y: [1e9 * published_rate(y[0] * 1e-9, -1.5)], (0, 1e-9), [0.2], method="LSODA", rtol=1e-9, atol=1e-12
    )
    end, _ = devices.simulate(VCM, VCM.Params(), vcm.State(gap=0.2e-9), np.full(16, -1.5), 1e-9 / 16, record=())
    assert float(end.gap) * 1e9 == pytest.approx(found.y[0, -1], abs=1e-6)


def test_any_step_is_stable(x64):
    """A step of a day ends where a million steps would: at the bound, or where the field has fallen to its limit."""
    params, state = VCM.Params(), vcm.State(gap=jnp.asarray([0.2e-9, 0.9e-9, 1.7e-9]))
    for v, end in ((1.5, 0.2), (-2.0, 1.7), (-1.2, ((16 - 1.4e9 * 12e-9 / 1.2) / 0.8) ** (1 / 3))):
        new = VCM.step(params, state, v, 86400.0, None).gap * 1e9
        np.testing.assert_allclose(new, np.maximum(end, [0, 0, 1.7]) if v == -1.2 else end, rtol=1e-9)


@functools.cache
def ramp(sign, gap_max=1.7e-9):
    """Sweep 0 to 3 V in 3 ms, the SET behind 1 kohm: voltages [T], and ln R at 0.1 V [T] of the bare device."""
    start = gap_max if sign > 0 else 0.2e-9
    params = VCM.Params(gap_max=gap_max)
    voltage = sign * np.linspace(0, 3.0, 3001)
    _, trace = jax.jit(
        lambda v, r: devices.simulate(VCM, params, vcm.State(gap=start), v, 1e-6, r_series=r, record="state")
    )(voltage, 1e3 if sign > 0 else 0.0)
    return abs(voltage), np.log(0.1 / np.asarray(VCM.current(params, trace.state, 0.1)))


def crossing(voltage, log_r, share):
    """Voltage at which ln R has gone that share of its way."""
    way = (log_r - log_r[0]) / (log_r[-1] - log_r[0])
    return voltage[np.argmax(way >= share)]


def test_set_is_abrupt_and_reset_is_gradual():
    """From 10 to 90 % of the way of ln R the SET takes a few mV, the RESET hundreds: a factor of at least 20."""
    set_width, reset_width = (crossing(*ramp(sign), 0.9) - crossing(*ramp(sign), 0.1) for sign in (1, -1))
    assert reset_width > 20 * max(set_width, 1e-3)
    log_r = ramp(1)[1]
    assert log_r[0] - log_r[-1] == pytest.approx(1.5 / 0.25, rel=1e-3)  # the resistance window, exp(d gap / g0) = 403


def test_forming_takes_more_than_set():
    """A pristine gap of 2.2 nm sees gamma = 7.5 instead of 12.1, and nothing moves before f_min l / gamma = 2.2 V."""
    formed, pristine = crossing(*ramp(1), 0.5), crossing(*ramp(1, 2.2e-9), 0.5)
    assert formed > 1.4e9 * 12e-9 / (16 - 0.8 * 1.7**3)
    assert pristine > 1.4e9 * 12e-9 / (16 - 0.8 * 2.2**3)
    assert pristine > formed + 0.5


def test_retention(x64):
    """Read voltages move nothing in ten years; without the field limit the loss is Arrhenius, its barrier lowered."""
    state, year = vcm.State(gap=jnp.asarray([0.2e-9, 0.8e-9, 1.7e-9])), 365 * 86400.0
    np.testing.assert_array_equal(VCM.step(VCM.Params(), state, -0.2, 10 * year, None).gap, state.gap)
    v, ambient = -0.5, np.array([350.0, 400.0])
    params = VCM.Params(t0=ambient, f_min=0.0, r_th=0.0)
    logs = np.log(VCM.rate(params, vcm.State(gap=jnp.full(2, 0.8e-9)), v).gap)
    slope = (logs[1] - logs[0]) / np.diff(ELEMENTARY_OVER_BOLTZMANN / ambient)[0]
    lowered = (16 - 0.8 * 0.8**3) * 0.25 / 12 * 0.5
    assert -slope == pytest.approx(0.6 - lowered, abs=2e-3)  # eV; sinh is not quite its exponential


def test_spread_grows_with_resistance():
    n, params = 2000, VCM.Params(hop=1e-14)
    state = vcm.State(gap=jnp.full(n, 0.2e-9))

    @jax.jit
    def reset(v, dt, key):
        end, _ = devices.simulate(VCM, params, state, v, dt, key, record=())
        return -jnp.log(VCM.current(params, end, 0.1))

    rows = np.array([reset(np.full(10, v), 1e-8, jax.random.key(k)) for k, v in enumerate((-1.2, -1.3, -1.4, -1.5))])
    means, sds = rows.mean(axis=1), rows.std(axis=1)
    assert (np.diff(means) > 0).all()
    assert (np.diff(sds) > 4 * sds[1:] / n**0.5).all()  # sampling error of a difference: sd / sqrt(n)


def test_noise_of_one_step_is_that_of_many():
    """Against the linear noise equation, r the published rate: dP/dt = 2 r'(g) P + hop |r| exp((g - gap_min) / g0)."""
    n, gap, v, hop, steps = 4000, 0.35e-9, -1.4, 1e-14, 20_000
    state, params = vcm.State(gap=jnp.full(n, gap)), VCM.Params(hop=hop)
    for time in (2e-9, 2e-8, 2e-7):
        g, variance, h = gap, 0.0, time / steps
        for _ in range(steps):
            r = published_rate(g, v)
            slope = (published_rate(g + 1e-13, v) - published_rate(g - 1e-13, v)) / 2e-13
            variance += h * (2 * slope * variance + hop * abs(r) * np.exp((g - 0.2e-9) / 0.25e-9))
            g += h * r
        one = np.asarray(VCM.step(params, state, v, time, jax.random.key(3)).gap)
        assert one.mean() == pytest.approx(g, abs=0.006e-9)  # of the eight substeps
        assert one.std() == pytest.approx(variance**0.5, rel=4 / (2 * n) ** 0.5)


def test_refuses():
    for field, value, accepted in (
        ("gap_max", 1e-10, "more than gap_min"),
        ("e_a", -0.6, "more than 0 eV"),
        ("hop", -1.0, "0 m or more"),
    ):
        with pytest.raises(ValueError, match=f"{field} = {value}: accepted is {accepted}"):
            VCM.check(VCM.Params(**{field: value}))
