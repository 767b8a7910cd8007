"""Many fits of one model, of several devices and several cycles each: what devices differ in, and what cycles do.

    phi_hat[d, c] = mean + b[d] + e[d, c] + m[d, c],   b ~ N(0, D2D^2),  e ~ N(0, C2C^2),  m ~ N(0, sd[d, c]^2)
for every parameter on its natural scale (a logarithm, or a voltage as it is).  sd is the fit's own Gauss-Newton one: a
cycle that says little about a parameter counts little, and what a fit did not know is not taken for a spread.  This is
the two-stage estimate of a hierarchical model: exact where the likelihood of each fit is normal (`spread.components`).
Source: Davidian and Giltinan, Nonlinear Models for Repeated Measurement Data (1995), chapter 5.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memjax.fitting import problem as problems
from memjax.fitting import spread, uncertainty
from memjax.fitting._fit import Fit
from memjax.fitting.spread import Component


class Population(NamedTuple):
    """One parameter of many devices, with 95 % intervals.

    mean      in SI units; of a parameter on a logarithmic scale the geometric one
    d2d, c2c  standard deviation between devices and between cycles of a device: relative where `log`, else in SI units
    """

    mean: Component
    d2d: Component
    c2c: Component
    log: bool

    @property
    def relative(self) -> float:
        """The device-to-device sd over the mean: a preset's and a sampler's spread (lognormal where `log`)."""
        return float(np.sqrt(np.expm1(self.d2d.value**2)) if self.log else self.d2d.value / abs(self.mean.value))


def population(fits: Sequence[Fit], devices: Sequence) -> dict[str, Population]:
    """Split the parameters of fits [n], of the devices named by `devices` [n], into mean, D2D and C2C.

    Raises ValueError for fits of different models, and where no device was fitted twice or there is only one.
    """
    models = {(fit.device, fit.problem.names) for fit in fits}
    if len(models) != 1 or len(fits) != len(devices):
        names = ", ".join(sorted({fit.device for fit in fits})) or "none"
        raise ValueError(
            f"{len(fits)} fits of {names} for {len(devices)} devices: accepted are fits of one model, with the same "
            "parameters, and the device of each"
        )
    phi, sd = [], []
    with jax.enable_x64(True):
        for fit in fits:
            phi.append(np.asarray(problems.natural(fit.problem, jnp.asarray(fit.theta))))
            sd.append(uncertainty.covariance(fit.problem, phi[-1]).sd)
    found = {}
    for k, (name, log) in enumerate(zip(fits[0].problem.names, np.asarray(fits[0].problem.log), strict=True)):
        one = spread.components(np.array(phi)[:, k], devices, np.array(sd)[:, k])
        mean = Component(*map(float, np.exp(one.mean))) if log else one.mean
        found[name] = Population(mean, one.d2d, one.c2c, bool(log))
    return found
