"""What each non-ideality costs: the same chips in every setting, and the losses that the command reports."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from memjax import cli, config, monte_carlo, plot, studies, training

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
TINY = {
    "device": {"name": "exponential", "params": {"step_up": 0.05, "step_down": 0.05}},
    "array": {"n_inputs": 49, "n_outputs": 16, "module_size": 32},
    "neurons": {"time_steps": 2},
    "variation": {"stuck_on": 0.1, "c2c": 0.5, "read_noise": 0.05, "drift": {"nu": 0.1, "spread": 0.5}},
    "learning": {"learning_rate": 0.05, "epochs": 1},
    "data": {"n_train": 600, "n_test": 100},
    "monte_carlo": {"chips": 3, "age": 1e5},
}
REMEDIES = {"pairs": True, "refresh": {"period": 5e4}}
NAMES = ["stuck", "c2c", "read_noise", "drift"]
LABELS = ["none", *NAMES, *(f"all but {name}" for name in NAMES), "all"]


def changed(**sections):
    """Return the tiny config with sections (or parts of them) of another content."""
    return config.from_dict({**TINY, **sections})


class Stop(Exception):
    pass


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An ablation that was stopped after some batches, and resumed: (folder, metrics, chips done at each call)."""
    out = tmp_path_factory.mktemp("ablation") / "run"
    done = []

    def stop(at):
        if at.done >= 8:
            raise Stop

    with pytest.raises(Stop):
        studies.ablate(changed(), out, batch_size=4, progress=stop)
    found = studies.ablate(changed(), out, batch_size=4, resume=True, progress=lambda at: done.append(at.done))
    return out, found, done


@pytest.fixture(scope="module")
def values(run):
    return of(run[0]).sel(remedy="bare")


def of(out):
    with xr.open_dataset(out / "results.nc", engine="h5netcdf") as found:
        return found.load()


def chips_of(settings, out):
    """Evaluate the chips of a config the way `memjax mc` does, with the network of a run in `out`."""
    samples = training.load(settings)
    study = studies.build(settings, samples, studies.weights(settings, out / "network"))
    return monte_carlo.run(study.chip, 3, jax.random.key(0), args=study.args)


def test_every_setting_and_its_severities_are_labelled(values):
    assert values["accuracy"].dims == ("setting", "chip")
    assert list(values["setting"].values) == LABELS
    assert values.sizes["chip"] == 3
    on = np.stack([values[f"severity_{name}"].values for name in NAMES], axis=1)
    np.testing.assert_array_equal(on, np.concatenate([np.zeros((1, 4)), np.eye(4), 1 - np.eye(4), np.ones((1, 4))]))
    assert values["programming_energy"].attrs["units"] == "J"
    assert not values["failed"].any()


def test_a_stopped_run_goes_on(run):
    """Its values are those of the chips, as the next test finds."""
    done = run[2]
    assert done[0] >= 8
    assert done[-1] == 3 * len(LABELS)


@pytest.mark.parametrize(
    "label, left",
    [
        ("none", {}),
        pytest.param("all but drift", {"stuck_on": 0.1, "c2c": 0.5, "read_noise": 0.05}, marks=pytest.mark.broad),
    ],
)
def test_a_setting_is_the_same_chips_described_without_what_is_off(run, values, label, left):
    """Chip by chip: the keys are those of `memjax mc`, and severity 0 is a chip without."""
    plain = chips_of(changed(variation=left), run[0])
    at = values.sel(setting=label)
    np.testing.assert_allclose(at["accuracy"], plain["accuracy"], atol=0.0101)  # one image, by rounding
    np.testing.assert_allclose(at["pulses"], plain["pulses"], rtol=1e-3)
    assert len(set(at["pulses"].values)) == 3  # and no chip is another one


def test_noise_of_reads_that_verify_is_switched_off_too(values):
    pulses = values["pulses"].mean("chip")
    assert pulses.sel(setting="read_noise") > 1.05 * pulses.sel(setting="none")
    assert pulses.sel(setting="drift") == pulses.sel(setting="none")  # it comes after programming


def test_losses_are_paired_differences(run, values):
    found = json.loads((run[0] / "metrics.json").read_text(encoding="utf-8"))
    y = values["accuracy"].astype(np.float64)

    def check(row, after, before):
        change = (y.sel(setting=after) - y.sel(setting=before)).values
        half = stats.t.ppf(0.975, 2) * change.std(ddof=1) / 3**0.5
        assert [row["mean"], row["low"], row["high"]] == pytest.approx(
            [change.mean(), change.mean() - half, change.mean() + half], abs=1e-12
        )

    assert list(found["nonidealities"]) == NAMES
    for name, row in found["nonidealities"].items():
        check(row["lost"], "none", name)
        check(row["recovered"], f"all but {name}", "all")
    check(found["lost"], "none", "all")
    assert found["lost"]["mean"] > 0.1
    assert found["settings"]["all"]["values"]["accuracy"]["sd"] == pytest.approx(
        float(y.sel(setting="all").std(ddof=1))
    )


