"""Summaries of a metric over chips, and the difference that a remedy makes to the same chips.

A chip whose metric is not finite is counted as `undefined` and kept out of moments and quantiles.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

DIRECTIONS = ("above", "below")


class Summary(NamedTuple):
    """What `summarise` returns; the metric's unit throughout."""

    n: int  # chips with a finite metric
    undefined: int  # chips without one
    mean: float
    sd: float  # of the chips, with n - 1
    se: float  # standard error of the mean, sd / sqrt(n), for independent chips
    quantiles: dict[float, float]  # probability -> quantile, by default the quartiles and both ends
    worst: float
    worst_chip: int  # its index: its key is fold_in(key, worst_chip)


def summarise(y: Any, *, direction: str = "above", quantiles: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)) -> Summary:
    """Summarise a metric y [n] over chips; `direction` says on which side of a threshold the good ones are.

    Quantiles interpolate linearly between order statistics (type 7 of Hyndman and Fan 1996). The standard deviation of
    a single chip is nan. Raises ValueError for another rank, an unknown direction, or no finite value.
    """
    y = metric(y)
    check_direction(direction)
    finite = np.isfinite(y)
    good = y[finite]
    if not good.size:
        raise ValueError(f"statistics: none of {y.size} chips has a finite metric")
    sd = float(good.std(ddof=1)) if good.size > 1 else float("nan")
    worst = np.where(finite, y, np.inf).argmin() if direction == "above" else np.where(finite, y, -np.inf).argmax()
    return Summary(
        n=int(good.size),
        undefined=int(y.size - good.size),
        mean=float(good.mean()),
        sd=sd,
        se=sd / good.size**0.5,
        quantiles=dict(zip(map(float, quantiles), np.quantile(good, list(quantiles)).tolist(), strict=True)),
        worst=float(y[worst]),
        worst_chip=int(worst),
    )


class Paired(NamedTuple):
    """What `paired_difference` returns."""

    n: int  # pairs of which both chips have a finite metric
    undefined: int  # the other pairs
    difference: float  # mean of after - before
    low: float
    high: float
    confidence: float
    sd: float  # of one chip's difference
    variance_reduction: float  # (var before + var after) / var(after - before): what pairing saves in chips


def paired_difference(before: Any, after: Any, *, confidence: float = 0.95) -> Paired:
    """Compare the same chips under two remedies, from metrics [n] of runs with one key (common random numbers).

    difference = mean(after - before), with Student's interval of the paired differences. Two runs with independent
    chips would need `variance_reduction` times as many for the same interval: above 1 where the remedies' metrics
    correlate, inf where every chip gains the same. Raises ValueError for lengths that differ or fewer than two pairs.
    """
    before, after = metric(before), metric(after)
    if before.shape != after.shape:
        raise ValueError(f"statistics: {before.size} chips before and {after.size} after: pairs are the same chips")
    finite = np.isfinite(before) & np.isfinite(after)
    before, after = before[finite], after[finite]
    if before.size < 2:
        raise ValueError(f"statistics: {before.size} pairs with finite metrics: accepted are at least 2")
    change = after - before
    mean, sd = float(change.mean()), float(change.std(ddof=1))
    half = float(stats.t.ppf(0.5 + 0.5 * confidence, change.size - 1)) * sd / change.size**0.5
    separate = float(before.var(ddof=1) + after.var(ddof=1))
    reduction = separate / sd**2 if sd > 0 else float("inf")
    undefined = int(finite.size - change.size)
    return Paired(int(change.size), undefined, mean, mean - half, mean + half, confidence, sd, reduction)


def metric(y: Any) -> np.ndarray:
    """Copy a metric over chips [n] to the host as float64.

    Raises ValueError for another rank or no chips.
    """
    y = np.asarray(y, dtype=np.float64)
    if y.ndim != 1 or not y.size:
        raise ValueError(f"statistics: a metric of shape {y.shape}: accepted is one value a chip, [n]")
    return y


def check_direction(direction: str) -> None:
    """Raise ValueError for a direction that is not one."""
    if direction not in DIRECTIONS:
        raise ValueError(f"statistics: direction = {direction!r}: accepted is one of {', '.join(DIRECTIONS)}")
