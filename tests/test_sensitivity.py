"""Slopes of a loss over severities: the closed form of a linear array, its gradient, and what the command leaves."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from memjax import cli, config, crossbar, devices, learning, plot, statistics, studies, variation

DEVICE = devices.get("exponential")
NOMINAL = DEVICE.Params(g_min=0.0, g_max=1e-4)
V = 0.1 * np.linspace(0.2, 1.0, 40)
SIGMA = 0.3


def loss(key, s):
    """Squared relative error of the current of a column at full conductance, whose g_max spreads by s SIGMA."""
    chip = variation.Nonidealities(d2d={"g_max": SIGMA}).with_severity({"d2d": s})
    params, _ = variation.sample(chip, DEVICE, NOMINAL, (1, len(V), 1), (len(V), 1), key)
    xbar = crossbar.create(DEVICE, (len(V), 1), (len(V), 1), polarity=1, params=params, x=1.0)
    i = crossbar.read(xbar, jnp.asarray(V))[0]
    return jnp.square(i / (1e-4 * V.sum()) - 1.0)


# E loss = (s SIGMA)^2 sum v^2 / (sum v)^2, so that d loss / d ln sigma is twice the loss.
EXPECTED = SIGMA**2 * (V**2).sum() / V.sum() ** 2


@pytest.fixture(scope="module")
def chips():
    """Losses of 4,000 chips at severities 0.75, 1, 1.25, and 1 -+ 1e-4; their gradients at 1."""
    with jax.enable_x64(True):
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.arange(4000, dtype=jnp.uint32))
        at = jax.jit(jax.vmap(loss, in_axes=(0, None)))
        found = {s: np.asarray(at(keys, s)) for s in (0.75, 1 - 1e-4, 1.0, 1 + 1e-4, 1.25)}
        return found, np.asarray(jax.jit(jax.vmap(jax.grad(loss, argnums=1), in_axes=(0, None)))(keys, 1.0))


def test_the_slope_of_a_linear_array_is_its_closed_form(chips):
    y, _ = chips
    found = statistics.slope(y[0.75], y[1.0], y[1.25], 0.25)
    assert found.n == 4000
    assert found.low < 2 * EXPECTED < found.high
    assert found.high - found.low < 0.2 * found.slope
    assert found.elasticity == pytest.approx(2, rel=0.05)
    assert found.value == pytest.approx(EXPECTED, rel=0.1)


def test_gradients_through_the_draws_are_the_same_chip_by_chip(chips):
    """The lognormal factor is a differentiable function of sigma and of a draw that does not depend on it."""
    y, gradient = chips
    np.testing.assert_allclose((y[1 + 1e-4] - y[1 - 1e-4]) / 2e-4, gradient, rtol=1e-5, atol=1e-9)
    wide = (y[1.25] - y[0.75]) / 0.5
    assert np.corrcoef(wide, gradient)[0, 1] > 0.99
    assert wide.mean() == pytest.approx(gradient.mean(), rel=0.05)


def test_the_same_draws_make_the_interval_narrow(chips):
    """Were other chips drawn at each severity, the slope would have the noise of all of them."""
    y, _ = chips
    paired = statistics.slope(y[0.75], y[1.0], y[1.25], 0.25).sd
    apart = statistics.slope(y[0.75], y[1.0], np.roll(y[1.25], 1), 0.25).sd
    assert apart > 1.5 * paired


def test_slopes_of_numbers_written_down():
    found = statistics.slope([1.0, 2.0, np.nan], [2.0, 2.0, 1.0], [3.0, 5.0, 1.0], 0.5)
    assert (found.n, found.undefined, found.value, found.slope) == (2, 1, 2.0, 2.5)
    half = stats.t.ppf(0.975, 1) * 0.5  # sd of 2 and 3 over sqrt(2)
    assert (found.low, found.high) == pytest.approx((2.5 - half, 2.5 + half))
    assert found.elasticity == 1.25
    assert np.isnan(statistics.slope([-1.0, -1.0], [0.0, 0.0], [1.0, 1.0], 0.5).elasticity)


@pytest.mark.parametrize(
    "y, step, complaint",
    [
        (([1.0, 2.0],) * 3, 0.0, "step = 0.0: accepted is above 0 and at most 1"),
        (([1.0, 2.0], [1.0, 2.0], [1.0]), 0.5, "2, 2, 1 chips: accepted are the same chips"),
        (([1.0], [1.0], [1.0]), 0.5, "1 chips with finite metrics at all severities: accepted are at least 2"),
    ],
)
def test_slope_refuses(y, step, complaint):
    with pytest.raises(ValueError, match=complaint):
        statistics.slope(*y, step)


def test_cross_entropy_is_that_of_a_plain_loop():
    y, labels = np.array([[1.0, 2.0, 0.5], [3.0, -1.0, 0.0]]), np.array([1, 2])
    expected = -np.mean([np.log(np.exp(row[k]) / np.exp(row).sum()) for row, k in zip(y, labels, strict=True)])
    np.testing.assert_allclose(learning.cross_entropy(jnp.asarray(y), jnp.asarray(labels)), expected, rtol=1e-6)


# --- the command ------------------------------------------------------------------------------------------------------

TINY = {
    "device": {"name": "exponential"},
    "array": {"n_inputs": 49, "n_outputs": 16, "module_size": 32},
    "neurons": {"time_steps": 2},
    "variation": {"d2d": {"g_max": 0.8}, "c2c": 0.01, "stuck_on": 0.1, "retention": {"tau": 1e6}},
    "learning": {"learning_rate": 0.05, "epochs": 1},
    "data": {"n_train": 600, "n_test": 100, "held_out": 0.2},
    "monte_carlo": {"chips": 8, "age": 1e5, "programming": "open_loop"},
}
NAMES = ["d2d", "stuck", "c2c", "retention"]


def command(monkeypatch, capsys, *args):
    monkeypatch.setattr(sys, "argv", ["memjax", "sensitivity", *map(str, args)])
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    try:
        code = cli.main()
    except SystemExit as ended:
        code = ended.code
    return code or 0, *capsys.readouterr()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("sensitivity") / "run"
    return out, studies.sensitivity(config.from_dict(TINY), out, step=0.5)


def test_slopes_are_of_the_same_chips(run):
    out, found = run
    assert found == json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    with xr.open_dataset(out / "results.nc", engine="h5netcdf") as data:
        values = data.load()
    assert list(values["setting"].values) == ["all", *(f"{name} {sign}" for name in NAMES for sign in "-+")]
    np.testing.assert_array_equal(values["severity_c2c"], [1, 1, 1, 1, 1, 0.5, 1.5, 1, 1])
    y = values["cross_entropy"].astype(np.float64)
    assert values["cross_entropy"].attrs["units"] == "nat"
    for name, row in found["nonidealities"].items():
        each = (y.sel(setting=f"{name} +") - y.sel(setting=f"{name} -")).values
        half = stats.t.ppf(0.975, 7) * each.std(ddof=1) / 8**0.5
        got = row["per_relative_change"]
        assert (got["mean"], got["low"], got["high"]) == pytest.approx(
            (each.mean(), each.mean() - half, each.mean() + half), rel=1e-6, abs=1e-9
        )
        if row["described"]:
            assert row["per_sigma"]["mean"] == pytest.approx(got["mean"] / row["described"])
        assert row["elasticity"] == pytest.approx(got["mean"] / found["value"])


def test_what_costs_most_comes_first(run):
    found = run[1]["nonidealities"]
    order = [row["per_relative_change"]["mean"] for row in found.values()]
    assert order == sorted(order, reverse=True)
    assert next(iter(found)) in ("d2d", "stuck")
    assert found["c2c"]["per_relative_change"]["mean"] == pytest.approx(0, abs=1e-6)  # open-loop, no pulse is drawn
    assert {name: row["described"] for name, row in found.items()} == {
        "d2d": 0.8, "stuck": 0.1, "c2c": 0.01, "retention": 1e-6,
    }  # fmt: skip


def test_the_command_prints_a_table_and_draws_a_figure(run, monkeypatch, capsys):
    """Resumed where all is there: the table again, nothing worked out anew."""
    out, found = run
    code, text, err = command(monkeypatch, capsys, "--resume", "--out", out, "--step", 0.5)
    assert code == 0, err
    row = next(line for line in text.splitlines() if line.strip().startswith("stuck"))
    slope = found["nonidealities"]["stuck"]["per_relative_change"]
    assert f"{slope['mean']:.3g} ({slope['low']:.3g} to {slope['high']:.3g})" in row
    assert f"cross entropy {found['value']:.4g} nat" in text
    assert (out / "figures" / "sensitivity.png").stat().st_size > 5000


@pytest.mark.parametrize(
    "args, complaint",
    [
        (("--step", "1.5"), "--step 1.5: accepted is above 0 and at most 1"),
        (("--set", "variation.stuck_off=0.8", "--step", "0.5"), "stuck at severity 1.5: variation"),
        (("--set", "monte_carlo.study=arrays"), "its chips have no accuracy"),
        (("--set", "monte_carlo.quantities.c2c.high=3"), "a sensitivity sets all severities; accepted is none"),
    ],
)
def test_refusals_write_nothing(monkeypatch, capsys, tmp_path, args, complaint):
    (tmp_path / "tiny.yaml").write_text(config.dump(config.from_dict(TINY)))
    code, out, err = command(monkeypatch, capsys, tmp_path / "tiny.yaml", *args, "--out", tmp_path / "o")
    assert (code, out) == (2, "")
    assert complaint in err
    assert not (tmp_path / "o").exists()


def test_bars_are_slopes_with_their_intervals():
    fig = plot.sensitivity_bars({"d2d": (0.4, 0.3, 0.5), "c2c": (-0.1, -0.2, 0.0)}, 0.2, "loss", "nat")
    ax = fig.axes[0]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [0.4, -0.1])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["d2d", "c2c"]
    with pytest.raises(ValueError, match="accepted are finite ones, at least one"):
        plot.sensitivity_bars({"d2d": (np.nan, 0.0, 0.0)}, 0.2, "loss", "nat")
