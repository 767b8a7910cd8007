"""`memjax energy`: the numbers it prints, worked out by hand from the counts of a run, and what it refuses."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.text import Annotation
from PIL import Image

from memjax import cli, config, files, plot
from memjax.training import _plan, _report

PJ = 1e-12
SETTINGS = {
    "chips": 2,
    "device": {"name": "exponential"},
    "array": {"n_inputs": 49, "n_outputs": 8, "n_classes": 2, "module_size": 7},
    "learning": {"epochs": 1},
    "data": {"n_train": 100, "n_test": 50},
}
# Of two chips and 100 samples each; training counts what comes on top of the forward pass.
EVENTS = {
    "inference": {"mac": 400_000, "read": 20_000},
    "training": {"mac": 8_000, "read": 3_200, "pulse": 600, "accumulate": 50_000},
}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Return run(*args) -> (exit code, stdout, stderr) in a folder that holds a run, "ended"."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "ended")

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["memjax", "energy", *map(str, args)])
        try:
            code = cli.main()
        except SystemExit as ended:
            code = ended.code
        return code or 0, *capsys.readouterr()

    return run


def write_run(folder, events=EVENTS):
    """Write what the command reads of a run, as training writes it, with the counts given."""
    settings, plan = config.from_dict(SETTINGS), _plan.plan(100, 1, 50, 1.0)
    counts = _report.start(plan, 2) | {"done": 100, "seconds": 1.0}
    for phase, given in events.items():
        counts["events"][phase].update(given)
    counts["accuracy"][:] = 0.5
    samples = SimpleNamespace(train_y=np.zeros(100), test_y=np.zeros(50), what="test")
    folder.mkdir()
    found = _report.metrics(settings, counts, plan, samples, 1000, interrupted=False)
    files.write_json(folder / "metrics.json", found)
    files.write_text(folder / "config.yaml", config.dump(settings))


def rows(out, phase):
    """Return the cells of a phase's table by their first one."""
    part = out.split(f"{phase}, a sample")[1].split("\n\n")
    lines = [line for block in part for line in block.splitlines()]
    end = next(k for k, line in enumerate(lines) if line.startswith(" E_max"))
    return {
        cells[0]: cells for line in lines[: end + 1] if (cells := [c for c in line.strip().split("  ") if c.strip()])
    }


def test_it_prints_the_breakdown_by_hand(run, tmp_path):
    code, out, err = run("ended")
    assert code == 0, err
    # A sample: 2,000 MACs and 100 reads. 0.1 pJ and 0.5 pJ; 1.83 fJ and .977 fJ; 1,000 MACs of CMOS at 1 pJ.
    # 100 reads of 20 ns; 20 columns (of 10 pairs) at once: 5 x 20 ns.
    cells = {name: [cell.strip() for cell in row] for name, row in rows(out, "inference").items()}
    assert cells["mac"] == ["mac", "2,000", "200 pJ", "3.66 pJ", "1 nJ"]
    assert cells["read"] == ["read", "100", "50 pJ", "97.7 fJ", "2 µs", "100 ns"]
    assert cells["E_min"] == ["E_min", "200 pJ", "3.66 pJ"]
    assert cells["E_max"] == ["E_max", "250 pJ", "3.76 pJ", "1 nJ", "2 µs", "100 ns"]
    assert "pulse" not in cells
    # Training: 2,040 MACs, 116 reads, 3 pulses, 250 accumulations. 204 + 58 + 15 + 1,250 pJ; 1,020 + 25,000 pJ.
    # 116 x 20 + 3 x 10 + 250 x 10 ns; 116 / 20 x 20 + 3 / 20 x 10 + 250 / 10 x 10 ns.
    cells = {name: [cell.strip() for cell in row] for name, row in rows(out, "training").items()}
    assert cells["pulse"] == ["pulse", "3", "15 pJ", "no price", "30 ns", "1.5 ns"]
    assert cells["accumulate"] == ["accumulate", "250", "1.25 nJ", "no price", "25 nJ", "2.5 µs", "250 ns"]
    assert cells["E_min"] == ["E_min", "219 pJ", "> 3.74 pJ"]
    assert cells["E_max"] == ["E_max", "1.53 nJ", "> 3.85 pJ", "26 nJ", "4.85 µs", "368 ns"]
    assert "left out of its sums: pulse, accumulate" in out
    assert "ideal converters" in out
    metrics = json.loads((tmp_path / "ended" / "metrics.json").read_text())
    assert metrics["energy_per_sample"]["training"]["e_max"] == pytest.approx(1527 * PJ)
    assert Image.open(tmp_path / "ended" / "figures" / "energy_by_list.png").size[0] > 1000
    assert run("ended")[0] == 0  # its own figure is drawn anew


