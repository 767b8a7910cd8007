"""Prony series y(t) = sum_k c_k exp(-t / tau_k): a power law or a stretched exponential as relaxation modes, and back.

    series = prony.power_law(0.3, 1e-3, 1e3)                      # (t / 1 s)^-0.3 from 1 ms to 1000 s
    devices.modular.Params(tau=series.tau, c=series.c)            # a device that forgets so
A series is fitted with nonnegative least squares on time constants that are evenly spaced in the logarithm, to the
relative error; its largest relative error over the range, at times between those of the fit, is stated with it.  With
4 modes a decade t^-0.3 is met within 1e-7; a stretched exponential needs more the nearer b is to 1: for 1e-7 up to ten
of its time constants 4 suffice at b = 0.5, 8 at 0.8, 12 at 0.9, and b = 1 is one mode.  Runs on the host, in float64.
Background: completely monotone memories (power law, stretched exponential with 0 < b <= 1) are integrals of decaying
exponentials with nonnegative weights, of which a Prony series is the sum (Bernstein's theorem); c_k >= 0 keeps that.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize

POINTS_PER_DECADE = 25  # of the times that a fit looks at
NOTHING = 1e-12  # a mode that is nowhere a larger share of y is rounding


class Series(NamedTuple):
    """A Prony series: time constants [s], ascending, weights, and the largest relative error of the fit."""

    tau: tuple[float, ...]
    c: tuple[float, ...]
    error: float


class PowerLaw(NamedTuple):
    """y = amplitude t^-a, and the largest relative error of the fit."""

    amplitude: float  # y at 1 s
    a: float
    error: float


class StretchedExponential(NamedTuple):
    """y = amplitude exp(-(t / tau)^b), and the largest relative error of the fit."""

    amplitude: float
    tau: float  # s
    b: float
    error: float


def evaluate(series: Series, t) -> np.ndarray:
    """Return y [...] at the times t [...] [s]."""
    t = np.asarray(t, dtype=float)
    return np.exp(-t[..., None] / np.asarray(series.tau)) @ np.asarray(series.c)


def effective_exponent(series: Series, t) -> np.ndarray:
    """Return a(t) = -d ln y / d ln t [...] at the times t [...] [s].

    It is a for a power law, and b (t / tau)^b for a stretched exponential.
    """
    t = np.asarray(t, dtype=float)
    scaled = t[..., None] / np.asarray(series.tau)
    return (scaled * np.exp(-scaled)) @ np.asarray(series.c) / evaluate(series, t)


def fit(t, y, *, modes_per_decade: float = 4.0) -> Series:
    """Fit a series to samples y [n] > 0 at times t [n] [s], ascending and > 0, in the relative least-squares sense.

    The time constants span the times and a decade more on either side, and inf, the part that stays; modes without
    weight are left out.  error is the largest relative error at the samples.  Raises ValueError for samples that do not
    fit these rules.
    """
    t, y = np.asarray(t, dtype=float), np.asarray(y, dtype=float)
    if t.ndim != 1 or t.shape != y.shape or t.size < 2:
        raise ValueError(f"t has shape {t.shape} and y {y.shape}: accepted are two of the same shape [n], n >= 2")
    if not (t[0] > 0 and (np.diff(t) > 0).all()):
        raise ValueError("t: accepted are times above 0 s in ascending order")
    if not (np.isfinite(y).all() and (y > 0).all()):
        raise ValueError("y: accepted are finite values above 0")
    if not modes_per_decade > 0:
        raise ValueError(f"modes_per_decade = {modes_per_decade}: accepted is more than 0")
    first, last = np.log10(t[0]) - 1, np.log10(t[-1]) + 1
    tau = np.append(np.logspace(first, last, max(2, round((last - first) * modes_per_decade) + 1)), np.inf)
    modes = np.exp(-t[:, None] / tau) / y[:, None]
    scale = np.linalg.norm(modes, axis=0)  # modes that have died before t[0] are columns near zero
    used = scale > 0
    c = optimize.nnls(modes[:, used] / scale[used], np.ones_like(t), maxiter=100 * tau.size)[0] / scale[used]
    seen = (modes[:, used] * c).max(axis=0) > NOTHING
    tau, c = tau[used][seen], c[seen]
    series = Series(tuple(tau.tolist()), tuple(c.tolist()), 0.0)
    return series._replace(error=_error(evaluate(series, t), y))


def power_law(a: float, t_min: float, t_max: float, *, amplitude: float = 1.0, modes_per_decade: float = 4.0) -> Series:
    """Return the series of amplitude t^-a (t in s) on [t_min, t_max] [s].

    Raises ValueError for a <= 0, amplitude <= 0, or a range that is not 0 < t_min < t_max.
    """
    _accept("a", a, a > 0, "more than 0")
    return _sampled(lambda t: t**-a, t_min, t_max, amplitude, modes_per_decade)


def stretched_exponential(
    tau: float, b: float, t_min: float, t_max: float, *, amplitude: float = 1.0, modes_per_decade: float = 4.0
) -> Series:
    """Return the series of amplitude exp(-(t / tau)^b) on [t_min, t_max] [s].

    Raises ValueError for tau <= 0, b outside (0, 1] (no sum of decays is steeper), amplitude <= 0, or a range that is
    not 0 < t_min < t_max.
    """
    _accept("tau", tau, tau > 0, "more than 0 s")
    _accept("b", b, 0 < b <= 1, "more than 0, at most 1")
    if b == 1:
        _accept("amplitude", amplitude, amplitude > 0, "more than 0")
        return Series((float(tau),), (float(amplitude),), 0.0)
    return _sampled(lambda t: np.exp(-((t / tau) ** b)), t_min, t_max, amplitude, modes_per_decade)


def to_power_law(series: Series, t_min: float, t_max: float) -> PowerLaw:
    """Fit amplitude t^-a (t in s) to a series on [t_min, t_max] [s], by least squares of the logarithm."""
    t = _times(t_min, t_max)
    y = evaluate(series, t)
    slope, offset = np.polyfit(np.log(t), np.log(y), 1)
    return PowerLaw(float(np.exp(offset)), float(-slope), _error(np.exp(offset) * t**slope, y))


def to_stretched_exponential(series: Series, t_min: float, t_max: float) -> StretchedExponential:
    """Fit amplitude exp(-(t / tau)^b) to a series on [t_min, t_max] [s], by least squares of the logarithm."""
    t = _times(t_min, t_max)
    y = evaluate(series, t)

    def model(theta):
        log_amplitude, log_tau, log_b = theta
        return log_amplitude - np.exp(np.exp(log_b) * (np.log(t) - log_tau))

    start = (np.log(y[0]), np.log(t_min * t_max) / 2, np.log(0.5))
    best = optimize.least_squares(lambda theta: model(theta) - np.log(y), start, xtol=1e-12, ftol=1e-12, gtol=1e-12)
    amplitude, tau, b = np.exp(best.x).tolist()
    return StretchedExponential(amplitude, tau, b, _error(np.exp(model(best.x)), y))


def _sampled(law, t_min: float, t_max: float, amplitude: float, modes_per_decade: float) -> Series:
    _accept("amplitude", amplitude, amplitude > 0, "more than 0")
    t = _times(t_min, t_max)
    if not amplitude * law(t[-1]) > 0:
        raise ValueError(f"t_max = {t_max}: the law has died out there, accepted is an earlier time")
    series = fit(t, amplitude * law(t), modes_per_decade=modes_per_decade)
    between = _times(t_min, t_max, 7 * POINTS_PER_DECADE)
    return series._replace(error=_error(evaluate(series, between), amplitude * law(between)))


def _times(t_min: float, t_max: float, per_decade: int = POINTS_PER_DECADE) -> np.ndarray:
    if not 0 < t_min < t_max < np.inf:
        raise ValueError(f"t_min = {t_min}, t_max = {t_max}: accepted is 0 < t_min < t_max, in s")
    return np.geomspace(t_min, t_max, max(50, int(np.log10(t_max / t_min) * per_decade)))


def _accept(name: str, value: float, ok: bool, accepted: str) -> None:
    if not ok:
        raise ValueError(f"{name} = {value}: accepted is {accepted}")


def _error(fitted: np.ndarray, y: np.ndarray) -> float:
    return float(np.abs(fitted / y - 1).max())
