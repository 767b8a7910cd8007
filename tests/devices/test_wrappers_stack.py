"""Wrappers together: every order keeps the protocol, each can be switched off alone, none shares a draw."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices

pytestmark = pytest.mark.broad

INF = float("inf")
# wrapper, parameters that switch it off, parameters that show
WRAPPERS = {
    "c2c": (devices.with_c2c_noise, {"sigma": 0.0}, {"sigma": 0.3}),
    "range": (devices.with_range_noise, {"sigma": 0.0}, {"sigma": 0.1}),
    "drift": (devices.with_drift, {"nu": 0.0}, {"nu": 0.1, "t0": 1e-3}),
    "retention": (lambda d: devices.with_drift(d, "exponential"), {"tau": INF}, {"tau": 0.01, "x_rest": 0.3}),
    "white": (devices.with_read_noise, {"sigma": 0.0}, {"sigma": 0.1}),
    "1/f": (lambda d: devices.with_read_noise(d, "one_over_f", modes=3), {"sigma": 0.0}, {"sigma": 0.1}),
    "telegraph": (lambda d: devices.with_read_noise(d, "telegraph"), {"amplitude": 0.0}, {"amplitude": 0.1}),
    "temperature": (devices.with_temperature, {"temperature": 300.0}, {"temperature": 350.0}),
    "endurance": (devices.with_endurance, {"n_wear": INF}, {"n_wear": 30.0}),
    "levels": (devices.with_levels, {"levels": INF}, {"levels": 7.0}),
}
ORDERS = [
    ["c2c", "drift", "white", "temperature", "endurance", "levels"],
    ["levels", "endurance", "temperature", "white", "drift", "c2c"],
    ["1/f", "range", "retention", "telegraph", "levels", "c2c", "drift"],
]


def stack(device, names, column=2):
    """Wrap a device from the inside out; return it with its parameters, which hold the wrapper's `column`."""
    params = device.Params()
    for name in names:
        device = WRAPPERS[name][0](device)
        params = device.Params(inner=params, **WRAPPERS[name][column])
    return device, params


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("model", ["volatile_nonvolatile", "linear_ion_drift"])
def test_switched_off_it_is_the_inner_device_to_the_bit(model, name):
    device = devices.get(model)
    wrapped, params = stack(device, [name], column=1)
    wrapped.check(params)
    x, v = jnp.linspace(0.0, 1.0, 9), jnp.array([1.0, -1.0, 0.0] * 3)
    plain, trial = device.init(params.inner, x), wrapped.init(params, x)
    for n in range(3):
        np.testing.assert_array_equal(wrapped.current(params, trial, v), device.current(params.inner, plain, v))
        plain = device.step(params.inner, plain, v, 1e-3, jax.random.key(n))
        trial = wrapped.step(params, trial, v, 1e-3, jax.random.key(n))
        chex.assert_trees_all_equal(getattr(trial, "inner", trial), plain)


@pytest.mark.parametrize("names", ORDERS, ids=lambda names: "+".join(names))
def test_any_order_keeps_the_protocol(names):
    device, params = stack(devices.get("volatile"), names)
    device.check(params)
    assert device.volatile == (device.relax is not None)
    key, traces = jax.random.key(3), []

    @jax.jit
    def step(params, state, v, key):
        traces.append(1)
        return device.step(params, state, v, 1e-3, key), device.current(params, state, v)

    def mapped(state, v, key):
        return jax.vmap(lambda s, v: device.step(params, s, v, 1e-3, key))(state, v)

    state = device.init(params, jnp.full((2, 3), 0.4))
    lo, hi = device.bounds(params)
    for n in range(3):
        v = jnp.asarray([[1.0, -1.0, 0.0], [0.0, 1.0, 1.0]])
        new, i = step(params, state, v, jax.random.fold_in(key, n))
        chex.assert_trees_all_equal_structs(state, new)
        chex.assert_trees_all_equal_shapes_and_dtypes(state, new)
        assert [leaf.weak_type for leaf in jax.tree.leaves(new)] == [leaf.weak_type for leaf in jax.tree.leaves(state)]
        assert i.shape == (2, 3)
        np.testing.assert_array_equal(np.sign(i), np.sign(v))
        chex.assert_tree_all_finite(new)
        jax.tree.map(lambda s, a, b: np.testing.assert_array_equal(jnp.clip(s, a, b), s), new, lo, hi)
        state, params = new, jax.tree.map(lambda leaf: leaf * 1.0, params)
    assert len(traces) <= 2  # Python numbers, then arrays: values never retrace
    chex.assert_trees_all_equal_shapes_and_dtypes(jax.eval_shape(mapped, state, v, key), state)
    rest = jax.eval_shape(lambda state: device.relax(params, state, 0.1), state)
    chex.assert_trees_all_equal_shapes_and_dtypes(rest, state)


@pytest.mark.parametrize("names", ORDERS, ids=lambda names: "+".join(names))
def test_types_follow_the_state_in_x64(x64, names):
    device, params = stack(devices.get("volatile"), names)
    for dtype in (jnp.float32, jnp.float64):

        def run(x, v):
            new = device.step(params, device.init(params, x), v, 1e-3, jax.random.key(0))
            return new, device.current(params, new, 0.1)

        leaves = jax.tree.leaves(jax.eval_shape(run, jnp.full(2, 0.4, dtype), jnp.ones(2, dtype)))
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype(dtype)}


