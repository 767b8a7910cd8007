"""Many sampled chips: who gets which key, the same draws for any batch, one compiled program."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import monte_carlo_study
import numpy as np
import pytest
import xarray as xr

from memjax import devices, monte_carlo, noise, variation
from memjax.errors import UserError
from memjax.monte_carlo import _folder, _run

KEY = jax.random.key(42)


def chip(key):
    params = variation.sample_params(devices.get("soft_bounds").Params(), {"g_max": 0.2}, (3, 4), key)
    return {"g_max": params.g_max, "xi": noise.normal(key, (5,)), "bits": noise.bits(key, (2,)), "one": jnp.ones(())}


def test_chip_i_has_the_key_fold_in_i():
    found = monte_carlo.run(lambda key: jax.random.key_data(key), 5, KEY)
    np.testing.assert_array_equal(found, [jax.random.key_data(jax.random.fold_in(KEY, i)) for i in range(5)])
    np.testing.assert_array_equal(
        jax.random.key_data(monte_carlo.chip_keys(KEY, 2, first=3)),
        [jax.random.key_data(jax.random.fold_in(KEY, i)) for i in (3, 4)],
    )


@pytest.mark.parametrize("n", [1, 65])
def test_draws_do_not_depend_on_the_batch(n):
    everything = monte_carlo.run(chip, n, KEY)
    assert everything["g_max"].shape == (n, 3, 4)
    assert everything["one"].shape == (n,)
    for batch_size in (1, 7, 64, 1000):
        parts = monte_carlo.run(chip, n, KEY, batch_size=batch_size)
        jax.tree.map(np.testing.assert_array_equal, everything, parts)


def test_a_chip_of_many_is_the_chip_alone():
    many, alone = monte_carlo.run(chip, 9, KEY, batch_size=4), jax.jit(chip)
    for i in (0, 3, 8):
        one = alone(jax.random.fold_in(KEY, i))
        jax.tree.map(lambda a, b, i=i: np.testing.assert_array_equal(a[i], b), many, one)


def test_more_chips_begin_with_the_same_ones():
    few, many = (monte_carlo.run(chip, n, KEY, batch_size=5) for n in (6, 13))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:6]), few, many)


def test_chips_share_their_arguments_and_differ_in_their_draws():
    found = monte_carlo.run(lambda key, x, y: x * noise.normal(key, (3,)) + y["b"], 4, KEY, args=(2.0, {"b": 1.0}))
    wanted = [2 * np.asarray(noise.normal(jax.random.fold_in(KEY, i), (3,))) + 1 for i in range(4)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
    assert np.unique(found).size == 12


def test_one_compiled_program_however_many_chips():
    traces = []

    def counted(key):
        traces.append(key.shape)
        return noise.normal(key, (1000,))

    for n in (3, 10, 100):
        traces.clear()
        assert monte_carlo.run(counted, n, KEY, batch_size=3).shape == (n, 1000)
        assert 1 <= len(traces) <= 2  # for the shapes of its values, and for the program


def test_the_inputs_of_a_chip_go_with_it():
    inputs = {"sigma": np.linspace(0, 1, 11, dtype=np.float32), "levels": np.arange(22).reshape(11, 2)}

    def chip(key, own, scale):
        return own["sigma"] * scale + jnp.sum(own["levels"]).astype(jnp.float32), jax.random.key_data(key)

    for batch_size in (None, 4):
        found, keys = monte_carlo.run(chip, 11, KEY, args=(2.0,), inputs=inputs, batch_size=batch_size)
        np.testing.assert_allclose(found, 2 * inputs["sigma"] + inputs["levels"].sum(axis=1), rtol=1e-6)
        np.testing.assert_array_equal(keys, jax.random.key_data(monte_carlo.chip_keys(KEY, 11)))


def test_inputs_may_be_keys():
    given = {"d2d": jax.random.split(jax.random.key(3), 5), "c2c": jax.random.split(jax.random.key(4), 5)}
    for block in (None, 2):
        found = monte_carlo.run(lambda key, own: noise.normal(own["d2d"]), 5, KEY, inputs=given, block=block)
        np.testing.assert_array_equal(found, jax.vmap(noise.normal)(given["d2d"]))


@pytest.fixture(scope="module")
def study():
    """Values of 40 noisy arrays that learn, all at once and in blocks of eight."""
    return tuple(monte_carlo.run(monte_carlo_study.plastic, 40, KEY, block=block) for block in (None, 8))


@pytest.mark.parametrize("batch_size", [1, 7, 64, "auto"])
def test_arrays_that_learn_do_not_depend_on_the_batch(batch_size, study):
    found = monte_carlo.run(monte_carlo_study.plastic, 40, KEY, batch_size=batch_size)
    for name in ("g", "pulses"):  # elementwise: to the bit
        np.testing.assert_array_equal(found[name], study[0][name], err_msg=name)
    largest = np.abs(study[0]["scores"]).max()
    np.testing.assert_allclose(found["scores"], study[0]["scores"], rtol=0, atol=1e-6 * largest)
    blocks = monte_carlo.run(monte_carlo_study.plastic, 40, KEY, batch_size=batch_size, block=8)
    jax.tree.map(np.testing.assert_array_equal, blocks, study[1])


def test_auto_fits_the_memory():
    def chip(key):
        return jnp.sort(noise.normal(key, (1000,)))  # 4 kB of values a chip, and as much again to sort

    counted = []

    def told(at):
        counted.append(at.done)

    found = monte_carlo.run(chip, 100, KEY, batch_size="auto", memory=100_000, progress=told)
    assert found.shape == (100, 1000)
    assert 4 < counted[0] <= 25
    counted.clear()
    monte_carlo.run(chip, 100, KEY, batch_size="auto", memory=1, progress=told)
    assert counted[0] == 1
    counted.clear()
    monte_carlo.run(chip, 100, KEY, batch_size="auto", progress=told)
    assert counted[0] == 100


def test_until_is_asked_at_the_same_chips_whatever_the_batch():
    for batch_size in (None, 7, 64):
        asked = []

        def enough(values, asked=asked):
            asked.append(len(values))
            return len(values) >= 30

        found = monte_carlo.run(
            lambda key: noise.normal(key), 55, KEY, batch_size=batch_size, until=enough, check_every=10
        )
        assert asked == [10, 20, 30]
        np.testing.assert_array_equal(found, monte_carlo.run(lambda key: noise.normal(key), 30, KEY))
    assert len(monte_carlo.run(lambda key: noise.normal(key), 25, KEY, until=lambda v: False, check_every=10)) == 25


def test_a_study_that_until_ended_is_whole_and_goes_on(tmp_path):
    folder, draw, told = tmp_path / "study", lambda key: noise.normal(key), []
    settings = dict(checkpoint_dir=folder, check_every=10)
    found = monte_carlo.run(draw, 50, KEY, until=lambda v: len(v) >= 20, **settings)
    np.testing.assert_array_equal(monte_carlo.load(folder)["value"], found)
    again = monte_carlo.run(draw, 50, KEY, until=lambda v: False, resume=True, progress=told.append, **settings)
    assert len(again) == len(monte_carlo.load(folder)["value"]) == 50
    assert {at.done for at in told} == {20, 30, 40, 50}


def test_a_first_round_that_lacks_little_does_not_make_small_batches(tmp_path):
    draw, told, settings = lambda key: noise.normal(key), [], dict(checkpoint_dir=tmp_path / "study", check_every=10)
    monte_carlo.run(draw, 7, KEY, **settings)
    monte_carlo.run(draw, 30, KEY, until=lambda v: False, resume=True, progress=told.append, **settings)
    assert {at.done for at in told} == {10, 20, 30}


def sometimes_nan(key):
    x = noise.uniform(key)
    return {"x": jnp.where(x < 0.1, jnp.nan, x), "row": jnp.stack([x, -x]), "n": jnp.int32(3)}


def test_a_chip_that_turns_nan_is_kept_apart():
    with pytest.warns(UserWarning, match=r"of 60 chips have values that are not finite \("):
        values = monte_carlo.run(sometimes_nan, 60, KEY, batch_size=16)
    bad = values["row"][:, 0] < 0.1
    assert 0 < bad.sum() < 20
    np.testing.assert_array_equal(monte_carlo.failed(values), bad)
    found = monte_carlo.summary(values)
    assert found.n == 60
    np.testing.assert_array_equal(found.failed, np.flatnonzero(bad))
    good = values["x"][~bad].astype(float)
    np.testing.assert_allclose(found.mean["x"], good.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.sd["x"], good.std(ddof=1), rtol=1e-12)
    assert found.quantiles[0.0]["x"] == good.min()
    np.testing.assert_allclose(found.quantiles[0.5]["row"], [np.median(good), -np.median(good)], rtol=1e-12)
    assert found.mean["n"] == 3
    with pytest.raises(ValueError, match="none of the 60 chips"):
        monte_carlo.summary(values | {"x": np.full(60, np.nan)})


def test_a_summary_of_large_values_is_worked_in_blocks(monkeypatch):
    values = np.random.default_rng(0).normal(size=(50, 7, 9)).astype(np.float32)
    whole = monte_carlo.summary(values)
    monkeypatch.setattr("memjax.monte_carlo._summary._BLOCK", 8 * 50 * 5)
    parts = monte_carlo.summary(values)
    np.testing.assert_array_equal(whole.sd, parts.sd)
    np.testing.assert_array_equal(whole.quantiles[0.25], parts.quantiles[0.25])


# --- folders --------------------------------------------------------------------------------------------------------


def test_a_folder_holds_whole_parts_and_any_tool_reads_them(tmp_path):
    folder = tmp_path / "study"
    values = monte_carlo.run(chip, 30, KEY, batch_size=8, checkpoint_dir=folder, save_every=0.0, config={"a": 1})
    jax.tree.map(np.testing.assert_array_equal, values, monte_carlo.run(chip, 30, KEY))
    assert sorted(p.name for p in folder.iterdir()) == [
        *(f"part-{a:06d}-{min(a + 8, 30):06d}.nc" for a in (0, 8, 16, 24)),
        "study.json",
    ]
    with xr.open_dataset(folder / "part-000008-000016.nc") as part:
        np.testing.assert_array_equal(part["g_max"], values["g_max"][8:16])
        np.testing.assert_array_equal(part["chip"], range(8, 16))
        assert part["failed"].dtype == bool
    loaded = monte_carlo.load(folder)
    assert list(loaded) == ["bits", "g_max", "one", "xi"]
    np.testing.assert_array_equal(loaded["bits"], values["bits"])


def test_a_resumed_study_works_only_what_is_missing(tmp_path):
    folder = tmp_path / "study"
    monte_carlo.run(chip, 20, KEY, batch_size=4, checkpoint_dir=folder, save_every=0.0)
    (folder / "part-000004-000008.nc").unlink()
    with pytest.raises(UserError, match="lacks chips 4 to 7 of 20: resume it"):
        monte_carlo.load(folder)
    told = []
    values = monte_carlo.run(  # another batch size, and more chips
        chip, 26, KEY, batch_size=3, checkpoint_dir=folder, save_every=0.0, resume=True, progress=told.append
    )
    assert [at.done for at in told] == [19, 20, 23, 26, 26]  # 4 were missing of the first 20, and 6 are new
    jax.tree.map(np.testing.assert_array_equal, values, monte_carlo.run(chip, 26, KEY))
    few = monte_carlo.run(chip, 5, KEY, checkpoint_dir=folder, resume=True)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:5]), few, values)


def test_values_larger_than_the_memory_stay_on_the_disk(tmp_path):
    folder = tmp_path / "study"
    values = monte_carlo.run(chip, 30, KEY, batch_size=8, checkpoint_dir=folder, save_every=0.0, in_memory=100)
    assert all(isinstance(leaf, np.memmap) for leaf in jax.tree.leaves(values))
    whole = monte_carlo.run(chip, 30, KEY)
    jax.tree.map(np.testing.assert_array_equal, values, whole)
    np.testing.assert_array_equal(monte_carlo.summary(values).sd["g_max"], monte_carlo.summary(whole).sd["g_max"])
    with xr.open_dataset(folder / "values.nc") as joined:
        np.testing.assert_array_equal(joined["g_max"], whole["g_max"])


def test_another_study_is_refused(tmp_path):
    folder = tmp_path / "study"
    add = lambda key, x: x + noise.normal(key, (3,))  # noqa: E731
    monte_carlo.run(add, 5, KEY, args=(1.0,), checkpoint_dir=folder, config={"a": 1})
    kept = {p.name: p.read_bytes() for p in folder.iterdir()}
    again = dict(checkpoint_dir=folder, resume=True)
    with pytest.raises(UserError, match="not empty, and nothing is written over"):
        monte_carlo.run(add, 5, KEY, args=(1.0,), checkpoint_dir=folder, config={"a": 1})
    for message, key, args, config, run in (
        ("holds a study with another random key: it is left", jax.random.key(1), (1.0,), {"a": 1}, add),
        ("with other arguments", KEY, (2.0,), {"a": 1}, add),
        ("with another config", KEY, (1.0,), {"a": 2}, add),
        ("with another config and values of other names", KEY, (1.0,), None, lambda key, x: x),
    ):
        with pytest.raises(UserError, match=message):
            monte_carlo.run(run, 5, key, args=args, config=config, **again)
    assert kept == {p.name: p.read_bytes() for p in folder.iterdir()}


def test_what_cannot_be_read_is_named(tmp_path):
    folder = tmp_path / "study"
    monte_carlo.run(chip, 6, KEY, batch_size=3, checkpoint_dir=folder, save_every=0.0)
    part = folder / "part-000003-000006.nc"
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cannot read .*part-000003-000006\.nc.*Delete it, then resume"):
        monte_carlo.load(folder)
    part.unlink()
    monte_carlo.run(chip, 6, KEY, checkpoint_dir=folder, resume=True)
    (folder / "study.json").write_text("{")
    with pytest.raises(UserError, match="study.json is damaged"):
        monte_carlo.run(chip, 6, KEY, checkpoint_dir=folder, resume=True)
    with pytest.raises(UserError, match="holds no Monte Carlo study"):
        monte_carlo.load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file is in the way"):
        monte_carlo.run(chip, 6, KEY, checkpoint_dir=tmp_path / "file")


def test_a_full_disk_costs_no_finished_batch(tmp_path):
    """A limit on the size of files stands for the disk: a part of many chips does not fit, parts of few do."""
    wanted = {"n": 40, "batch_size": 64, "folder": str(tmp_path / "study"), "out": str(tmp_path / "out.npz")}
    monte_carlo.run(monte_carlo_study.plastic, 8, KEY, batch_size=4, checkpoint_dir=wanted["folder"], save_every=0.0)
    command = [sys.executable, monte_carlo_study.__file__, json.dumps(wanted | {"resume": True})]
    limited = subprocess.run(
        ["bash", "-c", 'ulimit -f 64; exec "$@"', "bash", *command], capture_output=True, text=True, check=False
    )
    assert limited.returncode != 0
    assert "UserError: cannot write" in limited.stderr
    assert "8 of 40 chips are finished and kept in" in limited.stderr
    assert sorted(p.name for p in (tmp_path / "study").iterdir()) == [
        "part-000000-000004.nc",
        "part-000004-000008.nc",
        "study.json",
    ]
    found = monte_carlo.run(monte_carlo_study.plastic, 40, KEY, checkpoint_dir=wanted["folder"], resume=True)
    np.testing.assert_array_equal(found["g"], monte_carlo.run(monte_carlo_study.plastic, 40, KEY)["g"])


def test_an_interruption_keeps_what_is_finished(tmp_path):
    folder = tmp_path / "study"

    def stop(at):
        if at.done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        monte_carlo.run(chip, 30, KEY, batch_size=2, checkpoint_dir=folder, save_every=1e9, progress=stop)
    assert [p.name for p in folder.glob("part*")] == ["part-000000-000006.nc"]


# --- shares ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_shares_are_equal_and_cover_everything_once(processes):
    ranges = [(3, 10), (12, 13), (20, 41)]
    shares = [_run.share(ranges, rank, processes) for rank in range(processes)]
    chips = [[i for a, b in mine for i in range(a, b)] for mine in shares]
    assert sum(chips, []) == [i for a, b in ranges for i in range(a, b)]
    assert max(map(len, chips)) == -(-29 // processes)


def test_missing_is_what_finished_leaves():
    finished = [(0, 4), (6, 8), (12, 30)]
    assert _folder.missing(finished, 0, 20) == [(4, 6), (8, 12)]
    assert _folder.missing(finished, 7, 10) == [(8, 10)]
    assert _folder.missing(finished, 15, 20) == []
    assert _folder.missing([], 2, 5) == [(2, 5)]
    assert _folder.missing(finished, 28, 33) == [(30, 33)]


@pytest.mark.parametrize(
    "n, batch_size, message",
    [(0, None, "n = 0 chips: accepted is at least 1"), (3, 0, "batch_size = 0: accepted is at least 1")],
)
def test_bad_input(n, batch_size, message):
    with pytest.raises(ValueError, match=message):
        monte_carlo.run(chip, n, KEY, batch_size=batch_size)


def test_bad_settings():
    ok = lambda key: noise.normal(key)  # noqa: E731
    rotated = lambda key: {"z": jax.lax.complex(*noise.normal(key, (2,)))}  # noqa: E731
    for message, call in (
        ("batch_size = 'all': accepted", lambda: monte_carlo.run(ok, 3, KEY, batch_size="all")),
        ("block = 0 chips", lambda: monte_carlo.run(ok, 3, KEY, block=0)),
        ("check_every = 0 chips", lambda: monte_carlo.run(ok, 3, KEY, check_every=0)),
        ("accepted is one typed key", lambda: monte_carlo.run(ok, 3, jnp.zeros(2, jnp.uint32))),
        (r"accepted is \[3, ...\], one a chip", lambda: monte_carlo.run(ok, 3, KEY, inputs=np.zeros(4))),
        ("returns value of type key", lambda: monte_carlo.run(lambda key: key, 3, KEY)),
        ("returns z of type complex64", lambda: monte_carlo.run(rotated, 3, KEY)),
        ("coordinator, process_id not given", lambda: monte_carlo.start_hosts(processes=2)),
        ("quantiles = ", lambda: monte_carlo.summary(np.zeros(3), (2.0,))),
    ):
        with pytest.raises(ValueError, match=message):
            call()
