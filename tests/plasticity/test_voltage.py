"""The voltage rule: clamped potentials in closed form, and the dependence on voltage, timing and rate of the source."""

import jax
import numpy as np
import pytest

from memjax import plasticity
from memjax.plasticity import Signals, voltage

run = jax.jit(plasticity.run, static_argnames=("rule", "record"))
RULE, P = voltage.RULE, voltage.Params()
DT = 1e-3


def clamped(u, rate=25.0, seconds=20.0, dt=DT):
    """Return the change per second with regular pre spikes and the potential held from long before."""
    steps = round(seconds / dt)
    pre = np.zeros((steps, 1))
    pre[:: round(1 / rate / dt)] = 1
    v = np.full((steps, 1), u)
    state = voltage.State(x=np.full(1, rate), u_minus=v[0], u_plus=v[0])
    w, _ = run(RULE, P, np.zeros((1, 1)), pre, Signals(np.zeros_like(v), v), dt, state=state)
    return w[0, 0] / seconds


@pytest.mark.parametrize("u", [-75e-3, -70.6e-3, -60e-3, -45e-3, -43e-3, -30e-3])
def test_clamped_potentials_drift_by_the_closed_form(u, x64):
    wanted = float(voltage.drift(P, 25.0, u))
    # Read before the spike of its own step, the trace of discrete time has the mean 1 / (exp(dt / tau) - 1) dt / tau.
    seen = (DT / P.tau_x) / np.expm1(DT / P.tau_x)
    above, now = max(u - P.theta_minus, 0), max(u - P.theta_plus, 0)
    discrete = 25 * above * (seen * P.a_ltp * now - P.a_ltd)
    size = 25 * above * (P.a_ltp * now + P.a_ltd)  # of both terms, which nearly cancel at -43 mV
    assert clamped(u) == pytest.approx(discrete, abs=2e-3 * size)
    assert clamped(u, seconds=4.0, dt=1e-4) == pytest.approx(wanted, abs=6e-3 * size)


def test_depression_starts_at_one_threshold_and_turns_above_the_other():
    u = np.linspace(-80e-3, -20e-3, 601)
    drift = np.asarray(voltage.drift(P, 10.0, u))
    assert (drift[u < -70.6e-3] == 0).all()
    turn = -45.3e-3 + 14 / 8 * 1e-3  # theta_plus + A_LTD / A_LTP: -43.55 mV
    assert (drift[(u > -70.5e-3) & (u < turn)] < 0).all()
    assert (drift[u > turn + 1e-6] > 0).all()


def test_random_input_equals_a_loop(x64):
    rng = np.random.default_rng(0)
    pre, v = rng.random((400, 2)) < 0.1, rng.normal(-55e-3, 20e-3, (400, 3))
    w, _ = run(RULE, P, np.zeros((2, 3)), pre, Signals(np.zeros((400, 3)), v), DT)
    for i, j in np.ndindex(2, 3):
        x, low, high, total = 0.0, P.theta_minus, P.theta_minus, 0.0
        for n in range(400):
            x *= np.exp(-DT / 15e-3)
            total -= 0.14 * pre[n, i] * max(low + 70.6e-3, 0)
            total += 80 * x * max(v[n, j] + 45.3e-3, 0) * max(high + 70.6e-3, 0) * DT
            x += pre[n, i] / 15e-3
            low = v[n, j] + (low - v[n, j]) * np.exp(-DT / 10e-3)
            high = v[n, j] + (high - v[n, j]) * np.exp(-DT / 7e-3)
        assert w[i, j] == pytest.approx(total, rel=1e-10)


def test_it_needs_a_potential():
    with pytest.raises(ValueError, match=r"voltage needs .* post.v of shape \(1,\), got None"):
        plasticity.run(RULE, P, np.zeros((1, 1)), np.ones((3, 1)), np.ones((3, 1)), DT)


def test_late_filters_are_those_of_steps_ago(x64):
    rng = np.random.default_rng(1)
    pre, v = rng.random((60, 2)) < 0.2, rng.normal(-50e-3, 20e-3, (60, 1))
    run_late = jax.jit(lambda: plasticity.run(voltage.late(3), P, np.zeros((2, 1)), pre, Signals(0 * v, v), DT)[0])
    filtered = {tau: [P.theta_minus] * 4 for tau in (10e-3, 7e-3)}  # before step n they are what step n - 4 has left
    for tau, values in filtered.items():
        u = P.theta_minus
        for n in range(60):
            u = v[n, 0] + (u - v[n, 0]) * np.exp(-DT / tau)
            values.append(u)
    for i in range(2):
        x = total = 0.0
        for n in range(60):
            low, high = (filtered[tau][n] if n >= 3 else P.theta_minus for tau in (10e-3, 7e-3))
            x *= np.exp(-DT / 15e-3)
            total -= 0.14 * pre[n, i] * max(low + 70.6e-3, 0)
            total += 80 * x * max(v[n, 0] + 45.3e-3, 0) * max(high + 70.6e-3, 0) * DT
            x += pre[n, i] / 15e-3
        assert run_late()[i, 0] == pytest.approx(total, rel=1e-10)
    with pytest.raises(ValueError, match="steps must be a whole number >= 1, got 0"):
        voltage.late(0)
