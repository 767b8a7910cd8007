"""Drift compensation: exact for one exponent, blind for a spread of it; around other readers, and after refresh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, energy, mitigation, programming
from memjax.mitigation import drift_compensation as drift
from memjax.mitigation import refresh

INNER = devices.get("exponential")
DRIFTING = devices.with_drift(INNER)
ROWS, COLS = 40, 6


def array(nu, polarity=2):
    x = np.random.default_rng(0).uniform(0.1, 0.9, (polarity, ROWS, COLS))
    nu, x = (jnp.asarray(value, jnp.result_type(float)) for value in (nu, x))
    params = DRIFTING.Params(nu=nu, t0=20.0)
    return crossbar.create(DRIFTING, (ROWS, COLS), 16, polarity=polarity, params=params, x=x)


def inputs(k, seed=1):
    return jnp.asarray(np.random.default_rng(seed).uniform(0, 1, (k, ROWS)), jnp.result_type(float))


def left(before, after, per, rho=0.0, known=None):
    known = inputs(8) if known is None else known
    then, now = (drift.measure(mitigation.reader(xbar), known) for xbar in (before, after))
    return drift.factors(then, then, now, known, reference=rho, per=per)


@pytest.mark.parametrize("per", drift.PER)
@pytest.mark.parametrize("polarity", [1, 2])
def test_one_exponent_is_undone_exactly(polarity, per):
    """Of pairs, and of single devices whose reference column does not drift with them."""
    before = array(0.05, polarity)
    after, rho = crossbar.relax(before, 1e6), drift.reference(before)
    d = left(before, after, per, rho)
    np.testing.assert_allclose(d, (1 + 1e6 / 20) ** -0.05, rtol=1e-4)
    x = inputs(3, seed=2)
    seen = drift.compensate(mitigation.reader(after, 0.02), d, reference=rho)(x, x * x)
    bare = mitigation.reader(before, 0.02)(x, x * x)
    np.testing.assert_allclose(seen.value, bare.value, atol=2e-3)
    lost = mitigation.reader(after)(x, x * x).value - bare.value
    assert np.abs(lost).max() > 0.5
    np.testing.assert_allclose(
        seen.sd, np.asarray(bare.sd) / np.asarray(d), rtol=1e-5
    )  # noise is read noise of the range: it does not drift


def test_without_noise_the_factors_are_the_least_squares_ones(x64):
    rng = np.random.default_rng(3)
    then, now, known = rng.normal(size=(5, 4)), rng.normal(size=(5, 4)), rng.uniform(size=(5, 7))
    a, b = (v + 0.7 * known.sum(1, keepdims=True) for v in (then, now))
    arguments = [jnp.asarray(v) for v in (then, then, now, known)]
    one = np.linalg.lstsq(a.reshape(-1, 1), b.ravel(), rcond=None)[0][0]
    each = [np.linalg.lstsq(a[:, [j]], b[:, j], rcond=None)[0][0] for j in range(4)]
    np.testing.assert_allclose(drift.factors(*arguments, reference=0.7), one, rtol=1e-12)
    np.testing.assert_allclose(drift.factors(*arguments, reference=0.7, per="column"), each, rtol=1e-12)


def test_columns_of_their_own_exponent_need_factors_of_their_own():
    nu = np.broadcast_to(np.linspace(0.01, 0.1, COLS), (1, ROWS, COLS))
    before = array(nu, 1)
    after, rho = crossbar.relax(before, 1e4), drift.reference(before)
    x = inputs(5, seed=2)
    want = mitigation.reader(before)(x, x * x).value

    def error(per):
        d = left(before, after, per, rho)
        return np.abs(drift.compensate(mitigation.reader(after), d, reference=rho)(x, x * x).value - want).max()

    assert error("column") < 2e-3 < 1.0 < error("array")


def test_a_spread_within_columns_is_not_seen_and_refresh_takes_it_away():
    """What one factor leaves of a spread is that of the devices' own factors about it; after a refresh it is small."""
    nu = 0.05 * np.random.default_rng(4).lognormal(0, 0.5, (2, ROWS, COLS))
    before = array(nu)
    after, x = crossbar.relax(before, 1e6), inputs(200, seed=2)
    d = left(before, after, "array")
    want = mitigation.reader(before)(x, x * x).value

    def error(xbar, d):
        return np.sqrt(np.mean(np.square(drift.compensate(mitigation.reader(xbar), d)(x, x * x).value - want)))

    g = np.asarray(crossbar.conductance(before), np.float64)
    own = (1 + 1e6 / 20) ** -nu / float(d) - 1
    unit = float(crossbar.conductance_range(before))
    expected = np.asarray(x) @ ((g * own)[0] - (g * own)[1]) / unit
    np.testing.assert_allclose(error(after, d), np.sqrt(np.mean(expected**2)), rtol=1e-3)
    params = programming.write_verify.Params(1 / 64)
    fresh, _, _ = jax.jit(refresh.refresh)(params, after, crossbar.weights(before), 1e-8, None)
    kept = error(crossbar.relax(fresh, 60.0), left(before, crossbar.relax(fresh, 60.0), "array"))
    assert kept < 0.3 * error(after, d)