def test_fewer_nonidealities_have_fewer_settings():
    assert studies._ablate.labels_of("a", ["a"]) == ("all", "none")
    assert studies._ablate.labels_of("b", ["a", "b"]) == ("b", "a")
    assert studies._ablate.labels_of("b", ["a", "b", "c"]) == ("b", "all but b")


# --- with and without remedies ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def remedied(run, tmp_path_factory):
    """The same chips without remedies, with each of two, and with both: (folder, metrics)."""
    out = tmp_path_factory.mktemp("remedied") / "run"
    two = {"stuck_on": 0.25, "drift": {"nu": 0.1, "spread": 0.5}}
    # Open loop: write-verify would make up for stuck devices by itself.
    once = {**TINY["monte_carlo"], "programming": "open_loop"}
    settings = changed(variation=two, mitigation=REMEDIES, monte_carlo=once)
    return out, studies.ablate(settings, out, batch_size=4, network=run[0] / "network")


def test_every_remedy_is_measured_in_every_setting(remedied):
    out, found = remedied
    values = of(out)
    assert list(values["remedy"].values) == ["bare", "pairs", "refresh", "all remedies"]
    assert list(values["setting"].values) == ["none", "stuck", "drift", "all"]
    assert not values["failed"].any()
    y = values["accuracy"].astype(np.float64)
    for name, row in found["remedies"].items():
        change = (y.sel(remedy=name) - y.sel(remedy="bare")).mean("chip")
        for label in ("none", "all"):
            assert row["gained"][label]["mean"] == pytest.approx(float(change.sel(setting=label)), abs=1e-12)
    # Partners make up for stuck devices, refreshes for drift, and neither for the other.
    gained = {name: {at: g["mean"] for at, g in row["gained"].items()} for name, row in found["remedies"].items()}
    assert gained["pairs"]["stuck"] > 0.05
    assert gained["refresh"]["drift"] > 0.05
    assert abs(gained["pairs"]["drift"]) < 0.05
    assert gained["all remedies"]["all"] > 0.04
    assert (out / "figures" / "remedies.png").stat().st_size > 5000


def test_remedies_are_paid_for(remedied):
    at = of(remedied[0]).mean("chip").sel(setting="all")
    assert (at["upkeep_energy"].values > 0).tolist() == [False, False, True, True]
    assert at["programming_energy"].sel(remedy="pairs") > 1.2 * at["programming_energy"].sel(remedy="bare")


def test_a_remedy_without_effect_leaves_the_very_chips(run, values):
    """A refresh that is never due: another program, the same chips (up to the noise of reads)."""
    still = {"stuck_on": 0.1, "c2c": 0.5, "drift": {"nu": 0.1, "spread": 0.5}}
    network, bare = run[0] / "network", changed(variation=still)
    idle = changed(variation=still, mitigation={"refresh": {"period": 1e6}})
    made = []
    for settings in (bare, idle):
        study = studies.build(settings, training.load(settings), studies.weights(settings, network))
        made.append(monte_carlo.run(study.chip, 3, jax.random.key(0), args=study.args))
    np.testing.assert_allclose(made[0]["accuracy"], made[1]["accuracy"], atol=0.0101)  # one image, by rounding
    np.testing.assert_allclose(made[0]["pulses"], made[1]["pulses"], rtol=1e-3)


@pytest.mark.parametrize(
    "sections, complaint",
    [
        ({"monte_carlo": {"study": "learning"}}, "mitigation .pairs, refresh. with monte_carlo.study = learning"),
        ({"variation": {"heat": {}}}, "mitigation.refresh with variation.heat: accepted is one of them"),
        ({"encoding": {"kind": "rate"}}, "mitigation .pairs, refresh. with encoding.kind = rate: accepted is direct"),
    ],
)
def test_remedies_that_do_not_go_together_are_refused(run, sections, complaint):
    settings = changed(**sections, mitigation=REMEDIES)
    with pytest.raises(config.ConfigError, match=complaint):
        studies.build(settings, training.load(settings), studies.weights(settings, run[0] / "network"))


