"""Rules of graded activity and of rates: fixed points, means over inputs, and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import plasticity
from memjax.plasticity import Signals, bcm, homeostasis, oja, srdp, wta_hebb

run = jax.jit(plasticity.run, static_argnames=("rule", "record"))
DT = 1e-3


def learn(rule, params, w, inputs, repeats=1):
    """Let linear neurons y = x w learn online; returns (w, outputs [T, n_post])."""

    def body(carry, x):
        w, state = carry
        y = jnp.matmul(x, w, precision="highest")
        dw, state = rule.step(params, state, Signals(x), Signals(y), w, None, DT)
        return (w + plasticity.dense(dw), state), y

    inputs = jnp.tile(inputs, (repeats, 1))
    (w, _), y = jax.jit(lambda w: jax.lax.scan(body, (w, rule.init(params, *w.shape)), inputs))(jnp.asarray(w))
    return np.asarray(w), np.asarray(y)


# --- Oja ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_oja_finds_the_first_principal_component(seed):
    """Within 2 degrees, and to length 1, with a rate that is lowered twice."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    inputs = (rng.normal(size=(20_000, 8)) * np.sqrt([4, 2.5, 2, 1.5, 1, 1, 0.5, 0.5])) @ axes.T
    w = rng.normal(size=(8, 2)).astype(np.float32) / 8
    for eta in (2e-3, 2e-4, 3e-5):
        w, _ = learn(oja.RULE, oja.Params(eta=eta), w, inputs.astype(np.float32), repeats=2)
    first = np.linalg.svd(inputs, full_matrices=False)[2][0]
    for column in w.T:
        angle = np.degrees(np.arccos(abs(column @ first) / np.linalg.norm(column)))
        assert angle < 2
        assert np.linalg.norm(column) == pytest.approx(1, abs=0.03)


def test_drift_of_oja_is_the_mean_over_the_inputs(x64):
    rng = np.random.default_rng(0)
    inputs, w = rng.normal(size=(500, 5)) @ rng.normal(size=(5, 5)), jnp.asarray(rng.normal(size=(5, 3)))
    one = lambda x: oja.step(oja.Params(), (), Signals(x), Signals(x @ w), w, None, DT)[0]  # noqa: E731
    mean = jnp.mean(jax.vmap(one)(jnp.asarray(inputs)), axis=0)
    np.testing.assert_allclose(mean, oja.drift(oja.Params(), inputs.T @ inputs / 500, w), rtol=0, atol=1e-12)


# --- BCM ----------------------------------------------------------------------------------------------------------


def test_bcm_settles_at_y_0_and_the_threshold_with_it(x64):
    params = bcm.Params(eta=0.01, y_0=1.7, tau_theta=5 * DT)
    _, y = learn(bcm.RULE, params, np.full((1, 1), 0.2), np.full((6000, 1), 1.3))
    assert y[-1, 0] == pytest.approx(1.7, rel=1e-6)
    assert float(bcm.drift(params, 1.3, 1.7)) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("patterns", [2, 3])
def test_bcm_makes_a_neuron_selective(patterns, x64):
    """Orthogonal patterns in turn: y = n y_0 for one of them and 0 for the others, whichever was first."""
    rng = np.random.default_rng(patterns)
    inputs = np.eye(patterns)[rng.integers(0, patterns, 40_000)]
    params = bcm.Params(eta=0.002, tau_theta=60 * DT)
    w, _ = learn(bcm.RULE, params, rng.uniform(0.4, 0.6, (patterns, 1)), inputs)
    w = np.sort(w[:, 0])
    assert w[-1] == pytest.approx(patterns, rel=0.1)
    np.testing.assert_allclose(w[:-1], 0, atol=0.02)


