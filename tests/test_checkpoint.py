"""A checkpoint comes back bit for bit or not at all, and a killed process leaves a folder to go on from."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from memjax import checkpoint
from memjax.checkpoint import CheckpointError
from memjax.errors import UserError

CONFIG = {"seed": 0, "learning": {"epochs": 4, "decay_at": (0.5, 0.8)}}


@struct.dataclass
class Chip:
    g: Any
    key: Any
    faults: Any = None
    name: str = struct.field(pytree_node=False, default="volatile")


def chip(seed: int = 0) -> Chip:
    key = jax.random.key(seed)
    return Chip(g=jax.random.normal(key, (2, 3, 4)), key=jax.random.split(key, 3))


def bits(leaf):
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return str(leaf.dtype), leaf.shape, np.asarray(jax.random.key_data(leaf)).tobytes()
    if isinstance(leaf, jax.Array | np.ndarray | np.generic):
        return str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()
    return repr(leaf)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert isinstance(x, jax.Array) == isinstance(y, jax.Array)
        assert bits(x) == bits(y)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    checkpoint.save(folder, 3, chip(3), CONFIG)
    checkpoint.save(folder, 7, chip(7), CONFIG)
    return folder


@pytest.fixture
def run(saved, tmp_path):
    """Return a copy of a run with the checkpoints 3 and 7, to be damaged."""
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


# --- the round trip --------------------------------------------------------------------------------------------------


def test_a_state_with_keys_step_and_config_comes_back_bit_for_bit(saved):
    restored = checkpoint.restore(saved, chip(0), CONFIG)
    assert_same(restored.tree, chip(7))
    assert restored.tree.name == "volatile"
    assert restored.step == 7
    assert restored.config == json.loads(json.dumps(CONFIG))
    assert restored.note == ""
    assert jax.random.normal(restored.tree.key[0]) == jax.random.normal(chip(7).key[0])


def test_an_earlier_step_can_be_chosen(saved):
    assert_same(checkpoint.restore(saved, chip(0), step=3).tree, chip(3))
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 5 \(it has: 3, 7\)"):
        checkpoint.restore(saved, chip(0), step=5)


def test_abstract_structure_is_enough(saved):
    assert_same(checkpoint.restore(saved, jax.eval_shape(chip)).tree, chip(7))


def every_kind() -> dict:
    return {
        "float32": jnp.array([jnp.nan, -0.0, jnp.inf, 1e-45], jnp.float32),
        "bfloat16": jnp.arange(3, dtype=jnp.bfloat16),
        "bool": jnp.array([True, False]),
        "uint8": jnp.arange(256, dtype=jnp.uint8),
        "scalar": jnp.asarray(3, jnp.int32),
        "empty": jnp.zeros((0, 3)),
        "threefry": jax.random.key(1),
        "rbg": jax.random.split(jax.random.key(2, impl="rbg"), 2),
        "numpy": {"array": np.arange(6.0).reshape(2, 3).T, "scalar": np.float64(0.1), "empty": np.zeros(0, np.int64)},
        "python": [1, 0.1, float("inf"), True, "µ", 2**70, None, ()],
        "names / with.dots ['and']": jnp.ones(1),
    }


def test_every_kind_of_leaf_comes_back_as_it_was(tmp_path):
    checkpoint.save(tmp_path, 0, every_kind())
    restored = checkpoint.restore(tmp_path, every_kind()).tree
    assert_same(restored, every_kind())
    assert isinstance(restored["numpy"]["scalar"], np.float64)
    assert str(jax.random.key_impl(restored["rbg"])) == "rbg"


def test_float64_comes_back(tmp_path, x64):
    tree = {"g": jnp.linspace(0.0, 1.0, 7)}
    assert tree["g"].dtype == jnp.float64
    checkpoint.save(tmp_path, 0, tree)
    assert_same(checkpoint.restore(tmp_path, tree).tree, tree)


@pytest.mark.parametrize("tree", [jnp.ones(3), {"n": 3}, [jnp.zeros(0)], {}], ids=["leaf", "scalar", "empty", "none"])
def test_a_bare_leaf_and_a_tree_without_arrays_are_trees_too(tmp_path, tree):
    checkpoint.save(tmp_path, 0, tree)
    assert_same(checkpoint.restore(tmp_path, tree).tree, tree)


def test_what_cannot_be_stored_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"tree\['f'\]\[1\] is a function: a checkpoint holds"):
        checkpoint.save(tmp_path, 0, {"f": [1, bits]})
    with pytest.raises(TypeError, match=r"tree is a ndarray"):
        checkpoint.save(tmp_path, 0, np.array([None]))
    with pytest.raises(ValueError, match="step must be >= 0"):
        checkpoint.save(tmp_path, -1, {})
    assert checkpoint.latest(tmp_path) is None


def test_saving_twenty_megabytes_takes_less_than_a_second(tmp_path):
    tree = {"g": jnp.asarray(np.random.default_rng(0).random((5, 1000, 1000), np.float32))}
    checkpoint.save(tmp_path, 0, {"g": tree["g"][:, :1]})  # imports Orbax
    seconds = []
    for step in (1, 2, 3):  # the fastest of three: other programs run beside the tests
        start = time.perf_counter()
        checkpoint.save(tmp_path, step, tree)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0


# --- the folder ------------------------------------------------------------------------------------------------------


def test_only_the_newest_stay(tmp_path):
    for step in range(5):
        checkpoint.save(tmp_path, step, {"n": step}, keep=2)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["3", "4"]
    assert checkpoint.latest(tmp_path) == 4


def test_steps_are_numbers_not_text(tmp_path):
    for step in (9, 10):
        checkpoint.save(tmp_path, step, {"n": step})
    assert checkpoint.latest(tmp_path) == 10
    assert checkpoint.restore(tmp_path, {"n": 0}).tree == {"n": 10}


def test_a_folder_without_checkpoints(tmp_path):
    assert checkpoint.latest(tmp_path / "nowhere") is None
    with pytest.raises(CheckpointError, match=r"holds no finished checkpoint \(it has: none\)"):
        checkpoint.restore(tmp_path, chip())
    assert issubclass(CheckpointError, UserError)


def test_a_step_is_saved_again_only_where_nothing_changed(run):
    assert checkpoint.save(run, 7, chip(7), CONFIG).name == "7"
    with pytest.raises(CheckpointError, match="holds something else: it is not written over"):
        checkpoint.save(run, 7, chip(8), CONFIG)
    assert_same(checkpoint.restore(run, chip()).tree, chip(7))


def test_an_unfinished_checkpoint_is_passed_over_with_a_note_and_cleaned_up(run):
    root = run / "checkpoints"
    (root / "7").rename(root / "7.orbax-checkpoint-tmp")
    (root / "1.dropped").mkdir()
    restored = checkpoint.restore(run, chip(), CONFIG)
    assert restored.step == checkpoint.latest(run) == 3
    assert_same(restored.tree, chip(3))
    assert "7.orbax-checkpoint-tmp was not finished and is passed over; going on from step 3" in restored.note
    checkpoint.save(run, 7, chip(7), CONFIG)
    assert sorted(p.name for p in root.iterdir()) == ["3", "7"]


def test_a_disk_that_refuses_is_reported(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot save"):
        checkpoint.save(tmp_path, 0, chip())


# --- damage ----------------------------------------------------------------------------------------------------------


def stored_files(run, item=""):
    return sorted(p for p in (run / "checkpoints" / "7" / item).rglob("*") if p.is_file())


def test_no_truncated_or_missing_file_gives_another_tree(run):
    """Files that say nothing (Orbax's time stamps) may go; any other loss is an error that says how to go on."""
    refused = set()
    for path in stored_files(run):
        content = path.read_bytes()
        for damaged in (b"", content[: len(content) // 2], None):
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            try:
                assert_same(checkpoint.restore(run, chip(), CONFIG).tree, chip(7))
            except CheckpointError as error:
                assert "7 is damaged" in str(error) or "is no memjax checkpoint" in str(error)  # noqa: PT017
                assert "remove it to go on from step 3" in str(error)  # noqa: PT017
                refused.add(path.relative_to(run / "checkpoints" / "7").parts[0])
            path.write_bytes(content)
    assert {"state", "manifest"} <= refused
    assert_same(checkpoint.restore(run, chip(), CONFIG).tree, chip(7))


def test_no_flipped_byte_gives_another_tree(run):
    rng, refused = random.Random(0), 0
    for path in [*stored_files(run, "state"), *stored_files(run, "manifest")]:
        content = path.read_bytes()
        for _ in range(4):
            damaged = bytearray(content)
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            path.write_bytes(damaged)
            try:
                assert_same(checkpoint.restore(run, chip(), CONFIG).tree, chip(7))
            except CheckpointError as error:
                assert "7 is damaged" in str(error)  # noqa: PT017
                refused += 1
        path.write_bytes(content)
    assert refused > 5


def test_silent_corruption_is_found_by_the_hash(run):
    """Arrays that Orbax reads without complaint, but that are not those of the manifest."""
    root = run / "checkpoints"
    checkpoint.save(run, 8, chip(8), CONFIG)
    shutil.rmtree(root / "7" / "state")
    shutil.copytree(root / "8" / "state", root / "7" / "state")
    with pytest.raises(CheckpointError, match="7 is damaged: its arrays do not have the SHA-256"):
        checkpoint.restore(run, chip(), CONFIG, step=7)


def test_a_folder_of_another_program_is_refused(tmp_path):
    import orbax.checkpoint as ocp

    (tmp_path / "checkpoints").mkdir()
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path.absolute() / "checkpoints" / "1", {"g": jnp.ones(3)})
    with pytest.raises(CheckpointError, match="1 is no memjax checkpoint: it has no manifest"):
        checkpoint.restore(tmp_path, {"g": jnp.ones(3)})


def test_a_later_format_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 99)
        checkpoint.save(tmp_path, 1, chip())
    with pytest.raises(CheckpointError, match=r"has checkpoint format 99; this memjax \(.*\) reads 1"):
        checkpoint.restore(tmp_path, chip())


# --- another run -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "like, complaint",
    [
        (chip().replace(g=jnp.ones((2, 3, 5))), r"tree.g is float32\[2, 3, 4\], and float32\[2, 3, 5\] is wanted"),
        (chip().replace(g=jnp.ones((2, 3, 4), jnp.bfloat16)), r"tree.g is float32\[2, 3, 4\], and bfloat16"),
        (chip().replace(g=3), r"tree.g is float32\[2, 3, 4\], and int is wanted"),
        (chip().replace(faults=jnp.ones(2)), r"it has no tree.faults"),
        (chip().replace(g=None), r"it has tree.g, which is not wanted"),
        (chip().replace(key=jax.random.split(jax.random.key(0, impl="rbg"), 3)), r"tree.key is key<fry>\[3\], and"),
        ({"g": jnp.ones((2, 3, 4))}, r"it has no tree\['g'\]"),
    ],
)
def test_another_tree_is_refused_with_what_differs(saved, like, complaint):
    with pytest.raises(CheckpointError, match=rf"7 holds another tree: .*{complaint}"):
        checkpoint.restore(saved, like)


