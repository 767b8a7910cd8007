"""Izhikevich's distal-reward network: one synapse of 80,000 is rewarded seconds later, and must be found.

1,000 neurons (800 regular spiking, 200 fast spiking), 100 random synapses each, axonal delay 1 ms, noise current. When
the post neuron of one chosen synapse fires within 20 ms after its pre neuron, dopamine is released 1 to 3 s later.
Synapses of excitatory neurons learn by the equations of `memjax.plasticity.reward_stdp`, nearest-spike and with the
axonal delay; here they stand in lists, since a dense 1,000 x 1,000 eligibility every millisecond is too much.

Izhikevich 2007 (10.1093/cercor/bhl152); network and numbers are those of the program published with it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from memjax import noise

EXCITATORY, NEURONS, SYNAPSES = 800, 1000, 100
S_MAX, S_START, INHIBITORY = 4.0, 1.0, -1.0  # mV
NOISE = 6.5  # current, uniform in +-
A_PLUS, A_MINUS, TAU_STEP = 0.1, 0.15, 0.95  # tau of the window 20 ms, decay a millisecond
TONIC, PHASIC = 0.002, 0.5
DOPAMINE_STEP, ELIGIBILITY_STEP = 0.995, 0.99  # a millisecond (tau 0.2 s), ten milliseconds (tau 1 s)
COINCIDENCE, SOONEST, LATEST = 20, 1000, 3000  # ms
RING = 4096  # ms, holds the rewards that are under way


@struct.dataclass
class Wiring:
    """Targets [NEURONS, SYNAPSES]; for each neuron its excitatory synapses [NEURONS, most], and their pre neurons."""

    target: jax.Array
    incoming: jax.Array  # flat index of a synapse; EXCITATORY * SYNAPSES is a slot that nobody reads
    source: jax.Array


@struct.dataclass
class State:
    v: jax.Array
    u: jax.Array
    s: jax.Array  # weights of the excitatory synapses and the unread slot, mV
    c: jax.Array  # their eligibilities
    x: jax.Array  # traces of the spikes as they arrive [NEURONS]
    y: jax.Array  # traces of the spikes as they are fired [NEURONS]
    fired: jax.Array  # in the last millisecond
    dopamine: jax.Array
    pre_time: jax.Array  # ms since the chosen synapse's pre neuron fired
    ring: jax.Array
    rewards: jax.Array


def wire(seed: int) -> Wiring:
    """Draw the random synapses: excitatory neurons project to all, inhibitory ones to excitatory neurons."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, NEURONS, (NEURONS, SYNAPSES))
    target[EXCITATORY:] = rng.integers(0, EXCITATORY, (NEURONS - EXCITATORY, SYNAPSES))
    target[0, 0] = rng.integers(1, EXCITATORY)  # the chosen synapse: between two excitatory neurons
    lists = [np.flatnonzero(target[:EXCITATORY].ravel() == n) for n in range(NEURONS)]
    incoming = np.full((NEURONS, max(map(len, lists))), EXCITATORY * SYNAPSES)
    for n, synapses in enumerate(lists):
        incoming[n, : len(synapses)] = synapses
    source = np.minimum(incoming // SYNAPSES, NEURONS - 1)
    return Wiring(*(jnp.asarray(a, jnp.int32) for a in (target, incoming, source)))


def start() -> State:
    """Return the network at rest, all excitatory synapses at 1 mV and the chosen one at 0."""
    s = jnp.full(EXCITATORY * SYNAPSES + 1, S_START, jnp.float32).at[0].set(0.0)
    v, zeros = jnp.full(NEURONS, -65.0, jnp.float32), jnp.zeros(NEURONS, jnp.float32)
    return State(
        v=v, u=0.2 * v, s=s, c=jnp.zeros_like(s), x=zeros, y=zeros, fired=zeros > 0,
        dopamine=jnp.float32(0), pre_time=jnp.int32(COINCIDENCE),
        ring=jnp.zeros(RING, jnp.float32), rewards=jnp.int32(0),
    )  # fmt: skip


def _each(mask: jax.Array, body, carry):
    """Call carry <- body(n, carry) for every n in mask, one after the other."""

    def again(args):
        left, carry = args
        n = jnp.argmax(left)
        return left.at[n].set(False), body(n, carry)

    return jax.lax.while_loop(lambda args: jnp.any(args[0]), again, (mask, carry))[1]


def millisecond(wiring: Wiring, state: State, current, dopamine):
    """Advance network, traces and eligibilities by 1 ms; weights change every tenth (`learn`)."""
    s, c = state.s, state.c
    x, y = TAU_STEP * state.x, TAU_STEP * state.y

    def arrive(n, carry):
        current, c = carry
        excitatory = n < EXCITATORY
        row = jnp.where(excitatory, n, 0) * SYNAPSES
        targets = wiring.target[n]
        old = jax.lax.dynamic_slice(c, (row,), (SYNAPSES,))
        down = jnp.where(excitatory, A_MINUS, 0.0) * y[targets]
        weights = jax.lax.dynamic_slice(s, (row,), (SYNAPSES,))
        current = current.at[targets].add(jnp.where(excitatory, weights, INHIBITORY))
        return current, jax.lax.dynamic_update_slice(c, old - down, (row,))

    current, c = _each(state.fired, arrive, (current, c))
    fast = jnp.arange(NEURONS) >= EXCITATORY
    v, u = state.v, state.u
    for _ in range(2):  # half-millisecond steps, for stability
        v = v + 0.5 * ((0.04 * v + 5) * v + 140 - u + current)
    u = u + jnp.where(fast, 0.1, 0.02) * (0.2 * v - u)
    fired = v >= 30
    v, u = jnp.where(fired, -65.0, v), u + jnp.where(fired, jnp.where(fast, 2.0, 8.0), 0.0)
    # A spike of this step does not see those that arrive in it: x is added to below.
    c = _each(fired, lambda n, c: c.at[wiring.incoming[n]].add(A_PLUS * x[wiring.source[n]]), c)
    x, y = jnp.where(state.fired, 1.0, x), jnp.where(fired, 1.0, y)
    return state.replace(v=v, u=u, c=c, x=x, y=y, fired=fired, dopamine=DOPAMINE_STEP * state.dopamine + dopamine)


def learn(s, c, dopamine):
    """Change the weights after ten milliseconds, and let the eligibilities decay."""
    return jnp.clip(s + (TONIC + dopamine) * c, 0.0, S_MAX), ELIGIBILITY_STEP * c


def run(wiring: Wiring, key: jax.Array, seconds: int, given: jax.Array, contingent: jax.Array):
    """Run the network; returns the last state and, each second, the chosen weight, the mean one, rewards and spikes.

    given [seconds, 100, 10] are rewards at fixed times, used where `contingent` is False.
    """
    post = wiring.target[0, 0]

    def step(carry, xs):
        state, time = carry
        current, reward = xs
        slot = time % RING
        due = jnp.where(contingent, state.ring[slot], reward)
        state = state.replace(ring=state.ring.at[slot].set(0.0), rewards=state.rewards + (due > 0))
        state = millisecond(wiring, state, current, PHASIC * due)
        since = jnp.where(state.fired[0], 0, state.pre_time + 1)
        hit = state.fired[post] & (since < COINCIDENCE) & (since > 0)
        wait = SOONEST + ((LATEST - SOONEST) * noise.uniform(noise.fold_in(key, time), salt=1)).astype(jnp.int32)
        ring = state.ring.at[(time + wait) % RING].add(jnp.where(hit, 1.0, 0.0))
        return (state.replace(pre_time=since, ring=ring), time + 1), jnp.sum(state.fired[:EXCITATORY])

    def ten(carry, xs):
        block, reward = xs
        current = NOISE * (2 * noise.uniform(noise.fold_in(key, block), (10, NEURONS), salt=2) - 1)
        (state, time), spikes = jax.lax.scan(step, carry, (current, reward))
        s, c = learn(state.s, state.c, state.dopamine)
        return (state.replace(s=s, c=c), time), jnp.sum(spikes)

    def second(carry, xs):
        number, reward = xs
        carry, spikes = jax.lax.scan(ten, carry, (number * 100 + jnp.arange(100), reward))
        state = carry[0]
        weights = state.s[:-1]
        return carry, (weights[0], jnp.mean(weights), state.rewards, jnp.sum(spikes))

    carry = (start(), jnp.int32(0))
    (state, _), record = jax.lax.scan(second, carry, (jnp.arange(seconds), given.astype(jnp.float32)))
    return state, record


def study(seeds, seconds: int = 3600) -> dict:
    """Return what becomes of the chosen synapse, rewarded and with as many rewards at random times, for each seed."""
    compiled = jax.jit(run, static_argnames="seconds")
    rows = []
    for seed in seeds:
        wiring, key = wire(seed), jax.random.key(seed)
        nothing = np.zeros((seconds, 100, 10), bool)
        rewarded = _row(*compiled(wiring, key, seconds, nothing, True))
        times = np.random.default_rng(1000 + seed).choice(nothing.size, rewarded["rewards"], replace=False)
        at_random = nothing.copy()
        at_random.ravel()[times] = True
        rows.append(
            {"seed": seed, "rewarded": rewarded, "random": _row(*compiled(wiring, key, seconds, at_random, False))}
        )
    return {"seconds": seconds, "s_max_mV": S_MAX, "seeds": rows}


def _row(state: State, record) -> dict:
    """Return the last weight, its rank and the time at which it first passed 95 % of the maximum; every 20th second."""
    chosen, mean, rewards, spikes = (np.asarray(a, np.float64) for a in record)
    weights = np.asarray(state.s[:-1])
    strong = np.flatnonzero(chosen > 0.95 * S_MAX)
    return {
        "final_mV": round(float(chosen[-1]), 4),
        "stronger_percent": round(float(100 * np.mean(weights > chosen[-1])), 4),
        "reached_s": int(strong[0]) + 1 if strong.size else None,
        "rewards": int(rewards[-1]),
        "rate_Hz": round(float(spikes.mean() / EXCITATORY), 4),
        "histogram": np.histogram(weights, 40, (0, S_MAX))[0].tolist(),
        "chosen_mV": np.round(chosen[19::20], 4).tolist(),
        "mean_mV": np.round(mean[19::20], 4).tolist(),
    }