def test_threshold_of_bcm_slides_as_a_low_pass_filter(x64):
    params, y = bcm.Params(y_0=0.5, tau_theta=0.02), np.full((50, 1), 0.8)
    _, trace = run(bcm.RULE, params, np.zeros((1, 1)), np.ones((50, 1)), y, DT, record=True)
    target = 0.8**2 / 0.5
    wanted = target + (0.5 - target) * np.exp(-np.arange(1, 51) * DT / 0.02)
    np.testing.assert_allclose(trace.state.theta[:, 0], wanted, rtol=1e-12)


# --- SRDP ---------------------------------------------------------------------------------------------------------

RATES = np.array([1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 50.0, 100.0])
HELD = srdp.Params(a_plus=1e-4, a_minus=3e-4, tau_th=1e12)


def train(params, rate, n):
    spikes = np.zeros((round(n / rate / DT), 1))
    spikes[:: round(1 / rate / DT)] = 1
    return run(srdp.RULE, params, np.zeros((1, 1)), spikes, np.zeros_like(spikes), DT)[0][0, 0]


@pytest.mark.parametrize("n", [10, 100])
def test_trains_have_a_closed_form(n, x64):
    found = [train(HELD, rate, n) for rate in RATES[[3, 5, 7]]]
    np.testing.assert_allclose(found, srdp.train(HELD, RATES[[3, 5, 7]], n), rtol=1e-8)


def test_fast_trains_potentiate_and_slow_ones_depress(x64):
    curve = np.asarray(srdp.train(HELD, RATES, 100))
    assert (curve[RATES <= 10] < 0).all()
    assert (curve[RATES >= 20] > 0).all()
    # A regular train finds f = 1 / (exp(1 / (rate tau)) - 1) / tau, which is f_0 at a rate of 1 / (tau ln 2).
    assert float(srdp.drift(HELD, 1 / (0.1 * np.log(2)))) == pytest.approx(0, abs=1e-12)


def test_drift_of_srdp_is_the_mean_over_poisson_spikes(x64):
    params, steps, rng = srdp.Params(a_plus=1e-7, a_minus=1e-7, tau_th=1e12), 400_000, np.random.default_rng(0)
    spikes = rng.random((steps, 4)) < 30.0 * DT
    w, _ = run(srdp.RULE, params, np.zeros((4, 1)), spikes, np.zeros((steps, 1)), DT)
    rate = spikes.mean() / DT
    assert np.mean(w) / (steps * DT) == pytest.approx(1e-7 * rate * (rate - 10), rel=0.03)


def test_threshold_of_srdp_slides_with_the_history(x64):
    """Ten seconds at 60 Hz turn potentiation at 20 Hz into depression; ten at 2 Hz do not."""
    params, signs = srdp.Params(tau_th=3.0), {}
    for before in (2.0, 60.0):
        spikes = np.zeros((20_000, 1))
        spikes[: 10_000 : round(1 / before / DT)] = 1
        spikes[10_000::50] = 1
        _, trace = run(srdp.RULE, params, np.zeros((1, 1)), spikes, np.zeros_like(spikes), DT, record=True)
        signs[before] = np.sign(trace.w[11_000, 0, 0] - trace.w[10_500, 0, 0])
    assert signs == {2.0: 1, 60.0: -1}


# --- homeostasis --------------------------------------------------------------------------------------------------


def test_scaling_brings_a_neuron_to_its_target_and_keeps_ratios(x64):
    """A rate r = 10 sum w, given as graded activity: w follows the logistic curve beta w (target - r)."""
    params = homeostasis.Params(beta=0.5, target=8.0, tau_r=1e-3)
    rule, w0 = homeostasis.RULE, jnp.asarray([[0.02], [0.06]])

    def body(carry, _):
        w, state = carry
        rate = 10 * jnp.sum(w, axis=0)
        # One over e of a trace of tau_r = dt is left when it is read: what is put in makes it read `rate`.
        state = homeostasis.State(r=rate * jnp.exp(1.0))
        dw, state = rule.step(params, state, Signals(jnp.zeros(2)), Signals(jnp.zeros(1)), w, None, DT)
        return (w + dw, state), w

    (_, _), w = jax.lax.scan(body, (w0, rule.init(params, 2, 1)), length=3000)
    total, t = np.asarray(w.sum(axis=1))[:, 0], np.arange(3000) * DT
    logistic = 0.8 / (1 + (0.8 / 0.08 - 1) * np.exp(-0.5 * 8 * t))
    np.testing.assert_allclose(total, logistic, rtol=3e-3)
    np.testing.assert_allclose(w[:, 1] / w[:, 0], 3, rtol=1e-12)


