"""The composite synapse, mixed precision, tag and capture, and Tiki-Taka: each against a loop, and what it is for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programming_reference import DT, SHAPE, STEP, TILE, Loop, drive, states

from memjax import crossbar, devices, energy, noise, programming
from memjax.plasticity import Outer
from memjax.programming import composite, mixed_precision, tag_capture, tiki_taka

EXPONENTIAL = devices.get("exponential")


def stepper(name, params):
    return jax.jit(
        lambda state, dw, xbar, turn, key=None: programming.get(name).step(params, state, dw, xbar, DT, key, turn)
    )


def outer(a, b):
    return Outer(jnp.asarray(a)[None], jnp.asarray(b)[None])


def unit_of(params, polarity):
    return STEP * (polarity if params.sides == "both" else 1)


@pytest.mark.parametrize(
    "polarity, params",
    [
        (2, composite.Params(STEP, fire_at=1.3, leak=0.9, saturation=0.06)),
        (2, composite.Params(STEP, leak=0.95, saturation=0.2, cost=3, max_pulses=3, sides="one")),
        (1, composite.Params(STEP, saturation=0.04, cost=0)),
    ],
)
def test_composite_equals_a_loop(polarity, params, x64):
    loop = Loop(polarity, off=((1, 0),))
    xbar, state, a = loop.xbar, composite.init(params, loop.xbar), np.zeros(SHAPE)
    step, unit = stepper("composite", params), params.fire_at * unit_of(params, polarity)
    for turn in range(20):
        dw = np.outer(*drive(turn))
        xbar, state, events = step(state, outer(*drive(turn)), xbar, turn)
        before = loop.pulses
        a = params.leak * a + dw * (1 - np.sign(dw) * a / params.saturation)
        for i, j in np.ndindex(SHAPE):
            fired = np.sign(a[i, j]) * min(np.floor(abs(a[i, j]) / unit), params.max_pulses)
            a[i, j] -= unit * fired
            loop.write(i, j, fired, params.sides)
        np.testing.assert_allclose(state, a, rtol=0, atol=1e-13)
        counts = energy.total(events)
        assert counts["pulse"] == loop.pulses - before
        assert counts["accumulate"] == params.cost * np.count_nonzero(dw)
    np.testing.assert_allclose(states(xbar), loop.x, rtol=0, atol=1e-12)
    assert loop.pulses > 100


def test_with_everything_off_the_composite_is_the_accumulator(x64):
    """And each of the four properties alone changes what it should."""
    loop = Loop()
    plain = programming.AccumulatorParams(STEP, fire_at=2.0, lines=None)
    off = composite.Params(STEP)
    accumulate, collect = stepper("accumulator", plain), stepper("composite", off)
    one, other = loop.xbar, loop.xbar
    a, b = programming.get("accumulator").init(plain, one), composite.init(off, other)
    for turn in range(20):
        dw = outer(*drive(turn))
        one, a, spent = accumulate(a, dw, one, turn)
        other, b, same = collect(b, dw, other, turn)
        assert energy.total(spent) == energy.total(same)
    np.testing.assert_array_equal(states(one), states(other))
    np.testing.assert_allclose(a.a, b, rtol=0, atol=1e-15)


def test_a_soft_bound_holds_what_its_closed_form_says(x64):
    """n equal changes collect S (1 - (1 - dw / S)^n), and back again they take as much more as the bound is far."""
    xbar = Loop().xbar
    params = composite.Params(STEP, fire_at=1e6, saturation=0.05)
    state, n, dw = composite.init(params, xbar), 30, jnp.full(SHAPE, 4e-3)
    for _ in range(n):
        state = composite.collect(params, state, dw, None)
    held = 0.05 * (1 - (1 - 4e-3 / 0.05) ** n)
    np.testing.assert_allclose(state, held, rtol=1e-12)
    np.testing.assert_allclose(composite.collect(params, state, -dw, None), held - 4e-3 * (1 + held / 0.05), rtol=1e-12)


def test_noise_of_the_increments_has_its_moments():
    """Each increment is off by `noise` of itself; none where nothing is wanted, and 0 is no noise, to the bit."""
    xbar = crossbar.create(EXPONENTIAL, (300, 100))
    params, key = composite.Params(STEP, noise=0.4), jax.random.key(2)
    dw = jnp.full((300, 100), 1e-3).at[0].set(0.0)
    held = np.asarray(composite.collect(params, composite.init(params, xbar), dw, key))
    assert not held[0].any()
    relative = held[1:] / 1e-3 - 1
    assert relative.mean() == pytest.approx(0, abs=4 * 0.4 / relative.size**0.5)
    assert relative.std() == pytest.approx(0.4, rel=0.02)
    silent = composite.collect(params.replace(noise=0.0), jnp.zeros_like(dw), dw, key)
    np.testing.assert_array_equal(silent, composite.collect(params.replace(noise=None), jnp.zeros_like(dw), dw, None))
    with pytest.raises(ValueError, match="composite draws noise at every increment: give a key"):
        composite.collect(params, jnp.zeros_like(dw), dw, None)


# --- mixed precision ----------------------------------------------------------------------------------------------


def test_mixed_precision_equals_a_loop(x64):
    loop = Loop(off=((0, 1),))
    params = mixed_precision.Params(STEP, every=0, max_pulses=2)
    xbar, chi, step = loop.xbar, mixed_precision.init(params, loop.xbar), stepper("mixed_precision", params)
    expected = np.zeros(SHAPE)
    for turn in range(20):
        xbar, chi, events = step(chi, outer(*drive(turn)), xbar, turn)
        expected += np.outer(*drive(turn))
        before = loop.pulses
        for i, j in np.ndindex(SHAPE):
            pulses = np.clip(np.trunc(expected[i, j] / STEP), -2, 2)
            expected[i, j] -= STEP * pulses
            loop.write(i, j, pulses, "one")
        assert energy.total(events)["pulse"] == loop.pulses - before
    np.testing.assert_allclose(chi, expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(states(xbar), loop.x, rtol=0, atol=1e-12)
    assert energy.total(events)["refresh"] == 0
    assert loop.pulses > 100


def test_full_pairs_are_reset_and_their_difference_rewritten(x64):
    """Both devices of a full pair go to the bottom and one of them back up, by the pulses that a loop takes."""
    loop = Loop(stuck=0.0, x=0.5, off=((1, 0),))
    rng = np.random.default_rng(3)
    loop.x = rng.uniform(0.3, 0.85, loop.x.shape)
    # One device above, both above, one in an inactive tile, one stuck; and one alone, which a reset would not help.
    loop.x[0, 0, 0], loop.x[:, 1, 1], loop.x[1, 7, 0], loop.x[0, 2, 2] = 0.95, (0.97, 0.93), 0.99, 1.0
    loop.x[:, 3, 3] = (0.95, 0.05)
    loop.faults[0, 2, 2] = 1
    full = ((0, 0), (1, 1), (2, 2))
    xbar = crossbar.create(
        loop.xbar.device,
        SHAPE,
        TILE,
        params=loop.xbar.device.Params(step_up=jnp.asarray(loop.step_up)),
        x=jnp.asarray(loop.x),
        faults=loop.faults,
    )
    xbar = crossbar.cache(crossbar.set_active(xbar, 1, 0, False))
    controller = programming.write_verify.Params(STEP, modulation="unit", sides="one", budget=40)
    after, events = programming.rebalance(controller, xbar, 0.9, DT, None)
    wanted, verify = loop.weights(), 2 * sum(loop.active(i, j) for i, j in np.ndindex(SHAPE))
    for i, j in full:
        loop.x[:, i, j] = np.where(loop.faults[:, i, j] == 0, 0.0, loop.x[:, i, j])
        tries = 0
        while abs(error := wanted[i, j] - loop.weight(i, j)) > 0.02 and tries < 40:
            loop.write(i, j, np.sign(error), "one")
            tries += 1
        verify += 2 * (tries + 1)
    np.testing.assert_allclose(states(after), loop.x, rtol=0, atol=1e-12)
    counts = energy.total(events)
    assert counts["refresh"] == 2 * len(full) + loop.pulses
    assert counts["verify"] == verify
    assert counts["pulse"] == 0
    np.testing.assert_allclose(crossbar.weights(after), crossbar.weights(xbar), rtol=0, atol=0.02)
    np.testing.assert_allclose(
        crossbar.net_conductance(after), crossbar.net_conductance(crossbar.uncache(after)), rtol=0, atol=1e-16
    )
    with pytest.raises(ValueError, match="rebalance takes differential pairs"):
        programming.rebalance(controller, Loop(1).xbar, 0.9, DT, None)


def test_one_sided_writing_needs_its_balance():
    """Up and down by turns, a weight wears out its pair; looked after, it follows for good."""
    linear = EXPONENTIAL.Params(beta_up=0.0, beta_down=0.0)
    followed = {}
    for every in (0, 5):
        params = mixed_precision.Params(STEP, every=every)
        xbar = crossbar.create(EXPONENTIAL, (4, 3), params=linear, x=0.0)
        step, chi, sign = stepper("mixed_precision", params), mixed_precision.init(params, xbar), 1.0
        refreshed, wanted, off = 0, 0.0, 0.0
        for turn in range(60):
            sign = -sign if turn % 10 == 5 else sign
            dw = jnp.full((4, 3), 4 * sign * STEP)
            xbar, chi, events = step(chi, dw, xbar, turn, jax.random.key(turn))
            refreshed += energy.total(events)["refresh"]
            wanted += 4 * sign * STEP
            off = max(off, np.abs(np.asarray(crossbar.weights(xbar)) - wanted).max())
        assert (refreshed > 0) == (every > 0)
        followed[every] = off
    # Every rewriting may leave its tolerance; a pair with both devices at the top has no weight but zero.
    assert followed[5] < 0.1
    assert followed[0] == pytest.approx(20 * STEP, abs=0.01)


# --- tag and capture ----------------------------------------------------------------------------------------------

TAG = tag_capture.Params(STEP, leak=0.9, keep=0.8, tags=3)


def test_tag_and_capture_equals_a_loop(x64):
    loop = Loop(off=((1, 0),))
    xbar, state, step = loop.xbar, tag_capture.init(TAG, loop.xbar), stepper("tag_capture", TAG)
    a, products, unit, strong = np.zeros(SHAPE), np.zeros(5), 2 * STEP, 0
    for turn in range(30):
        xbar, state, events = step(state, outer(*drive(turn, size=0.02)), xbar, turn)
        a = 0.9 * a + np.outer(*drive(turn, size=0.02))
        before = loop.pulses
        for j in range(5):
            tagged = np.abs(a[:, j]) >= 0.5 * unit
            products[j] = 1.0 if tagged.sum() >= 3 else 0.8 * products[j]
            strong += tagged.sum() >= 3
            for i in range(13):
                if tagged[i] and products[j] >= 0.5:
                    pulses = np.sign(a[i, j]) * min(np.round(abs(a[i, j]) / unit), 4)
                    a[i, j] -= unit * pulses
                    loop.write(i, j, pulses)
        assert energy.total(events)["pulse"] == loop.pulses - before
        np.testing.assert_allclose(state.products, products, rtol=0, atol=1e-13)
    np.testing.assert_allclose(state.a, a, rtol=0, atol=1e-13)
    np.testing.assert_allclose(states(xbar), loop.x, rtol=0, atol=1e-12)
    assert 5 < strong < 100
    assert loop.pulses > 30


@pytest.mark.parametrize(
    "weak_at, strong_at, lasts", [(0, None, False), (0, 3, True), (3, 0, True), (0, 12, False), (12, 0, False)]
)
def test_weak_stimulation_lasts_where_strong_stimulation_comes_in_time(weak_at, strong_at, lasts):
    """Frey and Morris: a weak change is kept if other synapses of the neuron are strongly driven before or after it."""
    xbar = crossbar.create(EXPONENTIAL, (6, 2), params=EXPONENTIAL.Params(beta_up=0.0, beta_down=0.0))
    weak = jnp.zeros((6, 2)).at[0].set(1.6 * STEP)  # on both neurons; only the first is strongly driven
    strong = jnp.zeros((6, 2)).at[2:, 0].set(1.8 * STEP)
    step, state = stepper("tag_capture", TAG), tag_capture.init(TAG, xbar)
    for turn in range(20):
        dw = (weak if turn == weak_at else 0.0 * weak) + (strong if turn == strong_at else 0.0 * strong)
        xbar, state, _ = step(state, dw, xbar, turn)
    w = np.asarray(crossbar.weights(xbar))
    np.testing.assert_allclose(w[0, 0], 2 * STEP if lasts else 0, atol=1e-6)
    np.testing.assert_allclose(w[2:, 0], 0 if strong_at is None else 2 * STEP, atol=1e-6)
    np.testing.assert_allclose(w[:, 1], 0, atol=1e-6)
    np.testing.assert_allclose(w[1], 0, atol=1e-6)


# --- Tiki-Taka ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every, lines", [(1, None), (3, None), (2, 2)])
def test_tiki_taka_equals_a_loop(every, lines, x64):
    loop = Loop(stuck=0.05, off=((1, 1),))
    params = tiki_taka.Params(STEP, gain=3.0, transfer=0.4, every=every, max_pulses=2, lines=lines)
    xbar, state, step = loop.xbar, tiki_taka.init(params, loop.xbar), stepper("tiki_taka", params)
    # The fast array: the devices of the other in mirrored columns, and with its stuck ones.
    fast = Loop(stuck=0.05, x=0.5, off=((1, 1),))
    fast.step_up, fast.x = loop.step_up[..., ::-1], np.full_like(fast.x, 0.5)
    h, start, moved = np.zeros(SHAPE), fast.weights(), 0
    for turn in range(40):
        key, dw = jax.random.fold_in(jax.random.key(6), turn), np.outer(*drive(turn))
        xbar, state, events = step(state, outer(*drive(turn)), xbar, turn, key)
        wanted = 3.0 * dw / (2 * STEP)
        draw = np.asarray(noise.uniform(key, SHAPE, jnp.float64, salt=7))
        pulses = np.floor(np.abs(wanted)) + (draw < np.abs(wanted) % 1)
        before, mac = loop.pulses + fast.pulses, 0
        for i, j in np.ndindex(SHAPE):
            fast.write(i, j, np.clip(np.sign(wanted[i, j]) * pulses[i, j], -2, 2))
        looked = []
        if (turn + 1) % every == 0 and lines is None:
            looked = [(turn // every) % 13]
        elif (turn + 1) % every == 0:  # two lines of each of three tiles, of which the last has one
            first = 2 * ((turn // every) % 3)
            looked = [row for tile in (0, 6, 12) for row in (tile + first, tile + first + 1) if row < 13]
        for row in looked:
            for j in range(5):
                h[row, j] += 0.4 * (fast.weight(row, j) - start[row, j])
                fired = np.sign(h[row, j]) * (abs(h[row, j]) >= 2 * STEP)
                h[row, j] -= 2 * STEP * fired
                loop.write(row, j, fired)
                moved += abs(fired)
                mac += 2 * loop.active(row, j)
        counts = energy.total(events)
        assert counts["read"] == 10 * len(looked)
        assert counts["pulse"] == loop.pulses + fast.pulses - before
        assert counts["mac"] == mac
    active = np.vectorize(loop.active)(*np.indices(SHAPE))
    np.testing.assert_allclose(state.h[active], h[active], rtol=0, atol=1e-12)
    np.testing.assert_allclose(states(xbar), loop.x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(states(state.fast), fast.x, rtol=0, atol=1e-12)
    assert moved > 5


@pytest.mark.parametrize("name", ["exponential", "soft_bounds"])
def test_zero_shift_finds_where_up_and_down_steps_are_equal(name):
    device, up, down = devices.get(name), jnp.asarray(STEP), STEP * jnp.linspace(0.6, 1.5, 10)
    down = jnp.broadcast_to(down[None, :, None], (2, 10, 3))
    xbar = crossbar.create(device, (10, 3), params=device.Params(step_up=up, step_down=down))
    state = tiki_taka.zero_shift(tiki_taka.init(tiki_taka.Params(STEP), xbar), DT, None, pairs=400)
    if name == "exponential":  # and a pair ends with the down pulse, half of it below
        expected = 0.5 + np.log(up / down) / 2
        expected = expected - down * np.exp(expected - 0.5) / 2
    else:  # the fixed point of x <- (x + 2 up (1 - x)) (1 - 2 down)
        expected = 2 * up * (1 - 2 * down) / (1 - (1 - 2 * up) * (1 - 2 * down))
    np.testing.assert_allclose(states(state.fast), expected[..., ::-1], atol=5e-4 if name == "exponential" else 1e-5)
    np.testing.assert_array_equal(state.start, crossbar.weights(state.fast))


def test_tiki_taka_refuses_lines_that_do_not_divide_a_tile():
    with pytest.raises(ValueError, match="lines = 4: accepted is a divisor of the tile's 6 word lines"):
        tiki_taka.init(tiki_taka.Params(STEP, lines=4), Loop().xbar)
