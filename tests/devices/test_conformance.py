"""What every device must do, whatever it models: a new file in the folder is tested from the moment it exists."""

import inspect
import re
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from memjax import devices

DT = 1e-3  # s
V = 1.0  # V, inside every model's stated range of polarity (sine_drift: |v| < pi)


class Drive(NamedTuple):
    """Say what moves a model visibly and leaves it short of its bounds; the defaults suit most."""

    v: float = V  # V
    dt: float = DT  # s
    low: float = 0.05  # V: from low to high, a voltage of either sign moves the state its own way
    high: float = 3.1  # V, sine_drift states |v| < pi
    span: float = 0.05  # s, in which v meets no bound, for the order of convergence


DRIVES = {
    "vteam": Drive(v=2.0, dt=1e-13, low=1.6, span=5e-12),  # at rest from -.3 to 1.5 V, and switches in picoseconds
    "yakopcic": Drive(low=0.8, span=2e-3),  # at rest from -.75 to .09 V; f has kinks at x = .3 and .5
    "diffusive": Drive(dt=1e-4, span=1e-4),  # 2 ms is its whole way
    "vcm": Drive(v=1.5, dt=1e-9, low=1.35, span=2e-9),  # at rest below 1.3 V, and switches in 0.2 us
    "generalised_metastable_switch": Drive(dt=1e-8, low=0.5, span=2e-7),  # 1 us is its whole way
    "metastable_switch": Drive(span=1e-5),  # 0.1 ms is its whole way
    "second_order": Drive(span=5e-3),  # at 1 V its volatile state follows within 10 ms
}


# One of every kind runs by default: volatile and not, an ODE and pulses, exact steps and solvers. The others are broad.
QUICK = (
    "exponential",
    "linear_ion_drift",
    "sine_drift",
    "soft_bounds",
    "volatile",
    "volatile_nonvolatile",
    "vteam",
    "wox",
    "yakopcic",
)


@pytest.fixture(params=[n if n in QUICK else pytest.param(n, marks=pytest.mark.broad) for n in devices.names()])
def device(request):
    return devices.get(request.param)


@pytest.fixture
def drive_of(device):
    return DRIVES.get(device.name, Drive())


def drive(seed, shape, scale=V):
    """Random voltages with both signs and exact zeros."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(-scale, scale, shape) * (rng.random(shape) > 0.2)
    return jnp.asarray(v)


def loop(device, params, state, voltage, dt, key):
    """Step in plain Python, one device and one step at a time, and collect in NumPy: `voltage` [T, n]."""
    current, step = jax.jit(device.current), jax.jit(device.step)
    rows = []
    for n in range(voltage.shape[1]):
        s = jax.tree.map(lambda leaf, n=n: leaf[n], state)
        for t in range(voltage.shape[0]):
            i = current(params, s, voltage[t, n])
            s = step(params, s, voltage[t, n], dt, jax.random.fold_in(key, t))
            rows.append(jax.tree.map(np.asarray, (i, s)))
    n, steps = voltage.shape[1], voltage.shape[0]
    return jax.tree.map(lambda *x: np.stack(x).reshape(n, steps, *x[0].shape).swapaxes(0, 1), *rows)


# --- what a Device is ---------------------------------------------------------------------------------------------


def test_signatures(device):
    expected = {
        "init": "params x",
        "current": "params state v",
        "step": "params state v dt key",
        "rate": "params state v",
        "relax": "params state dt",
        "bounds": "params",
        "check": "params",
    }
    for field, names in expected.items():
        function = getattr(device, field)
        if function is not None:
            assert list(inspect.signature(function).parameters) == names.split(), field


def test_declaration(device):
    assert devices.get(device.name) is device
    assert device.switching in ("bipolar", "unipolar", "programmed")
    assert device.volatile == (device.relax is not None)
    assert device.check is not None
    assert device.bounds is not None


def charted():
    return [n for n in devices.names() if (d := devices.get(n)).chart and d.chart.step is d.step]


@pytest.mark.parametrize("name", charted())
@pytest.mark.parametrize("own", ["shared", "own voltage", "different devices", "dt of each step"])
def test_a_run_in_the_chart_ends_where_the_steps_do(x64, name, own):
    """Where nothing is recorded simulate runs in the model's chart; bounds are met, and left again."""
    device, moves = devices.get(name), DRIVES.get(name, Drive())
    params, rng = device.Params(), np.random.default_rng(3)
    n, steps = 5, 60
    voltage = rng.uniform(-moves.v, moves.v, (steps, n) if own == "own voltage" else steps)
    if own == "different devices":
        params = jax.tree.map(lambda leaf: leaf * jnp.linspace(1.0, 1.02, n), params)
    dt = 100 * moves.dt * (rng.uniform(0.1, 1, steps) if own == "dt of each step" else 1)
    start = device.init(params, jnp.linspace(0.01, 0.99, n))
    end, _ = devices.simulate(device, params, start, voltage, dt, record=())
    last, _ = devices.simulate(device, params, start, voltage, dt, record="state")
    moved = max(np.abs(a - b).max() for a, b in zip(jax.tree.leaves(last), jax.tree.leaves(start), strict=True))
    assert moved > 1e-3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), end, last)


