"""Each wrapper against its own law: closed forms, and statistics with four standard errors."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices

pytestmark = pytest.mark.broad

SOFT, VOLATILE, ION = (devices.get(name) for name in ("soft_bounds", "volatile", "linear_ion_drift"))
N = 20_000


def walk(device, params, state, voltage, dt, seed=0):
    """Step by step, jitted once: the states after each step."""
    return jax.jit(lambda s: devices.simulate(device, params, s, voltage, dt, jax.random.key(seed))[1])(state)


# --- C2C relative to the range ------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.3, 0.7])
def test_range_noise_has_one_size_wherever_the_device_stands(x):
    wrapped = devices.with_range_noise(SOFT)
    params = wrapped.Params(sigma=0.035)
    state = wrapped.init(params, jnp.full(N, x))
    clean = SOFT.step(params.inner, state, 1.0, 1e-3, None)
    move = np.asarray(wrapped.step(params, state, 1.0, 1e-3, jax.random.key(2)).x - clean.x, np.float64)
    assert abs(move.mean()) < 4 * 0.035 / N**0.5
    assert abs(move.std() / 0.035 - 1) < 4 / (2 * N) ** 0.5


def test_range_noise_is_in_units_of_the_range_and_only_at_writes():
    wrapped = devices.with_range_noise(VOLATILE)
    params = wrapped.Params(inner=devices.volatile.Params(g_min=1e-6, g_max=5e-6), sigma=0.02)
    state = wrapped.init(params, jnp.full(N, 0.5))
    noisy = wrapped.step(params, state, jnp.ones(N), 0.0, jax.random.key(0))
    assert abs(float(noisy.g.std()) / (0.02 * 4e-6) - 1) < 4 / (2 * N) ** 0.5 + 1e-3
    rest = wrapped.step(params, state, jnp.zeros(N), 1e-3, jax.random.key(0))
    chex.assert_trees_all_equal(rest, VOLATILE.step(params.inner, state, jnp.zeros(N), 1e-3, None))


def test_range_noise_leaves_what_has_no_range():
    sine = devices.get("sine_drift")
    wrapped = devices.with_range_noise(sine)
    params = wrapped.Params(sigma=0.1)
    state = wrapped.init(params, jnp.full(4, 0.5))
    new, clean = (d.step(p, state, 1.0, 0.1, jax.random.key(0)) for d, p in ((wrapped, params), (sine, params.inner)))
    np.testing.assert_array_equal(new.phi, clean.phi)
    assert (new.w != clean.w).all()
    with pytest.raises(ValueError, match="'modular' has no bounded state.*accepted is with_c2c_noise"):
        devices.with_range_noise(devices.get("modular"))


# --- drift and retention ------------------------------------------------------------------------------------------


def test_power_law_drift(x64):
    """G(t) = G ((t + t0) / t0)^-nu from steps and from one relaxation; a write starts anew, a read does not."""
    wrapped = devices.with_drift(SOFT)
    params = wrapped.Params(nu=0.1, t0=20.0, v_write_min=0.5)
    state = wrapped.step(params, wrapped.init(params, 0.4), 1.0, 1e-6, None)
    g = float(SOFT.current(params.inner, state.inner, 0.1)) / 0.1
    times = np.array([60.0, 3600.0, 86400.0])
    rest = [devices.conductance(wrapped, params, wrapped.relax(params, state, t)) for t in times]
    np.testing.assert_allclose(np.array(rest), g * ((times + 20) / 20) ** -0.1, rtol=1e-12)
    stepped = state
    for v in (0.0, 0.1, 0.0):  # a read of 0.1 V is no write here, but the soft-bounds device is pulsed by it
        stepped = wrapped.step(params, stepped, v, 20.0, None)
    np.testing.assert_allclose(stepped.t, 60.0)
    again = wrapped.step(params, stepped, 1.0, 1e-6, None)
    np.testing.assert_array_equal(again.t, 0.0)


def test_exponential_retention(x64):
    """Towards x_rest with tau where the device holds still, by any division of the time; else at both rates."""
    wrapped = devices.with_drift(SOFT, "exponential")
    params = wrapped.Params(tau=100.0, x_rest=0.3)
    state = wrapped.init(params, jnp.array([0.0, 0.3, 0.9]))
    expected = 0.3 + (np.array([0.0, 0.3, 0.9]) - 0.3) * np.exp(-0.7)
    np.testing.assert_allclose(wrapped.relax(params, state, 70.0).x, expected, rtol=1e-13)
    parts = wrapped.relax(params, wrapped.step(params, state, 0.0, 30.0, None), 40.0)
    np.testing.assert_allclose(parts.x, expected, rtol=1e-13)
    assert wrapped.volatile
    both = devices.with_drift(VOLATILE, "exponential")
    params = both.Params(tau=0.2)
    state = both.init(params, 0.8)
    p = params.inner
    g = p.g_min + 0.8 * (p.g_max - p.g_min) * np.exp(-0.05 / 0.2 - 0.05 / p.tau)
    np.testing.assert_allclose(both.relax(params, state, 0.05).g, g, rtol=1e-12)


# --- read noise ---------------------------------------------------------------------------------------------------


def reads(kind, steps=2, dt=1e-3, n=N, seed=0, **own):
    """Relative deviations of the current [steps, n], one after each step at rest."""
    wrapped = devices.with_read_noise(SOFT, kind)
    params = wrapped.Params(**own)
    state = wrapped.init(params, jnp.full(n, 0.5))
    np.testing.assert_array_equal(
        wrapped.current(params, state, 0.1), SOFT.current(params.inner, SOFT.init(params.inner, jnp.full(n, 0.5)), 0.1)
    )
    _, trace = jax.jit(
        lambda s: devices.simulate(wrapped, params, s, jnp.zeros(steps), dt, jax.random.key(seed), record="state")
    )(state)
    i = jax.vmap(lambda s: wrapped.current(params, s, 0.1))(trace.state)
    chex.assert_trees_all_equal(trace.state.inner.x[-1], jnp.full(n, 0.5))
    return np.asarray(i, np.float64) / float(wrapped.current(params, state, 0.1)[0]) - 1


def test_white_noise_is_fresh_at_every_step():
    d = reads("white", sigma=0.05)
    assert (abs(d.mean(1)) < 4 * 0.05 / N**0.5).all()
    assert (abs(d.std(1) / 0.05 - 1) < 4 / (2 * N) ** 0.5).all()
    assert abs(np.corrcoef(d)[0, 1]) < 4 / N**0.5


def test_one_over_f_is_stationary_from_the_first_step_and_has_its_autocovariance():
    """C(t) = sigma^2 mean_k exp(-t / tau_k)."""
    tau = np.geomspace(1e-4, 10.0, 8)
    d = reads("one_over_f", steps=21, sigma=0.05, tau_min=1e-4, tau_max=10.0)
    assert (abs(d.std(1) / 0.05 - 1) < 5 / (2 * N) ** 0.5).all()
    for lag in (1, 5, 20):
        expected = np.exp(-lag * 1e-3 / tau).mean()
        assert abs(np.mean(d[0] * d[lag]) / 0.05**2 - expected) < 4 * 2**0.5 / N**0.5


def test_one_over_f_has_the_spectrum_of_its_name():
    """The slope of the averaged periodogram is -1 over a decade and a half, well inside 1/tau_max and 1/tau_min."""
    d = reads("one_over_f", steps=1024, dt=1e-3, n=400, sigma=0.05, tau_min=1e-3, tau_max=1e3)
    power = (np.abs(np.fft.rfft(d * np.hanning(1024)[:, None], axis=0)) ** 2).mean(1)
    edges = np.geomspace(3, 80, 10).astype(int)
    middle = [(b - 1 + a) / 2 for a, b in zip(edges[:-1], edges[1:], strict=True)]
    level = [power[a:b].mean() for a, b in zip(edges[:-1], edges[1:], strict=True)]
    assert abs(np.polyfit(np.log(middle), np.log(level), 1)[0] + 1) < 0.1


def test_telegraph_noise_has_two_levels_their_shares_and_their_switching_rate():
    high, low, dt = 3e-3, 1e-3, 1e-3
    d = reads("telegraph", steps=3, dt=dt, amplitude=0.2, tau_high=high, tau_low=low)
    np.testing.assert_allclose(np.unique(np.round(d, 5)), [-0.1, 0.1])
    up = d > 0
    share, kept = high / (high + low), np.exp(-dt * (1 / high + 1 / low))
    error = 4 * (share * (1 - share) / N) ** 0.5
    assert (abs(up.mean(1) - share) < error).all()  # from the first step
    stayed = up[2][up[1]].mean()
    assert abs(stayed - (share + (1 - share) * kept)) < 2 * error


def test_relaxing_keeps_the_noise_where_it_was():
    wrapped = devices.with_read_noise(VOLATILE, "one_over_f")
    params = wrapped.Params()
    state = wrapped.step(params, wrapped.init(params, jnp.full(3, 0.5)), 1.0, 1e-3, jax.random.key(0))
    rest = wrapped.relax(params, state, 0.1)
    np.testing.assert_array_equal(rest.n, state.n)
    chex.assert_trees_all_equal(rest.inner, VOLATILE.relax(params.inner, state.inner, 0.1))
    assert devices.with_read_noise(SOFT).relax is None


# --- temperature --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("e_a, factor", [(1.1, 1303), (1.0, 679), (0.6, 50)])
def test_arrhenius_from_25_to_85_degrees(e_a, factor):
    np.testing.assert_allclose(float(devices.arrhenius(e_a, 358.15, 298.15)), factor, rtol=5e-3)


def test_temperature_scales_step_rate_and_relaxation(x64):
    factor = np.exp(0.6 / 8.617333262e-5 * (1 / 300 - 1 / 320))
    hot = devices.with_temperature(VOLATILE)
    params = hot.Params(temperature=320.0, reference=300.0, e_a=0.6)
    state = hot.init(params, 0.7)
    expected = VOLATILE.relax(params.inner, state, 0.02 * factor)
    chex.assert_trees_all_close(hot.relax(params, state, 0.02), expected, rtol=1e-9)
    chex.assert_trees_all_close(hot.step(params, state, 0.0, 0.02, None), expected, rtol=1e-9)
    chex.assert_trees_all_equal(
        hot.step(params, state, 1.0, 0.02, None), VOLATILE.step(params.inner, state, 1.0, 1, None)
    )
    hot = devices.with_temperature(ION)
    params = hot.Params(temperature=320.0, reference=300.0, e_a=0.6)
    state = hot.init(params, 0.3)
    np.testing.assert_allclose(hot.rate(params, state, 0.7).x, factor * ION.rate(params.inner, state, 0.7).x, rtol=1e-9)
    voltage = np.full(50, 0.1)
    own, _ = devices.simulate(hot, params, state, voltage, 1e-3)
    rk4, _ = devices.simulate(hot, params, state, voltage, 1e-3, solver="rk4")
    np.testing.assert_allclose(own.x, rk4.x, rtol=1e-9)


# --- endurance ----------------------------------------------------------------------------------------------------


def test_the_window_closes_with_the_writes(x64):
    wrapped = devices.with_endurance(SOFT)
    params = wrapped.Params(n_wear=50.0, beta=2.0, x_worn=0.25)
    state = wrapped.init(params, jnp.array([0.0, 0.25, 1.0]))
    fresh = np.asarray(devices.conductance(wrapped, params, state))
    for writes in (0.0, 20.0, 50.0, 1e6):
        worn = np.asarray(devices.conductance(wrapped, params, state.replace(writes=jnp.full(3, writes))))
        np.testing.assert_allclose(worn - fresh[1], np.exp(-((writes / 50) ** 2)) * (fresh - fresh[1]), atol=1e-18)
    assert float(wrapped.step(params, state, 0.0, 1.0, None).writes[0]) == 0
    trace = walk(wrapped, params, state, np.array([1.0, 1.0, 0.0, -1.0, 1.0]), 1e-3)
    np.testing.assert_array_equal(trace.state.writes[:, 0], [1, 2, 2, 3, 4])


def test_a_write_of_an_ode_model_may_last_many_steps():
    wrapped = devices.with_endurance(ION)
    params = wrapped.Params(v_write_min=0.2)
    v = np.array([1.0, 1.0, 1.0, 0.1, 1.0, -1.0, -1.0, 0.0, 0.0, -1.0])
    trace = walk(wrapped, params, wrapped.init(params, 0.5), v, 1e-4)
    np.testing.assert_array_equal(trace.state.writes, [1, 1, 1, 1, 2, 3, 3, 3, 3, 4])


# --- levels -------------------------------------------------------------------------------------------------------


def test_levels_quantise_the_read_and_not_the_state(x64):
    wrapped = devices.with_levels(SOFT)
    params = wrapped.Params(levels=5.0)
    x = np.linspace(0, 1, 80)  # none halfway between two levels
    state = wrapped.init(params, x)
    g = np.asarray(devices.conductance(wrapped, params, state))
    lo, hi = params.inner.g_min, params.inner.g_max
    np.testing.assert_allclose(np.unique(np.round((g - lo) / (hi - lo), 9)), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(g, lo + np.round(x * 4) / 4 * (hi - lo), rtol=1e-9)
    chex.assert_trees_all_equal(wrapped.step(params, state, 1.0, 1, None), SOFT.step(params.inner, state, 1.0, 1, None))


def test_pulses_below_a_level_add_up_and_gradients_pass(x64):
    wrapped = devices.with_levels(SOFT)
    params = wrapped.Params(levels=11.0, inner=devices.soft_bounds.Params(step_up=0.01))
    trace = walk(wrapped, params, wrapped.init(params, 0.5), np.ones(30), 1e-3)
    g = jax.vmap(lambda s: devices.conductance(wrapped, params, s))(trace.state)
    moves = np.diff(np.asarray(g)) > 1e-12
    assert 0 < moves.sum() <= 3
    slope = jax.grad(lambda x: wrapped.current(params, wrapped.init(params, x), 0.1))(0.4321)
    np.testing.assert_allclose(slope, 0.1 * (params.inner.g_max - params.inner.g_min), rtol=1e-9)
