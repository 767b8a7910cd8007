"""Memristor models, one file each: `devices.get(name)`, `devices.names()`, `devices.volatile.Params(...)`.

To add a model, add its file: it exports `DEVICE`, and `DEVICES` where one file holds several.
"""

from types import ModuleType

from memjax import _registry
from memjax.devices._adaptive import simulate_adaptive
from memjax.devices._cells import one_selector, one_transistor
from memjax.devices._characteristic import characteristic_frequency
from memjax.devices._simulate import Trace, simulate
from memjax.devices._stability import check_step
from memjax.devices._wrappers import (
    arrhenius,
    end_pulse,
    relaxation_sd,
    with_breakdown,
    with_c2c_noise,
    with_drift,
    with_endurance,
    with_levels,
    with_range_noise,
    with_read_noise,
    with_relaxation,
    with_temperature,
)
from memjax.devices.base import Device, conductance

__all__ = [
    "Device",
    "Trace",
    "arrhenius",
    "characteristic_frequency",
    "check_step",
    "conductance",
    "end_pulse",
    "get",
    "names",
    "one_selector",
    "one_transistor",
    "relaxation_sd",
    "simulate",
    "simulate_adaptive",
    "with_breakdown",
    "with_c2c_noise",
    "with_drift",
    "with_endurance",
    "with_levels",
    "with_range_noise",
    "with_read_noise",
    "with_relaxation",
    "with_temperature",
]


def names() -> list[str]:
    """List the names of all models in this folder, sorted."""
    return _registry.names(__name__, "DEVICE", "DEVICES")


def get(name: str) -> Device:
    """Return the model of that name; raise ValueError, with the nearest name and all of them, where there is none."""
    return _registry.get(__name__, name, "DEVICE", "DEVICES")


def __getattr__(name: str) -> ModuleType:
    return _registry.submodule(__name__, name)


def __dir__() -> list[str]:
    return [*__all__, *_registry.modules(__name__)]
