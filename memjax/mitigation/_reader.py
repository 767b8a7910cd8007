"""What a digital circuit sees of an array, and a spiking network that is made of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from memjax import crossbar, neurons, noise
from memjax.crossbar import Crossbar
from memjax.periphery import ADC
from memjax.wires import Wires


class Seen(NamedTuple):
    """Columns as they are seen [..., cols], in units of weight: their mean, and the sd of a read around it or None."""

    value: Array
    sd: Array | None


# (x [..., rows], power [..., rows]) -> Seen. x: inputs in units of the full scale; power: the sum of the squares of the
# separate inputs that x is a sum of, which their read noise adds up with; x^2 for a single read.
Reader = Callable[[Array, Array], Seen]


def reader(xbar: Crossbar, noise: Any = None, *, wires: Wires | None = None, adc: ADC | None = None) -> Reader:
    """Return the reader of a bare array: sum_i x_i w_ij, with w as the array's mean range scales it.

    noise  sd of every device's conductance at a read, relative to the mean range; None: none
    wires  in place of the array's own, as of `crossbar.read`
    adc    one converter a column, behind the sum of all tiles. It has the noise as well, at its own gain; its levels
           are those next to the mean

    A single-ended array has signed weights w = 2 (g - g_mid) / (g_max - g_min) against a reference column of devices at
    the middle of the mean range, without noise. It takes off what all inputs bring: leave those of inactive tiles at 0.
    """
    unit, scale, reference = scaling(xbar)

    def read(x: Array, power: Array) -> Seen:
        i = crossbar.read(xbar, xbar.v_read * x, wires=wires, adc=adc, per_tile=False)
        value = scale * (i - reference * xbar.v_read * jnp.sum(x, axis=-1, keepdims=True)) / unit
        if noise is None:
            return Seen(value, None)
        sd = crossbar.noise_sd(xbar, xbar.v_read * jnp.sqrt(power), noise)
        gain = 1.0 if adc is None else columns(1 + adc.gain, sd)
        return Seen(value, scale * gain * sd / unit)

    return read


def scaling(xbar: Crossbar) -> tuple[Array, float, Array | float]:
    """Return (unit [A], scale, reference [S]) by which currents become weights, w = scale (i - reference v) / unit."""
    unit = xbar.v_read * crossbar.conductance_range(xbar)
    return (unit, 1.0, 0.0) if xbar.polarity == 2 else (unit, 2.0, mean_conductance(xbar, 0.5))


def mean_conductance(xbar: Crossbar, x: float) -> Array:
    """Return the mean conductance of all devices at the state x [] [S], as if none was stuck: of reference devices.

    Of inactive tiles too: a reference column does not change with what is switched off beside it.
    """
    dtype = crossbar.conductance_range(xbar).dtype
    healthy = replace(crossbar.uncache(xbar), faults=None, active=jnp.ones_like(xbar.active))
    return jnp.mean(crossbar.conductance(crossbar.set_state(healthy, jnp.full((xbar.polarity, *xbar.shape), x, dtype))))


def columns(each: Any, like: Array) -> Array:
    """Bring what columns have of their own, [] or [cols], beside values [..., cols]."""
    return jnp.broadcast_to(jnp.asarray(each, like.dtype).reshape((1,) * (like.ndim - 1) + (-1,)), like.shape)


def respond(
    first: Reader,
    second: Reader,
    x: Array,
    key: Array,
    *,
    neuron: neurons.Params | None = None,
    steps: int = 5,
    reset: str = "subtract",
) -> Array:
    """Return the outputs y [..., classes] of a two-layer spiking network for held inputs x [..., rows] in [0, 1].

    LIF neurons between the readers, leaky integrators behind them: the equations are those of `network.EdgeNetwork`,
    with the same statistics of read noise, drawn anew at every time step.
    """
    neuron = neurons.Params() if neuron is None else neuron
    seen = first(x, x * x)
    u = jnp.broadcast_to(seen.value, (steps, *seen.value.shape))
    if seen.sd is not None:
        u = u + seen.sd[None] * noise.normal(noise.fold_in(key, "hidden"), u.shape, u.dtype)

    def time_step(state, current):
        (spike, _), state = neurons.step(neuron, state, current, reset=reset)
        return state, spike

    _, spikes = jax.lax.scan(time_step, neurons.init(u.shape[1:], u.dtype), u)
    # The readout is linear: one read of the weighted sum of the spikes, o_t = leak o_{t-1} + w h_t, y = mean_t o_t.
    powers = jnp.asarray(neuron.leak, u.dtype) ** jnp.arange(steps, dtype=u.dtype)
    c = jnp.cumsum(powers)[::-1] / steps
    sums = (jnp.tensordot(weight, spikes, 1, precision="highest") for weight in (c, c * c))
    seen = second(*sums)
    if seen.sd is None:
        return seen.value
    return seen.value + seen.sd * noise.normal(noise.fold_in(key, "output"), seen.value.shape, u.dtype)
