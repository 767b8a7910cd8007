"""Device-to-device (D2D) spread: samplers over Params, drawn once per chip.

Every draw is keyed by the field's name, so adding a spread field never reshuffles the others, and a chip is
reproducible from its key. Cycle-to-cycle noise is drawn at every write (`devices.with_c2c_noise`), read noise at every
read (`crossbar.read`); the three never mix.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.core import Tracer
from jax.lax import erf_inv
from jax.scipy.special import erf

from memjax import noise
from memjax.variation._field import correlated_field
from memjax.variation._keys import named_key

DISTRIBUTIONS = ("lognormal", "normal", "truncated")
CUT = 2.0  # of the truncated normal, in standard deviations of the normal that is cut
_CUT_SHARE = 0.9544997361036416  # erf(CUT / sqrt 2), of the normal inside
_CUT_SD = 0.8796256610342398  # sd of what is left, sqrt(1 - 2 CUT phi(CUT) / _CUT_SHARE)


@struct.dataclass
class Spread:
    """D2D spread of one field of Params: standard deviation sigma, relative to the nominal value, and its distribution.

    lognormal  value = nominal exp(s xi - s^2 / 2), s^2 = log(1 + sigma^2): mean nominal and sd sigma nominal, exactly
    normal     value = nominal max(1 + sigma xi, 0.01), so that a sign never flips; for sigma <= 0.3 fewer than 5e-4 of
               the devices meet the clip
    truncated  value = nominal (1 + sigma t), t a normal cut at +-2 of its own sd and widened to sd 1, so that mean and
               sd are exact and |value / nominal - 1| <= 2.27 sigma: what a fab that discards outliers delivers

    xi is standard normal, and made of three independent parts (a Gaussian copula, so that the distribution of a value
    is the same whatever they are):

        xi = sqrt(die) z + sqrt(patch) f + sqrt(1 - die - patch) w

    z is one number a chip (die to die), f a field over word and bit lines with correlation length `length` [devices]
    and the stated covariance (`correlated_field`), w white. die and patch are their shares of the variance. Devices of
    one crossing, the two of a pair, share f. Within a chip the sd of xi is sqrt(1 - die).
    """

    sigma: Any
    distribution: str = struct.field(pytree_node=False, default="lognormal")
    die: Any = 0.0
    patch: Any = 0.0
    length: Any = 0.0
    covariance: str = struct.field(pytree_node=False, default="exponential")


def sample_params(
    params: Any, spread: Mapping[str, Spread | float], shape: tuple[int, ...], key: Array, die: Array | None = None
) -> Any:
    """Draw one chip's Params: each field named in `spread` becomes an array [shape], the others stay as they are.

    A plain number in `spread` is the sigma of a lognormal. die: the key of what all arrays of the chip have in common
    (`Spread.die`); None: key. Raises ValueError for a field that Params does not have, a negative sigma, an unknown
    distribution, or shares of the variance that add up to more than 1.

    Fields are drawn each for itself: a wide spread may bring two of a device into an order that its model refuses, as
    g_max below g_min, which inverts it. `crossbar.create` and the device's `check` see that in concrete values, and not
    under jit.
    """
    fields = [
        f
        for f, value in vars(params).items()
        if jnp.ndim(value) == 0 or jnp.issubdtype(jnp.result_type(value), jnp.floating)
    ]
    drawn = {}
    for name, given in spread.items():
        given = given if isinstance(given, Spread) else Spread(given)
        if name not in fields:
            raise ValueError(
                f"variation: {type(params).__qualname__} has no field {name!r}; accepted are {', '.join(fields)}"
            )
        common = None if die is None else named_key(die, name)
        drawn[name] = getattr(params, name) * factor(given, shape, named_key(key, name), name, common)
    return params.replace(**drawn)


def factor(spread: Spread, shape: tuple[int, ...], key: Array, name: str = "sigma", die: Array | None = None) -> Array:
    """Draw the relative factors [shape] of a spread (mean 1, standard deviation sigma); name: for messages."""
    sigma, distribution = spread.sigma, spread.distribution
    if distribution not in DISTRIBUTIONS:
        raise ValueError(
            f"variation: distribution of {name} = {distribution!r}: accepted is one of {', '.join(DISTRIBUTIONS)}"
        )
    if not isinstance(sigma, Tracer) and not sigma >= 0:
        raise ValueError(f"variation: sigma of {name} = {sigma}: accepted is 0 or more, relative to the nominal value")
    if distribution == "truncated" and not isinstance(sigma, Tracer) and not sigma < _CUT_SD / CUT:
        raise ValueError(
            f"variation: sigma of {name} = {sigma}: accepted is less than {_CUT_SD / CUT:.3g} for a truncated normal, "
            "or values would change their sign"
        )
    xi = deviate(spread, shape, key, name, die)
    if distribution == "normal":
        return jnp.maximum(1.0 + sigma * xi, 0.01)
    if distribution == "truncated":
        t = 2**0.5 / _CUT_SD * erf_inv(_CUT_SHARE * erf(xi / 2**0.5))
        return 1.0 + sigma * t
    # The root has no slope at 0, s has: it is sigma there.
    some = jnp.asarray(sigma) > 0
    s = jnp.where(some, jnp.sqrt(jnp.log1p(jnp.square(jnp.where(some, sigma, 1.0)))), sigma)
    return jnp.exp(s * xi - 0.5 * s * s)


def deviate(spread: Spread, shape: tuple[int, ...], key: Array, name: str = "sigma", die: Array | None = None) -> Array:
    """Draw the standard normal deviates xi [shape] of a spread, with what they have in common (`Spread`).

    die: the key of the chip's own part; None: key. Raises ValueError for shares that are negative or too large.
    """
    shares = spread.die, spread.patch
    if not any(isinstance(s, Tracer) for s in shares):
        if not (min(shares) >= 0 and sum(shares) <= 1):
            raise ValueError(
                f"variation: shares of the variance of {name}, die = {spread.die} and patch = {spread.patch}: accepted "
                "are shares of at least 0 that add up to at most 1"
            )
        if not any(shares):
            return noise.normal(key, shape, jnp.result_type(float))
    if not isinstance(spread.length, Tracer) and not spread.length >= 0:
        raise ValueError(f"variation: length of {name} = {spread.length}: accepted is 0 devices or more")
    dtype = jnp.result_type(float)
    # White noise has the key that it has alone, so that a share of 0 changes no draw.
    xi = jnp.sqrt(jnp.maximum(1.0 - spread.die - spread.patch, 0.0)) * noise.normal(key, shape, dtype)
    if isinstance(spread.patch, Tracer) or spread.patch:
        patch = correlated_field(shape, spread.length, named_key(key, "patch"), spread.covariance, dtype)
        xi = xi + jnp.sqrt(spread.patch) * patch.reshape((1,) * (len(shape) - 2) + patch.shape)
    common = noise.normal(named_key(key if die is None else die, "die"), (), dtype)
    return xi + jnp.sqrt(spread.die) * common
