"""Breakdown: a device that has been written more often than it lives is stuck."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax.devices._wrappers._common import RECORD, blank, bounds_of, extreme, initial, wrap
from memjax.devices._wrappers.endurance import Counting, count_write
from memjax.devices.base import Device, require


@cache
def with_breakdown(device: Device) -> Device:
    """Let a device fail for good after a number of writes that is its own.

    i = i_inner(s) while writes < life, and i_inner(s_failed) from then on
    Writes are counted as by `with_endurance`; the inner state goes on as if nothing were. Lives that follow Weibull's
    law, P(life < n) = 1 - exp(-(n / scale)^exponent), are drawn once a chip by `variation.sample_lives`.

    Params: inner, life (writes; inf: it never fails), x_failed (normalised state; 0 stuck off, 1 stuck on), v_write_min
    (V). State: inner, writes, sign. Drops `rate`.
    """
    programmed, inner_relax = device.switching == "programmed", device.relax

    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        life: Any = 1e6
        x_failed: Any = 0.0
        v_write_min: Any = 0.0

    def init(params, x):
        inner = device.init(params.inner, initial(params, x))
        none = blank(device, params, inner)
        return Counting(inner, none, None if programmed else none)

    def current(params, state, v):
        failed = extreme(device, params, state.inner, params.x_failed, v)
        return jnp.where(state.writes < params.life, device.current(params.inner, state.inner, v), failed)

    def step(params, state, v, dt, key):
        inner = device.step(params.inner, state.inner, v, dt, key)
        return Counting(inner, *count_write(state, v, params.v_write_min))

    def relax(params, state, dt):
        inner = inner_relax(params.inner, state.inner, dt)  # type: ignore[misc]
        return Counting(inner, state.writes, None if programmed else jnp.zeros_like(state.sign))

    def bounds(params):
        lo, hi = bounds_of(device, params, jax.eval_shape(device.init, params.inner, 0.5))
        return tuple(Counting(b, edge, None if programmed else edge) for b, edge in zip((lo, hi), RECORD, strict=True))

    def check(params):
        require(params, "life", lambda p: p.life > 0, "more than 0 writes")
        require(params, "x_failed", lambda p: (p.x_failed >= 0) & (p.x_failed <= 1), "0 to 1")
        require(params, "v_write_min", lambda p: p.v_write_min >= 0, "0 V or more")

    changes = {"init": init, "current": current, "step": step, "relax": inner_relax and relax, "bounds": bounds}
    return wrap(device, "breakdown", Params, check, **changes, rate=None)
