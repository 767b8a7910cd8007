"""Leaves of one value a line beside arrays [..., lines], whose ranks differ."""

from typing import Any

import jax.numpy as jnp
from jax import Array


def fit(leaf: Any, x: Array) -> Any:
    """Give a leaf [cols] or [R, cols] the rank of x [..., cols] or [..., R, cols]; a scalar stays."""
    return leaf if jnp.ndim(leaf) == 0 else jnp.reshape(leaf, (1,) * (x.ndim - jnp.ndim(leaf)) + jnp.shape(leaf))
