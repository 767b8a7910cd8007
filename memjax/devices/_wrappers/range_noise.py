"""Cycle-to-cycle noise relative to the range."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from memjax import noise
from memjax.devices._solvers import clamp, unbounded
from memjax.devices._wrappers._common import bounds_of, is_written, like, need_key, stream, wrap
from memjax.devices.base import Device, require


@cache
def with_range_noise(device: Device) -> Device:
    """Add cycle-to-cycle (C2C) noise, relative to the RANGE of the state, to every write of a device.

    state' = clip(step(s) + sigma (hi - lo) xi),  lo, hi = bounds,  xi ~ N(0, 1) for each element, leaf and step.
    The same spread wherever the device stands and however small its step; `with_c2c_noise` is relative to the step.
    Meant for pulsed models: of an ODE model every step of the simulation with v != 0 counts as one write.  Leaves that
    are unbounded on either side have no range and stay exact.

    Params: inner (the device's own Params), sigma [] or the state's rank: C2C sd, relative to the range.
    sigma is traced, and 0 gives the inner device exactly.  The wrapped device has no `rate`.
    Raises ValueError for a model of which no state is bounded: it would get no noise at all.
    """
    if not _has_range(device):
        raise ValueError(
            f"device {device.name!r} has no bounded state, so no range that noise could be relative to; accepted is"
            " with_c2c_noise, relative to the step"
        )

    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        sigma: Any = 0.01

    def step(params, state, v, dt, key):
        need_key(name, key, "write")
        new = device.step(params.inner, state, v, dt, key)
        written = is_written(device, params, new, v)
        lo, hi = bounds_of(device, params, new)
        leaves, treedef = jax.tree.flatten(new)
        noisy = []
        for n, (after, a, b) in enumerate(zip(leaves, *map(jax.tree.leaves, (lo, hi)), strict=True)):
            if not unbounded(a, b):
                xi = noise.normal(key, after.shape, after.dtype, salt=stream(name) + n)
                span = jnp.asarray(b, after.dtype) - jnp.asarray(a, after.dtype)
                at = like(written, after) & jnp.isfinite(span)
                span = jnp.where(at, span, jnp.zeros_like(after))
                after = after + like(params.sigma, after) * span * xi
            noisy.append(after)
        return clamp(wrapped.bounds, params, treedef.unflatten(noisy))

    def check(params):
        require(params, "sigma", lambda p: p.sigma >= 0, "0 or more, relative to the range")

    wrapped = wrap(device, "range_noise", Params, check, step=step, rate=None)
    name = wrapped.name
    return wrapped


def _has_range(device: Device) -> bool:
    if device.bounds is None:
        return False
    ends = device.bounds(device.Params())
    return any(np.all(np.isfinite(np.subtract(b, a))) for a, b in zip(*map(jax.tree.leaves, ends), strict=True))
