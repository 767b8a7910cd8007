"""The fit itself: many starts, the best of them, how sure it is, and how models compare."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax.fitting import _solver, loops, pulses, retention, stdp, uncertainty
from memjax.fitting import problem as problems
from memjax.fitting.data import Data
from memjax.fitting.problem import Problem
from memjax.fitting.uncertainty import Direction

ROBUST = 0.1  # of the peak: beyond it a misfit counts linearly; a snap one sample too early or late is that large
NEAR = 1.1  # of the smallest RMSE: fits within it are near-optimal


class Fit(NamedTuple):
    """A model fitted to data.

    values, low, high   the parameters and their 95 % intervals, SI units
    rmse                of each data set, of its peak (largest current; range of conductance)
    bic                 N log(RSS / N) + P log N: differences count, the smaller the better
    held_out            RMSE of points that the fit did not see, in blocks, or None
    near                [S', P] values of the near-optimal starts: what fits as well
    unseen              combinations of parameters that the data do not determine
    """

    device: str
    kind: str
    data: tuple[Data, ...]
    values: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    held: dict[str, float]
    rmse: tuple[float, ...]
    bic: float
    held_out: float | None
    noise: float
    correlation: float
    unseen: list[Direction]
    at_bounds: dict[str, str]
    near: np.ndarray
    costs: np.ndarray
    bootstrap: np.ndarray | None
    curve: np.ndarray  # [N], of the peak
    problem: Problem
    theta: np.ndarray
    date: str

    def params(self) -> dict[str, float]:
        """Return the parameters of the model itself, fitted and held."""
        if self.kind == "stdp":
            return dict(self.values)
        return loops.device_parameters(self.device, self.values, self.held)


def fit(
    data: Data | Sequence[Data],
    device: str,
    *,
    starts: int = 64,
    key: Array | None = None,
    hold: Mapping[str, float] | None = None,
    free: Sequence[str] = (),
    bounds: Mapping[str, tuple[float, float]] | None = None,
    robust: float | None = ROBUST,
    bootstrap: int = 0,
    folds: int = 0,
    method: str = _solver.METHODS[0],
    steps: int = _solver.STEPS,
    **options: Any,
) -> Fit:
    """Fit a model to data -> Fit: the best of many random starts by Levenberg-Marquardt, and how sure it is.

    data: one data set, or several of one kind, which share the parameters.  device: a model's name (for STDP windows
    "stdp").  starts: random starts, all at once.  hold, free, bounds: see `loops.problem`.  robust: size of a misfit,
    of the peak, from which on it counts linearly; None: least squares.  bootstrap: refits of resampled residuals, which
    then give the intervals.  folds: cross-validation by that many parts of the data.  method: "levenberg_marquardt", or
    "adam" before it.  steps: of Levenberg-Marquardt, at most.  options: `start` ("fitted", "periodic"), `by`
    ("resistor", "voltage") and `substeps` of loops.

    Works in float64 whatever the caller's setting is.  Raises ValueError for what cannot be fitted, ImportError
    without optimistix (pip install "memjax[fit]").
    """
    sets: tuple[Any, ...] = (data,) if hasattr(data, "kind") else tuple(data)  # a data set is a tuple too
    kinds = {one.kind for one in sets}
    if len(kinds) != 1:
        raise ValueError(f"data of kinds {', '.join(sorted(kinds)) or 'none'}: accepted is one kind, at least one set")
    if starts < 1 or folds == 1 or folds < 0 or bootstrap < 0:
        raise ValueError(
            f"starts = {starts}, folds = {folds}, bootstrap = {bootstrap}: accepted are 1 or more, 0 or 2 up, 0 or more"
        )
    if method not in _solver.METHODS:
        raise ValueError(f"method {method!r}: accepted are {', '.join(_solver.METHODS)}")
    _solver.optimistix()
    kind = kinds.pop()
    key = jax.random.key(0) if key is None else key
    with jax.enable_x64(True):
        problem, held = _state(kind, device, sets, hold, free, bounds, options)
        problem = jax.tree.map(jnp.asarray, problem)
        found = _solver.search(problem, _solver.starts(problem, starts, key), method, robust=robust, steps=steps)
        theta, costs = _repeatable(problem, found, robust)
        if not len(costs):
            raise ValueError(f"{device}: no start led anywhere; give bounds nearer to what the data can be")
        phi = problems.natural(problem, jnp.asarray(theta[0]))
        blocks = _blocks(sets)
        sure = uncertainty.covariance(problem, phi)
        low, high = sure.low, sure.high
        drawn = None
        if bootstrap:
            block = 1 if sure.correlation < 0.2 else max(2, round(len(problem.data) ** (1 / 3) * 2))
            again = uncertainty.bootstrap(
                problem, theta[0], jax.random.fold_in(key, 1), draws=bootstrap, block=block, robust=robust
            )
            drawn = np.stack(list(map(np.asarray, problems.values(problem, jnp.asarray(again)).values())), 1)
            low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        error = np.asarray(problems.misfit(problem, phi))
        rmse = tuple(float(np.sqrt(np.mean(error[b] ** 2))) for b in blocks)
        total = float(np.mean(error[np.asarray(problem.weights) > 0] ** 2))
        size = sum(len(b) for b in blocks)
        near = np.sqrt(costs / costs[0]) <= NEAR
        plain = problems.values(problem, problems.natural(problem, jnp.asarray(theta[near])))
        return Fit(
            device=device,
            kind=kind,
            data=sets,
            values={n: float(x) for n, x in problems.values(problem, phi).items()},
            low=dict(zip(problem.names, map(float, low), strict=True)),
            high=dict(zip(problem.names, map(float, high), strict=True)),
            held=held,
            rmse=rmse,
            bic=size * float(np.log(total)) + problem.size * float(np.log(size)),
            held_out=_cross_validate(problem, theta[0], folds, robust) if folds else None,
            noise=sure.noise,
            correlation=sure.correlation,
            unseen=uncertainty.directions(problem, sure),
            at_bounds=uncertainty.at_bounds(problem, phi),
            near=np.stack([np.asarray(x) for x in plain.values()], 1),
            costs=costs,
            bootstrap=drawn,
            curve=np.asarray(problem.data) + error,
            problem=problem,
            theta=theta[0],
            date=datetime.date.today().isoformat(),
        )


def compare(fits: Sequence[Fit]) -> list[Fit]:
    """Return fits of the same data, the best first: by held-out error where all have it, else by BIC.

    Residuals that hang together are fewer points: the BIC compared is that of N (1 - rho) / (1 + rho) of them, rho the
    correlation that the best of the models still leaves.
    """
    if all(f.held_out is not None for f in fits):
        return sorted(fits, key=lambda f: f.held_out or 0.0)

    def error(f: Fit) -> float:
        return float(np.mean(np.square(f.rmse)))

    rho = float(np.clip(min(fits, key=error).correlation, 0.0, 0.99))

    def criterion(f: Fit) -> float:
        points = int((np.asarray(f.problem.weights) > 0).sum()) * (1 - rho) / (1 + rho)
        return points * float(np.log(error(f))) + f.problem.size * float(np.log(max(points, 2.0)))

    return sorted(fits, key=criterion)


def _state(kind, device, sets, hold, free, bounds, options):
    if kind == "loop":
        problem = loops.problem(device, sets, hold=hold, free=free, bounds=bounds, **options)
    elif kind == "pulses":
        problem = pulses.problem(device, sets, hold=hold, bounds=bounds, **options)
    elif kind == "stdp":
        problem = stdp.problem(sets, bounds=bounds, **options)
    else:
        problem = retention.problem(device, sets, hold=hold, bounds=bounds, **options)
    return problem, dict(problem.inputs.get("held", {}))


def _repeatable(problem: Any, found: _solver.Found, robust) -> tuple[np.ndarray, np.ndarray]:
    """Return theta [S', P] and cost [S'] of the starts, the best first that another program confirms.

    Where a step of the state hangs on the last bits of a voltage, what one compiled program finds is not there in
    another; such an end is no fit.
    """
    order = _solver.best(found)
    theta, costs = np.asarray(found.theta)[order], np.asarray(found.cost)[order]
    for k in range(int(np.isfinite(costs).sum())):
        again = float(np.sum(np.square(problems.residuals(problem, jnp.asarray(theta[k]), robust, _solver.NOISE))))
        if again <= NEAR**2 * costs[k]:
            return theta[k:], costs[k:]
    return theta[:0], costs[:0]


def _blocks(data) -> list[np.ndarray]:
    """Return where each data set lies in the stacked residuals."""
    if data[0].kind == "loop":
        length = max(len(loop.t) for loop in data)
        return [k * length + np.arange(len(loop.t)) for k, loop in enumerate(data)]
    if data[0].kind == "stdp":
        ends = np.cumsum([0, *(len(one.dt) for one in data)])
        return [np.arange(a, b) for a, b in zip(ends[:-1], ends[1:], strict=True)]
    length, first, found = max(one.g.shape[1] for one in data), 0, []
    for one in data:  # ramps of pulses, or levels
        ramp, pulse = np.nonzero(~np.isnan(one.g))
        found.append((first + ramp) * length + pulse)
        first += len(one.g)
    return found


def _cross_validate(problem: Any, theta, folds: int, robust) -> float:
    """Return the RMSE of points left out, a fold of short runs of points after the other; fits go on from the best."""
    weights = np.asarray(problem.weights)
    run = max(1, len(weights) // (5 * folds))
    fold = (np.arange(len(weights)) // run) % folds
    rss, seen = 0.0, 0
    for k in range(folds):
        out = (fold == k) & (weights > 0)
        part = problem.replace(weights=jnp.asarray(np.where(fold == k, 0.0, weights)))
        end = _solver.minimise(part, jnp.asarray(theta)[None], robust=robust).theta[0]
        error = np.asarray(problems.misfit(problem, problems.natural(problem, end)))
        rss, seen = rss + float(np.sum(error[out] ** 2)), seen + int(out.sum())
    return float(np.sqrt(rss / seen))


def profile(found: Fit, name: str, *, points: int = 21, reach: float = 3.0) -> dict[str, np.ndarray]:
    """Return the profile likelihood of one parameter of a fit: see `uncertainty.profile`."""
    with jax.enable_x64(True):
        return uncertainty.profile(found.problem, found.theta, name, points=points, reach=reach, robust=None)
