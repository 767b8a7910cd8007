"""The command line: what each command writes, and that wrong input gets one message, exit code 2 and nothing else."""

import gzip
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from memjax import checkpoint, cli, config, files, training
from memjax.cli import _train

ROOT = Path(__file__).resolve().parent.parent
EDGE = ROOT / "configs" / "edge_mnist.yaml"
DIGITS = ROOT / "memjax" / "data" / "digits"


@pytest.fixture
def memjax(monkeypatch, capsys, tmp_path):
    """Return run(*args) -> (exit code, stdout, stderr): the command's own entry point, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["memjax", *map(str, args)])
        try:
            code = cli.main()
        except SystemExit as ended:
            code = ended.code
        return code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def refused(memjax, tmp_path):
    """Return run(*args) -> the one message of a refusal that wrote nothing."""

    def run(*args):
        before = snapshot(tmp_path)
        code, out, err = memjax(*args)
        assert code == 2, out + err
        assert out == ""
        assert err.startswith("memjax: ")
        assert "Traceback" not in err
        assert snapshot(tmp_path) == before
        return err

    return run


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# --- the command itself -----------------------------------------------------------------------------------------------


def test_help_is_quick_and_imports_nothing_heavy():
    code = "import sys; from memjax import cli; print({'jax', 'numpy', 'matplotlib', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_help_lists_the_commands(memjax):
    code, out, _ = memjax("--help")
    assert code == 0
    for name in ("train", "simulate", "devices", "rules", "network"):
        assert name in out


def test_version(memjax):
    assert memjax("--version")[:2] == (0, "memjax 0.1.0\n")


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken():
        np.zeros(3).reshape(2)  # a ValueError, but no refusal of ours

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(ValueError, match="cannot reshape"):
        cli.main()


# --- lists ------------------------------------------------------------------------------------------------------------


def test_devices_and_rules_are_listed_with_their_defaults(memjax):
    from memjax import devices, plasticity

    code, out, _ = memjax("devices")
    assert code == 0
    for name in devices.names():
        assert name in out
    assert "tau 0.1" in out
    code, out, _ = memjax("rules")
    assert code == 0
    for name in plasticity.names():
        assert name in out
    assert "tau_plus 0.02" in out


# --- simulate ---------------------------------------------------------------------------------------------------------


def test_simulate_draws_a_pinched_loop_of_the_right_area(memjax, tmp_path):
    """Under a sine v = A sin(wt) the loop of a linear drift device is known: its state follows the flux."""
    args = ("--state", 0.1, "--steps", 2000, "--periods", 1, "--amplitude", 0.5, "--out", "loop")
    code, out, err = memjax("simulate", "linear_ion_drift", *args)
    assert code == 0, err
    assert "pinched at 0 V" in out
    assert "yes" in out
    assert {"loop.png", "waveforms.png", "results.nc"} == {path.name for path in (tmp_path / "loop").iterdir()}
    with xr.open_dataset(tmp_path / "loop" / "results.nc", engine="h5netcdf") as found:
        t, v, i = (found[name].values for name in ("time", "voltage", "current"))
        np.testing.assert_allclose(v, 0.5 * np.sin(2 * np.pi * t), atol=1e-6)
        # Strukov 2008: R_off x - (R_off - R_on) x^2 / 2 = c + (mu R_on / D^2) phi, phi = A (1 - cos wt) / w.
        r_on, r_off, x0, rate = 100.0, 16000.0, 0.1, 1e-14 * 100 / 1e-8**2
        flux = 0.5 * (1 - np.cos(2 * np.pi * t)) / (2 * np.pi)
        level = r_off * x0 - (r_off - r_on) * x0**2 / 2 + rate * flux
        x = (r_off - np.sqrt(r_off**2 - 2 * (r_off - r_on) * level)) / (r_off - r_on)
        exact = v / (r_on * x + r_off * (1 - x))
        np.testing.assert_allclose(i, exact, atol=2e-3 * np.abs(exact).max())
        up = v >= 0
        area = abs(np.trapezoid(np.append(exact[up], 0), np.append(v[up], 0)))
    line = next(line for line in out.splitlines() if "lobe area, V > 0" in line)
    assert float(line.split()[-2]) == pytest.approx(area, rel=0.01)


@pytest.mark.parametrize("waveform", ["triangle", "pulses"])
def test_simulate_has_these_waveforms(memjax, tmp_path, waveform):
    args = ("--waveform", waveform, "--steps", 40, "--amplitude", 2, "--set", "step_up=0.1", "--out", "o")
    code, _, err = memjax("simulate", "soft_bounds", *args)
    assert code == 0, err
    with xr.open_dataset(tmp_path / "o" / "results.nc", engine="h5netcdf") as found:
        v, g = found.voltage.values, found.conductance.values
        assert "step_up=0.1" in found.attrs["params"]
    assert (v.max(), v.min(), len(v)) == (2.0, -2.0, 80)
    if waveform == "pulses":
        assert set(v) == {2.0, 0.0, -2.0}
        assert np.argmax(g[:40]) in (18, 19)  # half of the period up, then down
        assert (v[:20:2] == 2).all()
        assert (v[1::2] == 0).all()
    else:
        np.testing.assert_allclose(v[:11], 2 * np.arange(11) / 10, atol=1e-12)
        np.testing.assert_allclose(v[10:31], 2 - 2 * np.arange(21) / 10, atol=1e-12)


def test_simulate_takes_a_waveform_from_a_file(memjax, tmp_path):
    (tmp_path / "ramp.csv").write_text("time,voltage\n0,0\n0.1,1\n0.3,2\n0.4,-1\n")
    code, _, err = memjax("simulate", "sine_drift", "--waveform", "ramp.csv", "--r-series", 1, "--out", "o")
    assert code == 0, err
    with xr.open_dataset(tmp_path / "o" / "results.nc", engine="h5netcdf") as found:
        assert found.time.values.tolist() == [0, 0.1, 0.3, 0.4]
        assert found.voltage.values.tolist() == [0, 1, 2, -1]
        # The device sees less than the source's voltage: w = 0.5, R = 5.05 ohm and 1 ohm in series.
        np.testing.assert_allclose(found.current.values[1], 1 / 6.05, rtol=1e-5)


@pytest.mark.parametrize(
    "args, complaint",
    [
        (("volatil",), "unknown device 'volatil'; did you mean 'volatile'?"),
        (("volatile", "--set", "tua=1"), "no such parameter; did you mean 'tau'? (accepted: g_min"),
        (("volatile", "--set", "tau=fast"), "a parameter is written field=number"),
        (("volatile", "--set", "tau=-1"), "tau = -1.0: accepted is more than 0 s"),
        (("volatile", "--state", "3"), "x = 3.0: accepted is 0 to 1"),
        (("volatile", "--frequency", "0"), "a frequency above 0"),
        (("volatile", "--r-series", "-5"), "r_series = -5.0: accepted is 0 ohm or more"),
        (("volatile", "--waveform", "saw"), "or a CSV file, and there is no such file"),
        (("volatile", "--waveform", "words.csv"), "accepted is a table of time [s], voltage [V]"),
        (("volatile", "--waveform", "wide.csv"), "2 rows of 3 values: accepted are at least two rows of two finite"),
        (("volatile", "--waveform", "back.csv"), "row 3: time must rise"),
        (("volatile", "--out", "full"), "not empty, and nothing is written over"),
        (("volatile", "--out", "words.csv"), "a file is in the way"),
    ],
)
def test_simulate_refuses(refused, tmp_path, args, complaint):
    (tmp_path / "words.csv").write_text("a,b\nc,d\n")
    (tmp_path / "wide.csv").write_text("0,1,2\n1,2,3\n")
    (tmp_path / "back.csv").write_text("0,1\n2,1\n1,1\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("kept")
    assert complaint in refused("simulate", *args)


# --- network ----------------------------------------------------------------------------------------------------------


def test_network_draws_and_animates(memjax, tmp_path):
    code, out, err = memjax(
        "network", "--n", 3, "--steps", 4, "--animate", "gif", "--layout", "published", "--out", "o"
    )
    assert code == 0, err
    assert {"network.png", "network.gif", "trajectories.png", "results.nc"} == {
        p.name for p in (tmp_path / "o").iterdir()
    }
    with xr.open_dataset(tmp_path / "o" / "results.nc", engine="h5netcdf") as found:
        w, r = found.w.values, found.resistance.values
        assert w.shape == (5, 3, 3)
        np.testing.assert_allclose(r, 0.1 * w + 10 * (1 - w), rtol=1e-5)
        np.testing.assert_allclose(w[1], np.clip(w[0] + 0.5 * np.sin(found.voltage.values[0]) * 0.1, 0, 1), atol=1e-6)


def test_network_takes_voltages_from_a_file(memjax, tmp_path):
    (tmp_path / "v.csv").write_text("1,2,3,4\n5,6,7,8\n")
    code, out, err = memjax("network", "--voltage", "v.csv")
    assert code == 0, err
    assert "2 neurons, 2 steps" in out
    assert (tmp_path / "runs" / "network-0" / "network.png").exists()


@pytest.mark.parametrize(
    "args, complaint",
    [
        (("--layout", "round"), "accepted is readable or published"),
        (("--animate", "avi"), "accepted is gif or mp4"),
        (("--n", "0"), "n = 0, steps = 20: accepted are whole numbers, 1 or more"),
        (("--dt", "-1"), "dt = -1"),
        (("--seed", "-1"), "--seed -1: accepted is 0 to"),
        (("--voltage", "no.csv"), "cannot read no.csv"),
        (("--voltage", "three.csv"), "1 rows of 3 values"),
    ],
)
def test_network_refuses(refused, tmp_path, args, complaint):
    (tmp_path / "three.csv").write_text("1,2,3\n")
    assert complaint in refused("network", *args)


# --- train ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args, complaint",
    [
        ((), "give a config"),
        (("none.yaml",), "cannot read none.yaml"),
        ((EDGE, "--set", "learning.epoch=3"), "did you mean 'epochs'?"),
        ((EDGE, "--chips", "0"), "chips (--set chips=0)"),
        ((EDGE, "--threshold", "nan"), "--threshold nan: accepted is an accuracy from 0 to 1"),
        ((EDGE, "--seed", "-1"), "seed (--set seed=-1)"),
        ((EDGE, "--set", "device.name=exponentia"), "did you mean 'exponential'?"),
        ((EDGE, "--set", "device.g_min=1e-3"), "accepted is more than g_min"),
        ((EDGE, "--set", "array.n_inputs=100", "--set", "data.shift=0"), "does not fit digits"),
        ((EDGE, "--set", "learning.rows_per_write=7"), "accepted is a divisor of the 64 word lines"),
        (("bad.yaml",), "is no readable YAML (line 1"),
        (("tau.yaml",), "tau"),
        ((EDGE, "--out", "full"), "not empty, and nothing is written over"),
        ((EDGE, "--out", "bad.yaml"), "a file is in the way"),
        ((EDGE, "--resume", "--out", "full"), "has no config.yaml"),
        (("--resume", "--out", "nowhere"), "nowhere has no config.yaml"),
        ((EDGE, "--set", "data.dataset=mnist", "--data-dir", "nowhere"), "data folder nowhere does not exist"),
    ],
)
def test_train_refuses(refused, tmp_path, args, complaint):
    (tmp_path / "bad.yaml").write_text("learning: {epochs: 3")
    (tmp_path / "tau.yaml").write_text("device: {tau: -0.1}")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("kept")
    assert complaint in refused("train", *args)


@pytest.mark.parametrize(
    "damage, complaint",
    [
        (lambda data: data[: len(data) // 2], "is truncated"),
        (lambda data: b"\1\2" + data[2:], "is no idx file"),
        (lambda data: data[:2] + b"\x0d" + data[3:], "idx type 0x0d"),
        (lambda data: data, "has shape (10000, 28, 28); (60000, 28, 28) is expected"),
    ],
)
def test_train_refuses_damaged_data(refused, tmp_path, damage, complaint):
    for path in DIGITS.glob("*.gz"):
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    name = tmp_path / "train-images-idx3-ubyte"
    name.write_bytes(damage(name.read_bytes()))
    message = refused("train", EDGE, "--set", "data.dataset=mnist", "--data-dir", tmp_path, "--out", tmp_path / "o")
    assert complaint in message
    assert "train-images" in message


@pytest.fixture(scope="module")
def run_with_checkpoint(tmp_path_factory):
    """Return a run's folder with a checkpoint as after the first chunk: to refuse it, nothing needs to be trained."""
    import jax

    from memjax.training import _plan, _report

    folder = tmp_path_factory.mktemp("run") / "out"
    settings = config.from_dict(
        {
            "chips": 1,
            "device": {"name": "exponential"},
            "array": {"n_inputs": 49, "n_outputs": 8, "module_size": 7},
            "learning": {"epochs": 1},
            "data": {"n_train": 100, "n_test": 50},
            "run": {"chunk": 50},
        }
    )
    system = training.build(settings)
    counts = _report.start(_plan.plan(100, 1, 50, 1.0), 1) | {"done": 50}
    chips = jax.jit(jax.vmap(system.init))(system.keys)
    checkpoint.save(folder, 50, {"chips": chips, "counts": counts}, config.identity(settings))
    files.write_text(folder / "config.yaml", config.dump(settings))
    return folder


