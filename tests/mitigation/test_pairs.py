"""A measured fault map, and stuck devices made up for by their partners and by the rest of the column."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear

from memjax import crossbar, devices, mitigation, variation
from memjax.mitigation import fault_map, pairs

EXPONENTIAL = devices.get("exponential")
SHAPE = (2, 24, 10)


def array(key, stuck=0.1, polarity=2, spread=0.2):
    shape = (polarity, *SHAPE[1:])
    params = variation.sample_params(
        EXPONENTIAL.Params(step_up=1 / 64, step_down=1 / 64), {"step_up": spread, "g_max": spread / 4}, shape, key
    )
    faults = variation.sample_stuck(shape, stuck / 2, stuck / 2, key)
    return crossbar.create(EXPONENTIAL, SHAPE[1:], 8, polarity=polarity, params=params, faults=faults), faults


def pair(target):
    return jnp.stack([target, -target])


def test_the_map_finds_every_stuck_device_through_read_noise_on_all_chips():
    def chip(key):
        xbar, truth = array(key)
        _, found, events = fault_map.measure(xbar, 1e-8, key, read_noise=0.02, reads=2)
        return truth, found, events

    truth, found, events = jax.jit(jax.vmap(chip))(jax.random.split(jax.random.key(0), 20))
    np.testing.assert_array_equal(found.stuck, truth != 0)
    assert 700 < np.sum(truth != 0) < 1200  # of 9600 devices, a tenth
    # Levels are means of 4 reads; D2D spread of g_max moves those stuck on.
    off = np.asarray(found.level)[np.asarray(truth) == -1]
    np.testing.assert_allclose(off.std(), 0.02 / 2, rtol=0.15)
    assert abs(np.asarray(found.level)[np.asarray(truth) == 1].mean() - 1) < 0.02
    # 16 pulses up and 16 down on all, healthy or not; 2 x 2 reads.
    size = np.prod(SHAPE)
    np.testing.assert_array_equal(events.pulse, 20 * [32 * size])
    np.testing.assert_array_equal(events.verify, 20 * [4 * size])


def test_weights_that_partners_reach_are_exact_and_others_end_at_the_nearest():
    """A NumPy loop over all kinds of pairs: every x is checked to be the best of a fine grid."""
    rng = np.random.default_rng(0)
    target = jnp.asarray(rng.uniform(-1, 1, SHAPE[1:]))
    stuck, level = rng.random(SHAPE) < 0.4, rng.random(SHAPE)
    faults = mitigation.fault_map.FaultMap(jnp.asarray(stuck), jnp.asarray(level, target.dtype))
    x, (low, high) = np.asarray(pairs.states(target, faults)), map(np.asarray, pairs.reach(faults))
    np.testing.assert_allclose(x[stuck], level[stuck], rtol=1e-6)
    assert (stuck.all(0)).any()
    for i, j in np.ndindex(SHAPE[1:]):
        plus, minus = (np.array([level[p, i, j]]) if stuck[p, i, j] else np.linspace(0, 1, 1001) for p in (0, 1))
        can = plus[:, None] - minus[None]
        np.testing.assert_allclose([low[i, j], high[i, j]], [can.min(), can.max()], atol=1e-6)
        best = np.abs(can - float(target[i, j])).min()
        assert abs(abs(x[0, i, j] - x[1, i, j] - float(target[i, j])) - best) < 1.1e-3
        if not stuck[:, i, j].any():  # a healthy pair shares the weight
            np.testing.assert_allclose(x[:, i, j].sum(), 1.0, rtol=1e-6)


def test_a_chip_that_is_compensated_by_its_map_has_the_weights_within_reach():
    @jax.jit
    def chip(key, target):
        xbar, _ = array(key, spread=0.0)
        blank, faults, _ = fault_map.measure(xbar, 1e-8, key)
        made = (crossbar.set_state(blank, x) for x in (pairs.states(target, faults), 0.5 + 0.5 * pair(target)))
        return pairs.reach(faults), *map(crossbar.weights, made)

    target = jax.random.uniform(jax.random.key(4), SHAPE[1:], minval=-1)
    (low, high), w, bare = chip(jax.random.key(3), target)
    np.testing.assert_allclose(w, np.clip(target, low, high), atol=1e-5)  # rounding of the mean range in float32
    missed, before = (np.sum(np.abs(v - target) > 0.05) for v in (w, bare))
    assert before > 20
    assert 0.3 * before < missed < 0.7 * before  # a partner reaches one sign of the two


def test_the_rest_is_spread_as_by_scipys_bounded_least_squares(x64):
    rng = np.random.default_rng(1)
    inputs = rng.random((200, 12)) + 0.5 * rng.random((200, 1))
    target = rng.uniform(-0.6, 0.6, (12, 5))
    low, high = np.full(target.shape, -1.0), np.full(target.shape, 1.0)
    low[rng.random(target.shape) < 0.2] = 0.0
    high[rng.random(target.shape) < 0.2] = 0.0
    moment = inputs.T @ inputs / len(inputs)
    run = jax.jit(partial(pairs.spread_rest, steps=2000))
    w = np.asarray(run(*map(jnp.asarray, (target, low, high, moment))))
    assert (w >= low).all()
    assert (w <= high).all()
    clipped = np.clip(target, low, high)
    for j in range(target.shape[1]):
        # SciPy asks for low < high.
        want = lsq_linear(inputs, inputs @ target[:, j], (low[:, j], high[:, j] + 1e-12), tol=1e-14)
        np.testing.assert_allclose(w[:, j], want.x, atol=2e-6)
        before, after = (np.sum((inputs @ (v[:, j] - target[:, j])) ** 2) for v in (clipped, w))
        assert after <= before


def test_single_ended_weights_have_no_partner():
    rng = np.random.default_rng(2)
    stuck = rng.random((1, *SHAPE[1:])) < 0.3
    faults = fault_map.FaultMap(jnp.asarray(stuck), jnp.asarray(rng.random(stuck.shape), jnp.float32))
    low, high = pairs.reach(faults)
    np.testing.assert_allclose(low[stuck[0]], 2 * faults.level[stuck] - 1, rtol=1e-6)
    np.testing.assert_array_equal((high - low)[~stuck[0]], 2.0)
    x = np.asarray(pairs.states(jnp.full(SHAPE[1:], 0.3), faults))
    np.testing.assert_allclose(x, np.where(stuck, faults.level, 0.65), rtol=1e-6)


def test_errors_name_what_is_accepted():
    xbar = crossbar.create(EXPONENTIAL, SHAPE[1:])
    with pytest.raises(ValueError, match="reads = 0: accepted is 1 or more"):
        fault_map.measure(xbar, 1e-8, jax.random.key(0), reads=0)
    faults = fault_map.FaultMap(jnp.zeros(SHAPE, bool), jnp.zeros(SHAPE))
    with pytest.raises(ValueError, match=r"target has shape \(3, 3\): accepted is \(24, 10\)"):
        pairs.states(jnp.zeros((3, 3)), faults)
    with pytest.raises(ValueError, match=r"moment has shape \(2, 2\): accepted is \(24, 24\)"):
        pairs.spread_rest(jnp.zeros((24, 10)), -1.0, 1.0, jnp.eye(2))
