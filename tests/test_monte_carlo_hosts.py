"""Studies in processes of their own: several devices, several processes, and what SIGKILL leaves."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

import jax
import monte_carlo_study
import numpy as np
import pytest

from memjax import monte_carlo

N = 40


@pytest.fixture(scope="module")
def alone():
    """The values of one process with one device, in blocks of eight."""
    return monte_carlo.run(monte_carlo_study.plastic, N, jax.random.key(monte_carlo_study.SEED), block=8)


def start(tmp_path, *, devices=1, processes=1, **wanted):
    """Start the processes of a study of N chips, the first one writing out.npz."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    wanted = {"n": N, "batch_size": 7, "out": str(tmp_path / "out.npz")} | wanted
    started = []
    for process_id in range(processes):
        if processes > 1:
            wanted |= {"coordinator": address, "processes": processes, "process_id": process_id}
        started.append(
            subprocess.Popen(
                [sys.executable, monte_carlo_study.__file__, json.dumps(wanted)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"},
            )
        )
    return started


def finish(tmp_path, started):
    """Wait for the processes -> (values, what the first one printed)."""
    for process in started:
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
        if process is started[0]:
            printed = out
    with np.load(tmp_path / "out.npz") as file:
        return dict(file), printed


def equal(found, wanted):
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_eight_devices(tmp_path, alone):
    found, printed = finish(tmp_path, start(tmp_path, devices=8, block=8))
    assert "devices 8 processes 1" in printed
    equal(found, alone)
    found, _ = finish(tmp_path, start(tmp_path, devices=8))
    np.testing.assert_array_equal(found["g"], alone["g"])
    largest = np.abs(alone["scores"]).max()
    np.testing.assert_allclose(found["scores"], alone["scores"], rtol=0, atol=1e-6 * largest)


@pytest.mark.parametrize("folder", [False, True])
def test_two_processes(tmp_path, alone, folder):
    where = {"folder": str(tmp_path / "study")} if folder else {}
    found, printed = finish(tmp_path, start(tmp_path, processes=2, block=8, **where))
    assert "devices 1 processes 2" in printed
    assert f"done {N}" in printed
    equal(found, alone)


def test_sigkill_of_one_of_two_loses_only_unfinished_batches(tmp_path, alone):
    folder = tmp_path / "study"
    chance = random.Random(20)
    before: set[str] = set()
    for attempt in range(3):
        settings = dict(folder=str(folder), resume=attempt > 0, batch_size=1, block=8)
        started = start(tmp_path, processes=2, **settings)
        wanted = len(before) + 1  # a process has begun, and at least one batch more is finished
        deadline = time.monotonic() + 120
        while len(list(folder.glob("part-*"))) < wanted and started[0].poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        victim = started[attempt % 2]
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        # The other one would wait for it until JAX's own time limit.
        for process in started:
            process.kill()
            process.communicate()
        now = {p.name for p in folder.glob("part-*")}
        assert before < now or len(now) == 6, "what was finished has been lost"
        before = now
        assert not list(folder.glob("*.npz"))
    found, _ = finish(tmp_path, start(tmp_path, folder=str(folder), resume=True, batch_size=3, block=8))
    equal(found, alone)
