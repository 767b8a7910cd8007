"""The local rule for hidden layers against a loop, and against autodiff of a spiking network's loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import neurons, plasticity
from memjax.plasticity import Outer, Signals, three_factor

RULE = plasticity.get("three_factor")
DT = 1e-3
STEPS, N_IN, N_HIDDEN, N_OUT = 25, 12, 8, 3


@pytest.mark.parametrize("tau_pre", [0.0, 0.009])
@pytest.mark.parametrize("with_v", [True, False])
def test_random_input_equals_a_loop(tau_pre, with_v, x64):
    rng = np.random.default_rng(0)
    params = RULE.Params(eta=0.07, tau_pre=tau_pre, threshold=0.9, width=0.6)
    pre, v, error = rng.random((60, 5)), rng.normal(0.9, 0.4, (60, 3)), rng.normal(size=(60, 3))
    w0 = rng.normal(size=(5, 3))
    post = Signals((v > 0.9), v if with_v else None)
    _, trace = plasticity.run(RULE, params, w0, pre, post, DT, modulator=error, record=True)

    w, x, wanted = w0.copy(), np.zeros(5), []
    for n in range(60):
        for i in range(5):
            x[i] = (x[i] * np.exp(-DT / tau_pre) if tau_pre else 0.0) + pre[n, i]
            for j in range(3):
                distance = abs(v[n, j] - 0.9) / 0.6
                slope = (max(0.0, 1 - distance) / 0.6) if with_v else 1.0
                w[i, j] -= 0.07 * error[n, j] * slope * x[i]
        wanted.append(w.copy())
    np.testing.assert_allclose(trace.w, wanted, rtol=0, atol=1e-12)


def test_psi_has_unit_area_and_its_peak_at_the_threshold(x64):
    u = jnp.linspace(-2, 2, 40_001)
    for width in (0.3, 1.0):
        np.testing.assert_allclose(np.trapezoid(neurons.psi(u, width), u), 1, atol=1e-7)
        assert neurons.psi(jnp.asarray(0.0), width) == 1 / width
        assert neurons.psi(jnp.asarray(1.01 * width), width) == 0


def test_no_filter_has_finite_gradients_and_is_the_limit_of_a_short_one(x64):
    rng = np.random.default_rng(1)
    pre, v, error = rng.random((9, 4)), rng.normal(1, 0.4, (9, 2)), rng.normal(size=(9, 2))

    def final(tau):
        params = RULE.Params(tau_pre=tau)
        return plasticity.run(RULE, params, np.zeros((4, 2)), pre, Signals(v > 1, v), DT, modulator=error)[0]

    np.testing.assert_array_equal(final(0.0), final(1e-6))
    assert np.isfinite(jax.jit(jax.grad(lambda tau: jnp.sum(final(tau) ** 2)))(0.0))
    assert np.max(np.abs(final(0.0) - final(0.01))) > 1e-2


def test_without_potential_and_filter_it_is_the_delta_rule(x64):
    rng = np.random.default_rng(2)
    pre, error, w0 = rng.random((7, 4)), rng.normal(size=(7, 2)), rng.normal(size=(4, 2))
    delta = plasticity.get("delta")
    post = np.zeros((7, 2))
    a, _ = plasticity.run(RULE, RULE.Params(eta=0.1, tau_pre=0.0), w0, pre, post, DT, modulator=error)
    b, _ = plasticity.run(delta, delta.Params(eta=0.1), w0, pre, post, DT, modulator=-error)
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-15)
    wanted = w0 - 0.1 * np.einsum("ti,tj->ij", pre, error)
    np.testing.assert_allclose(b, wanted, rtol=0, atol=1e-14)


def test_factors_form_one_update_from_averages(x64):
    rng = np.random.default_rng(3)
    xbar, slope, error = rng.random(5), rng.random(3), rng.normal(size=3)
    dw = three_factor.factors(RULE.Params(eta=0.2), jnp.asarray(xbar), jnp.asarray(slope), jnp.asarray(error))
    assert isinstance(dw, Outer)
    assert dw.a.shape == (1, 5)
    wanted = [[-0.2 * xbar[i] * error[j] * slope[j] for j in range(3)] for i in range(5)]
    np.testing.assert_allclose(plasticity.dense(dw), wanted, rtol=0, atol=1e-16)


# A spiking hidden layer with a linear readout, for autodiff: v <- alpha v + W1^T x - (reset), s = v > 1, y = W2^T s.

ALPHA = float(np.exp(-DT / 0.0095))


@jax.custom_jvp
def spike(v):
    return (v > 1.0).astype(v.dtype)


@spike.defjvp
def _(primals, tangents):
    (v,), (dv,) = primals, tangents
    return spike(v), jnp.maximum(0.0, 1.0 - jnp.abs(v - 1.0) / 0.8) / 0.8 * dv


@jax.jit
def forward(w1, w2, x):
    def body(carry, x_t):
        v, s = carry
        v = ALPHA * v + x_t @ w1 - jax.lax.stop_gradient(s)
        s = spike(v)
        return (v, s), (v, s, s @ w2)

    start = jnp.zeros(N_HIDDEN, w1.dtype)
    return jax.lax.scan(body, (start, start), x)[1]


def loss(w1, w2, x, target):
    return 0.5 * jnp.sum((forward(w1, w2, x)[2] - target) ** 2)


def problem(seed=0):
    rng = np.random.default_rng(seed)
    x = jnp.asarray((rng.random((STEPS, N_IN)) < 0.3).astype(float))
    w1 = jnp.asarray(rng.normal(0.12, 0.25, (N_IN, N_HIDDEN)))
    w2 = jnp.asarray(rng.normal(0, 0.5, (N_HIDDEN, N_OUT)))
    target = forward(jnp.asarray(rng.normal(0.12, 0.25, (N_IN, N_HIDDEN))), w2, x)[2]  # another net's answer: reachable
    return w1, w2, x, target


def change(params, w1, w2, x, target):
    """Sum the rule's changes over the steps of a sample with w1 held, errors fed back through the actual w2."""
    v, s, y = forward(w1, w2, x)
    error = (y - target) @ w2.T
    return plasticity.run(RULE, params, w1, x, Signals(s, v), DT, modulator=error)[0] - w1


