"""Fault- and noise-aware training: learn the weights on devices as bad as those that are to hold them.

A device that is asked for the state x in [0, 1] holds, as a share of the mean range of conductances,

    y(x) = low + (high - low) (x - a) / (b - a) + noise xi,    low = y(a), high = y(b)

a straight line through what it reads at two states (`Transfer`): its own range, and where it is stuck no slope. A pair
holds w = y+(1/2 + w/2) - y-(1/2 - w/2). Training takes the weights through such lines, with xi drawn anew at every
batch, and the gradient of the cross-entropy comes back through them: what a stuck device cannot hold, others learn.

    any chip    the lines are drawn anew at every batch (`sample`): the weights must do for all chips of a kind, whose
                statistics alone have to be known
    one chip    they are those of the chip (`measure`): two programmings and reads of every device, and a training of
                its own for each chip

The network is that of `mitigation.respond` with ideal reads; its spikes have the surrogate derivative `neurons.psi`.

Cost: nothing on the chip for the first; for the second the pulses and verifies that `measure` counts. No more devices.
Sources: noise at every batch, Joshi et al., Nat. Commun. 11, 2473 (2020), doi:10.1038/s41467-020-16108-9; training with
a chip's fault map, Liu et al., DAC (2017), doi:10.1145/3061639.3062310.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import crossbar, neurons, noise
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.programming.base import none_yet
from memjax.variation import Spread, factor, named_key, sample_stuck

AT = (0.2, 0.8)  # the states a and b


@struct.dataclass
class Params:
    """Statistics of the devices that are trained for."""

    gain: Any = 0.2  # sd of a device's range, relative to it (lognormal)
    stuck_on: Any = 0.025
    stuck_off: Any = 0.025
    noise: Any = 0.02  # sd of what a device is set to, relative to the mean range


class Transfer(NamedTuple):
    """What devices read [2, rows, cols] when asked for the states `AT`, as shares of the mean range."""

    low: Array
    high: Array


def sample(params: Params, shape: tuple[int, int, int], key: Array) -> Transfer:
    """Draw the lines of an array of devices [2, rows, cols]; raise ValueError for what the samplers do not accept."""
    gain = factor(Spread(params.gain), shape, named_key(key, "gain"), "gain")
    faults = sample_stuck(shape, params.stuck_on, params.stuck_off, named_key(key, "stuck"))
    stuck = jnp.where(faults > 0, gain, jnp.zeros_like(gain))
    return Transfer(*(jnp.where(faults == 0, x * gain, stuck) for x in AT))


def measure(
    xbar: Crossbar, key: Array, *, error: Any = 0.02, read_noise: Any = None, reads: int = 1
) -> tuple[Crossbar, Transfer, Events]:
    """Program every device to both states `AT` and read it: (array, what was read, events).

    error       sd of what one open-loop pulse sets, relative to the range
    read_noise  sd of a device's conductance at one read, relative to the mean range, of which `reads` are averaged

    Raises ValueError for an array of single devices.
    """
    if xbar.polarity != 2:
        raise ValueError(
            "mitigation: training_aware takes differential pairs (polarity 2); this array has single devices"
        )
    span, shape = crossbar.conductance_range(xbar), (xbar.polarity, *xbar.shape)
    seen = []
    for number, x in enumerate(AT):
        own = jax.random.fold_in(key, number)
        wanted = x + error * noise.normal(own, shape, span.dtype, salt=1)
        xbar = crossbar.set_state(xbar, jnp.clip(wanted, 0.0, 1.0))
        y = crossbar.conductance(xbar) / span  # with its foot g_min, which a pair takes off
        if read_noise is not None:
            y = y + read_noise * reads**-0.5 * noise.normal(own, shape, span.dtype, salt=2)
        seen.append(y)
    devices = jnp.asarray(xbar.polarity * xbar.shape[0] * xbar.shape[1], jnp.int32)
    return xbar, Transfer(*seen), none_yet() + Events(pulse=2 * devices, verify=2 * reads * devices)


def held(lines: Transfer, w: Array, error: Any = 0.0, key: Array | None = None) -> Array:
    """Return the weights [rows, cols] that pairs of these lines hold when asked for w; a key draws the error."""
    x = 0.5 + 0.5 * jnp.stack([w, -w])
    (a, b), slope = AT, lines.high - lines.low
    y = lines.low + slope / (b - a) * (x - a)
    if key is not None:
        y = y + error * noise.normal(key, y.shape, y.dtype)
    return y[0] - y[1]


def forward(
    weights: tuple[Array, Array], x: Array, *, neuron: neurons.Params | None = None, steps: int = 5, width: Any = 1.0
) -> Array:
    """Return the outputs y [n, classes] of `mitigation.respond` (reset by subtraction) with a surrogate derivative."""
    neuron = neurons.Params() if neuron is None else neuron
    u, second = x @ weights[0], weights[1]

    def time_step(v, _):
        v = neuron.leak * v + u
        spike = neurons.spike(v - neuron.threshold, width)
        return v - neuron.threshold * spike, spike

    _, spikes = jax.lax.scan(time_step, jnp.zeros_like(u), None, length=steps)
    powers = jnp.asarray(neuron.leak, u.dtype) ** jnp.arange(steps, dtype=u.dtype)
    return jnp.tensordot(jnp.cumsum(powers)[::-1] / steps, spikes, 1) @ second


def train(
    optimiser: Any,
    weights: tuple[Array, Array],
    images: Array,
    labels: Array,
    key: Array,
    *,
    params: Params | None = None,
    known: tuple[Transfer, Transfer] | None = None,
    batches: int = 1000,
    size: int = 100,
    gain: Any = 0.5,
) -> tuple[tuple[Array, Array], Array]:
    """Go on training weights in [-1, 1] on images [n, rows] in [0, 1]: (weights, loss of every batch [batches]).

    optimiser  an Optax optimiser: init(weights), update(gradient, state, weights)
    params     devices to train for; None: ideal ones, or the known ones, set without error
    known      lines of the two arrays of one chip (`measure`) in place of drawn ones; of params its noise alone counts
    gain       slope of the softmax, as of `network.Physics.output_gain`
    """

    if params is None and known is not None:
        params = Params(noise=0.0)

    def loss(weights, shown, label, key):
        if params is not None:
            pairs = []
            for n, w in enumerate(weights):
                own = jax.random.fold_in(key, n)
                lines = sample(params, (2, *w.shape), named_key(own, "lines")) if known is None else known[n]
                pairs.append(held(lines, w, params.noise, named_key(own, "noise")))
            weights = pairs[0], pairs[1]
        y = jax.nn.log_softmax(gain * forward(weights, shown))
        return -jnp.mean(jnp.take_along_axis(y, label[:, None], axis=1))

    def batch(carry, number):
        weights, state = carry
        own = jax.random.fold_in(key, number)
        chosen = jax.random.randint(own, (size,), 0, images.shape[0])
        value, slope = jax.value_and_grad(loss)(weights, images[chosen], labels[chosen], own)
        change, state = optimiser.update(slope, state, weights)
        weights = jax.tree.map(lambda w, d: jnp.clip(w + d, -1.0, 1.0), weights, change)
        return (weights, state), value

    start = weights, optimiser.init(weights)
    (weights, _), losses = jax.lax.scan(batch, start, jnp.arange(batches, dtype=jnp.uint32))
    return weights, losses
