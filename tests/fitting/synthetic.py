"""Synthetic measurements of every fittable model, with parameters that the data can determine."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memjax.fitting import _solver, loops, pulses, retention, stdp, uncertainty
from memjax.fitting import problem as problems
from memjax.fitting.data import Loop, Pulses, Retention, Window

NOISE = 0.02  # of the peak

# model -> amplitudes of the loops [V], their frequencies [Hz], the truth
LOOPS = {
    "metastable_switch": (
        (0.5, 0.5),
        (10.0, 50.0),
        {"tau": 2e-3, "v_on": 0.25, "v_off": 0.15, "r_on": 500.0, "r_off": 5e3, "temperature": 500.0},
    ),
    "generalised_metastable_switch": (
        (0.5, 0.5),
        (10.0, 100.0),
        {
            "tau": 1e-3, "v_on": 0.25, "v_off": 0.12, "s_on": 0.03, "s_off": 0.03, "w_on": 0.08, "w_off": 0.1,
            "r_on": 500.0, "r_off": 5e3, "b": 2.0,
        },
    ),
    "vteam": (
        (0.4, 0.8, 1.2),
        (2.0, 10.0, 50.0),
        {
            "k_on": 20.0, "k_off": 10.0, "alpha_on": 2.0, "alpha_off": 1.8, "v_on": 0.2, "v_off": -0.15,
            "r_on": 500.0, "r_off": 4e3,
        },
    ),
    "yakopcic": (
        (0.4, 0.7, 1.0),
        (2.0, 10.0, 50.0),
        {
            "a1": 1e-3, "a2": 1.3e-3, "b": 1.5, "a_p": 60.0, "a_n": 60.0, "v_p": 0.15, "v_n": 0.12,
            "alpha_p": 3.0, "alpha_n": 4.0, "x_p": 0.3, "x_n": 0.4,
        },
    ),
    "wox": (
        (0.8, 1.2, 1.6),
        (0.5, 1.0, 4.0),
        {"eta1": 0.05, "eta2": 3.0, "tau": 0.5, "alpha": 2e-6, "beta": 1.2, "gamma": 8e-6, "delta": 1.6},
    ),
    "linear_ion_drift": ((2.0, 3.0), (1.0, 1.0), {"r_on": 400.0, "r_off": 2e3, "mu": 6.0}),
    "second_order": (
        (0.5, 0.8, 1.2),
        (2.0, 5.0, 20.0),
        {"g_min": 1e-4, "g_max": 1e-3, "tau_s": 0.02, "v_s": 0.5, "s_th": 0.25, "k": 60.0, "eta": 0.5},
    ),
}  # fmt: skip
PULSES = {
    "soft_bounds": {"g_min": 0.0, "g_max": 1.0, "step_up": 0.02, "step_down": 0.025},
    "exponential": {
        "g_min": 0.0, "g_max": 1.0, "step_up": 0.012, "step_down": 0.014, "beta_up": 3.0, "beta_down": 2.5
    },
    "power_law": {"g_min": 0.0, "g_max": 1.0, "step_up": 0.02, "step_down": 0.02, "p_up": 1.8, "p_down": 2.2},
}  # fmt: skip
RELAXATION = {"volatile": {"tau": 0.08, "g_min": 2e-5, "x0[0]": 0.78, "x0[1]": 0.4}}
STDP = {"a_plus": 0.8, "tau_plus": 0.017, "a_minus": 0.4, "tau_minus": 0.034}


def loop_problem(device: str, free=(), points: int = 200):
    """Return the problem of noiseless loops of a device, and the truth as phi."""
    amplitudes, frequencies, truth = LOOPS[device]
    data = []
    for k, (amplitude, frequency) in enumerate(zip(amplitudes, frequencies, strict=True)):
        t = np.arange(points) / points / frequency
        v = amplitude * np.sin(2 * np.pi * frequency * t)
        data.append(Loop(f"loop {k}", "", t, v, 1e-3 * v, frequency, None))
    truth = dict(truth)
    held = loops.spaces.HELD.get(device, {})
    truth |= {name: held[name] for name in free}
    truth |= {name: 0.4 - 0.1 * k for k, name in enumerate(loops.start_names(len(data)))}
    # Once with currents that only set the shapes, once with the model's own, which set the boxes too.
    first = loops.problem(device, data, free=free)
    inner = {n: truth[n] for n in first.names}
    with jax.enable_x64(True):
        curve = np.asarray(first.predict({n: jnp.asarray(x) for n, x in inner.items()}, first.inputs))
    curves = np.split(curve, len(data))
    data = [loop._replace(i=c * np.abs(loop.i).max()) for loop, c in zip(data, curves, strict=True)]
    found = loops.problem(device, data, free=free)
    return found, problems.phi_of(found, inner)


def pulse_problem(device: str):
    truth = PULSES[device] | {"x0_up": 0.05, "x0_down": 0.9}
    g = np.tile(np.linspace(0, 1, 150), (4, 1))
    found = pulses.problem(device, [Pulses("ramps", "", g, np.array([True, False, True, False]), None, "1")])
    with jax.enable_x64(True):
        curve = np.asarray(found.predict({n: jnp.asarray(truth[n]) for n in found.names}, found.inputs))
    return found.replace(data=curve), problems.phi_of(found, truth)


def relaxation_problem(device: str):
    t = np.arange(1, 101) * 3e-3
    found = retention.problem(device, [Retention("levels", "", t, np.stack([1e-4 - 1e-4 * t, 6e-5 - 1e-4 * t]))])
    truth = RELAXATION[device]
    with jax.enable_x64(True):
        curve = np.asarray(found.predict({n: jnp.asarray(truth[n]) for n in found.names}, found.inputs))
    return found.replace(data=curve), problems.phi_of(found, truth)


def stdp_problem():
    dt = np.concatenate([-np.geomspace(1e-3, 0.1, 60), np.geomspace(1e-3, 0.1, 60)])
    values = stdp.window({n: jnp.asarray(x) for n, x in STDP.items()}, {"dt": dt, "peak": 1.0})
    found = stdp.problem([Window("window", "", dt, np.asarray(values, float), "1")])
    return found, problems.phi_of(found, STDP)


class Trials(NamedTuple):
    """What many refits of noisy copies of the data found."""

    inside: dict[str, float]  # share of the 95 % intervals that hold the truth, by parameter
    score: dict[str, tuple[float, float]]  # mean and sd of (found - truth) / sd: 0 and 1 where all is linear
    deviance: float  # mean of (RSS at the truth - RSS found) / noise^2: about the number of parameters
    unfinished: int  # trials whose search was used up, or ended above the truth


def trials(problem, phi, number: int, key, starts: int = 3, steps: int = 50) -> Trials:
    """Fit `number` noisy copies of the data, each from some starts around the truth.

    A parameter with a prior has its truth drawn from it: an interval that counts what was known beforehand holds for
    devices as they were expected, and not for each one of them.
    """
    keys = jax.random.split(key, 3)
    with jax.enable_x64(True):
        problem = jax.tree.map(jnp.asarray, problem)
        truth = jnp.tile(jnp.asarray(phi), (number, 1))
        box = (problem.hi - problem.lo) / 100
        lo, hi = problem.lo + box, problem.hi - box
        ends = [jnp.broadcast_to((end - problem.centre) / problem.width, truth.shape) for end in (lo, hi)]
        drawn = jax.random.truncated_normal(keys[2], *ends, truth.shape, float)
        known = np.isfinite(problem.width)
        drawn = problem.centre[None, known] + problem.width[None, known] * drawn[:, known]
        truth = truth.at[:, known].set(drawn)
        theta = problems.free(problem, truth)
        first = theta[:, None] + 0.3 * jax.random.normal(keys[1], (number, starts, problem.size), float)
        noise = NOISE * jax.random.normal(keys[0], (number, problem.data.size), float)

        @jax.jit
        @jax.vmap
        def refit(truth, theta, noise, first):
            data = problem.predict(problems.values(problem, truth), problem.inputs) + noise
            mine = problem.replace(data=data)
            found = _solver.minimise(mine, first, steps=steps, noise=NOISE)
            best = jnp.argmin(found.cost)
            worst = jnp.sum(problems.residuals(mine, theta, None, NOISE) ** 2)
            return data, problems.natural(mine, found.theta[best]), worst - found.cost[best], found.steps[best]

        data, found, gain, used = map(np.asarray, refit(truth, theta, noise, first))
        sures = [
            uncertainty.covariance(problem.replace(data=jnp.asarray(d)), jnp.asarray(p))
            for d, p in zip(data, found, strict=True)
        ]
    low, high = (np.stack(x) for x in zip(*(phi_ends(problem, sure) for sure in sures), strict=True))
    truth = np.asarray(truth)
    score = (found - truth) / np.stack([sure.sd for sure in sures])
    return Trials(
        dict(zip(problem.names, ((low <= truth) & (truth <= high)).mean(0).tolist(), strict=True)),
        dict(zip(problem.names, zip(score.mean(0).tolist(), score.std(0).tolist(), strict=True), strict=True)),
        float(np.mean(gain)) / NOISE**2,
        int(np.sum((used >= steps) | (gain < 0))),
    )


def phi_ends(problem, sure):
    log = np.asarray(problem.log)
    return tuple(np.where(log, np.log(np.where(log, end, 1.0)), end) for end in (sure.low, sure.high))


def problem_of(device: str):
    """Return the problem and the truth of any fittable model."""
    if device == "stdp":
        return stdp_problem()
    if device in RELAXATION:
        return relaxation_problem(device)
    return pulse_problem(device) if device in PULSES else loop_problem(device)
