"""Synthetic measurements of every fittable model, with parameters that the data can determine."""

import jax
import jax.numpy as jnp
import numpy as np

from memjax.fitting import _solver, loops, pulses, stdp, uncertainty
from memjax.fitting import problem as problems
from memjax.fitting.data import Loop, Pulses, Window

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
        (0.6, 0.8),
        (10.0, 10.0),
        {
            "k_on": 8.0, "k_off": 3.0, "alpha_on": 2.0, "alpha_off": 1.8, "v_on": 0.2, "v_off": -0.15,
            "r_on": 500.0, "r_off": 4e3,
        },
    ),
    "yakopcic": (
        (0.5, 0.8, 1.0),
        (10.0, 10.0, 10.0),
        {
            "a1": 1e-3, "a2": 1.3e-3, "b": 1.5, "a_p": 60.0, "a_n": 60.0, "v_p": 0.15, "v_n": 0.12,
            "alpha_p": 3.0, "alpha_n": 4.0, "x_p": 0.3, "x_n": 0.4,
        },
    ),
    "wox": (
        (1.0, 1.4),
        (1.0, 2.0),
        {"eta1": 0.05, "eta2": 3.0, "tau": 0.5, "alpha": 2e-6, "beta": 1.2, "gamma": 8e-6, "delta": 1.6},
    ),
    "linear_ion_drift": ((0.8, 1.2), (1.0, 1.0), {"r_on": 400.0, "r_off": 2e3, "mu": 6.0}),
    "second_order": (
        (0.6, 1.2),
        (5.0, 10.0),
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


def stdp_problem():
    dt = np.concatenate([-np.geomspace(1e-3, 0.1, 60), np.geomspace(1e-3, 0.1, 60)])
    values = stdp.window({n: jnp.asarray(x) for n, x in STDP.items()}, {"dt": dt, "peak": 1.0})
    found = stdp.problem([Window("window", "", dt, np.asarray(values, float), "1")])
    return found, problems.phi_of(found, STDP)


def coverage(problem, phi, trials: int, key) -> dict[str, float]:
    """Return how often the 95 % interval of each parameter holds the truth, over refits of noisy copies of the data."""
    with jax.enable_x64(True):
        problem = jax.tree.map(jnp.asarray, problem)
        noisy = problem.data[None] + NOISE * jax.random.normal(key, (trials, problem.data.size), float)
        theta = problems.free(problem, jnp.asarray(phi))
        starts = theta[None] + 0.2 * jax.random.normal(jax.random.fold_in(key, 1), (trials, problem.size), float)
        fit = jax.jit(
            jax.vmap(lambda d, s: _solver.minimise(problem.replace(data=d), s[None], steps=80, noise=NOISE).theta[0])
        )
        ends = problems.natural(problem, fit(noisy, starts))
        inside = []
        for data, end in zip(noisy, ends, strict=True):
            sure = uncertainty.covariance(problem.replace(data=data), end)
            low, high = phi_ends(problem, sure)
            inside.append((low <= phi) & (phi <= high))
    return dict(zip(problem.names, np.mean(inside, 0), strict=True))


def phi_ends(problem, sure):
    log = np.asarray(problem.log)
    return tuple(np.where(log, np.log(np.where(log, end, 1.0)), end) for end in (sure.low, sure.high))
