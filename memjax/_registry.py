"""Look up models by name in a package whose folder is the registry: add one file, and it is found everywhere.

A model file exports one item under a singular attribute (`DEVICE`, `RULE`) and, where a paper has variants, all of them
as a tuple under a plural one (`DEVICES`, `RULES`). `base` and files whose name starts with an underscore hold no model.
"""

import difflib
import importlib
import pkgutil
from types import ModuleType
from typing import Any


def modules(package: str) -> list[str]:
    """List the model files of a package, sorted, without importing them."""
    path = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if m.name != "base" and not m.name.startswith("_"))


def names(package: str, one: str, many: str) -> list[str]:
    """List every item of a package by its own name, sorted (imports all model files).

    Raises TypeError where a file exports no item, ValueError where two files export the same name.
    """
    return sorted(_catalogue(package, one, many))


def get(package: str, name: str, one: str, many: str) -> Any:
    """Return the item called `name`, importing only the file of that name where there is one.

    Raises ValueError for an unknown name, with the nearest known one and all of them.
    """
    if name in modules(package):
        for item in _items(submodule(package, name), one, many):
            if item.name == name:
                return item
    catalogue = _catalogue(package, one, many)
    if name not in catalogue:
        raise ValueError(_unknown(f"unknown {one.lower()} {name!r}", name, list(catalogue)))
    return catalogue[name]


def submodule(package: str, name: str) -> ModuleType:
    """Import `package.name`: the body of a package's lazy `__getattr__`.

    Raises AttributeError where the package has no such file, as attribute access must.
    """
    known = modules(package)
    if name not in known:
        raise AttributeError(_unknown(f"module {package!r} has no attribute {name!r}", name, known))
    return importlib.import_module(f"{package}.{name}")


def _items(module: ModuleType, one: str, many: str) -> tuple[Any, ...]:
    items = tuple(getattr(module, many, ()))
    first = getattr(module, one, None)
    if first is not None and not any(first is item for item in items):
        items = (first, *items)
    if not items:
        raise TypeError(f"{module.__name__} exports neither {one} nor {many}; a model file must export one of them")
    return items


def _catalogue(package: str, one: str, many: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in modules(package):
        for item in _items(submodule(package, file), one, many):
            if item.name in found:
                raise ValueError(f"{package} has two of the {one.lower()} {item.name!r}: the second is in {file}.py")
            found[item.name] = item
    return found


def _unknown(what: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{what}{hint} (known: {', '.join(sorted(known))})"
