"""Learning rules, one per file: add a file with a `RULE`, and it is found by name everywhere."""

from types import ModuleType

from memjax import _registry
from memjax.plasticity._delays import delayed
from memjax.plasticity.base import Outer, Rule, Signals, Trace, dense, run, window

__all__ = ["Outer", "Rule", "Signals", "Trace", "delayed", "dense", "get", "names", "run", "window"]


def names() -> list[str]:
    """List all learning rules by name."""
    return _registry.names(__name__, "RULE", "RULES")


def get(name: str) -> Rule:
    """Return the learning rule called `name`; raises ValueError with the nearest known name and all of them."""
    return _registry.get(__name__, name, "RULE", "RULES")


def __getattr__(name: str) -> ModuleType:
    return _registry.submodule(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_registry.modules(__name__)})
