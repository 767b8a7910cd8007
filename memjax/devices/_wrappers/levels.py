"""A finite number of conductance levels."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax.devices._wrappers._common import extreme, wrap
from memjax.devices.base import Device, require


@cache
def with_levels(device: Device) -> Device:
    """Let a device conduct at a finite number of levels: the READ is quantised, the state underneath is not.

    i = i_0 + round(q (levels - 1)) / (levels - 1) (i_1 - i_0),  q = clip((i_inner - i_0) / (i_1 - i_0), 0, 1)
    with i_0, i_1 the inner currents at the same v in the states x = 0 and 1: evenly spaced levels of conductance.
    Steps smaller than a level therefore add up, and are seen once they pass half of one.  The derivative is that of the
    inner current (straight-through), or no gradient would pass a staircase.

    Params: inner, levels (2 or more; inf switches it off).  levels is traced.  State: the inner one.
    """

    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        levels: Any = 64.0

    def current(params, state, v):
        i = device.current(params.inner, state, v)
        low, high = (extreme(device, params, state, x, v) for x in (0.0, 1.0))
        span = high - low
        share = jnp.clip((i - low) / jnp.where(span == 0, jnp.ones_like(span), span), 0.0, 1.0)
        endless = jnp.isinf(jnp.asarray(params.levels, i.dtype))
        gaps = jnp.where(endless, jnp.ones_like(i), jnp.asarray(params.levels, i.dtype) - 1)
        level = low + jnp.round(share * gaps) / gaps * span
        return i + jax.lax.stop_gradient(jnp.where(endless, jnp.zeros_like(i), level - i))

    def check(params):
        require(params, "levels", lambda p: p.levels >= 2, "2 or more")

    return wrap(device, "levels", Params, check, current=current)
