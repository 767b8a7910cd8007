"""Pair STDP against its closed form, against sums over spike times, and against loops over single synapses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import plasticity
from memjax.plasticity import Outer, Signals

run = jax.jit(plasticity.run, static_argnames=("rule", "record"))

STDP, NEAREST = plasticity.get("stdp"), plasticity.get("stdp_nearest")
PRE_CENTRED, REDUCED = plasticity.get("stdp_pre_centred"), plasticity.get("stdp_reduced")
RULES = [STDP, NEAREST, PRE_CENTRED, REDUCED]
PARAMS = STDP.Params(a_plus=0.011, a_minus=0.013, tau_plus=0.0168, tau_minus=0.0337)
DT = 1e-3


def trains(seed, steps=400, n_pre=4, n_post=3, rate=0.08):
    rng = np.random.default_rng(seed)
    pre, post = rng.random((steps, n_pre)) < rate, rng.random((steps, n_post)) < rate
    assert (pre[:, :, None] & post[:, None, :]).sum() > 5  # coincidences are part of the test
    return rng.uniform(0.1, 0.9, (n_pre, n_post)), pre, post


def partners_of_post(scheme, pre_times, post_times):
    """Return the pre spikes that a post spike pairs with; the lists hold those of earlier steps."""
    if scheme == "stdp":
        return pre_times
    last = post_times[-1] if post_times else -1
    if scheme == "stdp_pre_centred":
        return [s for s in pre_times if s >= last]  # each pre spike with the next post spike, never one of its own step
    if scheme == "stdp_reduced":
        return [s for s in pre_times[-1:] if s >= last]
    return pre_times[-1:]


def partners_of_pre(scheme, pre_times, post_times):
    """Return the post spikes that a pre spike pairs with."""
    if scheme == "stdp":
        return post_times
    last = pre_times[-1] if pre_times else -1
    return [s for s in post_times[-1:] if scheme != "stdp_reduced" or s >= last]


def by_spike_times(p, w0, pre, post, *, scheme, mu=None, clip=False):
    """Walk through each synapse on its own, with lists of spike times and no traces."""
    history = np.empty((len(pre), *w0.shape))
    for i, j in np.ndindex(*w0.shape):
        w, pre_times, post_times = w0[i, j], [], []
        for n in range(len(pre)):
            up = down = 0.0
            if post[n, j]:
                partners = partners_of_post(scheme, pre_times, post_times)
                up = sum(p.a_plus * np.exp(-(n - s) * DT / p.tau_plus) for s in partners)
            if pre[n, i]:
                partners = partners_of_pre(scheme, pre_times, post_times)
                down = sum(p.a_minus * np.exp(-(n - s) * DT / p.tau_minus) for s in partners)
            pre_times += [n] * int(pre[n, i])
            post_times += [n] * int(post[n, j])
            if mu is None:
                w = w + up - down
            else:
                w = w + up * (1 - w) ** mu - down * w**mu
            if clip:
                w = min(max(w, 0.0), 1.0)
            history[n, i, j] = w
    return history


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_window_is_the_closed_form(rule, x64):
    dts = np.arange(-100, 101) * DT
    change = plasticity.window(rule, PARAMS, dts, DT)
    wanted = np.where(
        dts > 0, PARAMS.a_plus * np.exp(-dts / PARAMS.tau_plus), -PARAMS.a_minus * np.exp(dts / PARAMS.tau_minus)
    )
    wanted[dts == 0] = 0  # coincident spikes do not see each other
    np.testing.assert_allclose(change, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_trains_equal_a_loop_over_spike_times(rule, seed, x64):
    w0, pre, post = trains(seed)
    _, trace = run(rule, PARAMS, w0, pre, post, DT, record=True)
    wanted = by_spike_times(PARAMS, w0, pre, post, scheme=rule.name)
    np.testing.assert_allclose(trace.w, wanted, rtol=0, atol=1e-12)


def test_all_to_all_is_the_double_sum_over_all_pairs(x64):
    w0, pre, post = trains(3)
    w, _ = run(STDP, PARAMS, w0, pre, post, DT)
    for i, j in np.ndindex(*w0.shape):
        dt = (np.flatnonzero(post[:, j])[:, None] - np.flatnonzero(pre[:, i])[None, :]) * DT
        pairs = np.sum(PARAMS.a_plus * np.exp(-dt[dt > 0] / PARAMS.tau_plus))
        pairs -= np.sum(PARAMS.a_minus * np.exp(dt[dt < 0] / PARAMS.tau_minus))
        np.testing.assert_allclose(w[i, j] - w0[i, j], pairs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
@pytest.mark.parametrize("mu", [0.3, 1.0])
def test_soft_bounds_equal_a_loop_over_spike_times(rule, mu, x64):
    w0, pre, post = trains(4)
    w0[0, :2] = 0.0, 1.0  # start at the bounds too
    params = PARAMS.replace(mu=mu, a_plus=0.11, a_minus=0.13)
    _, trace = run(rule, params, w0, pre, post, DT, record=True, w_min=0.0, w_max=1.0)
    wanted = by_spike_times(params, w0, pre, post, scheme=rule.name, mu=mu, clip=True)
    np.testing.assert_allclose(trace.w, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_mu_zero_is_exactly_additive_beyond_the_bounds_too(rule, x64):
    w0, pre, post = trains(5)
    w0 = 3 * w0 - 1
    assert w0.min() < 0
    assert w0.max() > 1
    additive, _ = run(rule, PARAMS, w0, pre, post, DT)
    soft, _ = run(rule, PARAMS.replace(mu=0.0), w0, pre, post, DT)
    np.testing.assert_allclose(soft, additive, rtol=0, atol=1e-15)


def test_soft_bounds_stop_at_and_beyond_the_bound():
    params = PARAMS.replace(mu=0.5)
    times = np.array([0.005, -0.005])
    assert np.asarray(plasticity.window(STDP, params, times, DT, w=1.0))[0] == 0
    assert np.asarray(plasticity.window(STDP, params, times, DT, w=0.0))[1] == 0
    assert np.asarray(plasticity.window(STDP, params, times, DT, w=1.5))[0] == 0
    assert np.asarray(plasticity.window(STDP, params, times, DT, w=-0.5))[1] == 0


def test_gradients_stay_finite_at_and_beyond_the_bounds():
    w0, pre, post = trains(6)
    w0[:, 0], w0[0, 1], w0[1, 1] = [0.0, 1.0, -0.2, 1.2], 0.0, 1.0

    def loss(inputs):
        mu, w = inputs
        return jnp.sum(run(STDP, PARAMS.replace(mu=mu), w, pre, post, DT)[0])

    gradient = jax.jit(jax.grad(loss))
    for mu in (0.0, 0.5, 1.0):
        for leaf in jax.tree.leaves(gradient((jnp.float32(mu), jnp.asarray(w0, jnp.float32)))):
            assert np.all(np.isfinite(leaf))


def test_factors_equal_the_dense_change_and_only_soft_bounds_need_it(x64):
    rng = np.random.default_rng(7)
    w = jnp.asarray(rng.uniform(size=(4, 3)))
    state = plasticity.stdp.State(x=jnp.asarray(rng.uniform(size=4)), y=jnp.asarray(rng.uniform(size=3)))
    pre, post = (Signals(jnp.asarray(rng.random(n) < 0.5)) for n in (4, 3))
    for rule in (STDP, NEAREST):
        factors, after = rule.step(PARAMS, state, pre, post, w, None, DT)
        full, after_full = rule.step(PARAMS.replace(mu=0.0), state, pre, post, w, None, DT)
        assert isinstance(factors, Outer)
        assert factors.a.shape == (2, 4)
        assert not isinstance(full, Outer)
        np.testing.assert_allclose(plasticity.dense(factors), full, rtol=0, atol=1e-17)
        jax.tree.map(np.testing.assert_array_equal, after, after_full)


def test_nearest_differs_from_all_to_all_only_after_a_second_spike(x64):
    pre, post = np.zeros((30, 1)), np.zeros((30, 1))
    pre[[0, 5]], post[10] = 1, 1
    kernel = [PARAMS.a_plus * np.exp(-n * DT / PARAMS.tau_plus) for n in (10, 5)]
    both, _ = run(STDP, PARAMS, [[0.0]], pre, post, DT)
    latest, _ = run(NEAREST, PARAMS, [[0.0]], pre, post, DT)
    np.testing.assert_allclose([both[0, 0], latest[0, 0]], [sum(kernel), kernel[1]], rtol=0, atol=1e-15)


def test_pairing_schemes_part_on_bursts(x64):
    """Spikes pre 0, pre 4, post 10, post 14, pre 20: what each scheme pairs, written out."""
    pre, post = np.zeros((30, 1)), np.zeros((30, 1))
    pre[[0, 4, 20]], post[[10, 14]] = 1, 1
    up = lambda *gaps: sum(PARAMS.a_plus * np.exp(-g * DT / PARAMS.tau_plus) for g in gaps)  # noqa: E731
    down = lambda *gaps: sum(PARAMS.a_minus * np.exp(-g * DT / PARAMS.tau_minus) for g in gaps)  # noqa: E731
    wanted = {
        "stdp": up(10, 6, 14, 10) - down(10, 6),
        "stdp_nearest": up(6, 10) - down(6),
        "stdp_pre_centred": up(10, 6) - down(6),
        "stdp_reduced": up(6) - down(6),
    }
    for rule in RULES:
        w, _ = run(rule, PARAMS, [[0.0]], pre, post, DT)
        assert w[0, 0] == pytest.approx(wanted[rule.name], abs=1e-15)


@pytest.mark.parametrize("mu", [None, 0.4])
def test_drift_is_the_mean_over_poisson_spikes(mu, x64):
    """At small steps of the weight the mean change is the drift; discrete time shortens each trace by dt / 2."""
    params, rates, steps = PARAMS.replace(a_plus=1e-6, a_minus=2e-6, mu=mu), (20.0, 35.0), 200_000
    rng = np.random.default_rng(0)
    pre, post = (rng.random((steps, 6)) < rate * DT for rate in rates)
    w, _ = run(STDP, params, np.full((6, 6), 0.3), pre, post, DT)
    half = params.replace(tau_plus=params.tau_plus - DT / 2, tau_minus=params.tau_minus - DT / 2)
    wanted = plasticity.stdp.drift(half, *(side.mean() / DT for side in (pre, post)), 0.3)
    assert np.mean(w - 0.3) / (steps * DT) == pytest.approx(float(wanted), rel=0.02)
