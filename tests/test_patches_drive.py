"""Options of the patch layer: normalised word lines, and neurons of both signs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, patches, programming

GEOMETRY = patches.Geometry((9, 8, 3), size=4, stride=2, padding=1, pool=(2, 2))
K = 7


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, GEOMETRY.n_pixels)) / 255
    images[0] = 0.0
    images = jnp.asarray(images, jnp.result_type(float))
    front = patches.whitening(patches.cut(GEOMETRY, images).reshape(-1, GEOMETRY.n_inputs))
    device = devices.get("exponential")
    xbar = crossbar.create(device, (GEOMETRY.n_inputs, K))
    xbar = crossbar.set_state(xbar, jnp.asarray(rng.random((2, GEOMETRY.n_inputs, K)), images.dtype))
    constants = patches.Constants(front, programming.AccumulatorParams(1 / 64, lines=None), theta=0.3)
    layers = {
        "raw": patches.Layer(GEOMETRY, block=4),
        "normalised": patches.Layer(GEOMETRY, block=4, drive="normalised"),
        "both": patches.Layer(GEOMETRY, block=4, drive="normalised", both=True),
    }
    columns = jnp.sum(crossbar.weights(xbar), axis=0)
    each = {name: patches.create(layer, constants, xbar).replace(columns=columns) for name, layer in layers.items()}
    return images, constants, layers, each


def test_both_drives_respond_alike_without_noise(made):
    images, constants, _, each = made
    cut = patches.cut(GEOMETRY, images)
    raw, normalised = (patches.respond(constants, each[name], cut, None, name) for name in ("raw", "normalised"))
    np.testing.assert_allclose(raw, normalised, rtol=1e-3, atol=2e-3)
    p, w = np.asarray(cut, float), np.asarray(crossbar.weights(each["raw"].xbar), float)
    mean, floor = p.mean(-1, keepdims=True), float(constants.front.floor)
    plain = (p - mean) / np.sqrt(p.var(-1, keepdims=True) + floor**2) @ w
    np.testing.assert_allclose(normalised, plain, rtol=1e-4, atol=1e-4)


def test_read_noise_grows_with_the_light_on_raw_word_lines_alone(made):
    _, constants, _, each = made
    noisy = constants.replace(read_noise=0.02)
    rng = np.random.default_rng(1)
    texture = 0.1 * rng.random((1, GEOMETRY.n_inputs)) * np.ones((2000, 1))
    for drive, ratio in (("raw", 6.0), ("normalised", 1.0)):
        sd = []
        for light in (0.1, 0.9):
            patch = jnp.asarray(light + texture, jnp.result_type(float))
            sd.append(np.std(patches.respond(noisy, each["raw"], patch, jax.random.key(0), drive), axis=0).mean())
        mean_square = [np.mean((light + texture[0]) ** 2) for light in (0.1, 0.9)]
        expected = (mean_square[1] / mean_square[0]) ** 0.5 if drive == "raw" else 1.0
        np.testing.assert_allclose(sd[1] / sd[0], expected, rtol=0.02)
        assert 0.9 * ratio < expected < 1.1 * ratio


def test_neurons_of_both_signs(made):
    images, constants, layers, each = made
    pooled = {
        name: np.asarray(jax.jit(patches.features, static_argnums=0)(layers[name], constants, each[name], images, None))
        for name in ("normalised", "both")
    }
    cells = pooled["both"].reshape(6, 4, 2, K)
    np.testing.assert_array_equal(cells[:, :, 0], pooled["normalised"].reshape(6, 4, K))
    negated = each["both"].xbar
    x = negated.state.x
    negated = negated.replace(state=negated.state.replace(x=x[::-1]))  # g+ and g- change places
    other = each["normalised"].replace(xbar=negated)
    wanted = jax.jit(patches.features, static_argnums=0)(layers["normalised"], constants, other, images, None)
    np.testing.assert_array_equal(cells[:, :, 1], np.asarray(wanted).reshape(6, 4, K))


def test_reads_of_normalised_word_lines_are_counted(made):
    images, _, layers, each = made
    counted = patches.forward_events(layers["normalised"], each["normalised"], images)
    cut = np.asarray(patches.cut(GEOMETRY, images)).reshape(6, -1, GEOMETRY.n_inputs)
    textured = np.sum(cut.min(-1) != cut.max(-1), axis=1)
    np.testing.assert_array_equal(counted.mac, 2 * K * GEOMETRY.n_inputs * textured)
    # A blank image is not read at all.
    np.testing.assert_array_equal(counted.read, 2 * K * textured)
    assert textured[0] == 0 < textured[1]


def test_it_refuses_an_unknown_drive(made):
    _, constants, _, each = made
    with pytest.raises(ValueError, match="drive = 'bright'"):
        patches.create(patches.Layer(GEOMETRY, drive="bright"), constants, each["raw"].xbar)


def test_normalised_word_lines_need_no_column_sums(made):
    images, constants, layers, each = made
    layer = layers["normalised"]._replace(per_image=3)
    fresh = each["normalised"].replace(columns=jnp.zeros(K))
    learned, spent = jax.jit(patches.learn, static_argnums=0)(
        layer, constants, fresh, images[1], 0.1, jax.random.key(0), 0
    )
    assert (int(spent.mac), int(spent.read)) == (3 * 2 * K * GEOMETRY.n_inputs, 3 * 2 * K)  # its patches, no more
    np.testing.assert_array_equal(learned.columns, 0)
    keys = jax.random.split(jax.random.key(1), len(images))
    found, spent = jax.jit(patches.calibrate, static_argnums=0)(layer, constants, learned, images, keys)
    np.testing.assert_array_equal(found.columns, 0)
    reads = patches.forward_events(layer, learned, images)
    np.testing.assert_array_equal(spent.read, np.tile(reads.read, 2))  # for the threshold, and for the mean
