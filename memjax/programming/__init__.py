"""Programmers, one file each, that turn wanted changes of weight into pulses on the devices of an array.

To add a programmer, add its file: it exports `PROGRAMMER`, and is found by name everywhere.
"""

from types import ModuleType

from memjax import _registry
from memjax.programming._open_loop import Staircase, open_loop, pulses_between, staircase
from memjax.programming._pair import rebalance
from memjax.programming.accumulator import Accumulator, AccumulatorParams, collected
from memjax.programming.base import Params, Programmer, one_sided, push_pull, settings, weight_step
from memjax.programming.sign import SignParams
from memjax.programming.write_verify import Learned, Result, program_to

__all__ = [
    "Accumulator",
    "AccumulatorParams",
    "Learned",
    "Params",
    "Programmer",
    "Result",
    "SignParams",
    "Staircase",
    "collected",
    "get",
    "names",
    "one_sided",
    "open_loop",
    "program_to",
    "pulses_between",
    "push_pull",
    "rebalance",
    "settings",
    "staircase",
    "weight_step",
]


def names() -> list[str]:
    """List the names of all programmers, sorted."""
    return _registry.names(__name__, "PROGRAMMER", "PROGRAMMERS")


def get(name: str) -> Programmer:
    """Return a programmer by name; raise ValueError, with the nearest name and all of them, where there is none."""
    return _registry.get(__name__, name, "PROGRAMMER", "PROGRAMMERS")


def __getattr__(name: str) -> ModuleType:
    return _registry.submodule(__name__, name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_registry.modules(__name__)})
