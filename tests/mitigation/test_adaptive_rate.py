"""Own steps: measured on ideal devices exactly, on noisy ones as well as stated, and learning that goes by them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import config, crossbar, devices, energy, network, programming, training, variation
from memjax.mitigation import adaptive_rate
from memjax.plasticity import Outer

INNER = devices.get("exponential")
NOISY = devices.with_c2c_noise(INNER)
STEP, DT = 1 / 256, 1e-8
EXACT = adaptive_rate.Params(pulses=4, reads=1, c2c=0.0, low=0.0, high=100.0, tolerance=1e-3)


def array(shape, polarity=2, c2c=None, spread=0.6, key=0, **kwargs):
    """Linear devices with steps of their own, up and down apart, and what these make of a pulse on every weight."""
    nominal = INNER.Params(beta_up=0.0, beta_down=0.0, step_up=STEP, step_down=STEP)
    logical = (polarity, *shape)
    inner = variation.sample_params(nominal, {"step_up": spread, "step_down": spread}, logical, jax.random.key(key))
    real = jnp.result_type(float)
    device, params = (INNER, inner) if c2c is None else (NOISY, NOISY.Params(inner=inner, sigma=c2c))
    x = 0.5 + np.random.default_rng(key).uniform(-0.1, 0.1, logical).astype(real)
    xbar = crossbar.create(device, shape, 16, polarity=polarity, params=params, x=x, **kwargs)
    up, down = np.asarray(inner.step_up, np.float64) / STEP, np.asarray(inner.step_down, np.float64) / STEP
    if polarity == 1:
        return xbar, np.stack([down[0], up[0]])
    return xbar, np.stack([down[0] + up[1], up[0] + down[1]]) / 2


measure = jax.jit(adaptive_rate.measure)


@pytest.mark.parametrize("polarity", [1, 2])
def test_without_noise_it_finds_the_devices_own_steps(polarity):
    xbar, own = array((20, 12), polarity)
    after, gain, events = measure(EXACT, xbar, STEP, DT, None)
    np.testing.assert_allclose(gain, own, rtol=2e-3)  # float32 reads, of 8 steps
    assert np.abs(crossbar.weights(after) - crossbar.weights(xbar)).max() <= 1e-3 * polarity + 1e-6
    counts, trains = energy.total(events), 16 * polarity * 240
    back = counts["pulse"] - trains
    assert 0 < back < 6 * polarity * 240
    # Four looks, one at the start of programming back and one after each of its pulses.
    assert counts["verify"] == 5 * polarity * 240 + back


def test_with_noise_it_errs_as_stated_and_believes_less_than_it_sees():
    """Error of the posterior mean: p s^2 / (p + s^2), p the variance of a pair's step and s of its observation."""
    shape, n, reads, c2c, noise = (100, 100), 4, 4, 0.3, 0.004
    xbar, own = array(shape, c2c=c2c, spread=0.3)
    params = adaptive_rate.Params(pulses=n, reads=reads, d2d=0.3, c2c=c2c)
    _, gain, _ = measure(params, xbar, STEP, DT, jax.random.key(1), read_noise=noise)
    p, sd = 0.3**2 / 2, noise * (2 / reads) ** 0.5 / (2 * n * 2 * STEP)
    for k, looks in ((0, 2), (1, 4)):
        # C2C is relative to each device's own step, the mean square of which is 1 + 0.3^2.
        s2 = c2c**2 * 1.09 / (2 * n * 2) + looks * sd**2
        error = np.mean((np.asarray(gain[k], np.float64) - own[k]) ** 2)
        assert abs(error / (p * s2 / (p + s2)) - 1) < 0.12
        assert np.var(gain[k]) < np.var(own[k])


def test_stuck_partners_count_and_stuck_pairs_are_bounded():
    faults = np.zeros((2, 20, 12), np.int8)
    faults[0, 3, 4] = 1
    faults[:, 5, 6] = -1
    xbar, _ = array((20, 12), spread=0.0, faults=faults)
    params = EXACT.replace(low=0.25)
    _, gain, _ = measure(params, xbar, STEP, DT, None)
    np.testing.assert_allclose(gain[:, 3, 4], 0.5, rtol=2e-3)
    np.testing.assert_array_equal(gain[:, 5, 6], 0.25)
    np.testing.assert_allclose(gain[:, 0, 0], 1.0, rtol=2e-3)


@pytest.mark.parametrize("lines", [4, None])
def test_what_is_wanted_is_carried_out_whatever_the_steps(lines, x64):
    """Weights moved and what still waits add up to the wanted changes; with the nominal step they do not."""
    xbar, own = array((20, 12))
    xbar = crossbar.set_state(xbar, jnp.full((2, 20, 12), 0.5, jnp.float64))
    programmer, rng = programming.get("accumulator"), np.random.default_rng(1)
    factors = rng.normal(size=(24, 20)), rng.normal(size=(24, 12)) * 0.01

    def left(own):
        params = programming.AccumulatorParams(step=STEP, lines=lines, own=own)

        def call(carry, inputs):
            (a, b), turn = inputs
            xbar, state, _ = programmer.step(params, carry[1], Outer(a[None], b[None]), carry[0], DT, None, turn)
            return (xbar, state), None

        start, turns = (xbar, programmer.init(params, xbar)), jnp.arange(24, dtype=jnp.int32)
        (after, state), _ = jax.lax.scan(call, start, (tuple(map(jnp.asarray, factors)), turns))
        waits = programming.collected(params, state, after, 24)
        return np.asarray(crossbar.weights(after) - crossbar.weights(xbar) + waits) - factors[0].T @ factors[1]

    told = left(jnp.asarray(own))
    assert np.abs(told).max() < 1e-6 < 0.01 < np.abs(left(None)).max()


def test_a_network_measures_every_chip_for_itself():
    device = devices.get("exponential")
    arch = network.Architecture(device=device, sizes=(20, 12, 4), tile=(16, 16))
    settings = programming.settings(programming.get("accumulator"), 1 / 64)
    chip = network.Chip(device.Params(), {"step_up": 0.6}, own_steps=adaptive_rate.Params(pulses=2, reads=2))

    def gains(key):
        net = network.EdgeNetwork(arch, chip, network.Physics(read_noise=0.01), settings, key=key)
        return [layer.sampled.get_value()["programmer"].own for layer in (net.hidden, net.output)]

    hidden, output = jax.jit(jax.vmap(gains))(jax.random.split(jax.random.key(0), 2))
    assert hidden.shape == (2, 2, 20, 12)
    assert output.shape == (2, 2, 12, 4)
    assert np.all(np.std(hidden, axis=0) > 0)
    signs = arch._replace(programmer="sign")
    with pytest.raises(ValueError, match="SignParams has no field `own`: its programmer goes by no own steps"):
        network.EdgeNetwork(signs, chip, network.Physics(), programming.SignParams(), key=jax.random.key(0))


def test_a_configuration_asks_for_it():
    wanted = config.load_text("learning: {measured_pulses: 3, measured_reads: 2}")
    made = training.parts(wanted).chip.own_steps
    assert (made.pulses, made.reads) == (3, 2)
    assert training.parts(config.load_text("")).chip.own_steps is None


def test_refused():
    xbar, _ = array((20, 12))
    with pytest.raises(ValueError, match="read noise is drawn at every read: give a key"):
        adaptive_rate.measure(EXACT, xbar, STEP, DT, None, read_noise=0.01)
    with pytest.raises(ValueError, match="sides = 'left'"):
        adaptive_rate.measure(EXACT, xbar, STEP, DT, None, sides="left")
