"""`memjax train` with a patch layer: filters learn, then a readout; resumed or cut, it ends with the same bits."""

import functools
import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from memjax import checkpoint, config, crossbar, datasets, energy, learning, patches, programming, training
from memjax.energy import Events
from memjax.errors import ConfigError
from memjax.training import _data

TINY = {
    "chips": 2,
    "device": {"name": "exponential"},
    "array": {"n_inputs": 196, "n_outputs": 16, "module_size": 16},
    "patches": {"size": 5, "stride": 3, "pool": 2, "images": 150, "per_image": 16},
    "variation": {"d2d": {"step_up": 0.2, "step_down": 0.2}, "c2c": 0.3, "read_noise": 0.02, "stuck_on": 0.01},
    "neurons": {"time_steps": 7},
    "learning": {"epochs": 5, "learning_rate": 0.1, "output_gain": 0.2},
    "data": {"n_train": 300, "n_test": 200, "shift": 1},
    "run": {"chunk": 60, "eval_batch": 100, "checkpoint_every_s": 0.01},
}


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
    """Keep compiled programs in a folder, so that each is compiled once in this file."""
    wanted = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    usual = {name: getattr(jax.config, name) for name in wanted}
    for name, value in wanted.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in usual.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def settings(**sections):
    merged = {name: dict(value) if isinstance(value, dict) else value for name, value in TINY.items()}
    for name, value in sections.items():
        merged[name] = {**(merged.get(name) or {}), **value} if isinstance(value, dict) else value
    return config.from_dict(merged)