def test_hashable_and_static(device):
    assert hash(device) == hash(devices.get(device.name))
    assert jax.jit(lambda d, p, s: d.current(p, s, V), static_argnums=0)(
        device, device.Params(), device.init(device.Params(), 0.5)
    )


def test_params_are_leaves_and_pass_their_own_check(device):
    params = device.Params()
    device.check(params)
    assert all(isinstance(leaf, float) for leaf in jax.tree.leaves(params))
    jax.eval_shape(lambda p: device.check(p), params)  # tracers pass
    one_traced = jax.tree.structure(params).unflatten
    leaves = jax.tree.leaves(params)
    jax.eval_shape(lambda leaf: device.check(one_traced([leaf, *leaves[1:]])), leaves[0])


def test_check_refuses(device):
    leaves, treedef = jax.tree_util.tree_flatten_with_path(device.Params())
    for n, (path, value) in enumerate(leaves):
        bad = [jnp.asarray([value, jnp.nan]) if m == n else leaf for m, (_, leaf) in enumerate(leaves)]
        name = jax.tree_util.keystr(path).removeprefix(".")  # g_min, or tau[0] where a field holds one value a mode
        with pytest.raises(ValueError, match=re.escape(f"{name} = nan: accepted is ")):
            device.check(treedef.unflatten(bad))


def test_init_refuses_x_outside_the_range(device):
    with pytest.raises(ValueError, match=r"x = 1.5: accepted is 0 to 1"):
        device.init(device.Params(), jnp.asarray([0.5, 1.5]))


# --- shapes and types ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_step_is_a_fixed_point_of_structure(device, shape):
    params = device.Params()
    state = device.init(params, jnp.full(shape, 0.4))
    assert device.current(params, state, V).shape == shape
    for v in (V, jnp.full(shape, -V)):
        new = device.step(params, state, v, DT, jax.random.key(0))
        chex.assert_trees_all_equal_structs(state, new)
        chex.assert_trees_all_equal_shapes_and_dtypes(state, new)
        assert [leaf.weak_type for leaf in jax.tree.leaves(state)] == [leaf.weak_type for leaf in jax.tree.leaves(new)]


def test_types_follow_the_input_in_x64(device, x64):
    for dtype in (jnp.float32, jnp.float64):
        params = device.Params()
        state = device.init(params, jnp.full(3, 0.4, dtype))
        new = device.step(params, state, jnp.full(3, V, dtype), DT, jax.random.key(0))
        leaves = [*jax.tree.leaves(state), *jax.tree.leaves(new), device.current(params, state, V)]
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype(dtype)}


def test_init_takes_python_numbers_integers_and_arrays_of_params(device):
    params = device.Params()
    for x in (0, 1.0, np.array([0, 1]), jnp.array([0.0, 0.5])):
        state = device.init(params, x)
        assert device.current(params, state, V).shape == np.shape(x)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state))
    many = jax.tree.map(lambda leaf: leaf * jnp.linspace(0.95, 1.05, 3), params)
    state = device.init(many, 0.5)
    new = device.step(many, state, V, DT, jax.random.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes(state, new)


# --- physics ------------------------------------------------------------------------------------------------------


def test_no_current_at_zero_volts(device):
    params = device.Params()
    state = device.init(params, jnp.linspace(0, 1, 11))
    np.testing.assert_array_equal(device.current(params, state, 0.0), 0.0)


def test_conductance_rises_with_x(device):
    params = device.Params()
    g = devices.conductance(device, params, device.init(params, jnp.linspace(0, 1, 11)))
    assert (np.diff(g) > 0).all()
    assert (g[1:] > 0).all()
    assert g[0] >= 0  # yakopcic conducts nothing at x = 0


def test_positive_voltage_raises_conductance(device, drive_of):
    if device.switching == "unipolar":
        pytest.skip("its direction does not depend on the sign")
    params = device.Params()
    state = device.init(params, jnp.linspace(0.1, 0.9, 9))

    @jax.jit
    @jax.vmap
    def after(v):
        return devices.conductance(device, params, device.step(params, state, v, drive_of.dt, jax.random.key(0)))

    # A volatile device under a voltage moves on from where it would have gone at rest; a pulse replaces rest.
    before = devices.conductance(device, params, state) if device.switching == "programmed" else after(jnp.zeros(1))[0]
    v = jnp.linspace(drive_of.low, drive_of.high, 20)
    assert (np.asarray(after(v)) > np.asarray(before)).all()
    assert (np.asarray(after(-v)) < np.asarray(before)).all()


@pytest.mark.parametrize("scale, dt", [(1.0, 1e-3), (10.0, 1.0)])
def test_state_stays_in_bounds(device, scale, dt):
    params = device.Params()
    state = device.init(params, np.linspace(0, 1, 16))
    voltage = drive(0, (400, 16), scale)
    _, trace = devices.simulate(device, params, state, voltage, dt, jax.random.key(0))
    lo, hi = device.bounds(params)
    chex.assert_tree_all_finite(trace)
    jax.tree.map(
        lambda s, a, b: np.testing.assert_array_equal(np.clip(s, np.float32(a), np.float32(b)), s), trace.state, lo, hi
    )


def test_nothing_moves_at_zero_volts_unless_volatile(device):
    params = device.Params()
    state = device.init(params, jnp.linspace(0, 1, 11))
    kicked = device.step(params, state, V, DT, jax.random.key(0))
    moved = device.step(params, kicked, jnp.zeros(11), 0.1, jax.random.key(1))
    if device.volatile:
        assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (kicked, moved)), strict=True))
    else:
        chex.assert_trees_all_equal(moved, kicked)


