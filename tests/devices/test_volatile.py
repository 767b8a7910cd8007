"""`volatile` against the framework's table; `volatile_nonvolatile` against the phenomena that it is for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices

VOLATILE = devices.get("volatile")
BOTH = devices.get("volatile_nonvolatile")


def table(g, pre, post, dt, p):
    """The framework's table of one time step, one device at a time."""
    out = np.empty_like(g)
    for index in np.ndindex(g.shape):
        x = g[index]
        if pre[index] and post[index]:
            change = 0.0
        elif pre[index]:
            change = -p.alpha_dep * (x - p.g_min)
        elif post[index]:
            change = p.alpha_pot * (p.g_max - x)
        else:
            change = -(x - p.g_min) * dt / p.tau
        out[index] = min(max(x + change, p.g_min), p.g_max)
    return out


@pytest.mark.parametrize(
    "params",
    [
        VOLATILE.Params(),
        VOLATILE.Params(alpha_pot=0.3, alpha_dep=0.2, tau=0.004),
        VOLATILE.Params(g_min=0.0, tau=5e-4),  # Euler decay overshoots, the clip holds it
    ],
)
def test_spike_step_is_the_frameworks_table(x64, params):
    rng = np.random.default_rng(0)
    state = VOLATILE.init(params, rng.random((4, 5)))
    g, step = np.array(state.g), jax.jit(devices.volatile.spike_step)
    np.testing.assert_allclose(VOLATILE.init(params, 0.5).g, (params.g_min + params.g_max) / 2, rtol=1e-15)
    for dtype in (np.float64, np.int32, bool) * 40:
        pre, post = rng.random((2, 4, 5)) < 0.4
        state = step(params, state, pre.astype(dtype), post.astype(dtype), 1e-3)
        g = table(g, pre, post, 1e-3, params)
        np.testing.assert_allclose(state.g, g, rtol=1e-12, atol=1e-18)


def test_spike_lines_of_an_array_broadcast():
    params = VOLATILE.Params()
    state = VOLATILE.init(params, jnp.full((2, 3), 0.5))
    new = devices.volatile.spike_step(params, state, np.array([[1, 0, 1]]), np.array([[0], [1]]), 1e-3)
    change = np.sign(np.asarray(new.g - state.g)).astype(int)
    np.testing.assert_array_equal(change, [[-1, -1, -1], [0, 1, 0]])


def test_at_the_frameworks_defaults_decay_beats_the_pulses():
    """Pre and post at 20 Hz, 1 ms steps: g settles at a fraction of a per cent of its range (SPEC A1: 0.2 %)."""
    params = VOLATILE.Params()
    pre, post = jnp.asarray(np.random.default_rng(0).random((2, 4000, 200)) < 0.02)

    def step(state, spikes):
        state = devices.volatile.spike_step(params, state, *spikes, 1e-3)
        return state, state.g

    _, g = jax.lax.scan(step, VOLATILE.init(params, jnp.full(200, 0.5)), (pre, post))
    share = (np.asarray(g[2000:]).mean() - params.g_min) / (params.g_max - params.g_min)
    np.testing.assert_allclose(share, 0.00203, rtol=0.05)  # alpha q / (alpha 2 q + (1 - p)^2 dt / tau), q = p (1 - p)


def test_pulses_and_decay_of_the_default_model(x64):
    params = VOLATILE.Params(alpha_pot=0.1, alpha_dep=0.2)
    state = VOLATILE.init(params, 0.25)
    span = params.g_max - params.g_min
    end, _ = devices.simulate(VOLATILE, params, state, np.ones(10), 1e-3)
    np.testing.assert_allclose(end.g, params.g_max - 0.75 * span * 0.9**10, rtol=1e-12)
    end, _ = devices.simulate(VOLATILE, params, state, -np.ones(10), 1e-3)
    np.testing.assert_allclose(end.g, params.g_min + 0.25 * span * 0.8**10, rtol=1e-12)
    end, _ = devices.simulate(VOLATILE, params, state, np.zeros(10), 0.03)
    np.testing.assert_allclose(end.g, params.g_min + 0.25 * span * np.exp(-0.3 / 0.1), rtol=1e-12)


