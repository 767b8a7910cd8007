"""Calibration of columns: exact where nothing is noisy, least squares where it is, and a reader around any reader."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, mitigation
from memjax.mitigation import Seen
from memjax.periphery import converters

ROWS, COLS = 24, 6


@pytest.fixture(scope="module")
def w():
    return jnp.asarray(np.random.default_rng(0).uniform(-0.5, 0.5, (ROWS, COLS)), jnp.result_type(float))


def linear(w, gain, offset, sd=None):
    """A reader of weights w whose columns have gains and offsets."""

    def read(x, power):
        y = jnp.broadcast_to(gain, (1, COLS)) * (x @ w) + jnp.broadcast_to(offset, (1, COLS))
        return Seen(
            y, None if sd is None else sd * jnp.broadcast_to(jnp.sqrt(jnp.sum(power, -1, keepdims=True)), y.shape)
        )

    return read


def test_gain_and_offset_are_recovered_exactly_without_noise(w):
    gain, offset = jnp.linspace(0.6, 1.4, COLS), jnp.linspace(-0.3, 0.2, COLS)
    read, x = linear(w, gain, offset), mitigation.calibration.patterns(w, 3.0)
    found = mitigation.calibration.calibrate(read, x, x @ w, None)
    np.testing.assert_allclose(found.gain, gain, rtol=1e-5)
    np.testing.assert_allclose(found.offset, offset, rtol=1e-5, atol=1e-6)
    inputs = jnp.asarray(np.random.default_rng(1).uniform(size=(5, ROWS)), w.dtype)
    np.testing.assert_allclose(
        mitigation.calibration.calibrated(read, found)(inputs, inputs).value, inputs @ w, atol=1e-5
    )


def test_estimate_is_shrunk_least_squares(w):
    read, x, key = linear(w, 1.2, 0.1, sd=0.1), mitigation.calibration.patterns(w, 3.0), jax.random.key(3)
    found = mitigation.calibration.calibrate(read, x, x @ w, key, idle=4, spread=0.25)
    s = np.asarray(mitigation.calibration._drawn(read(x, x * x), key, "test"), np.float64)
    y = np.asarray(x @ w, np.float64)
    for j in range(COLS):
        (slope, _), left, *_ = np.linalg.lstsq(np.stack([y[:, j], np.ones(len(y))], 1), s[:, j], rcond=None)
        d = ((y[:, j] - y[:, j].mean()) ** 2).sum()
        q = d / (d + left[0] / (len(y) - 2) / 0.25**2)
        assert 0.5 < q < 0.999
        np.testing.assert_allclose(found.gain[j], 1 + q * (slope - 1), rtol=1e-4)
    # An idle read has no read noise: what drives no current fluctuates with none.
    np.testing.assert_allclose(found.offset, 0.1, rtol=1e-5)


def test_a_column_that_never_changes_keeps_its_nominal_gain(w):
    dead = w.at[:, 2].set(0.0)
    x = mitigation.calibration.patterns(dead, 3.0)
    found = mitigation.calibration.calibrate(linear(w, 1.3, 0.0, sd=0.1), x, x @ dead, jax.random.key(0))
    assert found.gain[2] == 1
    assert np.all(np.isfinite(found.gain))


def test_a_dead_column_is_not_divided_by_nothing(w):
    x, gain = mitigation.calibration.patterns(w, 3.0), jnp.ones(COLS).at[1].set(0.0)
    read = linear(w, gain, 0.0)
    seen = mitigation.calibration.calibrated(read, mitigation.calibration.calibrate(read, x, x @ w, None))(x, x)
    np.testing.assert_array_equal(seen.value[:, 1], 0)


def test_programming_errors_hardly_reach_the_estimate(w):
    """Errors of the stored weights enter by their projection on these alone, where an intercept takes their sum."""
    rng = np.random.default_rng(2)
    big = jnp.asarray(rng.normal(0, 0.1, (400, COLS)), w.dtype)
    wrong = big + jnp.asarray(rng.normal(0, 0.02, big.shape), w.dtype)
    x = mitigation.calibration.patterns(big, 100.0)
    found = mitigation.calibration.calibrate(linear(wrong, 1.2, 0.5), x, x @ big, None)
    # sd of w.e / w.w is 0.02 / (0.1 sqrt 400) = 1 %
    assert np.abs(np.asarray(found.gain) / 1.2 - 1).max() < 0.04
    np.testing.assert_allclose(found.offset, 0.5, atol=1e-6)


def test_chips_calibrate_together_and_after_their_converters(w):
    """jit and vmap over chips; an array behind ADCs with spread reads like one behind ideal ones."""
    xbar = crossbar.create(devices.get("exponential"), (ROWS, COLS), 8, x=jnp.stack([0.5 + w / 2, 0.5 - w / 2]))
    unit = xbar.v_read * crossbar.conductance_range(xbar)
    nominal = converters.ADC(low=-12 * unit, high=12 * unit, bits=14)
    inputs = jnp.asarray(np.random.default_rng(1).uniform(size=(7, ROWS)), w.dtype)

    @jax.jit
    @jax.vmap
    def chip(key):
        adc = converters.sample(nominal, COLS, key, gain=0.2, offset=0.2 * unit)
        read, x = mitigation.reader(xbar, adc=adc), mitigation.calibration.patterns(w, 6.0)
        fixed = mitigation.calibration.calibrated(read, mitigation.calibration.calibrate(read, x, x @ w, None))
        return read(inputs, inputs).value, fixed(inputs, inputs).value

    bare, fixed = chip(jax.random.split(jax.random.key(0), 3))
    ideal = np.asarray(inputs @ w)
    before, after = (np.sqrt(np.mean((np.asarray(y) - ideal[None]) ** 2, axis=(1, 2))) for y in (bare, fixed))
    assert np.all(before > 0.1)
    assert np.all(after < 3 * 24 / 2**14)


def test_a_readers_noise_passes_its_converter_and_its_correction(w):
    xbar = crossbar.create(devices.get("exponential"), (ROWS, COLS), 8)
    unit = xbar.v_read * crossbar.conductance_range(xbar)
    adc = converters.ADC(low=-12 * unit, high=12 * unit, gain=jnp.linspace(-0.2, 0.2, COLS))
    x = jnp.ones((1, ROWS), w.dtype)
    bare, seen = (mitigation.reader(xbar, 0.02, adc=a)(x, x * x).sd for a in (None, adc))
    np.testing.assert_allclose(seen, np.asarray(bare) * (1 + np.asarray(adc.gain)), rtol=1e-6)
    found = mitigation.calibration.Calibration(gain=1 + adc.gain, offset=jnp.zeros(COLS))
    fixed = mitigation.calibration.calibrated(mitigation.reader(xbar, 0.02, adc=adc), found)(x, x * x)
    np.testing.assert_allclose(fixed.sd, bare, rtol=1e-6)


def test_patterns_are_the_largest_outputs_within_the_range(w):
    x = np.asarray(mitigation.calibration.patterns(w, 1.5))
    assert x.shape == (2 * COLS, ROWS)
    assert x.min() == 0
    y = x @ np.asarray(w)
    assert np.abs(y).max() <= 1.5 + 1e-5
    on = x / x.max(axis=1, keepdims=True)
    np.testing.assert_array_equal(on[:COLS].T, np.asarray(w) > 0)
    np.testing.assert_array_equal(mitigation.calibration.patterns(w, 1.5, every=3)[:2], x[[0, 3]])


def test_cost_counts_devices_and_conversions(w):
    xbar = crossbar.create(devices.get("exponential"), (ROWS, COLS), 8)
    x = mitigation.calibration.patterns(w, 3.0)
    spent = mitigation.calibration.cost(xbar, x, idle=5)
    assert int(spent.mac) == 2 * COLS * int((np.asarray(x) > 0).sum())
    assert int(spent.adc) == (2 * COLS + 5) * COLS
    assert int(spent.read) == 2 * (2 * COLS + 5) * COLS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": jnp.ones((2, ROWS))}, "3 or more"),
        ({"wanted": jnp.ones((4, COLS + 1)), "x": jnp.ones((4, ROWS))}, "accepted is one shape"),
        ({"idle": 0}, "1 or more"),
        ({"read": linear(jnp.ones((ROWS, COLS)), 1.0, 0.0, sd=0.1)}, "give a key"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(w, change, message):
    x = mitigation.calibration.patterns(w, 3.0)
    given = {"read": linear(w, 1.0, 0.0), "x": x, "wanted": x @ w, "key": None} | change
    with pytest.raises(ValueError, match=message):
        mitigation.calibration.calibrate(**given)
