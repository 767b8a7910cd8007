"""Checksum columns: any one bad column of every tile is found and its read-outs are restored."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, mitigation, noise, variation
from memjax.mitigation import checksum, fault_map, pairs
from memjax.mitigation.checksum import Plan

EXPONENTIAL = devices.get("exponential")
PLAN = Plan((20, 23), (8, 12), groups=2, locators=2)  # last tiles of 4 rows and 11 columns
CLASSIC = Plan((20, 23), (8, 12))  # the two checksums of Huang and Abraham
NOISE = 0.02


def array(plan, target, faults=None, polarity=2, error=0.0, key=None):
    """Program the weights of all columns, checks too; then some fail: they leave g_min."""
    whole, scale = checksum.encode(plan, target)
    x = 0.5 + 0.5 * jnp.stack([whole, -whole][:polarity])
    if error:
        x = jnp.clip(x + error * noise.normal(key, x.shape, x.dtype), 0, 1)
    if faults is not None:
        x = jnp.where(faults != 0, 0.0, x)
    return crossbar.create(EXPONENTIAL, plan.physical_shape, plan.physical_tile, polarity=polarity, x=x), scale


def weights(seed=0, size=0.6):
    return jax.random.uniform(jax.random.key(seed), PLAN.shape, minval=-size, maxval=size)


@pytest.mark.parametrize("plan", [PLAN, CLASSIC])
def test_checks_are_sums_of_columns(plan):
    """A loop over tiles: what is decoded from the checks is the weighted sum of the columns of each group."""
    w, k, (m, n) = weights(), plan.checks, plan.tile
    whole, scale = map(np.asarray, checksum.encode(plan, w))
    w, counts = np.asarray(w), checksum.code(plan)
    assert whole.shape == plan.physical_shape
    assert np.abs(whole).max() <= 1.0
    assert len({tuple(row) for row in counts}) == n  # no two columns count the same
    for i, c in np.ndindex(w.shape[0], plan.tiles[1]):
        own = w[i, c * n : (c + 1) * n]
        line = whole[i, c * (n + k) : (c + 1) * (n + k)]
        np.testing.assert_array_equal(line[k:], own)
        np.testing.assert_allclose(line[:k] * scale[i // m, c], own @ counts[: len(own)], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("polarity", [1, 2])
def test_every_bad_column_of_every_tile_is_restored_to_rounding(polarity):
    """Column by column, checks too, in all tiles at once: outputs are those of w, at the first read."""
    w, x = weights(), jax.random.uniform(jax.random.key(9), (3, PLAN.shape[0]))
    size = PLAN.physical_tile[1]

    @partial(jax.jit, static_argnums=1)
    def outputs(bad, found_anew):
        lines = jnp.arange(PLAN.physical_shape[1]) % size == bad
        faults = jnp.where(lines, -1, 0)[None, None] * jnp.asarray([1, 0][:polarity])[:, None, None]
        xbar, scale = array(PLAN, w, jnp.broadcast_to(faults, (polarity, *PLAN.physical_shape)), polarity)
        column, _ = checksum.self_test(PLAN, scale, xbar)
        read = checksum.reader(PLAN, scale, xbar, None if found_anew else column)
        return column, read(x, x * x).value

    for bad in range(size):
        column, y = outputs(bad, bad == size - 2)
        # The last tiles have one column less.
        want = np.full(PLAN.tiles, max(bad - PLAN.checks, -1))
        want[:, -1] = np.where(bad == size - 1, -1, want[:, -1])
        np.testing.assert_array_equal(column, want)
        np.testing.assert_allclose(y, x @ w, atol=1e-4)  # float32: a sum of 12 columns of 20


def test_a_healthy_array_is_left_alone_and_noise_is_of_the_columns_that_stand_in():
    """Test reads through noise on 200 chips; then the sd of a corrected read against its own draws."""
    w, x = weights(), jnp.full((PLAN.shape[0],), 0.7)
    shape = (2, *PLAN.physical_shape)

    @jax.jit
    @jax.vmap
    def chip(key):
        lines = variation.one_line_a_tile(shape, PLAN.physical_tile, "bit", key)
        found = []
        for faults in (jnp.zeros_like(lines), lines):
            xbar, scale = array(PLAN, w, faults, error=NOISE, key=key)
            found.append(checksum.self_test(PLAN, scale, xbar, key, read_noise=NOISE, error=NOISE)[0])
        return found

    healthy, failed = chip(jax.random.split(jax.random.key(0), 200))
    np.testing.assert_array_equal(healthy, -1)
    assert 0.7 < (np.asarray(failed) >= 0).mean() < 0.9  # a check is bad in 4 of 16; small tiles are as loud as noise

    faults = jnp.zeros(shape, jnp.int8).at[0, :, PLAN.checks + 3].set(-1)
    xbar, scale = array(PLAN, w, faults)
    column, events = checksum.self_test(PLAN, scale, xbar, jax.random.key(1), read_noise=NOISE, reads=64)
    np.testing.assert_array_equal(column, [[3, -1]] * 3)
    assert int(events.mac) == 2 * 64 * np.prod(PLAN.physical_shape)
    seen = checksum.reader(PLAN, scale, xbar, column, NOISE)(x, x * x)
    y = checksum.read_tiles(PLAN, xbar, x)
    power = np.sqrt(2 * 0.49 * np.array([8, 8, 4]))[:, None, None]
    draws = NOISE * power * np.random.default_rng(0).standard_normal((4000, *y.shape))
    noisy = checksum.correct(PLAN, scale, y[None] + jnp.asarray(draws, y.dtype), column)
    outputs = np.asarray(noisy).sum(1).reshape(4000, -1)[:, : PLAN.shape[1]]
    np.testing.assert_allclose(outputs.std(0), seen.sd, rtol=5 * (2 * 4000) ** -0.5)
    assert seen.sd[3] > 2 * seen.sd[4]


def test_bad_columns_are_found_through_noise_and_errors_of_programming():
    plan = Plan((64, 64), (64, 64), groups=5, locators=2)
    w = 0.1 * jax.random.normal(jax.random.key(3), plan.shape)
    shape = (2, *plan.physical_shape)

    @jax.jit
    @jax.vmap
    def chip(key):
        lines = variation.one_line_a_tile(shape, plan.physical_tile, "bit", key)
        xbar, scale = array(plan, w, lines, error=NOISE, key=key)
        found, _ = checksum.self_test(plan, scale, xbar, key, read_noise=NOISE, error=NOISE)
        return found[0, 0], jnp.argmax(lines.any((0, 1)))

    found, bad = chip(jax.random.split(jax.random.key(4), 200))
    np.testing.assert_array_equal(found, np.maximum(np.asarray(bad) - plan.checks, -1))


def test_checksums_and_partners_compose():
    """Stuck devices are made up for in the checks too, so that a column that fails later is found and restored."""
    w = weights(size=0.3)
    whole, scale = checksum.encode(PLAN, w)
    faults = variation.sample_stuck((2, *PLAN.physical_shape), 0.05, 0.05, jax.random.key(5))
    low, high = pairs.reach(known(faults))
    faults = jnp.where((low <= whole) & (whole <= high), faults, 0)  # what a partner reaches
    assert np.sum(np.asarray(faults) != 0) > 40
    xbar = crossbar.create(EXPONENTIAL, PLAN.physical_shape, PLAN.physical_tile, faults=faults)
    x, bare = jnp.ones(PLAN.shape[0]), crossbar.set_state(xbar, 0.5 + 0.5 * jnp.stack([whole, -whole]))
    xbar = crossbar.set_state(xbar, pairs.states(whole, known(faults)))
    dead = xbar.replace(state=jax.tree.map(lambda s: s.at[0, :, :, 0, PLAN.checks + 5].set(0.0), xbar.state))
    column, _ = checksum.self_test(PLAN, scale, dead, error=1e-3)
    np.testing.assert_array_equal(column, [[5, -1]] * 3)
    y = checksum.reader(PLAN, scale, dead, column)(x, x).value
    np.testing.assert_allclose(y, x @ w, atol=1e-4)
    y = checksum.reader(PLAN, scale, bare, column)(x, x).value
    assert np.abs(np.asarray(y - x @ w)).max() > 1.0


def known(faults):
    return fault_map.FaultMap(faults != 0, (faults > 0).astype(float))


def test_costs_are_those_of_the_columns():
    hidden, output = Plan((784, 256), (64, 64), 5, 2), Plan((256, 10), (64, 10), 1, 2)
    assert hidden.physical_shape == (784, 284)
    built = sum(np.prod(p.physical_shape) for p in (hidden, output))
    assert built / (784 * 256 + 2560) < 1.125
    np.testing.assert_allclose(Plan((64, 64), (64, 64)).devices, 66 / 64)


def test_errors_name_what_is_accepted():
    with pytest.raises(ValueError, match=r"target has shape \(2, 2\)"):
        checksum.encode(PLAN, jnp.zeros((2, 2)))
    xbar = crossbar.create(EXPONENTIAL, (20, 23), (8, 12))
    with pytest.raises(ValueError, match=r"accepted is \(20, 31\) in tiles of \(8, 16\)"):
        checksum.read_tiles(PLAN, xbar, jnp.ones(20))
    scale = jnp.ones((3, 2, 4))
    with pytest.raises(ValueError, match="self_test"):
        mitigation.checksum.reader(PLAN, scale, xbar, None, NOISE)
    right = crossbar.create(EXPONENTIAL, PLAN.physical_shape, PLAN.physical_tile)
    with pytest.raises(ValueError, match="give a key"):
        checksum.self_test(PLAN, scale, right, read_noise=NOISE)
    with pytest.raises(ValueError, match="with wires"):
        checksum.read_tiles(PLAN, right.replace(wires=1.0), jnp.ones(20))