@pytest.mark.parametrize("nu", [0.0, 0.05])
def test_read_noise_of_the_measurement_does_not_bias_it(nu):
    """Pairs of small weights at 5 % read noise, s^2 about 2 <A^2>: one first read would give a third of d.

    The mean over measurements is d to second order in what is left of the noise, and their spread has the closed form.
    """
    n, sigma, known = 400, 0.05, inputs(16)
    w = 0.05 * np.random.default_rng(5).normal(size=(ROWS, 300))
    x, params = 0.5 + np.stack([w, -w]) / 2, DRIFTING.Params(nu=jnp.asarray(nu, jnp.result_type(float)), t0=20.0)
    before = crossbar.create(DRIFTING, w.shape, 16, params=params, x=jnp.asarray(x, params.nu.dtype))
    after, exact = crossbar.relax(before, 1e6), (1 + 1e6 / 20) ** -nu
    fresh, old = (mitigation.reader(xbar, sigma) for xbar in (before, after))

    def one(key):
        first, second, now = (
            drift.measure(read, known, own)
            for read, own in zip((fresh, fresh, old), jax.random.split(key, 3), strict=True)
        )
        return drift.factors(first, second, now, known), drift.factors(first, first, now, known)

    two, single = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), n))
    seen = fresh(known, known * known)
    power, s2 = np.sum(np.square(seen.value), dtype=float), np.mean(np.square(seen.sd), dtype=float)
    share = s2 * seen.value.size / power
    sd = np.sqrt(s2 * (1 + exact**2 / 2 + share * (0.5 + exact**2)) / power)
    np.testing.assert_allclose(np.std(two), sd, rtol=5 / np.sqrt(2 * n) + 0.05)
    np.testing.assert_allclose(np.mean(two), exact, atol=5 * sd / np.sqrt(n) + sd**2)
    np.testing.assert_allclose(np.mean(single), exact / (1 + share), rtol=0.02)


def test_what_shows_nothing_above_its_noise_is_left_alone():
    """A column of zeros takes the array's factor, in place of 0 / 0; an array of zeros 1, with noise or without."""
    after, before = (crossbar.relax(array(0.05), time) for time in (1e6, 0.0))
    known, keys = inputs(8), jax.random.split(jax.random.key(0), 3)
    first, second, now = (
        drift.measure(mitigation.reader(xbar, 0.02), known, key)
        for xbar, key in zip((before, before, after), keys, strict=True)
    )
    d = drift.factors(*(v.at[:, 2].set(0.0) for v in (first, second, now)), known, per="column")
    np.testing.assert_array_equal(d[2], drift.factors(*(v.at[:, 2].set(0.0) for v in (first, second, now)), known))
    assert np.all(d[np.arange(COLS) != 2] != d[2])
    middle = crossbar.create(INNER, (ROWS, COLS), 16)
    for sigma in (None, 0.02):
        zeros = [drift.measure(mitigation.reader(middle, sigma), known, key) for key in keys]
        for per in drift.PER:
            np.testing.assert_array_equal(drift.factors(*zeros, known, per=per), 1.0)


def test_the_reference_is_the_readers_with_stuck_devices_too():
    faults = np.where(np.random.default_rng(6).uniform(size=(1, ROWS, COLS)) < 0.2, 1, 0).astype(np.int8)
    xbar = crossbar.create(INNER, (ROWS, COLS), 16, polarity=1, faults=jnp.asarray(faults))
    x = inputs(3)
    v, w = (np.asarray(a, np.float64) for a in (x, crossbar.conductance(xbar)[0] / crossbar.conductance_range(xbar)))
    taken_off = 2 * v @ w - mitigation.reader(xbar)(x, x * x).value
    rho = float(drift.reference(xbar))
    np.testing.assert_allclose(taken_off, np.broadcast_to(rho * v.sum(1, keepdims=True), (3, COLS)), rtol=1e-5)
    nominal = INNER.Params()
    assert rho == pytest.approx((nominal.g_max + nominal.g_min) / (nominal.g_max - nominal.g_min), rel=1e-5)


def test_its_cost_is_that_of_the_reads():
    xbar, known = array(0.05), inputs(3).at[0, 5].set(0.0)
    counts = energy.total(drift.cost(xbar, known))
    assert counts["mac"] == 2 * (3 * ROWS - 1) * COLS
    assert counts["read"] == 2 * 3 * COLS


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="per = 'tile': accepted is one of array, column"):
        drift.factors(*[jnp.ones((1, 2))] * 3, jnp.ones((1, 3)), per="tile")
