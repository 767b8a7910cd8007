"""Leaves of one value a line beside arrays [..., lines], whose ranks differ."""

from typing import Any

import jax.numpy as jnp
from jax import Array


def fit(leaf: Any, x: Array) -> Any:
    """Give a leaf [lines] the rank of x [..., lines]; a scalar stays."""
    return leaf if jnp.ndim(leaf) == 0 else jnp.reshape(leaf, (1,) * (x.ndim - 1) + (-1,))
