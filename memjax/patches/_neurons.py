"""From responses to features: lateral inhibition, spikes, pooling, square root and running mean."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from memjax.patches._geometry import Geometry

CODES = ("count", "first")


def inhibit(u: Array, theta: Any) -> Array:
    """Let filters inhibit each other: a_k = relu(u_k - mean_k u - theta sd_k u), u [..., K]."""
    mean = jnp.mean(u, axis=-1, keepdims=True)
    sd = jnp.sqrt(jnp.mean(jnp.square(u - mean), axis=-1, keepdims=True))
    return jnp.maximum(u - mean - theta * sd, 0.0)


def spike_count(a: Array, threshold: Any, steps: int) -> Array:
    """Count the spikes of integrate-and-fire neurons that a constant current a [...] drives for `steps` steps.

    min(floor(steps a / threshold), steps): what `neurons.step` without leak, with reset by subtraction, fires.
    """
    return jnp.clip(jnp.floor(steps * a / threshold), 0, steps)


def first_spike(a: Array, threshold: Any, steps: int) -> Array:
    """Return how early the same neurons fire first: steps + 1 - t for a first spike in step t = 1 ... steps, else 0."""
    current = jnp.maximum(a, jnp.finfo(a.dtype).tiny)
    t = jnp.floor(jnp.minimum(threshold / current, 2.0 * steps)) + 1
    return jnp.clip(steps + 1 - t, 0, steps)


def fire(a: Array, threshold: Any, steps: int, code: str = "count") -> Array:
    """Return what a neuron's spikes tell by `code`: "count" or "first"; raise ValueError for another."""
    if code not in CODES:
        raise ValueError(f"patches: code = {code!r}: accepted is one of {', '.join(CODES)}")
    return (spike_count if code == "count" else first_spike)(a, threshold, steps)


def pool(geometry: Geometry, spikes: Array) -> Array:
    """Sum spikes [..., rows, columns, K] over the cells of a grid: [..., n_features], flat (down, across, K)."""
    rows, columns = geometry.cells()
    for axis, edges in ((-3, rows), (-2, columns)):
        axis += spikes.ndim
        parts = [
            jnp.sum(_slice(spikes, axis, start, stop), axis=axis, keepdims=True)
            for start, stop in zip(edges[:-1], edges[1:], strict=True)
        ]
        spikes = jnp.concatenate(parts, axis=axis)
    return spikes.reshape(*spikes.shape[:-3], -1)


def scaled(pooled: Array, mean: Array) -> Array:
    """Return features x = sqrt(h / mean) of pooled spikes h [..., F], mean [] or [F]; 0 where nothing ever fired."""
    safe = jnp.where(mean > 0, mean, jnp.ones_like(mean))
    return jnp.sqrt(pooled / jnp.broadcast_to(safe, pooled.shape))


def update_mean(mean: Array, pooled: Array, rate: Any) -> Array:
    """Let the running mean of pooled spikes h [F] follow, mean + rate (h - mean): [F], or [] over all features."""
    return mean + rate * ((pooled if jnp.ndim(mean) else jnp.mean(pooled)) - mean)


def _slice(x: Array, axis: int, start: int, stop: int) -> Array:
    return x[(slice(None),) * axis + (slice(start, stop),)]
