"""STDP windows as a problem: the exponential window of pair-based STDP.

    dg = a_plus exp(-dt / tau_plus)  for dt > 0,     dg = -a_minus exp(dt / tau_minus)  for dt < 0
dt = t_post - t_pre.  The parameters are those of the rules `stdp` and `stdp_nearest`.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from memjax.fitting import problem as problems
from memjax.fitting.data import Window
from memjax.fitting.problem import Problem, Range


def problem(data: Sequence[Window], *, bounds: Mapping[str, tuple[float, float]] | None = None) -> Problem:
    """State the fit of the window; only the sides that the data have.  Raises ValueError for unknown parameters."""
    dt, dg = np.concatenate([d.dt for d in data]), np.concatenate([d.dg for d in data])
    peak, longest = float(np.abs(dg).max()), float(np.abs(dt).max())
    shortest = float(np.abs(dt[dt != 0]).min())
    ranges = {}
    for side, there in (("plus", (dt > 0).sum() >= 2), ("minus", (dt < 0).sum() >= 2)):
        if there:
            ranges[f"a_{side}"] = Range(-10 * peak, 10 * peak, "1", log=False)
            ranges[f"tau_{side}"] = Range(shortest / 10, longest * 10, "s")
    for name, (lo, hi) in (bounds or {}).items():
        if name not in ranges:
            raise ValueError(f"bounds of {name!r}: the fitted parameters are {', '.join(ranges)}")
        ranges[name] = ranges[name]._replace(lo=lo, hi=hi)
    sides = {side for side in ("plus", "minus") if f"a_{side}" in ranges}
    seen = ((dt > 0) & ("plus" in sides)) | ((dt < 0) & ("minus" in sides))
    return problems.create(ranges, window, {"dt": dt, "peak": peak}, dg / peak, seen.astype(float))


def window(values, inputs):
    """Return the change at every timing, of the data's peak; 0 where dt is 0 or a side was not fitted."""
    dt, zero = inputs["dt"], jnp.zeros(())
    plus = values.get("a_plus", zero) * jnp.exp(-jnp.abs(dt) / values.get("tau_plus", 1.0))
    minus = values.get("a_minus", zero) * jnp.exp(-jnp.abs(dt) / values.get("tau_minus", 1.0))
    return jnp.where(dt > 0, plus, jnp.where(dt < 0, -minus, 0.0)) / inputs["peak"]
