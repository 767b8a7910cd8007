"""The triplet rule against the published fits, against a simulation that walks over spike times, and against BCM."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from memjax import plasticity
from memjax.plasticity import triplet

run = jax.jit(plasticity.run, static_argnames=("rule", "record"))
SETS = triplet.PARAMETER_SETS
NEAREST = [name for name in SETS if name.endswith("nearest")]
ALL = [name for name in SETS if name not in NEAREST]

# Visual cortex: 60 pairs at five rates, dt = t_post - t_pre = +10 and -10 ms (Sjostrom, Turrigiano, Nelson 2001).
RATES, DELAYS = (0.1, 10, 20, 40, 50), (0.010, -0.010)
DATA = np.array([[-0.04, 0.14, 0.29, 0.53, 0.56], [-0.29, -0.41, -0.34, 0.56, 0.75]])
SEM = np.array([[0.05, 0.10, 0.14, 0.11, 0.26], [0.08, 0.11, 0.10, 0.32, 0.19]])
VALUES = {
    "visual_full": [[0, 0.132, 0.247, 0.534, 0.741], [-0.312, -0.334, -0.352, 0.155, 0.727]],
    "visual_minimal": [[0, 0.119, 0.228, 0.532, 0.763], [-0.317, -0.332, -0.342, 0.174, 0.749]],
    "visual_full_nearest": [[0, 0.104, 0.323, 0.560, 0.624], [-0.294, -0.411, -0.338, 0.260, 0.619]],
    "visual_minimal_nearest": [[0, 0.101, 0.322, 0.568, 0.636], [-0.357, -0.356, -0.279, 0.290, 0.630]],
}
ERRORS = {"visual_full": 0.342, "visual_minimal": 0.356, "visual_full_nearest": 0.232, "visual_minimal_nearest": 0.348}


def error(change):
    return np.mean(((np.reshape(change, DATA.shape) - DATA) / SEM) ** 2)


def repeat(spikes, rate):
    """Repeat a motif of spike times 60 times at a rate."""
    return np.add.outer(np.arange(60) / rate, np.atleast_1d(spikes)).ravel()


PAIRS = [(repeat(max(0, -d), f), repeat(max(0, d), f)) for d in DELAYS for f in RATES]
# Hippocampal cultures, 60 motifs at 1 Hz (Wang, Gerkin, Nauen, Bi 2005).
GAPS = ((5e-3, 5e-3), (10e-3, 10e-3), (15e-3, 5e-3), (5e-3, 15e-3))
TRIPLETS = [(repeat([0, a + b], 1), repeat(a, 1)) for a, b in GAPS]
TRIPLETS += [(post, pre) for pre, post in TRIPLETS]
QUADRUPLETS = [(repeat([0, 5e-3 + t], 1), repeat([5e-3, t], 1)) for t in (10e-3, 20e-3, 50e-3, 100e-3)]
QUADRUPLETS += [(post, pre) for pre, post in QUADRUPLETS]


def by_spike_times(p, pre, post, latest_only, pair_only=False):
    """Walk from spike to spike with exact decays: no grid, no scan, no shared code."""
    r1 = r2 = o1 = o2 = w = last = 0.0
    for t, side in sorted([(t, "pre") for t in pre] + [(t, "post") for t in post]):
        gap, last = t - last, t
        r1, r2 = r1 * np.exp(-gap / p.tau_plus), r2 * np.exp(-gap / p.tau_x)
        o1, o2 = o1 * np.exp(-gap / p.tau_minus), o2 * np.exp(-gap / p.tau_y)
        if side == "pre":
            w -= o1 * (p.a2_minus + p.a3_minus * r2)
            r1, r2 = (1.0, 1.0) if latest_only else (r1 + 1, r2 + 1)
        else:
            w += r1 * (p.a2_plus + p.a3_plus * o2)
            o1, o2 = (1.0, 1.0) if latest_only else (o1 + 1, o2 + 1)
    return w


@functools.cache
def changes(names, protocols, dt=5e-3):
    """Return the rule's changes [set, protocol]; all spike times lie on the grid of dt."""
    rule = plasticity.get("triplet_nearest" if names[0] in NEAREST else "triplet")
    chosen = {"pairs": PAIRS, "triplets": TRIPLETS, "quadruplets": QUADRUPLETS}[protocols]
    return np.asarray(on_grid(rule, [SETS[name] for name in names], chosen, dt))


