"""What holds for every programmer in the folder, the ones to come included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programming_reference import DT, SHAPE, SOFT, STEP, TILE, states

from memjax import crossbar, energy, programming
from memjax.plasticity import Outer

NAMES = programming.names()


def settings(name):
    """Return a programmer with its defaults, or what lets it fire within a few calls on a small array."""
    programmer = programming.get(name)
    params = programming.settings(programmer, STEP)
    return programmer, params.replace(lines=3) if name == "accumulator" else params


def some_array(polarity=2, **kwargs):
    x = jax.random.uniform(jax.random.key(3), (polarity, *SHAPE), minval=0.3, maxval=0.7)
    return crossbar.cache(crossbar.create(SOFT, SHAPE, TILE, polarity=polarity, x=x, **kwargs))


def run(programmer, params, xbar, dw, calls, key):
    """Make `calls` equal calls in one scan: (array, state, events [calls])."""

    def call(carry, turn):
        xbar, state = carry
        xbar, state, events = programmer.step(params, state, dw, xbar, DT, jax.random.fold_in(key, turn), turn)
        return (xbar, state), events

    start = (xbar, programmer.init(params, xbar))
    (xbar, state), events = jax.lax.scan(call, start, jnp.arange(calls, dtype=jnp.int32))
    return xbar, state, events


WANTED = np.array([1.0, -1.0, 0.0, 1.0, -1.0])


@pytest.mark.parametrize("polarity", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_weights_move_the_wanted_way_in_one_program(name, polarity):
    """The state keeps its structure and types (it is scanned), and the net conductance beside the devices stays true.

    Zero asks for nothing, faults and inactive tiles stay as they are, and the ledger is of int32.
    """
    faults = np.zeros((polarity, *SHAPE), np.int8)
    faults[0, 0, 0] = -1
    programmer, params = settings(name)
    before = crossbar.set_active(some_array(polarity, faults=faults), 2, 1, False)
    dw = Outer(jnp.full((1, 13), 0.1), jnp.asarray(WANTED)[None])
    after, _, events = jax.jit(run, static_argnums=(0, 4))(programmer, params, before, dw, 40, jax.random.key(0))
    moved = states(after) - states(before)
    expected = np.tile(WANTED, (13, 1))
    expected[12, 4] = 0  # in the inactive tile
    expected = np.stack([expected, -expected][:polarity])
    expected[0, 0, 0] = 0
    # On one side of a pair only rises happen.
    if getattr(params, "sides", "both") == "one" and polarity == 2:
        expected = np.maximum(expected, 0)
    np.testing.assert_array_equal(np.sign(np.where(np.abs(moved) < 1e-6, 0, moved)), expected)
    np.testing.assert_allclose(
        crossbar.net_conductance(after), crossbar.net_conductance(crossbar.uncache(after)), rtol=0, atol=1e-10
    )
    # What is counted is of int32 (what is not, is a zero of any integer type).
    assert {leaf.dtype for leaf in jax.tree.leaves(events) if np.any(leaf)} == {np.dtype(np.int32)}
    assert energy.total(events)["pulse"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_no_wanted_change_no_pulse(name):
    programmer, params = settings(name)
    before = some_array()
    none = Outer(jnp.zeros((1, 13)), jnp.ones((1, 5)))
    after, _, events = run(programmer, params, before, none, 3, jax.random.key(0))
    np.testing.assert_array_equal(states(after), states(before))
    counts = energy.total(events)
    assert counts["pulse"] == counts["refresh"] == counts["accumulate"] == 0


@pytest.mark.broad
@pytest.mark.parametrize("name", NAMES)
def test_chips_side_by_side_are_chips_alone(name):
    """Under vmap over chips and settings, with a shared turn."""
    programmer, params = settings(name)
    chips = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[chip(k) for k in range(3)])
    dw = Outer(jnp.full((1, 13), 0.05), jnp.asarray(WANTED)[None])
    keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.key(1), k))(jnp.arange(3, dtype=jnp.uint32))
    one = jax.jit(lambda xbar, key: run(programmer, params, xbar, dw, 12, key)[::2])
    together, events = jax.jit(jax.vmap(one))(chips, keys)
    for k in range(3):
        alone, own = one(chip(k), keys[k])
        np.testing.assert_allclose(together.state.x[k], alone.state.x, rtol=0, atol=1e-6)
        assert energy.total(jax.tree.map(lambda leaf, k=k: leaf[k], events)) == energy.total(own)


def chip(k):
    x = jax.random.uniform(jax.random.key(10 + k), (2, *SHAPE), minval=0.3, maxval=0.7)
    return crossbar.create(SOFT, SHAPE, TILE, x=x)


@pytest.mark.parametrize("name", NAMES)
def test_wide_devices_stay_wide(name, x64):
    programmer, params = settings(name)
    xbar = crossbar.create(SOFT, SHAPE, TILE, x=jnp.full((2, *SHAPE), 0.5, jnp.float64))
    dw = Outer(jnp.full((1, 13), 0.1), jnp.asarray(WANTED)[None])
    after, state, events = run(programmer, params, xbar, dw, 3, jax.random.key(0))
    assert after.state.x.dtype == np.float64
    floats = {leaf.dtype for leaf in jax.tree.leaves(state) if hasattr(leaf, "dtype") and leaf.dtype.kind == "f"}
    assert floats <= {np.dtype(np.float64)}
    assert events.pulse.dtype == np.int32


@pytest.mark.parametrize("name", [n for n in NAMES if hasattr(settings(n)[1], "sides")])
def test_unknown_sides(name):
    programmer, params = settings(name)
    xbar, dw = chip(0), Outer(jnp.ones((1, 13)), jnp.ones((1, 5)))
    wrong = params.replace(sides="left")
    with pytest.raises(ValueError, match="sides = 'left': accepted is one of both, one"):
        programmer.step(wrong, programmer.init(wrong, xbar), dw, xbar, DT, jax.random.key(0), 0)