@pytest.mark.parametrize("names", ORDERS[1:], ids=lambda names: "+".join(names))
def test_gradients_are_finite(names):
    device, params = stack(devices.get("soft_bounds"), names)

    def loss(params, x):
        state = device.step(params, device.init(params, x), jnp.array([1.0, -1.0]), 1e-3, jax.random.key(0))
        return jnp.sum(device.current(params, state, 0.1)) / 1e-6

    gradients = jax.jit(jax.grad(loss, (0, 1)))(jax.tree.map(jnp.asarray, params), jnp.array([0.3, 0.6]))
    chex.assert_tree_all_finite(gradients)
    assert (np.asarray(gradients[1]) != 0).all()


def test_a_stack_runs_through_simulate():
    device, params = stack(devices.get("soft_bounds"), ORDERS[2])
    state = device.init(params, jnp.full(3, 0.5))
    voltage = np.tile([1.0, 0.0], 10)
    end, trace = devices.simulate(device, params, state, voltage, 1e-3, jax.random.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes(end, state)
    assert trace.current.shape == (20, 3)


def test_the_same_wrapper_twice_draws_twice():
    """Two wrappers of one sigma add in quadrature; one stream for both would add their amplitudes."""
    n, sigma = 20_000, 0.2
    one = devices.with_range_noise(devices.get("soft_bounds"))
    two = devices.with_range_noise(one)
    params = two.Params(inner=one.Params(sigma=sigma * 0.1), sigma=sigma * 0.1)
    state = two.init(params, jnp.full(n, 0.5))
    new = two.step(params, state, 1.0, 1e-3, jax.random.key(1))
    np.testing.assert_allclose(float(new.x.std()), 0.02 * 2**0.5, rtol=4 / (2 * n) ** 0.5)


def test_every_device_may_have_its_own_parameters():
    device, params = stack(devices.get("soft_bounds"), ["drift", "telegraph", "1/f", "endurance", "levels"])

    def run(params):
        state = device.init(params, 0.37)
        return state, device.step(params, state, 1.0, 1e-3, jax.random.key(0)), device.current(params, state, 0.1)

    for one in (
        params.replace(levels=jnp.array([3.0, 60.0, INF])),
        params.replace(inner=params.inner.replace(n_wear=jnp.array([10.0, 20.0, INF]))),
        jax.tree.map(lambda leaf: jnp.full(3, leaf, jnp.float32), params),
    ):
        state, new, i = jax.eval_shape(run, one)
        assert i.shape == (3,)
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)


@pytest.mark.parametrize("name", WRAPPERS)
def test_same_device_same_wrapper(name):
    device = devices.get("soft_bounds")
    assert WRAPPERS[name][0](device) is WRAPPERS[name][0](device)


def test_kinds_by_position_and_by_name_are_one_device():
    device = devices.get("soft_bounds")
    assert devices.with_drift(device) is devices.with_drift(device, kind="power_law")
    assert devices.with_read_noise(device, "white") is devices.with_read_noise(device)


@pytest.mark.parametrize(
    "name, bad, message",
    [
        ("range", {"sigma": -0.1}, "sigma = -0.1: accepted is 0 or more, relative to the range"),
        ("drift", {"nu": -1.0}, "nu = -1.0: accepted is 0 or more"),
        ("drift", {"t0": 0.0}, "t0 = 0.0: accepted is more than 0 s"),
        ("retention", {"tau": 0.0}, "tau = 0.0: accepted is more than 0 s"),
        ("retention", {"x_rest": 1.5}, "x_rest = 1.5: accepted is 0 to 1"),
        ("white", {"sigma": np.nan}, "sigma = nan: accepted is 0 or more"),
        ("1/f", {"tau_min": 1.0, "tau_max": 0.1}, "tau_max = 0.1: accepted is tau_min or more"),
        ("telegraph", {"amplitude": 3.0}, "amplitude = 3.0: accepted is 0 to 2"),
        ("telegraph", {"tau_low": 0.0}, "tau_low = 0.0: accepted is more than 0 s"),
        ("temperature", {"temperature": 0.0}, "temperature = 0.0: accepted is more than 0 K"),
        ("temperature", {"e_a": -1.0}, "e_a = -1.0: accepted is 0 eV or more"),
        ("endurance", {"n_wear": 0.0}, "n_wear = 0.0: accepted is more than 0 writes"),
        ("endurance", {"beta": 0.0}, "beta = 0.0: accepted is more than 0"),
        ("levels", {"levels": 1.0}, "levels = 1.0: accepted is 2 or more"),
    ],
)
def test_refuses_parameters(name, bad, message):
    wrapped = WRAPPERS[name][0](devices.get("volatile"))
    with pytest.raises(ValueError, match=message):
        wrapped.check(wrapped.Params(**bad))
    with pytest.raises(ValueError, match="tau = 0.0"):
        wrapped.check(wrapped.Params(inner=devices.volatile.Params(tau=0.0)))


def test_refuses_kinds_modes_and_a_missing_key():
    device = devices.get("soft_bounds")
    with pytest.raises(ValueError, match="drift of kind 'linear': accepted are 'power_law', 'exponential'"):
        devices.with_drift(device, "linear")
    with pytest.raises(ValueError, match="read noise of kind 'pink': accepted are 'white', 'one_over_f', 'telegraph'"):
        devices.with_read_noise(device, "pink")
    with pytest.raises(ValueError, match="modes = 0: accepted is a whole number, 1 or more"):
        devices.with_read_noise(device, "one_over_f", 0)
    for name, when in (("range", "write"), ("white", "step"), ("1/f", "step"), ("telegraph", "step")):
        wrapped, params = stack(device, [name])
        with pytest.raises(ValueError, match=f"draws noise at every {when}: give a key"):
            wrapped.step(params, wrapped.init(params, 0.5), 1.0, 1e-3, None)