def damaged(folder):
    largest = max(
        (path for path in (folder / "checkpoints").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    data = bytearray(largest.read_bytes())
    for k in range(0, len(data), 7):
        data[k] ^= 0xFF
    largest.write_bytes(data)


def foreign(folder):
    shutil.rmtree(folder / "checkpoints" / "50")
    (folder / "checkpoints" / "50").mkdir()
    (folder / "checkpoints" / "50" / "model.bin").write_bytes(b"not ours")


def other(folder):
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("seed: 0", "seed: 1"))


@pytest.mark.parametrize(
    "change, complaint",
    [
        (damaged, "is damaged"),
        (foreign, "is no memjax checkpoint"),
        (other, "another configuration (seed: saved 0, now 1)"),
    ],
)
def test_train_refuses_to_resume_from_what_is_not_its_checkpoint(
    refused, run_with_checkpoint, tmp_path, change, complaint
):
    folder = tmp_path / "run"
    shutil.copytree(run_with_checkpoint, folder)
    (folder / "figures").mkdir()
    change(folder)
    assert complaint in refused("train", "--resume", "--out", folder)


def test_the_default_folder_is_named_by_the_config(memjax, monkeypatch):
    seen = []

    def stopped(settings, out, data_dir, **options):
        seen.append((config.digest(settings)[:8], out))
        raise training.Interrupted(2, 10, 20, out)

    monkeypatch.setattr(training, "train", stopped)
    code, out, _ = memjax("train", EDGE, "--data-dir", "some where", "--set", "learning.epochs=1")
    assert code == 130
    digest, folder = seen[0]
    assert str(folder) == f"runs/edge_mnist-{digest}"
    assert "stopped after 10 of 20 samples" in out
    assert f"memjax train --resume --out {folder} --data-dir 'some where'" in out


def test_times_in_the_frameworks_file_are_explained(memjax, monkeypatch):
    def stopped(settings, out, *args, progress, **kwargs):
        progress(at(0))
        raise training.Interrupted(15, 10, 20, out)

    monkeypatch.setattr(training, "train", stopped)
    code, out, _ = memjax("train", ROOT / "configs" / "framework.yaml")
    assert code == 143
    assert "stdp.tau_plus: 20 is read as milliseconds, 0.02 s" in out


def at(done, *, rate=100.0, online=0.5, test=None, note=""):
    return training.Progress(done, 400, 1, 2, rate, online, test, note)


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys):
    show = _train._Lines("training")
    with show:
        show(at(0, rate=None, online=None, note="going on"))
        for done in range(10, 400, 10):
            show(at(done))
        show(at(400, test=np.array([0.5, 0.75])))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["training", "going on"]
    assert len(lines) == 4
    assert lines[-1].split() == "400/400 samples epoch 1/2 online 50.0 % test 62.50 % 100 samples/s".split()


def test_progress_in_a_terminal_is_a_bar(capsys):
    show = _train._Terminal("training")
    with show:
        show(at(0, rate=None, online=None))
        show(at(100))
        time.sleep(0.2)
    out = capsys.readouterr().out
    assert "training" in out
    assert "100/400" in out
    assert "0:03 left" in out
