"""The network of the records: patch filters on one array, a readout on another, on sampled chips.

A `Recipe` (a data set's `recipe.yaml`) says what is built and how it learns; DEVICES says what of. `chip` is one row of
the results: filters that learn in place, features of all images once, a readout that learns online, the test.
"""

import dataclasses
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage

from memjax import (
    crossbar,
    datasets,
    devices,
    energy,
    learning,
    noise,
    patches,
    plasticity,
    programming,
    readout,
    variation,
)
from memjax.plasticity import wta_hebb

LEVELS = 64
DEVICES = {
    "normal": {"d2d": 0.2, "c2c": 0.3, "beta": 1.0, "stuck": 0.01, "read_noise": 0.02},
    "hard": {"d2d": 0.4, "c2c": 0.6, "beta": 3.0, "stuck": 0.05, "read_noise": 0.02},
}
KINDS = (*DEVICES, "ideal")
OF_READOUT = ("readout", "writing")  # parts of a sample's energy
SEEN = 2000  # images whose reads of the filters are counted, spread over the training and over the test set


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a data set's network is and how it learns."""

    dataset: str
    image: tuple[int, int, int]
    filters: int
    size: int = 6
    stride: int = 2
    padding: int = 0
    pool: int = 4
    drive: str = "raw"
    both: bool = False  # spikes of both signs of a response
    theta: float = 1.0
    steps: int = 15
    saturation: float = 4.0
    epsilon: float = 0.1  # of the whitening
    floor: float = 0.03  # contrast of noise
    fill: float = 1.0  # of the array's range, by a filter's target
    filter_images: int = 10_000
    filter_rate: float = 0.05
    filter_kind: str | None = None  # of the filters' devices; None: those of the readout
    per_image: int = 48
    views: tuple[str, ...] = ("as it is",)
    epochs: int = 6
    rate: float = 0.005
    decay_at: tuple[float, ...] = (0.6, 0.85)
    decay: tuple[float, ...] = (0.3, 0.3)
    gain: float = 0.1
    copies: int = 1  # word lines, and so pairs, of the readout for every feature
    margin: float = 0.0
    fire_at: float = 2.0
    tile: int = 64
    chunk: int = 1024

    @property
    def geometry(self) -> patches.Geometry:
        return patches.Geometry(tuple(self.image), self.size, self.stride, self.padding, (self.pool, self.pool))

    @property
    def features(self) -> int:
        return self.geometry.n_features(self.filters) * (2 if self.both else 1)


def _turned(images: np.ndarray, degrees: float) -> np.ndarray:
    """Turn images [n, height, width, channels] about their centres, between pixels linearly, black coming in."""
    return scipy.ndimage.rotate(images, degrees, axes=(1, 2), reshape=False, order=1)


VIEWS = {
    "as it is": lambda x: x,
    "flipped": lambda x: x[:, :, ::-1],
    "up": lambda x: np.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0)))[:, 1:],
    "down": lambda x: np.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1],
    "left": lambda x: np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0)))[:, :, 1:],
    "right": lambda x: np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1],
    "up and left": lambda x: np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:],
    "flipped, up and left": lambda x: np.pad(x[:, :, ::-1], ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:],
    "turned left": lambda x: _turned(x, 10),
    "turned right": lambda x: _turned(x, -10),
    "down and right": lambda x: np.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))[:, :-1, :-1],
}


# --- devices ----------------------------------------------------------------------------------------------------------