def on_grid(rule, params, protocols, dt):
    steps = round(max(t.max() for sides in protocols for t in sides) / dt) + 1
    spikes = np.zeros((2, len(protocols), steps, 1))
    for k, sides in enumerate(protocols):
        for side, times in enumerate(sides):
            index = np.rint(times / dt).astype(int)
            np.testing.assert_allclose(index * dt, times, rtol=0, atol=1e-9)
            spikes[side, k, index] = 1
    many = jax.tree.map(lambda *leaves: jnp.array(leaves), *params)
    one = lambda p, pre, post: plasticity.run(rule, p, jnp.zeros((1, 1)), pre, post, dt)[0][0, 0]  # noqa: E731
    each = jax.vmap(jax.vmap(one, in_axes=(None, 0, 0)), in_axes=(0, None, None))
    return jax.jit(each)(many, *spikes)


@pytest.mark.parametrize("name", VALUES)
def test_forty_published_values_and_their_errors(name, x64):
    names = tuple(n for n in VALUES if (n in NEAREST) == (name in NEAREST))
    found = changes(names, "pairs")[names.index(name)]
    np.testing.assert_allclose(found.reshape(2, 5), VALUES[name], rtol=0, atol=1e-3)
    assert error(found) == pytest.approx(ERRORS[name], abs=1e-3)


@pytest.mark.parametrize("names", [tuple(ALL), tuple(NEAREST)], ids=["all", "nearest"])
@pytest.mark.parametrize("protocols", ["triplets", "quadruplets"])
def test_hippocampal_protocols_equal_a_walk_over_spike_times(names, protocols, x64):
    found = changes(names, protocols)
    chosen = TRIPLETS if protocols == "triplets" else QUADRUPLETS
    wanted = [[by_spike_times(SETS[n], *sides, n in NEAREST) for sides in chosen] for n in names]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)
    assert np.ptp(found, axis=1).min() > 0.05


@pytest.mark.parametrize("name", VALUES)
def test_pairs_at_five_rates_equal_a_walk_over_spike_times(name, x64):
    names = tuple(n for n in VALUES if (n in NEAREST) == (name in NEAREST))
    wanted = [by_spike_times(SETS[name], *sides, name in NEAREST) for sides in PAIRS]
    np.testing.assert_allclose(changes(names, "pairs")[names.index(name)], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", triplet.RULES, ids=lambda r: r.name)
def test_random_trains_equal_a_walk_over_spike_times(rule, x64):
    rng, dt = np.random.default_rng(0), 1e-3
    params = triplet.Params(6e-3, 9e-3, 5e-3, 7e-3)
    pre, post = rng.random((500, 3)) < 0.06, rng.random((500, 2)) < 0.06
    # Coincident spikes do not see each other, which the walk does not know: they are the next test's.
    pre &= ~post.any(axis=1)[:, None]
    w, _ = run(rule, params, np.zeros((3, 2)), pre, post, dt)
    for i, j in np.ndindex(3, 2):
        times = np.flatnonzero(pre[:, i]) * dt, np.flatnonzero(post[:, j]) * dt
        assert w[i, j] == pytest.approx(by_spike_times(params, *times, rule is triplet.NEAREST), abs=1e-12)


@pytest.mark.parametrize("rule", triplet.RULES, ids=lambda r: r.name)
def test_coincident_spikes_do_not_see_each_other(rule, x64):
    params = triplet.Params(6e-3, 9e-3, 5e-3, 7e-3)
    both = np.zeros((11, 1))
    both[[0, 10]] = 1
    w, _ = run(rule, params, np.zeros((1, 1)), both, both, 1e-3)
    seen = lambda tau: np.exp(-0.01 / tau)  # noqa: E731
    up = seen(params.tau_plus) * (6e-3 + 9e-3 * seen(params.tau_y))
    down = seen(params.tau_minus) * (5e-3 + 7e-3 * seen(params.tau_x))
    assert w[0, 0] == pytest.approx(up - down, abs=1e-15)


@pytest.mark.parametrize("pair", ["stdp", "stdp_nearest"])
def test_without_triplets_it_is_pair_stdp(pair, x64):
    rng = np.random.default_rng(1)
    pre, post, w0 = rng.random((300, 4)) < 0.1, rng.random((300, 3)) < 0.1, rng.normal(size=(4, 3))
    stdp = plasticity.get(pair)
    rule = plasticity.get(pair.replace("stdp", "triplet"))
    params = triplet.Params(a2_plus=6e-3, a3_plus=0.0, a2_minus=7e-3, a3_minus=0.0)
    a, _ = run(rule, params, w0, pre, post, 1e-3)
    b, _ = run(stdp, stdp.Params(6e-3, 7e-3, params.tau_plus, params.tau_minus), w0, pre, post, 1e-3)
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)
    assert np.max(np.abs(a - w0)) > 0.01


