"""Florian's exclusive or in rates: 60 input, 60 hidden neurons and one output, rewarded for each of its spikes.

Each of the two inputs is 30 neurons, half of them inhibitory, that fire at 40 Hz for a 1 and not at all for a 0. A
pattern lasts 500 ms. Every spike of the output is worth +1 for the patterns 01 and 10 and -1 for 00 and 11; both layers
learn by `mstdp` or `mstdpet`, which see nothing but their spikes and that reward.

Florian 2007 (10.1162/neco.2007.19.6.1468), section on the rate-coded exclusive or.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from memjax import neurons, plasticity
from memjax.plasticity import Signals

INPUTS, HIDDEN = 60, 60
RATE, PATTERN = 40.0, 500  # Hz, ms
DT, LEAK = 1e-3, float(np.exp(-1 / 20))  # membranes of 20 ms
THRESHOLD, W_MAX = 16.0, 5.0  # mV, above rest
EPOCHS, TESTS = 200, 20  # presentations of each pattern: to learn, and to measure
PATTERNS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
REWARDS = np.array([-1.0, 1.0, 1.0, -1.0])
GAMMA = {"mstdp": 0.1, "mstdpet": 0.25}  # mV a pair and reward


def signs() -> np.ndarray:
    """Return +1 for excitatory and -1 for inhibitory input neurons: every second one."""
    return np.where(np.arange(INPUTS) % 2 == 0, 1.0, -1.0)


def start(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draw the weights of both layers evenly within their bounds [mV]."""
    first, second = jax.random.split(key)
    sign = jnp.asarray(signs(), jnp.float32)[:, None]
    return W_MAX * sign * jax.random.uniform(first, (INPUTS, HIDDEN)), W_MAX * jax.random.uniform(second, (HIDDEN, 1))


def run(rule, weights, patterns, key, *, learns: bool):
    """Show patterns [n] (their numbers) one after the other; returns (weights, output spikes in each [n])."""
    params = rule.Params(gamma=GAMMA[rule.name] if learns else 0.0)
    membrane = neurons.Params(leak=LEAK, threshold=THRESHOLD)
    sign = jnp.asarray(signs(), jnp.float32)[:, None]
    low, high = W_MAX * jnp.minimum(sign, 0), W_MAX * jnp.maximum(sign, 0)
    lines = jnp.repeat(jnp.asarray(PATTERNS, jnp.float32), INPUTS // 2, axis=1)

    def millisecond(carry, key, pattern):
        (w1, w2), (s1, s2), (m1, m2) = carry
        spikes = (jax.random.uniform(key, (INPUTS,)) < RATE * DT * lines[pattern]).astype(w1.dtype)
        # No delay within a step: the hidden spikes that make the output fire are of the step that is rewarded.
        (hidden, _), m1 = neurons.step(membrane, m1, spikes @ w1, reset="zero")
        (out, _), m2 = neurons.step(membrane, m2, hidden @ w2, reset="zero")
        reward = jnp.asarray(REWARDS, w1.dtype)[pattern] * out[0]
        d1, s1 = rule.step(params, s1, Signals(spikes), Signals(hidden), w1, reward, DT)
        d2, s2 = rule.step(params, s2, Signals(hidden), Signals(out), w2, reward, DT)
        w1 = jnp.clip(w1 + plasticity.dense(d1), low, high)
        w2 = jnp.clip(w2 + plasticity.dense(d2), 0.0, W_MAX)
        return ((w1, w2), (s1, s2), (m1, m2)), out[0]

    def present(carry, xs):
        pattern, key = xs
        carry, out = jax.lax.scan(partial(millisecond, pattern=pattern), carry, jax.random.split(key, PATTERN))
        return carry, jnp.sum(out)

    states = rule.init(params, INPUTS, HIDDEN), rule.init(params, HIDDEN, 1)
    membranes = neurons.init((HIDDEN,)), neurons.init((1,))
    carry, spikes = jax.lax.scan(
        present, (weights, states, membranes), (patterns, jax.random.split(key, len(patterns)))
    )
    return carry[0], spikes


def one(rule, key):
    """Learn and measure with one seed; returns rates [Hz] of the output a pattern: learning [EPOCHS, 4], after [4]."""
    keys = jax.random.split(key, 4)
    order = jax.vmap(lambda k: jax.random.permutation(k, 4))(jax.random.split(keys[0], EPOCHS))
    weights, spikes = run(rule, start(keys[1]), order.ravel(), keys[2], learns=True)
    learning = jnp.take_along_axis(spikes.reshape(EPOCHS, 4), jnp.argsort(order, axis=1), axis=1)
    _, spikes = run(rule, weights, jnp.tile(jnp.arange(4), TESTS), keys[3], learns=False)
    per_second = 1e3 / PATTERN
    return per_second * learning, per_second * jnp.mean(spikes.reshape(TESTS, 4), axis=0)


def study(seeds=range(10)) -> dict:
    """Return the output's rates while and after learning, for both rules and all seeds: numbers and lists alone."""
    out = {}
    for name in GAMMA:
        keys = jax.vmap(jax.random.key)(jnp.asarray(list(seeds)))
        found = jax.jit(jax.vmap(partial(one, plasticity.get(name))))(keys)
        learning, after = (np.asarray(rates, np.float64) for rates in found)
        solved = after[:, 1:3].min(axis=1) > after[:, [0, 3]].max(axis=1)
        out[name] = {
            "gamma_mV": GAMMA[name],
            "rates_Hz": np.round(after, 3).tolist(),
            "solved": solved.tolist(),
            "learning_Hz": np.round(learning.mean(axis=0), 3).tolist(),
        }
    return {"patterns": ["00", "01", "10", "11"], "epochs": EPOCHS, "tests": TESTS, "rules": out}
