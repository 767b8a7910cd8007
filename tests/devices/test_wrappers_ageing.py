"""Relaxation against the published polynomials, breakdown against Weibull's law, both as wrappers among others."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from memjax import crossbar, devices, variation

SOFT, ION = devices.get("soft_bounds"), devices.get("linear_ion_drift")
N = 100_000
# Wan et al. 2022 in uS at 40 uS, by powers of G / G_max, lowest first.
PUBLISHED = {
    1.0: [0.348, 16.030, -43.853, 45.393, -16.815],
    86400.0: [0.701, 22.086, -50.773, 47.095, -16.458],
}


@pytest.mark.parametrize("t", PUBLISHED)
@pytest.mark.parametrize("u", [0.1, 0.5, 1.0])
def test_relaxed_conductances_spread_as_published(t, u):
    device = devices.with_relaxation(SOFT)
    params = device.Params(inner=devices.soft_bounds.Params(g_min=0.0, g_max=40e-6))
    fresh = device.init(params, jnp.full(N, u))
    assert np.ptp(devices.conductance(device, params, fresh)) == 0
    state = device.step(params, fresh, 0.0, t, jax.random.key(0))
    g = np.asarray(devices.conductance(device, params, state), np.float64) * 1e6
    # No conductance is negative: a normal with what lies below 0 at 0.
    mean, sd = 40 * u, np.polynomial.polynomial.polyval(u, PUBLISHED[t])
    above, at = stats.norm.cdf(mean / sd), stats.norm.pdf(mean / sd)
    first, second = mean * above + sd * at, (mean**2 + sd**2) * above + mean * sd * at
    assert abs(g.mean() - first) < 5 * (second - first**2) ** 0.5 / N**0.5
    assert abs(g.var() / (second - first**2) - 1) < 5 * ((stats.kurtosis(g) + 2) / N) ** 0.5


def test_the_spread_grows_and_is_nowhere_negative(x64):
    u = np.linspace(0, 1, 101)
    sd = np.stack([devices.relaxation_sd(u, t) for t in (0.0, 1e-6, 1e-3, 1.0, 100.0, 86400.0)])
    assert np.all(sd[0] == 0)
    assert np.all(np.diff(sd, axis=0) > 0)
    np.testing.assert_allclose(sd[4], sd[3] + (sd[5] - sd[3]) * np.log(100) / np.log(86400), rtol=1e-12)


def test_a_write_draws_anew_and_rest_does_not():
    device = devices.with_relaxation(SOFT)
    params = device.Params(inner=devices.soft_bounds.Params(step_up=0.0), v_write_min=0.6)
    state = device.step(params, device.init(params, jnp.full(1000, 0.5)), 0.0, 1.0, jax.random.key(0))
    rested = device.step(params, state, 0.5, 1.0, jax.random.key(1))  # below v_write_min
    np.testing.assert_array_equal(rested.z, state.z)
    assert np.all(np.asarray(rested.t) == 2)
    written = device.step(params, state, 1.0, 1.0, jax.random.key(1))
    assert abs(np.corrcoef(written.z, state.z)[0, 1]) < 5 / 1000**0.5
    assert np.all(np.asarray(written.t) == 0)
    np.testing.assert_array_equal(  # what was written is found undisturbed
        devices.conductance(device, params, written), devices.conductance(SOFT, params.inner, written.inner)
    )
    later = device.relax(params, state, 86399.0)
    np.testing.assert_array_equal(later.z, state.z)
    g = devices.conductance(device, params, later.replace(z=jnp.full(1000, -1e3)))
    assert np.all(np.asarray(g) == 0)


def test_devices_fail_by_weibulls_law():
    device = devices.with_breakdown(SOFT)
    lives = variation.sample_lives((N,), 1000.0, 1.5, jax.random.key(0))
    params = device.Params(life=lives, x_failed=0.0)
    state = device.init(params, 0.8)
    for writes in (100.0, 1000.0, 2000.0):
        g = devices.conductance(device, params, state.replace(writes=jnp.full(N, writes)))
        share = 1 - np.exp(-((writes / 1000) ** 1.5))
        failed = np.mean(np.asarray(g) < 0.5 * float(devices.conductance(device, params, state)[0]))
        assert abs(failed - share) < 5 * np.sqrt(share * (1 - share) / N)


def test_a_failed_device_is_stuck_and_writes_are_counted():
    device = devices.with_breakdown(SOFT)
    params = device.Params(life=3.0, x_failed=1.0)
    state, g = device.init(params, 0.2), []
    for _ in range(5):
        state = device.step(params, state, 1.0, 1e-8, None)
        g.append(float(devices.conductance(device, params, state)))
    assert float(state.writes) == 5
    assert g[0] < g[1] < g[2] == g[3] == g[4] == pytest.approx(params.inner.g_max)
    wide = devices.with_breakdown(ION)
    params = wide.Params(v_write_min=0.2)
    _, trace = devices.simulate(wide, params, wide.init(params, 0.5), np.array([1.0, 1.0, 0.1, 1.0, -1.0, -1.0]), 1e-4)
    np.testing.assert_array_equal(trace.state.writes, [1, 1, 1, 2, 3, 3])


def test_every_pulse_of_an_array_is_a_write():
    """Also of an ODE model, for which a stretch of steps of one sign is one write: pulses end before others begin."""
    device = devices.with_breakdown(devices.with_read_noise(devices.with_endurance(ION)))
    params = device.Params(life=9.0)
    xbar = crossbar.create(device, (2, 3), polarity=1, params=params, x=0.3)
    ups, key = jnp.ones((1, 2, 3)).at[0, 0, 0].set(0.0), jax.random.key(0)
    for n in range(1, 4):
        xbar, _ = crossbar.write(xbar, ups, 1e-6, key, max_pulses=1)
        for counting in (xbar.state, xbar.state.inner.inner):
            np.testing.assert_array_equal(counting.writes.reshape(2, 3), n * np.asarray(ups[0]))
    xbar, _ = crossbar.write(xbar, -4 * ups[:, 1:], 1e-6, key, rows=jnp.asarray([1]))
    np.testing.assert_array_equal(xbar.state.writes.reshape(2, 3), [[0, 3, 3], [7, 7, 7]])
    assert devices.end_pulse(ION.init(ION.Params(), 0.5)).x == 0.5


@pytest.mark.parametrize("make, off", [("with_relaxation", {"scale": 0.0}), ("with_breakdown", {"life": np.inf})])
def test_switched_off_it_is_the_inner_device_to_the_bit(make, off):
    wrap = getattr(devices, make)
    device = wrap(devices.get("volatile_nonvolatile"))
    assert wrap(devices.get("volatile_nonvolatile")) is device
    inner, params = devices.get("volatile_nonvolatile"), device.Params(**off)
    device.check(params)
    x, v = jnp.linspace(0.0, 1.0, 9), jnp.array([1.0, -1.0, 0.0] * 3)
    plain, trial = inner.init(params.inner, x), device.init(params, x)
    for n in range(3):
        np.testing.assert_array_equal(device.current(params, trial, v), inner.current(params.inner, plain, v))
        plain = inner.step(params.inner, plain, v, 1e-3, jax.random.key(n))
        trial = device.step(params, trial, v, 1e-3, jax.random.key(n))
        chex.assert_trees_all_equal(trial.inner, plain)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_protocol_among_other_wrappers(x64, dtype):
    device = devices.with_breakdown(devices.with_drift(devices.with_relaxation(devices.get("volatile"))))
    params = device.Params()
    device.check(params)

    @jax.jit
    def run(x, v):
        state = device.init(params, x)
        return state, device.step(params, state, v, 1e-3, jax.random.key(0)), device.relax(params, state, 0.1)

    state, new, rested = run(jnp.full((2, 3), 0.4, dtype), jnp.ones((2, 3), dtype))
    chex.assert_trees_all_equal_shapes_and_dtypes(state, new, rested)
    lo, hi = device.bounds(params)
    jax.tree.map(lambda s, a, b: np.testing.assert_array_equal(jnp.clip(s, a, b), s), new, lo, hi)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(device.current(params, run(x, jnp.ones((2, 3), dtype))[2], 0.1)) / 1e-6))
    chex.assert_tree_all_finite(slope(jnp.full((2, 3), 0.4, dtype)))


@pytest.mark.parametrize(
    "make, bad, message",
    [
        ("with_relaxation", {"scale": -1.0}, r"scale = -1.0: accepted is 0 \(off\) or more"),
        ("with_breakdown", {"life": 0.0}, "life = 0.0: accepted is more than 0 writes"),
        ("with_breakdown", {"x_failed": 2.0}, "x_failed = 2.0: accepted is 0 to 1"),
    ],
)
def test_refuses(make, bad, message):
    device = getattr(devices, make)(SOFT)
    with pytest.raises(ValueError, match=message):
        device.check(device.Params(**bad))
    if make == "with_relaxation":
        params = device.Params()
        with pytest.raises(ValueError, match="draws noise at every write: give a key"):
            device.step(params, device.init(params, 0.5), 1.0, 1e-3, None)
