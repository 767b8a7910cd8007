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


def shift(images: Array, offsets: Array) -> Array:
    """Move images [S, h, w] by offsets [S, 2] pixels (down, right); what moves in from outside is zero."""
    (_, h, w), margin = images.shape, max(images.shape[1:])
    padded = jnp.pad(images, ((0, 0), (margin, margin), (margin, margin)))

    def move(image, offset):
        return jax.lax.dynamic_slice(image, (margin - offset[0], margin - offset[1]), (h, w))

    return jax.vmap(move)(padded, offsets)
