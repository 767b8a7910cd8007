"""Retention traces: the exponent of each level's power-law drift.

    G(t) = G_1 (t / t_1)^-nu,    a straight line of slope -nu in log G over log t
by least squares for every level; the interval counts correlated residuals as fewer points (`spread.trend`).  nu is the
exponent of `devices.with_drift` for times far above its t0.
"""

from typing import NamedTuple

import numpy as np

from memjax.fitting import spread
from memjax.fitting.data import Retention


class Drift(NamedTuple):
    """All [L], one entry a level."""

    g: np.ndarray  # S, at the first read, by the fitted line
    exponent: np.ndarray  # nu: above 0 where the conductance falls
    low: np.ndarray
    high: np.ndarray
    sd: np.ndarray  # of log G about the line: relative read noise and what else fluctuates


def drift(data: Retention) -> Drift:
    """Fit the drift of every level."""
    log_t = np.log(data.t / data.t[0])
    lines = [spread.trend(log_t, np.log(level)) for level in data.g]
    first = np.array([np.exp(line.level - line.slope.value * log_t.mean()) for line in lines])
    slope = np.array([(-line.slope.value, -line.slope.high, -line.slope.low) for line in lines])
    return Drift(first, slope[:, 0], slope[:, 1], slope[:, 2], np.array([line.sd for line in lines]))


def by_level(found: Drift, resistances=(10e3, 20e3, 50e3)) -> list[tuple[float, float, int, float, float]]:
    """Average the exponent by initial resistance -> [(from, to [ohm], levels, mean, standard error)]."""
    edges, rows = [0.0, *resistances, np.inf], []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        mine = found.exponent[(1 / found.g > low) & (1 / found.g <= high)]
        if len(mine):
            error = float(mine.std(ddof=1) / np.sqrt(len(mine))) if len(mine) > 1 else float("nan")
            rows.append((low, high, len(mine), float(mine.mean()), error))
    return rows
