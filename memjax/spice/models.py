"""The ODE models as ngspice expressions: one entry a model, in the notation of its own file in `memjax.devices`.

In an expression `v` is the device's voltage, a field of State is that state, and a field of Params is that parameter.
`min`, `max`, `sinh`, `exp`, ... are ngspice's; a condition is `test ? then : else`. `x * x` stands for x squared.
To add a model, add its entry to `EQUATIONS`; `tests/test_spice.py` then compares it with the model itself.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from memjax.devices import Device, linear_ion_drift
from memjax.devices.metastable_switch import K_B_OVER_Q


class Equations(NamedTuple):
    """Hold i = current [A] and d state / dt = rate [1/s], as expressions."""

    current: str
    rate: Mapping[str, str]  # field of State -> expression


_ION_CURRENT = "v / (r_on * x + r_off * (1 - x))"
_ION_RATE = f"mu * r_on / (d * d) * {_ION_CURRENT}"
_AHEAD = "(v > 0 ? 0 : 1)"
_WINDOWS = {  # as linear_ion_drift.WINDOWS; pow() of a square, since p may be any positive number
    "joglekar": "(1 - pow((2 * x - 1) * (2 * x - 1), p))",
    "biolek": f"(1 - pow((x - {_AHEAD}) * (x - {_AHEAD}), p))",
    "prodromakis": "(j * (1 - pow((x - 0.5) * (x - 0.5) + 0.75, p)))",
    "zha": f"(j * (1 - pow(0.25 * (x - {_AHEAD}) * (x - {_AHEAD}) + 0.75, p)))",
}


def _probability(above: str) -> str:
    # The logistic function as a tanh, which does not overflow.
    return f"(0.5 + 0.5 * tanh(({above}) / (2 * {K_B_OVER_Q!r} * temperature)))"


EQUATIONS: dict[str, Equations] = {
    "linear_ion_drift": Equations(_ION_CURRENT, {"x": _ION_RATE}),
    **{
        f"linear_ion_drift+{name}": Equations(_ION_CURRENT, {"x": f"{_ION_RATE} * {window}"})
        for name, window in _WINDOWS.items()
    },
    "sine_drift": Equations(
        "v / (r_on * w + r_off * (1 - w))",
        {"w": "beta * sin(v)", "phi": "v"},
    ),
    "vteam": Equations(
        "v / (r_on * x + r_off * (1 - x))",
        {"x": "(k_on * pow(max(v / v_on - 1, 0), alpha_on) - k_off * pow(max(v / v_off - 1, 0), alpha_off)) / d"},
    ),
    "yakopcic": Equations(
        "(v >= 0 ? a1 : a2) * x * sinh(b * v)",
        {
            "x": "a_p * max(exp(v) - exp(v_p), 0)"
            " * (x >= x_p ? exp(-alpha_p * (x - x_p)) * (1 - x) / (1 - x_p) : 1)"
            " - a_n * max(exp(-v) - exp(v_n), 0)"
            " * (x <= 1 - x_n ? exp(alpha_n * (x + x_n - 1)) * x / (1 - x_n) : 1)"
        },
    ),
    "wox": Equations(
        "(1 - w) * alpha * (1 - exp(-beta * v)) + w * gamma * sinh(delta * v)",
        {"w": "lam * (eta1 * sinh(eta2 * v) - w / tau)"},
    ),
    "metastable_switch": Equations(
        "(x / r_on + (1 - x) / r_off) * v",
        {"x": f"({_probability('v - v_on')} * (1 - x) - {_probability('-v - v_off')} * x) / tau"},
    ),
    "second_order": Equations(
        "(g_min + (g_max - g_min) * (w + eta * (max(s, 0) * (1 - w) - max(-s, 0) * w))) * v",
        {
            "s": "(v / v_s * abs(v / v_s) - (1 + v / v_s * v / v_s) * s) / tau_s",
            "w": "k * (max(s - s_th, 0) * (1 - w) - max(-s - s_th, 0) * w)",
        },
    ),
}


def names() -> list[str]:
    """List the models that can be written as a subcircuit, sorted."""
    return sorted(EQUATIONS)


def equations(device: Device) -> Equations:
    """Return the expressions of a model; raise ValueError for one that has none, naming those that have."""
    if device.name not in EQUATIONS:
        raise ValueError(
            f"device {device.name!r} has no SPICE form, which only models that are an ODE and draw no noise can have;"
            f" accepted are {', '.join(names())}"
        )
    return EQUATIONS[device.name]


def constants(device: Device, params: Any) -> dict[str, float]:
    """Return every number of the expressions by name: the fields of params, and a window's p and j.

    Raises ValueError where a field is not one number.
    """
    found = dict(vars(params))
    window = linear_ion_drift.window_of(device)
    if window is not None:
        found |= {"p": window.p, "j": window.j}
    return {name: scalar(f"params.{name}", value) for name, value in found.items()}


def scalar(name: str, value: Any) -> float:
    """Return one number as a float; raise ValueError for an array."""
    shape = getattr(value, "shape", ())
    if shape != ():
        raise ValueError(f"{name} has shape {shape}: a netlist describes one device, accepted is one number")
    return float(value)


def substitute(expression: str, names: Mapping[str, str]) -> str:
    """Replace whole identifiers of an expression by what they stand for."""
    return re.sub(r"[A-Za-z_]\w*", lambda word: names.get(word[0], word[0]), expression)
