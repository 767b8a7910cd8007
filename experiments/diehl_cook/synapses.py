"""The plastic synapses as one array: word lines are neurons, bit lines are pixels; analogue and pulsed devices.

A weight in [0, 1] is a single device, w = (g - g_min) / (g_max - g_min). A post spike selects its neuron's word line
and writes the devices on it, depression and potentiation in two phases. Pixels drive the bit lines, and every neuron
senses its word line (`crossbar.read_back`) with a gain of its own, norm / (sum of the line's weights).

analogue  a pulse moves a linear device by its amplitude times the range: what is wanted, exactly
pulsed    whole pulses, in number random with the wanted mean (`programming.stochastic`)
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import crossbar, devices, noise, programming, variation
from memjax.crossbar import Crossbar
from memjax.energy import Events

PULSE = 1e-8  # s
STOCHASTIC = programming.get("stochastic")
MOST = 4  # pulses a device in one renormalisation


class Made(NamedTuple):
    """How devices are made; levels None: linear analogue devices without spread."""

    levels: float | None = None
    nonlinearity: float = 1.0
    d2d: float = 0.2  # of both steps
    range_d2d: float = 0.0  # of g_max
    c2c: float = 0.3  # of a step
    stuck: float = 0.01  # half at each end
    read: float = 0.02  # sd of a device's read, of the range


IDEAL = Made(None, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
NOISY = Made(64)


@struct.dataclass
class Synapses:
    """An array of word lines for neurons, and what its periphery knows."""

    xbar: Crossbar
    gain: Array  # [n]
    low: Array  # S, conductance of w = 0
    span: Array  # S, from w = 0 to w = 1
    norm: Any
    step: Any  # change of w by one pulse on the nominal device
    noise: Any
    pulsed: bool = struct.field(pytree_node=False, default=False)
    noisy: bool = struct.field(pytree_node=False, default=False)


def create(n: int, inputs: int, made: Made, key: Array, norm: float = 78.0) -> Synapses:
    """Return one chip with random weights, uniform in .01 to .31 times what makes them sum to the norm."""
    logical = (1, n, inputs)
    w = 0.3 * noise.uniform(variation.named_key(key, "weights"), logical, jnp.result_type(float)) + 0.01
    w = jnp.minimum(w * norm / jnp.sum(w, axis=2, keepdims=True), 1)
    bare, pulsed = devices.get("exponential"), made.levels is not None
    step = 1 / made.levels if pulsed else 1.0
    inner = bare.Params(step_up=step, step_down=step, beta_up=made.nonlinearity, beta_down=made.nonlinearity)
    device, params, faults = bare, inner, None
    if pulsed:
        spread = {"step_up": made.d2d, "step_down": made.d2d} | ({"g_max": made.range_d2d} if made.range_d2d else {})
        inner = variation.sample_params(inner, spread, logical, key)
        device = devices.with_c2c_noise(bare)
        params = device.Params(inner=inner, sigma=made.c2c)
        faults = variation.sample_stuck(logical, made.stuck / 2, made.stuck / 2, key) if made.stuck else None
    xbar = crossbar.create(device, (n, inputs), polarity=1, params=params, x=w, faults=faults)
    low, span = jnp.asarray(bare.Params().g_min, w.dtype), crossbar.conductance_range(xbar)
    array = Synapses(xbar, jnp.ones(n, w.dtype), low, span, norm, step, made.read, pulsed, made.read > 0)
    return replace(array, gain=norm / jnp.sum(weights(array), axis=1))


def weights(array: Synapses) -> Array:
    """Return the weights [n, inputs], without the gains."""
    return (crossbar.conductance(array.xbar)[0] - array.low) / array.span


def read(array: Synapses, spikes: Array, key: Array) -> Array:
    """Return what spikes [T, inputs] deliver to the neurons [T, n], with gain and read noise."""
    xbar = array.xbar
    v = spikes * xbar.v_read
    i = crossbar.read_back(xbar, v, noise=array.noise if array.noisy else None, key=key)
    # A reference device at g_min on every bit line takes off what w = 0 conducts.
    return (i / xbar.v_read - array.low * jnp.sum(spikes, axis=1, keepdims=True)) / array.span * array.gain[None]


def read_line(array: Synapses, j: Array, spikes: Array, key: Array) -> Array:
    """Return what spikes [T, inputs] deliver to neuron j [T]."""
    return read(replace(array, xbar=_line(array.xbar, j), gain=array.gain[j][None]), spikes, key)[:, 0]


def learn(array: Synapses, j: Array, dw: Array, key: Array, most: int = 1) -> tuple[Synapses, Events]:
    """Change the weights of neuron j by dw [inputs], as far as its devices do; returns (array, events)."""
    line = _line(array.xbar, j)
    if array.pulsed:
        params = programming.Params(array.step, max_pulses=most)
        line, _, events = STOCHASTIC.step(params, (), dw[None], line, PULSE, key, 0)
    else:
        line, events = crossbar.write(line, (dw / array.step)[None, None], PULSE, None, max_pulses=1)
    state = jax.tree.map(
        lambda all, one: jax.lax.dynamic_update_slice_in_dim(all, one, j, 2), array.xbar.state, line.state
    )
    return replace(array, xbar=replace(array.xbar, state=state)), events


def normalise(array: Synapses, j: Array, key: Array) -> tuple[Synapses, Events]:
    """Scale the weights of neuron j to sum to the norm: by pulses on its line, and what they leave by its gain.

    Every device of the line is read (`verify`), before the pulses for their numbers and after them for the gain.
    """
    w = _weights(array, j)
    array, events = learn(array, j, w * (array.norm / jnp.sum(w) - 1), key, most=MOST)
    gain = array.norm / jnp.sum(_weights(array, j))
    verified = Events(verify=jnp.int32(2 * w.size))
    return replace(array, gain=array.gain.at[j].set(gain)), events + verified


def read_events(array: Synapses, spikes: Array) -> Events:
    """Count the reads of a presentation: every step with a spike senses every neuron."""
    delivered = jnp.sum(spikes, axis=0).astype(jnp.int32)
    busy = jnp.sum(jnp.any(spikes > 0, axis=1), dtype=jnp.int32)
    return crossbar.read_events(array.xbar, delivered, busy, back=True)


def _weights(array: Synapses, j: Array) -> Array:
    return (crossbar.conductance(_line(array.xbar, j))[0, 0] - array.low) / array.span


def _line(xbar: Crossbar, j: Array) -> Crossbar:
    """Return word line j as an array of its own."""

    def cut(leaf):
        return jax.lax.dynamic_slice_in_dim(leaf, j, 1, 2) if jnp.ndim(leaf) else leaf

    params, state, faults = (jax.tree.map(cut, tree) for tree in (xbar.params, xbar.state, xbar.faults))
    one = (1, xbar.shape[1])
    return replace(xbar, params=params, state=state, faults=faults, shape=one, tile=one)
