"""Retention and relaxation traces: the exponent of each level's power-law drift, or a model that relaxes.

    G(t) = G_1 (t / t_1)^-nu,    a straight line of slope -nu in log G over log t
by least squares for every level; the interval counts correlated residuals as fewer points (`spread.trend`).  nu is the
exponent of `devices.with_drift` for times far above its t0.
A model that relaxes by itself is fitted to all levels at once, through its own `relax` from the first read on: the
levels share the parameters, each has its own initial state.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memjax import devices
from memjax.fitting import problem as problems
from memjax.fitting import spread
from memjax.fitting.data import Retention
from memjax.fitting.problem import Problem, Range

# Ends in units of the data: conductances in the largest one, times in the shortest interval and the whole trace.
MODELS = {"volatile": {"tau": Range(0.1, 10.0, "s"), "g_min": Range(0.0, 1.0, "S", log=False)}}
HELD = {"volatile": {"g_max": 1.25}}  # of the largest conductance: nothing is said about a bound that is not met


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


def problem(
    device: str,
    data: Sequence[Retention],
    *,
    hold: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Problem:
    """State the fit of a model's relaxation; x0[k] is the state of level k at the first read.

    Raises ValueError for a model that is not fitted to relaxation, and for parameters that it does not have.
    """
    if device not in MODELS:
        raise ValueError(f"device {device!r} is not fitted to relaxation: accepted are {', '.join(MODELS)}")
    peak = max(float(d.g.max()) for d in data)
    shortest, longest = min(float(np.diff(d.t).min()) for d in data), max(float(d.t[-1] - d.t[0]) for d in data)
    scale = {"s": (shortest, longest), "S": (peak, peak)}
    ranges = {n: r._replace(lo=r.lo * scale[r.unit][0], hi=r.hi * scale[r.unit][1]) for n, r in MODELS[device].items()}
    held = {n: x * peak for n, x in HELD[device].items()} | dict(hold or {})
    for name in [*(hold or {}), *(bounds or {})]:
        if name not in ranges and name not in HELD[device]:
            raise ValueError(f"parameter {name!r}: fitted to relaxation are {', '.join(ranges)}")
    for name, (lo, hi) in (bounds or {}).items():
        ranges[name] = ranges[name]._replace(lo=lo, hi=hi)
    ranges = {n: r for n, r in ranges.items() if n not in held}
    own, levels = tuple(ranges), sum(len(d.g) for d in data)
    ranges |= {f"x0[{k}]": Range(0.0, 1.0, log=False) for k in range(levels)}
    length = max(len(d.t) for d in data)

    def fill(x):
        return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, length - x.shape[-1])], mode="edge")

    t = np.concatenate([np.tile(fill(d.t - d.t[0]), (len(d.g), 1)) for d in data])
    g = np.concatenate([fill(d.g) for d in data])
    seen = np.concatenate([np.tile(np.arange(length) < len(d.t), (len(d.g), 1)) for d in data])
    inputs = {"t": t, "peak": peak, "held": held}
    return problems.create(ranges, _predictor(device, own, levels), inputs, (g / peak).ravel(), seen.ravel() * 1.0)


@cache
def _predictor(device: str, own: tuple[str, ...], levels: int):
    model = devices.get(device)
    assert model.relax is not None
    relax = model.relax

    def predict(values, inputs):
        params = model.Params(**{**inputs["held"], **{name: values[name] for name in own}})

        def one(x0, t):
            return model.current(params, relax(params, model.init(params, x0), t), 1.0) / inputs["peak"]

        return jax.vmap(one)(jnp.stack([values[f"x0[{k}]"] for k in range(levels)]), inputs["t"]).reshape(-1)

    return predict
