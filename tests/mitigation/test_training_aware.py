"""Training for the devices: lines that are what devices hold, those of a chip, and what training by them gains."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from memjax import crossbar, devices, energy, mitigation, network, programming, variation
from memjax.mitigation import training_aware
from memjax.mitigation.training_aware import Params, Transfer

INNER = devices.get("exponential")


def chip(shape=(30, 20), stuck=0.1, gain=0.2, key=0):
    made = variation.Nonidealities(d2d={"g_max": gain}, stuck=variation.Stuck(stuck / 2, stuck / 2))
    logical = (2, *shape)
    params, faults = variation.sample(made, INNER, INNER.Params(), logical, (16, 16), jax.random.key(key))
    return crossbar.create(INNER, shape, 16, params=params, faults=faults)


def test_measured_lines_say_what_the_chip_will_hold():
    """Stuck devices and every device's own range, from two reads; without noise exactly."""
    xbar, w = chip(), np.random.default_rng(1).uniform(-1, 1, (30, 20))
    after, lines, events = training_aware.measure(xbar, jax.random.key(0), error=0.0)
    told = training_aware.held(lines, jnp.asarray(w, jnp.result_type(float)))
    states = jnp.asarray(0.5 + 0.5 * np.stack([w, -w]), jnp.result_type(float))
    real = crossbar.weights(crossbar.set_state(after, states))
    np.testing.assert_allclose(told, real, atol=2e-5)
    assert np.abs(np.asarray(told) - w).max() > 0.5
    counts = energy.total(events)
    assert (counts["pulse"], counts["verify"]) == (2 * 1200, 2 * 1200)


def test_read_noise_falls_with_the_reads():
    xbar = chip()
    _, exact, _ = training_aware.measure(xbar, jax.random.key(0), error=0.0)
    _, noisy, events = training_aware.measure(xbar, jax.random.key(0), error=0.0, read_noise=0.04, reads=16)
    for a, b in zip(exact, noisy, strict=True):
        assert abs(np.std(np.asarray(a) - np.asarray(b)) / 0.01 - 1) < 5 / (2 * 1200) ** 0.5
    assert energy.total(events)["verify"] == 2 * 16 * 1200


def test_drawn_lines_have_the_stated_statistics():
    lines = training_aware.sample(Params(gain=0.3, stuck_on=0.05, stuck_off=0.02), (2, 200, 250), jax.random.key(0))
    low, high = (np.asarray(x, np.float64).ravel() for x in lines)
    on, off = (low == high) & (low > 0), (low == high) & (low == 0)
    for share, p in ((on.mean(), 0.05), (off.mean(), 0.02)):
        assert abs(share - p) < 5 * (p * (1 - p) / low.size) ** 0.5
    gain = (high - low)[~(on | off)] / 0.6
    assert abs(gain.mean() - 1) < 5 * 0.3 / gain.size**0.5
    assert abs(gain.std() / 0.3 - 1) < 0.02


def test_a_stuck_device_has_no_gradient_and_its_partner_has():
    lines = Transfer(jnp.asarray([[[0.2, 1.0]], [[0.2, 0.2]]]), jnp.asarray([[[0.8, 1.0]], [[0.8, 0.8]]]))
    slope = jax.grad(lambda w: jnp.sum(training_aware.held(lines, w)))(jnp.asarray([[0.1, 0.1]]))
    np.testing.assert_allclose(slope, [[1.0, 0.5]], rtol=1e-6)


def test_its_network_is_the_one_that_is_deployed():
    device = devices.get("exponential")
    settings = programming.settings(programming.get("accumulator"), 0.01)
    arch = network.Architecture(device=device, sizes=(30, 20, 4), tile=(16, 16))
    net = network.EdgeNetwork(
        arch, network.Chip(device.Params(), init_gain=6.0), network.Physics(), settings, key=jax.random.key(0)
    )
    x = jax.random.uniform(jax.random.key(1), (7, 30))
    arrays = net.arrays()
    y = mitigation.respond(*map(mitigation.reader, arrays), x, jax.random.key(2))
    got = training_aware.forward((crossbar.weights(arrays[0]), crossbar.weights(arrays[1])), x)
    np.testing.assert_allclose(got, y, rtol=1e-4, atol=1e-5)
    assert np.ptp(np.asarray(y)) > 0.1


