"""Where to look for a model's parameters: boxes in units that the data set.

A box is wide, orders of magnitude where nothing is known, and stands in units of the data: voltages in the largest
voltage across the device, conductances in the largest conductance seen, times in the shortest and the longest period.
An on-state conducts about what was seen at least, an off-state less.  A parameter that no data of the kind can tell
from another one is held: the film thickness of `vteam` only divides its speeds.
Models that are not listed are not fitted.
"""

from collections.abc import Mapping
from typing import NamedTuple

from memjax.fitting.problem import Range


class Scales(NamedTuple):
    """What the data set: voltage [V], current [A], conductance [S], shortest and longest period [s]."""

    v: float
    i: float
    g: float
    shortest: float
    longest: float


class Box(NamedTuple):
    """Ends in units of a scale: the name of the unit, and whether the parameter lives on a logarithmic scale."""

    lo: float
    hi: float
    unit: str = "1"
    log: bool = True


K_PER_VOLT = 11604.5  # K, q / k_B

LOOPS: dict[str, dict[str, Box]] = {
    "metastable_switch": {
        "tau": Box(1e-7, 1, "s"),
        "v_on": Box(0.03, 1.2, "V", log=False),
        "v_off": Box(0.005, 1.2, "V", log=False),
        "r_on": Box(0.003, 1.25, "ohm"),
        "r_off": Box(1.3, 3000, "ohm"),
        "temperature": Box(0.003, 0.5, "K"),
    },
    "generalised_metastable_switch": {
        "tau": Box(1e-8, 1, "s"),
        "v_on": Box(0.03, 1.2, "V", log=False),
        "v_off": Box(0.0, 1.2, "V", log=False),
        "s_on": Box(0.0257, 0.3, "V!"),
        "s_off": Box(0.0257, 0.3, "V!"),
        "w_on": Box(-0.4, 0.8, "V", log=False),
        "w_off": Box(-0.4, 0.8, "V", log=False),
        "r_on": Box(0.003, 3.0, "ohm"),
        "r_off": Box(3.2, 3000, "ohm"),
        "b": Box(0.1, 8, "1/V"),
    },
    "vteam": {
        "k_on": Box(1e-3, 1e6, "1/s"),
        "k_off": Box(1e-3, 1e6, "1/s"),
        "alpha_on": Box(0.5, 10, log=False),
        "alpha_off": Box(0.5, 10, log=False),
        "v_on": Box(0.005, 0.6, "V", log=False),
        "v_off": Box(-0.6, -0.005, "V", log=False),
        "r_on": Box(0.003, 1.25, "ohm"),
        "r_off": Box(1.3, 3000, "ohm"),
    },
    "yakopcic": {
        "a1": Box(0.05, 3000, "A"),
        "a2": Box(0.02, 3000, "A"),
        "b": Box(0.02, 10, "1/V"),
        "a_p": Box(0.1, 1e7, "1/s"),
        "a_n": Box(0.1, 1e7, "1/s"),
        "v_p": Box(0.0, 0.6, "V", log=False),
        "v_n": Box(0.0, 0.6, "V", log=False),
        "alpha_p": Box(0.01, 30),
        "alpha_n": Box(0.01, 30),
        "x_p": Box(0.0, 0.95, log=False),
        "x_n": Box(0.0, 0.95, log=False),
    },
    "wox": {
        "eta1": Box(1e-8, 30, "1/s"),
        "eta2": Box(0.5, 150, "1/V"),
        "tau": Box(0.03, 100, "s"),
        "alpha": Box(1e-4, 1, "A"),
        "beta": Box(0.05, 20, "1/V"),
        "gamma": Box(0.05, 1000, "A"),
        "delta": Box(0.03, 10, "1/V"),
    },
    "linear_ion_drift": {
        "r_on": Box(0.003, 1.25, "ohm"),
        "r_off": Box(1.3, 3000, "ohm"),
        "mu": Box(1e-2, 1e5, "1/(V s)"),
    },
    "second_order": {
        "g_min": Box(1e-4, 0.3, "S"),
        "g_max": Box(0.5, 50, "S"),
        "tau_s": Box(1e-3, 10, "s"),
        "v_s": Box(0.02, 5, "V"),
        "s_th": Box(0.0, 0.9, log=False),
        "k": Box(0.1, 1e5, "1/s"),
        "eta": Box(0.0, 1.0, log=False),
    },
}
# What physics says beforehand: (centre, sd) in SI units, e-folds on a logarithmic scale.
PRIORS: dict[str, dict[str, tuple[float, float]]] = {
    # kT/q at room temperature; barriers of one material lie within a tenth of a volt.
    "generalised_metastable_switch": {
        "s_on": (0.03, 0.5), "s_off": (0.03, 0.5), "w_on": (0.0, 0.1), "w_off": (0.0, 0.1)
    }
}  # fmt: skip
HELD: dict[str, dict[str, float]] = {"vteam": {"d": 1.0}, "wox": {"lam": 1.0}, "linear_ion_drift": {"d": 1.0}}


def loops(device: str, scales: Scales) -> dict[str, Range]:
    """Return the boxes of a model's parameters in SI units; raise ValueError for a model that has none."""
    if device not in LOOPS:
        raise ValueError(f"device {device!r} is not fitted to loops: accepted are {', '.join(LOOPS)}")
    return {name: scaled(box, scales) for name, box in LOOPS[device].items()}


def scaled(box: Box, scales: Scales) -> Range:
    """Bring a box to SI units."""
    low, high = _units(scales)[box.unit]
    return Range(box.lo * low, box.hi * high, box.unit.rstrip("!"), box.log)


def _units(s: Scales) -> Mapping[str, tuple[float, float]]:
    return {
        "1": (1.0, 1.0),
        "V": (s.v, s.v),
        "V!": (1.0, 1.0),  # volts whatever the data are: a thermal voltage
        "1/V": (1 / s.v, 1 / s.v),
        "K": (s.v * K_PER_VOLT, s.v * K_PER_VOLT),
        "A": (s.i, s.i),
        "S": (s.g, s.g),
        "ohm": (1 / s.g, 1 / s.g),
        "s": (s.shortest, s.longest),
        "1/s": (1 / s.longest, 1 / s.shortest),
        "1/(V s)": (1 / (s.v * s.longest), 1 / (s.v * s.shortest)),
    }
