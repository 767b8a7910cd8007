"""Nonlinear cells in arrays with wires: ngspice, Kirchhoff's laws, devices and selectors, gradients, power."""

import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from nodal import apart

from memjax import devices, spice, wires

needs_ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
SINH = 0.25  # V


def an_array(m=16, n=16):
    rng = np.random.default_rng(0)
    return rng.uniform(1e-6, 1e-3, (m, n)), rng.uniform(-0.6, 0.6, m)


@functools.cache
def sinh_solver():
    """Cells of conductance g at 0 V whose current rises as a sinh."""
    return jax.jit(lambda g, v, *r: wires.solve(g, v, *r, iv=lambda u: g * SINH * jnp.sinh(u / SINH)))


@needs_ngspice
def test_linear_cells_agree_with_ngspice(x64):
    g, v = an_array()
    found, seen = jax.jit(wires.solve)(g, v, 2.0, 3.0), spice.run_ngspice(spice.crossbar_netlist(g, v, 2.0, 3.0))
    assert apart(found.i, np.array([seen[f"i(vb{j})"][0] for j in range(16)])) < 1e-9
    for name, voltages in (("w", found.v_word), ("b", found.v_bit)):
        nodes = [[seen[f"v({name}{i}_{j})"][0] for j in range(16)] for i in range(16)]
        np.testing.assert_allclose(voltages, nodes, atol=1e-10)


@needs_ngspice
@pytest.mark.parametrize("r_word, r_bit", [(2.0, 3.0), (0.0, 3.0)])
def test_nonlinear_cells_agree_with_ngspice(r_word, r_bit, x64):
    g, v = an_array()
    found = sinh_solver()(g, v, r_word, r_bit)
    assert found.converged
    law = f"{{g}}*{SINH}*sinh(v(plus,minus)/{SINH})"
    seen = spice.run_ngspice(spice.crossbar_netlist(g, v, r_word, r_bit, current=law))
    i = np.array([seen[f"i(vb{j})"][0] for j in range(16)])
    assert apart(found.i, i) < 1e-6
    linear = jax.jit(wires.solve)(g, v, r_word, r_bit)
    assert apart(linear.i, i) > 0.1  # the law matters here


def residuals(s, iv, v, r_word, r_bit):
    """Return how far a solution is from Kirchhoff's laws: in A, and in V."""
    cells = np.asarray(iv(s.v_word - s.v_bit))
    along = np.cumsum(cells[..., ::-1], axis=-1)[..., ::-1]
    before = np.concatenate([v[..., None], s.v_word[..., :-1]], axis=-1)
    after = np.concatenate([s.v_bit[..., 1:, :], np.zeros_like(s.v_bit[..., :1, :])], axis=-2)
    down = np.cumsum(cells, axis=-2)
    volts = [before - s.v_word - r_word * along, s.v_bit - after - r_bit * down]
    return np.abs(cells.sum(-2) - s.i).max(), max(np.abs(x).max() for x in volts)


@pytest.mark.parametrize("name", ["yakopcic", *(pytest.param(x, marks=pytest.mark.broad) for x in ("wox", "vteam"))])
def test_cells_are_devices(name, x64):
    """Any device's current, an array of different states, and two inputs."""
    device = devices.get(name)
    params = device.Params()
    rng = np.random.default_rng(0)
    state, v = device.init(params, jnp.asarray(rng.random((1, 6, 5)))), rng.uniform(-1, 1, (2, 6))

    def iv(u):
        return device.current(params, state, u)

    g = devices.conductance(device, params, state)
    s = jax.jit(lambda g: wires.solve(g, v, 5.0, 5.0, iv=iv))(g)
    assert np.all(s.converged)
    assert s.steps <= 12
    amperes, volts = residuals(s, iv, v, 5.0, 5.0)
    assert amperes <= 1e-9 * np.abs(s.i).max()
    assert volts < 1e-10