def test_aware_weights_do_better_on_bad_chips():
    """Four classes of noisy patterns: on chips with 20 % stuck devices, for the kind, and best for each chip alone."""
    rng = np.random.default_rng(0)
    patterns = rng.uniform(0, 1, (4, 30))
    labels = rng.integers(0, 4, 600).astype(np.int32)
    x = jnp.asarray(np.clip(patterns[labels] + 0.25 * rng.normal(size=(600, 30)), 0, 1), jnp.result_type(float))
    labels, key = jnp.asarray(labels), jax.random.key(0)
    start = tuple(0.3 * jax.random.normal(jax.random.fold_in(key, n), s) for n, s in enumerate(((30, 60), (60, 4))))
    bad, keys = Params(gain=0.3, stuck_on=0.1, stuck_off=0.1, noise=0.02), jax.random.split(key, 12)

    def lines(key):
        return tuple(training_aware.sample(bad, (2, *w.shape), jax.random.fold_in(key, n)) for n, w in enumerate(start))

    def train(params, known=None):
        return training_aware.train(
            optax.adam(0.01), start, x[:300], labels[:300], key, params=params, known=known, batches=400, size=50
        )[0]

    def tested(weights, key):
        made = tuple(training_aware.held(own, w) for own, w in zip(lines(key), weights, strict=True))
        return jnp.mean(jnp.argmax(training_aware.forward(made, x[300:]), axis=1) == labels[300:])

    with jax.numpy_dtype_promotion("standard"):  # Optax counts in int32, and raises floats to it
        plain, kind = (jax.jit(lambda p=p: train(p))() for p in (None, bad))
        each = jax.jit(jax.vmap(lambda key: train(bad, lines(key))))(keys)
    every = jax.jit(jax.vmap(tested, in_axes=(None, 0)))
    plain, kind = np.mean(every(plain, keys)), np.mean(every(kind, keys))
    own = np.mean(jax.jit(jax.vmap(tested))(each, keys))
    assert plain + 0.2 < kind
    assert kind + 0.05 < own
    assert own > 0.95
    assert np.all(np.abs(jax.tree.leaves(each)[0]) <= 1)


def test_known_lines_count_without_statistics_too():
    """The loss of a first batch, of one image again and again, is that of the weights which the chip would hold."""
    rng = np.random.default_rng(2)
    start = tuple(jnp.asarray(rng.uniform(-1, 1, s), jnp.result_type(float)) for s in ((6, 8), (8, 3)))
    lines = tuple(training_aware.sample(Params(gain=0.5), (2, *w.shape), jax.random.key(3)) for w in start)
    image, label = jnp.asarray(rng.uniform(0, 1, (1, 6)), start[0].dtype), jnp.zeros(1, jnp.int32)

    def first_loss(known):
        rest = {"key": jax.random.key(0), "known": known, "batches": 1, "size": 3}
        return training_aware.train(optax.sgd(0.0), start, image, label, **rest)[1][0]

    def loss(weights):
        y = 0.5 * np.asarray(training_aware.forward(weights, image), np.float64)[0]
        return np.log(np.exp(y).sum()) - y[0]

    holds = tuple(training_aware.held(own, w) for own, w in zip(lines, start, strict=True))
    assert abs(loss(holds) - loss(start)) > 0.01
    np.testing.assert_allclose(first_loss(lines), loss(holds), rtol=1e-5)
    np.testing.assert_allclose(first_loss(None), loss(start), rtol=1e-5)


def test_refused():
    single = crossbar.create(INNER, (3, 3), polarity=1)
    with pytest.raises(ValueError, match="training_aware takes differential pairs"):
        training_aware.measure(single, jax.random.key(0))
    with pytest.raises(ValueError, match="variation"):
        training_aware.sample(Params(stuck_on=0.8, stuck_off=0.4), (2, 3, 3), jax.random.key(0))
