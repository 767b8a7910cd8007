"""How fast a metric changes with the severity of something: slopes by finite differences on the same chips.

Every chip is met at severities 1 - h, 1 and 1 + h with the same draws (common random numbers), so that its slope

    dy/ds at s = 1  =  (y(1 + h) - y(1 - h)) / 2 h + O(h^2)

has the noise of the difference, not that of the chips. Since sigma = s sigma_0, dy/ds is sigma dy/dsigma: the change of
y for a relative change of sigma; dy/dsigma is dy/ds / sigma_0, and the elasticity d ln y / d ln sigma is dy/ds / y.
A gradient through the draws gives the same where the metric is differentiable; through spikes and whole pulses its
derivative is zero almost everywhere, and finite differences are left. Source of the pairing: Glasserman, Monte Carlo
Methods in Financial Engineering (2004), section 7.1.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from memjax.statistics.summary import metric


class Slope(NamedTuple):
    """What `slope` returns; the metric's unit, and of the elasticity 1."""

    n: int  # chips with a finite metric at all three severities
    undefined: int  # the others
    value: float  # mean at severity 1
    slope: float  # mean of dy/ds at s = 1
    low: float
    high: float
    elasticity: float  # slope / value, of the means; nan where the value is 0
    confidence: float
    sd: float  # of one chip's slope


def slope(below: Any, at: Any, above: Any, step: float, *, confidence: float = 0.95) -> Slope:
    """Estimate dy/ds from metrics [n] of the same chips at severities 1 - step, 1 and 1 + step.

    With Student's interval of the chips' own slopes. Raises ValueError for lengths that differ, fewer than two chips
    with all three metrics, or a step outside (0, 1].
    """
    if not 0 < step <= 1:
        raise ValueError(
            f"statistics: step = {step}: accepted is above 0 and at most 1, for severities 1 - step, 1 + step"
        )
    y = [metric(each) for each in (below, at, above)]
    if len({each.size for each in y}) > 1:
        raise ValueError(f"statistics: {', '.join(str(each.size) for each in y)} chips: accepted are the same chips")
    finite = np.isfinite(y).all(axis=0)
    below, at, above = (each[finite] for each in y)
    n = int(finite.sum())
    if n < 2:
        raise ValueError(f"statistics: {n} chips with finite metrics at all severities: accepted are at least 2")
    each = (above - below) / (2 * step)
    mean, sd, value = float(each.mean()), float(each.std(ddof=1)), float(at.mean())
    half = float(stats.t.ppf(0.5 + 0.5 * confidence, n - 1)) * sd / n**0.5
    return Slope(
        n=n,
        undefined=int(finite.size - n),
        value=value,
        slope=mean,
        low=mean - half,
        high=mean + half,
        elasticity=mean / value if value else float("nan"),
        confidence=confidence,
        sd=sd,
    )
