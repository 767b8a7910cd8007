"""Write-verify: the pulses it takes on many devices, and the whole procedure against a loop over single devices."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programming_reference import DT, SHAPE, STEP, Loop, states

from memjax import crossbar, devices, energy, programming, variation
from memjax.programming.write_verify import Params

EXPONENTIAL = devices.get("exponential")
NOISY = devices.with_c2c_noise(EXPONENTIAL)
SIDE = 110  # 12,100 devices


def population(polarity=1, step=1 / 64, key=0):
    """Return devices with D2D 20 % and C2C 30 % of the step, nonlinearity 1, from uniform random states."""
    logical, key = (polarity, SIDE, SIDE), jax.random.key(key)
    nominal = EXPONENTIAL.Params(step_up=step, step_down=step)
    inner = variation.sample_params(nominal, {"step_up": 0.2, "step_down": 0.2}, logical, key)
    params = NOISY.Params(inner=inner, sigma=0.3)
    return crossbar.create(NOISY, (SIDE, SIDE), polarity=polarity, params=params, x=None, key=key)


def targets(polarity=1):
    return jax.random.uniform(jax.random.key(9), (SIDE, SIDE), minval=1.0 - polarity)


write = jax.jit(programming.program_to)


@pytest.mark.parametrize("modulation", ["amplitude", "width"])
@pytest.mark.parametrize("polarity", [1, 2])
def test_pulses_from_anywhere_to_anywhere(modulation, polarity):
    """Tolerance 1 % of the range, 64 levels: mean at most 6 pulses, 95th percentile 12, failures 0.1 %."""
    xbar, target = population(polarity), targets(polarity)
    assert xbar.state.x.dtype == jnp.result_type(float)  # float32, unless 64-bit types are on
    after, result, events = write(Params(STEP, modulation=modulation), xbar, target, DT, jax.random.key(1))
    assert result.pulses.mean() <= 6
    assert np.percentile(result.pulses, 95) <= 12
    assert result.failed.mean() <= 1e-3
    error = np.abs(crossbar.weights(after) - target)
    assert (error <= 0.01 * polarity + 1e-6).mean() >= 0.999
    counts = energy.total(events)
    shots = int(result.pulses.sum())
    assert counts["verify"] == polarity * (shots + SIDE**2)
    if modulation == "amplitude":
        assert counts["pulse"] == polarity * shots
    else:
        # A wide pulse is charged by its width, rounded up: what is spent is the distance, in steps, and somewhat more.
        distance = np.abs(target - crossbar.weights(xbar)).mean() / (polarity * STEP)
        assert distance < counts["pulse"] / (polarity * SIDE**2) < 1.3 * distance


def test_unit_pulses():
    """64 pulses from bound to bound: mean at most 22; with 64 steps of mid-range size, and then 67 pulses, 22.3.

    Of these, 20.7 steps are the mean distance to the near edge of the tolerance, (1 - 0.01)^3 / 3.
    """
    params = Params(STEP, modulation="unit", budget=300)
    for step, most in ((2 * math.sinh(0.5) / 64, 22.0), (1 / 64, 22.5)):
        after, result, events = write(params, population(step=step), targets(), DT, jax.random.key(1))
        assert 0.99**3 / 3 / step < result.pulses.mean() <= most
        assert result.failed.mean() <= 1e-3
        assert energy.total(events)["pulse"] == result.pulses.sum()


def test_what_it_learns_is_each_devices_own_step():
    """Linear devices whose steps differ by 40 %: after programming there and back, the gain is the device's."""
    key, shape = jax.random.key(0), (1, 40, 40)
    linear = EXPONENTIAL.Params(beta_up=0.0, beta_down=0.0)
    inner = variation.sample_params(linear, {"step_up": 0.4, "step_down": 0.4}, shape, key)
    xbar = crossbar.create(NOISY, (40, 40), polarity=1, params=NOISY.Params(inner=inner, sigma=0.1), x=0.1)
    params, learned = Params(STEP, c2c=0.1, wander=0.0, d2d=0.4, largest=4.0), None
    for number, target in enumerate((0.9, 0.1)):
        goal = jnp.full((40, 40), target)
        xbar, result, _ = write(params, xbar, goal, DT, jax.random.key(number), learned=learned)
        learned = result.learned
    own = np.stack([inner.step_down[0], inner.step_up[0]]) / STEP
    assert np.corrcoef(own.ravel(), learned.gain.ravel())[0, 1] > 0.98
    assert np.abs(learned.gain / own - 1).mean() < 0.05
    # It pays: known from the start, the second time up takes fewer pulses than the first did without.
    up = jnp.full((40, 40), 0.9)
    free = params.replace(largest=64.0)
    blind, told = (write(free, xbar, up, DT, jax.random.key(5), learned=known)[1] for known in (None, learned))
    assert told.pulses.mean() < 0.9 * blind.pulses.mean()


