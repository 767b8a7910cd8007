"""What the word lines carry: exact for direct and latency, statistics for rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import encoding


def test_direct_holds_the_value():
    x = jnp.asarray([[0.0, 0.5], [1.0, 0.25]])
    np.testing.assert_array_equal(encoding.direct(x, 3), np.stack([x] * 3))


def test_rate_has_the_probability_of_the_value():
    x = jnp.linspace(0, 1, 21)
    steps = 100_000
    spikes = np.asarray(encoding.rate(x, steps, jax.random.key(0)))
    assert spikes.shape == (steps, 21)
    assert set(np.unique(spikes)) == {0.0, 1.0}
    p = np.asarray(x, np.float64)
    assert np.all(np.abs(spikes.mean(0) - p) <= 5 * np.sqrt(p * (1 - p) / steps))
    assert spikes[:, 0].sum() == 0
    assert spikes[:, -1].sum() == steps
    # Neither steps nor inputs know of each other.
    centred = spikes[:, 1:-1] - p[1:-1]
    bound = 5 * 0.25 / steps**0.5
    assert np.max(np.abs((centred[1:] * centred[:-1]).mean(0))) < bound
    assert np.max(np.abs((centred[:, 1:] * centred[:, :-1]).mean(0))) < bound


def test_rate_is_fresh_for_another_key_only():
    x = jnp.full((2, 8), 0.5)
    first, again, other = (encoding.rate(x, 50, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert 0.4 < np.mean(np.asarray(first) != np.asarray(other)) < 0.6


@pytest.mark.parametrize("steps", [1, 5, 11])
def test_latency_equals_a_loop(steps, x64):
    x = np.random.default_rng(0).random((4, 30))
    x[0, :3] = 0.0, 1.0, 1e-9
    wanted = np.zeros((steps, 4, 30))
    for a in range(4):
        for i in range(30):
            if x[a, i] > 0:
                wanted[int(np.rint((1 - x[a, i]) * (steps - 1))), a, i] = 1
    np.testing.assert_array_equal(encoding.latency(jnp.asarray(x), steps), wanted)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 4, 3)])
def test_shapes_and_types(shape, x64):
    for dtype in (jnp.float32, jnp.float64):
        x = jnp.full(shape, 0.5, dtype)
        for coded in (encoding.direct(x, 7), encoding.rate(x, 7, jax.random.key(0)), encoding.latency(x, 7)):
            assert coded.shape == (7, *shape)
            assert coded.dtype == dtype


def test_shift_moves_each_image_and_fills_with_zero():
    images = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5) + 1
    moved = np.asarray(encoding.shift(jnp.asarray(images), jnp.array([[1, -2], [0, 3]])))
    expected = np.zeros_like(images)
    expected[0, 1:, :3] = images[0, :3, 2:]  # one down, two to the left
    expected[1, :, 3:] = images[1, :, :2]  # three to the right
    np.testing.assert_array_equal(moved, expected)
    assert moved.dtype == np.uint8


def test_colours_move_together_and_edges_can_be_drawn_out():
    images = np.random.default_rng(0).integers(1, 256, (2, 5, 6, 3)).astype(np.uint8)
    offsets = np.array([[2, -1], [-7, 0]])
    for fill in encoding.FILLS:
        wanted = np.zeros_like(images)
        for s, (down, right) in enumerate(offsets):
            for r in range(5):
                for c in range(6):
                    row, column = r - down, c - right
                    inside = 0 <= row < 5 and 0 <= column < 6
                    if inside or fill == "edge":
                        wanted[s, r, c] = images[s, np.clip(row, 0, 4), np.clip(column, 0, 5)]
        if fill == "zero":
            assert not wanted[1].any()
            moved = encoding.shift(jnp.asarray(images[:1]), jnp.asarray(offsets[:1]), fill)
            np.testing.assert_array_equal(moved, wanted[:1])
        else:
            moved = encoding.shift(jnp.asarray(images), jnp.asarray([[2, -1], [-5, 0]]), fill)
            np.testing.assert_array_equal(moved, wanted)
    with pytest.raises(ValueError, match="fill = 'wrap': accepted is one of zero, edge"):
        encoding.shift(jnp.asarray(images), jnp.asarray(offsets), "wrap")


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 3)])
def test_flips_mirror_the_chosen_images(shape):
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    flipped = np.asarray(encoding.flip(jnp.asarray(images), jnp.asarray([True, False, True])))
    np.testing.assert_array_equal(flipped[[0, 2]], images[[0, 2], :, ::-1])
    np.testing.assert_array_equal(flipped[1], images[1])
