"""What the values of many chips say together."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

_BLOCK = 64 * 2**20  # bytes of float64 that a summary works on at once: values may lie on disk, and exceed the memory


class Summary(NamedTuple):
    """Statistics over the chips that did not fail, as pytrees like the values of one chip, float64.

    n          chips, the failed ones too
    failed     numbers of the chips whose values are not all finite
    mean, sd   sd with n - 1 (0 of a single chip)
    quantiles  {share: pytree}
    """

    n: int
    failed: np.ndarray
    mean: Any
    sd: Any
    quantiles: dict[float, Any]


def not_finite(values: Any) -> Array:
    """Say of each chip [n] whether its values, leaves [n, ...], are not all finite."""
    leaves = jax.tree.leaves(values)
    bad = jnp.zeros(leaves[0].shape[0], bool)
    for leaf in leaves:
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            bad |= ~jnp.all(jnp.isfinite(leaf), axis=tuple(range(1, leaf.ndim)))
    return bad


def failed(values: Any) -> np.ndarray:
    """Say of each chip bool [n] whether its values, leaves [n, ...], are not all finite."""
    leaves = jax.tree.leaves(values)
    bad = np.zeros(len(leaves[0]), bool)
    for leaf in leaves:
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            chips = max(1, _BLOCK // max(1, leaf[:1].nbytes))
            for start in range(0, len(leaf), chips):
                part = np.asarray(leaf[start : start + chips])
                bad[start : start + chips] |= ~np.isfinite(part).reshape(len(part), -1).all(axis=1)
    return bad


def summary(values: Any, quantiles: tuple[float, ...] = QUANTILES) -> Summary:
    """Summarise values, leaves [n, ...], over the chips that did not fail.

    Exact for values of any size: those on disk are read in blocks. Raises ValueError where every chip has failed, and
    for quantiles outside [0, 1].
    """
    if not all(0 <= q <= 1 for q in quantiles):
        raise ValueError(f"monte_carlo: quantiles = {quantiles}: accepted are shares in [0, 1]")
    bad = failed(values)
    good = np.flatnonzero(~bad)
    if not len(good):
        raise ValueError(f"monte_carlo: none of the {len(bad)} chips has values that are all finite")

    def of(leaf: np.ndarray) -> tuple:
        shape, flat = leaf.shape[1:], leaf.reshape(len(leaf), -1)
        wide = max(1, _BLOCK // (8 * len(leaf)))
        made: tuple[list, list, list] = [], [], []
        for start in range(0, flat.shape[1], wide):
            block = np.asarray(flat[:, start : start + wide])[good].astype(np.float64)
            made[0].append(block.mean(axis=0))
            made[1].append(block.std(axis=0, ddof=1) if len(good) > 1 else np.zeros(block.shape[1]))
            made[2].append(np.quantile(block, quantiles, axis=0))
        mean, sd, across = (np.concatenate(part, axis=-1) for part in made)
        return mean.reshape(shape), sd.reshape(shape), across.reshape(len(quantiles), *shape)

    leaves, like = jax.tree.flatten(values)
    found = [of(leaf) for leaf in leaves]
    pick = lambda get: jax.tree.unflatten(like, [get(f) for f in found])  # noqa: E731
    return Summary(
        n=len(bad),
        failed=np.flatnonzero(bad),
        mean=pick(lambda f: f[0]),
        sd=pick(lambda f: f[1]),
        quantiles={q: pick(lambda f, i=i: f[2][i]) for i, q in enumerate(quantiles)},
    )
