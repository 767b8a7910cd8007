"""Cycle-to-cycle noise relative to the step."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax import noise
from memjax.devices._solvers import clamp, unbounded
from memjax.devices._wrappers._common import bounds_of, is_written, like, need_key, stream, wrap
from memjax.devices.base import Device, require


@cache
def with_c2c_noise(device: Device) -> Device:
    """Add cycle-to-cycle (C2C) noise, relative to the step, to every write of a device.

    state' = clip(s + d (1 + sigma xi)),  d = step(s) - s,  xi ~ N(0, 1) for each element, bounded state leaf and step,
    with s what the write starts from: of a device that has drifted (`pcm`) not the state as it was programmed.
    Only a step with v != 0 is a write: relaxation at rest is not noisy.  For a model that integrates an ODE a step of
    the simulation counts as one write, so sigma is per step.  Unbounded leaves (flux records) stay exact.

    Params: inner (the device's own Params), sigma [] or the state's rank: C2C standard deviation, relative to the step.
    sigma is traced: a new value does not retrace, and 0 gives the inner device exactly.  The same device always gives
    the identical wrapped Device.  The wrapped device has no `rate`, since a solver would drop the noise.
    """

    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        sigma: Any = 0.3

    def step(params, state, v, dt, key):
        need_key(name, key, "write")
        new = device.step(params.inner, state, v, dt, key)
        lo, hi = bounds_of(device, params, new)
        written = is_written(device, params, new, v)
        start = state if device.start is None else device.start(params.inner, state)
        leaves, treedef = jax.tree.flatten(new)
        noisy = []
        for n, (after, before, a, b) in enumerate(zip(leaves, *map(jax.tree.leaves, (start, lo, hi)), strict=True)):
            if not unbounded(a, b):
                xi = noise.normal(key, after.shape, after.dtype, salt=stream(name) + n)
                # Added to the step, not multiplied into it, so that sigma = 0 leaves the inner device's bits alone.
                extra = like(params.sigma, after) * xi * (after - before)
                after = after + jnp.where(like(written, after), extra, jnp.zeros_like(after))
            noisy.append(after)
        return clamp(wrapped.bounds, params, treedef.unflatten(noisy))

    def check(params):
        require(params, "sigma", lambda p: p.sigma >= 0, "0 or more, relative to the step")

    wrapped = wrap(device, "c2c", Params, check, step=step, rate=None)
    name = wrapped.name
    return wrapped
