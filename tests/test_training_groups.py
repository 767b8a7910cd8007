"""Chips in groups: the same chips whatever the groups and devices, and what a run of many says about them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from memjax import cli, config, training
from memjax.cli import _train
from memjax.errors import UserError
from memjax.training import _groups

TINY = {
    "chips": 10,
    "device": {"name": "exponential"},
    "array": {"n_inputs": 49, "n_outputs": 8, "module_size": 16},
    "variation": {"d2d": {"step_up": 0.2}, "c2c": 0.3, "read_noise": 0.02, "stuck_on": 0.01},
    "neurons": {"time_steps": 2},
    "learning": {"epochs": 1, "learning_rate": 0.05},
    "data": {"n_train": 300, "n_test": 100},
    "run": {"chunk": 150, "eval_batch": 100},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same ten chips all at once, and in groups of five, stopped and gone on with all at once."""
    folder = tmp_path_factory.mktemp("groups")
    settings, found = config.from_dict(TINY), {}
    found["all"] = training.train(settings, folder / "all", threshold=0.3)

    class Stop(Exception):
        pass

    def stop(at):
        if at.done == 150:
            raise Stop

    with pytest.raises(Stop):
        training.train(config.from_dict({**TINY, "run": TINY["run"] | {"checkpoint_every_s": 1e-3}}),
                       folder / "some", batch_size=5, progress=stop)  # fmt: skip
    found["some"] = training.train(settings, folder / "some", threshold=0.3, resume=True)
    return folder, found


def test_groups_change_no_chip(runs):
    """Sums may differ by rounding, which moves a hard case of a hundred; draws and events do not."""
    folder, found = runs
    a, b = (np.array(found[name]["test_accuracy"]["per_chip"]) for name in ("all", "some"))
    assert len(set(a)) > 3
    np.testing.assert_allclose(a, b, atol=0.0201)
    for kind in ("inference", "training"):
        for name, count in found["all"]["events"][kind].items():
            assert found["some"]["events"][kind][name] == pytest.approx(count, rel=2e-3), (kind, name)
    g = [xr.open_dataset(folder / name / "results.nc", engine="h5netcdf") for name in ("all", "some")]
    assert g[0]["conductance_hidden"].shape == (10, 2, 49, 8)
    off = np.abs(g[0]["conductance_hidden"].values - g[1]["conductance_hidden"].values)
    assert np.mean(off > 1e-9) < 0.01  # a pulse more or less, on few devices


def test_many_chips_are_summarised(runs):
    folder, found = runs
    y = np.array(found["all"]["test_accuracy"]["per_chip"])
    summary = found["all"]["test_accuracy"]
    assert summary["quartiles"] == pytest.approx(np.quantile(y, [0.25, 0.5, 0.75]))
    assert y[summary["worst_chip"]] == y.min()
    assert found["all"]["yield"]["estimate"] == pytest.approx(np.mean(y >= 0.3))
    assert (folder / "all" / "figures" / "distribution.png").stat().st_size > 5000
    memory = found["all"]["memory"]
    # x, two steps, faults and net of 49 x 8 and 8 x 10 pairs at least, in tiles of 16 lines.
    assert 2 * (64 * 8 + 8 * 10) * (3 * 4 + 1) < memory["chip"] < 50_000
    assert memory["peak"] > 10 * memory["chip"]
    assert json.loads((folder / "all" / "metrics.json").read_text()) == found["all"]


def test_the_summary_of_many_chips_is_printed(runs, capsys):
    folder, found = runs
    _train._summary(found["all"], folder / "all")
    text = capsys.readouterr().out
    for shown in ("quartiles", f"worst: chip {found['all']['test_accuracy']['worst_chip']}", "yield at 30 %", "Wilson"):
        assert shown in text
    rate = 10 * found["all"]["samples_per_second"]
    assert f"{rate:,.0f} chip-samples/s" in text
    assert f"{found['all']['memory']['chip'] / 1e6:.1f} MB a chip's state" in text


def test_one_chip_fits_a_group_and_a_group_the_memory(monkeypatch):
    state = {"x": jax.ShapeDtypeStruct((1000, 250), jnp.float32)}  # 1 MB
    assert _groups.size(None, state, 7) == 7
    assert _groups.size(3, state, 7) == 3
    assert _groups.size(9, state, 7) == 7
    assert _groups.size("auto", state, 7) == 1  # a processor

    class Accelerator:
        platform = "gpu"

        def memory_stats(self):
            return {"bytes_limit": 50_000_000}

    monkeypatch.setattr(jax, "local_devices", lambda: [Accelerator()])
    assert _groups.size("auto", state, 100) == 25  # 30 would fit: four groups of one length
    assert _groups.size("auto", state, 20) == 20
    with pytest.raises(UserError, match="0 chips at once: accepted is at least 1, or auto"):
        _groups.size(0, state, 7)


def test_parts_are_put_together_again():
    keys = jax.random.split(jax.random.key(0), 7)
    groups = _groups.Groups(keys, 3)
    tree = {"a": jnp.arange(14.0).reshape(7, 2), "b": jnp.arange(7)}
    parts = groups.split(tree)
    assert [len(part["b"]) for part in parts] == [3, 3, 1]
    doubled = groups.map(lambda part, k: jax.tree.map(lambda x: 2 * x, part) | {"n": len(k)}, parts, groups.keys)
    assert [part.pop("n") for part in doubled] == [3, 3, 1]
    np.testing.assert_array_equal(groups.join(doubled)["a"], 2 * tree["a"])
    assert len(groups.everywhere(tree)) == 3


def test_a_group_that_does_not_fit_waits_on_the_host():
    """As on an accelerator with more groups than devices."""
    groups = _groups.Groups(jax.random.split(jax.random.key(0), 4), 2)
    groups.leaves_device = True
    parts = groups.map(lambda x: x + 1, groups.split(jnp.arange(4.0)))
    assert all(isinstance(part, np.ndarray) for part in parts)
    np.testing.assert_array_equal(groups.join(groups.map(lambda x: x + 1, parts)), np.arange(4.0) + 2)


@pytest.mark.broad
def test_the_command_trains_on_two_devices_and_prints_the_distribution(tmp_path):
    """In a process of its own, which makes the devices; its chips are those of one device."""
    few = {**TINY, "chips": 3, "data": {"n_train": 100, "n_test": 100}, "run": {"chunk": 50}}
    (tmp_path / "few.yaml").write_text(config.dump(config.from_dict(few)))
    code = "import sys; from memjax.cli import main; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-c", code, "train", "few.yaml", "--threshold", "0.2", "--out", "out"],
        cwd=tmp_path, env={**_environment(), "JAX_NUM_CPU_DEVICES": "2"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for shown in ("quartiles", "worst: chip", "yield at 20 %", "chip-samples/s", "MB a chip's state"):
        assert shown in ran.stdout
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    here = training.train(config.from_dict(few), tmp_path / "here", batch_size=1)
    assert found["test_accuracy"]["per_chip"] == here["test_accuracy"]["per_chip"]
    assert found["events"] == here["events"]


def _environment():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}


@pytest.mark.parametrize("batch", ["none", "0"])
def test_the_command_refuses_a_batch_that_is_no_number(tmp_path, monkeypatch, batch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    (tmp_path / "few.yaml").write_text(config.dump(config.from_dict(TINY)))
    with pytest.raises(UserError, match=f"--batch {batch}: accepted is auto, or a number of chips of at least 1"):
        CliRunner().invoke(cli.app, ["train", str(tmp_path / "few.yaml"), "--batch", batch], catch_exceptions=False)