def test_another_config_is_refused_with_the_keys_that_differ(saved):
    other = {"seed": 0, "learning": {"epochs": 5, "decay_at": [0.5, 0.8]}, "chips": 2}
    with pytest.raises(
        CheckpointError, match=r"another configuration \(chips: saved nothing, now 2; learning.epochs: saved 4, now 5\)"
    ):
        checkpoint.restore(saved, chip(), other)
    assert checkpoint.restore(saved, chip()).config["seed"] == 0  # without a config nothing is compared


# --- SIGKILL ---------------------------------------------------------------------------------------------------------

SAVES_FOREVER = """
import sys
import numpy as np
from memjax import checkpoint
folder, step = sys.argv[1], int(sys.argv[2])
while True:
    checkpoint.save(folder, step, {"g": np.full((300, 1000), float(step)), "n": step}, {"seed": 0}, keep=2)
    step += 1
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_run_killed_at_any_moment_can_go_on(tmp_path):
    rng, step = random.Random(), -1
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", SAVES_FOREVER, str(tmp_path), str(step + 1)])
        try:
            deadline = time.monotonic() + 60
            while (checkpoint.latest(tmp_path) or 0) < step + 3:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 0.3))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        restored = checkpoint.restore(tmp_path, {"g": np.zeros((300, 1000)), "n": 0}, {"seed": 0})
        assert restored.step == restored.tree["n"] == checkpoint.latest(tmp_path) > step
        assert (restored.tree["g"] == restored.step).all()
        step = restored.step
