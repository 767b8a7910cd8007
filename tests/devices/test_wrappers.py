"""Cycle-to-cycle noise: its size, where it acts and where it does not."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices

pytestmark = pytest.mark.broad

# One of every kind: the wrapper sees only the protocol, and the voltages below move each of these.
NAMES = ["exponential", "linear_ion_drift", "pcm", "sine_drift", "soft_bounds", "volatile", "volatile_nonvolatile"]


def noisy(name, sigma):
    device = devices.get(name)
    wrapped = devices.with_c2c_noise(device)
    return device, device.Params(), wrapped, wrapped.Params(sigma=sigma)


@pytest.mark.parametrize("name", NAMES)
def test_without_sigma_it_is_the_inner_device_to_the_bit(name):
    device, inner, wrapped, params = noisy(name, 0.0)
    state = device.init(inner, jnp.linspace(0, 1, 9))
    chex.assert_trees_all_equal(wrapped.init(params, jnp.linspace(0, 1, 9)), state)
    v = jnp.array([1.0, -1.0, 0.0] * 3)
    for n in range(2):
        key = jax.random.key(n)
        # Without jit: the compiler may round a fused product otherwise, and does for pcm.
        new = device.step(inner, state, v, 1e-3, key)
        chex.assert_trees_all_equal(wrapped.step(params, state, v, 1e-3, key), new)
        state = new


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("v", [1.0, -1.0])
def test_mean_and_spread_are_relative_to_the_step(name, v):
    sigma, n = 0.3, 20_000
    device, inner, wrapped, params = noisy(name, sigma)
    state = device.init(inner, jnp.full(n, 0.4))
    for _ in range(4):  # off the bounds in every leaf
        state = device.step(inner, state, 1.0, 1e-4, None)
    hi = device.bounds(inner)[1]
    clean = device.step(inner, state, v, 1e-4, None)
    new = jax.jit(wrapped.step)(params, state, v, 1e-4, jax.random.key(8))
    leaves = zip(*map(jax.tree.leaves, (state, clean, new, hi)), strict=True)
    draws = []
    for before, after, got, highest in leaves:
        delta = np.asarray(after - before, np.float64)
        if np.isinf(highest):
            np.testing.assert_array_equal(got, after)  # a record stays exact
        elif delta.any():
            ratio = np.asarray(got - before, np.float64) / delta
            assert abs(ratio.mean() - 1) < 4 * sigma / np.sqrt(n) + 2e-3  # 4 standard errors; rounding of a small step
            assert abs(ratio.std() / sigma - 1) < 4 / np.sqrt(2 * n) + 2e-3
            draws.append(ratio - ratio.mean())
    assert draws
    if len(draws) == 2:  # every leaf has a stream of its own
        assert abs(np.corrcoef(draws)[0, 1]) < 4 / np.sqrt(n)


@pytest.mark.parametrize("name", NAMES)
def test_only_writes_are_noisy(name):
    device, inner, wrapped, params = noisy(name, 0.5)
    state = device.init(inner, jnp.linspace(0.2, 0.8, 8))
    v = jnp.array([0.0, 1.0] * 4)
    clean = device.step(inner, state, v, 1e-3, None)
    new = wrapped.step(params, state, v, 1e-3, jax.random.key(0))
    leaf, expected = jax.tree.leaves(new)[0], jax.tree.leaves(clean)[0]
    np.testing.assert_array_equal(leaf[::2], expected[::2])
    assert (leaf[1::2] != expected[1::2]).all()


@pytest.mark.parametrize("name", NAMES)
def test_bounds_hold_under_large_noise(name):
    device, inner, wrapped, params = noisy(name, 20.0)
    state = wrapped.init(params, jnp.linspace(0, 1, 16))
    v = np.random.default_rng(0).uniform(-1, 1, (200, 16))
    _, trace = devices.simulate(wrapped, params, state, v, 1e-2, jax.random.key(0), record="state")
    lo, hi = device.bounds(inner)
    jax.tree.map(
        lambda s, a, b: np.testing.assert_array_equal(np.clip(s, np.float32(a), np.float32(b)), s), trace.state, lo, hi
    )


def test_same_device_same_wrapper_and_sigma_is_traced():
    device = devices.get("soft_bounds")
    wrapped = devices.with_c2c_noise(device)
    assert devices.with_c2c_noise(device) is wrapped
    assert wrapped.name == "soft_bounds+c2c"
    assert wrapped.rate is None
    traces = []

    @jax.jit
    def step(params, state, key):
        traces.append(1)
        return wrapped.step(params, state, 1.0, 1e-3, key)

    for n, sigma in enumerate((0.0, 0.1, 0.5)):
        step(wrapped.Params(sigma=sigma), wrapped.init(wrapped.Params(), jnp.full(3, 0.5)), jax.random.key(n))
    assert len(traces) == 1


def test_each_device_of_an_array_may_have_its_own_sigma():
    wrapped = devices.with_c2c_noise(devices.get("soft_bounds"))
    params = wrapped.Params(sigma=jnp.array([0.0, 0.5]))
    state = wrapped.init(params, jnp.full(2, 0.5))
    new = wrapped.step(params, state, 1.0, 1e-3, jax.random.key(0))
    clean = devices.get("soft_bounds").step(params.inner, state, 1.0, 1e-3, None)
    assert [*np.asarray(new.x == clean.x)] == [True, False]


def test_refuses():
    wrapped = devices.with_c2c_noise(devices.get("volatile"))
    with pytest.raises(ValueError, match="sigma = -0.1: accepted is 0 or more"):
        wrapped.check(wrapped.Params(sigma=-0.1))
    with pytest.raises(ValueError, match="tau = 0.0"):
        wrapped.check(wrapped.Params(inner=devices.volatile.Params(tau=0.0)))
    state = wrapped.init(wrapped.Params(), 0.5)
    with pytest.raises(ValueError, match=r"volatile\+c2c draws noise at every write: give a key"):
        devices.simulate(wrapped, wrapped.Params(), state, np.ones(3), 1e-3)


def test_noise_of_a_drifted_device_is_relative_to_what_the_pulse_moved():
    """PCM after four months: the write starts from the drifted conductance, not from the one that is stored."""
    pcm = devices.get("pcm")
    for wrap in (lambda device: device, devices.with_read_noise):
        wrapped = devices.with_c2c_noise(wrap(pcm))
        params = wrapped.Params(sigma=0.3)
        state = wrapped.relax(params, wrapped.init(params, jnp.full(20_000, 0.8)), 1e7)
        now = float(pcm.current(pcm.Params(), state if wrap(pcm) is pcm else state.inner, 1.0)[0])
        new = wrapped.step(params, state, 1.0, 1e-8, jax.random.key(0))
        g = new.g if wrap(pcm) is pcm else new.inner.g
        step = 0.05 * (25e-6 - now)
        assert float(g.mean() - now) == pytest.approx(step, rel=4 * 0.3 / 20_000**0.5)
        assert float(g.std()) == pytest.approx(0.3 * step, rel=4 / 40_000**0.5)


@pytest.mark.parametrize("wrap", [devices.with_c2c_noise, devices.with_range_noise])
def test_a_voltage_of_fewer_axes_belongs_to_the_last_ones(wrap):
    """As in the device's own step: the noise goes where the pulse went."""
    wrapped = wrap(devices.get("soft_bounds"))
    state = wrapped.init(wrapped.Params(), jnp.full((3, 3), 0.5))
    with jax.numpy_rank_promotion("allow"):
        x = wrapped.step(wrapped.Params(), state, jnp.array([1.0, 0.0, 0.0]), 1e-3, jax.random.key(0)).x
    assert len(set(np.asarray(x[:, 0]).tolist())) == 3
    np.testing.assert_array_equal(x[:, 1:], 0.5)
