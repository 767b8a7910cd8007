"""Windows, rate curves and protocols of the learning rules, beside the published points."""

import jax
import jax.numpy as jnp
import numpy as np
import pairing_neuron
from scipy import optimize

from memjax import plasticity
from memjax.plasticity import Signals, bcm, srdp, stdp, triplet, voltage

DT = 1e-3
# Hippocampal culture, fits to Bi and Poo 1998.
BI_POO = stdp.Params(a_plus=0.777, a_minus=0.273, tau_plus=16.8e-3, tau_minus=33.7e-3)
# Visual cortex, 60 pairs at t_post - t_pre = +10 and -10 ms (Sjostrom, Turrigiano, Nelson 2001).
PAIR_RATES = [0.1, 10.0, 20.0, 40.0, 50.0]  # Hz
PAIR_DELAYS = [0.010, -0.010]  # s
DATA = np.array([[-0.04, 0.14, 0.29, 0.53, 0.56], [-0.29, -0.41, -0.34, 0.56, 0.75]])
SEM = np.array([[0.05, 0.10, 0.14, 0.11, 0.26], [0.08, 0.11, 0.10, 0.32, 0.19]])
# Triplets (ms between the spikes) and quadruplets (ms between the middles of the two pairs), 60 at 1 Hz.
TRIPLET_GAPS = [(5, 5), (10, 10), (15, 5), (5, 15)]
QUADRUPLETS = [-100, -60, -20, 20, 60, 100]


def study() -> dict:
    """Return all curves: numbers, strings and lists alone."""
    return {
        "windows": windows(),
        "schemes": schemes(),
        "pairs_at_rates": pairs_at_rates(),
        "voltage_pairs": voltage_pairs(),
        "hippocampal": hippocampal(),
        "rates": rates(),
    }


def windows() -> dict:
    """Return pair STDP's window, and what soft bounds make of it at three weights."""
    times = np.arange(-80, 81) * DT
    out = {"time_s": _list(times), "pair_percent": _list(100 * plasticity.window(stdp.RULE, BI_POO, times, DT))}
    weights = jnp.linspace(0, 1, 41)
    bounds = {}
    for name, mu in {"additive": 0.0, "power law, mu = 0.4": 0.4, "multiplicative": 1.0}.items():
        params = stdp.Params(mu=mu)
        by_weight = jax.vmap(lambda w, p=params: plasticity.window(stdp.RULE, p, [DT, -DT], DT, w=w))
        up, down = jax.jit(by_weight)(weights).T
        bounds[name] = {"up": _list(up), "down": _list(down)}
    return out | {"weight": _list(weights), "bounds": bounds}


def schemes() -> dict:
    """Return the drift by pairs of Poisson trains of one rate, for the four pairing schemes."""
    rate, seconds, lanes = np.array([1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0]), 100.0, 8
    rng = np.random.default_rng(0)
    shape = (len(rate), round(seconds / DT), lanes)
    pre, post = (rng.random(shape) < rate[:, None, None] * DT for _ in range(2))
    params = stdp.Params(a_plus=0.005, a_minus=0.00525)  # Song, Miller, Abbott 2000
    drifts = {}
    for rule in stdp.RULES:
        one = lambda a, b, rule=rule: plasticity.run(rule, params, jnp.zeros((lanes, lanes)), a, b, DT)[0]  # noqa: E731
        drifts[rule.name] = _list(jnp.mean(jax.jit(jax.vmap(one))(pre, post), axis=(1, 2)) / seconds)
    theory = stdp.drift(params, rate, rate)
    return {"rate_Hz": _list(rate), "drift_per_s": drifts, "all_to_all_theory_per_s": _list(theory)}


def repeat(spikes, rate: float) -> np.ndarray:
    """Repeat a motif of spike times [s] 60 times at a rate [Hz]."""
    return np.add.outer(np.arange(60) / rate, np.atleast_1d(spikes)).ravel()


def changes(rule, params: list, protocols: list, dt: float) -> np.ndarray:
    """Return the change by each protocol (times of pre and post spikes [s], on the grid of dt), [params, protocols]."""
    steps = round(max(t.max() for sides in protocols for t in sides) / dt) + 1
    spikes = np.zeros((2, len(protocols), steps, 1), np.int8)
    for k, sides in enumerate(protocols):
        for side, times in enumerate(sides):
            spikes[side, k, np.rint(times / dt).astype(int)] = 1
    many = jax.tree.map(lambda *leaves: jnp.array(leaves), *params)
    one = lambda p, pre, post: plasticity.run(rule, p, jnp.zeros((1, 1)), pre, post, dt)[0][0, 0]  # noqa: E731
    each = jax.vmap(jax.vmap(one, in_axes=(None, 0, 0)), in_axes=(0, None, None))
    return np.asarray(jax.jit(each)(many, *spikes))