@pytest.mark.parametrize("v_0", [0.02, pytest.param(0.04, marks=pytest.mark.broad)])
def test_steep_selectors_converge(v_0, x64):
    """From a linear start that is off by tens of v_0: the current there is e^50 times what it will be."""
    g = jnp.full((8, 7), 1e-4)
    drive = wires.select((8, 7), 2, 3, 2.0, "half")

    def iv(u):
        return 1e-12 * jnp.sinh(u / v_0)

    s = jax.jit(lambda g: wires.solve(g, drive.v, 10.0, 10.0, v_bit=drive.v_bit, iv=iv))(g)
    assert s.converged
    assert s.steps < 100
    np.testing.assert_allclose(iv(s.v_word - s.v_bit), s.i_cell, atol=1e-9 * float(jnp.abs(s.i_cell).max()))
    assert s.i_cell[2, 3] > 1e3 * jnp.abs(s.i_cell[0, 0])


def test_selector_cells_cut_the_sneak_current():
    """One selector, one device (float32): half-selected cells leak far less than half."""
    cell = devices.one_selector(devices.get("linear_ion_drift"))
    params = cell.Params()
    state = cell.init(params, jnp.full((8, 8), 0.9))
    drive = wires.select((8, 8), 3, 4, 1.2, "half")

    def iv(u):
        return cell.current(params, state, u)

    s = jax.jit(lambda g: wires.solve(g, drive.v, 1.0, 1.0, v_bit=drive.v_bit, iv=iv))(jnp.full((8, 8), 1e-3))
    assert s.converged
    assert abs(float(s.i_cell[3, 0] / s.i_cell[3, 4])) < 0.01


def test_gradients_of_nonlinear_cells(x64):
    """By what iv closes over, voltages and resistances, against finite differences."""
    rng = np.random.default_rng(0)
    a, v = rng.uniform(1e-5, 1e-3, (4, 3)), rng.uniform(-0.6, 0.6, 4)
    of_i, of_word = rng.normal(size=3), rng.normal(size=(4, 3))

    def loss(a, v_0, v, r_word, r_bit):
        s = wires.solve(a / v_0, v, r_word, r_bit, iv=lambda u: a * jnp.sinh(u / v_0))
        return 1e3 * jnp.sum(of_i * s.i) + jnp.sum(of_word * s.v_word)

    value, gradient = jax.jit(loss), jax.jit(jax.grad(loss, range(5)))
    for r_word, r_bit in ((20.0, 30.0), (0.0, 30.0)):
        arguments = (a, 0.3, v, r_word, r_bit)
        for k, found in enumerate(gradient(*arguments)):
            x = np.array(arguments[k], float)
            index = (0,) * x.ndim
            h = 1e-5 * x[index] if x[index] else 1e-5

            def at(step, k=k, x=x, index=index, arguments=arguments):
                moved = x.copy()
                moved[index] += step
                return float(value(*arguments[:k], moved, *arguments[k + 1 :]))

            expected = (at(h) - at(-h)) / (2 * h) if x[index] else (-3 * at(0) + 4 * at(h) - at(2 * h)) / (2 * h)
            np.testing.assert_allclose(found[index], expected, rtol=1e-5, err_msg=str(k))


def test_power_of_nonlinear_cells(x64):
    g, v = an_array()
    s = sinh_solver()(g, v, 2.0, 3.0)
    p = wires.power(s, wires.Wires(2.0, 3.0), v)
    np.testing.assert_allclose(p.cells + p.word + p.bit + p.terminals, p.delivered, rtol=1e-9)
    assert p.word > 0.01 * p.delivered


def test_too_few_steps_are_flagged(x64):
    g, v = an_array(4, 3)
    s = jax.jit(lambda g: wires.solve(g, v, 2.0, 3.0, steps=1, iv=lambda u: 1e-9 * jnp.sinh(u / 0.03)))(g)
    assert not s.converged
    assert s.residual > 1e-6
    assert np.all(np.isfinite(s.i))
