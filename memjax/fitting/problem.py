"""A fit as a problem of least squares: parameters in boxes, a prediction, the data, and priors where there are any.

    phi = lo + (hi - lo) / (1 + exp(-theta)),     value = exp(phi) for parameters on a logarithmic scale, else phi
theta is what the solver moves: free of bounds, so that no step leaves the box and every derivative exists.  phi is the
natural scale, on which uncertainties are stated: an error of phi is a relative error of a rate or a resistance, an
absolute one of a voltage.  Data and prediction are in units of the data's peak, which makes 0.01 an error of 1 %.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

RIDGE = 1e-3  # on theta, in units of the data's peak: keeps the logistic function from saturating where no data pull


class Range(NamedTuple):
    """The box of a parameter: its ends, its unit, and whether it lives on a logarithmic scale."""

    lo: float
    hi: float
    unit: str = "1"
    log: bool = True


@struct.dataclass
class Problem:
    """Parameters [P] in boxes, a prediction of data [N], and what is known beforehand."""

    log: Any  # [P] bool
    lo: Any  # [P] phi at theta = -inf
    hi: Any  # [P] phi at theta = +inf
    inputs: Any  # of the prediction, any pytree of arrays
    data: Any  # [N], of the peak
    weights: Any  # [N] 1 counts, 0 is held out or filled up
    centre: Any  # [P] phi, of the prior
    width: Any  # [P] phi, of the prior: inf where there is none
    names: tuple[str, ...] = struct.field(pytree_node=False)
    units: tuple[str, ...] = struct.field(pytree_node=False)
    predict: Callable = struct.field(pytree_node=False)  # (values {name: []}, inputs) -> [N], of the peak

    @property
    def size(self) -> int:
        return len(self.names)


def create(
    ranges: Mapping[str, Range],
    predict: Callable,
    inputs: Any,
    data,
    weights=None,
    priors: Mapping[str, tuple[float, float]] | None = None,
) -> Problem:
    """Make a Problem; priors: {name: (centre, sd)}, the sd on the natural scale: relative for a logarithm.

    Raises ValueError for a box that is empty or, on a logarithmic scale, reaches zero.
    """
    for name, r in ranges.items():
        if not r.lo < r.hi or (r.log and r.lo <= 0):
            scale = "a logarithmic scale, above 0" if r.log else "a linear scale"
            raise ValueError(f"bounds of {name} = ({r.lo}, {r.hi}): accepted are two rising numbers on {scale}")
    log = np.array([r.log for r in ranges.values()])
    ends = np.array([(r.lo, r.hi) for r in ranges.values()], float)
    ends = np.where(log[:, None], np.log(np.where(log[:, None], ends, 1.0)), ends)
    centre, width = ends.mean(1), np.full(len(log), np.inf)
    for k, name in enumerate(ranges):
        if priors and name in priors:
            middle, width[k] = priors[name]
            centre[k] = np.log(middle) if log[k] else middle
    data = np.asarray(data, float)
    return Problem(
        log=log,
        lo=ends[:, 0],
        hi=ends[:, 1],
        inputs=inputs,
        data=data,
        weights=np.ones(len(data)) if weights is None else np.asarray(weights, float),
        centre=centre,
        width=width,
        names=tuple(ranges),
        units=tuple(r.unit for r in ranges.values()),
        predict=predict,
    )


def natural(problem: Problem, theta) -> Array:
    """Return phi [..., P] of theta [..., P]."""
    lo, hi = (jnp.broadcast_to(end, jnp.shape(theta)) for end in (problem.lo, problem.hi))
    return lo + (hi - lo) * jax.nn.sigmoid(theta)


def free(problem: Problem, phi) -> Array:
    """Return theta [..., P] of phi [..., P], held a billionth of the box away from its ends: `natural` turned round."""
    lo, hi = (jnp.broadcast_to(end, jnp.shape(phi)) for end in (problem.lo, problem.hi))
    share = jnp.clip((phi - lo) / (hi - lo), 1e-9, 1 - 1e-9)
    return jnp.log(share) - jnp.log1p(-share)


def values(problem: Problem, phi) -> dict[str, Array]:
    """Return the parameters by name, in SI units, of phi [..., P]."""
    log = jnp.broadcast_to(problem.log, jnp.shape(phi))
    plain = jnp.where(log, jnp.exp(jnp.where(log, phi, 0.0)), phi)
    return {name: plain[..., k] for k, name in enumerate(problem.names)}


def phi_of(problem: Problem, given: Mapping[str, Any]) -> np.ndarray:
    """Return phi [P] of parameters by name."""
    plain = np.array([given[name] for name in problem.names], float)
    return np.where(problem.log, np.log(np.where(problem.log, plain, 1.0)), plain)


def misfit(problem: Problem, phi) -> Array:
    """Return prediction minus data [N], of the peak; 10 where a prediction is no number: a search turns back there."""
    error = problem.weights * (problem.predict(values(problem, phi), problem.inputs) - problem.data)
    return jnp.where(jnp.isfinite(error), error, 10.0)


def residuals(problem: Problem, theta, robust: float | None = None, noise=0.06) -> Array:
    """Return what a least-squares solver minimises [N + 2 P]: misfit, prior and a ridge.

    robust: size (of the peak) above which a misfit counts linearly: the pseudo-Huber loss 2 d^2 (sqrt(1 + r^2/d^2) - 1)
    as the square of r sqrt(2 / (1 + sqrt(1 + r^2/d^2))), smooth at r = 0.  noise: sd of the data, of the peak: it
    weighs the prior against them.  Residuals of a model's misfit hang together (rho about 0.95 from point to point), so
    that 1 % of the peak in N points tells no more than 6 % would in N independent ones.
    """
    phi = natural(problem, theta)
    error = misfit(problem, phi)
    if robust is not None:
        error = error * jnp.sqrt(2 / (1 + jnp.sqrt(1 + (error / robust) ** 2)))
    return jnp.concatenate([error, noise * (phi - problem.centre) / problem.width, RIDGE * theta])