def pairs_at_rates() -> dict:
    """Return the visual cortex's pairs by the triplet sets and by pair STDP's best fit, with their errors E."""
    protocols = [(repeat(max(0, -d), f), repeat(max(0, d), f)) for d in PAIR_DELAYS for f in PAIR_RATES]
    error = lambda change: float(np.mean(((change - DATA) / SEM) ** 2))  # noqa: E731
    models = {}
    for suffix in ("", "_nearest"):
        names = [f"visual_full{suffix}", f"visual_minimal{suffix}"]
        rule = plasticity.get(f"triplet{suffix}")
        found = changes(rule, [triplet.PARAMETER_SETS[n] for n in names], protocols, 5e-3)
        pair = plasticity.get(f"stdp{suffix}")
        best = _best_pair(pair, protocols)
        found = [*found, changes(pair, [best], protocols, 5e-3)[0]]
        for name, change in zip([*names, f"pair{suffix}"], found, strict=True):
            models[name] = {"change": _list(change.reshape(2, 5)), "error": error(change.reshape(2, 5))}
        models[f"pair{suffix}"]["params"] = {k: float(v) for k, v in vars(best).items()}
    return {
        "rate_Hz": PAIR_RATES,
        "delay_s": PAIR_DELAYS,
        "data": _list(DATA),
        "sem": _list(SEM),
        "models": models,
    }


def voltage_pairs() -> dict:
    """Return the same pairs by the voltage rule with a neuron that fires: 15 times 5 pairs, from a weight of 0.5."""
    scale = 15 / 0.5
    found = [[scale * pairing_neuron.change(f, 1e3 * d) for f in PAIR_RATES] for d in PAIR_DELAYS]
    return {"change": _list(found), "error": float(np.mean(((np.array(found) - DATA) / SEM) ** 2))}


def _best_pair(rule, protocols):
    """Fit pair STDP's four parameters to the ten points, time constants of 5 to 100 ms."""

    def parts(tau_plus, tau_minus):
        """Return what A_plus and A_minus are multiplied with: sums over pairs of spikes, or over nearest ones."""
        join = np.max if rule is stdp.NEAREST else np.sum  # the nearest spike leaves the largest trace
        rows = []
        for pre, post in protocols:
            gap = post[:, None] - pre[None, :]
            up = np.where(gap > 1e-9, np.exp(-np.abs(gap) / tau_plus), 0.0)
            down = np.where(gap < -1e-9, np.exp(-np.abs(gap) / tau_minus), 0.0)
            rows.append([join(up, axis=1).sum(), -join(down, axis=0).sum()])
        return np.array(rows)

    def fit(log_taus):
        amplitudes, residual = optimize.nnls(parts(*np.exp(log_taus)) / SEM.reshape(-1, 1), (DATA / SEM).ravel())
        return residual, amplitudes

    grid = np.linspace(*np.log([5e-3, 100e-3]), 9)
    start = min(((a, b) for a in grid for b in grid), key=lambda taus: fit(np.array(taus))[0])
    options = {"xatol": 1e-3, "fatol": 1e-6}
    limits = [np.log([5e-3, 100e-3])] * 2
    found = optimize.minimize(lambda x: fit(x)[0], start, method="Nelder-Mead", bounds=limits, options=options).x
    return rule.Params(*map(float, fit(found)[1]), *map(float, np.exp(found)), mu=0.0)


def hippocampal() -> dict:
    """Return the triplet and quadruplet protocols of hippocampal cultures by the four hippocampal sets."""
    gaps = [(a * 1e-3, b * 1e-3) for a, b in TRIPLET_GAPS]
    pre_post_pre = [(repeat([0, a + b], 1), repeat(a, 1)) for a, b in gaps]
    post_pre_post = [(post, pre) for pre, post in pre_post_pre]
    # Two pairs 5 ms wide, T between their middles: T > 0 post-pre then pre-post, T < 0 pre-post then post-pre.
    wide = 5e-3
    quadruplets = []
    for t in (abs(q) * 1e-3 for q in QUADRUPLETS if q > 0):
        outer, inner = repeat([0, wide + t], 1), repeat([wide, t], 1)
        quadruplets.append((inner, outer))
    quadruplets = [(post, pre) for pre, post in reversed(quadruplets)] + quadruplets
    out = {"triplet_gaps_ms": TRIPLET_GAPS, "quadruplet_ms": QUADRUPLETS, "sets": {}}
    for suffix in ("", "_nearest"):
        names = [f"hippocampal_full{suffix}", f"hippocampal_minimal{suffix}"]
        chosen = [triplet.PARAMETER_SETS[n] for n in names]
        rule = plasticity.get(f"triplet{suffix}")
        found = changes(rule, chosen, [*pre_post_pre, *post_pre_post, *quadruplets], DT)
        for name, change in zip(names, found, strict=True):
            out["sets"][name] = {
                "pre_post_pre": _list(change[:4]),
                "post_pre_post": _list(change[4:8]),
                "quadruplet": _list(change[8:]),
            }
    return out


