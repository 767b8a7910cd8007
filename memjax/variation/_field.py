"""Spatially correlated Gaussian fields over an array, by circulant embedding.

The array [rows, cols] is a corner of a torus [2 rows, 2 cols], on which a stationary covariance is diagonal in Fourier
space: field = F^-1 sqrt(lambda) F white, lambda = F c. Two fast Fourier transforms, whatever the correlation length.

    exponential   c(r) = exp(-r / length)
    gaussian      c(r) = exp(-r^2 / (2 length^2))          r: distance in devices

It is exact where lambda >= 0. Where the torus is short of the correlation some lambda are negative; they are set to 0
and the others scaled so that the variance stays 1 exactly. The worst error of c is then, for a length of so many times
the shorter side: exponential 1e-16 (1/6), 1.4e-5 (1/4), .004 (1/2), at most .03 (longer);
gaussian 1e-8 (1/6), 2e-4 (1/4), .06 (1/2), at most .13.
Source: Dietrich and Newsam, SIAM J. Sci. Comput. 18, 1088 (1997), doi:10.1137/S1064827592240555; as a model of
within-die variation: Xiong, Zolotov and He, IEEE T. CAD 26, 619 (2007), doi:10.1109/TCAD.2006.884403.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from memjax import noise

COVARIANCES = ("exponential", "gaussian")


def correlated_field(
    shape: tuple[int, ...], length: Any, key: Array, covariance: str = "exponential", dtype: Any = None
) -> Array:
    """Draw a standard normal field [rows, cols] with correlation length `length` [devices]; 0 is white.

    length is traced. shape may be longer: its last two axes count, and the field is that of all others too.
    dtype None: the default float. Raises ValueError for an unknown covariance, or a shape of fewer than two axes.
    """
    if covariance not in COVARIANCES:
        raise ValueError(f"variation: covariance = {covariance!r}: accepted is one of {', '.join(COVARIANCES)}")
    if len(shape) < 2:
        raise ValueError(f"variation: a correlated field of shape {shape}: accepted are two axes or more (rows, cols)")
    dtype = jnp.result_type(float) if dtype is None else dtype
    torus = 2 * shape[-2], 2 * shape[-1]
    rows, cols = (jnp.minimum(at, n - at) for n in torus for at in (jnp.arange(n, dtype=dtype),))
    r = jnp.hypot(rows[:, None], cols[None, :]) / jnp.maximum(jnp.asarray(length, dtype), 1e-6)
    c = jnp.exp(-r) if covariance == "exponential" else jnp.exp(-0.5 * jnp.square(r))
    power = jnp.maximum(jnp.fft.fft2(c).real, 0.0)
    power = power / jnp.mean(power)
    # The root has no slope where the power was cut, and the draws have none to pass on there.
    kept = power > 0
    amplitude = jnp.where(kept, jnp.sqrt(jnp.where(kept, power, 1.0)), 0.0)
    white = jnp.fft.fft2(noise.normal(key, torus, dtype))
    return jnp.fft.ifft2(white * amplitude.astype(white.dtype)).real[: shape[-2], : shape[-1]]
