"""The nearest whole number of pulses, round(dw / step): what is below half a step is lost."""

import jax.numpy as jnp

from memjax.plasticity.base import dense
from memjax.programming.base import Params, Programmer, deliver, nothing, own_size, pulse_size


def step(params: Params, state, dw, xbar, dt, key, turn):
    dw = dense(dw)
    signed = jnp.round(dw / own_size(pulse_size(xbar, params.step, params.sides), params.own, dw))
    xbar, events = deliver(xbar, signed, dt, key, max_pulses=params.max_pulses, sides=params.sides)
    return xbar, (), events


PROGRAMMER = Programmer("pulse_train", Params, nothing, step)