def test_rate_of_scaling_is_the_filtered_one(x64):
    spikes = np.random.default_rng(0).random((3000, 1)) < 0.02
    rule, params = homeostasis.RULE, homeostasis.Params(tau_r=0.2)
    _, trace = run(rule, params, np.ones((1, 1)), np.zeros((3000, 1)), spikes, DT, record=True)
    lags = np.arange(3000)[:, None] - np.flatnonzero(spikes[:, 0])[None, :]
    wanted = np.where(lags >= 0, np.exp(-lags * DT / 0.2), 0).sum(axis=1) / 0.2
    np.testing.assert_allclose(trace.state.r[:, 0], wanted, rtol=1e-9)


def test_columns_sum_to_the_norm_in_one_step_and_empty_ones_stay(x64):
    w0 = np.random.default_rng(0).uniform(size=(6, 3)) * [1.0, 40.0, 0.0]
    w, _ = run(homeostasis.NORM, homeostasis.Params(), w0, np.zeros((1, 6)), np.zeros((1, 3)), DT)
    np.testing.assert_allclose(w.sum(axis=0), [78, 78, 0], rtol=1e-12)
    factor = np.asarray(w)[:, :2] / w0[:, :2]
    np.testing.assert_allclose(factor, np.broadcast_to(factor[:1], (6, 2)), rtol=1e-12)


def test_thresholds_rise_with_spikes_and_decay(x64):
    params, theta = homeostasis.Params(theta_plus=2e-4, tau_theta=0.5), jnp.zeros(2)
    for spike in ([1, 0], [0, 0], [1, 1]):
        theta = homeostasis.adapt(params, theta, Signals(jnp.asarray(spike)), 0.1)
    np.testing.assert_allclose(theta, [2e-4 * (np.exp(-0.4) + 1), 2e-4], rtol=1e-12)


# --- Manhattan ----------------------------------------------------------------------------------------------------


def test_manhattan_steps_by_one_size_and_by_signs_alone(x64):
    rng, rule = np.random.default_rng(0), plasticity.get("manhattan")
    x, error, w0 = rng.normal(size=(7, 4)) * [1, 1, 1, 0], rng.normal(size=(7, 2)), rng.normal(size=(4, 2))
    w, _ = run(rule, rule.Params(eta=0.01), w0, x, np.zeros((7, 2)), DT, modulator=error)
    np.testing.assert_allclose(w - w0, 0.01 * np.einsum("ti,tj->ij", np.sign(x), np.sign(error)), rtol=0, atol=1e-14)


def test_manhattan_batch_steps_against_the_summed_gradient(x64):
    rng, rule = np.random.default_rng(1), plasticity.get("manhattan_batch")
    x, error = rng.normal(size=(25, 4)), rng.normal(size=(25, 2))
    params = rule.Params(eta=0.01, batch=10.0)
    _, trace = run(rule, params, np.zeros((4, 2)), x, np.zeros((25, 2)), DT, modulator=error, record=True)
    steps = [0.01 * np.sign(x[k : k + 10].T @ error[k : k + 10]) for k in (0, 10)]
    np.testing.assert_array_equal(trace.w[8], 0)
    np.testing.assert_allclose(trace.w[9:19], np.broadcast_to(steps[0], (10, 4, 2)), rtol=0, atol=1e-15)
    np.testing.assert_allclose(trace.w[-1], steps[0] + steps[1], rtol=0, atol=1e-15)


