"""What wires leave of reads and writes, kept between two solutions of them: against the solutions."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, learning, network
from memjax.programming import AccumulatorParams
from memjax.wires import Wires

DEVICE = devices.get("exponential")
WIRES = Wires(r_word=20.0, r_bit=30.0)
SHAPE, TILE = (13, 9), (4, 5)


@pytest.fixture(scope="module")
def pair():
    """An array that solves its wires, and the same with losses; one tile is off, the last ones are filled in part."""
    x = jnp.asarray(np.random.default_rng(0).random((2, *SHAPE)))
    solved = crossbar.set_active(crossbar.create(DEVICE, SHAPE, TILE, x=x, wires=WIRES), 1, 0, False)
    return solved, jax.jit(crossbar.keep_losses)(solved)


def volts(*shape):
    return jnp.asarray(np.random.default_rng(1).uniform(-0.1, 0.1, shape))


def test_reads_are_those_of_the_solution(pair):
    solved, kept = pair
    v, back = volts(3, 13), volts(9)
    exact, ideal = crossbar.read(solved, v), crossbar.read(replace(solved, wires=None), v)
    scale = np.abs(exact).max()
    assert np.abs(exact - ideal).max() > 1e-2 * scale  # the wires matter here
    for array in (kept, crossbar.cache(kept)):
        np.testing.assert_allclose(crossbar.read(array, v), exact, rtol=0, atol=2e-6 * scale)
    np.testing.assert_allclose(crossbar.read_back(kept, back), crossbar.read_back(solved, back), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(crossbar.net_conductance(kept), crossbar.net_conductance(solved))
    np.testing.assert_array_equal(crossbar.read(kept, v, wires=WIRES), exact)


def test_a_tile_that_is_switched_on_has_its_losses(pair):
    solved, kept = pair
    scale = np.abs(crossbar.read(solved, volts(13))).max()
    on, exact = (crossbar.set_active(array, 1, 0, True) for array in (crossbar.cache(kept), solved))
    np.testing.assert_allclose(crossbar.read(on, volts(13)), crossbar.read(exact, volts(13)), rtol=0, atol=2e-6 * scale)


def test_a_device_written_alone_gets_the_voltage_of_the_solution(pair):
    solved, kept = pair
    # One device a tile and polarity, so that no other pulse shares its lines; the tile that is off has none.
    pulses = jnp.zeros((2, *SHAPE)).at[0, 2, 1].set(1).at[1, 3, 3].set(-1).at[0, 12, 8].set(-1).at[1, 9, 0].set(1)
    before = crossbar.conductance(solved)
    ideal, exact, ours = (
        crossbar.conductance(crossbar.write(array, pulses, 1e-8, None, max_pulses=1)[0]) - before
        for array in (replace(solved, wires=None), solved, kept)
    )
    hit = np.asarray(pulses) != 0
    shares = np.asarray(exact)[hit] / np.asarray(ideal)[hit]
    assert ((shares > 0.9) & (shares < 0.995)).all(), shares
    np.testing.assert_allclose(np.asarray(ours)[hit], np.asarray(exact)[hit], rtol=2e-4)
    assert not np.asarray(ours)[~hit].any()


def test_what_the_losses_miss_is_of_second_order(pair):
    """Pulses on many bit lines at once, and reads after them: off by far less than the wires take."""
    solved, kept = pair
    pulses = jnp.asarray(np.random.default_rng(2).integers(-1, 2, (2, *SHAPE)))
    v = volts(5, 13)
    ideal, exact, ours = (
        crossbar.read(crossbar.write(array, pulses, 1e-8, None, max_pulses=1)[0], v)
        for array in (replace(solved, wires=None), solved, crossbar.cache(kept))
    )
    assert np.abs(ours - exact).max() < 0.03 * np.abs(ideal - exact).max()


def test_rows_are_written_and_kept_as_all_of_it_is(pair):
    kept = crossbar.cache(pair[1])
    pulses = jnp.zeros((2, *SHAPE)).at[:, jnp.asarray([2, 9])].set(1)
    whole, _ = crossbar.write(kept, pulses, 1e-8, None, max_pulses=1)
    rows = jnp.asarray([2, 9])
    some, _ = crossbar.write(kept, pulses[:, rows], 1e-8, None, rows=rows, max_pulses=1)
    np.testing.assert_allclose(some.net, whole.net, rtol=0, atol=1e-12)
    np.testing.assert_allclose(some.net, crossbar.cache(crossbar.uncache(some)).net, rtol=0, atol=1e-12)


def test_an_array_without_wires_has_no_losses_to_keep():
    with pytest.raises(ValueError, match="array without wires"):
        crossbar.keep_losses(crossbar.create(DEVICE, SHAPE, TILE))


# --- in a network that learns -------------------------------------------------------------------------------------

SAMPLES = 8


def learned(wires, refresh):
    """Return the chips after SAMPLES samples, their outputs' correctness and what they predict."""
    arch = network.Architecture(DEVICE, sizes=(12, 8, 3), tile=(5, 4), refresh=refresh)
    chip = network.Chip(DEVICE.Params(step_up=0.05, step_down=0.05), {"step_up": 0.2})
    settings = AccumulatorParams(step=0.1, fire_at=0.2)

    def make(key):
        return network.EdgeNetwork(arch, chip, network.Physics(wires=wires), settings, key=key)

    learner, init = network.functional(make)
    keys = jax.random.split(jax.random.key(0), 2)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (SAMPLES, 12)).astype(np.uint8), rng.integers(0, 3, SAMPLES)
    rates = (np.full(SAMPLES, 1.0, np.dtype(jnp.result_type(float))),) * 2
    step, chips = learning.online(learner), jax.jit(jax.vmap(init))(keys)
    order = np.arange(SAMPLES, dtype=np.int32)
    chips, _ = step(chips, keys, jnp.asarray(images), jnp.asarray(labels), order, rates, np.int32(0))
    shown = jax.vmap(learner.predict, (0, None, None))
    x = learning.scale(jnp.asarray(images))
    return np.asarray(chips["hidden"]["weight"].get_value().x), np.asarray(
        jax.jit(shown)(jax.vmap(learner.prepare)(chips), x, keys[0])
    )


@pytest.fixture(scope="module")
def ideal():
    return learned(None, None)


def test_learning_through_wires_is_learning_where_they_have_no_resistance(ideal):
    x, y = learned(Wires(0.0, 0.0), 3)
    np.testing.assert_allclose(x, ideal[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(y, ideal[1], rtol=0, atol=1e-4)


@pytest.mark.broad
def test_learning_with_losses_follows_learning_with_solutions(ideal):
    """The losses are solved anew every third sample; wires of 30 ohm a segment change what is learned.

    Means: a pulse fires or not, so that the least difference may move one device by a whole step.
    """
    wires = Wires(30.0, 30.0)
    exact, ours = learned(wires, None), learned(wires, 3)
    for a, b, c in zip(exact, ours, ideal, strict=True):
        apart = np.abs(a - c).mean()
        assert apart > 1e-3
        assert np.abs(a - b).mean() < 0.05 * apart
