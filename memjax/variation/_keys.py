"""Keys of purposes, and the check that chips which should differ do."""

import zlib
from typing import Any

import jax
import numpy as np
from jax import Array


def named_key(key: Array, name: str) -> Array:
    """Return the key of a purpose named by a string, independent of every other purpose's."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def require_different(chips: Any) -> None:
    """Raise ValueError where two sampled chips are the same: a key was used twice, or never split.

    chips: a pytree of concrete draws with a leading axis of chips (`monte_carlo.run`, or vmap over `chip_keys`). Every
    leaf of floating point that differs anywhere is a draw, and must differ between any two chips; leaves that are
    equal on all chips are constants, unless all leaves are. A check on the host.
    """
    leaves = [np.asarray(x) for x in jax.tree.leaves(chips) if np.issubdtype(np.asarray(x).dtype, np.floating)]
    if not leaves or leaves[0].ndim == 0 or len(leaves[0]) < 2:
        raise ValueError("variation: to compare chips takes a leading axis of at least 2 chips and a leaf of draws")
    chips_of = len(leaves[0])
    draws = [leaf for leaf in leaves if np.any(leaf != leaf[:1])]
    if not draws:
        raise ValueError(
            f"variation: all {chips_of} chips are identical: accepted are chips of keys of their own, as "
            "monte_carlo.chip_keys(key, n)"
        )
    for number, leaf in enumerate(draws):
        first: dict[bytes, int] = {}
        for chip, values in enumerate(leaf):
            same = first.setdefault(values.tobytes(), chip)
            if same != chip:
                raise ValueError(
                    f"variation: chips {same} and {chip} are identical in draw {number}: accepted are chips of keys of "
                    "their own, as monte_carlo.chip_keys(key, n)"
                )
