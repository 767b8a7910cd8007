"""Memristive devices, learning rules and modular crossbar arrays as pure JAX functions over pytrees.

Subpackages and modules load on first use, so that `import memjax` itself imports nothing but the standard library.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memjax import (
        crossbar,
        devices,
        encoding,
        energy,
        monte_carlo,
        neurons,
        noise,
        plasticity,
        programming,
        variation,
    )

    __version__: str

# At most a dozen names; every other module is imported by its own path (`from memjax import plot`).
__all__ = [
    "crossbar",
    "devices",
    "encoding",
    "energy",
    "monte_carlo",
    "neurons",
    "noise",
    "plasticity",
    "programming",
    "variation",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return _import_module(f"{__name__}.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("memjax")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it exports {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
