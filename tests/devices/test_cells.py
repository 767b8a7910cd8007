"""1T1R and 1S1R cells: Kirchhoff's laws, compliance, half-select leakage, and the protocol."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices
from memjax.devices._cells.one_transistor import compliance

pytestmark = pytest.mark.broad

ION = devices.get("linear_ion_drift")
CELLS = {"1t": devices.one_transistor, "1s": devices.one_selector}


def make(cell, device=ION, inner=None, **own):
    wrapped = CELLS[cell](device)
    return wrapped, wrapped.Params(inner=device.Params() if inner is None else inner, **own)


def partner_current(cell, params, v, u):
    """What the transistor or the selector carries at v - u, written by itself from its law."""
    if cell == "1s":
        return params.i_0 * np.sinh((v - u) / params.v_0)
    over, k = params.v_gate - params.v_th, params.k
    forward = v > 0
    gate_source = np.where(forward, over, over + u)  # the node between is the source where the source line is raised
    across = np.abs(v - u)
    open_, triode = np.maximum(gate_source, 0), across < np.maximum(gate_source, 0)
    size = np.where(triode, k * (open_ * across - across**2 / 2), k / 2 * open_**2)
    return np.where(forward, size, -size)


@pytest.mark.parametrize("cell", CELLS)
def test_one_current_flows_through_both(x64, cell):
    """Kirchhoff: the device at u and its partner at v - u carry the same current, with u from the current itself."""
    inner = devices.linear_ion_drift.Params(r_on=1e3, r_off=1e5)
    wrapped, params = make(cell, inner=inner, **({"v_gate": 1.4, "k": 2e-3} if cell == "1t" else {}))
    x = np.linspace(0, 1, 7)[:, None]
    v = np.array([[-2.0, -1.1, -0.3, 0.4, 1.0, 2.5]])
    i = np.asarray(jax.jit(wrapped.current)(params, wrapped.init(params, np.broadcast_to(x, (7, 6))), v))
    u = i * (1e3 * x + 1e5 * (1 - x))
    assert (np.sign(i) == np.sign(v)).all()
    # In saturation the current says nothing about the voltage left, so the residual is compared in amperes.
    np.testing.assert_allclose(partner_current(cell, params, v, u), i, rtol=1e-9, atol=1e-18)


def test_the_gate_limits_the_set_current_of_a_device_that_would_pass_more():
    """An abrupt SET (VTEAM, 1 kohm on) at 2 V: 2 mA without the transistor, the compliance with it."""
    vteam = devices.get("vteam")
    steps, dt = 400, 1e-11
    free, _ = devices.simulate(vteam, vteam.Params(), vteam.init(vteam.Params(), 0.05), np.full(steps, 2.0), dt)
    assert float(vteam.current(vteam.Params(), free, 2.0)) > 1.5e-3
    wrapped = devices.one_transistor(vteam)
    gates = jnp.array([1.0, 1.2, 1.4])
    params = wrapped.Params(v_gate=gates)
    state = wrapped.init(params, 0.05)
    end, trace = devices.simulate(wrapped, params, state, np.full((steps, 3), 2.0), dt)
    limit = np.asarray(compliance(params))
    np.testing.assert_allclose(limit, [125e-6, 245e-6, 405e-6], rtol=1e-5)
    assert (np.asarray(trace.current) <= limit * (1 + 1e-5)).all()
    assert (np.diff(np.asarray(end.x)) > 0).all()  # a higher gate voltage programs a higher conductance
    # SET ends by itself where the device is left with its threshold of 1.5 V.
    inner = vteam.current(params.inner, end, 1.5)
    assert (np.asarray(inner) < limit * 1.01).all()


def test_a_closed_gate_lets_nothing_through_and_a_wide_one_everything(x64):
    state = ION.init(ION.Params(), jnp.linspace(0.1, 0.9, 5))
    wrapped, params = make("1t", v_gate=0.3)

    @jax.jit
    def both(params, v):
        return wrapped.current(params, state, v), wrapped.step(params, state, v, 1e-3, None)

    i, new = both(params, jnp.ones(5))
    np.testing.assert_array_equal(i, 0.0)
    chex.assert_trees_all_equal(new, state)
    wide = params.replace(v_gate=5.0, k=1e9)
    for v in (1.0, -1.0):
        i, _ = both(wide, jnp.full(5, v))
        np.testing.assert_allclose(i, ION.current(ION.Params(), state, v), rtol=1e-6)


def test_reset_suffers_from_the_gate_that_follows_the_source():
    """At the same gate voltage and |v|, RESET carries less than SET: the source rises with the device's voltage."""
    wrapped, params = make("1t", inner=devices.linear_ion_drift.Params(r_on=1e3, r_off=1e5), v_gate=1.2)
    state = wrapped.init(params, jnp.full(2, 0.95))
    up, down = np.abs(np.asarray(wrapped.current(params, state, jnp.array([1.5, -1.5]))))
    assert down < 0.8 * up


