"""`second_order` against an independent integration of its equations, and the plasticity that follows from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from memjax import devices

pytestmark = pytest.mark.broad

SECOND = devices.get("second_order")
PARAMS = SECOND.Params()
State = devices.second_order.State


def reference(s, w, segments, tau_s=0.05, v_s=0.5, s_th=0.4, k=10.0):
    """Integrate the equations of the docstring over (voltage, seconds) segments: (s, w) after each."""

    def slope(_, y, v):
        u = v / v_s
        ds = (u * abs(u) - (1 + u * u) * y[0]) / tau_s
        return ds, k * (max(y[0] - s_th, 0) * (1 - y[1]) - max(-y[0] - s_th, 0) * y[1])

    ends = []
    for v, seconds in segments:
        out = solve_ivp(slope, (0, seconds), (s, w), method="DOP853", args=(v,), rtol=1e-12, atol=1e-14, max_step=1e-3)
        s, w = out.y[:, -1]
        ends.append((s, w))
    return np.array(ends).T


SEGMENTS = [(1.0, 0.03), (0.0, 0.02), (2.0, 0.05), (-1.5, 0.04), (-1.5, 0.06), (0.0, 0.2), (0.3, 0.05), (3.0, 0.1)]


def test_meets_an_independent_integration(x64):
    """Steps that pass no gate, one, and both in either direction, each in one piece and in many."""
    v, seconds = np.array(SEGMENTS).T
    s, w = reference(0.0, 0.3, SEGMENTS)
    assert s.min() < -0.4
    assert s.max() > 0.4
    start = SECOND.init(PARAMS, 0.3)
    _, whole = devices.simulate(SECOND, PARAMS, start, v, seconds, record="state")
    _, parts = devices.simulate(SECOND, PARAMS, start, np.repeat(v, 37), np.repeat(seconds / 37, 37), record="state")
    for state in (whole.state, jax.tree.map(lambda leaf: leaf[36::37], parts.state)):
        np.testing.assert_allclose(state.s, s, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(state.w, w, rtol=1e-9)


def test_one_step_is_two(x64):
    rng = np.random.default_rng(0)
    n = 400
    state = State(s=jnp.asarray(rng.uniform(-1, 1, n)), w=jnp.asarray(rng.uniform(0, 1, n)))
    v, dt, share = jnp.asarray(rng.normal(0, 1.5, n)), jnp.asarray(rng.exponential(0.05, n)), jnp.asarray(rng.random(n))
    once = SECOND.step(PARAMS, state, v, dt, None)
    twice = SECOND.step(PARAMS, SECOND.step(PARAMS, state, v, share * dt, None), v, (1 - share) * dt, None)
    np.testing.assert_allclose(once.s, twice.s, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(once.w, twice.w, rtol=1e-12)
    crossed = np.asarray(state.s * once.s < 0) & (np.abs(state.s) > 0.4) & (np.abs(once.s) > 0.4)
    assert crossed.sum() > 10  # both gates in one step are among them


def test_exact_starts_and_ends_on_the_threshold(x64):
    """s exactly at the threshold, at either end of a step, has no nan in value or derivative."""
    state = State(s=jnp.array([0.4, 0.4, 0.4, -0.4]), w=jnp.full(4, 0.5))
    v = jnp.array([0.0, 1.0, 0.5 * (0.4 / 0.6) ** 0.5, 1.0])  # the third holds s where it is

    def total(state, v, params):
        new = SECOND.step(params, state, v, 0.01, None)
        return (new.s + new.w).sum(), new

    (_, new), gradients = jax.jit(jax.value_and_grad(total, (0, 1, 2), has_aux=True))(state, v, PARAMS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    expected = [reference(s, 0.5, [(u, 0.01)])[:, 0] for s, u in zip(state.s.tolist(), v.tolist(), strict=True)]
    np.testing.assert_allclose(np.array([new.s, new.w]).T, expected, rtol=1e-9)


def test_depression_mirrors_potentiation(x64):
    """-v from (-s, 1 - w) is the mirror of v from (s, w), in state and in conductance."""
    rng = np.random.default_rng(1)
    s, w, v = jnp.asarray(rng.uniform(-1, 1, 50)), jnp.asarray(rng.random(50)), jnp.asarray(rng.normal(0, 1.5, 50))
    up = SECOND.step(PARAMS, State(s, w), v, 0.03, None)
    down = SECOND.step(PARAMS, State(-s, 1 - w), -v, 0.03, None)
    np.testing.assert_allclose(down.s, -up.s, rtol=1e-13)
    np.testing.assert_allclose(down.w, 1 - up.w, rtol=1e-12, atol=1e-15)
    total = sum(devices.conductance(SECOND, PARAMS, state) for state in (up, down))
    np.testing.assert_allclose(total, PARAMS.g_min + PARAMS.g_max, rtol=1e-12)


def train(n, intervals, x=0.0, width=2e-3, v=1.0):
    """Give n pulses, `intervals` [k] s from end to start: return w [k] after the last rest, and g [k, 2 n] (a step)."""

    @jax.vmap
    def run(interval):
        dt = jnp.tile(jnp.stack([jnp.full_like(interval, width), interval]), n)
        end, trace = devices.simulate(SECOND, PARAMS, SECOND.init(PARAMS, x), np.tile([v, 0.0], n), dt, record="state")
        return end.w, devices.conductance(SECOND, PARAMS, trace.state)

    return tuple(map(np.asarray, jax.jit(run)(jnp.asarray(intervals))))


def test_paired_pulse_ratio_below_the_gate(x64):
    """A2 / A1 = 1 + exp(-lambda d - T / tau_s), lambda = (1 + (v / v_s)^2) / tau_s = 100 / s."""
    intervals = np.array([1e-3, 0.02, 0.1, 1.0])
    g = train(2, intervals)[1][:, [0, 2]] - PARAMS.g_min  # just after each pulse
    np.testing.assert_allclose(g[:, 1] / g[:, 0], 1 + np.exp(-0.2 - intervals / 0.05), rtol=1e-12)


def test_the_rate_of_the_same_pulses_decides_what_stays(x64):
    w, _ = train(20, np.array([0.5, 0.1, 0.02, 0.005]), x=0.2)
    assert (w[:2] == 0.2).all()  # 2 Hz and 10 Hz never reach the gate
    assert w[2] >= 0.2
    assert w[3] > 0.25


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tau_s": 0.0}, "tau_s = 0.0: accepted is more than 0 s"),
        ({"s_th": 1.0}, "s_th = 1.0: accepted is 0 or more and less than 1"),
        ({"eta": 1.5}, "eta = 1.5: accepted is 0 to 1"),
        ({"g_max": 1e-9}, "g_max = 1e-09: accepted is more than g_min"),
        ({"k": -1.0}, "k = -1.0: accepted is 0 1/s or more"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        SECOND.check(PARAMS.replace(**change))
