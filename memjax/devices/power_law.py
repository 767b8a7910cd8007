"""Power law: a pulsed device whose step falls as a power of the distance to the bound ahead.

One pulse of signed scale s = v / v_write, on the normalised conductance x in [0, 1]:
    v > 0:  x += step_up (2 (1 - x))^p_up s         v < 0:  x += step_down (2 x)^p_down s (s < 0)
    v = 0:  nothing moves        then clip to [0, 1]        i = (g_min + (g_max - g_min) x) v
so step_up and step_down are the steps at mid-range; p = 0 is a linear device and p = 1 is `soft_bounds`.  For small
steps, n up pulses from x = 0 meet (1 - x)^(1 - p) = 1 + (p - 1) 2^p step_up n.
Source: the power-step device of aihwkit (Rasch et al., arXiv:2104.02184), whose step is scaled by
((b_max - w) / (b_max - b_min))^gamma upwards and by its mirror downwards; 2^p only moves the reference to mid-range.
"""

import jax.numpy as jnp
from flax import struct

from memjax.devices import _pulsed
from memjax.devices._pulsed import State, bounds, current, init
from memjax.devices.base import Device, Leaf, clip, require


@struct.dataclass
class Params(_pulsed.Params):
    p_up: Leaf = 2.0  # 1, exponent
    p_down: Leaf = 2.0  # 1, exponent


def step(params, state, v, dt, key):
    up = jnp.asarray(v) > 0
    distance = jnp.where(up, 2 - 2 * state.x, 2 * state.x)
    size = jnp.where(up, params.step_up, params.step_down) * distance ** jnp.where(up, params.p_up, params.p_down)
    return State(x=clip(state.x + v / params.v_write * size, 0.0, 1.0))


def check(params):
    _pulsed.check(params)
    accepted = "0 (a linear device), or 1 or more: between them the slope is infinite at the bound"
    require(params, "p_up", lambda p: (p.p_up == 0) | (p.p_up >= 1), accepted)
    require(params, "p_down", lambda p: (p.p_down == 0) | (p.p_down >= 1), accepted)


DEVICE = Device("power_law", Params, init, current, step, switching="programmed", bounds=bounds, check=check)