def test_derivatives_of_a_cell_that_no_current_flows_through():
    """Neither the device (no current at x = 0) nor the closed transistor gives the divided voltage a slope."""
    wrapped, params = make("1t", device=devices.get("yakopcic"))
    for v in (-3.0, 0.0, 3.0):
        slopes = jax.grad(lambda x, v: wrapped.current(params, wrapped.init(params, x), v), (0, 1))(0.0, v)
        assert np.isfinite(slopes).all()


def test_the_selector_suppresses_half_select_leakage(x64):
    """i(v) / i(v/2) of a linear device of 10 kohm is 2; with the selector it is 999 at 1.2 V."""
    soft = devices.get("soft_bounds")
    wrapped, params = make("1s", device=soft)
    state = wrapped.init(params, jnp.asarray(1.0))
    v = 1.2
    bare = soft.current(params.inner, state, v) / soft.current(params.inner, state, v / 2)
    np.testing.assert_allclose(float(bare), 2.0, rtol=1e-12)
    full, half, low, lower = wrapped.current(params, state, jnp.array([v, v / 2, 0.4, 0.2]))

    def bisected(v):
        lo, hi = 0.0, v
        for _ in range(200):
            u = (lo + hi) / 2
            lo, hi = (u, hi) if 1e-4 * u < 2e-14 * np.sinh((v - u) / 0.04) else (lo, u)
        return 1e-4 * u

    np.testing.assert_allclose([full, half], [bisected(v), bisected(v / 2)], rtol=1e-9)
    np.testing.assert_allclose(float(full / half), 999, rtol=1e-3)
    # Where the selector takes all of the voltage, the ratio is 2 cosh(v / (2 v_0)).
    np.testing.assert_allclose(float(low / lower), 2 * np.cosh(0.4 / (2 * params.v_0)), rtol=1e-4)


