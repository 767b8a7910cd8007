"""The studies of the records: one small chip of each kind, and the table that is made of them."""

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from memjax import datasets

STUDY = Path(__file__).resolve().parent.parent / "experiments" / "records"


def _load(name):
    spec = importlib.util.spec_from_file_location(f"records_{name}", STUDY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


frame, run, figures = _load("frame"), _load("run"), _load("figures")
SMALL = frame.Recipe(
    "digits",
    (28, 28, 1),
    filters=12,
    size=8,
    stride=4,
    pool=3,
    drive="normalised",
    fill=3.0,
    filter_rate=0.02,
    filter_images=300,
    per_image=16,
    views=("as it is", "left"),
    epochs=4,
    rate=0.02,
    gain=0.35,
    copies=2,
    tile=36,
    chunk=36 * 8,
)


@pytest.fixture(scope="module")
def rows():
    data = datasets.load("digits", n_train=600, n_test=300)
    return {kind: frame.chip(SMALL, kind, 0, data) for kind in ("ideal", "hard")}


def test_chips_learn(rows):
    for kind, least in (("ideal", 0.75), ("hard", 0.7)):
        row, filters = rows[kind]
        assert row["accuracy"] >= least, row
        assert row["online"][-1] > row["online"][0]
        assert filters.shape == (8, 8, 1, 12)


def test_the_filters_may_be_of_other_devices(rows):
    data = datasets.load("digits", n_train=600, n_test=300)
    mixed = dataclasses.replace(SMALL, filter_kind="hard")
    row, filters = frame.chip(mixed, "ideal", 0, data)
    np.testing.assert_array_equal(filters, rows["hard"][1])
    assert row["kind"] == "ideal"
    assert row["accuracy"] != rows["ideal"][0]["accuracy"]


def test_energy_is_that_of_the_events(rows):
    row, _ = rows["hard"]
    inference, training = row["joules"]["inference"], row["joules"]["training"]
    # 36 positions of 64 x 12 pairs at most, each column sensed twice; then 108 x 2 x 10 pairs.
    most = 36 * (64 * 12 * 2 * 0.1e-12 + 12 * 2 * 0.5e-12)
    assert 0.3 * most < inference["filters"]["e_max"] < most
    assert 0 < inference["readout"]["e_min"] < 2 * 108 * 10 * 2 * 0.1e-12
    reads = inference["readout"]["e_max"] - inference["readout"]["e_min"]
    np.testing.assert_allclose(reads, 10 * 2 * 0.5e-12, rtol=1e-6)
    pulses = row["pulses_per_sample"]["readout"]
    np.testing.assert_allclose(training["writing"]["e_min"], 5e-12 * pulses, rtol=1e-6)
    assert training["writing"]["e_max"] > training["writing"]["e_min"]


def test_the_table_and_its_figures(rows, tmp_path):
    each = [row for row, _ in rows.values()]
    other = {**each[1], "seed": 1, "accuracy": each[1]["accuracy"] - 0.1}
    table = {"ideal": run.summary(each[:1]), "hard": run.summary([each[1], other])}
    assert table["ideal"]["accuracy"]["sd"] is None
    np.testing.assert_allclose(table["hard"]["accuracy"]["mean"], each[1]["accuracy"] - 0.05)
    np.testing.assert_allclose(table["hard"]["accuracy"]["sd"], 0.1 / 2**0.5)
    inference = each[1]["joules"]["inference"]
    wanted = inference["filters"]["e_max"] + inference["readout"]["e_max"]
    np.testing.assert_allclose(table["hard"]["joules_inference"]["e_max"], wanted)
    results = {"data_set": "digits", "evaluated_on": "test set", "table": table, "chips": [*each, other]}
    last = run.markdown(results).splitlines()[-1]
    assert last.startswith(f"| hard | 2 | {100 * table['hard']['accuracy']['mean']:.2f} % (sd 7.07) |")
    figures.draw(results, tmp_path, {kind: filters for kind, (_, filters) in rows.items()})
    assert {path.name for path in tmp_path.iterdir()} == {"learning.png", "seeds.png", "energy.png", "filters.png"}


@pytest.mark.parametrize("name", run.STUDIES)
def test_recipes_and_results_agree(name, monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    recipe = run.load_recipe(name)
    assert recipe.geometry.n_features(recipe.filters) * (2 if recipe.both else 1) == recipe.features
    assert set(recipe.views) <= set(frame.VIEWS)
    assert recipe.chunk % recipe.tile == 0
    wanted = SimpleNamespace(work="x", held_out=False)
    assert run._path(name, "hard", 3, wanted) == Path("x") / name / "test" / "hard_3.json"


@pytest.mark.parametrize("name", run.STUDIES)
def test_committed_results_are_of_the_recipe_and_in_the_readme(name, monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    results = json.loads((STUDY / name / "results.json").read_text(encoding="utf-8"))
    assert results["recipe"] == json.loads(json.dumps(vars(run.load_recipe(name))))
    assert results["own"] == run.own_settings(name)
    assert results["evaluated_on"] == "test set"
    readme = (STUDY / name / "README.md").read_text(encoding="utf-8")
    for kind, line in results["table"].items():
        rows = [row for row in results["chips"] if row["kind"] == kind]
        assert sorted(row["seed"] for row in rows) == list(range(line["chips"]))
        assert line == json.loads(json.dumps(run.summary(rows)))
    for line in run.markdown(results).splitlines()[-len(results["table"]) :]:
        assert line.replace("|  |  |  |", "| | | |") in readme


def test_recipes_are_all_that_a_chip_depends_on():
    assert dataclasses.replace(SMALL, filters=13).features == SMALL.features + 9


def test_views_turn_and_move_what_they_say():
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 1:8, 4] = 200  # a vertical bar
    for name, side in (("turned left", 1), ("turned right", -1)):
        seen = frame.VIEWS[name](image)[0, :, :, 0].astype(float)
        centre = (seen @ np.arange(9)) / np.maximum(seen.sum(axis=1), 1e-9)
        top, bottom = centre[2], centre[6]
        # Rows point down: turned to the left, a bar's upper end goes left by its distance times tan 10 degrees.
        np.testing.assert_allclose(bottom - top, side * 4 * np.tan(np.radians(10)), atol=0.15)
    assert frame.VIEWS["left"](image)[0, 4, 3, 0] == 200
    assert frame.VIEWS["up"](image)[0, 0, 4, 0] == 200


def test_reads_are_counted_over_the_whole_set_in_every_view(monkeypatch):
    """Images that are blank but for the last ones: the first ones alone would cost nothing."""
    monkeypatch.setattr(frame, "SEEN", 4)
    images = np.zeros((8, 28, 28, 1), np.uint8)
    images[6:, :2] = 200  # at the upper edge: moved up by one, the lower of the lines is left
    layer = frame.layer_of(dataclasses.replace(SMALL, pool=1, stride=1, size=2))
    filters = frame.patches.Filters(frame.array("ideal", (4, 12), (4, 12), frame.jax.random.key(0)), *[0.0] * 5)
    as_it_is = frame.looks(layer, filters, images, ("as it is",))
    assert as_it_is["read"] == 27 * 12 * 2 / 4  # one row of positions is not of one colour, in one image of four
    both = frame.looks(layer, filters, images, ("as it is", "up"))
    assert both["mac"] == as_it_is["mac"] == 4 * as_it_is["read"]


def test_a_kind_of_device_may_have_settings_of_its_own(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    hard, normal = (run.load_recipe("cifar10", kind=kind) for kind in ("hard", "normal"))
    own = run.own_settings("cifar10")["hard"]
    assert hard == dataclasses.replace(normal, **own) != normal
    assert hard.copies * hard.gain == normal.copies * normal.gain  # the same network, of more devices
    assert run.load_recipe("cifar10", ["copies=3"], "hard").copies == 3  # what is said on the command line wins


@pytest.mark.parametrize("change", ["thetta=1.5", "theta"])
def test_a_change_that_is_none_is_refused(change, monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    with pytest.raises(SystemExit, match=f"--set {change}: accepted is KEY=VALUE with KEY one of dataset, image"):
        run.load_recipe("mnist", [change])


def test_reads_of_a_large_readout_are_counted_beyond_int32():
    recipe = dataclasses.replace(SMALL, copies=2)
    xbar = frame.array("hard", (2 * 30_000, 10), (60_000, 10), frame.jax.random.key(0))
    reads = frame.readout_reads(recipe, xbar, np.ones((2000, 30_000), np.uint16), part=500)
    assert (reads["mac"], reads["read"]) == (2 * 60_000 * 10, 2 * 10)  # 2.4e9 in all


def test_chips_of_another_recipe_are_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    wanted = SimpleNamespace(work=tmp_path, held_out=False, set=["theta=1.5"])
    path = run._path("mnist", "normal", 0, wanted)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"kind": "normal", "seed": 0, "recipe": vars(run.load_recipe("mnist", ["theta=1.5"]))}))
    assert run._rows("mnist", wanted) == [{"kind": "normal", "seed": 0}]
    wanted.set = []
    with pytest.raises(SystemExit, match="another recipe.*theta"):
        run._rows("mnist", wanted)
