"""The drivers: order of events, recording, broadcasting, series resistance, solvers and refusals."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from memjax import devices
from memjax.devices.base import Device, fill

ION = devices.get("linear_ion_drift")
VOLATILE = devices.get("volatile")


@struct.dataclass
class Toy:
    k: Any = 1.0
    v_sinh: Any = 1.0  # V


@struct.dataclass
class ToyState:
    x: Any


# dx/dt = -k x^2 has the closed form x0 / (1 + k x0 t), and no accident that raises a solver's order.
TOY = Device(
    "toy",
    Toy,
    init=lambda params, x: ToyState(fill(params, x)),
    current=lambda params, state, v: state.x * jnp.sinh(v / params.v_sinh),
    step=lambda params, state, v, dt, key: ToyState(state.x / (1 + params.k * state.x * dt)),
    rate=lambda params, state, v: ToyState(-params.k * state.x**2),
)


def ramp(steps=20, n=None):
    v = np.linspace(-1, 1, steps)
    return jnp.asarray(v if n is None else np.outer(v, np.linspace(0.5, 1, n)))


def test_current_is_read_before_the_step_and_state_after():
    params = VOLATILE.Params()
    state, voltage = VOLATILE.init(params, 0.5), ramp()
    end, trace = devices.simulate(VOLATILE, params, state, voltage, 1e-3)
    before = jnp.concatenate([state.g[None], trace.state.g[:-1]])
    np.testing.assert_array_equal(trace.current, before * voltage)
    np.testing.assert_array_equal(trace.state.g[-1], end.g)


def test_conductance_is_the_chord():
    params, state = Toy(), ToyState(jnp.asarray(0.5))
    np.testing.assert_allclose(devices.conductance(TOY, params, state, 0.3), 0.5 * np.sinh(0.3) / 0.3, rtol=1e-6)


@pytest.mark.parametrize("every", [1, 2, 3, 7, 20, 25])
def test_every_keeps_each_kth_step_of_the_full_trace(every):
    noisy = devices.with_c2c_noise(VOLATILE)
    params, key = noisy.Params(), jax.random.key(0)
    state = noisy.init(params, jnp.linspace(0.1, 0.9, 3))
    full = devices.simulate(noisy, params, state, ramp(), 1e-3, key)
    thin = devices.simulate(noisy, params, state, ramp(), 1e-3, key, every=every)
    chex.assert_trees_all_close(full[0], thin[0], rtol=1e-6)
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[::every], full[1]), thin[1], rtol=1e-6)


def test_record_selects():
    params = VOLATILE.Params()
    state = VOLATILE.init(params, 0.5)
    for record, current, kept in [((), 0, 0), ("current", 1, 0), (["state"], 0, 1), (("current", "state"), 1, 1)]:
        _, trace = devices.simulate(VOLATILE, params, state, ramp(), 1e-3, record=record)
        assert (trace.current is not None, trace.state is not None) == (bool(current), bool(kept))


def test_time_steps_may_differ():
    params = VOLATILE.Params()
    state, dt = VOLATILE.init(params, 0.5), jnp.linspace(1e-3, 1e-1, 20)
    end, _ = devices.simulate(VOLATILE, params, state, jnp.zeros(20), dt)
    chex.assert_trees_all_close(end, VOLATILE.relax(params, state, dt.sum()), rtol=1e-5)


def test_one_waveform_for_all_or_one_for_each():
    params = ION.Params()
    single = devices.simulate(ION, params, ION.init(params, 0.5), ramp(), 1e-2)
    shared = devices.simulate(ION, params, ION.init(params, jnp.full(3, 0.5)), ramp(), 1e-2)
    square = devices.simulate(ION, params, ION.init(params, jnp.full((2, 3), 0.5)), ramp(), 1e-2)
    for leaf, one in zip(jax.tree.leaves(shared), jax.tree.leaves(single), strict=True):
        np.testing.assert_allclose(leaf, np.broadcast_to(np.asarray(one)[..., None], leaf.shape), rtol=1e-6)
    assert square[1].current.shape == (20, 2, 3)

    # One device and n waveforms; n devices and n waveforms; m x n devices and n waveforms.
    own = devices.simulate(ION, params, ION.init(params, 0.5), ramp(n=3), 1e-2)
    chex.assert_trees_all_equal(own, devices.simulate(ION, params, ION.init(params, jnp.full(3, 0.5)), ramp(n=3), 1e-2))
    rows = devices.simulate(ION, params, ION.init(params, jnp.full((2, 3), 0.5)), ramp(n=3), 1e-2)
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[..., 1, :], rows), own, rtol=1e-6)
    # Different devices, a state that was given for one.
    many = params.replace(r_off=jnp.array([1e4, 1.6e4]))
    _, trace = devices.simulate(ION, many, ION.init(params, 0.5), ramp(), 1e-2)
    assert trace.state.x.shape == (20, 2)


def test_steps_draw_reproducibly_whatever_follows():
    noisy = devices.with_c2c_noise(VOLATILE)
    params, key = noisy.Params(), jax.random.key(1)
    state = noisy.init(params, 0.5)
    long = devices.simulate(noisy, params, state, ramp(), 1e-3, key)[1]
    short = devices.simulate(noisy, params, state, ramp()[:5], 1e-3, key)[1]
    chex.assert_trees_all_equal(jax.tree.map(lambda leaf: leaf[:5], long), short)


# --- solvers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver, order", [("euler", 1), ("heun", 2), ("rk4", 4)])
def test_order_of_convergence(x64, solver, order):
    def error(steps):
        end, _ = devices.simulate(TOY, Toy(), ToyState(0.9), jnp.zeros(steps), 1.0 / steps, solver=solver)
        return abs(float(end.x) - 0.9 / 1.9)

    errors = np.array([error(n) for n in (10, 20, 40)])
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), order, atol=0.1)


# --- series resistance --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("v_sinh", [1.0, 0.02])
def test_series_resistance_obeys_kirchhoff(x64, v_sinh):
    """v = u + R i(u) for a device whose current grows by exp(50) over the drive: plain Newton overshoots there."""
    params = Toy(v_sinh=v_sinh)
    state, r, v = ToyState(jnp.linspace(0.1, 1, 5)), jnp.array([0.0, 1e-6, 1.0, 1e3, 1e9]), jnp.linspace(-1, 1, 21)
    _, trace = devices.simulate(TOY, params, state, v, 0.0, r_series=r)
    u = np.asarray(v)[:, None] - np.asarray(r) * np.asarray(trace.current)
    i = np.asarray(state.x) * np.sinh(np.asarray(v)[:, None] / v_sinh)
    np.testing.assert_allclose(trace.current[:, 0], i[:, 0], rtol=1e-14)  # no resistor
    residual = v_sinh * np.arcsinh(np.asarray(trace.current) / np.asarray(state.x)) - u
    np.testing.assert_allclose(residual, 0, atol=1e-14)


def test_series_resistance_of_an_ohmic_device_is_a_divider():
    params = VOLATILE.Params()
    state = VOLATILE.init(params, jnp.array([0.0, 0.5, 1.0]))
    _, trace = devices.simulate(VOLATILE, params, state, jnp.array([0.7]), 1e-3, r_series=2e3)
    np.testing.assert_allclose(trace.current[0], 0.7 / (2e3 + 1 / np.asarray(state.g)), rtol=1e-6)


def test_series_resistance_reduces_the_drive_and_is_differentiable(x64):
    params = ION.Params()

    def end(r, r_off):
        p = params.replace(r_off=r_off)
        return devices.simulate(ION, p, ION.init(p, 0.3), jnp.ones(10), 0.02, r_series=r, record=())[0].x

    assert end(5e3, 16e3) < end(0.0, 16e3)
    for k, scale in ((0, 1.0), (1, 1.0)):
        args, h = [5e3, 16e3], scale
        up, down = list(args), list(args)
        up[k] += h
        down[k] -= h
        np.testing.assert_allclose(jax.grad(end, k)(*args), (end(*up) - end(*down)) / (2 * h), rtol=1e-6)


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        ({"params": VOLATILE.Params(tau=-1.0)}, "tau = -1.0: accepted is more than 0 s"),
        ({"params": VOLATILE.Params(g_min=2e-3)}, "g_max = 0.001: accepted is more than g_min"),
        ({"voltage": 1.0}, r"voltage has shape \(\): accepted is \[T\]"),
        ({"voltage": np.zeros((0, 3))}, r"voltage has shape \(0, 3\)"),
        ({"voltage": np.zeros((4, 5))}, r"\(4, 5\) does not fit devices of shape \(3,\)"),
        ({"voltage": np.zeros((4, 2, 3))}, r"voltage has shape \(4, 2, 3\) for devices of shape \(3,\)"),
        ({"dt": np.ones(3)}, r"dt has shape \(3,\): accepted is \[\] or \[T\] = \(4,\)"),
        ({"dt": -1e-3}, r"dt = -0.001\d*: accepted is 0 s or more"),
        ({"record": ("current", "power")}, r"\['power'\]: accepted are 'current' and 'state'"),
        ({"every": 0}, "every = 0: accepted is a whole number"),
        ({"every": 1.5}, "every = 1.5: accepted is a whole number"),
        ({"solver": "rk45"}, "solver = 'rk45': accepted are 'euler', 'heun', 'rk4'"),
        ({"solver": "rk4"}, "'volatile' has no rate"),
        ({"r_series": -1.0}, "r_series = -1.0: accepted is 0 ohm or more"),
    ],
)
def test_refuses(change, message):
    arguments = {"params": VOLATILE.Params(), "state": VOLATILE.init(VOLATILE.Params(), jnp.full(3, 0.5))}
    arguments |= {"voltage": np.zeros(4), "dt": 1e-3} | change
    with pytest.raises(ValueError, match=message):
        devices.simulate(VOLATILE, **arguments)
