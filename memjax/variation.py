"""Device-to-device (D2D) spread and stuck devices: samplers over Params, drawn once per chip.

Every draw is keyed by the field's name, so adding a spread field never reshuffles the others, and a chip is
reproducible from its key. Cycle-to-cycle noise is drawn at every write (`devices.with_c2c_noise`), read noise at every
read (`crossbar.read`); the three never mix.
"""

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer

from memjax import noise

DISTRIBUTIONS = ("lognormal", "normal")


class Spread(NamedTuple):
    """D2D spread of one field of Params: standard deviation sigma, relative to the nominal value, and its distribution.

    lognormal  value = nominal exp(s xi - s^2 / 2), s^2 = log(1 + sigma^2): mean nominal and sd sigma nominal, exactly
    normal     value = nominal max(1 + sigma xi, 0.01), so that a sign never flips; for sigma <= 0.3 fewer than 5e-4 of
               the devices meet the clip
    """

    sigma: float
    distribution: str = "lognormal"


def sample_params(params: Any, spread: Mapping[str, Spread | float], shape: tuple[int, ...], key: Array) -> Any:
    """Draw one chip's Params: each field named in `spread` becomes an array [shape], the others stay as they are.

    A plain number in `spread` is the sigma of a lognormal. Raises ValueError for a field that Params does not have, a
    negative sigma or an unknown distribution.
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
        drawn[name] = getattr(params, name) * factor(given, shape, named_key(key, name), name)
    return params.replace(**drawn)


def factor(spread: Spread, shape: tuple[int, ...], key: Array, name: str = "sigma") -> Array:
    """Draw the relative factors [shape] of a spread (mean 1, standard deviation sigma)."""
    sigma, distribution = spread
    if distribution not in DISTRIBUTIONS:
        raise ValueError(
            f"variation: distribution of {name} = {distribution!r}: accepted is one of {', '.join(DISTRIBUTIONS)}"
        )
    if not isinstance(sigma, Tracer) and not sigma >= 0:
        raise ValueError(f"variation: sigma of {name} = {sigma}: accepted is 0 or more, relative to the nominal value")
    xi = noise.normal(key, shape, jnp.result_type(float))
    if distribution == "normal":
        return jnp.maximum(1.0 + sigma * xi, 0.01)
    s = jnp.sqrt(jnp.log1p(jnp.square(sigma)))
    return jnp.exp(s * xi - 0.5 * s * s)


def sample_stuck(shape: tuple[int, ...], on: float | Array, off: float | Array, key: Array) -> Array:
    """Draw stuck devices [shape], int8: 1 stuck on (probability `on`), -1 stuck off (probability `off`), 0 healthy.

    On is the low-resistance state (LRS, x = 1), off the high-resistance state (HRS, x = 0).
    Raises ValueError for probabilities outside [0, 1] or that add up to more than 1.
    """
    if not any(isinstance(p, Tracer) for p in (on, off)) and not (on >= 0 and off >= 0 and on + off <= 1):
        raise ValueError(
            f"variation: stuck on = {on}, stuck off = {off}: accepted are shares of at least 0 that add up to at most 1"
        )
    u = noise.uniform(named_key(key, "stuck"), shape)
    return jnp.where(u < on, 1, jnp.where(u < on + off, -1, 0)).astype(jnp.int8)


def named_key(key: Array, name: str) -> Array:
    """Return the key of a purpose named by a string, independent of every other purpose's."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
