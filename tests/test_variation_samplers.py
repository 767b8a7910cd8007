"""Samplers at a million draws: mean, sd and correlation length within five standard errors of the draws that were made.

The standard error of a covariance of a Gaussian field comes from Isserlis's theorem, with the field's own covariance.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from memjax import monte_carlo, noise, variation
from memjax.variation import Spread

N = 1 << 20
SHAPE = (2, 1024, 512)


def chips(draw, n, seed=0):
    """Return draw(key) of n chips, [n, ...] in float64."""
    return np.asarray(jax.jit(jax.vmap(draw))(monte_carlo.chip_keys(jax.random.key(seed), n)), np.float64)


# --- distributions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.05, 0.4])
def test_truncated_normal_has_the_mean_and_the_spread_it_says(sigma):
    values = np.asarray(variation.factor(Spread(sigma, "truncated"), SHAPE, jax.random.key(0)), np.float64)
    t = stats.truncnorm(-2, 2)
    kurtosis = t.stats("k") + 3
    assert abs(values.mean() - 1) < 5 * sigma / N**0.5
    assert abs(values.var() / sigma**2 - 1) < 5 * np.sqrt((kurtosis - 1) / N)
    assert stats.kstest((values.ravel()[:200_000] - 1) / sigma * t.std(), t.cdf).pvalue > 1e-4
    assert values.min() > 0
    assert np.abs(values - 1).max() <= 2 / t.std() * sigma * 1.0001


@pytest.mark.parametrize("distribution", variation.DISTRIBUTIONS)
def test_what_devices_share_changes_neither_mean_nor_spread(distribution):
    """Over chips: 16384 of 64 devices each, whose means vary with the part that a chip has in common."""
    spread = Spread(0.2, distribution, die=0.3, patch=0.3, length=2.0)
    values = chips(lambda key: variation.factor(spread, (8, 8), key), N // 64)
    of_chips = values.mean(axis=(1, 2))
    assert abs(of_chips.mean() - 1) < 5 * of_chips.std() / len(of_chips) ** 0.5
    squares = np.square(values - 1).mean(axis=(1, 2))
    assert abs(squares.mean() - 0.04) < 5 * squares.std() / len(squares) ** 0.5
    # A device by itself is the distribution that it would be without company.
    alone = np.asarray(variation.factor(Spread(0.2, distribution), (len(values),), jax.random.key(9)))
    assert stats.ks_2samp(values[:, 3, 5], alone).pvalue > 1e-4


def test_die_to_die_and_within_die_have_their_shares():
    n, devices = 4096, 256
    xi = chips(lambda key: variation.deviate(Spread(0.1, die=0.3), (16, 16), key), n).reshape(n, devices)
    between, within = xi.mean(axis=1).var(), xi.var(axis=1, ddof=1).mean()
    assert abs(between / (0.3 + 0.7 / devices) - 1) < 5 * (2 / n) ** 0.5
    assert abs(within / 0.7 - 1) < 5 * (2 / N) ** 0.5


def test_arrays_of_one_chip_share_its_die():
    spread, die = {"a": Spread(0.2, "normal", die=1.0)}, jax.random.key(5)

    class Params:
        def __init__(self, a=1.0):
            self.a = a

        def replace(self, a):
            return Params(a)

    keys = jax.random.split(jax.random.key(0))
    one, two = (variation.sample_params(Params(), spread, (3, 4), key, die).a for key in keys)
    np.testing.assert_array_equal(one, two)
    assert np.ptp(one) == 0
    alone = variation.sample_params(Params(), spread, (3, 4), keys[0]).a
    assert alone[0, 0] != one[0, 0]


def test_shares_of_zero_leave_every_draw_alone():
    plain = variation.factor(Spread(0.2), (64,), jax.random.key(0))
    traced = jax.jit(lambda s: variation.factor(Spread(0.2, die=s, patch=s, length=3.0), (8, 8), jax.random.key(0)))
    np.testing.assert_allclose(np.ravel(traced(0.0)), plain, rtol=1e-6)


# --- fields -----------------------------------------------------------------------------------------------------------


def covariance(name, length):
    if name == "exponential":
        return lambda i, j: np.exp(-np.hypot(i, j) / length)
    return lambda i, j: np.exp(-(i**2 + j**2) / (2 * length**2))


def standard_error(c, lag, shape, fields):
    """Sd of the mean of f(x) f(x + lag) over the pairs of a grid, of so many fields of covariance c."""
    n = [size - step for size, step in zip(shape, lag, strict=True)]
    i, j = (np.arange(1 - size, size) for size in n)
    pairs = ((n[0] - np.abs(i))[:, None] * (n[1] - np.abs(j))[None, :]) / (n[0] * n[1]) ** 2
    i, j = i[:, None], j[None, :]
    terms = c(i, j) ** 2 + c(i + lag[0], j + lag[1]) * c(i - lag[0], j - lag[1])
    return np.sqrt(np.sum(pairs * terms) / fields)


@pytest.mark.parametrize("name, length", [("exponential", 3.0), ("exponential", 12.0), ("gaussian", 8.0)])
def test_a_field_has_the_correlation_length_it_says(name, length):
    shape, n = (64, 128), N // (64 * 128)
    fields = chips(lambda key: variation.correlated_field(shape, length, key, name), n)
    c = covariance(name, length)
    assert abs(fields.mean()) < 5 * np.sqrt(
        sum(
            c(i, j) * (1 - abs(i) / shape[0]) * (1 - abs(j) / shape[1])
            for i in range(1 - shape[0], shape[0])
            for j in range(1 - shape[1], shape[1])
        )
        / (fields[0].size * n)
    )
    step = int(length)
    for lag in [(0, 0), (0, 1), (step, 0), (0, step), (step, step), (0, 2 * step)]:
        here, there = fields[:, : shape[0] - lag[0], : shape[1] - lag[1]], fields[:, lag[0] :, lag[1] :]
        assert abs((here * there).mean() - c(*lag)) < 5 * standard_error(c, lag, shape, n), lag
    # The same in terms of the length that the covariance at that lag stands for.
    found, error = (fields[:, :, :-step] * fields[:, :, step:]).mean(), 5 * standard_error(c, (0, step), shape, n)
    low, estimate, high = (
        step / -np.log(x) if name == "exponential" else step / np.sqrt(-2 * np.log(x))
        for x in (c(0, step) - error, found, c(0, step) + error)
    )
    assert low < estimate < high
    assert high / low < 2  # sharp enough to tell a length from twice that


def test_a_field_longer_than_its_array_keeps_its_variance():
    n = 1 << 14
    for name, worst in (("exponential", 0.03), ("gaussian", 0.13)):
        fields = chips(lambda key, name=name: variation.correlated_field((8, 8), 16.0, key, name), n)
        c = covariance(name, 16.0)
        assert abs(fields[:, 2, 5].var() - 1) < 5 * (2 / n) ** 0.5
        assert abs((fields[:, 0, 0] * fields[:, 7, 7]).mean() - c(7, 7)) < worst + 5 * (2 / n) ** 0.5


def test_a_field_of_no_length_is_white_and_lengths_are_traced():
    traces = []

    @jax.jit
    def draw(length):
        traces.append(length)
        return variation.correlated_field((256, 256), length, jax.random.key(0))

    white, smooth = (np.asarray(draw(length), np.float64) for length in (0.0, 5.0))
    assert len(traces) == 1
    assert abs((white[:, 1:] * white[:, :-1]).mean()) < 5 / 256
    assert (smooth[:, 1:] * smooth[:, :-1]).mean() > 0.7


def test_devices_of_a_pair_share_their_patch():
    draw = jax.jit(lambda key: variation.deviate(Spread(0.1, patch=1.0, length=4.0), (2, 16, 16), key))
    xi = draw(jax.random.key(0))
    np.testing.assert_array_equal(xi[0], xi[1])


def test_fields_in_x64(x64):
    for dtype in (None, jnp.float32):
        draw = partial(variation.correlated_field, (4, 6), 2.0, dtype=dtype)
        assert jax.eval_shape(draw, jax.random.key(0)).dtype == (dtype or np.float64)


# --- lines and lives --------------------------------------------------------------------------------------------------


def test_dead_lines_have_their_shares_and_their_shapes():
    shape, tile, n = (2, 100, 70), (32, 32), 512
    key = jax.random.key(0)
    word, bit, driver = (
        chips(lambda key, p=p: variation.sample_lines(shape, tile, *p, key), n)
        for p in ((0.1, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, 0.0, 0.05))
    )
    # Lines of the tiles at the edge are shorter, and count for less.
    of_word, of_bit = 100 * 70**2 / (32**2 + 32**2 + 6**2), 2 * 70 * 100**2 / (3 * 32**2 + 4**2)
    for faults, lines, share in ((word, of_word, 0.1), (bit, of_bit, 0.2), (driver, 100, 0.05)):
        assert set(np.unique(faults)) == {-1.0, 0.0}
        assert abs(-faults.mean() - share) < 5 * np.sqrt(share * (1 - share) / (n * lines))
    # A word line is one row of a tile in both polarities; a bit line one column of one.
    np.testing.assert_array_equal(word[:, 0], word[:, 1])
    assert np.all(np.ptp(word[:, :, :, :32], axis=3) == 0)
    assert np.any(word[:, :, :, 31] != word[:, :, :, 32])
    assert np.all(np.ptp(bit[:, :, 32:64], axis=2) == 0)
    assert np.any(bit[:, 0] != bit[:, 1])
    assert np.all(np.ptp(driver, axis=3) == 0)
    assert not np.asarray(variation.sample_lines(shape, tile, 0.0, 0.0, 0.0, key)).any()


@pytest.mark.parametrize("shape, tile", [((2, 64, 64), (32, 16)), ((2, 50, 37), (16, 16)), ((1, 5, 3), (8, 8))])
def test_one_line_a_tile_is_one_line_a_tile(shape, tile):
    key = jax.random.key(3)
    dead = {
        kind: -np.asarray(jax.jit(lambda key, kind=kind: variation.one_line_a_tile(shape, tile, kind, key))(key))
        for kind in ("word", "bit", "driver")
    }
    for i in range(0, shape[1], tile[0]):
        for j in range(0, shape[2], tile[1]):
            word, bit = (dead[kind][:, i : i + tile[0], j : j + tile[1]] for kind in ("word", "bit"))
            np.testing.assert_array_equal(word[0], word[-1])
            assert word[0].any(axis=1).sum() == 1
            assert word[0].all(axis=1).sum() == 1
            assert bit.any(axis=1).sum() == bit.all(axis=1).sum() == 1
        rows = dead["driver"][:, i : i + tile[0]]
        assert rows.any(axis=(0, 2)).sum() == rows.all(axis=(0, 2)).sum() == 1


def test_every_line_may_be_the_one():
    dead = chips(lambda key: variation.one_line_a_tile((2, 4, 3), (4, 3), "bit", key), 6000)
    counts = -dead[:, :, 0].sum(axis=0).ravel()
    assert np.all(np.abs(counts - 1000) < 5 * np.sqrt(1000 * 5 / 6))


def test_lives_follow_weibull():
    lives = np.asarray(variation.sample_lives((N,), 1e6, 1.7, jax.random.key(0)), np.float64)
    law = stats.weibull_min(1.7, scale=1e6)
    assert abs(lives.mean() - law.mean()) < 5 * law.std() / N**0.5
    assert abs(lives.var() / law.var() - 1) < 5 * np.sqrt((law.stats("k") + 2) / N)
    assert stats.kstest(lives[:200_000], law.cdf).pvalue > 1e-4
    assert np.isinf(variation.sample_lives((3,), np.inf, 1.7, jax.random.key(0))).all()


def test_the_first_fault_stays():
    one, two = jnp.asarray([1, 0, -1, 0], jnp.int8), jnp.asarray([-1, -1, 1, 0], jnp.int8)
    np.testing.assert_array_equal(variation.merge_faults(one, None, two), [1, -1, -1, 0])
    np.testing.assert_array_equal(variation.merge_faults(None, two), two)
    assert variation.merge_faults(None, None) is None


# --- wrong seeds ------------------------------------------------------------------------------------------------------


def draws_of(key):
    """Everything that is drawn of a chip, [purpose, device]."""
    shape = (64, 64)
    spread = Spread(0.2, "normal")
    draws = (
        variation.deviate(spread, shape, variation.named_key(key, "a")),
        variation.deviate(spread, shape, variation.named_key(key, "b")),
        variation.correlated_field(shape, 0.0, variation.named_key(key, "patch")),
        variation.sample_stuck(shape, 0.5, 0.0, key),
        noise.uniform(variation.named_key(key, "lives"), shape),
        noise.normal(noise.fold_in(key, "evaluate"), shape),
    )
    return jnp.stack([draw.astype(jnp.float32).ravel() for draw in draws])


def test_purposes_and_chips_are_independent_and_reuse_shows():
    n = 32
    draws = chips(draws_of, n).reshape(n * 6, -1)
    size = draws.shape[1]
    # Six standard errors: eighteen thousand pairs are looked at.
    away = np.abs(np.corrcoef(draws) - np.eye(n * 6))
    assert away.max() < 6 / size**0.5
    # The same look finds a key that was used for two purposes.
    twice = [variation.deviate(Spread(0.1), (size,), jax.random.key(0)), noise.normal(jax.random.key(0), (size,))]
    assert abs(np.corrcoef(np.asarray(twice))[0, 1]) > 0.99


def test_identical_chips_are_found():
    def draw(key):
        return {"a": variation.factor(Spread(0.1), (5, 7), key), "nominal": jnp.full((3,), 2.0)}

    draws, keys = jax.jit(jax.vmap(draw)), monte_carlo.chip_keys(jax.random.key(0), 6)
    good = draws(keys)
    variation.require_different(good)
    with pytest.raises(ValueError, match="all 6 chips are identical"):
        variation.require_different(draws(keys[jnp.zeros(6, int)]))
    with pytest.raises(ValueError, match="chips 1 and 4 are identical in draw 0"):
        variation.require_different(draws(keys[jnp.asarray([0, 1, 2, 3, 1, 5])]))
    with pytest.raises(ValueError, match="at least 2 chips"):
        variation.require_different(good["a"][:1])


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda k: variation.factor(Spread(0.5, "truncated"), (3,), k), "= 0.5: accepted is less than 0.44"),
        (lambda k: variation.factor(Spread(0.1, die=0.6, patch=0.5), (3, 3), k), "add up to at most 1"),
        (lambda k: variation.factor(Spread(0.1, die=-0.1), (3, 3), k), "die = -0.1 and patch = 0.0"),
        (lambda k: variation.factor(Spread(0.1, patch=0.5, length=-1.0), (3, 3), k), "length of sigma = -1.0"),
        (lambda k: variation.factor(Spread(0.1, patch=0.5), (3,), k), r"shape \(3,\): accepted are two axes or more"),
        (lambda k: variation.correlated_field((3, 3), 1.0, k, "matern"), "covariance = 'matern'"),
        (lambda k: variation.sample_lines((2, 3, 3), (2, 2), 1.5, 0.0, 0.0, k), "word = 1.5: accepted is 0 to 1"),
        (lambda k: variation.one_line_a_tile((2, 3, 3), (2, 2), "row", k), "line 'row': accepted is one of word, bit"),
        (lambda k: variation.sample_lives((3,), 0.0, 1.0, k), "scale of lives = 0.0: accepted is more than 0"),
    ],
)  # fmt: skip
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call(jax.random.key(0))
