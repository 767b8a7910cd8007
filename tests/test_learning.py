"""The online loop: the same as learning one by one, for any cut into chunks and any number of chips at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices, learning, monte_carlo, network, neurons, noise, programming

SIZES, SAMPLES, CHIPS = (30, 12, 4), 24, 3


@functools.cache
def system():
    """A small noisy network, with everything switched on."""
    device = devices.get("exponential")
    arch = network.Architecture(device=devices.with_c2c_noise(device), sizes=SIZES, tile=(8, 8), steps=4)
    chip = network.Chip(
        params=device.Params(), spread={"step_up": 0.2, "step_down": 0.2}, c2c=0.3, stuck_on=0.01, stuck_off=0.01
    )
    physics = network.Physics(neuron=neurons.Params(), read_noise=0.02)
    settings = programming.AccumulatorParams(step=programming.weight_step(device, chip.params), lines=2)
    return network.functional(lambda key: network.EdgeNetwork(arch, chip, physics, settings, key=key))


def data(n=SAMPLES):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, SIZES[0])) * rng.integers(0, 2, (n, SIZES[0]))
    return jnp.asarray(images, jnp.uint8), jnp.asarray(rng.integers(0, SIZES[2], n), jnp.int32)


def keys(n=CHIPS):
    return monte_carlo.chip_keys(jax.random.key(5), n)


def fresh(n=CHIPS):
    return jax.jit(jax.vmap(system()[1]))(keys(n))


RATES = np.linspace(0.3, 0.1, SAMPLES).astype(np.float32)
ORDER = np.random.default_rng(1).permutation(SAMPLES).astype(np.int32)


@functools.cache
def step():
    return learning.online(system()[0])


def run(chunk, n=CHIPS):
    """Learn all samples in chunks; returns (chips, record with leaves [chips, samples])."""
    chips, records = fresh(n), []
    for first in range(0, SAMPLES, chunk):
        part = slice(first, first + chunk)
        rates = (jnp.asarray(RATES[part]), jnp.asarray(RATES[part]) / 2)
        chips, record = step()(chips, keys(n), *data(), jnp.asarray(ORDER[part]), rates, first)
        records.append(record)
    return chips, jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *records)


@functools.cache
def whole():
    return run(SAMPLES)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_the_compiled_loop_is_learning_one_by_one():
    chips, record = whole()
    learner, init = system()
    images, labels = data()
    learn, init = jax.jit(learner.learn), jax.jit(init)
    for c, key in enumerate(keys()):
        state = init(key)
        for s, n in enumerate(ORDER):
            x = images[n].astype(jnp.float32) / 255
            own = jax.random.fold_in(key, s)
            state, (y, inference, training) = learn(state, x, labels[n], (RATES[s], RATES[s] / 2), own, s)
            assert (int(jnp.argmax(y)) == int(labels[n])) == bool(record.correct[c, s])
            own_record = jax.tree.map(lambda leaf, c=c, s=s: leaf[c, s], record)
            assert_equal((own_record.inference, own_record.training), (inference, training))
        jax.tree.map(lambda a, b, c=c: np.testing.assert_allclose(a[c], b, rtol=1e-4, atol=2e-6), chips, state)
    assert record.training.pulse.sum() > 20


@pytest.mark.parametrize("chunk", [2, 8])
def test_chunks_change_nothing(chunk):
    chips, record = whole()
    cut_chips, cut_record = run(chunk)
    assert_equal(chips, cut_chips)
    assert_equal(record, cut_record)


@pytest.mark.broad
def test_chunks_of_one_sample_change_nothing_but_rounding():
    chips, record = whole()
    cut_chips, cut_record = run(1)
    assert_equal(record, cut_record)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6), chips, cut_chips)


def test_chips_together_are_the_chips_alone():
    """The draws of a chip are its own, so that a chip among others ends where it ends alone."""
    chips, record = whole()
    one, own = run(SAMPLES, 1)
    np.testing.assert_array_equal(record.correct[:1], own.correct)
    assert_equal(jax.tree.map(lambda leaf: leaf[:1], record), own)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[:1], b, rtol=1e-4, atol=2e-6), chips, one)
    # Different chips, however, differ in devices and in noise.
    differ = [np.mean(leaf[0] != leaf[1]) for leaf in jax.tree.leaves(chips) if leaf.size > 500]
    assert max(differ) > 0.9


def counted(traces):
    def learn(state, x, label, rates, key, turn):
        traces.append(x.shape)
        return state + rates * x.sum(), (jax.nn.one_hot(label, 4), learning.Events(mac=turn), learning.Events())

    return learning.Learner(learn, lambda state, x, key: x[:, :4] * state)


def test_one_compilation_for_each_length_of_a_chunk():
    traces = []
    loop = learning.online(counted(traces))
    images, labels = data()
    chips = jnp.zeros(2)
    for first, length, total in ((0, 6, 1), (6, 6, 1), (12, 6, 1), (18, 3, 2), (21, 3, 2)):
        order, rates = jnp.arange(first, first + length, dtype=jnp.int32), jnp.full(length, 0.1 * (first + 1))
        chips, record = loop(chips, keys(2), images, labels, order, rates, first)
        assert len(traces) == total
        np.testing.assert_array_equal(record.inference.mac, [np.arange(first, first + length)] * 2)
        assert record.correct.all()
    pixels = np.asarray(images, float).sum(1) / 255
    wanted = sum(0.1 * ((6 if n < 18 else 3) * (n // (6 if n < 18 else 3)) + 1) * pixels[n] for n in range(24))
    np.testing.assert_allclose(chips, [wanted] * 2, rtol=1e-5)


def test_bytes_become_0_to_1():
    scaled = learning.scale(jnp.asarray([0, 51, 255], jnp.uint8))
    np.testing.assert_allclose(scaled, [0, 0.2, 1], rtol=1e-6)
    assert scaled.dtype == np.float32
    with jax.enable_x64(True):
        assert learning.scale(jnp.asarray([1], jnp.uint8)).dtype == np.float64


@pytest.mark.parametrize("batch", [1, 7, 24, 100])
def test_accuracy_is_the_share_of_right_answers(batch):
    images, _ = data()
    # A chip answers with the position of its largest (or, with a negative state, smallest) of four pixels.
    chips = jnp.asarray([1.0, -1.0])
    pixels = np.asarray(images)[:, :4].astype(float)
    right = np.argmax(pixels, axis=1)
    labels = np.where(np.arange(SAMPLES) < 18, right, (right + 1) % 4).astype(np.int32)
    found = learning.evaluate(counted([]), batch)(chips, keys(2), images, jnp.asarray(labels))
    np.testing.assert_allclose(found, [np.mean(np.argmax(s * pixels, axis=1) == labels) for s in (1, -1)])
    assert found[0] == 0.75


def test_every_batch_of_an_evaluation_has_its_own_key():
    """A learner that guesses by its key alone."""

    def guess(key):
        return noise.bits(key, (4,)).astype(jnp.float32)

    learner = counted([])._replace(predict=lambda state, x, key: jnp.broadcast_to(guess(key), (len(x), 4)))
    images, labels = data()
    found = learning.evaluate(learner, 2)(jnp.zeros(2), keys(2), images, labels)
    for c in range(2):
        guesses = [int(jnp.argmax(guess(jax.random.fold_in(keys(2)[c], n // 2)))) for n in range(SAMPLES)]
        assert len(set(guesses)) > 1
        assert found[c] == np.mean(np.asarray(guesses) == np.asarray(labels))


def test_schedule():
    np.testing.assert_allclose(learning.schedule(10, 2.0), [2] * 5 + [0.6] * 3 + [0.18] * 2)
    np.testing.assert_allclose(learning.schedule(4, 1.0, (0.25,), (0.5,)), [1, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(learning.schedule(3, 1.0, (), ()), [1, 1, 1])
    with pytest.raises(ValueError, match="argument"):
        learning.schedule(3, 1.0, (0.5,), ())