def array(kind: str, shape: tuple[int, int], tile: tuple[int, int], key: jax.Array, weights=0.0) -> crossbar.Crossbar:
    """Sample an array of a kind of device."""
    bare, what = devices.get("exponential"), DEVICES.get(kind)
    beta = what["beta"] if what else 0.0
    nominal = bare.Params(step_up=1 / LEVELS, step_down=1 / LEVELS, beta_up=beta, beta_down=beta)
    x = jnp.clip(0.5 + 0.5 * jnp.stack([weights, -weights]), 0, 1) if jnp.ndim(weights) else 0.5
    tile = (min(tile[0], shape[0]), min(tile[1], shape[1]))
    if what is None:
        return crossbar.create(bare, shape, tile, params=nominal, x=x)
    chip = _nonidealities(what)
    sampled = variation.sample(chip, bare, nominal, (2, *shape), tile, key)
    device = variation.dress(chip, bare)
    return crossbar.create(device, shape, tile, params=sampled.params, faults=sampled.faults, x=x)


def _nonidealities(what: dict) -> variation.Nonidealities:
    return variation.Nonidealities(
        d2d={"step_up": what["d2d"], "step_down": what["d2d"]},
        c2c=what["c2c"],
        stuck=variation.Stuck(what["stuck"] / 2, what["stuck"] / 2),
    )


def settings(kind: str, **more) -> programming.AccumulatorParams:
    bare, beta = devices.get("exponential"), DEVICES.get(kind, {"beta": 0.0})["beta"]
    nominal = bare.Params(step_up=1 / LEVELS, step_down=1 / LEVELS, beta_up=beta, beta_down=beta)
    return programming.AccumulatorParams(programming.weight_step(bare, nominal), **more)


# --- filters ----------------------------------------------------------------------------------------------------------


def layer_of(recipe: Recipe) -> patches.Layer:
    return patches.Layer(
        recipe.geometry, "accumulator", recipe.per_image, recipe.steps, block=16, drive=recipe.drive, both=recipe.both
    )


def learn_filters(recipe: Recipe, kind: str, images: np.ndarray, key: jax.Array):
    """Return (layer, constants, filters, events): filters that have learned from `images` [n, pixels] of bytes."""
    layer = layer_of(recipe)
    k_front, k_array, k_learn, k_start, k_calibrate = (
        noise.fold_in(key, name) for name in ("front", "array", "learn", "start", "calibrate")
    )
    some = jnp.asarray(images[:2000], jnp.float32) / 255
    keys = jax.vmap(lambda n: noise.fold_in(k_front, n))(jnp.arange(len(some)))
    sample = jax.vmap(lambda image, key: patches.draw(recipe.geometry, image, 25, key))(some, keys)
    sample = sample.reshape(-1, recipe.geometry.n_inputs)
    front = patches.whitening(sample, epsilon=recipe.epsilon, floor=recipe.floor, fill=recipe.fill)
    sigma = DEVICES[kind]["read_noise"] if kind in DEVICES else None
    constants = patches.Constants(
        front,
        settings(kind, lines=None, fire_at=recipe.fire_at),
        theta=recipe.theta,
        saturation=recipe.saturation,
        read_noise=sigma,
    )
    # The first filters are patches, as the k-means of others begins; written open loop (`crossbar.create`).
    order = jax.random.permutation(k_start, len(sample))
    goals = patches.targets(front, sample[order])
    goals = goals[jnp.argsort(~jnp.any(goals != 0, axis=1), stable=True)][: recipe.filters]
    xbar = array(kind, (recipe.geometry.n_inputs, recipe.filters), (64, 64), k_array, goals.T)
    filters = patches.create(layer, constants, crossbar.cache(xbar))
    number = min(recipe.filter_images, len(images))
    rates = recipe.filter_rate * np.where(np.arange(number) < 0.5 * number, 1.0, 0.3).astype(np.float32)
    step = jax.jit(functools.partial(_ideal_filters if kind == "ideal" else patches.learn_filters, layer))
    spent = dict.fromkeys(energy.FIELDS, 0)
    for start in range(0, number, 1000):
        part = slice(start, min(start + 1000, number))
        x = jnp.asarray(images[part], jnp.float32) / 255
        filters, events = step(constants, filters, x, rates[part], k_learn, np.int32(start))
        spent = {name: spent[name] + n for name, n in energy.total(events).items()}
    own = jax.vmap(lambda n: noise.fold_in(k_calibrate, n))(jnp.arange(500))
    filters, events = jax.jit(functools.partial(patches.calibrate, layer))(constants, filters, some[:500], own)
    spent = {name: spent[name] + n for name, n in energy.total(events).items()}
    return layer, constants, filters, spent