def rates() -> dict:
    """Return the mean-field curves of triplet, BCM, SRDP and voltage rule, with simulated points beside them."""
    out = {}
    params, pre_rate = triplet.PARAMETER_SETS["visual_minimal"], 10.0
    fine, coarse = np.linspace(0, 40, 81), np.array([5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0])
    rng, seconds, dt = np.random.default_rng(1), 100.0, 5e-4
    shape = (len(coarse), round(seconds / dt), 6)
    pre, post = (rng.random(shape) < np.reshape(r, (-1, 1, 1)) * dt for r in (pre_rate, coarse))
    one = lambda a, b: plasticity.run(triplet.RULE, params, jnp.zeros((6, 6)), a, b, dt)[0]  # noqa: E731
    out["triplet"] = {
        "post_Hz": _list(fine),
        "drift_per_s": _list(triplet.drift(params, pre_rate, fine)),
        "simulated_Hz": _list(coarse),
        "simulated_per_s": _list(jnp.mean(jax.jit(jax.vmap(one))(pre, post), axis=(1, 2)) / seconds),
        "threshold_Hz": float(triplet.threshold(params)),
        "pair_per_s": _list(stdp.drift(stdp.Params(0.005, 0.00525), pre_rate, fine)),
    }
    y = np.linspace(0, 2, 81)
    thresholds = {f"{y_0:g}": _list(y * (y - y_0)) for y_0 in (0.5, 1.0, 1.5)}  # at a threshold that holds still
    out["bcm"] = {"y": _list(y), "held": thresholds, "settled": _list(bcm.drift(bcm.Params(eta=1.0), 1.0, y))}
    held = srdp.Params(tau_th=1e12)
    rate = np.array([1.0, 5.0, 10.0, 20.0, 40.0, 50.0, 100.0])
    smooth = np.geomspace(1, 100, 60)
    out["srdp"] = {"rate_Hz": _list(smooth), "simulated_Hz": _list(rate), "pulses": {}}
    for n in (10, 30, 100):
        run = [float(_train(held, f, n)) for f in rate]
        out["srdp"]["pulses"][str(n)] = {"closed_form": _list(srdp.train(held, smooth, n)), "simulated": run}
    u = np.linspace(-80e-3, -35e-3, 91)
    held_u = np.linspace(-80e-3, -35e-3, 10)
    out["voltage"] = {
        "u_V": _list(u),
        "drift_per_s": _list(voltage.drift(voltage.Params(), 25.0, u)),
        "simulated_V": _list(held_u),
        "simulated_per_s": _list([_clamped(v) for v in held_u]),
    }
    return out


def _train(params, rate: float, n: int):
    spikes = np.zeros((round(n / rate / DT), 1))
    spikes[:: round(1 / rate / DT)] = 1
    return plasticity.run(srdp.RULE, params, jnp.zeros((1, 1)), spikes, np.zeros_like(spikes), DT)[0][0, 0]


def _clamped(u: float, rate: float = 25.0, seconds: float = 4.0, dt: float = 1e-4) -> float:
    steps = round(seconds / dt)
    pre = np.zeros((steps, 1))
    pre[:: round(1 / rate / dt)] = 1
    v = np.full((steps, 1), u)
    state = voltage.State(x=jnp.full(1, rate), u_minus=jnp.full(1, u), u_plus=jnp.full(1, u))
    post = Signals(np.zeros_like(v), v)
    w, _ = plasticity.run(voltage.RULE, voltage.Params(), jnp.zeros((1, 1)), pre, post, dt, state=state)
    return float(w[0, 0]) / seconds


def _list(values) -> list:
    """Return six significant digits, which is more than a figure shows."""
    values = np.asarray(values, float)
    return [_list(row) for row in values] if values.ndim > 1 else [float(f"{value:.6g}") for value in values]
