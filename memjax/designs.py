"""Designs: which values of a study's named quantities each of n chips gets.

A design is n points of the unit cube [n, d], mapped to quantities by their inverse distribution functions.

independent      chip i's point is drawn from fold_in(key, i): more chips begin with the same ones, so that a run may
                 stop at any of them
latin_hypercube  every quantity is sampled once in each of n strata of equal probability (McKay, Beckman and Conover
                 1979, doi:10.2307/1268522). The part of a mean that is additive in the quantities loses nearly all its
                 variance (Stein 1987, doi:10.1080/00401706.1987.10488205)
sobol            scrambled Sobol points: the mean of a smooth function has an error of about n^-3/2, where independent
                 draws have n^-1/2 (Owen 1997, doi:10.1214/aos/1031594731; the scrambling is Matousek's 1998,
                 doi:10.1006/jcom.1998.0489). n is a power of 2: with another one, or without the first point, the rate
                 is lost (Owen 2020, arXiv:2008.08051). More points begin with the same ones

Designs spread the few quantities that a study names; what a chip draws from its own key stays independent. They are
made on the host, the same on every process with the same key and version of SciPy: each process takes its rows.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import special, stats

from memjax import noise
from memjax.variation import named_key


class Distribution(Protocol):
    """What a quantity is drawn from: an inverse distribution function. A frozen scipy.stats distribution is one."""

    def ppf(self, u: np.ndarray, /) -> np.ndarray: ...


class Uniform(NamedTuple):
    """Uniform between `low` and `high`."""

    low: float
    high: float

    def ppf(self, u: np.ndarray) -> np.ndarray:
        return self.low + (self.high - self.low) * u

    def check(self, name: str) -> None:
        _require(-np.inf < self.low <= self.high < np.inf, name, self, "finite low <= high")


class Normal(NamedTuple):
    """Normal with a mean and a standard deviation, both in the quantity's unit."""

    mean: float
    sd: float

    def of(self, z: np.ndarray) -> np.ndarray:
        """Map standard normal numbers to the quantity."""
        return self.mean + self.sd * z

    def standard(self, x: float) -> float:
        """Return the standard normal number that `of` maps to x."""
        return (x - self.mean) / self.sd

    def ppf(self, u: np.ndarray) -> np.ndarray:
        return self.of(special.ndtri(u))

    def check(self, name: str) -> None:
        _require(np.isfinite(self.mean) and 0 <= self.sd < np.inf, name, self, "a finite mean and sd >= 0")


class LogNormal(NamedTuple):
    """Lognormal with a mean and a relative standard deviation sigma, as `variation.Spread` has it.

    x = mean exp(s z - s^2 / 2),  s^2 = log(1 + sigma^2)
    """

    mean: float
    sigma: float

    def of(self, z: np.ndarray) -> np.ndarray:
        """Map standard normal numbers to the quantity."""
        s = np.sqrt(np.log1p(self.sigma**2))
        return self.mean * np.exp(s * z - 0.5 * s * s)

    def standard(self, x: float) -> float:
        """Return the standard normal number that `of` maps to x (-inf for x <= 0)."""
        s = np.sqrt(np.log1p(self.sigma**2))
        return (np.log(x / self.mean) + 0.5 * s * s) / s if x > 0 else -np.inf

    def ppf(self, u: np.ndarray) -> np.ndarray:
        return self.of(special.ndtri(u))

    def check(self, name: str) -> None:
        accepted = "a mean above 0 and a finite sigma >= 0"
        _require(0 < self.mean < np.inf and 0 <= self.sigma < np.inf, name, self, accepted)


class Truncated(NamedTuple):
    """A Normal or LogNormal given that it lies between `low` and `high` (drawn so, not clipped to it)."""

    inner: Normal | LogNormal
    low: float = -np.inf
    high: float = np.inf

    def ppf(self, u: np.ndarray) -> np.ndarray:
        a, b = self.inner.standard(self.low), self.inner.standard(self.high)
        return self.inner.of(stats.truncnorm.ppf(u, a, b))

    def check(self, name: str) -> None:
        _require(isinstance(self.inner, Normal | LogNormal), name, self, "a Normal or a LogNormal to truncate")
        self.inner.check(name)
        _require(self.low < self.high and self.inner[1] > 0, name, self, "low < high, and a spread above 0 inside")