def test_the_wrong_tau_y_is_seen(x64):
    """The minimal set with the full one's 125 ms, a known slip: E = .531 instead of .356."""
    params = SETS["visual_minimal"].replace(tau_y=125e-3)
    assert error([by_spike_times(params, *sides, False) for sides in PAIRS]) == pytest.approx(0.531, abs=1e-3)
    found = on_grid(triplet.RULE, [params], PAIRS, 5e-3)
    assert error(found) == pytest.approx(0.531, abs=1e-3)


@pytest.mark.parametrize("pair, best", [("stdp", 2.85), ("stdp_nearest", 6.7)])
def test_pair_stdp_cannot_fit_the_same_points(pair, best, x64):
    """Best over its four parameters, time constants of 5 to 100 ms; without these limits it is 2.29 and 6.19.

    There tau_minus is 2.5 or 1 ms and A_minus .37 or 81: pairs at -10 ms hold a window that was never measured.
    """
    latest_only = pair == "stdp_nearest"

    def parts(tau_plus, tau_minus):
        """Return what A_plus and A_minus are multiplied with, at each of the ten points."""
        units = (triplet.Params(1.0, 0, 0, 0, tau_plus=tau_plus), triplet.Params(0, 0, 1.0, 0, tau_minus=tau_minus))
        return np.array([[by_spike_times(p, *sides, latest_only) for p in units] for sides in PAIRS])

    def fit(log_taus):
        """Return the least E, and its amplitudes >= 0, at two time constants."""
        kernel = parts(*np.exp(log_taus)) / SEM.ravel()[:, None]
        amplitudes, residual = optimize.nnls(kernel, (DATA / SEM).ravel())
        return residual**2 / DATA.size, amplitudes

    bounds, options = [np.log([5e-3, 100e-3])] * 2, {"xatol": 1e-3, "fatol": 1e-5}
    starts = [np.log([a, b]) for a in (0.01, 0.05) for b in (0.01, 0.05)]
    search = functools.partial(optimize.minimize, bounds=bounds, method="Nelder-Mead", options=options)
    found = min((search(lambda x: fit(x)[0], start) for start in starts), key=lambda result: result.fun)
    rule = plasticity.get(pair)
    params = rule.Params(*fit(found.x)[1], *np.exp(found.x))
    reached = error(on_grid(rule, [params.replace(mu=0.0)], PAIRS, 5e-3))
    assert reached == pytest.approx(found.fun, rel=1e-6)
    assert reached == pytest.approx(best, rel=0.01)


def test_threshold_of_bcm_is_the_published_one():
    assert float(triplet.threshold(SETS["visual_minimal"])) == pytest.approx(19.22, abs=5e-3)
    full = SETS["hippocampal_full"]
    theta = triplet.threshold(full, 12.0)
    assert float(triplet.drift(full, 12.0, theta)) == pytest.approx(0, abs=1e-7)


