"""A run is a function of its config: what it writes, that it can be stopped and killed, and that it compiles once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from jax.experimental.compilation_cache import compilation_cache

from memjax import checkpoint, config, energy, files, network, programming, training
from memjax.errors import UserError
from memjax.training import _data, _plan

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

TINY = {
    "chips": 2,
    "device": {"name": "exponential"},
    "array": {"n_inputs": 49, "n_outputs": 16, "module_size": 16},
    "variation": {"d2d": {"step_up": 0.2, "step_down": 0.2}, "c2c": 0.3, "read_noise": 0.02, "stuck_on": 0.01},
    "neurons": {"time_steps": 2},
    "learning": {"epochs": 3, "learning_rate": 0.05},
    "data": {"n_train": 400, "n_test": 200},
    "run": {"chunk": 50, "eval_batch": 100, "checkpoint_every_s": 0.01},
}


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
    """Keep compiled programs in a folder, so that each is compiled once in this file; return it for other processes."""
    folder = str(tmp_path_factory.mktemp("compiled"))
    wanted = {"jax_compilation_cache_dir": folder, "jax_persistent_cache_min_compile_time_secs": 0.0}
    usual = {name: getattr(jax.config, name) for name in wanted}
    for name, value in wanted.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield folder
    for name, value in usual.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def settings(**sections):
    merged = {name: dict(value) if isinstance(value, dict) else value for name, value in TINY.items()}
    for name, value in sections.items():
        merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
    return config.from_dict(merged)


def test_what_only_acts_at_rest_is_told_of_where_nothing_rests(tmp_path):
    class Stop(Exception):
        pass

    def told(at):
        raise Stop(at.note)

    wanted = {"drift": {}, "flicker": {}, "sample_period": 0.0}
    with pytest.raises(Stop, match=r"no array ever rests \(.*sample_period = 0 s\): nothing comes of flicker, drift$"):
        training.train(settings(variation=wanted), tmp_path / "out", progress=told)
    assert training.idle(settings(variation=wanted | {"sample_period": 1e-3})) == []


def bits(metrics):
    """Return what must not depend on the clock."""
    return {name: value for name, value in metrics.items() if name not in training.WALL_CLOCK}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Train once, counting the traces of the learning step: (folder, metrics, progress, traces after every chunk)."""
    folder, seen, traces = tmp_path_factory.mktemp("run") / "out", [], [0]
    functional = network.functional

    def counted(make):
        learner, *rest = functional(make)

        def learn(*args):
            traces[0] += 1
            return learner.learn(*args)

        return learner._replace(learn=learn), *rest

    after = []

    def progress(at):
        seen.append(at)
        after.append(traces[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "functional", counted)
        metrics = training.train(settings(), folder, progress=progress)
    return folder, metrics, seen, after


# --- what a run leaves ------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_is_promised(finished):
    folder, metrics, *_ = finished
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert config.load(folder / "config.yaml") == settings()
    assert config.digest(settings()) in (folder / "config.yaml").read_text()
    assert f"jax {jax.__version__}" in (folder / "config.yaml").read_text()
    names = {"learning_curve", "conductance_maps_output", "conductance_histogram_hidden", "receptive_fields", "energy"}
    assert names <= {path.stem for path in (folder / "figures").glob("*.png")}
    assert checkpoint.latest(folder) == 1200


def test_the_metrics_have_the_promised_keys_and_add_up(finished):
    metrics = finished[1]
    accuracy = metrics["test_accuracy"]
    assert accuracy["mean"] == pytest.approx(np.mean(accuracy["per_chip"]))
    assert accuracy["std"] == pytest.approx(np.std(accuracy["per_chip"], ddof=1))
    assert len(accuracy["per_chip"]) == metrics["n_chips"] == 2
    assert metrics["samples"] == 1200
    assert not metrics["interrupted"]
    assert metrics["learning_curve"]["samples"] == [400, 800, 1200]
    assert metrics["learning_curve"]["accuracy"][-1] == accuracy["per_chip"]
    assert metrics["samples_per_second"] > 0 < metrics["seconds"]
    for kind in ("inference", "training"):
        events = metrics["events"][kind]
        assert set(events) == set(energy.FIELDS)
        assert all(type(count) is int for count in events.values())
        for name, joule in energy.joules(events).items():
            assert metrics["energy_per_sample"][kind][name] == pytest.approx(joule / 2400)
    assert "N_mac" in metrics["energy_per_sample"]["convention"]
    # Every column of both differential arrays is sensed once a time step, for each chip and sample.
    assert metrics["events"]["inference"]["read"] == 2400 * 2 * 2 * (16 + 10)
    assert metrics["events"]["inference"]["pulse"] == 0 < metrics["events"]["training"]["pulse"]


def test_it_learns(finished):
    curve = finished[1]["learning_curve"]["accuracy"]
    # Ten classes: chance is 0.1 with a standard deviation of 0.02. So few samples, pixels and neurons learn slowly.
    assert np.mean(curve[-1]) > 0.3
    assert np.mean(curve[-1]) > np.mean(curve[0])


def test_results_are_labelled_and_hold_the_devices(finished):
    folder, metrics, *_ = finished
    with xr.open_dataset(folder / "results.nc", engine="h5netcdf") as found:
        assert found.accuracy.dims == ("chip", "sample")
        assert found.test_accuracy.values.tolist() == metrics["test_accuracy"]["per_chip"]
        assert found.conductance_hidden.shape == (2, 2, 49, 16)
        assert found.conductance_output.shape == (2, 2, 16, 10)
        assert found.conductance_hidden.attrs["units"] == "S"
        low, high = float(found.conductance_hidden.min()), float(found.conductance_hidden.max())
        assert 1e-6 * (1 - 1e-6) <= low < high <= 1e-4 * (1 + 1e-6)
        assert found.events.sel(phase="training", event="pulse") == metrics["events"]["training"]["pulse"]
        assert config.load_text(found.attrs["config"]) == settings()
    assert (folder / "results.nc").stat().st_size < 1e6


def test_progress_is_told_after_every_chunk(finished):
    seen = finished[2]
    assert [at.done for at in seen] == list(range(0, 1201, 50))
    assert {at.total for at in seen} == {1200}
    assert [at.epoch for at in seen[::8]] == [1, 2, 3, 3]
    assert seen[0].online is None
    assert seen[0].test is None
    assert seen[-1].test.tolist() == finished[1]["test_accuracy"]["per_chip"]
    assert seen[-1].online > seen[3].online


def test_a_train_step_compiles_once(finished):
    traced = finished[3]
    assert traced[0] == 0  # nothing was traced before the first chunk, and nothing after it
    assert set(traced[1:]) == {traced[1]}
    assert traced[1] > 0


def test_the_way_a_run_is_cut_changes_nothing(finished, tmp_path):
    metrics = training.train(settings(run={"chunk": 80, "evaluate_every": 1.5}), tmp_path / "out")
    assert metrics["test_accuracy"] == finished[1]["test_accuracy"]
    assert metrics["events"] == finished[1]["events"]
    assert metrics["learning_curve"]["samples"] == [600, 1200]


# --- stopped and killed -----------------------------------------------------------------------------------------------


def test_an_interrupt_saves_and_the_run_goes_on_to_the_same_bits(finished, tmp_path):
    before = signal.getsignal(signal.SIGINT)

    def stop(at):
        if at.done == 150:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(training.Interrupted) as caught:
        training.train(settings(), tmp_path, progress=stop)
    assert (caught.value.signum, caught.value.total) == (signal.SIGINT, 1200)
    assert caught.value.done in (150, 200)
    assert signal.getsignal(signal.SIGINT) == before
    partial = json.loads((tmp_path / "metrics.json").read_text())
    assert partial["interrupted"]
    assert partial["test_accuracy"] is None
    assert checkpoint.latest(tmp_path) == caught.value.done

    seen = []
    again = training.train(settings(), tmp_path, resume=True, progress=seen.append)
    assert bits(again) == bits(finished[1])
    assert seen[0].done == caught.value.done
    assert "going on after" in seen[0].note
    # A finished run that is resumed only writes its files again.
    assert training.train(settings(), tmp_path, resume=True) == again


@pytest.fixture(scope="module")
def command(compiled, tmp_path_factory):
    """Return start(*args): `memjax train` in a process of its own."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "tiny.yaml").write_text(config.dump(settings()))
    shared = {"JAX_COMPILATION_CACHE_DIR": compiled, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

    def start(*args):
        code = "from memjax.cli import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", code, "train", *args],
            cwd=folder,
            env=os.environ | shared,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def wait_for_checkpoint(process, folder, step):
    deadline = time.monotonic() + 600
    while (checkpoint.latest(folder) or -1) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_three_times_and_terminated_it_ends_with_the_same_bits(finished, command, tmp_path):
    chance, folder = random.Random(), tmp_path / "killed"
    first = ("tiny.yaml", "--out", str(folder))
    again = ("--resume", "--out", str(folder))
    # Far from the end at 1200: where this process waits for its turn, the other one goes on learning.
    for args, step in ((first, 50), (again, 150), (again, 250)):
        process = command(*args)
        wait_for_checkpoint(process, folder, step)
        time.sleep(chance.uniform(0.0, 0.05))
        process.kill()
        process.communicate()
        assert not (folder / "results.nc").exists()

    process = command(*again)
    wait_for_checkpoint(process, folder, checkpoint.latest(folder) + 50)
    process.terminate()
    out, err = process.communicate(timeout=600)
    assert process.returncode == 143, err
    assert f"memjax train --resume --out {folder}" in out

    process = command(*again)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    metrics = json.loads((folder / "metrics.json").read_text())
    assert list(metrics) == list(finished[1])
    assert bits(metrics) == bits(finished[1])
    assert f"{100 * metrics['test_accuracy']['mean']:.2f} %" in out
    found = [xr.load_dataset(path / "results.nc", engine="h5netcdf") for path in (folder, finished[0])]
    assert found[0].identical(found[1])


def test_killed_before_the_first_checkpoint_it_starts_again(finished, tmp_path):
    files.write_text(tmp_path / "config.yaml", config.dump(settings()))
    seen = []

    class Stop(Exception):
        pass

    def stop(at):
        seen.append(at)
        raise Stop

    with pytest.raises(Stop):
        training.train(settings(), tmp_path, resume=True, progress=stop)
    assert "from the beginning" in seen[0].note
    assert seen[0].done == 0


# --- what is not accepted ---------------------------------------------------------------------------------------------


def test_a_folder_of_another_run_is_not_gone_on_in(finished, tmp_path):
    with pytest.raises(UserError, match=r"other settings \(seed, learning.epochs\)"):
        training.train(settings(seed=1, learning={"epochs": 4}), finished[0], resume=True)
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match="has no config.yaml"):
        training.train(settings(), tmp_path, resume=True)
    with pytest.raises(UserError, match="is not empty"):
        training.train(settings(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "sections, complaint",
    [
        ({"array": {"n_inputs": 50}}, "array.n_inputs = 50 does not fit digits"),
        ({"array": {"n_classes": 9}}, "array.n_classes = 9: digits has 10 classes"),
        ({"learning": {"rows_per_write": 5}}, "learning.rows_per_write = 5: accepted is a divisor of the 16"),
        ({"data": {"n_train": 10**6}}, "n_train must be in"),
        ({"device": {"name": "linear_ion_drift"}, "variation": {"d2d": {}}}, "it cannot learn"),
    ],
)
def test_settings_that_do_not_fit_together_write_nothing(tmp_path, sections, complaint):
    with pytest.raises((UserError, ValueError), match=complaint):
        training.train(settings(**sections), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# --- the parts --------------------------------------------------------------------------------------------------------


def test_a_plan_covers_every_sample_once_and_ends_with_every_epoch():
    for n, epochs, chunk, every in (
        (400, 3, 50, 1.0),
        (10000, 4, 500, 0.5),
        (7, 3, 3, 1.7),
        (9000, 1, 500, 1),
        (5, 2, 9, 9),
    ):
        plan = _plan.plan(n, epochs, chunk, every)
        sizes = np.diff(plan.stops)
        assert plan.stops[0] == 0
        assert plan.stops[-1] == plan.evaluate[-1] == n * epochs
        assert 0 < min(sizes) <= max(sizes) <= chunk
        assert set(range(0, n * epochs, n)) <= set(plan.stops)
        assert set(plan.evaluate) <= set(plan.stops)
    assert set(np.diff(_plan.plan(54000, 2, 500, 1).stops)) == {500}
    assert set(np.diff(_plan.plan(9600, 2, 500, 1).stops)) == {480}
    assert _plan.plan(401, 1, 100, 1).stops == (0, 100, 200, 300, 400, 401)


def test_an_order_is_a_permutation_of_its_own_for_every_epoch_and_seed():
    first, second = (_data.order(settings(), 400, epoch) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(400))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, _data.order(settings(seed=1), 400, 0))
    np.testing.assert_array_equal(first, _data.order(settings(chips=5), 400, 0))


def test_images_are_averaged_in_blocks():
    full = _data.load(settings(array={"n_inputs": 784}))
    small = _data.load(settings())
    block = full.train_x[3].reshape(28, 28)[4:8, 8:12].astype(float)
    assert small.train_x.shape == (400, 49)
    assert small.train_x.dtype == np.uint8
    assert abs(block.mean() - small.train_x[3, 1 * 7 + 2]) <= 0.5


def test_held_out_samples_are_not_trained_on():
    samples = _data.load(settings(data={"held_out": 0.1}))
    assert samples.what == "held-out"
    assert len(samples.train_y) + len(samples.test_y) == 400
    assert abs(len(samples.test_y) - 40) <= 5


def test_a_chip_is_the_same_however_many_there_are():
    few, many = training.build(settings()), training.build(settings(chips=5))
    np.testing.assert_array_equal(jax.random.key_data(few.keys), jax.random.key_data(many.keys)[:2])


@pytest.mark.parametrize("programmer", programming.names())
def test_every_programmer_is_built_with_its_settings(programmer):
    learned = {"programmer": programmer, "max_pulses": 3, "sign_threshold": 0.5, "rows_per_write": None, "fire_at": 3}
    system = training.build(settings(learning=learned))
    params = jax.eval_shape(system.init, system.keys[0])["hidden"]["sampled"].get_value()["programmer"]
    assert isinstance(params, programming.get(programmer).Params)
    assert getattr(params, "max_pulses", 3) == 3
    assert getattr(params, "lines", None) is None
    if programmer in ("stochastic", "pulse_train"):
        assert params.max_pulses == 3


def test_the_frameworks_file_runs(tmp_path):
    overrides = [
        "learning.epochs=1",
        "data.n_train=20",
        "data.n_test=20",
        "chips=1",
        "run.chunk=10",
        "neurons.time_steps=2",
    ]
    metrics = training.train(config.load(CONFIGS / "framework.yaml", overrides), tmp_path)
    assert metrics["samples"] == 20
    assert metrics["events"]["inference"]["read"] == 20 * 2 * 2 * (100 + 10)