def _ideal_filters(layer, constants, filters, images, rates, key, first):
    """As `patches.learn_filters`, with weights that take every change exactly."""

    def one(filters, given):
        image, rate, turn = given
        own = noise.fold_in(jax.random.fold_in(key, turn), "patches")
        drawn = patches.draw(layer.geometry, image, layer.per_image, own)
        goals = patches.targets(constants.front, drawn)
        w = crossbar.weights(filters.xbar)
        u = patches.respond(constants, filters.replace(columns=jnp.sum(w, axis=0)), drawn, None, layer.drive)
        winner, wins = patches.compete(constants, filters.wins, u, drawn, goals)
        dw = plasticity.dense(wta_hebb.means(rate, goals, winner, w[:, winner].T, w.shape[1]))
        w = jnp.clip(w + dw, -1, 1)
        xbar = crossbar.set_state(filters.xbar, 0.5 + 0.5 * jnp.stack([w, -w]))
        return filters.replace(xbar=xbar, wins=wins), energy.Events()

    turns = first + jnp.arange(images.shape[0], dtype=jnp.int32)
    return jax.lax.scan(one, filters, (images, rates, turns))


def features(layer, constants, filters, images: np.ndarray, key: jax.Array, batch: int = 512) -> np.ndarray:
    """Return the pooled spikes [n, F] (uint16) of images [n, pixels] of bytes; every image is read once."""
    step, width = _features(layer), layer.geometry.n_features(filters.xbar.shape[1]) * layer.outputs
    out = np.empty((len(images), width), np.uint16)
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        # The last batch is filled up: one shape, one compilation.
        full = np.pad(part, ((0, batch - len(part)), (0, 0)))
        out[start : start + batch] = np.asarray(step(constants, filters, full, key, np.int32(start)))[: len(part)]
    return out


@functools.cache
def _features(layer):
    def step(constants, filters, images, key, first):
        keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(first + jnp.arange(len(images), dtype=jnp.int32))
        x = images.astype(jnp.float32) / 255
        return patches.features(layer, constants, filters, x, keys).astype(jnp.uint16)

    return jax.jit(step)


# --- readout ----------------------------------------------------------------------------------------------------------


def schedule(recipe: Recipe, samples: int) -> np.ndarray:
    """Return every sample's learning rate [samples]."""
    return learning.schedule(samples, recipe.rate, recipe.decay_at, recipe.decay).astype(np.float32)


def learn_readout(recipe: Recipe, kind: str, cache: np.ndarray, labels: np.ndarray, mean, key: jax.Array, tell=None):
    """Learn from cached features [views, n, F] and labels [n], batch size 1; returns (readout, curve, events).

    curve: share of correct answers before learning, of every epoch. events: (inference, training) sums on the host.
    """
    n, width = cache.shape[1:]
    period = recipe.tile
    samples = recipe.epochs * n // period * period
    rng = np.random.default_rng(np.asarray(jax.random.key_data(noise.fold_in(key, "order"))))
    order = np.concatenate([rng.permutation(n) for _ in range(recipe.epochs)])[:samples]
    view = rng.integers(0, len(cache), samples)
    rates = schedule(recipe, samples)
    if kind == "ideal":
        state, step = jnp.zeros((width, 10)), _ideal_step(recipe)
    else:
        constants = readout.Constants(
            settings(kind, lines=1, fire_at=recipe.fire_at),
            gain=recipe.gain,
            margin=recipe.margin,
            read_noise=DEVICES[kind]["read_noise"],
        )
        xbar = array(kind, (width * recipe.copies, 10), (recipe.tile, 10), noise.fold_in(key, "readout"))
        state, step = readout.create(constants, xbar), _step(recipe.copies)
    learn_key, correct = noise.fold_in(key, "learn"), np.empty(samples, bool)
    counts = [dict.fromkeys(energy.FIELDS, 0) for _ in range(2)]
    pulses = np.zeros(samples, np.int64)
    for start in range(0, samples, recipe.chunk):
        part = slice(start, min(start + recipe.chunk, samples))
        h = cache[view[part], order[part]]
        state, record = step(state, mean, h, labels[order[part]], rates[part], learn_key, np.int32(start))
        correct[part] = record.correct
        for sums, events in zip(counts, record[1:], strict=True):
            for name, number in energy.total(events).items():
                sums[name] += number
        pulses[part] = np.asarray(record.training.pulse)
        if tell is not None and start // recipe.chunk % 50 == 0:
            tell(f"{start} of {samples} samples, {100 * correct[max(0, start - 2000) : start + 1].mean():.1f} % online")
    ends = np.linspace(0, samples, recipe.epochs + 1).astype(int)
    curve = [float(correct[a:b].mean()) for a, b in zip(ends[:-1], ends[1:], strict=True)]
    last = float(pulses[ends[-2] :].mean())
    return state, curve, (*counts, samples, last)


