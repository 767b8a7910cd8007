"""Wrappers: take a Device and return a Device."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax import noise
from memjax.devices._solvers import clamp, unbounded
from memjax.devices.base import Device, require


@cache
def with_c2c_noise(device: Device) -> Device:
    """Add cycle-to-cycle (C2C) noise, relative to the step, to every write of a device.

    state' = clip(s + d (1 + sigma xi)),  d = step(s) - s,  xi ~ N(0, 1) for each element, bounded state leaf and step.
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
        if key is None:
            raise ValueError(f"device {device.name}+c2c draws noise at every write: give a key, as jax.random.key(0)")
        new = device.step(params.inner, state, v, dt, key)
        lo, hi = bounds(params) if bounds else (jax.tree.map(lambda _: 0.0, new),) * 2
        written = jnp.asarray(v) != 0
        leaves, treedef = jax.tree.flatten(new)
        noisy = []
        for salt, (after, before, a, b) in enumerate(zip(leaves, *map(jax.tree.leaves, (state, lo, hi)), strict=True)):
            if not unbounded(a, b):
                xi = noise.normal(key, after.shape, after.dtype, salt=salt)
                # Added to the step, not multiplied into it, so that sigma = 0 leaves the inner device's bits alone.
                after = after + jnp.where(written, params.sigma * xi * (after - before), jnp.zeros_like(after))
            noisy.append(after)
        return clamp(bounds, params, treedef.unflatten(noisy))

    def check(params):
        require(params, "sigma", lambda p: p.sigma >= 0, "0 or more, relative to the step")
        if device.check is not None:
            device.check(params.inner)

    bounds = device.bounds and (lambda params: device.bounds(params.inner))  # type: ignore[misc]
    relax = device.relax and (lambda params, state, dt: device.relax(params.inner, state, dt))  # type: ignore[misc]
    return device._replace(
        name=f"{device.name}+c2c",
        Params=Params,
        init=lambda params, x: device.init(params.inner, x),
        current=lambda params, state, v: device.current(params.inner, state, v),
        step=step,
        rate=None,
        relax=relax,
        bounds=bounds,
        check=check,
    )
