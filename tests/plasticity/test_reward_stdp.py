"""Reward-modulated STDP against closed forms and against loops over single synapses."""

import jax
import numpy as np
import pytest

from memjax import plasticity

run = jax.jit(plasticity.run, static_argnames=("rule", "record"))
REWARD, MSTDP, MSTDPET = (plasticity.get(name) for name in ("reward_stdp", "mstdp", "mstdpet"))
DT = 1e-3


@pytest.mark.parametrize("dt", [1e-3, 5e-3])
@pytest.mark.parametrize("gap", [-0.01, 0.02])
def test_a_pair_and_a_late_reward_have_a_closed_form(dt, gap, x64):
    params, wait, steps = REWARD.Params(tonic=0.003), 1.5, round(12 / dt)
    sides = np.zeros((2, steps, 1))
    times = (max(0.0, -gap), max(0.0, gap))
    for side, t in zip(sides, times, strict=True):
        side[round(t / dt)] = 1
    reward = np.zeros(steps)
    reward[round((abs(gap) + wait) / dt)] = 0.5
    w, _ = run(REWARD, params, np.zeros((1, 1)), *sides, dt, modulator=reward)
    c = 0.1 * np.exp(-gap / 0.02) if gap > 0 else -0.15 * np.exp(gap / 0.02)
    tonic = 0.003 * 1.0 * (1 - np.exp(-(steps * dt - abs(gap))))  # tau_c = 1 s, up to the end of the run
    phasic = 0.5 * np.exp(-wait) * (1.0 * 0.2 / 1.2)
    assert w[0, 0] == pytest.approx(100 * c * (tonic + phasic), rel=1e-12)


@pytest.mark.parametrize("name", ["reward_stdp", "reward_stdp_nearest"])
def test_random_trains_equal_a_loop(name, x64):
    rng, rule = np.random.default_rng(0), plasticity.get(name)
    pre, post, reward = rng.random((300, 3)) < 0.1, rng.random((300, 2)) < 0.1, 0.5 * (rng.random((300, 2)) < 0.02)
    p = rule.Params(a_plus=0.2, tau_minus=0.03, tau_c=0.4, tau_d=0.1)
    w, _ = run(rule, p, np.zeros((3, 2)), pre, post, DT, modulator=reward)
    for i, j in np.ndindex(3, 2):
        x = y = c = d = total = 0.0
        for n in range(300):
            x, y, c = x * np.exp(-DT / 0.02), y * np.exp(-DT / 0.03), c * np.exp(-DT / 0.4)
            d = d * np.exp(-DT / 0.1) + reward[n, j]
            c += 0.2 * x * post[n, j] - 0.15 * y * pre[n, i]
            fine = np.linspace(0, DT, 201)  # the integral over the step by the trapezium rule
            total += np.trapezoid(100 * c * np.exp(-fine / 0.4) * (0.002 + d * np.exp(-fine / 0.1)), fine)
            x, y = (1.0 if s and name.endswith("nearest") else t + s for t, s in ((x, pre[n, i]), (y, post[n, j])))
        assert w[i, j] == pytest.approx(total, rel=1e-7, abs=1e-9)


def test_mstdp_under_constant_reward_is_pair_stdp(x64):
    rng, stdp = np.random.default_rng(1), plasticity.get("stdp")
    pre, post = rng.random((300, 4)) < 0.1, rng.random((300, 3)) < 0.1
    a, _ = run(MSTDP, MSTDP.Params(gamma=0.02, a_minus=0.8), np.zeros((4, 3)), pre, post, DT, modulator=np.ones(300))
    b, _ = run(stdp, stdp.Params(0.02, 0.016, 0.02, 0.02), np.zeros((4, 3)), pre, post, DT)
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


def test_mstdp_rewards_the_pairs_of_its_step_and_mstdpet_all_that_are_remembered(x64):
    rng, p = np.random.default_rng(2), MSTDP.Params(a_minus=0.7, tau_z=0.05)
    pre, post = rng.random((200, 3)) < 0.15, rng.random((200, 2)) < 0.15
    reward = rng.normal(size=(200, 2))
    zeta = np.zeros((200, 3, 2))
    x, y = np.zeros(3), np.zeros(2)
    for n in range(200):
        x, y = x * np.exp(-DT / 0.02), y * np.exp(-DT / 0.02)
        zeta[n] = np.outer(x, post[n]) - 0.7 * np.outer(pre[n], y)
        x, y = x + pre[n], y + post[n]
    at_once, _ = run(MSTDP, p, np.zeros((3, 2)), pre, post, DT, modulator=reward)
    np.testing.assert_allclose(at_once, 0.1 * np.einsum("nij,nj->ij", zeta, reward), rtol=0, atol=1e-12)
    later, _ = run(MSTDPET, p, np.zeros((3, 2)), pre, post, DT, modulator=reward)
    lag = np.arange(200)[:, None] - np.arange(200)[None, :]
    kernel = np.where(lag >= 0, np.exp(-lag * DT / 0.05), 0.0)
    wanted = 0.1 * DT / 0.05 * np.einsum("mn,nij,mj->ij", kernel, zeta, reward)
    np.testing.assert_allclose(later, wanted, rtol=0, atol=1e-12)


def test_mstdpet_of_a_pair_under_constant_reward_does_not_depend_on_the_step(x64):
    """It comes to gamma r exp(-gap / tau_plus), as `mstdp` gives at once, but for terms of dt / tau_z."""
    for dt in (1e-3, 1e-4):
        pre, post = np.zeros((2, round(0.4 / dt), 1))
        pre[0], post[round(0.01 / dt)] = 1, 1
        w, _ = run(MSTDPET, MSTDPET.Params(), np.zeros((1, 1)), pre, post, dt, modulator=np.full(len(pre), 2.0))
        assert w[0, 0] == pytest.approx(0.1 * 2 * np.exp(-0.01 / 0.02), rel=dt / 0.025)
