"""The nearest whole number of pulses, round(dw / step): what is below half a step is lost."""

import jax.numpy as jnp

from memjax.plasticity.base import dense
from memjax.programming.base import Params, Programmer, deliver, nothing, pulse_size


def step(params: Params, state, dw, xbar, dt, key, turn):
    signed = jnp.round(dense(dw) / pulse_size(xbar, params.step, params.sides))
    xbar, events = deliver(xbar, signed, dt, key, max_pulses=params.max_pulses, sides=params.sides)
    return xbar, (), events


PROGRAMMER = Programmer("pulse_train", Params, nothing, step)
