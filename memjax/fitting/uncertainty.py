"""How sure a fit is: covariance, bootstrap, profiles, and the directions that the data do not see.

Gauss-Newton   cov(phi) = s^2 (J^T J)^-1,   s^2 = RSS / (N - P),   J = d misfit / d phi at the best fit
with the priors' information added to J^T J, and that of its box for what nothing else is known about.  Intervals are
phi +- t(N - P) sd, brought back to the parameter's own scale.  They hold for errors that are independent from point to
point.  A model that misses the data leaves residuals that hang together, and then N points are fewer: s^2 is multiplied
by (1 + rho) / (1 - rho), rho the residuals' correlation from one point to the next (as of an AR(1) process).
The bootstrap draws residuals in blocks for the same reason.

A direction is an eigenvector of the data's and the priors' information; the data do not see it where phi can move along
it by more than BLIND before the misfit says so: a factor of e for a rate, half of its box for anything else.  The box
does not count here: it keeps every linear parameter within half of itself, whatever the data say.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax.fitting import _solver
from memjax.fitting import problem as problems
from memjax.fitting.problem import Problem

BLIND = 1.0  # of phi over its unit: e-folds, or halves of a box
SHARE = 0.3  # of a direction: parameters with less of it are not named
ROUNDING = 1e-6  # of the peak: no measurement is better, and below it a null direction is rounding
BOUND = 0.01  # of a box: a parameter this close to an end is at its bound


class Uncertainty(NamedTuple):
    """What is known about phi at the best fit; all [P] or [P, P]."""

    sd: np.ndarray
    covariance: np.ndarray
    information: np.ndarray  # of the data and the priors, without the boxes
    low: np.ndarray  # of the interval, on the parameter's own scale
    high: np.ndarray
    noise: float  # sd of the residuals, of the peak
    correlation: float  # of the residuals, from one point to the next
    freedom: float  # N - P


class Direction(NamedTuple):
    """A combination of parameters, its standard deviation, and what to say about it."""

    weights: dict[str, float]
    sd: float
    text: str


def units(problem: Problem) -> np.ndarray:
    """Return the unit of phi [P]: an e-fold on a logarithmic scale, half of the box on a linear one."""
    return np.where(problem.log, 1.0, (np.asarray(problem.hi) - np.asarray(problem.lo)) / 2)


@jax.jit
def linearise(problem: Problem, phi) -> tuple[Array, Array]:
    """Return misfit [N] and its derivative [N, P] by phi."""
    error, forward = jax.linearize(partial(problems.misfit, problem), phi)
    return error, jax.vmap(forward)(jnp.eye(problem.size, dtype=phi.dtype)).T


def covariance(problem: Problem, phi, level: float = 0.95, *, correlated: bool = True) -> Uncertainty:
    """Return the Gauss-Newton uncertainty at phi [P]; a direction without information gets the width of its box.

    correlated: widen by the residuals' correlation (see above).
    """
    error, slope = map(np.asarray, linearise(problem, jnp.asarray(phi)))
    used = np.asarray(problem.weights) > 0
    error, slope = error[used], np.nan_to_num(slope[used], posinf=0.0, neginf=0.0)
    freedom = max(len(error) - problem.size, 1)
    noise = float(np.sqrt(error @ error / freedom))
    rho = float(error[1:] @ error[:-1] / max(error @ error, 1e-300))
    wide = (1 + rho) / (1 - rho) if correlated and rho > 2 / np.sqrt(len(error)) else 1.0
    return _uncertainty(problem, np.asarray(phi), slope, noise, wide, rho, freedom, level)


def _uncertainty(problem, phi, slope, noise, wide, rho, freedom, level) -> Uncertainty:
    scale = units(problem)
    box = (np.asarray(problem.hi) - np.asarray(problem.lo)) / scale
    # Flat over the box: a direction that nothing informs stays finite, and no larger than where it was looked for.
    information = (slope * scale).T @ (slope * scale) / max(noise**2 * wide, ROUNDING**2)
    information += np.diag((scale / np.asarray(problem.width)) ** 2)
    found = np.linalg.inv(information + np.diag(12 / box**2)) * np.outer(scale, scale)
    sd = np.sqrt(np.maximum(np.diag(found), 0.0))
    low, high = interval(problem, phi, sd, freedom, level)
    return Uncertainty(sd, found, information / np.outer(scale, scale), low, high, noise, rho, freedom)


def interval(problem: Problem, phi, sd, freedom: float, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends [P] of the intervals on the parameters' own scale; they stay within the box."""
    from scipy.stats import t

    reach = t.ppf((1 + level) / 2, freedom) * sd
    ends = [np.clip(phi + s, problem.lo, problem.hi) for s in (-reach, reach)]
    low, high = (np.where(problem.log, np.exp(np.where(problem.log, end, 0.0)), end) for end in ends)
    return low, high


def directions(problem: Problem, found: Uncertainty) -> list[Direction]:
    """Return what the data do not see, the worst first; empty where they see everything."""
    scale = units(problem)
    known, axes = np.linalg.eigh(found.information * np.outer(scale, scale))
    blind = []
    for k in np.flatnonzero(known < 1 / BLIND**2):
        reach = axes[:, k] @ (found.covariance / np.outer(scale, scale)) @ axes[:, k]
        sd = float(np.sqrt(max(reach, 0.0)))  # with the box, which keeps it finite
        axis = axes[:, k] / axes[np.argmax(np.abs(axes[:, k])), k]
        shares = {n: float(a) for n, a in zip(problem.names, axis, strict=True) if abs(a) >= SHARE}
        blind.append(Direction(shares, sd, _sentence(problem, shares, sd)))
    return blind


