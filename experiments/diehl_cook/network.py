"""The network of Diehl and Cook 2015: conductance-based neurons, lateral inhibition, triplet STDP, re-presentation.

    tau dv/dt = v_rest - v + g_e (0 - v) + g_i (e_inh - v)     conductances relative to the leak
    spike:  v > v_threshold + theta  ->  v = v_reset for `refractory`, theta += theta_plus, g_i of all others += w_inh
    learn:  post spike: w += nu_post r1 o2      pre spike: w -= nu_pre o1      0 <= w <= 1, sum over inputs = norm

A step of dt is an exponential Euler step with the conductances' exact means over it. What spikes in a step acts from
the next step on, and the traces are read before it is added. An inhibitory neuron of the source fires once for each
spike of its excitatory one, within 1 ms: here the excitatory neurons inhibit each other directly, one step later.

Nothing that is read changes between two post spikes. So a presentation is one product of its spikes with the weights,
a loop over neurons alone, and at each post spike one line of the array that is written and read again. What pre spikes
depress is collected until the neuron's next spike or the end: clipped at 0 that is the same sum, but the drive feels it
only then, the one difference from `triplet_nearest` at every step.

Diehl, Cook, Front. Comput. Neurosci. 9, 99 (2015), and its program (numbers, norm of 78, re-presentation).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import synapses
from flax import struct
from jax import Array
from synapses import Synapses

from memjax import noise
from memjax.energy import Events
from memjax.plasticity import base
from memjax.programming.base import none_yet

MOST_TRIES = 24  # of one image; the source has no limit


@struct.dataclass
class Params:
    """Times in s, voltages in V, rates in Hz, conductances in units of the leak; all traced."""

    dt: Any = 1e-3
    rest: Any = 0.15  # without input, after every presentation
    v_rest: Any = -65e-3
    v_reset: Any = -65e-3
    v_threshold: Any = -72e-3  # -52 mV less an offset of 20 mV, where theta starts
    theta_0: Any = 20e-3
    theta_plus: Any = 0.05e-3
    tau_theta: Any = 1e4
    tau: Any = 0.1
    refractory: Any = 5e-3
    e_inh: Any = -0.1
    tau_e: Any = 1e-3
    tau_i: Any = 2e-3
    w_inh: Any = 50.0  # the source: 17, see README
    rate: Any = 63.75  # of a white pixel
    rate_more: Any = 31.875  # added by each re-presentation
    least: Any = 5  # spikes that an image has to cause
    nu_pre: Any = 1e-4
    nu_post: Any = 1e-2
    tau_pre: Any = 20e-3
    tau_post: Any = 20e-3
    tau_post_slow: Any = 40e-3


@struct.dataclass
class State:
    """What the network keeps from one presentation to the next."""

    v: Array  # [n] V
    g_e: Array  # [n]
    g_i: Array  # [n]
    theta: Array  # [n] V
    r1: Array  # [inputs] trace of the latest pre spike
    age: Array  # [n] s since the latest post spike, which o1 and o2 are functions of


class Seen(NamedTuple):
    """What one image caused."""

    counts: Array  # [n] spikes in the last presentation
    tries: Array  # presentations
    post: Array  # spikes in all presentations
    events: Events


def init(params: Params, n: int, inputs: int) -> State:
    """Return neurons at rest that have never fired."""
    full = lambda size, value: jnp.full(size, value, jnp.result_type(float))  # noqa: E731
    return State(
        v=full(n, params.v_rest),
        g_e=full(n, 0),
        g_i=full(n, 0),
        theta=full(n, params.theta_0),
        r1=full(inputs, 0),
        age=full(n, jnp.inf),
    )


def membrane(params: Params, v: Array, g_e: Array, g_i: Array) -> Array:
    """Return the membrane [n] [V] after dt, from the conductances at its start."""
    mean_e, mean_i = (
        g * tau / params.dt * -jnp.expm1(-params.dt / tau) for g, tau in ((g_e, params.tau_e), (g_i, params.tau_i))
    )
    total = 1 + mean_e + mean_i
    end = (params.v_rest + mean_i * params.e_inh) / total
    return end + (v - end) * jnp.exp(-total * params.dt / params.tau)


def rest(params: Params, state: State, duration: Any) -> State:
    """Let the network rest without input for `duration` [s], many times tau_e and tau_i, in closed form; nothing fires.

    Of one conductance g exp(-t / s) alone, with u = v - v_rest, E its reversal's and q = g s / tau,

        u(t) exp(t / tau) = E (1 + Ein(q) s / tau) + (u(0) - E) exp(-q),  Ein(q) = int_0^q (1 - exp(-z)) / z dz,

    to second order of s / tau. The excitatory one, which is the shorter, is taken first.
    """
    nodes, weights = (
        x.tolist() for x in np.polynomial.legendre.leggauss(12)
    )  # Ein(q) = int_0^1 (1 - exp(-q x)) / x dx
    u = state.v - params.v_rest
    for g, short, end in ((state.g_e, params.tau_e, 0.0), (state.g_i, params.tau_i, params.e_inh)):
        q, to = g * short / params.tau, end - params.v_rest
        ein = sum(w * -jnp.expm1(-q * (1 + x) / 2) / (1 + x) for x, w in zip(nodes, weights, strict=True))
        u = to * (1 + ein * short / params.tau) + (u - to) * jnp.exp(-q)
    return State(
        v=params.v_rest + u * jnp.exp(-duration / params.tau),
        g_e=state.g_e * jnp.exp(-duration / params.tau_e),
        g_i=state.g_i * jnp.exp(-duration / params.tau_i),
        theta=state.theta,
        r1=base.decay(state.r1, params.tau_pre, duration),
        age=state.age + duration,
    )


def present(
    params: Params, state: State, array: Synapses, spikes: Array, key: Array, *, learn: bool
) -> tuple[State, Synapses, Array, Events]:
    """Present spikes [T, inputs] of 0 and 1; returns (state, array, counts [n], events)."""
    steps = len(spikes)
    n = array.xbar.shape[0]
    real = spikes.dtype
    dt = params.dt
    drive = synapses.read(array, spikes, noise.fold_in(key, "read"))
    fade_e, fade_i = jnp.exp(-dt / params.tau_e).astype(real), jnp.exp(-dt / params.tau_i).astype(real)
    others = lambda fired: params.w_inh * (jnp.sum(fired) - fired)  # noqa: E731

    def trace(r1, spike):
        r1 = base.decay(r1, params.tau_pre, dt)
        return base.nearest(r1, spike), r1

    r1, seen = jax.lax.scan(trace, state.r1, spikes) if learn else (state.r1, None)

    def until_a_spike(carry):
        """Run the neurons up to the end of the first step in which one fires, or to the end."""
        start, v, g_e, g_i, theta, last, drive = carry

        def go_on(inner):
            t, *_, fired = inner
            return (t < steps) & ~jnp.any(fired)

        def step(inner):
            t, v, g_e, g_i, _ = inner
            # Half a step more, for rounding: a neuron that fires is silent for the next `refractory` of steps.
            awake = (t.astype(real) - last) * dt > params.refractory + 0.5 * dt
            v = jnp.where(awake, membrane(params, v, g_e, g_i), v)
            fired = awake & (v > params.v_threshold + theta)
            return t + 1, v, fade_e * g_e + drive[t], fade_i * g_i, fired

        return jax.lax.while_loop(go_on, step, (start, v, g_e, g_i, jnp.zeros(n, bool)))

    def change(j, t, last, array):
        """Write the line of neuron j, which fires in step t: depress since its last spike, potentiate; read it."""
        now, own = t.astype(real), noise.fold_in(noise.fold_in(key, t), j)
        array, spent = _depress(params, array, spikes, j, last[j], now, noise.fold_in(own, 0))
        o2 = jnp.exp((last[j] - now) * dt / params.tau_post_slow)
        array, more = synapses.learn(array, j, params.nu_post * o2 * seen[t], noise.fold_in(own, 1))
        return array, synapses.read_line(array, j, spikes, noise.fold_in(own, 2)), spent + more

    def segment(carry):
        t, v, g_e, g_i, theta, last, counts, array, drive, spent = carry
        t, v, g_e, g_i, fired = until_a_spike((t, v, g_e, g_i, theta, last, drive))
        when = t - 1
        spike = fired.astype(real)
        if learn:

            def one(todo):
                left, array, drive, spent = todo
                j = jnp.argmax(left)
                array, column, more = change(j, when, last, array)
                drive = jax.lax.dynamic_update_slice(drive, column[:, None], (0, j))
                return left.at[j].set(False), array, drive, spent + more

            _, array, drive, spent = jax.lax.while_loop(
                lambda todo: jnp.any(todo[0]), one, (fired, array, drive, spent)
            )
        return (
            t,
            jnp.where(fired, params.v_reset, v),
            g_e,
            g_i + others(spike),
            theta + params.theta_plus * spike if learn else theta,
            jnp.where(fired, when.astype(real), last),
            counts + fired.astype(jnp.int32),
            array,
            drive,
            spent,
        )

    last = -state.age / dt
    carry = (jnp.int32(0), state.v, state.g_e, state.g_i, state.theta, last)
    carry = (*carry, jnp.zeros(n, jnp.int32), array, drive, none_yet())
    carry = jax.lax.while_loop(lambda carry: carry[0] < steps, segment, carry)
    _, v, g_e, g_i, theta, last, counts, array, _, spent = carry
    spent = spent + synapses.read_events(array, spikes)
    if learn:

        def finish(todo):
            left, array, spent = todo
            j = jnp.argmax(left)
            own = noise.fold_in(noise.fold_in(key, "end"), j)
            array, one = _depress(params, array, spikes, j, last[j], steps, noise.fold_in(own, 0))
            array, two = synapses.normalise(array, j, noise.fold_in(own, 1))
            return left.at[j].set(False), array, spent + one + two

        _, array, spent = jax.lax.while_loop(lambda todo: jnp.any(todo[0]), finish, (counts > 0, array, spent))
        theta = theta * jnp.exp(-steps * dt / params.tau_theta)
    return State(v, g_e, g_i, theta, r1, (steps - last) * dt), array, counts, spent


def _depress(params: Params, array, spikes: Array, j: Array, last: Array, until: Any, key: Array):
    """Depress line j by the pre spikes after its last spike, up to and with step `until`."""
    time = jnp.arange(len(spikes), dtype=spikes.dtype)
    o1 = jnp.where((time > last) & (time <= until), jnp.exp((last - time) * params.dt / params.tau_post), 0.0)
    return synapses.learn(array, j, -params.nu_pre * (o1 @ spikes), key)


def image(
    params: Params, state: State, array: Synapses, pixels: Array, key: Array, steps: int, *, learn: bool
) -> tuple[State, Synapses, Seen]:
    """Present an image, pixels [inputs] in [0, 1], and again at a higher rate while it causes too few spikes."""

    def again(carry):
        _, _, counts, tries, _, _ = carry
        return (tries == 0) | ((jnp.sum(counts) < params.least) & (tries < MOST_TRIES))

    def once(carry):
        state, array, _, tries, post, spent = carry
        own = noise.fold_in(key, tries)
        rate = params.rate + params.rate_more * tries.astype(pixels.dtype)
        drawn = noise.uniform(own, (steps, pixels.size), pixels.dtype) < (rate * params.dt * pixels)[None]
        spikes = drawn.astype(pixels.dtype)
        state, array, counts, more = present(params, state, array, spikes, own, learn=learn)
        state = rest(params, state, params.rest)
        if learn:
            state = state.replace(theta=state.theta * jnp.exp(-params.rest / params.tau_theta))
        return state, array, counts, tries + 1, post + jnp.sum(counts, dtype=jnp.int32), spent + more

    zero = jnp.int32(0)
    start = (state, array, jnp.zeros(state.v.shape, jnp.int32), zero, zero, none_yet())
    state, array, counts, tries, post, spent = jax.lax.while_loop(again, once, start)
    return state, array, Seen(counts, tries, post, spent)


def images(params, state, array, pixels: Array, first: Array, key: Array, steps: int, learn: bool):
    """Present images [k, inputs] of a run, from number `first` on; returns (state, array, Seen [k, ...])."""

    def one(carry, item):
        picture, number = item
        light = picture.astype(state.v.dtype) / 255
        *after, seen = image(params, *carry, light, noise.fold_in(key, number), steps, learn=learn)
        return tuple(after), seen

    numbers = first + jnp.arange(len(pixels), dtype=jnp.int32)
    after, seen = jax.lax.scan(one, (state, array), (pixels, numbers))
    return *after, seen
