"""A study of sampled chips."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from jax import Array

from memjax import variation
from memjax.training import Parts

# What a chip's `severity` may scale, each relative to what the config says.
SEVERITIES = ("d2d", "c2c", "read_noise", "faults")


class Study(NamedTuple):
    """A function of one chip, what it takes, and how its values read.

    evaluate  ({source: key}, {severity: factor}, *args) -> {name: value}: one chip, a key for every source of chance
    sources   the names of those keys
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
        """Return the keys of every source of the chip with this key."""
        return {name: variation.named_key(key, name) for name in self.sources}

    def chip(self, key: Array, *args: Any) -> dict[str, Array]:
        """Evaluate the chip with this key: what `monte_carlo.run` takes."""
        return self.evaluate(self.keys(key), {}, *args)

    def severe_chip(self, key: Array, severity: Mapping[str, Any], *args: Any) -> dict[str, Array]:
        """Evaluate the chip with this key and factors of its own on `SEVERITIES`, as `inputs` of the run."""
        return self.evaluate(self.keys(key), severity, *args)

    def keyed_chip(self, key: Array, keys: Mapping[str, Array], *args: Any) -> dict[str, Array]:
        """Evaluate a chip from the keys of its sources alone, as `inputs` of the run: for variance decompositions."""
        return self.evaluate(keys, {}, *args)


def scaled(made: Parts, severity: Mapping[str, Any]) -> Parts:
    """Return the parts of a chip whose imperfections are `severity` times as strong; 1 for what is not named."""
    by = {name: severity.get(name, 1.0) for name in SEVERITIES}
    chip, physics = made.chip, made.physics
    if "d2d" in severity:
        spread = {
            name: given._replace(sigma=given.sigma * by["d2d"])
            for name, given in chip.spread.items()
            if isinstance(given, variation.Spread)
        }
        chip = chip._replace(spread=spread)
    if "c2c" in severity:
        chip = chip._replace(c2c=None if chip.c2c is None else chip.c2c * by["c2c"])
    if "faults" in severity:
        chip = chip._replace(stuck_on=chip.stuck_on * by["faults"], stuck_off=chip.stuck_off * by["faults"])
    if "read_noise" in severity and physics.read_noise is not None:
        physics = replace(physics, read_noise=physics.read_noise * by["read_noise"])
    return made._replace(chip=chip, physics=physics)
