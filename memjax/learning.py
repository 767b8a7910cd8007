"""Online in-situ learning: batch size 1, one compiled scan over a chunk of samples, chips vmapped.

The loop knows nothing of networks: a learner is two pure functions over one chip's state,

    learn(state, x [n], label, rates, key, turn) -> (state, (y [classes], Events, Events))
    predict(state, x [B, n], key)          -> y [B, classes]

and, where predictions repeat work that depends on the state alone, prepare(state) -> state to predict with; where what
has learned changes while it rests, age(state, dt [s], key) -> state; where the first layers do not learn any more,
look(state, x [S, n], keys [S]) -> (what `learn` gets in place of x [S, ...], Events [S]), for a whole chunk at once.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax.energy import Events


def _as_it_is(state: Any) -> Any:
    return state


def _ageless(state: Any, dt: Any, key: Array) -> Any:
    return state


class Learner(NamedTuple):
    """The pure functions of something that learns online."""

    learn: Callable
    predict: Callable
    prepare: Callable = _as_it_is
    age: Callable = _ageless
    look: Callable | None = None


class Record(NamedTuple):
    """What a chunk leaves, [chips, samples]: correct before learning, events of inference and of learning."""

    correct: Array
    inference: Events
    training: Events


def scale(images: Array) -> Array:
    """Bring images of bytes to [0, 1] in the default float."""
    return images.astype(jnp.result_type(float)) / 255.0


def hits(y: Array, labels: Array) -> Array:
    """Say where the largest output of y [..., classes] is that of the label [...]."""
    return jnp.argmax(y, axis=-1).astype(labels.dtype) == labels  # argmax counts in the default integer


def cross_entropy(y: Array, labels: Array) -> Array:
    """Return the mean cross entropy of softmax(y) [..., classes] with labels [...], in nats []."""
    chosen = jnp.take_along_axis(jax.nn.log_softmax(y), labels[..., None].astype(jnp.int32), axis=-1)
    return -jnp.mean(chosen)


def online(learner: Learner, augment: Callable | None = None) -> Callable:
    """Compile the online loop: step(chips, keys [chips], images, labels, order [S], rates, first) -> (chips, Record).

    `one_chip`, on every chip at once. The chips' state is donated.
    """
    step = jax.vmap(one_chip(learner, augment), in_axes=(0, 0, None, None, None, None, None))
    return jax.jit(step, donate_argnums=0)


def one_chip(learner: Learner, augment: Callable | None = None) -> Callable:
    """Return the online loop of one chip: step(state, key, images, labels, order [S], rates, first) -> (state, Record).

    Learns samples images[order] one by one. rates is a pytree of learning rates [S]; sample s of the whole run has the
    key fold_in(key, first + s), so how the run is cut into chunks changes nothing (to the bit, but for chunks of one
    sample, which compile without a loop). augment(images [S, n] of bytes, sample numbers [S]) -> images changes what is
    shown, the same for all chips.
    """

    def step(state, key, images, labels, order, rates, first):
        turns = first + jnp.arange(order.shape[0], dtype=jnp.int32)
        keys = jax.vmap(lambda s: jax.random.fold_in(key, s))(turns)

        def sample(state, inputs):
            x, label, rates, key, turn = inputs
            state, (y, inference, training) = learner.learn(state, x, label, rates, key, turn)
            return state, Record(hits(y, label), inference, training)

        # Gathered and scaled here, once: inside the scan it would be done again for every weight the sample updates.
        shown = scale(images[order] if augment is None else augment(images[order], turns))
        if learner.look is None:
            return jax.lax.scan(sample, state, (shown, labels[order], rates, keys, turns))
        seen, looking = learner.look(state, shown, keys)
        state, record = jax.lax.scan(sample, state, (seen, labels[order], rates, keys, turns))
        return state, record._replace(inference=record.inference + looking)

    return step


def evaluate(learner: Learner, batch: int) -> Callable:
    """Compile the evaluation: accuracy(chips, keys [chips], images, labels) -> [chips], in batches of `batch` samples.

    Batch number b of a chip has the key fold_in(chip key, b).
    """

    def correct(state, key, images, labels):
        return jnp.sum(hits(learner.predict(state, scale(images), key), labels), dtype=jnp.int32)

    count = jax.jit(jax.vmap(correct, in_axes=(0, 0, None, None)))
    prepare = jax.jit(jax.vmap(learner.prepare))

    def accuracy(chips: Any, keys: Array, images: Array, labels: Array) -> np.ndarray:
        total, chips = np.zeros(len(keys), np.int64), prepare(chips)
        for number, start in enumerate(range(0, len(images), batch)):
            part = slice(start, start + batch)
            batch_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)
            total = total + np.asarray(count(chips, batch_keys, images[part], labels[part]))
        return total / len(images)

    return accuracy


def schedule(
    samples: int, rate: float, decay_at: tuple[float, ...] = (0.5, 0.8), factor: tuple[float, ...] = (0.3, 0.3)
) -> np.ndarray:
    """Return every sample's learning rate [samples]: `rate`, times factor_k from the share decay_at_k of the run on."""
    done = np.arange(samples) / samples
    rates = np.full(samples, rate)
    for at, by in zip(decay_at, factor, strict=True):
        rates = np.where(done >= at, rates * by, rates)
    return rates
