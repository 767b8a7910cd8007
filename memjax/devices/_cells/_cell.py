"""What the cells share: every function of the device sees the voltage that its partner leaves."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from memjax.devices._series import divide
from memjax.devices._wrappers._common import own_shape, wrap
from memjax.devices.base import Device


def cell(device: Device, suffix: str, params: type, check: Callable, residual: Callable) -> Device:
    """Return the device in series with a partner.

    residual: (params, i, u, v) -> rising in u, zero where the partner carries the device's current i [A] at the device
    voltage u of the cell voltage v [V].
    """

    def voltage(params: Any, state: Any, v) -> jax.Array:
        one = jax.eval_shape(device.current, params.inner, state, v)
        v = jnp.broadcast_to(jnp.asarray(v, one.dtype), jnp.broadcast_shapes(one.shape, own_shape(params)))
        return divide(lambda u: residual(params, device.current(params.inner, state, u), u, v), v)

    def current(params, state, v):
        return device.current(params.inner, state, voltage(params, state, v))

    def step(params, state, v, dt, key):
        return device.step(params.inner, state, voltage(params, state, v), dt, key)

    inner_rate = device.rate
    rate = inner_rate and (lambda params, state, v: inner_rate(params.inner, state, voltage(params, state, v)))
    return wrap(device, suffix, params, check, current=current, step=step, rate=rate)
