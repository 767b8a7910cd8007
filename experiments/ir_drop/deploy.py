"""A network that has learned without wires is deployed in tiles of several sizes, with wires.

Both arrays of the network are cut into square tiles, each with its own drivers and sense amplifiers.  Their effective
conductances are worked out once (`crossbar.cache`, by `Learner.prepare`) and serve all test images.
"""

from pathlib import Path
from typing import Any, NamedTuple

import arrays
import jax
import jax.numpy as jnp
import numpy as np

from memjax import config as configs
from memjax import crossbar, datasets, learning, training, variation, wires

REPO = Path(__file__).resolve().parent.parent.parent
LAYERS = {"hidden": (784, 256), "output": (256, 10)}
RATE = 0.03


class Chip(NamedTuple):
    """A trained chip [1, ...] and the images that it is tested on."""

    state: Any
    images: np.ndarray
    labels: np.ndarray


def build(tile: int, *overrides: str) -> training.System:
    """Return the system of configs/edge_mnist.yaml, with one chip, in square tiles of this size."""
    given = ("chips=1", f"array.module_size={tile}", *overrides)
    return training.build(configs.load(REPO / "configs" / "edge_mnist.yaml", given))


def train(epochs: int, n_train: int | None, n_test: int) -> Chip:
    """Train one chip on the embedded digits, without wires and without moving the images."""
    system, digits = build(64), datasets.load("digits", n_train=n_train, n_test=n_test)
    images, labels = digits.train_x.reshape(len(digits.train_x), -1), digits.train_y
    chips, total = jax.jit(jax.vmap(system.init))(system.keys), epochs * len(labels)
    rates = learning.schedule(total, RATE).astype(np.float32)
    step = learning.online(system.learner)
    for epoch in range(epochs):
        order = np.asarray(jax.random.permutation(jax.random.key(epoch), len(labels)), np.int32)
        part = slice(epoch * len(labels), (epoch + 1) * len(labels))
        chips, _ = step(chips, system.keys, images, labels, order, (rates[part],) * 2, np.int32(part.start))
    return Chip(chips, digits.test_x.reshape(len(digits.test_x), -1), digits.test_y)


def study(
    tiles: list[int], resistances: list[float], topologies: list[str], epochs: int, n_train: int | None, n_test: int
) -> dict:
    """Return the accuracies of one chip in every deployment."""
    chip = train(epochs, n_train, n_test)
    rows = [row for tile in tiles for topology in topologies for row in deploy(chip, tile, topology, resistances)]
    settings = {"epochs": epochs, "n_train": n_train, "n_test": n_test}
    return {"settings": settings, "rows": rows, "limits": [limits(rows, lost) for lost in (0.005, 0.01, 0.05)]}


def deploy(chip: Chip, tile: int, topology: str, resistances: list[float]) -> list[dict]:
    """Return a row for every resistance of a segment [ohm], the first of them 0: no wires."""
    system = build(tile, f"array.wires={{topology: {topology}}}")
    # What `prepare` works out serves all evaluations of one deployment, and is worked out once here.
    accuracy = learning.evaluate(system.learner._replace(prepare=lambda state: state), 500)
    keys = jax.vmap(lambda key: variation.named_key(key, "evaluate"))(system.keys)
    chips = retiled(jax.jit(jax.vmap(system.init))(system.keys), chip.state)
    prepare = jax.jit(jax.vmap(system.learner.prepare))
    rows, ideal = [], None
    for r in resistances:
        chips = with_physics(chips, wires=wires.Wires(r, r, topology=topology, precision="float32"), threshold=1.0)
        ready = prepare(chips)
        nets = {name: np.asarray(ready[name]["cached"].get_value()["net"]) for name in LAYERS}
        ideal = nets if ideal is None else ideal
        # The one number that a designer can trim for a layer: how much smaller its currents are, in least squares.
        gains = {name: float(np.vdot(nets[name], ideal[name]) / np.vdot(ideal[name], ideal[name])) for name in LAYERS}
        test = accuracy(ready, keys, chip.images, chip.labels)
        trimmed = accuracy(with_physics(ready, threshold=gains["hidden"]), keys, chip.images, chip.labels)
        row = {"tile": tile, "topology": topology, "r_ohm": r, "accuracy": float(test[0])}
        s = arrays.group(mean_g(system, chips), (tile, tile), r, r, topology)
        rows.append({**row, "accuracy_trimmed": float(trimmed[0]), "gain": gains, "s": float(s)})
    return rows


def limits(rows: list[dict], lost: float) -> dict:
    """Return where the accuracy is `lost` below that without wires: bounds of s, the largest tile for every wire.

    s is that of a tile of the first array: the smallest that loses more, and the largest that does not.
    """
    ideal = np.mean([row["accuracy"] for row in rows if row["r_ohm"] == 0])
    wired = [row for row in rows if row["r_ohm"] > 0]
    good = [row for row in wired if row["accuracy"] >= ideal - lost]
    tiles: dict[str, int] = {}
    for row in good:
        name = f"{row['topology']}, {row['r_ohm']:g} ohm"
        tiles[name] = max(row["tile"], tiles.get(name, 0))
    return {
        "lost": lost,
        "ideal": float(ideal),
        "first_bad_s": min((row["s"] for row in wired if row not in good), default=None),
        "last_good_s": max((row["s"] for row in good), default=None),
        "largest_tile": tiles,
    }


def retiled(like: Any, trained: Any) -> Any:
    """Put the trained states into tiles of another size: chips are sampled alike whatever their tiles."""
    for name, shape in LAYERS.items():
        x, new = trained[name]["weight"].get_value().x, like[name]["weight"].get_value()
        logical = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3], -1)[:, :, : shape[0], : shape[1]]
        _, _, r, m, c, n = new.x.shape
        full = jnp.pad(logical, [(0, 0), (0, 0), (0, r * m - shape[0]), (0, c * n - shape[1])], mode="edge")
        like[name]["weight"].set_value(new.replace(x=full.reshape(new.x.shape)))
    return like


def with_physics(chips: Any, threshold: float | None = None, wires: wires.Wires | None = None) -> Any:
    """Return the chips with the threshold of the hidden neurons and the wires changed."""
    chips = jax.tree.map(lambda leaf: leaf, chips)
    physics = chips["physics"].get_value()
    if threshold is not None:
        old = physics.neuron.threshold
        physics = physics.replace(neuron=physics.neuron.replace(threshold=jnp.full_like(old, threshold)))
    if wires is not None:
        same = {name: jnp.full_like(getattr(physics.wires, name), getattr(wires, name)) for name in ("r_word", "r_bit")}
        physics = physics.replace(wires=physics.wires.replace(**same))
    chips["physics"].set_value(physics)
    return chips


def mean_g(system: training.System, chips: Any) -> float:
    """Return the mean conductance of the first array's devices [S]."""
    hidden, _ = system.arrays(jax.tree.map(lambda leaf: leaf[0], chips))
    return float(jnp.mean(crossbar.conductance(hidden)))