def bits(metrics):
    return {name: value for name, value in metrics.items() if name not in training.WALL_CLOCK}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder, the metrics and the notes of a run."""
    folder, seen = tmp_path_factory.mktemp("run") / "out", []
    metrics = training.train(settings(), folder, progress=seen.append)
    return folder, metrics, seen


def test_a_run_learns_and_counts_all_that_it_did(finished):
    folder, metrics, seen = finished
    assert metrics["test_accuracy"]["mean"] > 0.5  # 16 filters on images of half the size, 300 of them
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert "16 filters learn from 150 images" in [at.note for at in seen]
    events = metrics["events"]
    assert list(events) == ["inference", "training", "filters"]
    # Training has the forward passes and the filters' learning in it; the readout's own is what is left.
    assert events["training"]["verify"] == events["filters"]["verify"] > 0
    assert events["training"]["mac"] == events["inference"]["mac"] + events["filters"]["mac"]
    assert events["training"]["pulse"] > events["filters"]["pulse"] > 0
    joules = metrics["energy_per_sample"]
    for kind in ("inference", "training", "filters"):
        assert joules[kind]["e_max"] == pytest.approx(energy.joules(events[kind])["e_max"] / (2 * 1500))
    assert (folder / "figures" / "receptive_fields.png").exists()


def test_reads_are_those_of_every_position_that_is_not_blank(finished):
    """By a loop over the images as they were shown, moved by their shifts."""
    samples, moved = _data.load(settings()), _data.augment(settings())
    cut = jax.jit(functools.partial(patches.cut, patches.Geometry((14, 14, 1), 5, 3, 0, (2, 2))))
    positions = pixels = 0
    for epoch in range(5):
        order = training.order(settings(), 300, epoch)
        shown = moved(jnp.asarray(samples.train_x)[order], 300 * epoch + jnp.arange(300, dtype=jnp.int32))
        grid = np.asarray(cut(shown)).reshape(-1, 25)
        positions += np.count_nonzero(grid.any(axis=1))
        pixels += np.count_nonzero(grid)
    events = finished[1]["events"]["inference"]
    assert events["read"] == 2 * (2 * 16 * positions + 1500 * 2 * 10)  # two chips
    first = 2 * 2 * 16 * pixels
    head = events["mac"] - first  # two devices of ten outputs for every feature that is not zero
    assert head % 20 == 0
    assert 0.2 < head / (2 * 1500 * 2 * 10 * 64) < 1


def test_stopped_it_goes_on_to_the_same_bits(finished, tmp_path):
    def stop(at):
        if at.done == 120:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(training.Interrupted):
        training.train(settings(), tmp_path / "out", progress=stop)
    assert checkpoint.latest(tmp_path / "out") in (120, 180)
    again = training.train(settings(), tmp_path / "out", resume=True)
    assert bits(again) == bits(finished[1])


@pytest.mark.broad
def test_the_way_a_run_is_cut_changes_nothing(finished, tmp_path):
    other = training.train(settings(run={"chunk": 100}), tmp_path / "cut")
    assert other["test_accuracy"] == finished[1]["test_accuracy"]
    assert other["events"] == finished[1]["events"]


@pytest.fixture(scope="module")
def quiet():
    """Return a system without read noise, one chip whose filters have not learned, and what it sees of 50 images."""
    wanted = settings(variation={"read_noise": 0.0}, chips=1)
    system, samples = training.build(wanted), _data.load(wanted)
    chip = jax.jit(system.init)(system.keys[0])
    front = chip.constants.front.replace(matrix=jnp.eye(25) - 1 / 25)  # no whitening beyond the mean
    chip = chip.replace(constants=chip.constants.replace(front=front))
    x, keys = learning.scale(jnp.asarray(samples.test_x[:50])), jax.random.split(jax.random.key(3), 50)
    return system, chip, samples, x, *jax.jit(system.learner.look)(chip, x, keys)


def test_a_prediction_is_the_readout_of_what_is_seen(quiet):
    system, chip, _, x, seen, spent = quiet
    assert seen.shape == (50, 64)
    assert float(jnp.std(seen)) > 0.1
    y = jax.jit(system.learner.predict)(chip, x, jax.random.key(3))
    np.testing.assert_allclose(y, seen @ crossbar.weights(chip.head.xbar), rtol=0, atol=2e-5 * float(jnp.max(seen)))
    assert spent.mac.shape == (50,)
    hidden, output = system.arrays(chip)
    assert (hidden.shape, output.shape) == ((25, 16), (64, 10))


def test_the_readout_learns_by_the_delta_rule(quiet):
    """One sample against NumPy: what the accumulators collect is -eta x (softmax - target)."""
    system, chip, samples, _, seen, _ = quiet
    x, label = np.asarray(seen[0], np.float64), int(samples.test_y[0])
    after, (y, inference, spent) = jax.jit(system.learner.learn)(
        chip, seen[0], jnp.asarray(label), (0.0, 0.0001), jax.random.key(5), 0
    )
    z = np.exp(0.2 * np.asarray(y, np.float64))
    error = z / z.sum() - np.eye(10)[label]
    held = programming.collected(after.head.constants.settings, after.head.pending, after.head.xbar, 1)
    np.testing.assert_allclose(held, -0.0001 * np.outer(x, error), rtol=1e-4, atol=1e-8)
    assert 0 < np.count_nonzero(x) < 64
    assert int(inference.mac) == 20 * np.count_nonzero(x)
    assert int(inference.read) == 20
    assert int(spent.accumulate) == 10 * np.count_nonzero(x)
    assert int(spent.pulse) == 0


def test_both_signs_and_normalised_pixels_can_be_asked_for():
    """Twice the features; every pixel of a patch that is not blank drives its line, in learning too."""
    wanted = settings(patches={"both": True, "drive": "normalised"})
    system = training.build(wanted)
    chip = jax.eval_shape(system.init, system.keys[0])
    assert chip.head.xbar.shape == (128, 10)
    images = jax.ShapeDtypeStruct((2, 196), jnp.result_type(float))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2))
    seen, _ = jax.eval_shape(system.learner.look, chip, images, keys)
    assert seen.shape == (2, 128)


# --- the loop's look, data, and what is refused -----------------------------------------------------------------------


def test_what_is_seen_for_a_whole_chunk_reaches_learning_and_its_events_the_ledger():
    def look(state, x, keys):
        return x[:, :2] * 2 + jax.vmap(lambda key: jax.random.uniform(key))(keys)[:, None], Events(mac=jnp.arange(3))

    def learn(state, x, label, rates, key, turn):
        return state + x, (x, Events(mac=10, read=1), Events(pulse=turn))

    images = np.random.default_rng(0).integers(0, 256, (5, 4)).astype(np.uint8)
    order, key = np.array([4, 0, 2], np.int32), jax.random.key(0)
    step = jax.jit(learning.one_chip(learning.Learner(learn, learn, look=look)))
    labels, rates = np.zeros(5, np.int32), np.zeros(3, np.float32)
    state, record = step(jnp.zeros(2), key, jnp.asarray(images), jnp.asarray(labels), order, rates, 7)
    own = [float(jax.random.uniform(jax.random.fold_in(key, 7 + s))) for s in range(3)]
    wanted = sum(images[n, :2] / 255 * 2 + u for n, u in zip(order, own, strict=True))
    np.testing.assert_allclose(state, wanted, rtol=1e-6)
    np.testing.assert_array_equal(record.inference.mac, [10, 11, 12])
    np.testing.assert_array_equal(record.inference.read, [1, 1, 1])
    np.testing.assert_array_equal(record.training.pulse, [7, 8, 9])


def test_colour_images_are_flat_with_their_channels_last(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8), np.arange(12, dtype=np.int32) % 10
    colours = datasets.Dataset(x, y, x[:5], y[:5], "cifar10", tuple("abcdefghij"))
    monkeypatch.setattr(datasets, "load", lambda *_, **__: colours)
    data = {"dataset": "cifar10", "flip": True, "shift": 2, "shift_fill": "edge", "n_train": None, "n_test": None}
    wanted = settings(array={"n_inputs": 3072}, data=data)
    samples = _data.load(wanted)
    np.testing.assert_array_equal(samples.train_x, x.reshape(12, -1))
    assert wanted.image == (32, 32, 3)
    layered = settings(
        array={"n_inputs": 3072, "n_outputs": 10}, data=data, patches={"size": 5, "pool": (2, 3), "both": True}
    )
    assert layered.word_lines == (5 * 5 * 3, 2 * 3 * 10 * 2)
    small = _data.load(settings(array={"n_inputs": 768}, data=data))
    np.testing.assert_allclose(
        small.train_x[3].reshape(16, 16, 3)[2, 5], x[3, 4:6, 10:12].mean(axis=(0, 1)), rtol=0, atol=0.5
    )
    with pytest.raises(ConfigError, match=r"32 x 32 pixels of 3 colours: accepted is one of 3072, 768, 192"):
        _data.load(settings(array={"n_inputs": 1024}, data=data))

    # Each shown image is the original, mirrored or not, moved by at most two pixels, with its edge drawn out.
    shown = np.asarray(_data.augment(wanted)(jnp.asarray(samples.train_x), jnp.arange(12, dtype=jnp.int32)))
    flips = 0
    for image, found in zip(x, shown.reshape(12, 32, 32, 3), strict=True):
        ways = [(f, a, b) for f in (0, 1) for a in range(5) for b in range(5)]
        wide = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
        fits = [w for w in ways if (_mirrored(wide[w[1] : w[1] + 32, w[2] : w[2] + 32], w[0]) == found).all()]
        assert len(fits) == 1
        flips += fits[0][0]
    assert 0 < flips < 12


def _mirrored(image, yes):
    return image[:, ::-1] if yes else image


@pytest.mark.parametrize(
    "sections, complaint",
    [
        ({"patches": {"size": 15}}, "size = 15 does not fit an image of .14, 14."),
        ({"patches": {"pool": 5}}, "pool = .5, 5. has more cells"),
        ({"patches": {"decay_at": [0.5]}}, "should be of one length"),
        ({"patches": {"programmer": "sign"}}, "patches.programmer"),
        ({"array": {"wires": {}}}, "array.wires: is not for a patch layer"),
        ({"learning": {"rule": "error_driven"}}, "learning.rule = error_driven: is not for a patch layer"),
        ({"encoding": {"kind": "rate"}}, "encoding.kind = rate: is not for a patch layer"),
        ({"neurons": {"threshold": 2.0}}, "neurons.threshold = 2.0: is not for a patch layer"),
        ({"neurons": {"leak": 0.5}}, "neurons.leak = 0.5: is not for a patch layer"),
        ({"neurons": {"reset": "zero"}}, "neurons.reset = zero: is not for a patch layer"),
        ({"neurons": {"refractory": 1}}, "neurons.refractory = 1: is not for a patch layer"),
        ({"neurons": {"surrogate_width": 2.0}}, "neurons.surrogate_width = 2.0: is not for a patch layer"),
        ({"learning": {"feedback": "random"}}, "learning.feedback = random: is not for a patch layer"),
        ({"learning": {"learning_rate_hidden": 0.1}}, "learning.learning_rate_hidden = 0.1: is not for a patch layer"),
        ({"learning": {"measured_pulses": 4}}, "learning.measured_pulses = 4: is not for a patch layer"),
        ({"learning": {"rows_per_write": 3}}, "rows_per_write = 3: accepted is a divisor of the 16"),
    ],
)
def test_settings_that_do_not_fit_write_nothing(tmp_path, sections, complaint):
    with pytest.raises((ConfigError, ValueError), match=complaint):
        training.train(settings(**sections), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_studies_of_many_chips_say_that_they_have_no_patch_layer():
    with pytest.raises(ConfigError, match="patches: this needs the fully connected network"):
        training.parts(settings())


def test_the_section_is_written_and_read_back():
    wanted = settings()
    assert config.load_text(config.dump(wanted)) == wanted
    assert config.load_text("", ["patches.size=7"]).patches.size == 7
    assert config.load_text("patches: null").patches is None
    with pytest.raises(ConfigError, match="did you mean 'stride'"):
        config.load_text("patches: {strid: 3}")