def _inputs(h, mean, copies: int):
    """Return the readout's inputs x [S, copies F] of pooled spikes h [S, F]."""
    return jnp.tile(patches.scaled(h.astype(jnp.float32), mean), (1, copies))


@functools.cache
def _step(copies: int):
    def step(state, mean, h, labels, rates, key, first):
        return readout.learn(state, _inputs(h, mean, copies), labels, rates, key, first)

    return jax.jit(step, donate_argnums=0)


@functools.cache
def _ideal_step(recipe: Recipe):
    """The same loop with weights that take every change exactly, without bounds and noise."""
    # Copies of a feature's weight would all be equal: one of them, that counts as all.
    constants = readout.Constants(None, recipe.gain * recipe.copies, recipe.margin)
    none = energy.Events(*(jnp.zeros((), jnp.int32) for _ in energy.FIELDS))

    def one(w, given):
        x, label, rate = given
        y = jnp.matmul(x, w, precision="highest")
        return w + rate * x[:, None] * readout.error(constants, y, label)[None, :], (
            learning.Record(learning.hits(y, label), none, none)
        )

    def step(w, mean, h, labels, rates, key, first):
        return jax.lax.scan(one, w, (_inputs(h, mean, 1), labels, rates))

    return jax.jit(step, donate_argnums=0)


@functools.cache
def _predict(ideal: bool, copies: int):
    def predict(state, mean, h, key):
        x = _inputs(h, mean, 1 if ideal else copies)
        y = jnp.matmul(x, state, precision="highest") if ideal else readout.predict(state, x, key)
        return jnp.argmax(y, axis=1)

    return jax.jit(predict)


def accuracy(
    recipe: Recipe, kind: str, state, mean, cache: np.ndarray, labels: np.ndarray, key: jax.Array, batch: int = 1000
) -> float:
    """Return the share of correct answers on cached features [n, F]."""
    right = 0
    for start in range(0, len(cache), batch):
        own = jax.random.fold_in(key, start)
        found = _predict(kind == "ideal", recipe.copies)(state, mean, cache[start : start + batch], own)
        right += int(np.sum(np.asarray(found) == labels[start : start + batch]))
    return right / len(cache)


# --- one chip ---------------------------------------------------------------------------------------------------------