def by_hand(loop, params, target, where):
    """Program the loop's devices one weight at a time."""
    rows, cols = SHAPE
    unit = STEP * (loop.polarity if params.sides == "both" else 1)
    pulses, verify = np.zeros(SHAPE, int), 0
    for i in range(rows):
        for j in range(cols):
            if not where[i, j] or not loop.active(i, j):
                continue
            verify += loop.polarity
            gain, p = np.ones(2), np.full(2, params.d2d**2)
            while abs(error := target[i, j] - loop.weight(i, j)) > params.tolerance * loop.polarity:
                if pulses[i, j] == params.budget:
                    break
                up, before = int(error > 0), loop.weight(i, j)
                scale = 1.0
                if params.modulation != "unit":
                    scale = np.clip(abs(error) / (gain[up] * unit), params.smallest, params.largest)
                loop.write(i, j, np.sign(error) * scale, params.sides, one_pulse=params.modulation == "amplitude")
                moved = abs(loop.weight(i, j) - before) * np.sign((loop.weight(i, j) - before) * error)
                k = p[up] / (p[up] + params.c2c**2)
                gain[up] = np.clip(gain[up] + k * (moved / (scale * unit) - gain[up]), 0.1, 10)
                p[up] = (1 - k) * p[up] + params.wander**2
                pulses[i, j] += 1
                verify += loop.polarity
    failed = np.abs(target - loop.weights()) > params.tolerance * loop.polarity
    return pulses, failed & where & np.vectorize(loop.active)(*np.indices(SHAPE)), verify


@pytest.mark.parametrize(
    "modulation, polarity, sides",
    [
        ("unit", 1, "both"),
        ("amplitude", 1, "both"),
        ("amplitude", 2, "both"),
        ("width", 2, "both"),
        ("width", 2, "one"),
    ],
)
def test_equals_a_loop_over_devices(modulation, polarity, sides, x64):
    """The masked loop over a whole array, with stuck devices, an inactive tile and weights that are left alone."""
    loop = Loop(polarity, stuck=0.05, x=0.1 if sides == "one" else None, off=((1, 0),))
    rng = np.random.default_rng(4)
    target = rng.uniform(-0.6 if polarity == 2 else 0.05, 0.9, SHAPE)
    where = rng.random(SHAPE) < 0.8
    params = Params(STEP, modulation=modulation, sides=sides, budget=40, largest=3.0, smallest=0.3)
    after, result, events = programming.program_to(
        params, loop.xbar, jnp.asarray(target), DT, None, where=jnp.asarray(where)
    )
    pulses, failed, verify = by_hand(loop, params, target, where)
    np.testing.assert_array_equal(result.pulses, pulses)
    np.testing.assert_array_equal(result.failed, failed)
    np.testing.assert_allclose(states(after), loop.x, rtol=0, atol=1e-12)
    active = np.vectorize(loop.active)(*np.indices(SHAPE))
    np.testing.assert_allclose(crossbar.weights(after)[active], loop.weights()[active], rtol=0, atol=1e-12)
    counts = energy.total(events)
    assert counts["pulse"] == loop.pulses
    assert counts["verify"] == verify
    assert 0 < failed.sum() < 20
    assert pulses.max() == 40


