"""Cheap, reproducible random draws for hot loops: a counter-based generator on (key, index).

A threefry normal per device and step costs ten to eighty times the device physics on a CPU. Here word `i` of a draw is

    bits_i = mix(mix(i * 0x9E3779B9 + k0 + s) ^ k1 ^ s),      mix = Wellons' 32-bit finaliser "lowbias32",

with (k0, k1) the two words of a `jax.random.key` and s a multiple of the salt. Keys still come from `jax.random`
(split, fold_in), so one chip is reproducible from one key, whatever the batch size; only the elementwise draws below
are cheaper. Two keys whose first words lie close walk over the same counters, but the second word is mixed in between
the two rounds, so their streams differ. Not for cryptography, nor for draws of more than 2**32 words.
"""

import math
import zlib

import jax
import jax.numpy as jnp
from jax import Array

_GOLDEN = 0x9E3779B9
_SALT = 0x85EBCA6B
# Highest power first. Inverse normal: see `normal`. Logarithm: log(1 + m) / m over sqrt(1/2) - 1 <= m <= sqrt(2) - 1.
_INVERSE_NORMAL = (
    *(0.00631385548, -0.0125121045, -0.0205083388, 0.0754211042),
    *(-0.0659738178, -0.0425351071, 1.70533475, 3.06353682),
)
_LOG = (0.118274399, -0.1890197, 0.206046805, -0.248813406, 0.333032979, -0.500019651, 1.00000325)


def _mix(x: Array) -> Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def bits(key: Array, shape: tuple[int, ...], salt: int = 0) -> Array:
    """Draw uniform 32-bit words [shape] from a typed key.

    `salt` (a Python integer) names a further independent stream of the same key. Raises ValueError for more than 2**32
    words, or for anything else than one typed key.
    """
    size = math.prod(shape)
    if size > 2**32:
        raise ValueError(
            f"noise: a draw holds at most 2**32 words, got shape {shape} ({size} words); split the key first"
        )
    words = _words(key)
    offset = jnp.uint32(salt * _SALT % 2**32)
    index = jax.lax.iota(jnp.uint32, size).reshape(shape)
    return _mix(_mix(index * jnp.uint32(_GOLDEN) + (words[0] + offset)) ^ (words[-1] ^ offset))


def _words(key: Array) -> Array:
    """Return the words of one typed key [2]."""
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key) or key.ndim:
        raise ValueError(
            f"noise: key of type {key.dtype} and shape {key.shape}: accepted is one typed key, as jax.random.key(0)"
        )
    return jax.random.key_data(key).astype(jnp.uint32)


def fold_in(key: Array, data: int | str | Array) -> Array:
    """Derive the key of a purpose (a name or a number): `jax.random.fold_in` without threefry's loop, for hot loops.

    word'_i = mix(mix(word_i + data * 0x9E3779B9) ^ (sum of the other words + i)). A name stands for its CRC-32.
    """
    if isinstance(data, str):
        data = zlib.crc32(data.encode())
    words = _words(key)
    n = words.shape[-1]
    others = jnp.sum(words, dtype=jnp.uint32) - words + jnp.arange(n, dtype=jnp.uint32)
    mixed = _mix(_mix(words + jnp.asarray(data, jnp.uint32) * jnp.uint32(_GOLDEN)) ^ others)
    return jax.random.wrap_key_data(mixed, impl=jax.random.key_impl(key))


def uniform(key: Array, shape: tuple[int, ...] = (), dtype=None, salt: int = 0) -> Array:
    """Draw uniform numbers [shape] in the open interval (0, 1): odd multiples of 2**-24 (float32) or 2**-53 (float64).

    dtype None, or any narrower type, is float32, whether or not 64-bit types are enabled.
    """
    dtype = jnp.dtype(dtype or jnp.float32)
    # Half a grid step off zero, so that log and inverse normal of a draw are finite; one bit less than the significand
    # holds, or the highest draw would round to 1.
    if dtype.itemsize < 8:
        return ((bits(key, shape, salt) >> 9).astype(jnp.float32) + 0.5) * jnp.float32(2.0**-23)
    high, low = bits(key, shape, 2 * salt), bits(key, shape, 2 * salt + 1)
    return ((high >> 6).astype(dtype) * 2.0**26 + (low >> 6).astype(dtype) + 0.5) * 2.0**-52


def normal(key: Array, shape: tuple[int, ...] = (), dtype=None, salt: int = 0) -> Array:
    """Draw standard normal numbers [shape] by the inverse distribution function (|z| < 5.3 in float32, 8.2 in float64).

    In float32 the inverse is z = (2u - 1) P(s), s = sqrt(3 - log(4 u (1 - u))), with P our own minimax fit of degree 7,
    within 3.3e-5 z of the exact one everywhere: half the time of erf_inv, and an error that 1e9 draws would not show in
    a moment.
    """
    u = uniform(key, shape, dtype, salt)
    if u.dtype.itemsize == 8:
        return math.sqrt(2.0) * jax.lax.erf_inv(2.0 * u - 1.0)
    s = jnp.sqrt(3.0 - _log(4.0 * u * (1.0 - u))) - 2.9
    z = jnp.full_like(s, _INVERSE_NORMAL[0])
    for coefficient in _INVERSE_NORMAL[1:]:
        z = z * s + coefficient
    return (2.0 * u - 1.0) * z


def _log(x: Array) -> Array:
    """Natural logarithm of normal float32 numbers x > 0, within 1e-6, with no branch for zero, inf and subnormals."""
    # Relative to the bits of sqrt(1/2), so that the mantissa 1 + m is in [sqrt(1/2), sqrt(2)).
    shifted = jax.lax.bitcast_convert_type(x, jnp.int32) - 0x3F3504F3
    m = jax.lax.bitcast_convert_type((shifted & 0x7FFFFF) + 0x3F3504F3, jnp.float32) - 1.0
    series = jnp.full_like(m, _LOG[0])
    for coefficient in _LOG[1:]:
        series = series * m + coefficient
    return (shifted >> 23).astype(jnp.float32) * math.log(2.0) + m * series
