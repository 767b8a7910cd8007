"""Drift of a programmed conductance, and retention."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax.devices._solvers import clamp, unbounded
from memjax.devices._wrappers._common import RECORD, blank, bounds_of, initial, like, wrap
from memjax.devices.base import Device, Leaf, require

KINDS = ("power_law", "exponential")


def with_drift(device: Device, kind: str = "power_law") -> Device:
    """Let a device lose what it holds, by the law of that kind.

    "power_law"    structural relaxation: i = i_inner ((t + t0) / t0)^-nu, with t [s] the time since the last write.
                   A write, that is a step with |v| > v_write_min [V], sets t to 0 and finds the inner state undrifted.
                   Params: inner, nu (1, exponent; 0 switches it off), t0 (s), v_write_min (V).
                   State: inner, t.  In float32 steps below 6e-8 t are lost: let long times pass with one `relax`.
                   Source: Ielmini et al., IEEE T. Electron Dev. 54, 308 (2007), doi:10.1109/TED.2006.888752.
    "exponential"  retention: s' = s_rest + (s - s_rest) exp(-dt / tau) for every state leaf but the records, after the
                   inner step (Lie splitting, order 1 in dt where both move; exact where the inner device holds still).
                   s_rest is the inner device's state at the normalised x_rest.
                   Params: inner, tau (s; inf switches it off), x_rest (1).  State: the inner one.

    The parameters are traced; the same device and kind always give the identical wrapped Device.  "exponential" drops
    `rate`.  Raises ValueError on an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"drift of kind {kind!r}: accepted are {', '.join(map(repr, KINDS))}")
    return _power_law(device) if kind == "power_law" else _exponential(device)


@struct.dataclass
class Drifting:
    inner: Any
    t: Leaf  # s, since the last write


@cache
def _power_law(device: Device) -> Device:
    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        nu: Any = 0.05
        t0: Any = 1.0
        v_write_min: Any = 0.0

    def init(params, x):
        inner = device.init(params.inner, initial(params, x))
        return Drifting(inner, blank(device, params, inner))

    def current(params, state, v):
        # exp of a logarithm: a power of 0 is exactly 1, and its derivatives are finite at t = 0.
        return device.current(params.inner, state.inner, v) * jnp.exp(-params.nu * jnp.log1p(state.t / params.t0))

    def step(params, state, v, dt, key):
        later = state.t + dt
        written = jnp.abs(v) > params.v_write_min
        inner = device.step(params.inner, state.inner, v, dt, key)
        return Drifting(inner, jnp.where(written, jnp.zeros_like(later), later))

    def relax(params, state, dt):
        inner = state.inner if device.relax is None else device.relax(params.inner, state.inner, dt)
        return Drifting(inner, state.t + dt)

    def bounds(params):
        lo, hi = bounds_of(device, params, jax.eval_shape(device.init, params.inner, 0.5))
        return Drifting(lo, RECORD[0]), Drifting(hi, RECORD[1])

    def check(params):
        require(params, "nu", lambda p: p.nu >= 0, "0 or more")
        require(params, "t0", lambda p: p.t0 > 0, "more than 0 s")
        require(params, "v_write_min", lambda p: p.v_write_min >= 0, "0 V or more")

    changes = {"init": init, "current": current, "step": step, "relax": relax, "bounds": bounds}
    return wrap(device, "drift", Params, check, **changes, rate=None, volatile=True)


@cache
def _exponential(device: Device) -> Device:
    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        tau: Any = 1e6
        x_rest: Any = 0.0

    def decay(params, state, dt):
        share = -jnp.expm1(-dt / params.tau)
        dtype = jnp.result_type(*jax.tree.leaves(state))
        rest = device.init(params.inner, jnp.asarray(params.x_rest, dtype))

        def towards(s, r, a, b):
            # Written as a difference, so that tau = inf leaves the bits alone.
            return s if unbounded(a, b) else s + (r - s) * like(share, s)

        return clamp(wrapped.bounds, params, jax.tree.map(towards, state, rest, *bounds_of(device, params, state)))

    def step(params, state, v, dt, key):
        return decay(params, device.step(params.inner, state, v, dt, key), dt)

    def relax(params, state, dt):
        return decay(params, state if device.relax is None else device.relax(params.inner, state, dt), dt)

    def check(params):
        require(params, "tau", lambda p: p.tau > 0, "more than 0 s")
        require(params, "x_rest", lambda p: (p.x_rest >= 0) & (p.x_rest <= 1), "0 to 1")

    wrapped = wrap(device, "retention", Params, check, step=step, relax=relax, rate=None, volatile=True)
    return wrapped
