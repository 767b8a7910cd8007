"""Studies of many chips: what a chip is, against a plain loop and closed cases, and what `memjax mc` leaves."""

import json
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from memjax import config, monte_carlo, noise, studies, training, variation
from memjax.cli import app
from memjax.errors import ConfigError, UserError

KEY = jax.random.key(7)
TINY = {
    "device": {"name": "exponential"},
    "array": {"n_inputs": 49, "n_outputs": 16, "module_size": 16},
    "variation": {"d2d": {"step_up": 0.2, "g_max": 0.2}, "c2c": 0.3, "read_noise": 0.02, "stuck_on": 0.02},
    "neurons": {"time_steps": 2},
    "learning": {"epochs": 2, "learning_rate": 0.05},
    "data": {"n_train": 300, "n_test": 200},
    "run": {"chunk": 100},
    "monte_carlo": {"chips": 6, "images": 100},
}


def settings(**sections):
    merged = {name: dict(value) for name, value in TINY.items()}
    for name, value in sections.items():
        merged[name] = merged.get(name, {}) | value
    return config.from_dict(merged)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Run a study of deployed networks, with a yield and the sources of its variance -> (folder, metrics)."""
    folder = tmp_path_factory.mktemp("mc") / "out"
    return folder, studies.mc(settings(), folder, batch_size=4, threshold=0.5, sobol=8)


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_an_array_under_stdp_is_a_plain_loop():
    """The same draws, devices and spikes, in NumPy, one device after the other."""
    wanted = settings(
        array={"n_inputs": 5, "n_outputs": 4, "module_size": 3},
        stdp={"A_plus": 0.02, "A_minus": 0.015, "tau_plus": 20, "tau_minus": 30},
        variation={"read_noise": 0.0, "stuck_on": 0.1},
        monte_carlo={"study": "arrays", "steps": 40, "dt": 0.01, "rate": 20},
    )
    study = studies.build(wanted)
    found = jax.jit(study.chip)(KEY)
    keys = study.keys(KEY)
    chip = training.nonidealities(wanted)
    device, nominal = training.parts(wanted).chip.device, training.parts(wanted).chip.params
    params, faults = variation.sample(chip, device, nominal, (1, 5, 4), (3, 3), keys["d2d"], faults_key=keys["faults"])
    inner = params.inner
    x = np.where(faults[0] > 0, 1.0, 0.5)
    pre, post = (
        np.asarray(noise.uniform(variation.named_key(keys["spikes"], side), (40, n))) < 0.2
        for side, n in (("pre", 5), ("post", 4))
    )
    a, b, pulses = np.zeros(5), np.zeros(4), 0
    spread = {name: np.broadcast_to(getattr(inner, name), (1, 5, 4))[0] for name in ("step_up", "step_down", "g_max")}
    full = 0.5 * (nominal.step_up + nominal.step_down)
    for t in range(40):
        a, b = a * np.exp(-0.01 / 0.02), b * np.exp(-0.01 / 0.03)
        # Devices are drawn in tiles of 3 x 3, padded to 6 x 6.
        xi = np.asarray(_of_tiles(device, noise.fold_in(keys["c2c"], jnp.uint32(t))))
        for i in range(5):
            for j in range(4):
                p = np.clip((0.02 * a[i] * post[t, j] - 0.015 * pre[t, i] * b[j]) / full, -1, 1)
                pulses += p != 0
                if p == 0 or faults[0, i, j] != 0:
                    continue
                size, slope = (spread["step_up"], -1) if p > 0 else (spread["step_down"], 1)
                after = np.clip(x[i, j] + p * size[i, j] * np.exp(slope * (x[i, j] - 0.5)), 0, 1)
                x[i, j] = np.clip(x[i, j] + (after - x[i, j]) * (1 + 0.3 * xi[i, j]), 0, 1)
        a, b = a + pre[t], b + post[t]
    span = spread["g_max"] - nominal.g_min
    w = x * span / span.mean()
    assert float(found["pulses"]) == pulses
    np.testing.assert_allclose(found["mean"], w.mean(), rtol=2e-5)
    np.testing.assert_allclose(found["sd"], w.std(), rtol=2e-5)
    np.testing.assert_allclose(found["high"], np.mean(w > 0.9), atol=1e-6)


@pytest.mark.parametrize(
    "sections, complaint",
    [
        ({"variation": {"read_noise": 0.02}}, "variation.read_noise: arrays are not read in a study of arrays"),
        ({"array": {"wires": {}}}, "array.wires: lines are ideal"),
        ({"monte_carlo": {"age": 1.0}}, "monte_carlo.age = 1 s: arrays do not rest"),
        ({"monte_carlo": {"rate": 120}}, "rate = 120 Hz with monte_carlo.dt = 0.01 s: accepted is at most one spike"),
    ],
)
def test_arrays_refuse_what_has_no_part_in_them(sections, complaint):
    with pytest.raises(ConfigError, match=complaint):
        studies.build(
            settings(
                array=sections.get("array", {}),
                variation={"read_noise": 0.0, **sections.get("variation", {})},
                monte_carlo={"study": "arrays", **sections.get("monte_carlo", {})},
            )
        )


def _of_tiles(device, key):
    """The C2C deviates of a 5 x 4 array in tiles of 3 x 3, in logical order [5, 4]."""
    from memjax.devices._wrappers._common import stream

    name = variation.dress(variation.Nonidealities(c2c=0.3), device).name
    drawn = noise.normal(key, (1, 2, 3, 2, 3), salt=stream(name))
    return drawn.reshape(6, 6)[:5, :4]


# --- deployed ---------------------------------------------------------------------------------------------------------


def test_a_network_on_ideal_devices_works_as_it_was_trained(out):
    folder, _ = out
    perfect = settings(
        variation={"d2d": {}, "c2c": 0.0, "read_noise": 0.0, "stuck_on": 0.0},
        monte_carlo={"programming": "open_loop", "error": 0.0, "images": 200},
    )
    weights = studies.weights(perfect, folder / "network")
    study = studies.build(perfect, training.load(perfect), weights)
    found = monte_carlo.run(study.chip, 2, KEY, args=study.args)
    trained = json.loads((folder / "network" / "metrics.json").read_text())["test_accuracy"]["mean"]
    np.testing.assert_allclose(found["accuracy"], trained, atol=0.011)  # two of 200 images may sit on a tie
    assert found["accuracy"][0] == found["accuracy"][1]


def test_write_verify_brings_weights_home(out):
    _, metrics = out
    values = metrics["values"]
    assert 0 < values["missed"]["mean"] < 0.2
    weights = 49 * 16 + 16 * 10
    assert weights < values["pulses"]["mean"] < 2 * 10 * weights  # budget 10, two devices a weight
    assert values["programming_energy"]["mean"] > 5e-12 * values["pulses"]["mean"]


def test_what_a_study_leaves(out):
    folder, metrics = out
    assert metrics == json.loads((folder / "metrics.json").read_text())
    assert metrics["chips"] == 6
    assert metrics["failed"] == []
    accuracy = metrics["values"]["accuracy"]
    assert 0.15 < accuracy["quantiles"]["0"] <= accuracy["mean"] <= accuracy["quantiles"]["1"] <= 1
    assert metrics["yield"]["low"] <= metrics["yield"]["estimate"] <= metrics["yield"]["high"]
    assert set(metrics["sobol"]) == {"d2d", "faults", "start", "c2c", "read_noise"}
    with xr.open_dataset(folder / "results.nc") as data:
        assert data.accuracy.shape == (6,)
        assert data.programming_energy.attrs["units"] == "J"
        assert float(data.accuracy.mean()) == pytest.approx(accuracy["mean"])
        assert not data.failed.any()
        assert config.load_text(data.attrs["config"]) == settings()
    assert sorted(p.name for p in (folder / "figures").iterdir()) == ["distribution.png", "sobol.png", "yield.png"]
    assert config.load(folder / "config.yaml") == settings()


def test_a_study_goes_on_with_more_chips(out, tmp_path):
    folder, metrics = out
    before = {p.name for p in (folder / "chips").glob("part*")}
    more = settings(monte_carlo={"chips": 8, "images": 100})
    again = studies.mc(more, folder, batch_size=1, resume=True)
    assert again["chips"] == 8
    assert before < {p.name for p in (folder / "chips").glob("part*")}
    alone = studies.mc(more, tmp_path / "other", network=folder / "network")
    assert again["values"]["accuracy"]["mean"] == pytest.approx(alone["values"]["accuracy"]["mean"], abs=0.01)
    with pytest.raises(UserError, match=r"of a study with other settings \(monte_carlo.images\): go on with the same"):
        studies.mc(settings(monte_carlo={"chips": 8, "images": 50}), folder, resume=True)
    assert config.load(folder / "config.yaml") == more  # what a resume without a config goes by


def test_severities_are_drawn_and_kept(out, tmp_path):
    folder, _ = out
    wanted = settings(
        monte_carlo={
            "chips": 16,
            "quantities": {"stuck": {"low": 0, "high": 20}},
            "design": "latin_hypercube",
            "programming": "open_loop",
        }
    )
    studies.mc(wanted, tmp_path / "out", network=folder / "network")
    fewer = wanted.model_copy(update={"monte_carlo": wanted.monte_carlo.model_copy(update={"chips": 8})})
    with pytest.raises(UserError, match="with other inputs"):  # of a design
        studies.mc(fewer, tmp_path / "out", network=folder / "network", resume=True)
    assert config.load(tmp_path / "out" / "config.yaml") == wanted
    with xr.open_dataset(tmp_path / "out" / "results.nc") as data:
        drawn = data.severity_stuck.values
        assert sorted(np.floor(drawn / 20 * 16)) == list(range(16))  # one in each of sixteen strata
        worse = drawn > 10
        assert data.accuracy.values[worse].mean() < data.accuracy.values[~worse].mean()
    absent = settings(monte_carlo={"quantities": {"drift": {"low": 0, "high": 1}}})
    with pytest.raises(ConfigError, match="quantities: drift: accepted is what the section variation describes"):
        studies.mc(absent, tmp_path / "no", network=folder / "network")


def test_until_stops_when_the_yield_is_known(out, tmp_path):
    folder, _ = out
    wanted = settings(monte_carlo={"chips": 300, "images": 20, "programming": "open_loop"})
    found = studies.mc(
        wanted, tmp_path / "out", network=folder / "network", until=studies.yield_rule("yield:0:0.05"), batch_size=50
    )
    assert (
        found["chips"] == 100
    )  # all pass: Wilson's half width is below .05 from 35 chips on, and 100 is the first look
    assert found["yield"]["estimate"] == 1


# --- learning ---------------------------------------------------------------------------------------------------------


def test_every_chip_learns(tmp_path):
    wanted = settings(monte_carlo={"study": "learning", "chips": 2}, learning={"epochs": 3})
    found = studies.mc(wanted, tmp_path / "out")
    assert found["values"]["accuracy"]["quantiles"]["0"] > 0.4
    assert found["values"]["pulses"]["mean"] > 100
    assert found["values"]["training_energy"]["mean"] > 5e-12 * found["values"]["pulses"]["mean"]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args, complaint",
    [
        ((), "give a config"),
        (("tiny.yaml", "--batch", "some"), "accepted is auto, or a number of chips"),
        (("tiny.yaml", "--until", "yield:0.9"), "accepted is yield:THRESHOLD:HALF_WIDTH"),
        (("tiny.yaml", "--until", "mean:0.9:0.1"), "accepted is yield:THRESHOLD:HALF_WIDTH"),
        (("tiny.yaml", "--until", "yield:0.9:0.7"), "accepted is between 0 and 0.5"),
        (("tiny.yaml", "--chips", "0"), "monte_carlo.chips"),
        (("tiny.yaml", "--network", "nowhere"), "accepted is results.nc of a `memjax train` run"),
        (("tiny.yaml", "--processes", "2"), "coordinator, process_id not given"),
        (("tiny.yaml", "--until", "yield:nan:0.1"), "threshold nan of a yield"),
        (("tiny.yaml", "--until", "yield:95:0.1"), "--until yield:95:0.1: accepted is an accuracy from 0 to 1"),
        (("tiny.yaml", "--threshold", "95"), "--threshold 95: accepted is an accuracy from 0 to 1"),
        (("tiny.yaml", "--threshold", "nan"), "--threshold nan: accepted is an accuracy from 0 to 1"),
        (("arrays.yaml", "--threshold", "0.5"), "its chips have no accuracy"),
        (("tiny.yaml", "--sobol", "1"), "--sobol 1: accepted is at least 2 base samples"),
        (
            ("tiny.yaml", "--sobol", "6", "--set", "monte_carlo.quantities={c2c: {}}"),
            "--sobol 6: accepted is a power of 2",
        ),
        (("tiny.yaml", "--set", "monte_carlo.quantities={drift: {}}"), "quantities: drift: accepted is what"),
        (
            ("tiny.yaml", "--chips", "5", "--set", "monte_carlo={quantities: {c2c: {}}, design: sobol}"),
            "n = 5 Sobol points",
        ),
        (
            ("tiny.yaml", "--set", "monte_carlo.quantities={stuck: {high: 51}}"),
            "stuck at severity 51: variation.stuck_on",
        ),
        (
            ("half.yaml", "--set", "monte_carlo.quantities={stuck: {high: 2}}"),
            "stuck at severity 2: variation: stuck_on + stuck_off should be at most 1",
        ),
        (("tiny.yaml", "--set", "patches={size: 5, stride: 2}"), "this needs the fully connected network"),
        (("tiny.yaml", "--set", "monte_carlo.quantities={c2c: {low: 2, high: 1}}"), "low should be at most high"),
    ],
)
def test_mc_refuses(tmp_path, monkeypatch, args, complaint):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")  # what the command sets where nobody has
    (tmp_path / "tiny.yaml").write_text(config.dump(settings()))
    (tmp_path / "arrays.yaml").write_text(config.dump(settings(monte_carlo={"study": "arrays"})))
    (tmp_path / "half.yaml").write_text(config.dump(settings(variation={"stuck_on": 0.4, "stuck_off": 0.3})))
    with pytest.raises((UserError, ValueError), match=r".") as refused:
        CliRunner().invoke(app, ["mc", *args], catch_exceptions=False)
    assert complaint in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "arrays.yaml",
        "half.yaml",
        "tiny.yaml",
    ]  # nothing is begun


@pytest.mark.parametrize(
    "command, options, stopped, code",
    [
        ("mc", ["--threshold", "0.0", "--sobol", "8"], training.Interrupted(15, 1, 2, "network"), 143),
        ("ablate", ["--chips", "3", "--batch", "2"], KeyboardInterrupt(), 130),
        ("sensitivity", ["--step", "0.5", "--network", "some where"], KeyboardInterrupt(), 130),
    ],
)
def test_what_is_stopped_says_how_to_go_on(tmp_path, monkeypatch, command, options, stopped, code):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    (tmp_path / "tiny.yaml").write_text(config.dump(settings()))

    def stop(wanted, out, *args, **given):
        if out.name == "begun":
            out.mkdir()
            (out / "config.yaml").write_text(config.dump(wanted))
        raise stopped

    monkeypatch.setattr(studies, command, stop)
    for out in ("begun", "not"):
        shown = CliRunner().invoke(app, [command, "tiny.yaml", *options, "--out", out], catch_exceptions=False)
        assert shown.exit_code == code
        line = next((line for line in shown.output.splitlines() if "memjax" in line), "")
        assert shlex.split(line) == (["memjax", command, "--resume", "--out", out, *options] if out == "begun" else [])


def test_severities_that_chips_draw_are_groups_of_the_decomposition(tmp_path):
    """Scaled by 0 to 20, stuck devices decide what arrays come to, and a severity of 1 to 1 decides nothing."""
    wanted = settings(
        array={"n_inputs": 12, "n_outputs": 8, "module_size": 8},
        monte_carlo={
            "study": "arrays",
            "steps": 5,
            "chips": 2,
            "quantities": {"stuck": {"low": 0, "high": 20}, "c2c": {"low": 1, "high": 1}},
        },
        variation={"read_noise": 0.0},
    )
    found = studies.mc(wanted, tmp_path / "out", sobol=64)["sobol"]
    assert list(found) == [*studies.build(wanted).sources, "stuck severity", "c2c severity"]
    total = {name: row["total"][0] for name, row in found.items()}
    assert total["stuck severity"] > 0.7
    assert total["c2c severity"] == pytest.approx(0, abs=1e-9)


def test_mc_prints_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    arrays = settings(
        array={"n_inputs": 6, "n_outputs": 4, "module_size": 4},
        variation={"read_noise": 0.0, "drift": {}, "flicker": {}},
        monte_carlo={"study": "arrays", "steps": 5},
    )
    (tmp_path / "arrays.yaml").write_text(config.dump(arrays))
    shown = CliRunner().invoke(app, ["mc", "arrays.yaml", "--chips", "5", "--out", "o"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "5/5 chips" in shown.output
    assert "no chip ever rests (monte_carlo.age = 0 s): nothing comes of flicker, drift" in shown.output
    assert "sd" in shown.output
    assert "5 chips, " in shown.output
    assert (tmp_path / "o" / "results.nc").exists()
