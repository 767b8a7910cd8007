"""Inverse mapping: exact for pure gains, the filter against a plain loop, and what it costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, mitigation, programming

EXPONENTIAL = devices.get("exponential")
ROWS, COLS = 10, 6


@pytest.fixture(scope="module")
def case():
    """Fine steps, so that whole pulses do not matter; gains of g_max alone."""
    rng = np.random.default_rng(0)
    nominal = EXPONENTIAL.Params(g_min=0.0, step_up=1e-3, step_down=1e-3, beta_up=0.0, beta_down=0.0)
    stairs = programming.staircase(EXPONENTIAL, nominal, most=1100)
    gain = rng.lognormal(0, 0.4, (2, ROWS, COLS))
    params = nominal.replace(g_max=jnp.asarray(1e-4 * gain / gain.mean(), jnp.result_type(float)))
    xbar = crossbar.create(EXPONENTIAL, (ROWS, COLS), 4, params=params)
    target = jnp.asarray(rng.uniform(-0.4, 0.4, (ROWS, COLS)), jnp.result_type(float))
    return stairs, xbar, target, gain / gain.mean()


def test_pure_gains_are_measured_and_inverted(case):
    """Without noise one read gives r / a = k and one train brings every weight, whatever its gains."""
    stairs, xbar, target, gain = case
    params = mitigation.inverse.Inverse(passes=2, c2c=1e-6, tolerance=1e-3)
    made, asked, events = jax.jit(mitigation.inverse.map_inverse)(params, stairs, xbar, target, 1e-8, None)
    reach = np.abs(np.asarray(target)) < gain.min(axis=0) * 0.9
    assert reach.mean() > 0.6
    assert not np.any(np.asarray(asked.failed) & reach)
    np.testing.assert_allclose(np.asarray(crossbar.weights(made))[reach], np.asarray(target)[reach], atol=2e-3)
    np.testing.assert_allclose(asked.gain, gain, rtol=1e-2)
    bare = programming.open_loop(stairs, xbar, *_pairs(target), 1e-8, None)[0]
    assert np.sqrt(np.mean((np.asarray(crossbar.weights(bare)) - np.asarray(target)) ** 2)) > 0.1


def test_a_partner_gives_what_a_device_lacks(case):
    """Gains of 8/9 and 10/9 of the mean. From the middle, w = 0.8 asks g+ for more than its range: g- falls."""
    stairs, xbar, _, _ = case
    params = xbar.params.replace(g_max=1e-4 * jnp.ones((2, ROWS, COLS)).at[0].set(0.8))
    xbar = crossbar.create(EXPONENTIAL, (ROWS, COLS), params=params)
    target = jnp.full((ROWS, COLS), 0.8)
    made, asked, _ = mitigation.inverse.map_inverse(
        mitigation.inverse.Inverse(passes=3, c2c=1e-6), stairs, xbar, target, 1e-8, None
    )
    assert not np.any(asked.failed)
    np.testing.assert_allclose(crossbar.weights(made), 0.8, atol=0.02)
    np.testing.assert_allclose(asked.position[0], 1.0)
    np.testing.assert_allclose(asked.position[1], (8 / 9 - 0.8) / (10 / 9), atol=0.01)


def test_noisy_passes_are_those_of_a_plain_loop(case):
    """A loop over devices in NumPy that reads, filters, asks and pulses as the module says, with the same noise."""
    from memjax import noise

    stairs, xbar, target, gain = case
    params = mitigation.inverse.Inverse(read_noise=0.02, reads=2, passes=3, tolerance=0.01, d2d=0.4, c2c=0.03)
    key = jax.random.key(4)
    made, asked, events = mitigation.inverse.map_inverse(params, stairs, xbar, target, 1e-8, key)
    shape, sd = (2, ROWS, COLS), 0.02 / 2**0.5
    x, a, k, p = np.full(shape, 0.5), np.full(shape, 0.5), np.ones(shape), np.full(shape, 0.16)
    still, pulses, verifies = np.ones((ROWS, COLS), bool), 0, 0
    for number in range(4):
        drawn = noise.normal(noise.fold_in(noise.fold_in(key, "read"), number), shape, target.dtype)
        r = gain * x + sd * np.asarray(drawn, np.float64)
        verifies += 4 * still.sum()
        e = np.asarray(target, np.float64) - (r[0] - r[1])
        if number == 3:
            failed = still & (np.abs(e) > 0.02)
            break
        for i, j in np.ndindex(ROWS, COLS):
            if not still[i, j]:
                continue
            for s in (0, 1):
                rest = p[s, i, j] * a[s, i, j]
                g = rest / (rest * a[s, i, j] + sd**2 + 0.03**2)
                k[s, i, j] += g * (r[s, i, j] - k[s, i, j] * a[s, i, j])
                p[s, i, j] *= 1 - g * a[s, i, j]
            if abs(e[i, j]) <= 0.02:
                still[i, j] = False
                continue
            d = np.array([e[i, j] / 2, -e[i, j] / 2])
            new = np.clip(a[:, i, j] + d / k[:, i, j], 0, 1)
            lacks = d - k[:, i, j] * (new - a[:, i, j])
            lack = lacks[0] - lacks[1]
            new = np.clip(new + np.array([lack, -lack]) / k[:, i, j], 0, 1)
            n = np.round((new - a[:, i, j]) / 1e-3)
            pulses += int(np.abs(n).sum())
            x[:, i, j] = np.clip(x[:, i, j] + 1e-3 * n, 0, 1)
            a[:, i, j] = new
    np.testing.assert_allclose(asked.gain, k, rtol=1e-3)
    np.testing.assert_allclose(asked.position, a, atol=1e-3)
    np.testing.assert_array_equal(asked.failed, failed)
    assert int(events.verify) == verifies
    assert abs(int(events.pulse) - pulses) <= 0.002 * pulses  # a count may round either way
    np.testing.assert_allclose(crossbar.weights(made), gain[0] * x[0] - gain[1] * x[1], atol=5e-3)


def test_single_ended_devices_and_chips_side_by_side():
    """Polarity 1 has no partner; vmap over chips with different gains brings each of them."""
    nominal = EXPONENTIAL.Params(g_min=0.0, step_up=1e-3, step_down=1e-3, beta_up=0.0, beta_down=0.0)
    stairs = programming.staircase(EXPONENTIAL, nominal, most=1100)
    target = jnp.full((4, 3), 0.6)

    def chip(gain):
        params = nominal.replace(g_max=1e-4 * gain * jnp.ones((1, 4, 3)))
        xbar = crossbar.create(EXPONENTIAL, (4, 3), polarity=1, params=params)
        made, _, events = mitigation.inverse.map_inverse(
            mitigation.inverse.Inverse(passes=2, c2c=1e-6, tolerance=1e-4), stairs, xbar, target, 1e-8, None
        )
        return crossbar.conductance(made) / (1e-4 * gain), events.verify

    x, verify = jax.vmap(chip)(jnp.asarray([0.7, 1.0, 1.4]))
    # The mean range is the chip's own: all of its devices share this gain, and none is left to correct.
    np.testing.assert_allclose(x, 0.6, atol=1e-3)
    assert np.all(np.asarray(verify) <= 3 * 12)


def test_stuck_devices_do_not_move_the_healthy_ones_of_a_single_ended_array():
    """A foot that was a mean with the stuck-on devices left the healthy weights above their target by their share."""
    nominal = EXPONENTIAL.Params(step_up=1e-3, step_down=1e-3, beta_up=0.0, beta_down=0.0)
    faults = (np.random.default_rng(1).uniform(size=(1, 10, 10)) < 0.1).astype(np.int8)
    assert faults.any()
    xbar = crossbar.create(EXPONENTIAL, (10, 10), polarity=1, params=nominal, faults=jnp.asarray(faults))
    stairs, target = programming.staircase(EXPONENTIAL, nominal, most=1100), jnp.full((10, 10), 0.4)
    params = mitigation.inverse.Inverse(passes=2, c2c=1e-6)
    made, asked, _ = mitigation.inverse.map_inverse(params, stairs, xbar, target, 1e-8, None)
    np.testing.assert_array_equal(asked.failed, faults[0] > 0)
    np.testing.assert_allclose(np.asarray(crossbar.weights(made))[faults[0] == 0], 0.4, atol=0.01)


def test_single_precision_arrays_stay_so_where_double_is_on(x64):
    """A staircase of float64, the default float then, for an array and a target of float32."""
    nominal = jax.tree.map(jnp.float32, EXPONENTIAL.Params())
    xbar = crossbar.create(EXPONENTIAL, (3, 2), params=nominal, x=jnp.full((2, 3, 2), 0.5, jnp.float32))
    stairs = programming.staircase(EXPONENTIAL, EXPONENTIAL.Params())
    target = jnp.full((3, 2), 0.2, jnp.float32)
    assert stairs.up.dtype == jnp.float64
    made, asked, _ = mitigation.inverse.map_inverse(mitigation.inverse.Inverse(), stairs, xbar, target, 1e-8, None)
    assert not np.any(asked.failed)
    assert crossbar.weights(made).dtype == asked.gain.dtype == jnp.float32


def test_inactive_tiles_cost_nothing_and_stay(case):
    stairs, xbar, target, _ = case
    off = crossbar.set_active(xbar, 0, 0, False)  # 4 x 4 of 10 x 6
    params = mitigation.inverse.Inverse(passes=1, c2c=1e-6)
    made, asked, events = mitigation.inverse.map_inverse(params, stairs, off, target, 1e-8, None)
    assert not np.any(asked.failed[:4, :4])
    np.testing.assert_array_equal(made.state.x[:, 0, :, 0], 0.5)
    first = 2 * (60 - 16)
    assert first < int(events.verify) <= 2 * first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": jnp.zeros((COLS, ROWS))}, r"accepted is \(10, 6\)"),
        ({"params": mitigation.inverse.Inverse(read_noise=0.02)}, "give a key"),
    ],
)
def test_what_cannot_be_mapped_is_refused(case, change, message):
    stairs, xbar, target, _ = case
    given = {
        "params": mitigation.inverse.Inverse(),
        "stairs": stairs,
        "xbar": xbar,
        "target": target,
        "dt": 1e-8,
        "key": None,
    }
    with pytest.raises(ValueError, match=message):
        mitigation.inverse.map_inverse(**(given | change))


def _pairs(target):
    pair = jnp.stack([target, -target])
    return jnp.full_like(pair, 0.5), 0.5 + 0.5 * pair
