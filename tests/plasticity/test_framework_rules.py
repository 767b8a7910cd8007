"""The framework's two rules against transcriptions of its design note, synapse by synapse."""

import numpy as np
import pytest

from memjax import plasticity

DT = 1e-3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_stdp_framework_equals_its_table(seed, x64):
    rng = np.random.default_rng(seed)
    rule = plasticity.get("stdp_framework")
    params = rule.Params(a_plus=0.012, a_minus=0.009, tau_plus=0.017, tau_minus=0.034)
    pre, post = rng.random((300, 4)) < 0.2, rng.random((300, 3)) < 0.2
    w0 = rng.normal(size=(4, 3))
    _, trace = plasticity.run(rule, params, w0, pre, post, DT, record=True)

    wanted = np.empty((300, 4, 3))
    for i, j in np.ndindex(4, 3):
        w, x, y = w0[i, j], 0.0, 0.0
        for n in range(300):
            x = x * np.exp(-DT / 0.017) + pre[n, i]
            y = y * np.exp(-DT / 0.034) + post[n, j]
            if pre[n, i]:
                w += -0.009 * y
            elif post[n, j]:
                w += +0.012 * x
            wanted[n, i, j] = w
    np.testing.assert_allclose(trace.w, wanted, rtol=0, atol=1e-12)


def test_stdp_framework_defaults_and_coincidence(x64):
    rule = plasticity.get("stdp_framework")
    assert rule.Params() == rule.Params(a_plus=0.01, a_minus=0.01, tau_plus=0.02, tau_minus=0.02)
    change = plasticity.window(rule, rule.Params(), [-DT, 0.0, DT], DT)
    one_step = np.exp(-DT / 0.02)
    np.testing.assert_allclose(change, [-0.01 * one_step, -0.01, 0.01 * one_step], rtol=0, atol=1e-15)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_error_driven_equals_its_step_with_clipping(seed, x64):
    rng = np.random.default_rng(seed)
    rule = plasticity.get("error_driven")
    assert rule.Params() == rule.Params(lr=0.01)
    g_min, g_max = 1e-6, 1e-3
    hidden, output, target = (rng.random((200, n)) < 0.4 for n in (6, 3, 3))
    error = target.astype(float) - output
    g0 = rng.uniform(g_min, g_max, (6, 3))
    lr = 0.3  # large, so that both bounds are met
    _, trace = plasticity.run(
        rule, rule.Params(lr=lr), g0, hidden, output, DT, modulator=error, record=True, w_min=g_min, w_max=g_max
    )

    g, wanted = g0.copy(), []
    for n in range(200):
        for i, j in np.ndindex(6, 3):
            g[i, j] = min(max(g[i, j] * (1 + lr * error[n, j] * hidden[n, i]), g_min), g_max)
        wanted.append(g.copy())
    wanted = np.array(wanted)
    assert (wanted == g_max).any()
    np.testing.assert_allclose(trace.w / g_max, wanted / g_max, rtol=0, atol=1e-12)