# --- volatile and non-volatile together ---------------------------------------------------------------------------


def train(params, n, interval, state=None):
    """Apply n pulses an interval apart; return the states after each pulse and its conductance's share of the range."""
    state = BOTH.init(params, 0.0) if state is None else state
    states, shares = [], []
    for k in range(n):
        if k:
            state = BOTH.relax(params, state, interval)
        state = BOTH.step(params, state, 1.0, 1e-3, None)
        states.append(state)
        shares.append(share(params, state))
    return states, np.array(shares)


def share(params, state):
    return float((devices.conductance(BOTH, params, state) - params.g_min) / (params.g_max - params.g_min))


def test_step_is_its_equations(x64):
    rng = np.random.default_rng(1)
    p = BOTH.Params()
    state = BOTH.init(p, rng.random(50))
    short, long = np.zeros(50), np.array(state.long)
    for _ in range(60):
        v = rng.choice([1.5, 1.0, 0.3, 0.0, -0.7, -1.0])
        state = BOTH.step(p, state, v, 0.02, None)
        s = abs(v) / p.v_write
        if v > 0:
            short = short + s * p.alpha_short * (1 - short)
            long = long + s * p.alpha_long * np.maximum(short - p.threshold, 0) * (1 - long)
        elif v < 0:
            short, long = short - s * p.alpha_short * short, long - s * p.alpha_erase * long
        else:
            short = short * np.exp(-0.02 / p.tau)
        np.testing.assert_allclose(state.short, short, rtol=1e-12)
        np.testing.assert_allclose(state.long, long, rtol=1e-12)
    g = p.g_min + (p.g_max - p.g_min) * (1 - (1 - short) * (1 - long))
    np.testing.assert_allclose(devices.conductance(BOTH, p, state), g, rtol=1e-12)


def test_paired_pulse_facilitation_falls_with_the_interval(x64):
    params = BOTH.Params()
    intervals = np.array([0.01, 0.03, 0.1, 0.3, 1.0])
    ratios = np.array([(lambda a: a[1] / a[0])(train(params, 2, t)[1]) for t in intervals])
    assert (np.diff(ratios) < 0).all()
    np.testing.assert_allclose(ratios, 1 + (1 - params.alpha_short) * np.exp(-intervals / params.tau), rtol=1e-10)


def test_post_tetanic_potentiation(x64):
    """A pulse after a train reaches a larger conductance than a first pulse; the excess fades with tau, not to zero."""
    params = BOTH.Params()
    tetanus, shares = train(params, 20, 0.02)
    first, waits = shares[0], np.array([0.05, 0.15, 0.5, 5.0])
    tested = np.array([train(params, 1, 0, BOTH.relax(params, tetanus[-1], t))[1][0] for t in waits])
    assert (np.diff(tested) < 0).all()
    assert (tested > first).all()
    assert tested[0] > 2 * first


def test_short_term_memory_becomes_long_term_with_more_and_faster_pulses(x64):
    """The share of the peak that is still there 100 tau later."""
    params = BOTH.Params()

    def retained(n, interval):
        states, shares = train(params, n, interval)
        return share(params, BOTH.relax(params, states[-1], 100 * params.tau)) / shares[-1]

    assert retained(1, 0.02) < 1e-12  # short-term only
    assert retained(100, 1.0) < 1e-12  # slow pulses never add up to the threshold
    by_number = [retained(n, 0.02) for n in (1, 5, 10, 20, 40)]
    by_rate = [retained(20, interval) for interval in (0.04, 0.02, 0.01, 0.005)]
    assert (np.diff(by_number) > 0).all()
    assert (np.diff(by_rate) > 0).all()
    assert by_number[-1] > 0.5


def test_depressing_pulses_erase(x64):
    params = BOTH.Params()
    states, _ = train(params, 40, 0.02)
    end, _ = devices.simulate(BOTH, params, states[-1], -np.ones(60), 1e-3)
    np.testing.assert_allclose(end.long, states[-1].long * 0.9**60, rtol=1e-12)
