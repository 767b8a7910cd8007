"""One run: train on a stream of images in chunks that can be resumed, label the neurons, classify."""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import network
import numpy as np
import synapses

from memjax import energy, files
from memjax.datasets import Dataset

STEPS = 350  # of 1 ms, one presentation
CHUNK = 500  # images in one compiled program
LABELLING = 10_000  # training images that label the neurons, the last ones
WINDOW = 2_500  # images of a point of the curve


class Setting(NamedTuple):
    """What is run; two of the same setting give the same numbers."""

    neurons: int = 100
    seed: int = 0
    images: int = 60_000  # presented while learning; more than the training set has are its next passes
    made: synapses.Made = synapses.IDEAL
    params: network.Params = network.Params()


_images = jax.jit(network.images, static_argnames=("steps", "learn"))


def start(setting: Setting, inputs: int) -> tuple[network.State, synapses.Synapses]:
    """Return a network at rest and its array."""
    key = jax.random.fold_in(jax.random.key(setting.seed), 0)
    array = synapses.create(setting.neurons, inputs, setting.made, key)
    return network.init(setting.params, setting.neurons, inputs), array


def respond(setting, state, array, pixels: np.ndarray, first: int, stream: int, steps: int = STEPS, learn=False):
    """Present images [k, inputs], k a multiple of the chunk or less than it; returns (state, array, Seen of arrays).

    stream tells training from labelling and testing, which must not share their draws. Without learning, only the
    membrane and the traces go on from image to image.
    """
    key, parts = jax.random.fold_in(jax.random.key(setting.seed), stream), []
    for at in range(0, len(pixels), CHUNK):
        part, number = jnp.asarray(pixels[at : at + CHUNK]), jnp.int32(first + at)
        state, array, seen = _images(setting.params, state, array, part, number, key, steps=steps, learn=learn)
        parts.append(jax.device_get(seen))
    return state, array, jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def train(setting: Setting, pixels: np.ndarray, folder: Path | None = None, steps: int = STEPS, save: int = 5_000):
    """Learn a stream of images; with a folder, go on from what it keeps. Returns (state, array, record)."""
    state, array = start(setting, pixels.shape[1])
    treedef = jax.tree.structure((state, array))
    n = setting.neurons
    record = {"counts": np.zeros((0, n), np.uint8), "tries": np.zeros(0, np.uint8), "post": np.zeros(0, np.int32)}
    record |= {"seconds": 0.0, "events": dict.fromkeys(energy.FIELDS, 0)}
    path = None if folder is None else folder / "checkpoint.npz"
    if path is not None and path.exists():
        with np.load(path) as kept:
            record = {name: kept[name] for name in ("counts", "tries", "post")}
            record |= json.loads(str(kept["rest"]))
            leaves = [jnp.asarray(kept[f"leaf{i}"]) for i in range(treedef.num_leaves)]
        state, array = jax.tree.unflatten(treedef, leaves)
    while (done := len(record["tries"])) < setting.images:
        before = time.process_time()
        more = min(save, setting.images - done)
        part = np.take(pixels, np.arange(done, done + more), axis=0, mode="wrap")
        state, array, seen = respond(setting, state, array, part, done, 1, steps, learn=True)
        record["counts"] = np.concatenate([record["counts"], seen.counts.astype(np.uint8)])
        record["tries"] = np.concatenate([record["tries"], seen.tries.astype(np.uint8)])
        record["post"] = np.concatenate([record["post"], seen.post])
        spent = energy.total(seen.events)
        record["events"] = {name: record["events"][name] + spent[name] for name in energy.FIELDS}
        record["seconds"] += time.process_time() - before
        if path is not None:
            _save(path, (state, array), record)
    return state, array, record


def _save(path: Path, tree: Any, record: dict) -> None:
    leaves = {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}
    rest = json.dumps({name: record[name] for name in ("seconds", "events")})
    arrays = {name: record[name] for name in ("counts", "tries", "post")}
    with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, rest=rest, **arrays, **leaves)


def assign(counts: np.ndarray, labels: np.ndarray, classes: int = 10) -> np.ndarray:
    """Return the class of every neuron [n]: the one whose images make it fire most, in the mean."""
    means = [
        counts[labels == k].mean(axis=0) if (labels == k).any() else np.zeros(counts.shape[1]) for k in range(classes)
    ]
    return np.argmax(means, axis=0)


def classify(counts: np.ndarray, assigned: np.ndarray, classes: int = 10) -> np.ndarray:
    """Return the class of every image [k]: the one whose neurons fire most, in the mean."""
    own = [
        counts[:, assigned == k].mean(axis=1) if (assigned == k).any() else np.zeros(len(counts))
        for k in range(classes)
    ]
    return np.argmax(own, axis=0)


def curve(counts: np.ndarray, labels: np.ndarray, window: int = WINDOW) -> list[float]:
    """Return the accuracy while learning: of every window, with the labels that the window before gives the neurons."""
    parts = [slice(at, at + window) for at in range(0, len(counts) - window + 1, window)]
    return [
        float(np.mean(classify(counts[new], assign(counts[old], labels[old])) == labels[new]))
        for old, new in zip(parts, parts[1:], strict=False)
    ]


def measure(setting: Setting, data: Dataset, folder: Path | None = None, steps: int = STEPS) -> tuple[dict, np.ndarray]:
    """Train, label by the last training images with learning off, and test; returns (results, weights [n, inputs])."""
    train_x, test_x = (x.reshape(len(x), -1) for x in (data.train_x, data.test_x))
    state, array, record = train(setting, train_x, folder, steps)
    before = time.process_time()
    last = slice(-min(LABELLING, len(train_x)), None)
    state, _, labelling = respond(setting, state, array, train_x[last], 0, 2, steps)
    _, _, testing = respond(setting, state, array, test_x, 0, 3, steps)
    assigned = assign(labelling.counts, data.train_y[last])
    found = classify(testing.counts, assigned)
    labels = np.take(data.train_y, np.arange(setting.images), mode="wrap")
    k = setting.images
    results = {
        "neurons": setting.neurons,
        "seed": setting.seed,
        "images": k,
        "accuracy": float(np.mean(found == data.test_y)),
        "curve": curve(record["counts"], labels),
        "presentations": float(record["tries"].sum() / k),
        "presentations_last": float(record["tries"][-WINDOW:].mean()),
        "spikes": float(record["counts"].sum() / k),
        "firing": float(np.count_nonzero(record["counts"]) / k),
        "presentations_test": float(testing.tries.mean()),
        "theta": float(np.mean(state.theta)),
        "theta_sd": float(np.std(state.theta)),
        "neurons_of_class": np.bincount(assigned, minlength=10).tolist(),
        "events_of_image": {name: count / k for name, count in record["events"].items()},
        "events_of_test_image": {name: v / len(test_x) for name, v in energy.total(testing.events).items()},
        "seconds": {"training": record["seconds"], "labelling_and_test": time.process_time() - before},
    }
    return results, np.asarray(synapses.weights(array) * array.gain[:, None])
