"""`table`: interpolation against NumPy, and a response fitted to ramps of a known law and to measured ones."""

import jax
import numpy as np
import pytest

from memjax import devices
from memjax.devices import table

pytestmark = pytest.mark.broad

TABLE = devices.get("table")


def soft_ramps(n, step_up, step_down, g_min=2e-6, g_max=5e-5):
    """Return ramps [3, n] of soft bounds, in their closed form, from three starts."""
    start, k = np.array([[0.0], [0.1], [0.4]]), np.arange(n)
    up, down = 1 - (1 - start) * (1 - 2 * step_up) ** k, (1 - start) * (1 - 2 * step_down) ** k
    return g_min + (g_max - g_min) * up, g_min + (g_max - g_min) * down


def test_steps_are_numpy_interpolation(x64):
    rng = np.random.default_rng(0)
    up, down = rng.uniform(0.001, 0.05, (2, 6))
    params = TABLE.Params(up=tuple(up), down=tuple(down), sigma_up=(0.0,) * 6, sigma_down=(0.0,) * 6, v_write=2.0)
    x, grid = rng.uniform(0.1, 0.9, 50), np.linspace(0, 1, 6)
    state = TABLE.init(params, x)
    high = TABLE.step(params, state, 3.0, 1.0, None).x
    np.testing.assert_allclose(high, x + 1.5 * np.interp(x, grid, up), rtol=1e-14)
    low = TABLE.step(params, state, -1.0, 1.0, None).x
    np.testing.assert_allclose(low, x - 0.5 * np.interp(x, grid, down), rtol=1e-14)
    # d step / d entry is the hat function of that entry: a table can be fitted by gradients.
    slope = jax.grad(lambda p: TABLE.step(p, TABLE.init(p, 0.5), 2.0, 1.0, None).x)(params)
    np.testing.assert_allclose(slope.up, [0, 0, 0.5, 0.5, 0, 0], atol=1e-15)
    np.testing.assert_allclose(slope.down, 0, atol=1e-15)


def test_ramps_of_soft_bounds_give_soft_bounds_back(x64):
    up, down = soft_ramps(300, 1 / 40, 1 / 60)
    params = table.from_ramps(up, down, entries=7, g_range=(2e-6, 5e-5))
    grid = np.linspace(0, 1, 7)
    np.testing.assert_allclose(params.up, 2 / 40 * (1 - grid), atol=1e-9)
    np.testing.assert_allclose(params.down, 2 / 60 * grid, atol=1e-9)
    np.testing.assert_allclose([params.sigma_up, params.sigma_down], 0, atol=1e-9)
    _, trace = devices.simulate(TABLE, params, TABLE.init(params, 0.0), np.ones(299), 1.0, record="state")
    np.testing.assert_allclose(2e-6 + 4.8e-5 * trace.state.x, up[0, 1:], rtol=1e-7)


def test_the_noise_of_ramps_comes_back():
    rng, n, sd = np.random.default_rng(1), 4000, 0.004
    x = np.linspace(0, 1, n)
    # Independent steps: each ramp is one pulse, from x to x + 0.01 + noise.
    pairs = np.stack([x, x + 0.01 + sd * rng.standard_normal(n)], axis=1)
    params = table.from_ramps(1e-5 * (1 + pairs), 1e-5 * (1 + pairs[:, ::-1]), entries=3, g_range=(1e-5, 2e-5))
    # About n / 4 steps weigh on an entry; four sampling errors of a standard deviation.
    np.testing.assert_allclose(params.sigma_up, sd, rtol=4 / (n / 2) ** 0.5)
    np.testing.assert_allclose(params.up, 0.01, atol=4 * sd / (n / 8) ** 0.5)
    state = TABLE.init(params, np.full(n, 0.5))
    moved = TABLE.step(params, state, 1.0, 1.0, jax.random.key(0)).x - state.x
    assert float(moved.std()) == pytest.approx(params.sigma_up[1], rel=4 / (2 * n) ** 0.5)


def test_the_default_is_the_measured_response(data_dir):
    folder = data_dir / "devices" / "crosssim-pulses"
    if not folder.is_dir():
        pytest.skip("the data folder has no devices/crosssim-pulses")
    # Read current at 0.1 V; shorter ramps leave empty cells.
    read = (np.genfromtxt(folder / f"{name}.csv", delimiter=",", skip_header=1) for name in ("set", "reset"))
    up, down = (ramps.T / 0.1 for ramps in read)
    params, default = table.from_ramps(up, down), TABLE.Params()
    assert (len(up), len(down)) == (39, 40)
    np.testing.assert_allclose(params.up, default.up, atol=6e-6)
    np.testing.assert_allclose(params.down, default.down, atol=6e-6)
    np.testing.assert_allclose([params.g_min, params.g_max], [default.g_min, default.g_max], rtol=3e-4)
    # The simulated SET ramp lies among the measured ones: no further from their mean than twice their own spread.
    whole = up[~np.isnan(up[:, :150]).any(axis=1), :150]
    x0 = (whole[:, 0].mean() - params.g_min) / (params.g_max - params.g_min)
    _, trace = devices.simulate(TABLE, params, TABLE.init(params, x0), np.ones(149), 1.0, record="state")
    g = params.g_min + (params.g_max - params.g_min) * np.asarray(trace.state.x)
    assert (abs(g - whole[:, 1:].mean(axis=0)) < 2 * whole[:, 1:].std(axis=0)).all()


def test_refuses():
    up, down = soft_ramps(10, 1 / 40, 1 / 60)
    with pytest.raises(ValueError, match=r"up: the mean step goes against the ramp"):
        table.from_ramps(down, up)
    with pytest.raises(ValueError, match=r"down\[0\]: accepted is a ramp of 2 conductances or more"):
        table.from_ramps(up, -down)
    with pytest.raises(ValueError, match=r"g_range = \(1, 0\): accepted"):
        table.from_ramps(up, down, g_range=(1, 0))
    with pytest.raises(ValueError, match=r"down = .*: accepted is a tuple of 2 entries or more, as many in each"):
        TABLE.check(TABLE.Params(down=(0.1,) * 4))
    with pytest.raises(ValueError, match=r"up\[1\] = -0.1: accepted is 0 or more"):
        TABLE.check(TABLE.Params(up=(0.1, -0.1), down=(0.1,) * 2, sigma_up=(0.0,) * 2, sigma_down=(0.0,) * 2))
