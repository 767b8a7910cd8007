"""Programmers against a transcription that touches every device and accumulator at every call, eagerly, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, energy, programming
from memjax.plasticity import Outer
from memjax.programming import AccumulatorParams, Params, SignParams

SOFT, EXPONENTIAL = devices.get("soft_bounds"), devices.get("exponential")
LINEAR = EXPONENTIAL.Params(beta_up=0.0, beta_down=0.0, step_up=1e-3, step_down=1e-3)
SHAPE, TILE, UNIT = (13, 5), (6, 4), 2 / 64
DT = 1e-8


def chip(polarity=2, stuck=0.1):
    rng = np.random.default_rng(0)
    logical = (polarity, *SHAPE)
    x, step = rng.random(logical), rng.uniform(0.5, 1.5, logical) / 64
    faults = rng.choice([0, 1, -1], logical, p=[1 - stuck, stuck / 2, stuck / 2]).astype(np.int8)
    params = SOFT.Params(step_up=jnp.asarray(step))
    xbar = crossbar.create(SOFT, SHAPE, TILE, polarity=polarity, params=params, x=jnp.asarray(x), faults=faults)
    return xbar, np.where(faults > 0, 1.0, np.where(faults < 0, 0.0, x)), step, faults


def states(xbar):
    return (np.asarray(crossbar.conductance(xbar)) - 1e-6) / 99e-6


class Eager:
    """Every accumulator and every device of a soft-bounds array, one at a time."""

    def __init__(self, x, step_up, faults, params):
        self.x, self.step_up, self.faults, self.params = x.copy(), step_up, faults, params
        self.a = np.zeros(SHAPE)

    def call(self, turn, dw):
        self.a = self.params.leak * self.a + dw
        lines, pulses = self.params.lines or TILE[0], 0
        slot = turn % (TILE[0] // lines)
        for i, j in np.ndindex(SHAPE):
            has_its_turn = slot * lines <= i % TILE[0] < (slot + 1) * lines
            sign, own = np.sign(self.a[i, j]), self.params.own
            unit = self.params.fire_at * self.params.step * (1.0 if own is None else own[int(sign > 0), i, j])
            unit = unit * len(self.x) / 2  # of a pair; a pulse moves a single-ended weight by half as much
            if not has_its_turn or abs(self.a[i, j]) < unit:
                continue
            self.a[i, j] -= unit * sign
            for p in range(len(self.x)):
                pulses += 1
                self.pulse(p, i, j, sign if p == 0 else -sign)
        return pulses

    def pulse(self, p, i, j, sign):
        x = self.x[p, i, j]
        if self.faults[p, i, j] == 0:
            x = x + 2 * self.step_up[p, i, j] * (1 - x) if sign > 0 else x - 2 * x / 64
        self.x[p, i, j] = min(max(x, 0.0), 1.0)


@pytest.mark.parametrize(
    "lines, polarity, leak, own",
    [(1, 2, 1.0, False), (1, 2, 0.9, True), (2, 1, 0.9, False), (3, 2, 1.0, True), (3, 2, 0.9, False)]
    + [(6, 2, 1.0, False), (6, 2, 0.9, True), (None, 2, 0.9, True), (None, 2, 1.0, False), (None, 1, 0.9, False)],
)
def test_accumulator_equals_the_eager_transcription(lines, polarity, leak, own, x64):
    """The library keeps what waits in factors and writes few lines: that must not show."""
    xbar, x, step, faults = chip(polarity)
    sizes = jnp.asarray(np.random.default_rng(5).uniform(0.5, 2.0, (2, *SHAPE))) if own else None
    params = AccumulatorParams(step=1 / 64, fire_at=1.5, leak=leak, lines=lines, own=sizes)
    programmer = programming.get("accumulator")
    eager, state = Eager(x, step, faults, params), programmer.init(params, xbar)
    one_call = jax.jit(lambda state, dw, xbar, turn: programmer.step(params, state, dw, xbar, DT, None, turn))
    collected = jax.jit(programming.collected)
    rng, fired = np.random.default_rng(1), 0
    for turn in range(20):
        a, b = rng.normal(size=13) * rng.integers(0, 2, 13), rng.normal(size=5) * 0.05
        dw = Outer(jnp.asarray(a)[None], jnp.asarray(b)[None])
        np.testing.assert_allclose(collected(params, state, xbar, turn), eager.a, rtol=0, atol=1e-12)
        pulses = eager.call(turn, np.outer(a, b))
        xbar, state, events = one_call(state, dw, xbar, turn)
        assert energy.total(events)["pulse"] == pulses
        assert energy.total(events)["accumulate"] == np.count_nonzero(np.outer(a, b))
        fired += pulses
    np.testing.assert_allclose(collected(params, state, xbar, 20), eager.a, rtol=0, atol=1e-12)
    np.testing.assert_allclose(states(xbar), eager.x, rtol=0, atol=1e-12)
    assert fired > 50


@pytest.mark.parametrize("polarity", [1, 2])
def test_what_was_wanted_is_either_fired_or_still_collected(polarity, x64):
    linear = crossbar.create(EXPONENTIAL, SHAPE, TILE, params=LINEAR, polarity=polarity)
    before = crossbar.weights(linear)
    programmer, params = programming.get("accumulator"), AccumulatorParams(step=1e-3, lines=2)
    rng, state, wanted = np.random.default_rng(2), programmer.init(params, linear), np.zeros(SHAPE)
    xbar = crossbar.cache(linear)
    step = jax.jit(lambda state, dw, xbar, turn: programmer.step(params, state, dw, xbar, DT, None, turn)[:2])
    for turn in range(30):
        a, b = rng.normal(size=13), rng.normal(size=5) * 1e-3
        xbar, state = step(state, Outer(jnp.asarray(a)[None], jnp.asarray(b)[None]), xbar, turn)
        wanted += np.outer(a, b)
    left = programming.collected(params, state, xbar, 30)
    moved = crossbar.weights(xbar) - before
    np.testing.assert_allclose(moved + left, wanted, rtol=0, atol=1e-12)
    assert np.abs(moved).max() > 3e-3


def test_leak_meets_the_closed_form(x64):
    """n equal changes dw leave dw (1 - leak^n) / (1 - leak), whether or not a line has had its turn."""
    xbar = crossbar.create(SOFT, SHAPE, TILE)
    programmer, dw = programming.get("accumulator"), np.full(SHAPE, 1e-4)
    for lines in (1, 3, None):
        params = AccumulatorParams(step=1.0, leak=0.8, lines=lines)
        state = programmer.init(params, xbar)
        outer = Outer(jnp.full((1, 13), 1e-2), jnp.full((1, 5), 1e-2))
        step = jax.jit(lambda state, turn, p=params, o=outer: programmer.step(p, state, o, xbar, DT, None, turn))
        for turn in range(7):
            _, state, events = step(state, turn)
            assert energy.total(events)["pulse"] == 0
        left = programming.collected(params, state, xbar, 7)
        np.testing.assert_allclose(left, dw * (1 - 0.8**7) / 0.2, rtol=1e-12)


def test_accumulators_without_turns_take_any_change(x64):
    xbar = crossbar.create(EXPONENTIAL, SHAPE, TILE, params=LINEAR)
    programmer, params = programming.get("accumulator"), AccumulatorParams(step=1e-3, lines=None)
    dw = np.random.default_rng(0).normal(size=SHAPE) * 4e-3
    dw[0, 0] = 0.0
    after, state, events = programmer.step(params, programmer.init(params, xbar), jnp.asarray(dw), xbar, DT, None, 0)
    fired = np.sign(dw) * (np.abs(dw) >= 2e-3)
    np.testing.assert_allclose(crossbar.weights(after), 2e-3 * fired, rtol=0, atol=1e-14)
    np.testing.assert_allclose(state.a, dw - 2e-3 * fired, rtol=0, atol=1e-16)
    assert energy.total(events)["accumulate"] == 64
    assert energy.total(events)["pulse"] == 2 * np.count_nonzero(fired)
    two = Outer(jnp.ones((2, 13)), jnp.ones((2, 5)))
    assert energy.total(programmer.step(params, state, two, xbar, DT, None, 1)[2])["accumulate"] == 2 * 65


def test_collecting_keeps_the_devices_float_type(x64):
    narrow = crossbar.create(SOFT, SHAPE, TILE, x=jnp.full((2, *SHAPE), 0.5, jnp.float32))
    for lines in (1, None):
        state = programming.get("accumulator").init(AccumulatorParams(step=0.1, lines=lines), narrow)
        assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("polarity", [1, 2])
@pytest.mark.parametrize("steps", [0.3, 1.0, 2.7, -0.45])
def test_stochastic_pulses_have_the_wanted_mean(steps, polarity):
    xbar = crossbar.create(EXPONENTIAL, (200, 100), polarity=polarity, params=LINEAR)
    params = Params(step=1e-3, max_pulses=5)
    dw = jnp.full((200, 100), steps * polarity * 1e-3)
    programmer = programming.get("stochastic")
    after, _, events = programmer.step(params, (), dw, xbar, DT, jax.random.key(0), 0)
    moved = np.asarray(crossbar.weights(after) - crossbar.weights(xbar), np.float64) / (polarity * 1e-3)
    share = abs(steps) % 1
    bound = 5 * np.sqrt(share * (1 - share) / moved.size) + 1e-3  # float32 at a step of 1e-3
    assert abs(moved.mean() - steps) < bound
    whole = np.sign(steps) * np.floor(abs(steps))
    np.testing.assert_allclose(np.unique(np.round(moved)), np.unique([whole, whole + np.sign(steps) * (share > 0)]))
    assert abs(energy.total(events)["pulse"] / (polarity * moved.size) - abs(steps)) < bound
    assert energy.total(events)["accumulate"] == 0


@pytest.mark.parametrize("polarity", [1, 2])
def test_pulse_trains_round_and_are_cut(polarity, x64):
    xbar = crossbar.create(EXPONENTIAL, SHAPE, TILE, polarity=polarity, params=LINEAR)
    dw = np.random.default_rng(0).normal(size=SHAPE) * 4e-3
    after, _, events = programming.get("pulse_train").step(
        Params(step=1e-3, max_pulses=3), (), jnp.asarray(dw), xbar, DT, None, 0
    )
    pulses = np.clip(np.rint(dw / (polarity * 1e-3)), -3, 3)
    assert np.abs(pulses).max() == 3
    moved = crossbar.weights(after) - crossbar.weights(xbar)
    np.testing.assert_allclose(moved, pulses * polarity * 1e-3, rtol=0, atol=1e-14)
    assert energy.total(events)["pulse"] == polarity * np.abs(pulses).sum()


@pytest.mark.parametrize("name", ["stochastic", "pulse_train"])
def test_pulses_of_own_sizes_move_every_weight_by_what_is_wanted(name):
    """Devices of 20 to 200 % of the nominal step, up and down apart: whole pulses of each, and the rest at random."""
    rng, shape = np.random.default_rng(0), (200, 100)
    up, down = jnp.asarray(rng.uniform(0.2, 2.0, (2, 1, *shape)), jnp.result_type(float))
    params = LINEAR.replace(step_up=1e-3 * up, step_down=1e-3 * down)
    xbar = crossbar.create(EXPONENTIAL, shape, polarity=1, params=params)
    own = jnp.concatenate([down, up])
    dw = jnp.asarray(rng.choice([-3e-3, 3e-3], shape), jnp.result_type(float))
    settings = Params(step=1e-3, max_pulses=30, own=own)
    after, _, _ = programming.get(name).step(settings, (), dw, xbar, DT, jax.random.key(0), 0)
    moved, wanted = np.asarray(crossbar.weights(after) - crossbar.weights(xbar)), np.asarray(dw)
    size = 1e-3 * np.where(wanted > 0, np.asarray(up[0]), np.asarray(down[0]))
    most = 0.5 if name == "pulse_train" else 1.0  # of a pulse
    assert np.all(np.abs(moved - wanted) <= most * size + 1e-6)
    if name == "stochastic":
        assert abs(np.mean(moved / wanted) - 1) < 5e-3


def test_sign_is_one_pulse_above_the_threshold(x64):
    xbar = crossbar.create(EXPONENTIAL, (1, 4), params=LINEAR)
    dw = Outer(jnp.ones((1, 1)), jnp.asarray([[0.2, -0.5, 0.1, 0.0]]))
    programmer = programming.get("sign")
    after, _, events = programmer.step(SignParams(threshold=0.1), (), dw, xbar, DT, None, 0)
    np.testing.assert_allclose(crossbar.weights(after)[0], [2e-3, -2e-3, 0, 0], atol=1e-14)
    assert energy.total(events)["pulse"] == 4
    after, _, _ = programmer.step(SignParams(), (), dw, xbar, DT, None, 0)
    np.testing.assert_allclose(crossbar.weights(after)[0], [2e-3, -2e-3, 2e-3, 0], atol=1e-14)


def test_weight_step_meets_the_closed_form(x64):
    for device in (SOFT, EXPONENTIAL):
        params = device.Params(step_up=0.02, step_down=0.01)
        np.testing.assert_allclose(programming.weight_step(device, params), 0.015, rtol=1e-12)
    volatile = devices.get("volatile")
    step = programming.weight_step(volatile, volatile.Params(alpha_pot=0.02, alpha_dep=0.04))
    np.testing.assert_allclose(step, (0.02 + 0.04) / 2 / 2, rtol=1e-12)  # half the distance is ahead at mid-range
    # What it is for: one push-pull pulse at mid-range moves a weight by two steps.
    xbar = crossbar.create(SOFT, (1, 1), params=SOFT.Params(step_up=0.02, step_down=0.01))
    after, _ = crossbar.write(xbar, programming.push_pull(xbar, jnp.ones((1, 1))), DT, None)
    np.testing.assert_allclose(crossbar.weights(after), 2 * 0.015, rtol=1e-12)


def test_weight_step_refuses_a_pulse_that_moves_nothing():
    with pytest.raises(ValueError, match=r"a pulse of 1.0 V and 1e-08 s moves soft_bounds by 0.0.*cannot learn"):
        programming.weight_step(SOFT, SOFT.Params(step_up=0.0, step_down=0.0))


def test_bad_input():
    xbar = crossbar.create(SOFT, SHAPE, TILE)
    programmer = programming.get("accumulator")
    for lines in (0, 4, 7):
        with pytest.raises(ValueError, match=rf"lines = {lines}: accepted is a divisor of the tile's 6 word lines"):
            programmer.init(AccumulatorParams(step=0.1, lines=lines), xbar)
    params = AccumulatorParams(step=0.1)
    state = programmer.init(params, xbar)
    for dw in (jnp.ones(SHAPE), Outer(jnp.ones((2, 13)), jnp.ones((2, 5)))):
        with pytest.raises(ValueError, match="takes an Outer of one product; give lines=None"):
            programmer.step(params, state, dw, xbar, DT, None, 0)
    with pytest.raises(ValueError, match="unknown programmer 'acumulator'; did you mean 'accumulator'"):
        programming.get("acumulator")
