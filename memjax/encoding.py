"""Images and signals in [0, 1] -> what the word lines carry over T time steps, [T, ..., n].

direct    the same analogue value at every step (direct-current input)
rate      a Bernoulli spike with probability x at every step
latency   one spike, the earlier the larger x: at step round((1 - x) (T - 1)); none for x = 0
"""

import jax
import jax.numpy as jnp
from jax import Array

from memjax import noise


def direct(x: Array, steps: int) -> Array:
    """Repeat x [..., n] over all steps: [steps, ..., n]."""
    return jnp.broadcast_to(x, (steps, *x.shape))


def rate(x: Array, steps: int, key: Array) -> Array:
    """Draw spikes of probability x [..., n] at every step: [steps, ..., n] of 0 and 1."""
    return (noise.uniform(key, (steps, *x.shape), x.dtype) < x[None]).astype(x.dtype)


def latency(x: Array, steps: int) -> Array:
    """Send one spike an input, at step round((1 - x) (steps - 1)): [steps, ..., n] of 0 and 1."""
    when = jnp.round((1.0 - x) * (steps - 1)).astype(jnp.int32)
    step = jnp.arange(steps, dtype=jnp.int32).reshape((steps,) + (1,) * x.ndim)
    return ((step == when[None]) & (x > 0)[None]).astype(x.dtype)


FILLS = ("zero", "edge")


def shift(images: Array, offsets: Array, fill: str = "zero") -> Array:
    """Move images [S, h, w] or [S, h, w, channels] by offsets [S, 2] pixels (down, right).

    What moves in from outside is zero, or with fill "edge" the image's nearest pixel. Raises ValueError for another.
    """
    if fill not in FILLS:
        raise ValueError(f"encoding: fill = {fill!r}: accepted is one of {', '.join(FILLS)}")
    h, w = images.shape[1:3]
    margin, rest = max(h, w), images.ndim - 3
    widths = ((0, 0), (margin, margin), (margin, margin)) + ((0, 0),) * rest
    padded = jnp.pad(images, widths, mode="constant" if fill == "zero" else "edge")

    def move(image, offset):
        start = (margin - offset[0], margin - offset[1], *[jnp.zeros_like(offset[0])] * rest)
        return jax.lax.dynamic_slice(image, start, images.shape[1:])

    return jax.vmap(move)(padded, offsets)


def flip(images: Array, which: Array) -> Array:
    """Mirror images [S, h, w] or [S, h, w, channels], left to right, where `which` [S] is true."""
    return jnp.where(which.reshape(-1, *[1] * (images.ndim - 1)), images[:, :, ::-1], images)