def test_relax_is_the_step_at_zero_volts_and_adds_up(device, x64):
    if device.relax is None:
        pytest.skip("nothing moves at rest")
    params = device.Params()
    state = device.init(params, jnp.linspace(0, 1, 11))
    for _ in range(4):
        state = device.step(params, state, V, DT, None)
    # Not to the bit: a step clips to the bounds.
    chex.assert_trees_all_close(
        device.step(params, state, 0.0, 0.3, None), device.relax(params, state, 0.3), rtol=1e-14
    )
    twice = device.relax(params, device.relax(params, state, 0.03), 0.04)
    chex.assert_trees_all_close(twice, device.relax(params, state, 0.07), rtol=1e-13)
    chex.assert_trees_all_close(device.relax(params, state, 0.0), state, rtol=1e-14)
    chex.assert_tree_all_finite(device.relax(params, state, 1e12))


def test_solvers_converge_to_the_step_at_their_order(device, drive_of, x64):
    """Where a model has a `rate`, integrating it converges to the model's own step with the solver's order, or better.

    Better: the leading error of Heun's method happens to vanish for linear ion drift, f_x^2 = f f_xx / 2.
    """
    if device.rate is None:
        pytest.skip("not an ODE")
    params, coarse = device.Params(), drive_of.v * jnp.array([1.0, 0.6, -0.8, 0.9])
    if device.name == "second_order":  # no order survives the kink of its gate: stay above it
        params, coarse = params.replace(s_th=0.0), jnp.abs(coarse)
    state = device.init(params, 0.3)

    def end(solver, refine):
        voltage, dt = jnp.repeat(coarse, refine), drive_of.span / refine
        return ravel_pytree(devices.simulate(device, params, state, voltage, dt, solver=solver, record=())[0])[0]

    # A step that is no closed form has an order of its own, against the finest of the solvers.
    own = dict.fromkeys(("diffusive", "vcm", "generalised_metastable_switch"), {None: 2}).get(device.name, {})
    exact = end("rk4" if own else None, 64)
    for solver, order in {"euler": 1, "heun": 2, "rk4": 4, **own}.items():
        errors = [float(jnp.abs(end(solver, n) / exact - 1).max()) for n in (1, 2, 4)]
        if errors[0] < 1e-13:  # a rate that does not depend on the state: every solver is exact
            assert max(errors) < 1e-13
            continue
        observed = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
        assert (observed > order - 0.15).all(), (solver, observed)


# --- batching -----------------------------------------------------------------------------------------------------


def test_broadcast_vmap_and_python_loop_agree(device, drive_of):
    params, key, dt = device.Params(), jax.random.key(3), drive_of.dt
    state, voltage = device.init(params, jnp.linspace(0.1, 0.9, 4)), drive(1, (12, 4), drive_of.v)
    together, trace = devices.simulate(device, params, state, voltage, dt, key)
    one = jax.vmap(lambda s, v: devices.simulate(device, params, s, v, dt, key), in_axes=(0, 1), out_axes=(0, 1))
    apart, mapped = jax.jit(one)(state, voltage)
    currents, states = loop(device, params, state, np.asarray(voltage), dt, key)
    # diffusive: ln i changes by 13 over the range of its state, and magnifies the rounding of it as much.
    rtol = {"diffusive": 1e-5}.get(device.name, 1e-6)
    chex.assert_trees_all_close(together, apart, rtol=rtol)
    atol = {"modular": 1e-9}.get(device.name, 0)  # its modes pass through zero, where rounding is not relative to them
    chex.assert_trees_all_close(trace, mapped, rtol=rtol, atol=atol)
    chex.assert_trees_all_close(trace.current, currents, rtol=2 * rtol)
    chex.assert_trees_all_close(trace.state, states, rtol=2 * rtol, atol=atol)


