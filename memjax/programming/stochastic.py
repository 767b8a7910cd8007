"""Pulses of random number with mean dw / step: the whole part, and one more with the probability of the remainder.

Source: the stochastic update of Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016), in its mean.
"""

import jax.numpy as jnp

from memjax import noise
from memjax.plasticity.base import dense
from memjax.programming.base import Params, Programmer, deliver, nothing, own_size, pulse_size


def step(params: Params, state, dw, xbar, dt, key, turn):
    dw = dense(dw)
    wanted = dw / own_size(pulse_size(xbar, params.step, params.sides), params.own, dw)
    whole = jnp.floor(jnp.abs(wanted))
    more = noise.uniform(key, wanted.shape, wanted.dtype, salt=7) < jnp.abs(wanted) - whole
    signed = jnp.sign(wanted) * (whole + more.astype(wanted.dtype))
    xbar, events = deliver(xbar, signed, dt, key, max_pulses=params.max_pulses, sides=params.sides)
    return xbar, (), events


PROGRAMMER = Programmer("stochastic", Params, nothing, step)
