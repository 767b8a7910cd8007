"""Variance decomposition: which share of a metric's variance each named spread or noise makes (Sobol indices).

A chip is a function f of independent groups X_1 ... X_d. The first-order and the total index of group i are

    S_i = Var(E[f | X_i]) / Var f,      T_i = E[Var(f | all groups but X_i)] / Var f

S_i is what removing the spread i saves at least on average, T_i what it takes part in. sum S_i = 1 where groups add up.

A group need not be a number: pick-freeze estimators only ask whether two evaluations share X_i or have independent
copies (Sobol 2001, doi:10.1016/S0378-4754(00)00270-6). So the "value" of a noise source, as the D2D draws of a whole
array, is the random key that it is drawn from, and freezing it is passing the same key again. For base samples A and B
and A with group i of B (AB_i), the estimators are

    T_i  Jansen 1999 (doi:10.1016/S0010-4655(98)00154-4), from the pairs (A, AB_i), which differ in X_i alone:
         mean((A - AB_i)^2) / 2 var f
    S_i  from the pairs (B, AB_i), which share X_i alone, over the variance that they pool (Janon et al. 2014,
         doi:10.1051/ps/2013040, equation 2.6), with a control variate:
         (cov(B, AB_i) - (1 - T_i) cov(A, B)) / var(B and AB_i)

A and B are independent, so the covariance that they happen to have is noise; AB_i repeats the share 1 - T_i of A, and
so of that noise. Taking it off leaves large groups' indices as they were and makes those of small ones up to forty
times as exact: 0 to rounding for a group that nothing is drawn from.

`scipy.stats.sobol_indices` has the same total index; its first-order one errs half as much again for large groups. Its
bootstrap cannot be seeded, and it takes neither another n than powers of 2 nor a sample that is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax import designs
from memjax.statistics.summary import metric
from memjax.variation import named_key

_BATCH = 2**22  # resampled rows at once: tens of megabytes


class SobolDesign(NamedTuple):
    """The evaluations of a variance decomposition: n base samples x (A, B, AB_1 ... AB_d), a base sample together."""

    names: tuple[str, ...]  # of the d groups
    n: int  # base samples
    inputs: dict[str, Any]  # group -> keys or values [n (d + 2)], or a dict of values: one entry a chip


def sobol_design(
    groups: Sequence[str] | Mapping[str, None | designs.Distribution | Mapping[str, designs.Distribution]],
    n: int,
    key: Array,
    *,
    kind: str = "sobol",
) -> SobolDesign:
    """Make the n (d + 2) evaluations that tell d groups apart: a dict of inputs for each chip.

    A group is a random key (a name alone, or None), a quantity with a distribution, or several quantities that are one
    group. The chip must draw everything from its inputs: what it draws from the key that `monte_carlo.run` gives it
    differs between the evaluations of a base sample, and would count as part of every total index. Values are points of
    a `kind` of `designs` in twice their number of dimensions (Saltelli et al. 2010, doi:10.1016/j.cpc.2009.09.018).
    Raises ValueError for no groups, n below 2, or, with sobol and values, an n that is no power of 2.
    """
    groups = groups if isinstance(groups, Mapping) else dict.fromkeys(groups)
    if not groups or n < 2:
        raise ValueError(f"statistics: {len(groups)} groups, n = {n}: accepted are at least 1 group, 2 base samples")
    names, d = tuple(groups), len(groups)
    from_b = np.concatenate([np.zeros((1, d), bool), np.ones((1, d), bool), np.eye(d, dtype=bool)])  # [d + 2, d]
    inputs: dict[str, Any] = dict.fromkeys(names)

    scalars = {(name, part): each for name in names for part, each in _parts(groups[name]).items()}
    if scalars:
        flat = {"/".join(filter(None, place)): each for place, each in scalars.items()}
        designs.check(flat)
        u = designs.points(n, 2 * len(flat), key, kind)
        a, b = designs.values(flat, u[:, : len(flat)]), designs.values(flat, u[:, len(flat) :])
        for (name, part), label in zip(scalars, flat, strict=True):
            drawn = np.where(from_b[:, names.index(name)], b[label][:, None], a[label][:, None]).reshape(-1)
            inputs[name] = {**(inputs[name] or {}), part: drawn} if part else drawn
    for i, name in enumerate(names):
        if groups[name] is None:
            a, b = (_keys(jax.random.fold_in(named_key(key, name), side), n) for side in (0, 1))
            inputs[name] = jnp.where(from_b[:, i], b[:, None], a[:, None]).reshape(-1)
    return SobolDesign(names, n, inputs)


def _parts(group: Any) -> dict[str, Any]:
    """Return the quantities of a group by name; of a single one, without a name."""
    return {} if group is None else dict(group) if isinstance(group, Mapping) else {"": group}


def _keys(key: Array, n: int) -> Array:
    return jax.vmap(lambda j: jax.random.fold_in(key, j))(jnp.arange(n, dtype=jnp.uint32))


class Indices(NamedTuple):
    """First-order and total Sobol indices of d groups with intervals; leaves [d]."""

    names: tuple[str, ...]
    first: np.ndarray
    first_low: np.ndarray
    first_high: np.ndarray
    total: np.ndarray
    total_low: np.ndarray
    total_high: np.ndarray
    variance: float  # of the metric
    confidence: float
    n: int  # base samples of which every evaluation has a finite metric
    undefined: int  # the other base samples


def split(y: Any, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the metrics (y_A [n], y_B [n], y_AB [d, n]) of the evaluations y [n (d + 2)] of a design.

    Raises ValueError where their number is no multiple of d + 2.
    """
    y, d = metric(y), len(names)
    if y.size % (d + 2):
        raise ValueError(f"statistics: {y.size} evaluations of {d} groups: accepted is a multiple of {d + 2}")
    y = y.reshape(-1, d + 2).T
    return y[0], y[1], y[2:]