def test_conversions_of_a_run_are_priced(run, tmp_path):
    write_run(
        tmp_path / "converted", {"inference": EVENTS["inference"] | {"adc": 20_000, "dac": 6_000}, "training": {}}
    )
    code, out, err = run("converted", "--prices", "isaac", "--out", "figure.pdf")
    assert code == 0, err
    cells = {name: [cell.strip() for cell in row] for name, row in rows(out, "inference").items()}
    # 100 ADCs and 30 DACs a sample: 156.25 pJ and 11.72 pJ; .78 ns each, 10 at once; a DAC is within its read.
    assert cells["adc"] == ["adc", "100", "156 pJ", "78.1 ns", "7.81 ns"]
    assert cells["dac"] == ["dac", "30", "11.7 pJ"]
    assert cells["E_max"][1] == "172 pJ"
    assert "ideal converters" not in out
    assert (tmp_path / "figure.pdf").read_bytes()[:4] == b"%PDF"


def test_a_run_from_before_there_were_conversions(run, tmp_path):
    path = tmp_path / "ended" / "metrics.json"
    metrics = json.loads(path.read_text())
    for events in metrics["events"].values():
        del events["adc"], events["dac"]
    path.write_text(json.dumps(metrics))
    assert run("ended")[0] == 0


def test_a_price_list_of_ones_own(run, tmp_path):
    (tmp_path / "lab.yaml").write_text(
        "title: lab\nstatus: stated\nsource: {citation: us}\nenergy: {mac: 2e-12, read: 0, write: 1e-12}\n"
    )
    code, out, err = run("ended", "--prices", "lab.yaml", "--prices", "memristor")
    assert code == 0, err
    cells = {name: [cell.strip() for cell in row] for name, row in rows(out, "inference").items()}
    assert cells["mac"] == ["mac", "2,000", "4 nJ", "200 pJ", "1 nJ"]
    assert cells["read"] == ["read", "100", "0 J", "50 pJ", "-", "-"]  # lab's list says no times


@pytest.mark.parametrize(
    "args, complaint",
    [
        (("nowhere",), "nowhere is no folder of a run that has ended: cannot read nowhere/metrics.json"),
        (("broken",), "metrics.json is no readable JSON"),
        (("other",), "other/metrics.json does not hold what memjax train writes"),
        (("negative",), "negative/metrics.json does not hold what memjax train writes"),
        (("ended", "--prices", "memristo"), "did you mean 'memristor'?"),
        (("ended", "--prices", "cmos"), "is the digital chip that is beside every list"),
        (("ended", "--prices", "isaac", "--prices", "isaac"), "isaac is given twice"),
        (("ended", "--prices", "bad.yaml"), "energy.mac (line 4): Input should be greater than or equal to 0"),
        (("ended", "--out", "bad.yaml"), "bad.yaml exists, and nothing is written over"),
        (("ended", "--out", "figure.doc"), "the suffix must be one of"),
    ],
)
def test_it_refuses(run, tmp_path, args, complaint):
    (tmp_path / "bad.yaml").write_text(
        "title: bad\nstatus: stated\nsource: {citation: us}\nenergy: {mac: -1, read: 0, write: 1e-12}\n"
    )
    for name, text in (("broken", "{"), ("other", '{"samples": 3}'), ("negative", None)):
        (tmp_path / name).mkdir()
        metrics = json.loads((tmp_path / "ended" / "metrics.json").read_text())
        metrics["events"]["training"]["mac"] = -1
        (tmp_path / name / "metrics.json").write_text(json.dumps(metrics) if text is None else text)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, out, err = run(*args)
    assert code == 2, out + err
    assert out == ""
    assert err.startswith("memjax: ")
    assert complaint in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_figure_shows_every_energy_and_says_what_has_no_price():
    joules = {
        "inference": {"a": {"mac": 3e-9, "pulse": 0.0}, "b": {"mac": 1e-12, "pulse": None}},
        "training": {"a": {"mac": 3e-9, "pulse": 2e-10, "read": 0.0}, "b": {"mac": 1e-12, "pulse": None}},
    }
    figure = plot.energy_by_list(joules, title="here")
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["mac", "pulse", "total"]  # read: never anything

    def shown(ax):
        return [text.get_text() for text in ax.texts if isinstance(text, Annotation)]

    assert shown(left) == ["3 nJ", "3 nJ", "1 pJ", "1 pJ"]
    assert shown(right) == ["3 nJ", "200 pJ", "3.2 nJ", "1 pJ", "no price", "> 1 pJ"]
    dots = [line.get_xdata()[0] for line in right.lines if line.get_marker() == "o"]
    assert dots == pytest.approx([3e-9, 2e-10, 3.2e-9, 1e-12, 1e-12])
    assert right.get_xscale() == "log"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    with pytest.raises(ValueError, match="accepted are energies of 0 J or more"):
        plot.energy_by_list({"inference": {"a": {"mac": 0.0}}})
