"""The counter-based draws against their definition, exact distributions and bounds of five standard errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from memjax import noise

N = 1 << 20
# Keys a user is likely to hold at the same time: neighbouring seeds, neighbouring chips, neighbouring purposes, salts.
KEYS = {
    "seed 0": lambda: (jax.random.key(0), 0),
    "seed 1": lambda: (jax.random.key(1), 0),
    "chip 0": lambda: (jax.random.fold_in(jax.random.key(0), 0), 0),
    "chip 1": lambda: (jax.random.fold_in(jax.random.key(0), 1), 0),
    "purpose 0": lambda: (noise.fold_in(jax.random.key(0), 0), 0),
    "purpose 1": lambda: (noise.fold_in(jax.random.key(0), 1), 0),
    "purpose 0 of seed 1": lambda: (noise.fold_in(jax.random.key(1), 0), 0),
    "purpose by name": lambda: (noise.fold_in(jax.random.key(0), "hidden"), 0),
    "purpose of a purpose": lambda: (noise.fold_in(noise.fold_in(jax.random.key(0), 1), 0), 0),
    "salt 1": lambda: (jax.random.key(0), 1),
    "salt 2": lambda: (jax.random.key(0), 2),
    "salt 118": lambda: (jax.random.key(0), 118),
}


def draw(name, function=noise.normal):
    key, salt = KEYS[name]()
    return np.asarray(jax.jit(lambda key: function(key, (N,), salt=salt))(key))


@pytest.fixture(scope="module")
def normals():
    return {name: draw(name).astype(np.float64) for name in KEYS}


@pytest.fixture(scope="module")
def words():
    return {name: draw(name, noise.bits) for name in KEYS}


def lowbias32(x):
    x = (x ^ x >> 16) * 0x7FEB352D % 2**32
    x = (x ^ x >> 15) * 0x846CA68B % 2**32
    return x ^ x >> 16


@pytest.mark.parametrize("salt", [0, 3])
def test_bits_follow_their_definition(salt):
    key = jax.random.key(2**40 + 12345)
    k0, k1 = (int(word) for word in jax.random.key_data(key))
    s = salt * 0x85EBCA6B % 2**32
    wanted = [lowbias32(lowbias32((i * 0x9E3779B9 + k0 + s) % 2**32) ^ k1 ^ s) for i in range(12)]
    np.testing.assert_array_equal(noise.bits(key, (3, 4), salt).ravel(), np.asarray(wanted, np.uint32))


def test_fold_in_follows_its_definition():
    key = jax.random.key(2**40 + 12345)
    k0, k1 = (int(word) for word in jax.random.key_data(key))
    for data in (0, 5, 2**32 - 1):
        first = lowbias32(lowbias32((k0 + data * 0x9E3779B9) % 2**32) ^ k1)
        second = lowbias32(lowbias32((k1 + data * 0x9E3779B9) % 2**32) ^ (k0 + 1) % 2**32)
        np.testing.assert_array_equal(jax.random.key_data(noise.fold_in(key, data)), [first, second])
    assert noise.fold_in(key, "123456789") == noise.fold_in(key, 0xCBF43926)  # the check value of CRC-32


def test_moments(normals):
    for name, z in normals.items():
        assert abs(z.mean()) < 5 / N**0.5, name
        assert abs((z**2).mean() - 1) < 5 * (2 / N) ** 0.5, name
        assert abs((z**3).mean()) < 5 * (15 / N) ** 0.5, name
        assert abs((z**4).mean() - 3) < 5 * (96 / N) ** 0.5, name


def test_distribution(normals):
    p_values = [stats.kstest(z, "norm").pvalue for z in normals.values()]
    # Of a dozen honest tests the smallest p-value is below 1e-4 once in eight hundred times.
    assert min(p_values) > 1e-4, p_values
    assert stats.kstest(draw("seed 0", noise.uniform), "uniform").pvalue > 1e-4
    tail = np.concatenate(list(normals.values()))
    expected = 2 * stats.norm.sf(4) * tail.size
    assert abs(np.sum(np.abs(tail) > 4) - expected) < 5 * expected**0.5


def test_streams_are_independent(normals):
    z = np.stack(list(normals.values()))
    for streams in (z, (z**2 - 1) / 2**0.5):  # standardised
        products = streams @ streams.T / N
        np.fill_diagonal(products, 0)
        assert np.max(np.abs(products)) < 5 / N**0.5, products


def test_indices_are_independent(normals):
    for name in ("seed 0", "chip 1", "purpose 1"):
        z = normals[name]
        for stream in (z, (z**2 - 1) / 2**0.5):
            for lag in (1, 2, 3, 28, 64, 256, 784, 4096):
                assert abs(stream[lag:] @ stream[:-lag]) < 5 * (N - lag) ** 0.5, (name, lag)


def test_every_bit_is_fair_and_changes_fairly(words):
    for name, w in words.items():
        for change in (w, w[1:] ^ w[:-1], w[64:] ^ w[:-64]):
            ones = np.unpackbits(change.view(np.uint8)).reshape(-1, 32).sum(0, dtype=np.int64)
            assert np.max(np.abs(ones - change.size / 2)) < 5 * change.size**0.5 / 2, name


def test_words_of_one_draw_never_repeat(words):
    for name, w in words.items():
        assert len(np.unique(w)) == N, name


def test_streams_do_not_overlap(words):
    """Two windows on one cycle of words would share runs of neighbours; independent ones share single words only."""
    pairs = np.concatenate([(w[:-1].astype(np.uint64) << 32) | w[1:] for w in words.values()])
    pairs.sort()
    assert np.all(pairs[1:] != pairs[:-1])
    shared = len(np.intersect1d(words["seed 0"], words["seed 1"]))
    assert abs(shared - N * N / 2**32) < 5 * N / 2**16


def test_keys_of_purposes_are_all_different():
    key = jax.random.key(3)
    numbers = jax.vmap(lambda i: noise.fold_in(key, i))(jnp.arange(100_000, dtype=jnp.uint32))
    assert len(np.unique(np.asarray(jax.random.key_data(numbers)), axis=0)) == 100_000


def test_inverse_normal_over_the_whole_grid(monkeypatch):
    grid = (np.arange(2**23, dtype=np.float64) + 0.5) * 2.0**-23
    monkeypatch.setattr(noise, "uniform", lambda *_: jnp.asarray(grid, jnp.float32))
    z = np.asarray(noise.normal(jax.random.key(0)), np.float64)
    assert np.max(np.abs(z / special.ndtri(grid) - 1)) < 4e-5
    assert np.all(np.diff(z) > -1e-6)
    assert 5.2 < np.max(np.abs(z)) < 5.3


@pytest.mark.parametrize("word", [0, 2**32 - 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_extreme_words_stay_inside_the_open_interval(word, dtype, monkeypatch, x64):
    monkeypatch.setattr(noise, "bits", lambda key, shape, salt=0: jnp.full(shape, word, jnp.uint32))
    u, z = (f(jax.random.key(0), (1,), dtype)[0] for f in (noise.uniform, noise.normal))
    assert u.dtype == z.dtype == dtype
    assert 0 < u < 1
    assert np.isfinite(z)
    half_step = 2.0**-24 if dtype == np.float32 else 2.0**-53
    assert u == (half_step if word == 0 else 1 - half_step)


def test_a_draw_that_once_held_an_infinity():
    assert np.all(np.isfinite(noise.normal(jax.random.key(7), (20_000,))))


def test_float64(x64):
    key = jax.random.key(5)
    u, z = (np.asarray(f(key, (N,), jnp.float64)) for f in (noise.uniform, noise.normal))
    assert u.dtype == z.dtype == np.float64
    assert np.all(u * 2**53 % 2 == 1)  # odd multiples of 2**-53
    np.testing.assert_allclose(z, special.ndtri(u), rtol=1e-9, atol=1e-13)
    assert stats.kstest(z, "norm").pvalue > 1e-4
    assert abs(z.mean()) < 5 / N**0.5
    # The low word is a stream of its own.
    low = u * 2**26 % 1
    assert stats.kstest(low, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(low, u)[0, 1]) < 5 / N**0.5


def test_float32_does_not_change_with_64_bit_types():
    key = jax.random.key(5)
    narrow = np.asarray(noise.normal(key, (1000,)))
    with jax.enable_x64(True):
        wide = noise.normal(key, (1000,))
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(narrow, wide)


@pytest.mark.parametrize("batch", [1, 3, 12])
def test_draws_do_not_depend_on_the_batch(batch):
    keys = jax.random.split(jax.random.key(1), 12)

    def chip(key):
        return noise.normal(noise.fold_in(key, "write"), (5, 7)), noise.uniform(key, (3,), salt=2)

    one, many = jax.jit(chip), jax.jit(jax.vmap(chip))
    alone = [one(key) for key in keys]
    parts = [many(keys[start : start + batch]) for start in range(0, 12, batch)]
    for leaf, (single, together) in enumerate(zip(zip(*alone, strict=True), zip(*parts, strict=True), strict=True)):
        np.testing.assert_array_equal(np.stack(single), np.concatenate(together), err_msg=str(leaf))


def test_the_shape_only_arranges_the_words():
    key = jax.random.key(1)
    np.testing.assert_array_equal(noise.normal(key, (6, 4)).ravel(), noise.normal(key, (24,)))
    assert noise.normal(key).shape == ()
    assert noise.normal(key, (0, 3)).shape == (0, 3)


def test_bad_input():
    with pytest.raises(ValueError, match=r"at most 2\*\*32 words.*\(65536, 65537\)"):
        noise.bits(jax.random.key(0), (2**16, 2**16 + 1))
    for bad in (jax.random.split(jax.random.key(0), 2), jax.random.PRNGKey(0)):
        with pytest.raises(ValueError, match="one typed key"):
            noise.normal(bad, (2,))
        with pytest.raises(ValueError, match="one typed key"):
            noise.fold_in(bad, "name")
