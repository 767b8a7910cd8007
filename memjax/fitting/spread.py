"""D2D and C2C apart: a parameter of many devices, each measured over many cycles, and trends over cycles.

    y[d, c] = mean + b[d] + e[d, c] + m[d, c],   b ~ N(0, D2D^2),  e ~ N(0, C2C^2),  m ~ N(0, error[d, c]^2), known
The nested random-effects model, by maximum likelihood (restricted: the mean's own uncertainty is taken out).  Of the
covariance of a device's cycles, diag(v) + D2D^2 1 1', determinant and inverse are closed forms.  Intervals are where
the profile likelihood has fallen by 1.92; a component that the data put at zero has 0 as its lower end.
Source: Searle, Casella and McCulloch, Variance Components (1992), chapters 3 and 6.
"""

from typing import Any, NamedTuple

import numpy as np


class Component(NamedTuple):
    value: float
    low: float
    high: float


class Spread(NamedTuple):
    """Mean, D2D and C2C standard deviation with 95 % intervals, in the unit of the data."""

    mean: Component
    d2d: Component
    c2c: Component


class Trend(NamedTuple):
    """A straight line through y(x) and what scatters about it."""

    slope: Component
    level: float  # at the mean of x
    sd: float  # of the residuals
    correlation: float  # of a residual with the next one


def components(values, device, errors: Any = 0.0) -> Spread:
    """Split values [n] of the devices named by device [n] into mean, D2D and C2C; errors [n] or []: known sd of each.

    Raises ValueError where nothing repeats: fewer than two devices, or no device with two cycles.
    """
    from scipy.optimize import minimize

    y = np.asarray(values, float)
    names, group = np.unique(np.asarray(device), return_inverse=True)
    known = np.broadcast_to(np.asarray(errors, float) ** 2, y.shape)
    most = np.bincount(group, minlength=1).max()
    if len(names) < 2 or most < 2:
        raise ValueError(f"{len(names)} devices, {most} cycles of one at most: at least two of both are needed")
    scale = float(np.std(y)) or 1.0
    z, known = (y - y.mean()) / scale, known / scale**2

    def cost(p):
        """Return minus twice the restricted log-likelihood at log sd p = (D2D, C2C), and the mean and its variance."""
        b, v = np.exp(2 * p[0]), np.exp(2 * p[1]) + known
        s0, s1 = np.bincount(group, 1 / v), np.bincount(group, z / v)
        s2 = np.bincount(group, z**2 / v)
        shrink = 1 + b * s0
        weight, mean = s0 / shrink, s1 / shrink  # of the mean: 1' V^-1 1 and 1' V^-1 z of a device
        middle = mean.sum() / weight.sum()
        square = np.sum(s2 - b * s1**2 / shrink) - middle**2 * weight.sum()
        return np.sum(np.log(v)) + np.sum(np.log(shrink)) + square + np.log(weight.sum()), middle, 1 / weight.sum()

    def best(k=None, at=0.0):
        starts = [(-0.5, -0.5), (-4.0, -0.2), (-0.2, -4.0)]
        if k is None:
            runs = [minimize(lambda p: cost(p)[0], s, method="Nelder-Mead", options={"xatol": 1e-5}) for s in starts]
        else:
            put = (lambda q: (at, q[0])) if k == 0 else (lambda q: (q[0], at))
            runs = [minimize(lambda q: cost(put(q))[0], [s], method="Nelder-Mead") for s in (-0.5, -4.0)]
        return min(runs, key=lambda run: run.fun)

    top = best()
    _, middle, variance = cost(top.x)

    def ends(k):
        def fallen(at):
            return best(k, at).fun - top.fun - 3.84

        return [_cross(fallen, top.x[k], -8.0), _cross(fallen, max(top.x[k], -8.0), 4.0)]

    sds = []
    for k in (0, 1):
        low, high = ends(k)
        value = float(np.exp(top.x[k]))
        if value < 1e-3:  # of the data's sd: the component is not there
            value, low = 0.0, 0.0
        sds.append(Component(scale * value, scale * low, scale * high))
    reach = 1.96 * float(np.sqrt(variance))
    mean = Component(*(float(y.mean() + scale * m) for m in (middle, middle - reach, middle + reach)))
    return Spread(mean, *sds)


def _cross(fallen, start: float, end: float) -> float:
    """Return exp of where `fallen` rises through 0 between start and end; 0 or exp(end) where it does not."""
    from scipy.optimize import brentq

    if fallen(end) <= 0:
        return 0.0 if end < start else float(np.exp(end))
    return float(np.exp(float(brentq(fallen, start, end, xtol=1e-3))))  # type: ignore[arg-type]


def trend(x, y) -> Trend:
    """Fit a straight line to y [n] over x [n]; the slope's interval counts correlated residuals as fewer points.

    Raises ValueError for fewer than five finite points.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    seen = np.isfinite(x) & np.isfinite(y)
    if seen.sum() < 5:
        raise ValueError(f"{seen.sum()} finite points: at least 5 are needed for a trend")
    x, y = x[seen], y[seen]
    far = x - x.mean()
    slope = float(far @ y / (far @ far))
    left = y - y.mean() - slope * far
    sd = float(np.sqrt(left @ left / (len(y) - 2)))
    rho = float(left[1:] @ left[:-1] / (left @ left)) if sd > 0 else 0.0
    wide = np.sqrt((1 + rho) / (1 - rho)) if rho > 2 / np.sqrt(len(y)) else 1.0
    reach = 1.96 * wide * sd / float(np.sqrt(far @ far))
    return Trend(Component(slope, slope - reach, slope + reach), float(y.mean()), sd, rho)