def chip(
    recipe: Recipe, kind: str, seed: int, data: datasets.Dataset, tell: Any = lambda text: None
) -> tuple[dict, np.ndarray]:
    """Build, train and test one chip: a row of the results, and its filters [size, size, channels, K]."""
    key, clock = jax.random.fold_in(jax.random.key(2026), seed), time.process_time()
    train_x, test_x = (x.reshape(len(x), *recipe.image) for x in (data.train_x, data.test_x))
    flat = lambda x: np.ascontiguousarray(x).reshape(len(x), -1)  # noqa: E731
    tell("filters")
    layer, constants, filters, spent = learn_filters(
        recipe, recipe.filter_kind or kind, flat(train_x), noise.fold_in(key, "filters")
    )
    seconds = {"filters": time.process_time() - clock}
    tell("features")
    k_look = noise.fold_in(key, "look")
    cache = np.empty((len(recipe.views), len(train_x), recipe.features), np.uint16)
    for number, view in enumerate(recipe.views):
        own = noise.fold_in(k_look, view)
        cache[number] = features(layer, constants, filters, flat(VIEWS[view](train_x)), own)
    test = features(layer, constants, filters, flat(test_x), noise.fold_in(k_look, "test"))
    seconds["features"] = time.process_time() - clock - seconds["filters"]
    state, curve, (inference, training, samples, last) = learn_readout(
        recipe, kind, cache, data.train_y, filters.mean, noise.fold_in(key, "head"), tell
    )
    right = accuracy(recipe, kind, state, filters.mean, test, data.test_y, noise.fold_in(key, "test"))
    seconds["all"] = time.process_time() - clock
    row = {"kind": kind, "seed": seed, "accuracy": right, "online": curve, "samples": samples, "cpu_seconds": seconds}
    if kind != "ideal":
        reads = readout_reads(recipe, state.xbar, test)
        per = {
            "inference": {"filters": looks(layer, filters, test_x, ("as it is",)), "readout": reads},
            "training": {
                "filters": looks(layer, filters, train_x, recipe.views),
                "readout": {name: n / samples for name, n in inference.items()},
                "writing": {name: n / samples for name, n in training.items()},
                "learning the filters": {name: n / samples for name, n in spent.items()},
            },
        }
        row["joules"] = {
            what: {name: joules(c, recipe.copies if name in OF_READOUT else 1) for name, c in parts.items()}
            for what, parts in per.items()
        }
        row["pulses_per_sample"] = {"readout": training["pulse"] / samples, "readout, last epoch": last}
        row["filters_learning"] = {"events": spent, "joules": joules(spent)}
    shape = (recipe.size, recipe.size, recipe.image[2], recipe.filters)
    return row, np.asarray(crossbar.weights(filters.xbar)).reshape(shape)


def readout_reads(recipe: Recipe, xbar: crossbar.Crossbar, cache: np.ndarray, part: int = 1000) -> dict:
    """Mean events of the readout's reads of cached features [n, F]."""
    spent = dict.fromkeys(energy.FIELDS, 0)
    # A ledger counts in int32: ten thousand images of CIFAR-10 are more than that holds.
    for start in range(0, len(cache), part):
        some = cache[start : start + part]
        seen = np.tile(np.sum(some > 0, axis=0), recipe.copies)
        own = energy.total(crossbar.read_events(xbar, jnp.asarray(seen), len(some)))
        spent = {name: n + own[name] for name, n in spent.items()}
    return {name: n / len(cache) for name, n in spent.items()}


def looks(layer, filters, images: np.ndarray, views: tuple[str, ...]) -> dict:
    """Mean events of the first array's reads of an image [n, height, width, channels] in these views.

    Of every so many images: the first ones of MNIST's test set are not like the rest.
    """
    some = images[:: max(1, len(images) // SEEN)]
    shown = np.concatenate([VIEWS[view](some).reshape(len(some), -1) for view in views])
    counted = jax.jit(functools.partial(patches.forward_events, layer))(filters, jnp.asarray(shown, jnp.float32) / 255)
    return {name: n / len(shown) for name, n in energy.total(counted).items()}


def joules(counts: dict, copies: int = 1) -> dict:
    """Price counts of so many pairs a weight: {e_min, e_max, cmos} [J]; digitally one weight is enough."""
    found = energy.joules(counts)
    return {**found, "cmos": found["cmos"] / copies}
