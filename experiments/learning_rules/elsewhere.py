"""The same network trained outside the array: by backprop with Optax, hardware-aware, or online on ideal weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from memjax import learning, neurons, training
from memjax.config import Config

BATCH = 50
Weights = tuple[Array, Array]  # [n_in, n_hidden], [n_hidden, n_classes], in [-1, 1]


def first_weights(config: Config, key: Array) -> Weights:
    """Draw first weights as the array's are drawn: normal with sd init_gain / sqrt(fan-in)."""
    a = config.array
    shapes = ((a.n_inputs, a.n_outputs), (a.n_outputs, a.n_classes))
    first, second = (
        config.learning.init_gain / shape[0] ** 0.5 * jax.random.normal(jax.random.fold_in(key, k), shape)
        for k, shape in enumerate(shapes)
    )
    return first, second


def respond(config: Config, weights: Weights, x: Array) -> tuple[Array, Array, Array]:
    """Return (y [..., classes], filtered spikes [..., hidden], mean psi) of the network on ideal weights, x [..., n].

    As `network.EdgeNetwork` without noise; spikes have their surrogate derivative under autodiff.
    """
    n, steps = config.neurons, config.neurons.time_steps
    u = x @ weights[0]
    v, o, hbar, psi = jnp.zeros_like(u), jnp.zeros_like(u), jnp.zeros_like(u), jnp.zeros_like(u)
    for _ in range(steps):
        v = n.leak * v + u
        s = neurons.spike(v - n.threshold, n.surrogate_width)
        psi = psi + neurons.psi(v - n.threshold, n.surrogate_width) / steps
        v = v - n.threshold * s
        o = n.leak * o + s
        hbar = hbar + o / steps
    return hbar @ weights[1], hbar, psi


def backprop(config: Config, x: Array, y: Array, passes: int, rate: Any, sigma: Any, key: Array) -> Weights:
    """Train by Adam on minibatches, with noise of sd `sigma` on every weight in the forward pass: hardware-aware.

    Surrogate gradients through all time steps; weights are kept in [-1, 1]. The rate falls along a cosine.
    Source of the noise: Joshi et al., Nat. Commun. 11, 2473 (2020), doi:10.1038/s41467-020-16108-9.
    """
    each = len(y) // BATCH
    total = passes * each
    steps = jnp.arange(total, dtype=jnp.int32)
    turns = jax.vmap(lambda k: jax.random.permutation(jax.random.fold_in(key, k), len(y))[: each * BATCH])(
        jnp.arange(passes)
    )
    falling = jnp.asarray(0.5 + 0.5 * np.cos(np.pi * np.arange(total) / total), jnp.result_type(float))
    optimiser = optax.scale_by_adam()

    def loss(weights, images, labels, key):
        noisy = tuple(w + sigma * jax.random.normal(jax.random.fold_in(key, k), w.shape) for k, w in enumerate(weights))
        out = config.learning.output_gain * respond(config, noisy, learning.scale(images))[0]
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(out, labels))

    def step(carry, inputs):
        weights, state = carry
        number, chosen, eta = inputs
        own = jax.random.fold_in(jax.random.fold_in(key, 2**20), number)
        gradient = jax.grad(loss)(weights, x[chosen], y[chosen], own)
        updates, state = optimiser.update(gradient, state, weights)
        weights = jax.tree.map(lambda w, d: jnp.clip(w - eta * d, -1.0, 1.0), weights, updates)
        return (weights, state), None

    start, inputs = first_weights(config, key), (steps, turns.reshape(total, BATCH), rate * falling)
    (weights, _), _ = jax.lax.scan(step, (start, optimiser.init(start)), inputs)
    return weights


def online(config: Config, x: Array, y: Array, order: Array, schedule: Array, rate: Any, hidden: Any, key: Array):
    """Learn one by one on ideal weights by the local rules of the array: what a perfect device would reach."""
    real = jnp.result_type(float)

    def sample(weights, inputs):
        image, label, eta = inputs
        first, second = weights
        out, hbar, psi = respond(config, weights, image)
        error = jax.nn.softmax(config.learning.output_gain * out) - jax.nn.one_hot(label, len(out), dtype=real)
        back = second @ error
        first = jnp.clip(first - eta * hidden * image[:, None] * (back * psi)[None, :], -1.0, 1.0)
        return (first, jnp.clip(second - eta * hbar[:, None] * error[None, :], -1.0, 1.0)), None

    shown = learning.scale(x[order])
    return jax.lax.scan(sample, first_weights(config, key), (shown, y[order], schedule * rate))[0]


def accuracy(config: Config, weights: Weights, x: Any, y: Any) -> float:
    """Return the share of images that ideal weights classify correctly."""
    out = respond(config, weights, learning.scale(jnp.asarray(x)))[0]
    return float(jnp.mean(learning.hits(out, jnp.asarray(y))))


def digital_energy(config: Config, passes: int, images: int) -> float:
    """Price training elsewhere by the CMOS list [J]: three MACs a weight and image (1 pJ), a write a step (100 pJ)."""
    a = config.array
    weights = a.n_inputs * a.n_outputs + a.n_outputs * a.n_classes
    return weights * passes * (3 * images * 1e-12 + images // BATCH * 100e-12)


def split(samples: training.Samples, n_train: int, n_held: int) -> tuple[Any, Any, Any, Any]:
    """Return the first n_train training images with labels, and the last n_held to choose settings by."""
    x, y = samples.train_x, samples.train_y
    return tuple(map(np.asarray, (x[:n_train], y[:n_train], x[-n_held:], y[-n_held:])))  # type: ignore[return-value]
