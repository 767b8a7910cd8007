"""Exponential law: a pulsed device whose step falls exponentially along the range and is still positive at the bound.

One pulse of signed scale s = v / v_write, on the normalised conductance x in [0, 1]:
    v > 0:  x += step_up exp(-beta_up (x - 1/2)) s      v < 0:  x += step_down exp(-beta_down (1/2 - x)) s (s < 0)
    v = 0:  nothing moves        then clip to [0, 1]        i = (g_min + (g_max - g_min) x) v
so step_up and step_down are the steps at mid-range, and beta = 0 is a linear device.
Source: Querlioz et al., IEEE T. Nanotechnol. 12, 288 (2013), dG+ = alpha exp(-beta (G - G_min)/(G_max - G_min)) and its
mirror, with alpha_+ = step_up exp(beta_up / 2) (G_max - G_min).
"""

import jax.numpy as jnp
from flax import struct

from memjax.devices import _pulsed
from memjax.devices._pulsed import State, bounds, current, init
from memjax.devices.base import Device, Leaf, clip, require


@struct.dataclass
class Params(_pulsed.Params):
    beta_up: Leaf = 1.0  # 1, nonlinearity
    beta_down: Leaf = 1.0  # 1, nonlinearity


def step(params, state, v, dt, key):
    x = state.x
    # Selecting the exponent first costs one exp instead of two: training spends most of its writes here.
    size = jnp.where(v > 0, params.step_up, params.step_down)
    slope = jnp.where(v > 0, -params.beta_up, params.beta_down)
    return State(x=clip(x + v / params.v_write * size * jnp.exp(slope * (x - 0.5)), 0.0, 1.0))


def check(params):
    _pulsed.check(params)
    require(params, "beta_up", lambda p: p.beta_up >= 0, "0 or more")
    require(params, "beta_down", lambda p: p.beta_down >= 0, "0 or more")


DEVICE = Device("exponential", Params, init, current, step, switching="programmed", bounds=bounds, check=check)
