"""Rare failures by importance sampling: draw chips where they fail, and weigh each draw by how likely it is.

With quantities as standard normal numbers z ~ phi = N(0, I) (`designs.from_normal` maps them to named ones), a proposal

    q(z) = a phi(z) + (1 - a) N(z; mean, covariance),       w = phi(z) / q(z) <= 1 / a

gives p = E_phi[fails] = E_q[w fails] without bias. The share a of nominal draws bounds the weights, so that the
variance is finite whatever the proposal (Hesterberg 1995, doi:10.1080/00401706.1995.10484303).

The proposal comes from pilot draws by the cross-entropy method (Rubinstein and Kroese 2004, chapter 3,
doi:10.1007/978-1-4757-4321-0): at each level the chips in the lowest tenth of the margin, weighted, give mean and
covariance of the next proposal, until a tenth of the pilots fails. Along a direction v the covariance departs from
1 only where its eigenvalue lies above (1 + sqrt(d / ess))^2, the largest that noise in ess samples makes (Marchenko and
Pastur 1967, doi:10.1070/SM1967v001n04ABEH001994): a proposal narrower than the nominal would lose the tail behind it.

This is for a handful of quantities that move the whole chip. What else a chip draws, from its own key, stays nominal,
and limits the gain: of 1e4 draws at p = 1e-5, noise with a fifth of the quantities' effect on the margin leaves an
error of 4 %, half of it 20 %, and as much noise again makes the method useless. `ess` tells: below about 100 the
interval covers less often than it says.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import special, stats

from memjax import noise
from memjax.statistics.summary import metric


class Proposal(NamedTuple):
    """Where chips are drawn, in standard normal numbers."""

    mean: np.ndarray  # [d]
    covariance: np.ndarray  # [d, d]
    nominal: float = 0.1  # share a of draws from the nominal distribution


class Rare(NamedTuple):
    """A failure probability; what `failure_rate` and `importance_sampling` return."""

    estimate: float
    se: float  # its standard error
    low: float
    high: float
    confidence: float
    n: int  # draws of the estimate
    failures: int  # among them
    ess: float  # (sum w)^2 / sum w^2 over the failures: how many equally weighted ones they are worth
    mean_weight: float  # 1 within a few times sd(w) / sqrt(n), or the proposal leaves out what it should cover
    undefined: int  # draws without a finite margin, counted as failures
    pilots: int = 0  # draws that were spent on the proposal
    proposal: Proposal | None = None


def draw(proposal: Proposal, n: int, key: Array) -> tuple[np.ndarray, np.ndarray]:
    """Draw z [n, d] from a proposal, and the logarithm of the weights [n]; row i is drawn from fold_in(key, i)."""
    mean, covariance, a = proposal
    with jax.enable_x64(True):
        z, u = (np.array(x) for x in _rows(n, len(mean), key))
    z = np.where((u < a)[:, None], z, mean + z @ np.linalg.cholesky(covariance).T)
    shifted = stats.multivariate_normal.logpdf(z, mean, covariance)  # pyright: ignore[reportArgumentType]
    log_ratio = np.reshape(shifted, n) - stats.norm.logpdf(z).sum(axis=1)
    with np.errstate(divide="ignore"):  # a = 0 or 1
        return z, -np.logaddexp(np.log(a), np.log1p(-a) + log_ratio)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _rows(n: int, d: int, key: Array) -> tuple[Array, Array]:
    def row(i: Array) -> tuple[Array, Array]:
        one = jax.random.fold_in(key, i)
        return noise.normal(one, (d,), jnp.float64), noise.uniform(noise.fold_in(one, "nominal"), (), jnp.float64)

    return jax.vmap(row)(jnp.arange(n, dtype=jnp.uint32))


def failure_rate(margin: Any, log_weight: Any, *, confidence: float = 0.95) -> Rare:
    """Estimate the probability of margin < 0 from weighted chips: margins [n], logarithms of weights [n].

    p = mean(w fails), with the standard error of that mean, and the interval p exp(+- z se / p): that of the logarithm,
    which stays above 0. Raises ValueError for lengths that differ or no failure.
    """
    y, log_weight = metric(margin), metric(log_weight)
    if y.shape != log_weight.shape:
        raise ValueError(f"statistics: {y.size} margins and {log_weight.size} weights: accepted is one of each a chip")
    fails = ~np.isfinite(y) | (y < 0)
    if not fails.any():
        raise ValueError(f"statistics: none of {y.size} chips fails: a proposal nearer to failures is needed")
    w = np.exp(log_weight)
    weighted = w * fails
    p, se = float(weighted.mean()), float(weighted.std(ddof=1) / y.size**0.5)
    factor = float(np.exp(special.ndtri(0.5 + 0.5 * confidence) * se / p))
    return Rare(
        *(p, se, p / factor, min(1.0, p * factor), confidence, int(y.size), int(fails.sum())),
        ess=float(weighted.sum() ** 2 / (weighted**2).sum()),
        mean_weight=float(w.mean()),
        undefined=int((~np.isfinite(y)).sum()),
    )


def find_proposal(
    margin: Callable[[np.ndarray, Array], Any],
    d: int,
    key: Array,
    *,
    pilot: int = 1000,
    elite: float = 0.1,
    nominal: float = 0.1,
    levels: int = 8,
) -> tuple[Proposal, int]:
    """Find a proposal by cross-entropy from `pilot` draws a level; returns it and the draws spent.

    margin(z [pilot, d], key) -> [pilot] is negative where the chip fails. One normal stands for all ways to fail: ways
    in opposite directions widen it, ways of which pilots see one alone leave the estimate too low, without a sign.
    Raises ValueError where fewer than the share `elite` of the pilots fails after all levels.
    """
    proposal = Proposal(np.zeros(d), np.eye(d), nominal)
    level = np.inf
    for k in range(levels):
        one = jax.random.fold_in(key, k)
        z, log_weight = draw(proposal, pilot, noise.fold_in(one, "draw"))
        y = metric(margin(z, noise.fold_in(one, "chips")))
        y = np.where(np.isfinite(y), y, -np.inf)
        level = np.sort(y)[max(int(elite * pilot) - 1, 0)]
        chosen = y < 0 if level < 0 else y <= level
        proposal = _fit(z[chosen], log_weight[chosen], nominal)
        if level < 0:
            return proposal, (k + 1) * pilot
    raise ValueError(
        f"statistics: {elite:.0%} of the pilot draws have a margin up to {level:.3g} after {levels} levels, and "
        "failures are below 0: more pilots or levels are needed, or these quantities do not make a chip fail"
    )


def _fit(z: np.ndarray, log_weight: np.ndarray, nominal: float) -> Proposal:
    w = np.exp(log_weight - log_weight.max())
    w /= w.sum()
    mean = w @ z
    values, vectors = np.linalg.eigh((w[:, None] * (z - mean)).T @ (z - mean))
    edge = (1.0 + np.sqrt(z.shape[1] * (w @ w))) ** 2  # 1 / (w @ w): the effective number of samples
    values = np.where(values > edge, values, 1.0)
    return Proposal(mean, (vectors * values) @ vectors.T, nominal)


def importance_sampling(
    margin: Callable[[np.ndarray, Array], Any],
    d: int,
    n: int,
    key: Array,
    *,
    pilot: int | None = None,
    nominal: float = 0.1,
    levels: int = 8,
    confidence: float = 0.95,
) -> Rare:
    """Estimate a rare failure's probability with n draws in all: pilots, n / 10 a level, and the rest for it.

    margin(z [m, d], key) -> [m] is negative where the chip with standard normal quantities z fails; `key` is for what
    else the chips draw. The pilots shape the proposal and do not enter the estimate, so it has no bias.
    Raises ValueError as `find_proposal` does.
    """
    pilot = pilot or max(n // 10, 1)
    levels = min(levels, (n - 1) // pilot)
    proposal, spent = find_proposal(margin, d, noise.fold_in(key, "pilot"), pilot=pilot, nominal=nominal, levels=levels)
    z, log_weight = draw(proposal, n - spent, noise.fold_in(key, "draw"))
    found = failure_rate(margin(z, noise.fold_in(key, "chips")), log_weight, confidence=confidence)
    return found._replace(pilots=spent, proposal=proposal)
