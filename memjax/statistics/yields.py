"""Yield: the share of chips that meet a threshold, its interval, and how many chips it takes.

Wilson's interval (Wilson 1927, doi:10.1080/01621459.1927.10502953) of k passed out of n, with
z = ndtri((1 + confidence) / 2):

    (k + z^2 / 2 +- z sqrt(k (n - k) / n + z^2 / 4)) / (n + z^2)

Its coverage oscillates with n and p, as any interval's of a count does (Brown, Cai and DasGupta 2001,
doi:10.1214/ss/1009213286): at 95 % it is between 93.0 and 96.8 % wherever at least 8 chips are expected to fail (for
yields of 50 % or more and n from 100 to 5,000), 91 % where one is, and 84 % where a sixth of one is.
`method="exact"` (Clopper and Pearson) never covers less than it says, and is wider.
"""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import special, stats

from memjax.statistics.summary import check_direction, metric

Method = Literal["wilson", "exact"]


class Yield(NamedTuple):
    """What `yield_interval` returns."""

    n: int
    passed: int
    estimate: float  # passed / n
    low: float
    high: float
    confidence: float
    undefined: int  # chips without a finite metric, which are among those that did not pass

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return 0.5 * (self.high - self.low)


def yield_interval(
    y: Any, threshold: float, *, direction: str = "above", confidence: float = 0.95, method: Method = "wilson"
) -> Yield:
    """Return the share of chips with y >= threshold ("above") or y <= threshold ("below"), from metrics y [n].

    A chip without a finite metric is not known to pass, and counts as one that does not. The interval is for
    independent chips: on a Latin hypercube or Sobol design it is too wide. Raises ValueError for another rank or
    direction, and a threshold of nan, which nothing meets.
    """
    y = metric(y)
    check_direction(direction)
    if math.isnan(threshold):
        raise ValueError("statistics: threshold nan of a yield: accepted is a number")
    finite = np.isfinite(y)
    passed = finite & (y >= threshold if direction == "above" else y <= threshold)
    return interval(int(passed.sum()), y.size, confidence=confidence, method=method, undefined=int((~finite).sum()))


def interval(passed: int, n: int, *, confidence: float = 0.95, method: Method = "wilson", undefined: int = 0) -> Yield:
    """Return the yield of n chips of which `passed` met the threshold."""
    low, high = stats.binomtest(passed, n).proportion_ci(confidence, method)
    return Yield(n, passed, passed / n, float(low), float(high), confidence, undefined)


class Until(NamedTuple):
    """Stop when the yield's interval is narrow enough: half width <= `half_width`, looked at after any number of chips.

    Looking again and again favours moments at which the estimate happens to have a narrow interval. Here that costs
    little, since no interval is narrow before `fewest` chips. Worked out exactly for Wilson's interval at 95 %, half
    widths of 1 to 5 % and looks every 16 or 64 chips, the interval at the stop covers the true yield with a probability
    of 92 to 99 % where the yield is at least one half width below 1. Nearer to 1 hardly a chip fails before the stop,
    and it can be 84 %; `method="exact"` keeps 97 % there, and 93 % elsewhere. The narrower, the closer to nominal
    (Chow and Robbins 1965, doi:10.1214/aoms/1177700156).

    Chips must be independent: the first rows of a Latin hypercube are no design.
    """

    threshold: float
    half_width: float
    direction: str = "above"
    confidence: float = 0.95
    method: Method = "wilson"

    def met(self, y: Any) -> bool:
        """Say whether the chips y [n] so far are enough."""
        found = yield_interval(
            y, self.threshold, direction=self.direction, confidence=self.confidence, method=self.method
        )
        return found.half_width <= self.half_width

    @property
    def fewest(self) -> int:
        """Chips below which the rule is never met; an interval is narrowest where all pass.

        Half its width is then z^2 / 2 (n + z^2) by Wilson, (1 - ((1 - confidence) / 2)^(1 / n)) / 2 exactly.
        """
        if self.method == "exact":
            n = math.log(0.5 - 0.5 * self.confidence) / math.log1p(-2.0 * self.half_width)
        else:
            n = special.ndtri(0.5 + 0.5 * self.confidence) ** 2 * (0.5 / self.half_width - 1.0)
        return max(1, math.ceil(n - 1e-9))

    def check(self) -> None:
        """Raise ValueError for a threshold that is not finite, a half width, confidence or direction out of range."""
        check_direction(self.direction)
        if not math.isfinite(self.threshold):
            raise ValueError(f"statistics: threshold {self.threshold} of a yield: accepted is a finite number")
        if not 0 < self.half_width < 0.5:
            raise ValueError(f"statistics: half width {self.half_width} of a yield: accepted is between 0 and 0.5")
        if not 0 < self.confidence < 1:
            raise ValueError(f"statistics: confidence {self.confidence}: accepted is between 0 and 1")


def chips_needed(expected: float, half_width: float, *, confidence: float = 0.95) -> int:
    """Return the smallest n at which Wilson's interval of an `expected` yield has half width <= `half_width`.

    (z / (n + z^2)) sqrt(n p (1 - p) + z^2 / 4) = w, solved for n. Raises ValueError outside the ranges of `Until`.
    """
    Until(0.0, half_width, confidence=confidence).check()
    if not 0 <= expected <= 1:
        raise ValueError(f"statistics: expected yield {expected}: accepted is between 0 and 1")
    z2, w2 = special.ndtri(0.5 + 0.5 * confidence) ** 2, half_width**2
    # w^2 (n + z^2)^2 = z^2 (n p q + z^2 / 4): the larger root of a quadratic in m = n + z^2.
    pq = expected * (1.0 - expected)
    m = z2 * (pq + math.sqrt(pq * pq + 4.0 * w2 * (0.25 - pq))) / (2.0 * w2)
    return max(1, math.ceil(m - z2 - 1e-9))
