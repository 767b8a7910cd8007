"""Price lists: what the events of an array cost and how long they take, and where these numbers come from.

    prices.load("memristor").prices     energy.PriceList, for energy.joules, energy.breakdown and energy.latency

One YAML file each; a list of the user's is a file of the same form, loaded by its path.
"""

import difflib
import os
from pathlib import Path
from typing import NamedTuple

from memjax.config import _prices
from memjax.config._prices import Prices as Meta
from memjax.energy import PriceList
from memjax.errors import ConfigError

__all__ = ["Loaded", "Meta", "load", "names"]


class Loaded(NamedTuple):
    """A price list and its file: title, source, status, notes."""

    name: str
    prices: PriceList
    meta: Meta


def names() -> list[str]:
    """List the price lists of the package, sorted."""
    return _prices.names()


def load(name: str | os.PathLike) -> Loaded:
    """Load one of `names()`, or the YAML file of that path.

    Raises ConfigError (a ValueError) for a name that is neither, with the nearest one, and for a file that cannot be
    read or is no price list, with every problem in it.
    """
    text, path = str(name), Path(name)
    if text in names():
        return _loaded(text, _prices.read(text))
    if path.suffix.lower() in (".yaml", ".yml") or path.exists():
        return _loaded(path.stem, _prices.read_file(path))
    near = difflib.get_close_matches(text, names(), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"unknown price list {text!r}{hint} (accepted: {', '.join(names())}, or a YAML file)")


def _loaded(name: str, meta: Meta) -> Loaded:
    times = {f"{kind}_time": value for kind, value in meta.time.model_dump().items()}
    return Loaded(name, PriceList(**meta.energy.model_dump(), **times), meta)