@pytest.mark.broad
def test_chips_that_learn_forget_what_they_rest(tmp_path):
    """In situ: with one non-ideality there are two settings, and "none" is the chip that no month touches."""
    few = {"variation": {"retention": {"tau": 1e4}}, "learning": {"learning_rate": 0.1, "epochs": 2}}
    settings = changed(**few, monte_carlo={"study": "learning", "chips": 2, "age": 1e5})
    found = studies.ablate(settings, tmp_path / "run")
    assert list(found["settings"]) == ["none", "all"]
    assert found["nonidealities"]["retention"]["recovered"] == found["nonidealities"]["retention"]["lost"]
    accuracy = {label: row["values"]["accuracy"]["mean"] for label, row in found["settings"].items()}
    assert accuracy["none"] > 0.4
    assert accuracy["all"] < accuracy["none"] - 0.1


# --- the figure and the command ---------------------------------------------------------------------------------------


def test_bars_are_means_in_points():
    lost = {"d2d": [0.0, 0.02], "drift": [0.1, np.nan]}
    (ax,) = plot.ablation_bars(lost, {"d2d": [0.01, 0.03], "drift": [0.2, 0.4]}, [0.3, 0.5]).axes
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [1, 10, 40, 2, 30])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["d2d", "drift", "all"]
    with pytest.raises(ValueError, match="lost names d2d, drift and recovered d2d"):
        plot.ablation_bars(lost, {"d2d": [0.0]}, [0.0])
    with pytest.raises(ValueError, match=r"no chip of d2d \(lost by it alone\) has a finite value"):
        plot.ablation_bars({"d2d": [np.nan]}, {"d2d": [0.0]}, [0.0])


def test_a_map_of_remedies_has_their_means():
    fig = plot.remedy_map({"bare": [0.9, 0.5], "spares": [0.9, 0.8]}, ["none", "all"])
    texts = [text.get_text() for text in fig.axes[0].texts]
    assert texts == ["90.0", "50.0", "90.0", "80.0"]
    with pytest.raises(ValueError, match="rows of 1 settings for 2 labels"):
        plot.remedy_map({"bare": [0.9]}, ["none", "all"])


def command(monkeypatch, capsys, *args):
    monkeypatch.setattr(sys, "argv", ["memjax", "ablate", *map(str, args)])
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")  # which the command would set for the tests that follow
    try:
        code = cli.main()
    except SystemExit as ended:
        code = ended.code
    return code or 0, *capsys.readouterr()


def test_the_command_prints_a_table_and_draws_a_figure(run, monkeypatch, capsys):
    """Resumed where all is there: the table again, nothing worked out anew."""
    out, found, _ = run
    code, text, err = command(monkeypatch, capsys, "--resume", "--out", out)
    assert code == 0, err
    row = next(line for line in text.splitlines() if line.startswith(" stuck") or line.startswith("stuck"))
    lost = found["nonidealities"]["stuck"]["lost"]
    assert f"{100 * lost['mean']:.2f} ({100 * lost['low']:.2f} to {100 * lost['high']:.2f})" in row
    assert "3 chips x 10 settings" in text
    assert (out / "figures" / "ablation.png").stat().st_size > 5000


@pytest.mark.parametrize(
    "settings, complaint",
    [
        ("monte_carlo.study=arrays", "its chips have no accuracy; accepted is deployed or learning"),
        ("monte_carlo.chips=1", "accepted is at least 2, for the spread over chips"),
        ("monte_carlo.quantities.c2c.high=3", "an ablation sets all severities"),
        ("monte_carlo.age=0", "drift would cost nothing, for no chip ever rests"),
        ("variation={}", "describes nothing that could be switched off: accepted is at least one of d2d, stuck"),
    ],
)
def test_refusals_write_nothing(monkeypatch, capsys, tmp_path, settings, complaint):
    code, out, err = command(monkeypatch, capsys, CONFIGS / "ablate.yaml", "--set", settings, "--out", tmp_path / "o")
    assert (code, out) == (2, "")
    assert err.startswith("memjax: ")
    assert complaint in err
    assert not (tmp_path / "o").exists()


def test_no_config_is_refused_with_an_example(monkeypatch, capsys):
    code, _, err = command(monkeypatch, capsys)
    assert code == 2
    assert "memjax ablate configs/ablate.yaml" in err


def test_the_default_config_has_twelve_settings_of_twenty_chips():
    settings = config.load(CONFIGS / "ablate.yaml")
    studies._ablate.check(settings, "an ablation")
    chip = training.nonidealities(settings)
    assert chip.names == ("d2d", "stuck", "c2c", "read_noise", "drift")
    assert settings.monte_carlo.chips == 20