def _sentence(problem: Problem, shares: Mapping[str, float], sd: float) -> str:
    logs = dict(zip(problem.names, np.asarray(problem.log), strict=True))
    if len(shares) == 1:
        name = next(iter(shares))
        reach = f"a factor of {np.exp(min(sd, 99)):.3g}" if logs[name] else f"{sd:.2g} of half its box"
        return f"{name} is not determined: it can change by {reach} (one sd)"
    ordered = sorted(shares, key=lambda n: -abs(shares[n]))
    moves = ", ".join(f"{n} {'up' if shares[n] > 0 else 'down'}" for n in ordered)
    powers = ""
    if all(logs[n] for n in shares) and len(shares) == 2:
        a, b = ordered
        power = -shares[a] / shares[b]  # a b^power does not change along the direction
        together = f"{a} * {b}^{power:.2g}" if abs(power - 1) > 0.05 else f"{a} * {b}"
        together = f"{a} / {b}" if abs(power + 1) <= 0.05 else together
        powers = f"; only {together} is determined"
    return f"not determined together: {moves}, by {sd:.3g} e-folds or half boxes (one sd){powers}"


def at_bounds(problem: Problem, phi) -> dict[str, str]:
    """Return the parameters that lie at an end of their box: their true value may lie beyond it."""
    share = (np.asarray(phi) - np.asarray(problem.lo)) / (np.asarray(problem.hi) - np.asarray(problem.lo))
    return {
        name: "lower" if s < BOUND else "upper"
        for name, s in zip(problem.names, share, strict=True)
        if s < BOUND or s > 1 - BOUND
    }


def bootstrap(problem: Problem, theta, key: Array, *, draws: int = 200, block: int = 1, robust=None, steps: int = 30):
    """Refit the best fit's own curve with its residuals drawn anew -> phi [draws, P].

    theta [P]: the best fit.  block: residuals are drawn in runs of this many, so that they stay as alike as they were.
    """
    theta = jnp.asarray(theta)
    phi = problems.natural(problem, theta)
    error = np.asarray(problems.misfit(problem, phi))
    used = np.flatnonzero(np.asarray(problem.weights) > 0)
    curve, kept = np.asarray(problem.data).copy(), error[used] * np.sqrt(len(used) / max(len(used) - problem.size, 1))
    curve[used] += error[used]
    kept = kept - kept.mean()
    blocks = -(-len(used) // block)
    first = np.asarray(jax.random.randint(key, (draws, blocks), 0, len(used)))
    picked = (first[:, :, None] + np.arange(block)).reshape(draws, -1)[:, : len(used)] % len(used)
    data = np.tile(curve, (draws, 1))
    data[:, used] -= kept[picked]
    noise = float(np.sqrt(np.mean(kept**2)))
    again = _refit(problem, jnp.asarray(data), theta, robust, noise, steps)
    return np.asarray(problems.natural(problem, again))


@partial(jax.jit, static_argnames=("robust", "steps"))
def _refit(problem, data, theta, robust, noise, steps):
    def one(data):
        return _solver.minimise(problem.replace(data=data), theta[None], robust=robust, noise=noise, steps=steps).theta[
            0
        ]

    return jax.vmap(one)(data)


def profile(problem: Problem, theta, name: str, *, points: int = 21, reach: float = 3.0, robust=None) -> dict[str, Any]:
    """Return the profile likelihood of one parameter: the best fit of all others at each of its values.

    Values lie within `reach` Gauss-Newton sd of the best fit, inside the box.  -> {"value" [points], "deviance"
    [points]}: N log(RSS / RSS_min); below 3.84 lies the 95 % interval.  Raises ValueError for an unknown parameter.
    """
    if name not in problem.names:
        raise ValueError(f"profile of {name!r}: the fitted parameters are {', '.join(problem.names)}")
    k = problem.names.index(name)
    phi = np.asarray(problems.natural(problem, jnp.asarray(theta)))
    found = covariance(problem, phi)
    margin = 1e-6 * (problem.hi[k] - problem.lo[k])
    ends = np.clip(
        [phi[k] - reach * found.sd[k], phi[k] + reach * found.sd[k]], problem.lo[k] + margin, problem.hi[k] - margin
    )
    at = np.linspace(float(ends[0]), float(ends[1]), points)
    # A prior a thousand times sharper than the data holds the parameter at its value.
    sharp = np.full((points, problem.size), 1.0) * np.asarray(problem.width)
    sharp[:, k] = np.minimum(found.sd[k], ends[1] - ends[0]) * 1e-3
    centre = np.tile(np.asarray(problem.centre), (points, 1))
    centre[:, k] = at
    rss = np.asarray(
        _profile(problem, jnp.asarray(centre), jnp.asarray(sharp), jnp.asarray(theta), k, robust, found.noise)
    )
    used = int((np.asarray(problem.weights) > 0).sum())
    value = np.exp(at) if problem.log[k] else at
    return {"value": value, "deviance": used * np.log(rss / rss.min())}


@partial(jax.jit, static_argnames=("robust",))
def _profile(problem, centre, width, theta, k, robust, noise):
    def one(centre, width):
        held = problem.replace(centre=centre, width=width)
        at = theta.at[k].set(problems.free(problem, jnp.where(jnp.arange(problem.size) == k, centre, 0.0))[k])
        end = _solver.minimise(held, at[None], robust=robust, noise=noise, steps=60).theta[0]
        return jnp.sum(problems.misfit(problem, problems.natural(problem, end)) ** 2)

    return jax.vmap(one)(centre, width)
