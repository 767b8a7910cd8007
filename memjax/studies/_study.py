"""A study of sampled chips."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jax import Array

from memjax import variation

START = "start"  # the states that devices have before they are programmed


class Study(NamedTuple):
    """A function of one chip, what it takes, and how its values read.

    evaluate  ({source: key}, {non-ideality: severity}, *args) -> {name: value}: one chip
    sources   the names of what has a key of its own: the sources of chance
    args      what all chips share
    metric    the value that a chip is judged by
    units     {name: (unit, meaning)} of every value
    """

    evaluate: Callable[..., dict[str, Array]]
    sources: tuple[str, ...]
    args: tuple
    metric: str
    units: Mapping[str, tuple[str, str]]

    def keys(self, key: Array) -> dict[str, Array]:
        """Return the keys of every source of the chip with this key.

        First states are drawn from the key of "d2d", by a name of their own: only a design of keys tells them apart.
        """
        return {name: variation.named_key(key, "d2d" if name == START else name) for name in self.sources}

    def chip(self, key: Array, *args: Any) -> dict[str, Array]:
        """Evaluate the chip with this key: what `monte_carlo.run` takes."""
        return self.evaluate(self.keys(key), {}, *args)

    def severe_chip(self, key: Array, severity: Mapping[str, Any], *args: Any) -> dict[str, Array]:
        """Evaluate the chip with this key and non-idealities of its own severity, as `inputs` of the run."""
        return self.evaluate(self.keys(key), severity, *args)

    def keyed_chip(self, key: Array, keys: Mapping[str, Array], *args: Any) -> dict[str, Array]:
        """Evaluate a chip from the keys of its sources alone, as `inputs` of the run: for variance decompositions."""
        return self.evaluate(keys, {}, *args)

    def drawn_chip(
        self, key: Array, drawn: tuple[Mapping[str, Array], Mapping[str, Any]], *args: Any
    ) -> dict[str, Array]:
        """Evaluate a chip from the keys of its sources and severities alone, as `inputs` of the run: as above."""
        keys, severity = drawn
        return self.evaluate(keys, severity, *args)

    def same_chip(self, key: Array, setting: tuple[Array, Mapping[str, Any]], *args: Any) -> dict[str, Array]:
        """Evaluate the chip with the key that its setting (key, severity) names, as `inputs` of the run, not its own.

        So the same chips are met at every severity.
        """
        own, severity = setting
        return self.evaluate(self.keys(own), severity, *args)
