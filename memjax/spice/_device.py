"""One device as a subcircuit, and a test bench around it."""

from typing import Any

import numpy as np

from memjax.devices import Device
from memjax.devices.base import accept
from memjax.spice.models import Equations, constants, entries, equations, scalar, substitute

# A state that is pushed against its bound is held within this share of its range (see `_held`).
HOLD = 1e-6


def sine(amplitude: float, frequency: float) -> str:
    """Return a sine source, v = amplitude sin(2 pi frequency t): amplitude in V, frequency in Hz."""
    accept("frequency", frequency, frequency > 0, "more than 0 Hz")
    return f"SIN(0 {_number(amplitude)} {_number(frequency)})"


def triangle(amplitude: float, frequency: float, periods: int = 1) -> str:
    """Return a triangle source that starts at 0 V and rises: amplitude in V, frequency in Hz."""
    accept("frequency", frequency, frequency > 0, "more than 0 Hz")
    accept("periods", periods, periods >= 1 and periods == int(periods), "a whole number, 1 or more")
    corners = np.append(0.0, np.arange(2 * periods) / 2 + 0.25)
    heights = np.append(0.0, amplitude * (-1.0) ** np.arange(2 * periods))
    return piecewise(np.append(corners, periods) / frequency, np.append(heights, 0.0))


def piecewise(t, v) -> str:
    """Return a source of straight lines through the points t [T] in s, v [T] in V; raise ValueError unless t rises."""
    t, v = np.asarray(t, float), np.asarray(v, float)
    if t.ndim != 1 or t.shape != v.shape or t.size < 2:
        raise ValueError(f"t has shape {t.shape}, v {v.shape}: accepted are two of the same shape [T], T >= 2")
    if not (np.isfinite(t).all() and np.isfinite(v).all() and (np.diff(t) > 0).all() and t[0] >= 0):
        raise ValueError("t and v: accepted are finite numbers, t from 0 s on and rising")
    pairs = [f"{_number(a)} {_number(b)}" for a, b in zip(t, v, strict=True)]
    # ngspice reads lines of limited length; "+" goes on with the line before.
    return "PWL(" + "\n+ ".join(pairs) + ")"


def subcircuit(device: Device, params: Any = None) -> str:
    """Return a model as an ngspice subcircuit `NAME plus minus`, with a parameter for every field of params.

    Each state is the voltage of an internal node of that name: a capacitor of 1 F, charged by a behavioural source with
    d state / dt, from the subcircuit's parameter `<state>_0` on.  1 V is 1 in the state's unit, and 1 nm for the gap of
    `vcm`.  A bounded state is clipped wherever it is used, and its rate fades to zero within the last 1e-6 of its range
    while it is pushed against the bound.
    A model's noise has no SPICE form: the subcircuit is the model without a key.

    Raises ValueError on a model without a SPICE form, and on params that it refuses or that are not scalars.
    """
    params = _checked(device, params)
    model, values = equations(device, params), constants(device, params)
    start = entries(device.init(params, 0.5))
    nodes = {"v": "v(plus,minus)"} | {name: f"{{{name}}}" for name in values}
    limits = {name: _limits(device, params, name, _scale(model, name)) for name in model.rate}
    for name, limit in limits.items():
        clipped = limit and f"min(max(v({name}),{_number(limit[0])}),{_number(limit[1])})"
        unit = _scale(model, name)
        nodes[name] = (clipped or f"v({name})") if unit == 1 else f"({_number(unit)}*{clipped or f'v({name})'})"
    lines = [f".subckt {name_of(device)} plus minus params:"]
    lines += [f"+ {name}={_number(value)}" for name, value in values.items()]
    lines += [f"+ {name}_0={_number(start[name] / _scale(model, name))}" for name in model.rate]
    lines.append(f"Bcurrent plus minus I = {substitute(model.current, nodes)}")
    for name, rate in model.rate.items():
        lines.append(f"C{name} {name} 0 1 ic={{{name}_0}}")
        # The rate has a node of its own, because it is used twice where the state is bounded.
        per = "" if _scale(model, name) == 1 else f" / {_number(_scale(model, name))}"
        lines.append(f"Brate_{name} rate_{name} 0 V = {substitute(rate, nodes)}{per}")
        lines.append(f"Bmove_{name} 0 {name} I = {_held(name, limits[name])}")
    return "\n".join([*lines, ".ends"]) + "\n"