def test_wide_pulses_of_a_device_with_a_pace_of_its_own(x64):
    """The parts of a wide pulse are one pulse: linear drift moves by v dt, whatever it is cut into."""
    drift = devices.get("linear_ion_drift")
    nominal, dt = drift.Params(r_on=100.0, r_off=300.0), 4e-4  # a ratio at which a step is not all of the range
    xbar = crossbar.create(drift, (6, 5), polarity=1, params=nominal, x=jnp.linspace(0.1, 0.9, 30).reshape(1, 6, 5))
    step = programming.weight_step(drift, nominal, dt=dt)
    target = jnp.linspace(0.7, 0.2, 30).reshape(6, 5) * crossbar.weights(xbar).max()
    params = Params(step, modulation="width", tolerance=0.005, smallest=0.05)
    after, result, events = write(params, xbar, target, dt, None)
    assert not result.failed.any()
    np.testing.assert_allclose(crossbar.weights(after), target, rtol=0, atol=0.005)
    assert energy.total(events)["pulse"] >= result.pulses.sum()
    one = write(params.replace(budget=1), xbar, target, dt, None)[0]
    error = np.asarray(target - crossbar.weights(xbar))[None]
    wide = 0.05 * np.round(np.clip(np.abs(error) / step, 0.05, 8) / 0.05) * (np.abs(error) > 0.005)
    expected = drift.step(xbar.params, drift.init(xbar.params, states_of(xbar)), np.sign(error) * 1.0, wide * dt, None)
    np.testing.assert_allclose(states_of(one), expected.x, rtol=1e-9)


def states_of(xbar):
    return np.asarray(xbar.state.x).reshape(1, *xbar.shape)


def test_noisy_reads_accept_what_reads_well():
    """With 1 % read noise the accepted error is wider than the tolerance, by the noise of the last read."""
    xbar, target = population(), targets()
    params = Params(STEP, read_noise=0.01)
    after, result, _ = write(params, xbar, target, DT, jax.random.key(3))
    error = np.asarray(crossbar.weights(after) - target)
    assert result.failed.mean() <= 1e-3
    assert 0.007 < error.std() < 0.02
    assert (np.abs(error) > 0.01).mean() > 0.1
    exact = write(params.replace(read_noise=1e-9), xbar, target, DT, jax.random.key(3))[0]
    assert np.abs(crossbar.weights(exact) - target).max() < 0.0101
    with pytest.raises(ValueError, match="read noise is drawn at every read: give a key"):
        programming.program_to(params, xbar, target, DT, None)


def test_a_controller_that_is_sure_of_its_devices_stays_so():
    """No spread believed in and none seen: the estimate stays nominal, and the devices reach their targets."""
    sure = Params(STEP, d2d=0.0, c2c=0.0, wander=0.0)
    xbar = crossbar.create(EXPONENTIAL, SHAPE, SHAPE, params=EXPONENTIAL.Params(step_up=STEP, step_down=STEP))
    after, result, _ = write(sure, xbar, jnp.linspace(-0.5, 0.5, math.prod(SHAPE)).reshape(SHAPE), DT, None)
    np.testing.assert_array_equal(result.learned.gain, 1.0)
    assert not result.failed.any()
    assert np.all(np.isfinite(crossbar.weights(after)))


def test_as_a_programmer_it_remembers_what_was_wanted(x64):
    """Changes far below the tolerance add up beside the array until they are worth a pulse."""
    linear = crossbar.create(EXPONENTIAL, (4, 3), params=EXPONENTIAL.Params(beta_up=0.0, beta_down=0.0))
    programmer, params = programming.get("write_verify"), Params(STEP, tolerance=0.005)
    state, xbar, dw, pulses = programmer.init(params, linear), linear, jnp.full((4, 3), 1e-3), 0
    dw = dw.at[0, 0].set(0.0)
    step = jax.jit(lambda state, xbar, turn: programmer.step(params, state, dw, xbar, DT, None, turn))
    for turn in range(50):
        xbar, state, events = step(state, xbar, turn)
        pulses += energy.total(events)["pulse"]
        assert energy.total(events)["verify"] >= 2 * 11
    wanted = np.full((4, 3), 0.05)
    wanted[0, 0] = 0
    np.testing.assert_allclose(state.wanted, wanted, atol=1e-12)
    np.testing.assert_allclose(crossbar.weights(xbar), wanted, rtol=0, atol=0.01)
    assert crossbar.weights(xbar)[0, 0] == 0
    assert 0 < pulses < 2 * 11 * 8


def test_bad_input():
    xbar = population()
    with pytest.raises(ValueError, match=r"target has shape \(3,\): accepted is \(110, 110\)"):
        programming.program_to(Params(STEP), xbar, jnp.zeros(3), DT, None)
    with pytest.raises(ValueError, match="modulation = 'wide': accepted is one of unit, amplitude, width"):
        programming.program_to(Params(STEP, modulation="wide"), xbar, targets(), DT, None)