def test_threshold_of_bcm_on_poisson_spikes(x64):
    """1e4 s of spikes, 2,000 s at each of five post rates: 19.22 Hz within 1.5 % (four seeds: 19.21 to 19.40).

    A grid of 0.2 ms puts the threshold 0.4 % too high: the traces of discrete time are tau - dt / 2.
    """
    params, dt, chunk = SETS["visual_minimal"], 2e-4, 25_000
    pre_rate, post_rate = 20.0, np.repeat([10.0, 15.0, 20.0, 25.0, 30.0], 16)
    lanes, chunks = len(post_rate), round(1e4 / len(post_rate) / dt) // chunk
    rng = np.random.default_rng(0)
    go_on = jax.jit(jax.vmap(lambda w, s, *sides: plasticity.run(triplet.RULE, params, w, *sides, dt, state=s)))
    # The traces start at their means, so that no time is lost on settling.
    w, full = np.zeros((lanes, 1, 1)), np.ones((lanes, 1))
    r1, r2 = pre_rate * params.tau_plus * full, pre_rate * params.tau_x * full
    o1, o2 = params.tau_minus * post_rate[:, None], params.tau_y * post_rate[:, None]
    state, seen = triplet.State(r1=r1, r2=r2, o1=o1, o2=o2), np.zeros((2, lanes))
    for _ in range(chunks):
        sides = [rng.random((lanes, chunk, 1), np.float32) < rate * dt for rate in (pre_rate, post_rate[:, None, None])]
        seen += [side.sum((1, 2)) for side in sides]
        w, trace = go_on(w, state, *sides)
        state = trace.last
    seconds = chunks * chunk * dt
    assert seconds * lanes == pytest.approx(1e4)
    change, x, y = (np.ravel(a).reshape(5, -1).mean(axis=1) / seconds for a in (w, *seen))
    # drift = slope x y (y - theta), with the rates that came out: linear in slope and slope theta.
    (slope, intercept), *_ = np.linalg.lstsq(np.stack([x * y**2, -x * y], axis=1), change, rcond=None)
    assert intercept / slope == pytest.approx(19.22, rel=0.015)
    assert slope == pytest.approx(params.a3_plus * params.tau_plus * params.tau_y, rel=0.03)


@pytest.mark.parametrize("rule", triplet.RULES, ids=lambda r: r.name)
def test_the_sliding_threshold_equals_a_loop(rule, x64):
    rng, dt = np.random.default_rng(2), 1e-3
    params = triplet.Params(6e-3, 9e-3, 5e-3, 7e-3, rho_0=30.0, tau_rho=0.2)
    pre, post = rng.random((400, 2)) < 0.06, rng.random((400, 2)) < 0.06
    w, _ = run(rule, params, np.zeros((2, 2)), pre, post, dt)
    taus = np.array([params.tau_plus, params.tau_x, params.tau_minus, params.tau_y, params.tau_rho])
    for i, j in np.ndindex(2, 2):
        traces, total = np.array([0, 0, 0, 0, 30.0]), 0.0
        for a, b in zip(pre[:, i], post[:, j], strict=True):
            traces = traces * np.exp(-dt / taus)
            r1, r2, o1, o2, rho = traces
            total += b * r1 * (6e-3 + 9e-3 * o2) - a * o1 * (5e-3 * (rho / 30) ** 2 + 7e-3 * r2)
            seen = np.array([a, a, b, b, 0], float)
            traces = np.where(seen > 0, 1.0, traces) if rule is triplet.NEAREST else traces + seen
            traces[4] += b / 0.2
        assert w[i, j] == pytest.approx(total, rel=1e-9, abs=1e-12)


def test_the_sliding_threshold_turns_fast_learning_back(x64):
    """At 40 Hz, twice its threshold, a post neuron is potentiated until the threshold has followed its rate."""
    params = SETS["visual_minimal"].replace(rho_0=20.0, tau_rho=3.0)
    rng, dt, n = np.random.default_rng(3), 1e-3, 10
    pre, post = (rng.random((25_000, n)) < rate * dt for rate in (20.0, 40.0))
    _, trace = run(triplet.RULE, params, np.zeros((n, n)), pre, post, dt, record=True)
    mean = np.asarray(trace.w).mean(axis=(1, 2))
    assert mean[1000] > 0.05
    # Settled, theta = 19.22 (40 / 20)^2 = 77 Hz is above the rate: the weights fall, by the drift at this A2_minus.
    fall = (mean[-1] - mean[15_000]) / (10_000 * dt)
    settled = float(triplet.drift(params.replace(a2_minus=4 * params.a2_minus), 20.0, 40.0))
    assert fall == pytest.approx(settled, rel=0.2)
