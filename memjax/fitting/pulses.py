"""Pulse trains as a problem: the mean response of a pulsed device to trains of potentiating and depressing pulses.

Each pulse is one `step` of the model at its write voltage, so the fit goes through the model itself and not through a
curve that looks like it.  The data are normalised to their own range, G = low + (high - low) (conductance at 1 V).
Every direction has its own initial state.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from memjax import devices
from memjax.fitting import problem as problems
from memjax.fitting.data import Pulses
from memjax.fitting.problem import Problem, Range


class Frame(NamedTuple):
    """What the data are counted in: their lowest value and their range."""

    low: float
    span: float


# g_min and g_max in units of the data's range, above its low end; steps as fractions of the device's own range.
MODELS: dict[str, dict[str, Range]] = {
    "soft_bounds": {},
    "exponential": {"beta_up": Range(0.0, 30.0, log=False), "beta_down": Range(0.0, 30.0, log=False)},
    # Below 1 the slope is infinite at the bound; 0, a linear device, can be held: hold={"p_up": 0}.
    "power_law": {"p_up": Range(1.0, 8.0, log=False), "p_down": Range(1.0, 8.0, log=False)},
}
COMMON = {
    "g_min": Range(-2.0, 0.9, "S", log=False),
    "g_max": Range(0.1, 3.0, "S", log=False),
    "step_up": Range(1e-6, 1.0),
    "step_down": Range(1e-6, 1.0),
}
SIDES = ("up", "down")


def frame(data: Sequence[Pulses]) -> Frame:
    """Return the range of all the data."""
    low, high = min(float(np.nanmin(d.g)) for d in data), max(float(np.nanmax(d.g)) for d in data)
    return Frame(low, high - low)


def problem(
    device: str,
    data: Sequence[Pulses],
    *,
    hold: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Problem:
    """State the fit of a pulsed model to the mean response; every ramp counts, ramps of one direction start alike.

    Parameters g_min and g_max are in units of the data's range here (`in_si` brings them back).  Raises ValueError for
    a model that is not fitted to pulses, and for parameters that it does not have.
    """
    if device not in MODELS:
        raise ValueError(f"device {device!r} is not fitted to pulse trains: accepted are {', '.join(MODELS)}")
    up = np.concatenate([d.up for d in data])
    sides = tuple(s for s, there in zip(SIDES, (up.any(), (~up).any()), strict=True) if there)
    ranges = {**COMMON, **MODELS[device]}
    ranges = {n: r for n, r in ranges.items() if not n.endswith(("_up", "_down")) or n.rsplit("_", 1)[1] in sides}
    held = dict(hold or {})
    for name in [*held, *(bounds or {})]:
        if name not in ranges:
            raise ValueError(f"parameter {name!r}: fitted to pulses are {', '.join(ranges)}")
    scale = frame(data)
    if all(d.unit == "S" for d in data):  # no conductance below 0 S
        ranges["g_min"] = ranges["g_min"]._replace(lo=max(ranges["g_min"].lo, -scale.low / scale.span))
    for name, (lo, hi) in (bounds or {}).items():
        ranges[name] = ranges[name]._replace(lo=lo, hi=hi)
    ranges = {n: r for n, r in ranges.items() if n not in held}
    own = tuple(ranges)
    ranges |= {f"x0_{side}": Range(0.0, 1.0, log=False) for side in sides}
    length = max(d.g.shape[1] for d in data)
    g = np.concatenate([np.pad(d.g, ((0, 0), (0, length - d.g.shape[1])), constant_values=np.nan) for d in data])
    seen = ~np.isnan(g)
    y = np.where(seen, (np.nan_to_num(g) - scale.low) / scale.span, 0.0)
    inputs = {"up": up, "held": held}
    predict = _predictor(device, own, sides, length)
    return problems.create(ranges, predict, inputs, y.ravel(), seen.ravel().astype(float))


@cache
def _predictor(device: str, own: tuple[str, ...], sides: tuple[str, ...], length: int):
    model = devices.get(device)

    def train(params, x0, sign):
        def pulse(state, _):
            state = model.step(params, state, sign * params.v_write, 1.0, None)
            return state, model.current(params, state, 1.0)

        return lax.scan(pulse, model.init(params, x0), None, length=length)[1]

    def predict(values, inputs):
        params = model.Params(**{**inputs["held"], **{name: values[name] for name in own}})
        curves = [train(params, values[f"x0_{side}"], {"up": 1.0, "down": -1.0}[side]) for side in sides]
        if len(curves) == 1:
            return jnp.broadcast_to(curves[0], (inputs["up"].shape[0], length)).reshape(-1)
        return jnp.where(inputs["up"][:, None], curves[0][None], curves[1][None]).reshape(-1)

    return predict


def in_si(values: Mapping[str, float], scale: Frame) -> dict[str, float]:
    """Bring g_min and g_max from the data's range to the data's unit."""
    return {n: scale.low + scale.span * x if n in ("g_min", "g_max") else x for n, x in values.items()}
