"""What the cells share: every function of the device sees the voltage that its partner leaves."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from memjax.devices._series import divide
from memjax.devices._wrappers._common import own_shape, wrap
from memjax.devices.base import Device


def cell(
    device: Device, suffix: str, params: type, check: Callable, residual: Callable, partner_current: Callable
) -> Device:
    """Return the device in series with a partner.

    residual: (params, i, u, v) -> rising in u, zero where the partner carries the device's current i [A] at the device
    voltage u of the cell voltage v [V].
    partner_current: (params, u, v) -> the current [A] of the partner, falling in u.
    """

    def voltage(params: Any, state: Any, v) -> jax.Array:
        one = jax.eval_shape(device.current, params.inner, state, v)
        v = jnp.broadcast_to(jnp.asarray(v, one.dtype), jnp.broadcast_shapes(one.shape, own_shape(params)))
        return divide(lambda u: residual(params, device.current(params.inner, state, u), u, v), v)

    def current(params, state, v):
        u = voltage(params, state, v)
        one = jnp.ones_like(u)
        own, slope = jax.jvp(lambda u: device.current(params.inner, state, u), (u,), (one,))
        other, fall = jax.jvp(lambda u: partner_current(params, u, v), (u,), (-one,))
        # u is known to a few roundings of v, which may be more than u itself: where the partner takes nearly all of the
        # voltage, its current is the precise one. They meet on their tangents, where the flatter one decides.
        some = slope + fall > 0
        both = jnp.where(some, slope + fall, one)
        return jnp.where(some, own * (fall / both) + other * (slope / both), own)

    def step(params, state, v, dt, key):
        return device.step(params.inner, state, voltage(params, state, v), dt, key)

    inner_rate = device.rate
    rate = inner_rate and (lambda params, state, v: inner_rate(params.inner, state, voltage(params, state, v)))
    return wrap(device, suffix, params, check, current=current, step=step, rate=rate)
