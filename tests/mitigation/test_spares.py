"""Spare lines: what they repair is repaired to the bit, whichever tile the bad line is in."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, mitigation, variation
from memjax.mitigation import fault_map, pairs, spares
from memjax.mitigation.spares import Plan

EXPONENTIAL = devices.get("exponential")
PLAN = Plan((20, 11), (8, 4), (3, 1))  # last tiles of 4 rows and 3 columns


def physical(plan, faults, key, polarity=2):
    shape = (polarity, *plan.physical_shape)
    params = variation.sample_params(EXPONENTIAL.Params(step_up=1 / 64, step_down=1 / 64), {"g_max": 0.1}, shape, key)
    return crossbar.create(
        EXPONENTIAL, plan.physical_shape, plan.physical_tile, polarity=polarity, params=params, faults=faults
    )


@jax.jit
def repaired(faults, target, key):
    """Measure, route, program -> (routing, map of what is left, array, weights, those of the same devices unbroken)."""
    xbar = physical(PLAN, faults, key)
    xbar, found, _ = fault_map.measure(xbar, 1e-8, key, read_noise=0.02)
    routing = spares.assign(PLAN, found)
    used = spares.route(xbar, PLAN, routing)
    whole = spares.route(replace(xbar, faults=None), PLAN, routing)
    x = 0.5 + 0.5 * jnp.stack([target, -target])
    made = [crossbar.weights(crossbar.set_state(made, x)) for made in (used, whole)]
    return routing, spares.route_map(PLAN, routing, found), used, *made


@pytest.mark.parametrize("kind", ["word", "bit", "driver"])
def test_one_bad_line_a_tile_is_repaired_to_the_bit(kind):
    target = jax.random.uniform(jax.random.key(1), PLAN.shape, minval=-1)
    for chip in range(8):
        key = jax.random.key(chip)
        faults = variation.one_line_a_tile((2, *PLAN.physical_shape), PLAN.physical_tile, kind, key)
        assert (faults != 0).any()
        routing, left, used, w, whole = repaired(faults, target, key)
        assert used.shape == PLAN.shape
        assert not np.any(left.stuck)
        np.testing.assert_array_equal(w, whole)
        lines = np.asarray(routing.word)[0]
        assert len(set(lines)) == 8
        assert (np.diff(lines) > 0).all()


def test_the_array_behind_the_decoders_is_a_loop_over_lines():
    rng = np.random.default_rng(0)
    faults = jnp.asarray(rng.choice([-1, 0, 1], (2, *PLAN.physical_shape), p=[0.1, 0.8, 0.1]), jnp.int8)
    (word, bit), left, used, _, _ = repaired(faults, jnp.zeros(PLAN.shape), jax.random.key(0))
    word, bit, (m, n), (k, q) = np.asarray(word), np.asarray(bit), PLAN.tile, PLAN.physical_tile
    xbar = physical(PLAN, faults, jax.random.key(0))
    theirs = np.asarray(crossbar.conductance(crossbar.set_state(replace(xbar, faults=None), 1.0)))
    ours = np.asarray(crossbar.conductance(crossbar.set_state(replace(used, faults=None), 1.0)))
    stuck = np.asarray(faults) != 0
    for p, i, j in np.ndindex(2, *PLAN.shape):
        row = i // m * k + word[i // m, i % m]
        col = j // n * q + bit[p, i // m, j // n, j % n]
        assert ours[p, i, j] == pytest.approx(theirs[p, row, col], rel=1e-6)  # no two devices are as near
        assert left.stuck[p, i, j] == stuck[p, row, col]
    # The worst lines that exist are those left out: of word lines first, then of the bit lines of what is left.
    counts = np.zeros((3, k), int)
    for r in range(3):
        for i in range(min(k, PLAN.physical_shape[0] - r * k)):
            counts[r, i] = stuck[:, r * k + i].sum()
    for r, used_lines in enumerate((8, 8, 4)):
        out = sorted(set(range(used_lines + 3)) - set(word[r, :used_lines]))
        assert len(out) == 3
        assert counts[r, out].min() >= counts[r, word[r, :used_lines]].max()


def test_spares_and_partners_compose():
    """Bad lines are left out, and single stuck devices are made up for by their partners."""
    key, target = jax.random.key(2), 0.5 * jax.random.uniform(jax.random.key(3), PLAN.shape, minval=-1)
    shape = (2, *PLAN.physical_shape)
    faults = variation.merge_faults(
        variation.one_line_a_tile(shape, PLAN.physical_tile, "bit", key), variation.sample_stuck(shape, 0.02, 0.02, key)
    )
    _, left, used, w, whole = repaired(faults, target, key)
    assert 0 < np.mean(np.asarray(left.stuck)) < 0.1
    both = crossbar.weights(crossbar.set_state(used, pairs.states(target, left)))
    before, after = (np.abs(np.asarray(v - whole)).mean() for v in (w, both))
    assert after < 0.6 * before


def test_more_bad_lines_than_spares_are_not_hidden():
    faults = jnp.zeros((2, *PLAN.physical_shape), jnp.int8).at[:, 0:4].set(-1)
    _, left, _, w, whole = repaired(faults, jnp.full(PLAN.shape, 0.5), jax.random.key(0))
    assert np.sum(np.asarray(left.stuck).all(axis=(0, 2))) == 1
    assert np.any(np.asarray(w != whole))


def test_devices_are_counted_as_built():
    assert Plan((784, 256), (64, 64), (4, 1)).physical_shape == (784 + 13 * 4, 256 + 4)
    np.testing.assert_allclose(Plan((64, 64), (64, 64), (4, 1)).devices, (68 / 64) * (65 / 64), rtol=1e-12)
    np.testing.assert_allclose(PLAN.devices, 29 * 14 / 220, rtol=1e-12)


def test_errors_name_what_is_accepted():
    blank = fault_map.FaultMap(*(jnp.zeros((2, *PLAN.physical_shape), t) for t in (bool, float)))
    xbar = crossbar.create(EXPONENTIAL, PLAN.physical_shape, PLAN.physical_tile)
    routing = spares.assign(PLAN, blank)
    np.testing.assert_array_equal(routing.word, np.broadcast_to(np.arange(8), (3, 8)))
    with pytest.raises(ValueError, match=r"fault map of shape \(2, 20, 11\)"):
        spares.assign(PLAN, mitigation.fault_map.FaultMap(blank.stuck[:, :20, :11], blank.level[:, :20, :11]))
    with pytest.raises(ValueError, match=r"accepted is \(29, 14\) in tiles of \(11, 5\)"):
        spares.route(crossbar.create(EXPONENTIAL, (20, 11), (8, 4)), PLAN, routing)
    with pytest.raises(ValueError, match="with wires"):
        spares.route(replace(xbar, wires=1.0), PLAN, routing)
