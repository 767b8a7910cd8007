"""Patches of an image: at all positions of the grid, or at random ones."""

import jax
import jax.numpy as jnp
from jax import Array

from memjax.patches._geometry import Geometry


def cut(geometry: Geometry, images: Array) -> Array:
    """Cut flat images [..., n_pixels] into the patches at all positions [..., rows, columns, n_inputs].

    A patch is flat in the order of the image: down, across, channel. Raises ValueError for images of another length.
    """
    x = _square(geometry, images)
    lead = x.shape[:-3]
    # Lines first, then columns: 2 size slices in place of size^2.
    for axis, count in zip((-3, -2), geometry.positions, strict=True):
        x = _windows(x, x.ndim + axis, count, geometry)
    n = len(lead)  # [..., rows, size, columns, size, channels]
    return x.swapaxes(n + 1, n + 2).reshape(*lead, *geometry.positions, geometry.n_inputs)


def draw(geometry: Geometry, image: Array, n: int, key: Array) -> Array:
    """Cut n patches [n, n_inputs] at random out of a flat image [n_pixels]: any pixel offset, with replacement."""
    x = _square(geometry, image)
    limits = jnp.asarray([side - geometry.size + 1 for side in geometry.padded], jnp.int32)
    corners = jax.random.randint(key, (n, 2), 0, limits[None, :])

    def one(corner):
        return jax.lax.dynamic_slice(x, (corner[0], corner[1], 0), (geometry.size, geometry.size, x.shape[-1]))

    return jax.vmap(one)(corners).reshape(n, geometry.n_inputs)


def _square(geometry: Geometry, images: Array) -> Array:
    """[..., n_pixels] -> [..., height, width, channels], padded."""
    geometry.check()
    if images.shape[-1] != geometry.n_pixels:
        raise ValueError(
            f"patches: images have shape {images.shape}: the last axis must be a flat image of {geometry.n_pixels} "
            f"pixels {geometry.image}"
        )
    x = images.reshape(*images.shape[:-1], *geometry.image)
    edge = (geometry.padding, geometry.padding)
    return jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [edge, edge, (0, 0)]) if geometry.padding else x


def _windows(x: Array, axis: int, count: int, geometry: Geometry) -> Array:
    """Replace an axis of pixels by two: `count` windows, and the `size` pixels of each."""
    last = (count - 1) * geometry.stride + 1
    parts = [jax.lax.slice_in_dim(x, k, k + last, geometry.stride, axis) for k in range(geometry.size)]
    return jnp.stack(parts, axis=axis + 1)