def sobol_indices(
    y_a: Any, y_b: Any, y_ab: Any, names: Sequence[str], key: Array, *, confidence: float = 0.95, resamples: int = 1000
) -> Indices:
    """Estimate the indices from metrics y_a [n], y_b [n], y_ab [d, n], with bootstrap intervals over base samples.

    `sobol_indices(*split(y, names), names, key)` takes a run's metrics as they come. A base sample of which one
    evaluation is not finite is left out. The intervals are percentiles of `resamples` bootstrap samples, for
    independent base samples: with Sobol points they are too wide. Indices of a metric without variance are nan.
    Raises ValueError for shapes that do not fit or fewer than two complete base samples.
    """
    y = np.stack([metric(y_a), metric(y_b), *(metric(row) for row in y_ab)])
    if len(y) != len(names) + 2:
        raise ValueError(f"statistics: y_ab has {len(y) - 2} rows for {len(names)} groups: accepted is one a group")
    finite = np.isfinite(y).all(axis=0)
    y = y[:, finite]
    n = y.shape[1]
    if n < 2:
        raise ValueError(f"statistics: {n} base samples have a metric in every evaluation: accepted are at least 2")
    y = y - y[:2].mean()  # the indices do not depend on the mean, but sums of squares lose digits to it
    a, b, ab = y[0], y[1], y[2:]
    products = np.concatenate([y, y * y, a * ab, b * ab, (a * b)[None]]).T  # [n, 4 d + 5]
    first, total = _indices(products.mean(axis=0))

    rows = max(1, min(resamples, _BATCH // n))
    resampled = []
    for k, start in enumerate(range(0, resamples, rows)):
        drawn = np.asarray(jax.random.randint(jax.random.fold_in(key, k), (min(rows, resamples - start), n), 0, n))
        counts = np.stack([np.bincount(one, minlength=n) for one in drawn])
        resampled.append(_indices(counts @ products / n))
    tails = 0.5 - 0.5 * confidence, 0.5 + 0.5 * confidence
    bounds = [np.quantile(np.concatenate(each), tails, axis=0) for each in zip(*resampled, strict=True)]
    (first_low, first_high), (total_low, total_high) = bounds
    return Indices(
        *(tuple(names), first, first_low, first_high, total, total_low, total_high),
        variance=float(y[:2].var()),
        confidence=confidence,
        n=n,
        undefined=int((~finite).sum()),
    )


def _indices(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first-order and total indices [..., d] from the means [..., 4 d + 5] of y, y^2, A AB, B AB and A B."""
    d = means.shape[-1] // 4 - 1
    y, y2, a_ab, b_ab, ab = np.split(means, [d + 2, 2 * d + 4, 3 * d + 4, 4 * d + 4], axis=-1)
    (y_a, y_b, y_ab), (y2_a, y2_b, y2_ab) = (np.split(each, [1, 2], axis=-1) for each in (y, y2))
    with np.errstate(divide="ignore", invalid="ignore"):
        total = 0.5 * (y2_a - 2.0 * a_ab + y2_ab) / (0.5 * (y2_a + y2_b) - (0.5 * (y_a + y_b)) ** 2)
        shared = (b_ab - y_b * y_ab) - (1.0 - total) * (ab - y_a * y_b)
        return shared / (0.5 * (y2_b + y2_ab) - (0.5 * (y_b + y_ab)) ** 2), total
