"""Mean, contrast and whitening of patches, and how they fold into filters; the package's docstring has the algebra."""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import Array


@struct.dataclass
class Front:
    """What the digital side knows of patches, from training images, once.

    matrix  whitening W [d, d], symmetric; its product with a constant patch is zero
    gain    weight that an element of a folded filter f = W w of 1 becomes: targets use the array's range
    floor   contrast that noise has: s = sqrt(var + floor^2)
    """

    matrix: Array
    gain: Array | float = 1.0
    floor: Array | float = 0.0124


def moments(patches: Array, floor: Any) -> tuple[Array, Array]:
    """Return the mean m [...] and the contrast s = sqrt(var + floor^2) [...] of patches [..., d]."""
    mean = jnp.mean(patches, axis=-1)
    variance = jnp.mean(jnp.square(patches - mean[..., None]), axis=-1)
    return mean, jnp.sqrt(variance + floor**2)


def normalise(patches: Array, floor: Any) -> Array:
    """Take mean and contrast out of patches, n = (p - m) / s [..., d]."""
    mean, contrast = moments(patches, floor)
    return (patches - mean[..., None]) / contrast[..., None]


def whitening(patches: Array, *, epsilon: Any = 0.1, floor: Any = 0.0124, fill: Any = 1.0) -> Front:
    """Estimate the whitening from patches [n, d], W = (C + epsilon)^(-1/2) with C = mean n n' / (mean of its diagonal).

    W is symmetric (ZCA), on the space without the mean. Blank patches (contrast below the floor) are left out. epsilon
    is in units of the mean variance of a pixel. gain is such that in root mean square the largest element of a target
    (`targets`) is the share `fill` of the range. Raises ValueError for patches of another rank.
    """
    if patches.ndim != 2:
        raise ValueError(f"patches: whitening takes patches [n, d], got shape {patches.shape}")
    n, seen = normalise(patches, floor), _seen(patches, floor)
    d = patches.shape[-1]
    n = jnp.where(seen[:, None], n, jnp.zeros_like(n))
    c = jnp.matmul(n.T, n, precision="highest")
    c = c * (d / jnp.maximum(jnp.trace(c), jnp.finfo(c.dtype).tiny))
    values, vectors = jnp.linalg.eigh(c)
    # The constant patch is an eigenvector of C, of value zero, and has no place in the filters.
    flat = jnp.sum(vectors, axis=0) ** 2 > d / 2
    scale = jnp.where(flat, jnp.zeros_like(values), 1 / jnp.sqrt(jnp.maximum(values, 0) + epsilon))
    matrix = jnp.matmul(vectors * scale[None, :], vectors.T, precision="highest")
    front = Front(matrix, jnp.ones((), c.dtype), floor)
    largest = jnp.max(jnp.abs(targets(front, patches)), axis=-1)
    mean_square = jnp.sum(jnp.square(largest)) / jnp.maximum(jnp.sum(seen, dtype=jnp.int32), 1).astype(c.dtype)
    return front.replace(gain=fill / jnp.sqrt(jnp.maximum(mean_square, jnp.finfo(c.dtype).tiny)))  # type: ignore[attr-defined]


def whitened(front: Front, patches: Array) -> tuple[Array, Array]:
    """Return z = W n [..., d] of patches [..., d], and its length |z| [...]."""
    z = jnp.matmul(normalise(patches, front.floor), front.matrix, precision="highest")
    return z, jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(z), axis=-1), jnp.finfo(z.dtype).tiny))


def targets(front: Front, patches: Array) -> Array:
    """Return what the winner's column moves to, gain W z / |z| [..., d]; zero for a blank patch.

    In units of the weight (`crossbar.weights`, w_max 1).
    """
    z, length = whitened(front, patches)
    t = front.gain * jnp.matmul(z / length[..., None], front.matrix, precision="highest")
    return jnp.where(_seen(patches, front.floor)[..., None], t, jnp.zeros_like(t))


def fold(front: Front, w: Array) -> Array:
    """Fold the whitening into filters w [d, K] of whitened patches: gain W w [d, K], the weights of the array."""
    return front.gain * jnp.matmul(front.matrix, w, precision="highest")


def unfold(front: Front, f: Array) -> Array:
    """Return the filters w [d, K], without their mean, that fold into f [d, K]: the pseudo-inverse of `fold`."""
    return jnp.matmul(jnp.linalg.pinv(front.matrix, hermitian=True), f, precision="highest") / front.gain


def _seen(patches: Array, floor: Any) -> Array:
    """Say which patches [..., d] have more contrast than the floor."""
    _, contrast = moments(patches, 0.0)
    return contrast > floor
