"""Soft bounds: a pulsed device whose step falls linearly to zero at the bound ahead.

One pulse of signed scale s = v / v_write, on the normalised conductance x in [0, 1]:
    v > 0:  x += 2 step_up (1 - x) s        v < 0:  x += 2 step_down x s (s < 0)        v = 0: nothing moves
    i = (g_min + (g_max - g_min) x) v
so step_up and step_down are the steps at mid-range, and 1 / step is the number of levels.
n up pulses at v_write: 1 - x_n = (1 - x_0) (1 - 2 step_up)^n; n down pulses: x_n = x_0 (1 - 2 step_down)^n.
Source: the soft-bounds device of Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016), and of aihwkit.
"""

import jax.numpy as jnp

from memjax.devices._pulsed import Params, State, bounds, check, current, init
from memjax.devices.base import Device, clip


def step(params, state, v, dt, key):
    x = state.x
    size = jnp.where(v > 0, params.step_up * (2 - 2 * x), params.step_down * (2 * x))
    return State(x=clip(x + v / params.v_write * size, 0.0, 1.0))


DEVICE = Device("soft_bounds", Params, init, current, step, switching="programmed", bounds=bounds, check=check)
