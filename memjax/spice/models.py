"""The ODE models as ngspice expressions: one entry a model, in the notation of its own file in `memjax.devices`.

In an expression `v` is the device's voltage, a field of State is that state, and a field of Params is that parameter;
of a field that is a tuple, `x0`, `x1`, ... are the entries.
`min`, `max`, `sinh`, `exp`, ... are ngspice's; a condition is `test ? then : else`. `x * x` stands for x squared.
To add a model, add its entry to `EQUATIONS`; `tests/test_spice.py` then compares it with the model itself.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from memjax.devices import Device, linear_ion_drift, modular
from memjax.devices.metastable_switch import K_B_OVER_Q
from memjax.devices.vcm import KELVIN_PER_VOLT


class Equations(NamedTuple):
    """Hold i = current [A] and d state / dt = rate, as expressions.

    scale: what 1 V at a state's node stands for, where that is not 1: a length in m would be lost in ngspice's
    tolerance.
    """

    current: str
    rate: Mapping[str, str]  # field of State -> expression
    scale: Mapping[str, float] = {}


_ION_CURRENT = "v / (r_on * x + r_off * (1 - x))"
_ION_RATE = f"mu * r_on / (d * d) * {_ION_CURRENT}"
_AHEAD = "(v > 0 ? 0 : 1)"
_WINDOWS = {  # as linear_ion_drift.WINDOWS; pow() of a square, since p may be any positive number
    "joglekar": "(1 - pow((2 * x - 1) * (2 * x - 1), p))",
    "biolek": f"(1 - pow((x - {_AHEAD}) * (x - {_AHEAD}), p))",
    "prodromakis": "(j * (1 - pow((x - 0.5) * (x - 0.5) + 0.75, p)))",
    "zha": f"(j * (1 - pow(0.25 * (x - {_AHEAD}) * (x - {_AHEAD}) + 0.75, p)))",
}


def _logistic(u: str) -> str:
    return f"(0.5 + 0.5 * tanh(({u}) / 2))"  # which does not overflow


def _probability(above: str) -> str:
    return _logistic(f"({above}) / ({K_B_OVER_Q!r} * temperature)")


def _flips(v: str, barrier: str, s: str) -> str:
    return f"max({_logistic(f'({v} - ({barrier})) / {s}')} - {_logistic(f'-({barrier}) / {s}')}, 0)"


_GROWTH = "mu * abs(v) / (alpha + max(1 - fil - res, 0))"
_LOST = "(g1 * fil + g2 * res)"
# At a bridge, tot = 1, growth only replaces what is lost; here within the last millionth, or ngspice meets a jump.
_GROWS = f"({_LOST} + min({_GROWTH} - {_LOST}, max({_GROWTH} - {_LOST}, 0) * max(0, min(1, (1 - fil - res) / 1e-6))))"

_VCM_CURRENT = "i0 * exp(-gap / g0) * sinh(v / v0)"
_VCM_KT = f"((t0 + r_th * abs(v * {_VCM_CURRENT})) / {KELVIN_PER_VOLT!r})"  # kT / q
_VCM_GAMMA = "max(gamma0 - beta * pow(max(gap, 0) / 1e-9, 3), 0)"


def _vcm_hop(sign: str) -> str:
    return f"exp(min({sign} * {_VCM_GAMMA} * a0 / l * v / {_VCM_KT} - e_a / {_VCM_KT}, 80))"


_DRIVES = {  # as modular.DRIVES
    "sinh": "sinh(v / v0)",
    "linear": "v / v0",
    "threshold_linear": "(max(v / v0 - 1, 0) - max(-v / v0 - 1, 0))",
}
_SATURATIONS = {  # as modular.SATURATIONS
    "tanh": "(0.5 + 0.5 * tanh({u}))",
    "exponential": "({u} > 0 ? 1 - 0.5 * exp(-max({u}, 0)) : 0.5 * exp(min({u}, 0)))",
    "algebraic": "(0.5 + 0.5 * {u} / sqrt(1 + {u} * {u}))",
}


def _modular(drive: str, saturation: str, params: Any) -> Equations:
    modes = range(len(params.tau))
    u = "(" + " + ".join(f"c{k} * x{k}" for k in modes) + ")"
    return Equations(
        f"(g_min + (g_max - g_min) * {_SATURATIONS[saturation].format(u=u)}) * v",
        {f"x{k}": f"rate * {_DRIVES[drive]} - x{k} / tau{k}" for k in modes},
    )


# An entry is the equations, or a function of params that returns them.
EQUATIONS: dict[str, Equations | Callable[[Any], Equations]] = {
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
    "generalised_metastable_switch": Equations(
        "(x / r_on + (1 - x) / r_off) * sinh(b * v) / b",
        {
            "x": f"({_flips('v', 'v_on + w_on * x', 's_on')} * (1 - x)"
            f" - {_flips('-v', 'v_off + w_off * (1 - x)', 's_off')} * x) / tau"
        },
    ),
    "second_order": Equations(
        "(g_min + (g_max - g_min) * (w + eta * (max(s, 0) * (1 - w) - max(-s, 0) * w))) * v",
        {
            "s": "(v / v_s * abs(v / v_s) - (1 + v / v_s * v / v_s) * s) / tau_s",
            "w": "k * (max(s - s_th, 0) * (1 - w) - max(-s - s_th, 0) * w)",
        },
    ),
    "diffusive": Equations(
        "v / r_off * exp((fil + res) * log(r_off / r_on))",
        {
            "fil": f"speed * ({_GROWS} - (g1 + beta) * fil)",
            "res": "speed * (beta * fil - g2 * res)",
        },
    ),
    "vcm": Equations(
        _VCM_CURRENT,
        {"gap": f"({_VCM_GAMMA} * abs(v) / l >= f_min ? -nu0 / 2 * ({_vcm_hop('1')} - {_vcm_hop('-1')}) : 0)"},
        scale={"gap": 1e-9},
    ),
    **{
        modular.with_parts(drive, saturation).name: partial(_modular, drive, saturation)
        for drive in _DRIVES
        for saturation in _SATURATIONS
    },
}


def names() -> list[str]:
    """List the models that can be written as a subcircuit, sorted."""
    return sorted(EQUATIONS)


def equations(device: Device, params: Any) -> Equations:
    """Return the expressions of a model; raise ValueError for one that has none, naming those that have."""
    if device.name not in EQUATIONS:
        raise ValueError(
            f"device {device.name!r} has no SPICE form, which only models that are an ODE can have;"
            f" accepted are {', '.join(names())}"
        )
    found = EQUATIONS[device.name]
    return found(params) if callable(found) else found


def entries(record: Any) -> dict[str, Any]:
    """Return the fields of a Params or a State by name; of a field that is a tuple, its entries as name0, name1, ..."""
    found = {}
    for name, value in vars(record).items():
        found |= {f"{name}{k}": each for k, each in enumerate(value)} if isinstance(value, tuple) else {name: value}
    return found


def constants(device: Device, params: Any) -> dict[str, float]:
    """Return every number of the expressions by name: the fields of params, and a window's p and j.

    Raises ValueError where a field is not one number.
    """
    found = entries(params)
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