def test_currents_far_below_the_threshold_are_right_in_float32():
    """Where the device keeps less than a rounding of the voltage: against the law in float64, with the derivatives."""
    soft = devices.get("soft_bounds")
    wrapped, params = make("1s", device=soft)
    x, v = np.array([0.0, 0.5, 1.0])[:, None], np.array([[0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 2.0]])
    v = np.hstack([-v, v])
    g = 1e-6 + 99e-6 * x
    lo, hi = np.zeros((3, v.size)), np.abs(v) + 0 * g  # what the device keeps, by bisection in the exponent
    lo = lo + 1e-15
    for _ in range(200):
        u = np.sqrt(lo * hi)
        short = g * u < 2e-14 * np.sinh((np.abs(v) - u) / 0.04)
        lo, hi = np.where(short, u, lo), np.where(short, hi, u)
    i, fall = np.sign(v) * g * u, 2e-14 / 0.04 * np.cosh((np.abs(v) - u) / 0.04)

    def current(x, v):
        return wrapped.current(params, wrapped.init(params, x), v)

    full = (np.broadcast_to(a, i.shape).astype(np.float32).reshape(-1) for a in (x, v))
    with jax.enable_x64(False):
        found, (by_x, by_v) = jax.jit(jax.vmap(jax.value_and_grad(current, (0, 1))))(*full)
    assert found.dtype == np.float32
    found, by_x, by_v = (np.asarray(a, np.float64) for a in (found, by_x, by_v))
    np.testing.assert_allclose(found.reshape(i.shape), i, rtol=4e-5)
    np.testing.assert_allclose(by_v.reshape(i.shape), g * fall / (g + fall), rtol=4e-5)
    # Where the device keeps nothing, what the state has to do with it is nothing, but for rounding.
    off = np.abs(by_x.reshape(i.shape) - np.sign(v) * u * 99e-6 * fall / (g + fall)) / np.abs(i)
    assert off.max() < 1e-4


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_match_finite_differences(x64, cell):
    wrapped, base = make(cell, inner=devices.linear_ion_drift.Params(r_on=1e3, r_off=1e5))
    own = [field for field in vars(base) if field != "inner"]

    def loss(theta, v):
        params = base.replace(
            inner=base.inner.replace(r_on=base.inner.r_on * theta[0]),
            **{f: getattr(base, f) * theta[k + 1] for k, f in enumerate(own)},
        )
        state = wrapped.step(params, wrapped.init(params, 0.6 * theta[-1]), v, 1e-3, None)
        return 1e3 * wrapped.current(params, state, v)

    theta, h = jnp.ones(len(own) + 2), 1e-5
    exact, value = jax.jit(jax.grad(loss)), jax.jit(jax.vmap(loss, in_axes=(0, None)))
    shifts = h * jnp.concatenate([jnp.eye(theta.size), -jnp.eye(theta.size)])
    for v in (1.3, -0.7):
        up, down = np.split(np.asarray(value(theta[None] + shifts, v)), 2)
        np.testing.assert_allclose(exact(theta, v), (up - down) / (2 * h), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("cell", CELLS)
def test_protocol(cell):
    wrapped, params = make(cell)
    assert CELLS[cell](ION) is wrapped
    assert wrapped.name == f"linear_ion_drift+{cell}"
    assert wrapped.name not in devices.names()
    state = wrapped.init(params, jnp.full((2, 3), 0.4))
    for v in (1.0, jnp.full((2, 3), -1.0)):
        new = jax.eval_shape(lambda s, v=v: wrapped.step(params, s, v, 1e-3, None), state)
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)

    @jax.jit
    def both(state, v):
        return wrapped.current(params, state, v), wrapped.step(params, state, v, 1e-3, None)

    state = wrapped.init(params, jnp.linspace(0.05, 0.95, 9))
    np.testing.assert_array_equal(both(state, jnp.zeros(9))[0], 0.0)
    current, up = both(state, jnp.ones(9))
    _, down = both(state, -jnp.ones(9))
    assert (np.diff(current) > 0).all()
    assert (up.x > state.x).all()
    assert (down.x < state.x).all()


def test_a_solver_sees_the_divided_voltage(x64):
    wrapped, params = make("1t", inner=devices.linear_ion_drift.Params(r_on=1e3, r_off=1e5, mu=1e-13))
    voltage = np.full(200, 1.2)
    own, _ = devices.simulate(wrapped, params, wrapped.init(params, 0.3), voltage, 1e-3)
    rk4, _ = devices.simulate(wrapped, params, wrapped.init(params, 0.3), voltage, 1e-3, solver="rk4")
    assert rk4.x > 0.32
    np.testing.assert_allclose(own.x, rk4.x, rtol=1e-3)  # the own step holds the device's voltage: order 1


@pytest.mark.parametrize(
    "cell, bad, message",
    [
        ("1t", {"k": 0.0}, "k = 0.0: accepted is more than 0 A/V"),
        ("1t", {"v_th": -0.1}, "v_th = -0.1: accepted is 0 V or more"),
        ("1s", {"i_0": 0.0}, "i_0 = 0.0: accepted is more than 0 A"),
        ("1s", {"v_0": np.nan}, "v_0 = nan: accepted is more than 0 V"),
    ],
)
def test_refuses(cell, bad, message):
    wrapped, params = make(cell, **bad)
    with pytest.raises(ValueError, match=message):
        wrapped.check(params)
