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
    return drift.factors(then, now, known, reference=rho, per=per)


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


def test_the_factors_are_the_least_squares_ones(x64):
    rng = np.random.default_rng(3)
    then, now, known = rng.normal(size=(5, 4)), rng.normal(size=(5, 4)), rng.uniform(size=(5, 7))
    a, b = (v + 0.7 * known.sum(1, keepdims=True) for v in (then, now))
    arguments = [jnp.asarray(v) for v in (then, now, known)]
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


def test_read_noise_of_the_measurement_falls_with_the_inputs():
    before = array(0.05)
    after = crossbar.relax(before, 1e6)
    exact = float((1 + 1e6 / 20) ** -0.05)

    def spread(k):
        known = inputs(k)
        then = drift.measure(mitigation.reader(before, 0.05), known)

        def one(key):
            return drift.factors(then, drift.measure(mitigation.reader(after, 0.05), known, key), known)

        return np.std(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 400)) - exact)

    assert spread(16) < 0.35 * spread(1)  # 1 / 4, within 5 standard errors


def test_its_cost_is_that_of_the_reads():
    xbar, known = array(0.05), inputs(3).at[0, 5].set(0.0)
    counts = energy.total(drift.cost(xbar, known))
    assert counts["mac"] == 2 * (3 * ROWS - 1) * COLS
    assert counts["read"] == 2 * 3 * COLS


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="per = 'tile': accepted is one of array, column"):
        drift.factors(jnp.ones((1, 2)), jnp.ones((1, 2)), jnp.ones((1, 3)), per="tile")
