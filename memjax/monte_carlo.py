"""Monte Carlo over sampled chips: one call, chip i always drawn from fold_in(key, i)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def chip_keys(key: Array, n: int, first: int = 0) -> Array:
    """Return the keys [n] of chips first .. first + n - 1."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(first, first + n, dtype=jnp.uint32))


def run(chip: Callable, n: int, key: Array, *, args: tuple = (), batch_size: int | None = None) -> Any:
    """Evaluate chip(key, *args) -> pytree for n sampled chips; returns the pytree with leaves [n, ...].

    args are shared by all chips. batch_size chips run at once (None: all), in one compiled program whatever n, so
    memory stays flat in n; the draws of a chip do not depend on it. Raises ValueError for n or batch_size below 1.
    """
    if n < 1:
        raise ValueError(f"monte_carlo: n = {n} chips: accepted is at least 1")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"monte_carlo: batch_size = {batch_size}: accepted is at least 1, or None for all at once")
    size = min(n, batch_size or n)
    batch = jax.jit(lambda keys, *args: jax.vmap(lambda k: chip(k, *args))(keys))
    parts = []
    for start in range(0, n, size):
        # The last batch is filled up with further chips that are then dropped: another length would compile again.
        parts.append(batch(chip_keys(key, size, start), *args))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:n], *parts) if len(parts) > 1 else parts[0]
