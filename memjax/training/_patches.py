"""The two-layer network whose first array is a patch layer: filters learn first, are frozen, and a readout learns.

Between the two, features x of an image are pooled spikes (`memjax.patches`). The readout is one array of differential
pairs that learns online by the delta rule through the configured programmer (`memjax.readout`, sample by sample: its
blocks are whole rounds of turns, which chunks and epochs are not). Features are worked out for a whole chunk of samples
at once (`learning.Learner.look`), each with read noise of its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import struct
from jax import Array

from memjax import crossbar, energy, learning, network, noise, patches, readout, variation
from memjax.crossbar import Crossbar
from memjax.energy import Events

SHOWN = 2000  # images that the whitening is estimated from
PATCHES = 25  # patches of each of them
CALIBRATED = 200  # images that thresholds are set on


@struct.dataclass
class Chip:
    """State of one chip: what its patch layer is made of, its filters, and its readout."""

    constants: patches.Constants
    filters: patches.Filters
    head: readout.Readout


class Description(NamedTuple):
    """What a config says of such a network.

    layer     static part of the patch layer
    constants its constants, but for the whitening
    fill, epsilon  of the whitening (`patches.whitening`)
    programmer, settings  of the readout
    key       of what all chips share: the patches that the whitening is estimated from
    """

    layer: patches.Layer
    constants: patches.Constants
    fill: float
    epsilon: float
    programmer: str
    settings: Any
    key: Array


class Functions(NamedTuple):
    """learner and init as in `System`; teach(chip, key, images [n, pixels] of bytes, rates [n]) -> (chip, Events)."""

    learner: learning.Learner
    init: Callable
    arrays: Callable
    teach: Callable


def functions(
    said: Description, arch: network.Architecture, sampled: Callable[..., network.Chip], physics: network.Physics
) -> Functions:
    """Return the pure functions of a network; sampled(severity or None) says how its chips are sampled.

    Raises ValueError for geometry that does not fit (`patches.Geometry.check`).
    """
    layer, geometry = said.layer, said.layer.geometry
    geometry.check()
    n_filters, n_classes = arch.sizes[1:]
    n_features = geometry.n_features(n_filters * layer.outputs)
    reader = readout.learner(said.programmer)

    def init(key: Array, severity: Any = None) -> Chip:
        chip = sampled(severity)
        real = physics.replace(half_select=chip.nonidealities.scaled("half_select"))  # type: ignore[union-attr]
        first, head = (
            network.sample_array(arch, chip, real, shape, variation.named_key(key, name), key, name)
            for name, shape in (
                ("filters", (geometry.n_inputs, n_filters)),
                ("head", (n_features, n_classes)),
            )
        )
        constants = said.constants.replace(read_noise=chip.nonidealities.scaled("read_noise"))  # type: ignore[union-attr]
        own = readout.Constants(
            said.settings, physics.output_gain, None, read_noise=constants.read_noise, write_time=physics.write_time
        )
        return Chip(
            constants,
            patches.create(layer, constants, crossbar.cache(first)),
            readout.create(own, head, said.programmer),
        )

    def teach(chip: Chip, key: Array, images: Array, rates: Array) -> tuple[Chip, tuple[Events, Events]]:
        x = learning.scale(images)
        k_learn, k_calibrate = (variation.named_key(key, name) for name in ("filters", "calibrate"))
        shown = x[:SHOWN]
        keys = jax.random.split(said.key, len(shown))
        seen = jax.vmap(lambda image, key: patches.draw(geometry, image, PATCHES, key))(shown, keys)
        front = patches.whitening(
            seen.reshape(-1, geometry.n_inputs), epsilon=said.epsilon, floor=chip.constants.front.floor, fill=said.fill
        )
        constants = chip.constants.replace(front=front)  # type: ignore[attr-defined]
        filters, taught = patches.learn_filters(layer, constants, chip.filters, x, rates, k_learn)
        some = x[:CALIBRATED]
        filters, spent = patches.calibrate(layer, constants, filters, some, jax.random.split(k_calibrate, len(some)))
        return chip.replace(constants=constants, filters=filters), (taught, spent)  # type: ignore[attr-defined]

    def see(chip: Chip, x: Array, keys: Array) -> Array:
        own = jax.vmap(lambda key: noise.fold_in(key, "look"))(keys)
        return patches.scaled(patches.features(layer, chip.constants, chip.filters, x, own), chip.filters.mean)

    def look(chip: Chip, x: Array, keys: Array) -> tuple[Array, Events]:
        return see(chip, x, keys), patches.forward_events(layer, chip.filters, x)

    def learn(chip: Chip, x: Array, label: Array, rates: tuple[Any, Any], key: Array, turn: Array):
        head, seen = reader.learn(chip.head, x, label, rates[1], key, turn)
        return chip.replace(head=head), seen  # type: ignore[attr-defined]

    def predict(chip: Chip, x: Array, key: Array) -> Array:
        keys = jax.random.split(key, len(x))
        return reader.predict(chip.head, see(chip, x, keys), noise.fold_in(key, "read"))

    def arrays(chip: Chip) -> tuple[Crossbar, Crossbar]:
        return chip.filters.xbar, chip.head.xbar

    return Functions(learning.Learner(learn, predict, look=look), init, arrays, teach)


def total(spent: tuple[Events, ...]) -> dict[str, int]:
    """Sum what teaching cost, on the host: more than an int32 counts."""
    parts = [energy.total(events) for events in spent]
    return {name: sum(part[name] for part in parts) for name in energy.FIELDS}