# --- winner-take-all ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", wta_hebb.RULES, ids=lambda r: r.name)
@pytest.mark.parametrize("adapt", [0.0, 0.5])
def test_one_step_of_wta_hebb_equals_a_loop(rule, adapt, x64):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=6), rng.normal(size=(6, 4))
    params = rule.Params(eta=0.2, temperature=0.7, adapt=adapt)
    dw, _ = rule.step(params, (), Signals(jnp.asarray(x)), Signals(jnp.zeros(4)), jnp.asarray(w), None, DT)
    dw = plasticity.dense(dw)
    u = np.array([sum(x[i] * w[i, j] for i in range(6)) for j in range(4)])
    y = np.exp(u / 0.7) / np.exp(u / 0.7).sum()
    for j in range(4):
        won = u[j] == u.max()
        if rule is wta_hebb.MEANS:
            np.testing.assert_allclose(dw[:, j], 0.2 * won * (x - w[:, j]), rtol=1e-10, atol=1e-14)
            continue
        share = {"wta_hebb": y[j] if won else -y[j], "wta_hebb_soft": y[j], "wta_hebb_hard": float(won)}[rule.name]
        rate = 0.2 * abs(np.linalg.norm(w[:, j]) - 1) ** adapt
        np.testing.assert_allclose(dw[:, j], rate * share * (x - u[j] * w[:, j]), rtol=1e-10, atol=1e-14)
    given, _ = rule.step(
        params, (), Signals(jnp.asarray(x)), Signals(jnp.zeros(4), jnp.asarray(u)), jnp.asarray(w), None, DT
    )
    np.testing.assert_allclose(plasticity.dense(given), dw, rtol=0, atol=1e-14)


def test_means_of_what_a_neuron_wins(x64):
    """With eta = 1 / n at its n-th input a neuron's weights are the mean of its inputs; silence teaches nothing."""
    rng = np.random.default_rng(0)
    inputs, w = rng.normal(size=(50, 6)), jnp.asarray(rng.normal(size=(6, 3)) * 3)
    won = [[] for _ in range(3)]
    for x in inputs:
        j = int(np.argmax(x @ w))
        won[j].append(x)
        winner = jnp.asarray([j, j])
        both = jnp.stack([jnp.asarray(x), jnp.zeros(6)])
        w = w + plasticity.dense(wta_hebb.means(1 / len(won[j]), both, winner, w[:, winner].T, 3))
    assert min(map(len, won)) > 2
    np.testing.assert_allclose(w.T, [np.mean(x, axis=0) for x in won], rtol=0, atol=1e-12)
    silent = wta_hebb.step_means(wta_hebb.Params(), (), Signals(jnp.zeros(6)), Signals(jnp.zeros(3)), w, None, DT)[0]
    assert not np.any(plasticity.dense(silent))


def test_wta_hebb_turns_hints_into_clusters():
    """Eight noisy directions and eight neurons that lean towards one each: they arrive there, at length 1."""
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(20, 8)))[0].T
    inputs = (centres[rng.integers(0, 8, 6000)] + 0.1 * rng.normal(size=(6000, 20))).astype(np.float32)
    w0 = (0.2 * centres.T + 0.04 * rng.normal(size=(20, 8))).astype(np.float32)
    w, _ = learn(wta_hebb.RULE, wta_hebb.Params(eta=0.05, temperature=0.2), w0, inputs)
    along = lambda w: np.diag(centres @ (w / np.linalg.norm(w, axis=0)))  # noqa: E731
    assert along(w0).max() < 0.9
    assert along(w).min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(w, axis=0), 1, atol=0.01)


def test_the_adaptive_rate_is_finite_at_length_one():
    def first(w):
        x, u = Signals(jnp.ones(2)), Signals(jnp.zeros(1))
        return jnp.sum(wta_hebb.step(wta_hebb.Params(), (), x, u, w, None, DT)[0])

    value, gradient = jax.jit(jax.value_and_grad(first))(jnp.asarray([[1.0], [0.0]]))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
