"""Temperature: the RC element's closed form, the grid against a matrix exponential, and Arrhenius's law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from memjax import devices, thermal

STEP, STEADY = jax.jit(thermal.step), jax.jit(thermal.steady)  # one program each: transforms are many small ones
CELL = thermal.Params(r_th=2e6, c_th=3e-15, g_side=0.0, ambient=298.15)
GRID = CELL.replace(g_side=1.5e-6)


def laplacian(n):
    """Path graph: no heat through the ends."""
    d = np.diag(np.full(n - 1, 1.0), 1)
    d = d + d.T
    return np.diag(d.sum(1)) - d


@pytest.mark.parametrize("times", [0.01, 0.3, 1.0, 5.0])
def test_a_step_in_power_reaches_the_closed_form(times):
    power = 5e-6 * np.arange(1, 13).reshape(3, 4)
    tau = thermal.time_constant(CELL)
    t = STEP(CELL, thermal.init(CELL, (3, 4)), jnp.asarray(power), times * tau)
    np.testing.assert_allclose(t - 298.15, power * 2e6 * -np.expm1(-times), rtol=2e-5, atol=2e-4)


def test_the_grid_is_the_matrix_exponential(x64):
    rows, cols = 4, 5
    side = np.kron(laplacian(rows), np.eye(cols)) + np.kron(np.eye(rows), laplacian(cols))
    loss = np.eye(rows * cols) / GRID.r_th + GRID.g_side * side
    rng = np.random.default_rng(0)
    power, rise = rng.uniform(0, 5e-6, rows * cols), rng.uniform(0, 9, rows * cols)
    end = np.linalg.solve(loss, power)
    for dt in (1e-10, 4e-9, 1e-6):
        expected = end + expm(-loss / GRID.c_th * dt) @ (rise - end)
        got = STEP(GRID, 298.15 + rise.reshape(rows, cols), power.reshape(rows, cols), dt)
        np.testing.assert_allclose(got.ravel() - 298.15, expected, rtol=1e-10)
    np.testing.assert_allclose(STEADY(GRID, power.reshape(rows, cols)).ravel() - 298.15, end, rtol=1e-10)


def test_many_short_steps_are_one_long_one(x64):
    power = jnp.zeros((2, 6, 3)).at[:, 2, 1].set(2e-5)
    start = thermal.init(GRID, power.shape)
    one = STEP(GRID, start, power, 7e-9)
    many = jax.lax.fori_loop(0, 70, lambda _, t: STEP(GRID, t, power, 1e-10), start)
    np.testing.assert_allclose(many, one, rtol=1e-12)
    np.testing.assert_array_equal(one[0], one[1])


def test_neighbours_share_the_heat_and_lose_none_of_it(x64):
    power = jnp.zeros((9, 9)).at[4, 4].set(2e-5)
    alone, shared = (np.asarray(STEADY(p, power)) - 298.15 for p in (CELL, GRID))
    assert alone[4, 4] == pytest.approx(40.0)
    assert abs(alone[4, 5]) < 1e-9
    assert shared[4, 4] < 20
    assert shared[4, 5] > 1
    np.testing.assert_allclose(shared.sum(), 40.0, rtol=1e-12)
    np.testing.assert_allclose(shared, shared[::-1], rtol=1e-9)


@pytest.mark.parametrize("e_a, factor", [(1.1, 1303), (1.0, 679), (0.6, 50)])
def test_retention_at_85_against_25_degrees(e_a, factor):
    """Measured on the device: the times after which a state has decayed to 1/e."""
    ten_years = 3.15e8
    hot = devices.with_temperature(devices.with_drift(devices.get("soft_bounds"), "exponential"))
    lost = []
    for celsius, time in ((25.0, ten_years), (85.0, ten_years / factor)):
        params = hot.Params(temperature=celsius + thermal.ZERO_CELSIUS, reference=298.15, e_a=e_a)
        params = params.replace(inner=params.inner.replace(tau=ten_years))
        lost.append(float(hot.relax(params, hot.init(params, 1.0), time).x))
    assert lost[0] == pytest.approx(np.exp(-1), rel=1e-5)
    # The published factors are whole numbers, and so is what they are good for.
    assert -np.log(lost[1]) == pytest.approx(1.0, rel=0.5 / factor + 1e-4)
    assert ten_years / thermal.lifetime(ten_years, e_a, 358.15, 298.15) == pytest.approx(factor, abs=0.5)


def test_conductance_follows_arrhenius():
    hot = devices.with_temperature(devices.get("soft_bounds"))
    t = jnp.asarray([[298.15, 358.15]])
    params = hot.Params(temperature=t, reference=298.15, e_a=0.0, e_g=0.1)
    g = devices.conductance(hot, params, hot.init(params, 0.5))[0]
    assert float(g[1] / g[0]) == pytest.approx(np.exp(0.1 / 8.617333262e-5 * (1 / 298.15 - 1 / 358.15)), rel=1e-5)
    metal = params.replace(e_g=-0.02)
    assert devices.conductance(hot, metal, hot.init(metal, 0.5))[0, 1] < g[0]


def test_power_has_a_gradient():
    def peak(power):
        return jnp.max(STEADY(GRID, power))

    power = jnp.full((3, 3), 1e-6).at[1, 1].set(1e-5)
    slope = jax.grad(peak)(power)
    # Reciprocity: the gradient of the centre's temperature is the rise that a watt at the centre would make.
    unit = STEADY(GRID.replace(ambient=0.0), jnp.zeros((3, 3)).at[1, 1].set(1.0))
    np.testing.assert_allclose(slope, unit, rtol=1e-4)


def test_refuses():
    with pytest.raises(ValueError, match="r_th = 0.0: accepted is more than 0 K/W"):
        thermal.check(thermal.Params(r_th=0.0))
    with pytest.raises(ValueError, match="g_side = -1.0: accepted is 0 W/K or more"):
        thermal.check(thermal.Params(g_side=-1.0))
    thermal.check(GRID)
    with pytest.raises(ValueError, match=r"power of shape \(3,\) and temperature of shape \(2, 2\)"):
        thermal.step(CELL, jnp.ones((2, 2)), jnp.ones(3), 1.0)
