"""Memristor models, one file each: `devices.get(name)`, `devices.names()`, `devices.volatile.Params(...)`.

To add a model, add its file: it exports `DEVICE`, and `DEVICES` where one file holds several.
"""

from types import ModuleType

from memjax import _registry
from memjax.devices._simulate import Trace, simulate
from memjax.devices._wrappers import with_c2c_noise
from memjax.devices.base import Device, conductance

__all__ = ["Device", "Trace", "conductance", "get", "names", "simulate", "with_c2c_noise"]


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
