"""Refresh: its interval against drifting devices, one refresh against a loop, and arrays held over many."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from memjax import crossbar, devices, energy, mitigation, programming, variation
from memjax.mitigation import refresh
from memjax.programming import write_verify

INNER = devices.get("exponential")
DRIFTING = devices.with_drift(INNER)
STEP = 1 / 64
DT = 1e-8
PARAMS = write_verify.Params(STEP)


once = jax.jit(refresh.refresh)


def array(nu=0.05, polarity=1, shape=(20, 10), x=None, t0=1.0, **kwargs):
    """Linear devices without a foot, so that g is x."""
    inner = INNER.Params(g_min=0.0, beta_up=0.0, beta_down=0.0)
    x = np.random.default_rng(0).uniform(0.2, 0.8, (polarity, *shape)) if x is None else x
    nu, x = (jnp.asarray(value, jnp.result_type(float)) for value in (nu, x))
    params = DRIFTING.Params(inner=inner, nu=nu, t0=t0)
    return crossbar.create(DRIFTING, shape, 16, polarity=polarity, params=params, x=x, **kwargs)


@pytest.mark.parametrize("compensated", [False, True])
def test_after_a_period_the_stated_share_is_within_the_error(compensated):
    drift, n = variation.Drift(nu=0.04, spread=0.5, t0=20.0), 200_000
    rest = float(refresh.period(drift, 0.06, share=0.9, compensated=compensated))
    # The exponents that a chip gets, and what its devices then have left.
    chip = variation.Nonidealities(drift=drift)
    drawn = variation.sample(chip, INNER, INNER.Params(), (1, n // 100, 100), (64, 64), jax.random.key(0))
    device = variation.dress(chip, INNER)
    state = device.relax(drawn.params, device.init(drawn.params, 1.0), rest)
    left = np.asarray(devices.conductance(device, drawn.params, state), np.float64) / 1e-4
    nominal = (1 + rest / 20.0) ** -0.04 if compensated else 1.0
    assert abs(np.mean(1 - left / nominal <= 0.06) - 0.9) < 5 * (0.9 * 0.1 / n) ** 0.5


def test_period_meets_the_closed_form_and_knows_its_limits(x64):
    drift = variation.Drift(nu=0.05, spread=0.0, t0=2.0)
    np.testing.assert_allclose(refresh.period(drift, 0.1), 2.0 * (0.9 ** (-1 / 0.05) - 1), rtol=1e-12)
    assert refresh.period(drift, 0.1, compensated=True) == np.inf  # all devices drift alike
    s = np.sqrt(np.log1p(0.3**2))
    nu = 0.05 * np.exp(s * stats.norm.ppf(0.99) - s * s / 2)
    got = refresh.period(variation.Drift(0.05, 0.3, 2.0), 0.1)
    np.testing.assert_allclose(got, 2.0 * (0.9 ** (-1 / nu) - 1), rtol=1e-6)
    for name, given in (("error", {"error": 1.0}), ("share", {"error": 0.1, "share": 0.0})):
        with pytest.raises(ValueError, match=f"{name} = .*: accepted is more than 0 and less than 1"):
            refresh.period(drift, **given)


def test_nearest_level():
    w = jnp.asarray([-1.2, -0.6, -0.1, 0.3, 0.9])
    np.testing.assert_allclose(refresh.nearest_level(w, 5), [-1.0, -0.5, 0.0, 0.5, 1.0])
    np.testing.assert_allclose(refresh.nearest_level(w, 3, polarity=1), [0.0, 0.0, 0.0, 0.5, 1.0], atol=1e-7)
    with pytest.raises(ValueError, match="levels = 1: accepted are at least 2"):
        refresh.nearest_level(w, 1)


def by_hand(x, age, target, nu, params, budget):
    """Refresh ideal linear devices one by one: (states, ages, rewritten, pulses, verifies)."""
    x, age, again, pulses, verifies = x.copy(), age.copy(), np.zeros(x.shape, bool), 0, x.size
    for i in np.ndindex(x.shape):
        read = x[i] * (1 + age[i]) ** -nu[i]
        error = target[i] - read
        if abs(error) <= budget:
            continue
        again[i], age[i] = True, 0.0
        x[i] = np.clip(x[i] + params.smallest * np.sign(error) * STEP, 0, 1)
        pulses, verifies = pulses + 1, verifies + 1
        gain, p = np.ones(2), np.full(2, params.d2d**2)
        while abs(error := target[i] - x[i]) > params.tolerance:
            up = int(error > 0)
            scale = np.clip(abs(error) / (gain[up] * STEP), params.smallest, params.largest)
            before, x[i] = x[i], np.clip(x[i] + np.sign(error) * scale * STEP, 0, 1)
            k = p[up] / (p[up] + params.c2c**2)
            gain[up] += k * (abs(x[i] - before) / (scale * STEP) - gain[up])
            p[up] = (1 - k) * p[up] + params.wander**2
            pulses, verifies = pulses + 1, verifies + 1
    return x, age, again, pulses, verifies


def test_equals_a_loop_over_devices(x64):
    rng = np.random.default_rng(1)
    nu = rng.uniform(0.0, 0.03, (20, 10))
    before = crossbar.relax(array(nu[None]), 1e3)
    x0 = np.random.default_rng(0).uniform(0.2, 0.8, (1, 20, 10))[0]
    target = x0 + np.where(rng.random((20, 10)) < 0.1, 0.05, 0.0)  # and some that drift alone does not explain
    after, found, events = once(PARAMS, before, jnp.asarray(target), DT, None, budget=0.04, anticipate=0.0)
    x, age, again, pulses, verifies = by_hand(x0, np.full((20, 10), 1e3), target, nu, PARAMS, 0.04)
    assert 20 < again.sum() < 180
    np.testing.assert_array_equal(found.outside, again)
    assert not found.failed.any()
    np.testing.assert_allclose(crossbar.weights(after), x * (1 + age) ** -nu, atol=1e-7)  # a verify lasts 10 ns
    counts = energy.total(events)
    assert (counts["refresh"], counts["verify"], counts["pulse"]) == (pulses, verifies, 0)
    # Who is within the budget keeps its clock: it goes on slowly, where the others start anew.
    np.testing.assert_allclose(crossbar.weights(crossbar.relax(after, 50.0)), x * (1 + age + 50.0) ** -nu, rtol=1e-6)


def test_after_drift_alone_one_weak_pulse_is_enough():
    before = crossbar.relax(array(0.05), 1e3)
    target = crossbar.weights(array())
    after, found, events = once(PARAMS, before, target, DT, None, budget=0.01, anticipate=0.0)
    assert found.outside.all()
    assert energy.total(events)["refresh"] == 200
    assert np.abs(crossbar.weights(after) - target).max() <= 0.01


def test_an_array_of_pairs_is_held_with_read_noise():
    """Ten periods in one program, chips side by side under vmap."""
    polarity = 2
    nu = np.random.default_rng(3).uniform(0.01, 0.05, (polarity, 20, 10))
    start = array(nu, polarity)
    target, params = crossbar.weights(start), PARAMS.replace(read_noise=0.005)
    keys = jax.random.split(jax.random.key(0), 2)

    def held(key):
        rest = {"period": 100.0, "times": 10, "anticipate": 0.0}
        return refresh.hold(params, start, target, DT, key, budget=0.03, reads=2, **rest)

    after, _, events = jax.jit(jax.vmap(held))(keys)
    w = np.asarray(jax.jit(jax.vmap(crossbar.weights))(after))
    left = np.abs(crossbar.weights(crossbar.relax(start, 1e6)) - target)
    assert np.abs(w - np.asarray(target)).max() < 0.03 * polarity + 5 * 0.005 < 0.5 * left.max()
    assert np.any(w[0] != w[1])
    assert events.refresh.shape == (2, 10)
    assert (np.asarray(events.verify) >= 2 * polarity * 200 + 2 * np.asarray(events.refresh)).all()


def test_what_is_stuck_is_left_out_on_request():
    faults = np.zeros((1, 20, 10), np.int8)
    faults[0, 3, 4] = -1
    start = array(0.0, faults=faults)
    target, params = crossbar.weights(array(0.0)), PARAMS.replace(budget=30)
    rest = {"period": 10.0, "times": 2, "reads": 2, "anticipate": 0.0}
    hold = jax.jit(lambda xbar, where: refresh.hold(params, xbar, target, DT, None, where=where, **rest)[2])
    for where, pulses in ((jnp.ones((20, 10), bool), 31), (jnp.asarray(faults[0] == 0), 0)):
        events = hold(start, where)
        np.testing.assert_array_equal(events.refresh, [pulses] * 2)
        np.testing.assert_array_equal(events.verify, [2 * (200 + 31 if pulses else 199)] * 2)


def test_anticipation_halves_what_every_device_is_wrong_by(x64):
    """From the second period on, each device is as much above its target at first as it is below at the end."""
    nu = np.random.default_rng(3).uniform(0.0, 0.02, (1, 20, 10))
    start, rest = array(nu), 1e4
    target, params = crossbar.weights(start), PARAMS.replace(tolerance=2e-4, smallest=0.005)

    @jax.jit
    def held(anticipate):
        xbar, extra, _ = refresh.hold(
            params, start, target, DT, None, period=rest, times=3, budget=1e-3, anticipate=anticipate
        )
        return crossbar.weights(xbar) - target, crossbar.weights(crossbar.relax(xbar, rest)) - target, extra

    lost = np.asarray(target) * (1 - (1 + rest) ** -nu[0])
    first, last, _ = held(0.0)
    np.testing.assert_allclose(last, -lost, atol=1.5e-3)
    assert np.abs(first).max() < 1.5e-3
    first, last, extra = held(0.5)
    np.testing.assert_allclose(first, lost / 2, atol=0.1 * lost.max() / 2)
    np.testing.assert_allclose(last, -lost / 2, atol=0.1 * lost.max() / 2)
    np.testing.assert_allclose(extra, first, atol=2e-3)  # budget and tolerance


def test_without_a_memory_the_nearest_level_is_held():
    levels = np.random.default_rng(2).integers(0, 9, (1, 20, 10)) / 8
    start = array(0.01, x=np.clip(levels, 0, 1))
    rest = {"period": 100.0, "times": 20, "anticipate": 0.0}
    after, _, _ = jax.jit(lambda xbar: refresh.hold(PARAMS, xbar, 9, DT, None, **rest))(start)
    np.testing.assert_allclose(crossbar.weights(after), levels[0], atol=0.021)
    # Without refresh the upper ones come nearer to their lower neighbours.
    lost = crossbar.weights(crossbar.relax(start, 1e8))
    assert np.abs(lost - levels[0]).max() > 0.5 / 8


def test_refused():
    xbar = array()
    with pytest.raises(ValueError, match="read noise is drawn at every read: give a key"):
        refresh.refresh(PARAMS.replace(read_noise=0.01), xbar, jnp.zeros((20, 10)), DT, None)
    with pytest.raises(ValueError, match=r"target has shape \(2, 2\): accepted is \(20, 10\)"):
        refresh.refresh(PARAMS, xbar, jnp.zeros((2, 2)), DT, None)
    with pytest.raises(ValueError, match="sides = 'left'"):
        refresh.refresh(PARAMS.replace(sides="left"), xbar, jnp.zeros((20, 10)), DT, None)


def test_its_functions_are_reached_from_the_package():
    assert mitigation.refresh is refresh
    assert programming.program_to is write_verify.program_to