def independent(n: int, d: int, key: Array) -> np.ndarray:
    """Draw n independent points [n, d] in the open unit cube; row i is drawn from fold_in(key, i)."""
    key = named_key(key, "independent")
    with jax.enable_x64(True):  # the tails of a distribution need more digits than float32 has near 1
        return np.array(_rows(n, d, key))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _rows(n: int, d: int, key: Array) -> Array:
    rows = jnp.arange(n, dtype=jnp.uint32)
    return jax.vmap(lambda i: noise.uniform(jax.random.fold_in(key, i), (d,), jnp.float64))(rows)


def latin_hypercube(n: int, d: int, key: Array) -> np.ndarray:
    """Draw n points [n, d] of which each coordinate falls once into every interval (k / n, (k + 1) / n)."""
    points = stats.qmc.LatinHypercube(d, rng=_seed(key, "latin_hypercube")).random(n)
    return np.clip(points, 2.0**-54, 1.0 - 2.0**-53)


def sobol(n: int, d: int, key: Array) -> np.ndarray:
    """Draw the first n scrambled Sobol points [n, d].

    Raises ValueError where n is no power of 2.
    """
    if n & (n - 1):
        below = 1 << n.bit_length() - 1
        raise ValueError(f"designs: n = {n} Sobol points: accepted are powers of 2, as {below} and {2 * below}")
    points = stats.qmc.Sobol(d, bits=30, rng=_seed(key, "sobol")).random(n)
    return points + 2.0**-31  # to the middle of a cell of the grid, so that none is 0


KINDS: dict[str, Callable[[int, int, Array], np.ndarray]] = {
    "independent": independent,
    "latin_hypercube": latin_hypercube,
    "sobol": sobol,
}


def points(n: int, d: int, key: Array, kind: str = "independent") -> np.ndarray:
    """Draw the n points [n, d] of a design, float64 in the open unit cube.

    Raises ValueError for an unknown kind, or n or d below 1.
    """
    if kind not in KINDS:
        raise ValueError(f"designs: kind = {kind!r}: accepted is one of {', '.join(KINDS)}")
    if n < 1 or d < 1:
        raise ValueError(f"designs: {n} points in {d} dimensions: accepted is at least 1 of each")
    return KINDS[kind](n, d, key)


def design(
    quantities: Mapping[str, Distribution], n: int, key: Array, kind: str = "independent"
) -> dict[str, np.ndarray]:
    """Draw a design: name -> the values [n] that the n chips get, in JAX's default float type.

    Independent and Latin hypercube columns are drawn by name, so that adding a quantity leaves the others' values as
    they were; Sobol points are one sequence over all of them, best with the most important quantity first.
    Raises ValueError for an unknown kind, n below 1 (sobol: no power of 2), no quantities, or a distribution's own
    parameters.
    """
    check(quantities)
    if kind == "sobol":
        u = points(n, len(quantities), key, kind)
    else:
        u = np.concatenate([points(n, 1, named_key(key, name), kind) for name in quantities], axis=1)
    return values(quantities, u)


def values(quantities: Mapping[str, Distribution], u: np.ndarray) -> dict[str, np.ndarray]:
    """Map points u [n, d] of the unit cube to d named quantities [n], by their inverse distribution functions."""
    dtype = np.dtype(jnp.result_type(float))
    return {name: np.asarray(q.ppf(u[:, k]), dtype) for k, (name, q) in enumerate(quantities.items())}


def from_normal(quantities: Mapping[str, Distribution], z: np.ndarray) -> dict[str, np.ndarray]:
    """Map standard normal numbers z [n, d] to d named quantities [n], for `statistics.importance_sampling`."""
    return values(quantities, special.ndtr(np.asarray(z, np.float64)))


def check(quantities: Mapping[str, Distribution]) -> None:
    """Raise ValueError where there are no quantities, or a distribution's parameters are not accepted."""
    if not quantities:
        raise ValueError("designs: no quantities: accepted is a mapping of at least one name to a distribution")
    for name, quantity in quantities.items():
        if not hasattr(quantity, "ppf"):
            accepted = "Uniform, Normal, LogNormal, Truncated, or any object with an inverse distribution function, ppf"
            raise ValueError(f"designs: {name} = {quantity!r}: accepted are {accepted}")
        if hasattr(quantity, "check"):
            quantity.check(name)  # pyright: ignore[reportAttributeAccessIssue]


def _require(condition: Any, name: str, given: Any, accepted: str) -> None:
    if not condition:
        raise ValueError(f"designs: {name} = {given}: accepted is {accepted}")


def _seed(key: Array, purpose: str) -> int:
    """Return 128 bits for a generator of SciPy's, from a typed key."""
    return int.from_bytes(np.asarray(noise.bits(named_key(key, purpose), (4,)), "<u4").tobytes(), "little")
