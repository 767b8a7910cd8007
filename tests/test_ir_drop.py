"""The study of line resistance: its committed numbers against closed forms, and all of its code on small arrays."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

STUDY = Path(__file__).resolve().parent.parent / "experiments" / "ir_drop"
RESULTS = json.loads((STUDY / "results.json").read_text(encoding="utf-8"))


@pytest.fixture
def study(monkeypatch):
    """The modules of the study by name, as its own command imports them."""
    monkeypatch.syspath_prepend(str(STUDY))
    names = ("arrays", "cells", "deploy", "figures")
    yield lambda name: __import__(name)
    for name in names:
        sys.modules.pop(name, None)


def test_committed_loss_follows_the_first_order_where_it_is_small():
    """The group s, plus what it leaves out: a cell that conducts more than the mean loses more on its own path.

    That is Var(g) / <g> times the resistance of the path, of (n + 1) / 2 segments in the mean.
    """
    low = 0.01
    mean = {"uniform": (1 + low) / 2, "log-uniform": (1 - low) / -np.log(low), "one in ten on": 0.1 + 0.9 * low}
    square = {"uniform": (1 + low + low**2) / 3, "log-uniform": (1 - low**2) / (-2 * np.log(low))}
    square["one in ten on"] = 0.1 + 0.9 * low**2
    mean["all on"] = square["all on"] = 1.0
    rows = [row for part in ("map", "others") for row in RESULTS["arrays"][part] if row["topology"] == "single"]
    small = [row for row in rows if 1e-3 < row["s"] < 1e-2]
    assert len(small) > 20
    for row in small:
        m, n = row["shape"]
        path = row["rg_word"] * (n + 1) / 2 + row["rg_bit"] * (m + 1) / 2
        kind = row["cells"]
        own = path * (square[kind] - mean[kind] ** 2) / mean[kind]
        # What is left is of second order, or the spread of the draws' mean.
        sure = 4 * row["loss"]["sd"] / 5**0.5
        assert abs(row["loss"]["mean"] - row["s"] - own) < 1.5 * row["s"] ** 2 + sure, row


def test_committed_losses_are_one_curve():
    for part, far in (("map", 0.03), ("others", 0.06)):
        assert RESULTS["collapse"][part]["from_the_largest_array"] < far
        for row in RESULTS["arrays"][part]:
            assert 0 < row["word"]["mean"] + row["bit"]["mean"] < 1
            assert abs(row["loss"]["mean"] - row["s"] / (1 + row["s"])) < (0.025 if row["s"] < 1 else 0.1)


def test_committed_series_is_the_published_one():
    """One published draw lies within the spread of ours, and its last digit."""
    for row in RESULTS["designer"]["series"]:
        assert abs(row["mean"] - row["reference"]) < 4 * row["sd"] + 5e-4, row
        assert row["sd"] < 0.03 * row["mean"]


def test_sizes_read_off_the_curve_have_the_loss_asked_for():
    for row in RESULTS["arrays"]["tried"]:
        n = row["shape"][0]
        # A size is a whole number: the next one would have (1 + 1 / n)^2 of the loss.
        assert row["loss"]["mean"] < row["loss_wanted"] * 1.03 + row["loss"]["sd"]
        assert row["loss"]["mean"] * (1 + 1.5 / n) ** 2 > row["loss_wanted"] * 0.97


def test_the_group_is_the_mean_voltage_lost_along_the_lines(study):
    arrays = study("arrays")
    for topology, (of_word, of_bit) in {"single": (0, 0), "double_drive": (1, 0), "double": (1, 1)}.items():
        means = []
        for k, both in ((9, of_word), (6, of_bit)):
            # A current of 1 A into every node of a line of segments of 1 ohm between its terminals.
            laplacian = 2 * np.eye(k) - np.eye(k, k=1) - np.eye(k, k=-1)
            laplacian[-1, -1] -= 0 if both else 1
            means.append(np.linalg.solve(laplacian, np.ones(k)).mean())
        wanted = 2e-6 * (3 * means[0] + 5 * means[1])
        np.testing.assert_allclose(arrays.group(2e-6, (6, 9), 3.0, 5.0, topology), wanted, rtol=1e-12)
    for topology in ("single", "double"):
        n = arrays.largest(0.05, 1e-5, topology)
        np.testing.assert_allclose(arrays.group(1e-5, (n, n), 1.0, 1.0, topology), 0.05, rtol=1e-12)


def test_sneak_paths_and_half_selected_cells_without_wires(study, x64):
    """With ideal lines all schemes have closed forms, in n - 1 other lines of cells that are on."""
    cells, n = study("cells"), 4
    found = {name: np.asarray(x) for name, x in cells.select("ohmic", n, 0.0).items()}
    k, own = n - 1, np.array([cells.ON, cells.OFF])
    sneak = cells.ON / (2 / k + 1 / k**2)
    currents = {
        "half": own + k * cells.ON / 2,
        "third": own + k * cells.ON / 3,
        "ground": own,
        "floating": own + sneak,
    }
    for scheme, wanted in currents.items():
        np.testing.assert_allclose(found["read"][cells.SCHEMES.index(scheme)], wanted, rtol=1e-10)
    np.testing.assert_allclose(found["delivered"], 1, rtol=1e-12)
    largest = {"half": 1 / 2, "third": 1 / 3, "ground": 1, "floating": k / (2 * k + 1)}
    for scheme, wanted in largest.items():
        np.testing.assert_allclose(found["disturb"][cells.SCHEMES.index(scheme)], wanted, rtol=1e-10)


def test_committed_selection_orders_the_cells_as_their_nonlinearity():
    rows = {(row["cell"], row["n"], row["scheme"]): row for row in RESULTS["cells"]}
    n = max(row["n"] for row in RESULTS["cells"])
    for what, scheme in (("delivered", "half"), ("delivered", "third"), ("margin", "floating")):
        ohmic, sinh, selector = (rows[cell, n, scheme][what] for cell in ("ohmic", "sinh", "selector"))
        assert ohmic < sinh < selector
    # V/3 disturbs less than V/2 and costs more, unless a selector holds back all cells that are not selected.
    assert rows["ohmic", n, "third"]["power"] > 5 * rows["ohmic", n, "half"]["power"]
    assert rows["selector", n, "third"]["power"] < rows["selector", n, "half"]["power"]


def test_committed_accuracy_falls_with_the_group_alone():
    """However an s comes about, by tiles, wires or a second terminal: up to .5 it costs half a point at most."""
    rows = RESULTS["network"]["rows"]
    assert len(rows) == 50
    ideal = {row["accuracy"] for row in rows if row["r_ohm"] == 0}
    assert len(ideal) == 1  # tiles without wires are one array
    for row in rows:
        assert row["s"] >= 0.5 or row["accuracy"] > min(ideal) - 0.005, row
        assert row["s"] < 5 or row["accuracy"] < 0.6, row
        assert row["accuracy_trimmed"] < row["accuracy"] + 0.02 or row["s"] > 1.5, row  # one gain a layer is no remedy


@pytest.mark.broad
def test_all_of_the_study_runs_on_small_arrays(tmp_path, study, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "--quick", "--out", str(tmp_path)])
    runpy.run_path(str(STUDY / "run.py"), run_name="__main__")
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert set(found) == set(RESULTS)
    for name in ("map", "tiles", "cells"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    for row in found["network"]["rows"]:
        assert row["accuracy"] > 0.3 or row["r_ohm"] > 0