def test_different_devices_in_one_array(device, drive_of):
    key, dt = jax.random.key(0), drive_of.dt
    scale = jnp.linspace(0.95, 1.05, 3)
    many = jax.tree.map(lambda leaf: leaf * scale, device.Params())
    voltage = drive(2, 20, drive_of.v)
    end, _ = devices.simulate(device, many, device.init(many, 0.5), voltage, dt, key)
    for n in range(3):
        params = jax.tree.map(lambda leaf, n=n: leaf[n], many)
        single, _ = devices.simulate(device, params, device.init(params, 0.5), voltage, dt, key)
        chex.assert_trees_all_close(jax.tree.map(lambda leaf, n=n: leaf[n], end), single, rtol=1e-6)


def test_one_trace_for_all_values(device):
    traces = []

    @jax.jit
    def step(params, state, v, dt, key):
        traces.append(1)
        return device.step(params, state, v, dt, key)

    params = device.Params()
    state = device.init(params, jnp.linspace(0.1, 0.9, 4))
    for n in range(3):
        params = jax.tree.map(lambda leaf: leaf * 1.01, params)
        state = step(params, state, jnp.full(4, float(n - 1)), DT * (n + 1), jax.random.key(n))
    assert len(traces) == 1


def test_determinism(device):
    params, voltage, key = device.Params(), drive(4, (50, 4)), jax.random.key(5)
    state = device.init(params, jnp.linspace(0.1, 0.9, 4))
    run = jax.jit(lambda: devices.simulate(device, params, state, voltage, DT, key))
    chex.assert_trees_all_equal(run(), run())


# --- gradients ----------------------------------------------------------------------------------------------------


def test_gradients_match_finite_differences(device, drive_of, x64):
    params, volt, dt = device.Params(), drive_of.v, drive_of.dt
    state = device.init(params, jnp.asarray(0.45))
    state = device.step(params, state, volt, dt, jax.random.key(0))  # off special points such as short = 0
    leaves, treedef = jax.tree.flatten(params)
    finite = np.isfinite(leaves)  # an infinite time constant has no unit to vary it in

    def loss(theta, v):
        # Every quantity in units of its own value, so that one step size suits conductances and lengths alike.
        p = treedef.unflatten([leaf * theta[k] if finite[k] else leaf for k, leaf in enumerate(leaves)])
        s = jax.tree.map(lambda leaf: leaf * theta[len(leaves)], state)
        new = device.step(p, s, v * theta[-1], dt, jax.random.key(1))
        scaled = jax.tree.map(lambda a, b: a / (jnp.abs(b) + 1e-12), new, state)
        return device.current(p, new, 0.3) / device.current(params, state, 0.3) + sum(jax.tree.leaves(scaled))

    theta, h = jnp.ones(len(leaves) + 2), 1e-5
    steps = h * jnp.concatenate([jnp.eye(theta.size), -jnp.eye(theta.size)])
    exact, shifted = jax.jit(jax.grad(loss)), jax.jit(jax.vmap(loss, in_axes=(0, None)))
    for v in (volt, -volt, 0.0):
        up, down = np.split(np.asarray(shifted(theta[None] + steps, v)), 2)
        np.testing.assert_allclose(exact(theta, v), (up - down) / (2 * h), rtol=1e-6, atol=1e-8)


def test_gradients_are_finite_at_the_bounds(device):
    params = device.Params()

    def loss(x, v):
        return device.current(params, device.step(params, device.init(params, x), v, DT, jax.random.key(0)), V).sum()

    x, v = jnp.array([0.0, 1.0] * 3), jnp.array([V, V, -V, -V, 0.0, 0.0])
    chex.assert_tree_all_finite(jax.jit(jax.grad(loss, (0, 1)))(x, v))


# --- the registry -------------------------------------------------------------------------------------------------


def test_names_and_lazy_modules():
    assert {"volatile", "volatile_nonvolatile", "sine_drift", "linear_ion_drift", "soft_bounds", "exponential"} <= set(
        devices.names()
    )
    assert devices.volatile.DEVICE is devices.get("volatile")
    assert "volatile" in dir(devices)
    with pytest.raises(AttributeError, match="volatil"):
        devices.volatil  # noqa: B018


def test_unknown_name_gets_the_nearest():
    with pytest.raises(ValueError, match=r"'sine_drfit'; did you mean 'sine_drift'\?.*soft_bounds"):
        devices.get("sine_drfit")
