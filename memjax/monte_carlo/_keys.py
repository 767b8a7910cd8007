"""Which chip has which key."""

import jax
import jax.numpy as jnp
from jax import Array


def chip_keys(key: Array, n: int, first: int = 0) -> Array:
    """Return the keys [n] of chips first .. first + n - 1: chip i has fold_in(key, i)."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(first, first + n, dtype=jnp.uint32))
