"""The committed studies of calibration, inverse mapping, write-verify and wires: decisions follow from the chips."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

STUDY = Path(__file__).resolve().parent.parent / "experiments" / "remedies"
RESULTS = json.loads((STUDY / "results.json").read_text(encoding="utf-8"))
OURS = ("calibration", "inverse", "verified", "wire_aware")


@pytest.mark.parametrize("name", OURS)
def test_what_is_judged_follows_from_the_chips(name):
    found = RESULTS[name]
    for row in found["judged"]:
        before, after = (np.asarray(found["curves"][row[which]]["chips"][row["at"]]) for which in ("bare", "remedy"))
        assert len(before) == len(after) == 20
        assert row["lost"] >= 3, "judged where nothing is lost"
        np.testing.assert_allclose([row["lost"], row["left"]], found["ideal"] - np.array([before.mean(), after.mean()]))
        np.testing.assert_allclose(row["loss_recovered"], 1 - row["left"] / row["lost"])
        half = stats.t.ppf(0.975, 19) * stats.sem(after - before)
        gain = (after - before).mean()
        np.testing.assert_allclose(
            [row["gain"][k] for k in ("low", "mean", "high")], gain + half * np.array([-1, 0, 1])
        )


def test_targets_are_met_where_they_are_said_to_be():
    calibrated = {row["remedy"]: row for row in RESULTS["calibration"]["judged"]}
    assert min(calibrated["calibrated"][k] for k in ("rms_error_removed", "loss_recovered")) >= 0.9
    assert not calibrated["calibrated, a quarter of the reads"]["met"]
    for name, share in (("inverse", 0.8), ("verified", 0.8), ("wire_aware", 0.5)):
        assert all(row["loss_recovered"] >= share and row["met"] for row in RESULTS[name]["judged"])
    assert RESULTS["inverse"]["axis"]["values"][RESULTS["inverse"]["judged"][0]["at"]] == 0.4


def test_energy_is_that_of_pulses_and_reads():
    """5 pJ a pulse and .5 pJ a verifying read, as the framework prices them."""
    for name in ("inverse", "verified"):
        for made in RESULTS[name]["curves"].values():
            want = 5e-12 * np.asarray(made["pulses"]) + 0.5e-12 * np.asarray(made["verifies"])
            np.testing.assert_allclose(made["joule"], want, rtol=1e-5)
