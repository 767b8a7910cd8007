"""The committed records of the fully connected network belong to the committed configs, and reach what they should."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from memjax import config, energy

STUDY = Path(__file__).resolve().parent.parent / "experiments" / "records" / "fully_connected"
RESULTS = json.loads((STUDY / "results.json").read_text(encoding="utf-8"))
LEAST = {"mnist": 98.0, "fashion_mnist": 87.5}


def _configs():
    spec = importlib.util.spec_from_file_location("fully_connected_run", STUDY / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CONFIGS


@pytest.mark.parametrize("name", list(RESULTS))
def test_results_are_those_of_the_config(name):
    row, settings = RESULTS[name], config.load(_configs()[name])
    assert row["config"] == yaml.safe_load(_configs()[name].read_text(encoding="utf-8"))
    assert len(row["chips"]) == settings.chips == 5
    assert row["accuracy"] == pytest.approx(np.mean(row["chips"]), abs=1e-3)
    assert row["accuracy"] >= LEAST[name]
    assert row["epochs"] == settings.learning.epochs <= 15
    assert row["evaluated_on"] == f"10000 test samples of {name}"


@pytest.mark.parametrize("name", list(RESULTS))
def test_energy_is_the_events_at_their_prices(name):
    for kind, counts in RESULTS[name]["events"].items():
        for part, joule in energy.joules(counts).items():
            assert RESULTS[name]["energy"][kind][part] == pytest.approx(joule, rel=1e-9)