def netlist(
    device: Device,
    params: Any = None,
    *,
    waveform: str,
    stop: float,
    state: Any = 0.5,
    max_step: float | None = None,
    r_series: float = 0.0,
    reltol: float = 1e-5,
) -> str:
    """Return a complete ngspice deck: one device under a voltage source, transient from 0 to stop.

    waveform: the text of a source, as `sine`, `triangle` and `piecewise` return; stop, max_step (stop / 1000 where it
    is None) in s; state: a State of scalars, or the normalised x in [0, 1] for `init`; r_series in ohm.
    Running it gives "time", "v(in)", "v(dev)" (the device's own voltage), "i(vin)" (minus the device's current, as
    SPICE counts it) and "v(x1.<state>)" for each state.

    Raises ValueError on a model without a SPICE form, on params that it refuses, and on a time or resistance that
    cannot be.
    """
    params = _checked(device, params)
    accept("stop", stop, np.isfinite(stop) and stop > 0, "more than 0 s")
    max_step = stop / 1000 if max_step is None else max_step
    accept("max_step", max_step, 0 < max_step <= stop, f"more than 0 s, at most stop = {stop:g} s")
    accept("r_series", r_series, np.isfinite(r_series) and r_series >= 0, "0 ohm or more")
    text = subcircuit(device, params)
    start = entries(state if isinstance(state, type(device.init(params, 0.5))) else device.init(params, state))
    model = equations(device, params)
    states = list(model.rate)
    values = {name: scalar(f"state.{name}", start[name]) / _scale(model, name) for name in states}
    first = " ".join(f"{name}_0={_number(value)}" for name, value in values.items())
    node = "dev" if r_series else "in"
    saved = ["v(in)", "i(vin)", *(f"v(x1.{name})" for name in states), *(["v(dev)"] if r_series else [])]
    lines = [
        f"* memjax: {device.name}",
        text,
        f"Vin in 0 {waveform}",
        *([f"Rs in dev {_number(r_series)}"] if r_series else []),
        f"X1 {node} 0 {name_of(device)} {first}",
        # Gear's method damps what the trapezoidal one lets ring where a state reaches its bound.
        f".options method=gear reltol={_number(reltol)} vntol=1e-9 abstol=1e-15",
        f".save {' '.join(saved)}",
        f".tran {_number(max_step)} {_number(stop)} 0 {_number(max_step)} uic",
        ".end",
    ]
    return "\n".join(lines) + "\n"


def name_of(device: Device) -> str:
    """Return the subcircuit's name: the model's, in the characters that SPICE takes."""
    return device.name.replace("+", "_")


def _checked(device: Device, params: Any) -> Any:
    params = device.Params() if params is None else params
    if device.check is not None:
        device.check(params)
    return params


def _scale(model: Equations, name: str) -> float:
    return model.scale.get(name, 1.0)


def _limits(device: Device, params: Any, name: str, unit: float) -> tuple[float, float] | None:
    """Return the lowest and highest voltage of a state's node, or None for a state without bounds."""
    if device.bounds is None:
        return None
    low, high = (scalar(name, entries(bound)[name]) / unit for bound in device.bounds(params))
    return (low, high) if np.isfinite([low, high]).all() else None


def _held(name: str, limits: tuple[float, float] | None) -> str:
    """Return the charging current: the rate, times a factor that falls through zero at the bound ahead."""
    rate = f"v(rate_{name})"
    if limits is None:
        return rate
    low, high = limits
    width = _number(HOLD * (high - low))
    above, below = f"({_number(high)}-v({name}))/{width}", f"(v({name})-{_number(low)})/{width}"
    return f"{rate} * min(1, ({rate} > 0 ? {above} : {below}))"


def _number(value) -> str:
    # SPICE has no infinity; nothing in a model comes near this number.
    return repr(min(float(value), 1e300))
