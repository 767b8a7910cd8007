"""Conductance relaxation: what was programmed spreads by itself in the seconds and days after."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax import noise
from memjax.devices._wrappers._common import RECORD, blank, bounds_of, extreme, initial, need_key, stream, wrap
from memjax.devices.base import Device, require

# sd / G_max, by powers of u = G / G_max, lowest first; published in uS at G_max = 40 uS.
SECOND = (0.348, 16.030, -43.853, 45.393, -16.815)
DAY = (0.701, 22.086, -50.773, 47.095, -16.458)
G_MAX, SECONDS_A_DAY = 40.0, 86400.0


@struct.dataclass
class Relaxing:
    inner: Any
    z: Any  # 1, deviate drawn at the last write, in sd; 0 where nothing was drawn yet
    t: Any  # s, since the last write


def relaxation_sd(u, t) -> jax.Array:
    """Return the sd of relaxed conductances over G_max [...], for u = G / G_max as programmed and the time t [s] since.

    The two published polynomials at 1 s and at 1 day; in between and beyond linear in log t (ours), and before 1 s
    that of 1 s times ln(1 + t / 1 us) / ln(1 + 1 s / 1 us) (ours).
    """
    u, t = jnp.clip(u, 0.0, 1.0), jnp.asarray(t)

    def at(coefficients):
        value = jnp.zeros_like(u)
        for c in coefficients[::-1]:
            value = value * u + c / G_MAX
        return value

    second, day = at(SECOND), at(DAY)
    late = jnp.log(jnp.maximum(t, 1.0)) / jnp.log(SECONDS_A_DAY)
    early = jnp.log1p(jnp.minimum(t, 1.0) / 1e-6) / jnp.log1p(1e6)
    return early * (second + late * (day - second))


@cache
def with_relaxation(device: Device) -> Device:
    """Let a programmed conductance relax at random, as measured on a ReRAM chip.

    i = i_full max(u + scale s(u, t) z, 0),  u = i_inner / i_full,  i_full: the current at x = 1,  z ~ N(0, 1)
    with s = `relaxation_sd`, t [s] the time since the last write, that is a step with |v| > v_write_min [V], and z
    drawn anew by it. One z serves all times (ours: the marginal spread at each time is the published one). A fresh
    device has z = 0; its first step draws it. A write finds the inner state unrelaxed.

    Params: inner, scale (1; 0 switches it off), v_write_min (V). State: inner, z, t. Drops `rate`. Raises ValueError
    where a step gets no key.
    Source: Wan et al., Nature 608, 504 (2022), doi:10.1038/s41586-022-04992-8 (coefficients: IBM aihwkit).
    """

    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        scale: Any = 1.0
        v_write_min: Any = 0.0

    def init(params, x):
        inner = device.init(params.inner, initial(params, x))
        none = blank(device, params, inner)
        return Relaxing(inner, none, none)

    def current(params, state, v):
        i, full = device.current(params.inner, state.inner, v), extreme(device, params, state.inner, 1.0, v)
        some = full != 0
        u = jnp.where(some, i / jnp.where(some, full, jnp.ones_like(full)), jnp.zeros_like(i))
        # Added to the current, so that scale = 0 leaves the inner device's bits alone.
        moved = jnp.maximum(params.scale * relaxation_sd(u, state.t) * state.z, -u)
        return i + full * moved

    def step(params, state, v, dt, key):
        need_key(name, key, "write")
        inner = device.step(params.inner, state.inner, v, dt, key)
        later = state.t + dt + jnp.zeros_like(jnp.asarray(v, state.t.dtype))
        written = jnp.abs(v) > params.v_write_min
        z = noise.normal(key, later.shape, later.dtype, salt=stream(name))
        z = jnp.where(written | (state.z == 0), z, state.z)
        return Relaxing(inner, z, jnp.where(written, jnp.zeros_like(later), later))

    def relax(params, state, dt):
        inner = state.inner if device.relax is None else device.relax(params.inner, state.inner, dt)
        return Relaxing(inner, state.z, state.t + dt)

    def bounds(params):
        lo, hi = bounds_of(device, params, jax.eval_shape(device.init, params.inner, 0.5))
        return Relaxing(lo, RECORD[0], RECORD[0]), Relaxing(hi, RECORD[1], RECORD[1])

    def check(params):
        require(params, "scale", lambda p: p.scale >= 0, "0 (off) or more")
        require(params, "v_write_min", lambda p: p.v_write_min >= 0, "0 V or more")

    changes = {"init": init, "current": current, "step": step, "relax": relax, "bounds": bounds}
    wrapped = wrap(device, "relaxation", Params, check, **changes, rate=None, volatile=True)
    name = wrapped.name
    return wrapped