def test_exact_feedback_gives_the_surrogate_gradient(x64):
    w1, w2, x, target = problem()
    params = RULE.Params(eta=1.0, tau_pre=0.0095, threshold=1.0, width=0.8)
    gradient = jax.jit(jax.grad(loss))(w1, w2, x, target)
    assert 0.05 < forward(w1, w2, x)[1].mean() < 0.95
    assert np.linalg.norm(gradient) > 1
    np.testing.assert_allclose(-change(params, w1, w2, x, target), gradient, rtol=0, atol=1e-12)


def test_exact_feedback_descends_the_loss(x64):
    w1, w2, x, target = problem()
    params = RULE.Params(eta=0.003, tau_pre=0.0095, threshold=1.0, width=0.8)
    step = jax.jit(lambda w1: w1 + change(params, w1, w2, x, target))
    start = loss(w1, w2, x, target)
    for _ in range(300):
        w1 = step(w1)
    assert loss(w1, w2, x, target) < 0.2 * start


def through(feedback, w1, w2, x, target):
    """As `change`, with the error fed back through given weights."""
    v, s, y = forward(w1, w2, x)
    error = jax.vmap(lambda e: three_factor.feed_back(feedback, e))(y - target)
    return plasticity.run(RULE, PARAMS, w1, x, Signals(s, v), DT, modulator=error)[0] - w1


PARAMS = RULE.Params(eta=0.003, tau_pre=0.0095, threshold=1.0, width=0.8)


def test_symmetric_feedback_is_the_exact_one(x64):
    w1, w2, x, target = problem()
    np.testing.assert_allclose(through(w2, w1, w2, x, target), change(PARAMS, w1, w2, x, target), rtol=0, atol=1e-15)


def test_random_feedback_has_its_spread(x64):
    b = three_factor.random_feedback(jax.random.key(0), 400, 25)
    assert b.dtype == np.float64
    assert np.std(b) == pytest.approx(0.2, rel=0.03)
    assert np.std(three_factor.random_feedback(jax.random.key(0), 400, 25, 3.0)) == pytest.approx(3.0, rel=0.03)


def test_learned_feedback_forgets_its_start_at_the_stated_rate(x64):
    rng = np.random.default_rng(0)
    b, w = (jnp.asarray(rng.normal(size=(6, 3))) for _ in range(2))
    apart = b - w
    for _ in range(40):
        b, w = three_factor.learn_feedback(b, w, jnp.asarray(rng.normal(size=(6, 3))), 0.05)
    np.testing.assert_allclose(b - w, 0.95**40 * apart, rtol=1e-9)
    dw = Outer(jnp.ones((1, 6)), jnp.ones((1, 3)))
    np.testing.assert_allclose(three_factor.learn_feedback(b, w, dw, 0.0)[0], b + 1, rtol=1e-12)


@pytest.mark.parametrize("kind", ["random", "learned"])
def test_inexact_feedback_descends_too(kind, x64):
    """Both layers learn, the readout by its exact gradient: the loss ends well below its start."""
    w1, w2, x, target = problem()
    w2 = 0.2 * w2
    b = three_factor.random_feedback(jax.random.key(1), N_HIDDEN, N_OUT, 0.5)

    @jax.jit
    def step(w1, w2, b):
        _, s, y = forward(w1, w2, x)
        dw2 = -0.003 * s.T @ (y - target)
        new = w1 + through(b, w1, w2, x, target)
        return (new, w2 + dw2, b) if kind == "random" else (new, *three_factor.learn_feedback(b, w2, dw2, 2e-3)[::-1])

    start = loss(w1, w2, x, target)
    for _ in range(400):
        w1, w2, b = step(w1, w2, b)
    assert loss(w1, w2, x, target) < 0.5 * start
    cosine = np.sum(b * w2) / np.linalg.norm(b) / np.linalg.norm(w2)
    assert cosine > (0.2 if kind == "random" else 0.8)
