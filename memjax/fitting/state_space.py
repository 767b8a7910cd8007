"""Read noise and cycle-to-cycle noise of a pulse train, told apart by maximum likelihood.

    z_{k+1} = phi z_k + w_k,  w ~ N(0, q^2)       what the pulses left behind: C2C noise, q a pulse
    y_k     = z_k + e_k,      e ~ N(0, r^2)       what a read adds: read noise, gone at the next read
y is the data minus the fitted mean response.  Noise of a read shows as steps that go back and forth (their lag-1
correlation tends to -1/2), noise of a write stays.  phi = 1 is a random walk; phi < 1 forgets, as a state near a bound
or a slow fluctuation does.  The likelihood is the Kalman filter's; ramps are independent.
Source: Harvey, Forecasting, Structural Time Series Models and the Kalman Filter (1989), section 3.4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

WIDE = 1e2  # variance of the first state of a walk, in units of the data's variance: nothing is known about it


class Split(NamedTuple):
    """Standard deviations in the data's unit; intervals are 95 %."""

    read: float
    read_interval: tuple[float, float]
    c2c: float  # a pulse
    c2c_interval: tuple[float, float]
    phi: float
    log_likelihood: float
    step: float  # sd of the difference of two reads
    lag1: float  # correlation of two such differences in a row: -1/2 for read noise alone


def split(residuals, *, forget: bool = False) -> Split:
    """Split residuals [K] or [R, K] (nan where a ramp has ended) into read and C2C noise; forget: phi is fitted too.

    Raises ValueError for fewer than 10 points.
    """
    from scipy.optimize import minimize

    y = np.atleast_2d(np.asarray(residuals, float))
    if np.isfinite(y).sum() < 10:
        raise ValueError(f"{np.isfinite(y).sum()} residuals: at least 10 are needed to tell two kinds of noise apart")
    scale = float(np.nanstd(y)) or 1.0
    with jax.enable_x64(True):
        data = jnp.asarray(y / scale)
        start = np.array([np.log(0.5), np.log(0.1), 3.0 if forget else 0.0])[: 2 + forget]
        run = jax.jit(jax.value_and_grad(lambda p: -_log_likelihood(data, p, forget)))
        bend = jax.jit(jax.hessian(lambda p: -_log_likelihood(data, p, forget)))
        found = minimize(
            lambda p: tuple(np.asarray(x, float) for x in run(jnp.asarray(p))),
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(-12, 5), (-12, 5), (-2, 9)][: 2 + forget],
        )
        curvature = np.asarray(bend(jnp.asarray(found.x)))
        sd = np.sqrt(np.abs(np.diag(np.linalg.pinv(curvature))))
    read, c2c = scale * np.exp(found.x[:2])
    ends = [
        (scale * float(np.exp(x - 1.96 * s)), scale * float(np.exp(min(x + 1.96 * s, 9))))
        for x, s in zip(found.x, sd, strict=False)
    ]
    if c2c < 1e-3 * read:  # at the boundary: the upper end by the likelihood ratio, the lower one is 0
        ends[1] = (0.0, scale * _upper(run, found, 1))
    steps = np.diff(y, axis=1)
    pairs = np.isfinite(steps[:, 1:]) & np.isfinite(steps[:, :-1])
    return Split(
        float(read), ends[0], float(c2c), ends[1],
        float(1 / (1 + np.exp(-found.x[2]))) if forget else 1.0,
        float(-found.fun) - float(np.isfinite(y).sum() * np.log(scale)),
        float(np.nanstd(steps)),
        float(np.corrcoef(steps[:, 1:][pairs], steps[:, :-1][pairs])[0, 1]),
    )  # fmt: skip


def _upper(run, found, k: int) -> float:
    """Return where the likelihood has fallen by 1.92 from the optimum, the other parameters kept."""
    at = np.linspace(found.x[k], 2.0, 400)
    for value in at:
        moved = found.x.copy()
        moved[k] = value
        with jax.enable_x64(True):
            if float(run(jnp.asarray(moved))[0]) > found.fun + 1.92:
                return float(np.exp(value))
    return float(np.exp(at[-1]))


def _log_likelihood(y, p, forget: bool):
    r2, q2 = jnp.exp(2 * p[0]), jnp.exp(2 * p[1])
    phi = jax.nn.sigmoid(p[2]) if forget else jnp.ones_like(r2)
    first = q2 / (1 - phi**2) if forget else jnp.full_like(r2, WIDE)

    def one(ramp):
        def read(carry, value):
            mean, variance, total = carry
            there = jnp.isfinite(value)
            error = jnp.where(there, value - mean, 0.0)
            spread = variance + r2
            gain = jnp.where(there, variance / spread, 0.0)
            total = total - jnp.where(there, 0.5 * (jnp.log(2 * jnp.pi * spread) + error**2 / spread), 0.0)
            mean, variance = mean + gain * error, (1 - gain) * variance
            return (phi * mean, phi**2 * variance + q2, total), None

        zero = jnp.zeros_like(r2)
        return lax.scan(read, (zero, first, zero), ramp)[0][2]

    return jnp.sum(jax.vmap(one)(y))
