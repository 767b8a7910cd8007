"""Several devices a weight, and several networks an answer: means of readers, of weights and of outputs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, mitigation, variation
from memjax.mitigation import committee, fault_map, pairs, redundancy

EXPONENTIAL = devices.get("exponential")
SIZES = ((12, 9), (9, 4))
K = 5


def made(shape, keys):
    return jax.vmap(lambda key: crossbar.create(EXPONENTIAL, shape, 8, x=None, key=key))(keys)


@pytest.fixture(scope="module")
def members():
    keys = jax.random.split(jax.random.key(0), K)
    return made(SIZES[0], keys), made(SIZES[1], keys)


def one(stack, m):
    return jax.tree.map(lambda leaf: leaf[m], stack)


def bare(xbar):
    return mitigation.reader(xbar, 0.05)


def test_parallel_devices_read_as_the_mean_with_the_noise_of_a_mean(members):
    first, x = members[0], jax.random.uniform(jax.random.key(1), (3, 12))
    first = first.replace(v_read=jnp.full(K, 0.1))
    seen = jax.jit(lambda first, x: redundancy.parallel(bare, first)(x, x * x))(first, x)
    single = jax.jit(lambda xbar, x: bare(xbar)(x, x * x))
    each = [single(one(first, m), x) for m in range(K)]
    np.testing.assert_allclose(seen.value, np.mean([s.value for s in each], 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen.sd, np.sqrt(np.sum([s.sd**2 for s in each], 0)) / K, rtol=1e-5)
    listed = redundancy.together([bare(one(first, m)) for m in range(K)])(x, x * x)
    np.testing.assert_allclose(listed.value, seen.value, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(listed.sd, seen.sd, rtol=1e-5)


def test_the_division_of_a_weight_is_that_of_a_loop():
    """Whatever can be reached is reached, by parts that lie within reach and are as equal as they can be."""
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.uniform(-1, 1, (2, 4, 6, 7)).astype(np.float32), axis=0)
    b[rng.random(b.shape) < 0.3], a[rng.random(b.shape) < 0.3] = 1.0, -1.0
    target = rng.uniform(-0.8, 0.8, (6, 7)).astype(np.float32)
    w = np.asarray(redundancy.divide(*map(jnp.asarray, (target, a, b))))
    assert (w >= a).all()
    assert (w <= b).all()
    for i, j in np.ndindex(6, 7):
        low, high, parts = a[:, i, j], b[:, i, j], w[:, i, j]
        assert abs(parts.mean() - np.clip(target[i, j], low.mean(), high.mean())) < 1e-6
        free = (parts > low + 1e-5) & (parts < high - 1e-5)
        if free.any():  # parts that no bound holds are equal, and the others are held on their side of it
            c = parts[free].mean()
            np.testing.assert_allclose(parts[free], c, atol=1e-6)
            assert (parts[parts <= low + 1e-5] >= c - 1e-5).all()


def test_divided_weights_of_stuck_pairs_are_right_where_single_pairs_are_not():
    shape, target = (2, *SIZES[0]), jax.random.uniform(jax.random.key(2), SIZES[0], minval=-0.4, maxval=0.4)

    @jax.jit
    def weights(keys):
        faults = jax.vmap(lambda key: variation.sample_stuck(shape, 0.05, 0.05, key))(keys)
        known = fault_map.FaultMap(faults != 0, (faults > 0).astype(target.dtype))
        low, high = jax.vmap(pairs.reach)(known)
        wanted = redundancy.divide(target, low, high)

        def program(faults, known, w):
            xbar = crossbar.create(EXPONENTIAL, SIZES[0], 8, faults=faults)
            return crossbar.weights(crossbar.set_state(xbar, pairs.states(w, known)))

        each = jax.vmap(program)
        single = each(faults, known, jnp.broadcast_to(target, wanted.shape))
        return single, each(faults, known, wanted), jnp.mean(low, 0), jnp.mean(high, 0)

    single, divided, low, high = weights(jax.random.split(jax.random.key(3), 3))
    np.testing.assert_allclose(np.mean(divided, 0), np.clip(target, low, high), atol=1e-5)
    assert np.mean((low <= target) & (target <= high)) > 0.95
    assert np.mean(np.abs(np.mean(single, 0) - target) > 1e-3) > 0.15


@partial(jax.jit, static_argnums=(0, 1))
def answers(noise, by, members, x, key):
    """Return what a committee says, whose members have the devices of `members` twice in parallel."""

    def read(pair):
        twice = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), pair)
        both = zip((None, noise), twice, strict=True)
        return tuple(redundancy.parallel(lambda xbar, sd=sd: mitigation.reader(xbar, sd), stack) for sd, stack in both)

    return committee.answer(read, members, x, key, by=by)


@partial(jax.jit, static_argnums=0)
def alone(noise, pair, x, key):
    return mitigation.respond(mitigation.reader(pair[0]), mitigation.reader(pair[1], noise), x, key)


def test_a_committee_is_a_loop_over_networks(members):
    """Of redundant arrays too: a mean of two times the same array is the array."""
    x, key = jax.random.uniform(jax.random.key(4), (6, 12)), jax.random.key(5)
    each = np.stack([alone(None, one(members, m), x, key) for m in range(K)])
    np.testing.assert_allclose(answers(None, "mean", members, x, key), each.mean(0), rtol=1e-4, atol=1e-5)
    votes = np.stack([np.bincount(each[:, i].argmax(-1), minlength=4) for i in range(6)]) / K
    np.testing.assert_allclose(answers(None, "vote", members, x, key), votes, atol=1e-6)


def test_the_noise_of_members_and_of_parallel_devices_is_their_own(members):
    """Behind the same spikes, the variance of 5 members of 2 devices a device is a tenth."""
    same = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), members)
    x = jnp.broadcast_to(jax.random.uniform(jax.random.key(6), (12,)), (4000, 12))
    noisy = np.asarray(answers(0.05, "mean", same, x, jax.random.key(7)))
    single = np.asarray(alone(0.05, one(members, 0), x, jax.random.key(8)))
    assert single.std(0).min() > 0.01
    np.testing.assert_allclose(noisy.std(0), single.std(0) / 10**0.5, rtol=0.08)


def test_errors_name_what_is_accepted(members):
    with pytest.raises(ValueError, match=r"target has shape \(2, 2\): accepted is \(3, 2\)"):
        redundancy.divide(jnp.zeros((2, 2)), jnp.zeros((4, 3, 2)), jnp.ones((4, 3, 2)))
    with pytest.raises(ValueError, match="by = 'most': accepted is one of mean, vote"):
        committee.answer(mitigation.reader, members, jnp.zeros((1, 12)), jax.random.key(0), by="most")
