"""The samples of a run: loaded, held out, brought to the array's size, and checked against it."""

import math
import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from memjax import datasets, encoding, variation
from memjax.config import Config
from memjax.errors import ConfigError


class Samples(NamedTuple):
    """Flat images [n, n_inputs] uint8 and labels [n] int32, to train and to evaluate on (`what`: test or held-out)."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    what: str


def load(config: Config, data_dir: str | os.PathLike | None = None) -> Samples:
    """Load what `config.data` names; where the array has fewer inputs (196 or 49), images are averaged in blocks.

    Raises DataError as `datasets.load` does, ValueError as `datasets.split` does, and ConfigError for an array that
    does not fit the images or has fewer outputs than there are classes.
    """
    wanted = config.data
    data = datasets.load(wanted.dataset, data_dir, n_train=wanted.n_train, n_test=wanted.n_test)
    if wanted.held_out:
        data = datasets.split(data, wanted.held_out, key=variation.named_key(jax.random.key(config.seed), "held out"))
    if config.array.n_classes < len(data.classes):
        raise ConfigError(
            f"array.n_classes = {config.array.n_classes}: {data.name} has {len(data.classes)} classes, and each "
            "needs an output"
        )
    train_x, test_x = (_fit(images, config.array.n_inputs, data.name) for images in (data.train_x, data.test_x))
    return Samples(train_x, data.train_y, test_x, data.test_y, "held-out" if wanted.held_out else "test")


def _fit(images: np.ndarray, n_inputs: int, name: str) -> np.ndarray:
    """Flatten images [n, h, w] or [n, h, w, channels], averaged in blocks of k x k where that gives n_inputs values."""
    n, height, width, *rest = images.shape
    channels = math.prod(rest)
    accepted = {
        height * width // k**2 * channels: k for k in range(1, height + 1) if height % k == 0 and width % k == 0
    }
    if n_inputs not in accepted:
        raise ConfigError(
            f"array.n_inputs = {n_inputs} does not fit {name}, whose images have {height} x {width} pixels"
            f"{f' of {channels} colours' if rest else ''}: "
            f"accepted is one of {', '.join(map(str, accepted))} (averaged in blocks)"
        )
    k = accepted[n_inputs]
    if k == 1:
        return images.reshape(n, -1)
    blocks = images.reshape(n, height // k, k, width // k, k, *rest).mean(axis=(2, 4))
    return np.rint(blocks).astype(np.uint8).reshape(n, -1)


def augment(config: Config) -> Callable | None:
    """Return what `learning.online` does to training images; None: nothing.

    Moves them by up to `data.shift` pixels, and mirrors half of them where `data.flip` says so, drawn anew each time.
    """
    wanted, pixels = config.data, config.data.shift
    if not (pixels or wanted.flip):
        return None
    k_shift, k_flip = (variation.named_key(jax.random.key(config.seed), name) for name in ("shift", "flip"))

    def changed(images: jax.Array, turns: jax.Array) -> jax.Array:
        x = images.reshape(-1, *config.image)
        if pixels:
            draw = partial(jax.random.randint, shape=(2,), minval=-pixels, maxval=pixels + 1)
            offsets = jax.vmap(lambda turn: draw(jax.random.fold_in(k_shift, turn)))(turns)
            x = encoding.shift(x, offsets, wanted.shift_fill)
        if wanted.flip:
            x = encoding.flip(x, jax.vmap(lambda turn: jax.random.bernoulli(jax.random.fold_in(k_flip, turn)))(turns))
        return x.reshape(images.shape)

    return changed


def order(config: Config, n: int, epoch: int) -> np.ndarray:
    """Return the order of the n samples in an epoch [n] int32: a permutation from the seed, the same for every chip."""
    key = jax.random.fold_in(variation.named_key(jax.random.key(config.seed), "order"), epoch)
    return np.asarray(jax.random.permutation(key, n)).astype(np.int32)
