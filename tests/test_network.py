"""The edge network against loops over neurons, devices and accumulators; noise against brute force. All in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax import crossbar, devices, encoding, energy, network, neurons, noise, programming, variation
from memjax.network import Architecture, Chip, EdgeNetwork, Physics
from memjax.programming import AccumulatorParams

DEVICE = devices.get("exponential")
SIZES, TILE, STEPS = (12, 8, 3), (5, 4), 5
NEURON = neurons.Params(leak=0.9, threshold=1.0, refractory=0)


def make(key=0, physics=None, settings=None, chip=None, **architecture):
    arch = Architecture(**{"device": DEVICE, "sizes": SIZES, "tile": TILE, "steps": STEPS} | architecture)
    chip = chip or Chip(
        params=DEVICE.Params(step_up=0.02, step_down=0.03),
        spread={"step_up": 0.2, "step_down": 0.2, "g_max": 0.1},
        stuck_on=0.05,
        stuck_off=0.05,
    )
    settings = settings or AccumulatorParams(step=0.025, fire_at=1.0, lines=1)
    return EdgeNetwork(arch, chip, physics or Physics(neuron=NEURON), settings, key=jax.random.key(key))


def weights(xbar):
    """(g+ - g-) over the mean range, from the devices' own parameters."""
    g = np.asarray(crossbar.conductance(xbar))
    return (g[0] - g[1]) / logical_range(xbar)


def logical(xbar, leaf):
    """A leaf [P, R, m, C, n] of an array as [P, rows, cols]."""
    leaf = np.asarray(leaf)
    p, r, m, c, n = leaf.shape
    return leaf.reshape(p, r * m, c * n)[:, : xbar.shape[0], : xbar.shape[1]]


def logical_range(xbar):
    return (logical(xbar, xbar.params.g_max) - 1e-6).mean()


def forward(inputs, w1, w2, neuron=NEURON, reset="subtract", width=1.0):
    """Present inputs [T, n_in], integrating one step after the other; returns y, hbar, psi, spikes [T, n]."""
    n_hidden, n_out = w2.shape
    v, o = np.zeros(n_hidden), np.zeros(n_out)
    y, psi, spikes = np.zeros(n_out), np.zeros(n_hidden), []
    for x in inputs:
        v = neuron.leak * v + x @ w1
        fired = v > neuron.threshold
        psi += np.maximum(0, 1 - np.abs(v - neuron.threshold) / width) / width / len(inputs)
        v = v - neuron.threshold * fired if reset == "subtract" else np.where(fired, 0.0, v)
        o = neuron.leak * o + fired @ w2
        y += o / len(inputs)
        spikes.append(fired.astype(float))
    hbar, trace = np.zeros(n_hidden), np.zeros(n_hidden)
    for fired in spikes:
        trace = neuron.leak * trace + fired
        hbar += trace / len(inputs)
    return y, hbar, psi, np.asarray(spikes)


def images(n=1, seed=0, size=SIZES[0]):
    rng = np.random.default_rng(seed)
    return rng.random((n, size)) * rng.integers(0, 2, (n, size))


@nnx.jit
def learn(net, x, label, turn, rates, key):
    return net.learn(x, label, rates, key, turn)


# --- the forward pass ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", neurons.RESETS)
@pytest.mark.parametrize("encoding, steps", [("direct", 5), ("direct", 20), ("latency", 6)])
def test_forward_equals_a_loop(encoding, steps, reset, x64):
    physics = Physics(neuron=NEURON, surrogate_width=0.7)
    net = make(encoding=encoding, steps=steps, reset=reset, physics=physics)
    w1, w2 = (weights(xbar) for xbar in net.arrays())
    batch, some = images(6), 0
    seen = nnx.jit(lambda net, x: net.present(x, jax.random.key(0)))(net, jnp.asarray(batch))
    for n, x in enumerate(batch):
        inputs = np.tile(x, (steps, 1))
        if encoding == "latency":
            inputs = np.zeros((steps, len(x)))
            for i, value in enumerate(x):
                if value > 0:
                    inputs[int(np.rint((1 - value) * (steps - 1))), i] = 1
        y, hbar, psi, spikes = forward(inputs, w1, w2, reset=reset, width=0.7)
        some += spikes.sum()
        np.testing.assert_allclose(seen.y[n], y, rtol=0, atol=1e-12)
        np.testing.assert_allclose(seen.hbar[n], hbar, rtol=0, atol=1e-12)
        np.testing.assert_allclose(seen.psi[n], psi, rtol=0, atol=1e-12)
        np.testing.assert_allclose(seen.xbar[n], inputs.mean(0), rtol=0, atol=1e-12)
    assert some > 10
    np.testing.assert_array_equal(net(jnp.asarray(batch), jax.random.key(0)).shape, (6, 3))


@pytest.mark.broad
def test_rate_coding_presents_spikes_of_the_right_rate(x64):
    net = make(encoding="rate", steps=50)
    x = images()[0]
    keys = jax.random.split(jax.random.key(0), 400)
    xbar = jax.jit(jax.vmap(lambda key: net.present(jnp.asarray(x), key).xbar))(keys)
    assert np.all(np.abs(xbar.mean(0) - x) <= 5 * np.sqrt(x * (1 - x) / (50 * 400)))
    assert np.unique(xbar).size > 10
    seen = net.present(jnp.asarray(x), jax.random.key(1))
    w1, w2 = (weights(array) for array in net.arrays())
    drawn = encoding.rate(jnp.asarray(x), 50, noise.fold_in(jax.random.key(1), "encode"))
    np.testing.assert_allclose(seen.y, forward(np.asarray(drawn), w1, w2)[0], rtol=0, atol=1e-12)


def test_read_noise_is_that_of_single_devices_read_at_every_step():
    """Every device of both arrays noisy at every read, in NumPy, against the network's few draws."""
    draws, sigma = 4000, 0.05
    net, x = make(physics=Physics(neuron=NEURON, read_noise=sigma)), images(seed=3)[0]
    w1, w2 = (weights(xbar).astype(float) for xbar in net.arrays())
    keys = jax.random.split(jax.random.key(0), draws)
    x_jax = jnp.asarray(x, jnp.float32)
    found = np.asarray(jax.jit(jax.vmap(lambda key: net(x_jax, key)))(keys), np.float64)

    rng, brute = np.random.default_rng(0), np.zeros((draws, 3))
    v, o = np.zeros((draws, 8)), np.zeros((draws, 3))
    for _ in range(STEPS):  # the noise of a pair of devices has the variance of both
        v = 0.9 * v + np.einsum("i,dij->dj", x, w1 + sigma * 2**0.5 * rng.normal(size=(draws, 12, 8)))
        fired = v > 1
        v = v - fired
        o = 0.9 * o + np.einsum("dj,djk->dk", fired, w2 + sigma * 2**0.5 * rng.normal(size=(draws, 8, 3)))
        brute += o / STEPS
    sd = brute.std(0)
    assert np.all(sd > 0.02)
    assert np.all(np.abs(found.mean(0) - brute.mean(0)) < 5 * sd * (2 / draws) ** 0.5)
    np.testing.assert_allclose(found.std(0), sd, rtol=5 * (1 / draws) ** 0.5)
    difference = np.corrcoef(found.T) - np.corrcoef(brute.T)
    assert np.max(np.abs(difference)) < 5 * (2 / draws) ** 0.5


# --- events -------------------------------------------------------------------------------------------------------


def test_events_by_hand(x64):
    net = make(sizes=(4, 3, 2), tile=(2, 2))
    x = np.asarray([1.0, 0.0, 0.5, 0.0])
    w1, w2 = (weights(xbar) for xbar in net.arrays())
    y, hbar, psi, spikes = forward(np.tile(x, (STEPS, 1)), w1, w2)
    _, inference, training = learn(net, jnp.asarray(x), 1, 0, (0.05, 0.05), jax.random.key(0))
    inference, training = energy.total(inference), energy.total(training)
    # Two inputs over five steps reach three pairs of devices each; every spike reaches two pairs.
    assert inference["mac"] == 2 * 5 * 3 * 2 + spikes.sum() * 2 * 2
    assert inference["read"] == 5 * 3 * 2 + 5 * 2 * 2
    # The error is read back through the second array once: two lines reach three rows each.
    assert training["mac"] == 2 * 3 * 2
    assert training["read"] == 3 * 2
    error = np.exp(y * net.physics.get_value().output_gain)
    back = w2 @ (error / error.sum() - [0, 1])
    assert training["accumulate"] == 2 * np.count_nonzero(psi * back) + np.count_nonzero(hbar) * 2
    assert inference["pulse"] == inference["accumulate"] == 0


# --- learning -----------------------------------------------------------------------------------------------------


class EagerLayer:
    """An array of exponential devices and its accumulators, each touched one at a time."""

    def __init__(self, xbar, settings):
        self.xbar, self.settings = xbar, settings
        self.x = logical(xbar, xbar.state.x).copy()
        self.faults = logical(xbar, xbar.faults)
        self.up, self.down, g_max = (logical(xbar, getattr(xbar.params, f)) for f in ("step_up", "step_down", "g_max"))
        self.g_range = g_max - 1e-6
        self.a = np.zeros(xbar.shape)

    @property
    def w(self):
        g = self.g_range * self.x
        return (g[0] - g[1]) / self.g_range.mean()

    def program(self, dw, turn):
        s, m = self.settings, self.xbar.tile[0]
        self.a = s.leak * self.a + dw
        slot, unit, pulses = turn % (m // s.lines), s.fire_at * s.step, 0
        for i, j in np.argwhere(np.abs(self.a) >= unit):
            if not slot * s.lines <= i % m < (slot + 1) * s.lines:
                continue
            sign = np.sign(self.a[i, j])
            self.a[i, j] -= sign * unit
            for p, way in ((0, sign), (1, -sign)):
                pulses += 1
                x = self.x[p, i, j]
                if self.faults[p, i, j] == 0:
                    up, down = self.up[p, i, j] * np.exp(0.5 - x), self.down[p, i, j] * np.exp(x - 0.5)
                    self.x[p, i, j] = min(1.0, x + up) if way > 0 else max(0.0, x - down)
        return pulses


@pytest.mark.parametrize("feedback, cached", [("symmetric", False), ("symmetric", True), ("random", True)])
def test_learning_equals_a_loop_over_devices(feedback, cached, x64):
    """Twelve samples in a row: outputs, devices, accumulators and pulses of both layers."""
    settings = AccumulatorParams(step=0.02, fire_at=1.0, leak=0.97, lines=1)
    physics = Physics(neuron=NEURON, output_gain=2.0, surrogate_width=0.8)
    net = make(settings=settings, physics=physics, feedback=feedback)
    net.cache(cached)
    layers = [EagerLayer(xbar, settings) for xbar in net.arrays()]
    rng, batch, rates = np.random.default_rng(1), images(12, seed=2), (0.3, 0.2)
    fixed = np.asarray(net.feedback.get_value()) if feedback == "random" else None
    total = 0
    for turn, (x, label) in enumerate(zip(batch, rng.integers(0, 3, 12), strict=True)):
        w1, w2 = (layer.w for layer in layers)
        y, hbar, psi, spikes = forward(np.tile(x, (STEPS, 1)), w1, w2, width=0.8)
        found, inference, training = learn(net, jnp.asarray(x), int(label), turn, rates, jax.random.key(0))
        np.testing.assert_allclose(found, y, rtol=0, atol=1e-12)
        error = np.exp(2.0 * y) / np.exp(2.0 * y).sum() - np.eye(3)[label]
        back = (w2 if feedback == "symmetric" else fixed) @ error
        dw1, dw2 = -0.3 * np.outer(x, psi * back), -0.2 * np.outer(hbar, error)
        pulses = layers[0].program(dw1, turn) + layers[1].program(dw2, turn)
        total += pulses
        counts = energy.total(training)
        assert counts["pulse"] == pulses
        assert counts["accumulate"] == np.count_nonzero(dw1) + np.count_nonzero(dw2)
        assert counts["mac"] == (2 * 3 * 8 if feedback == "symmetric" else 0)
        assert energy.total(inference)["mac"] == 2 * (STEPS * np.count_nonzero(x) * 8 + spikes.sum() * 3)
    assert total > 50
    for layer, xbar, made in zip(layers, net.arrays(), (net.hidden, net.output), strict=True):
        np.testing.assert_allclose(logical(xbar, xbar.state.x), layer.x, rtol=0, atol=1e-12)
        left = programming.collected(settings, made.volatile.get_value(), xbar, 12)
        np.testing.assert_allclose(left, layer.a, rtol=0, atol=1e-12)
        if cached:
            np.testing.assert_allclose(crossbar.net_conductance(xbar), layer.w * layer.g_range.mean(), atol=1e-16)
    if feedback == "random":
        np.testing.assert_array_equal(net.feedback.get_value(), fixed)


def test_the_frameworks_rule_changes_the_second_array_alone(x64):
    settings = AccumulatorParams(step=0.02, lines=None)
    net = make(settings=settings, rule="error_driven")
    first, second = net.arrays()
    x, w1, w2 = images()[0], weights(first), weights(second)
    y, hbar, *_ = forward(np.tile(x, (STEPS, 1)), w1, w2)
    gain = net.physics.get_value().output_gain
    learn(net, jnp.asarray(x), 2, 0, (0.0, 0.1), jax.random.key(0))
    error = np.eye(3)[2] - np.exp(gain * y) / np.exp(gain * y).sum()
    wanted = 0.1 * w2 * error * hbar[:, None]
    fired = np.sign(wanted) * (np.abs(wanted) >= 0.04)
    np.testing.assert_allclose(net.output.volatile.get_value().a, wanted - 0.04 * fired, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(weights(net.arrays()[0]), w1)
    assert not net.hidden.volatile.get_value().a.any()


@pytest.mark.parametrize("programmer", programming.names())
def test_every_programmer_learns_one_image(programmer):
    """Shown again and again, an image is told apart: the error of its class falls."""
    settings = {
        "sign": programming.SignParams(threshold=2e-3),
        "tag_capture": programming.tag_capture.Params(step=0.02, tags=1),
        "tiki_taka": programming.tiki_taka.Params(step=0.02, gain=20.0),
    }.get(programmer, programming.settings(programming.get(programmer), 0.02))
    chip = Chip(params=DEVICE.Params(), spread={"step_up": 0.2}, stuck_on=0.01, stuck_off=0.01)
    net = make(settings=settings, programmer=programmer, chip=chip)
    x = jnp.asarray(images(seed=5)[0], jnp.float32)
    keys = jax.random.split(jax.random.key(0), 60)
    outputs = [np.asarray(learn(net, x, 1, turn, (0.05, 0.05), key)[0]) for turn, key in enumerate(keys)]
    margin = [y[1] - max(y[0], y[2]) for y in outputs]
    assert margin[-1] > margin[0] + 0.2


# --- state --------------------------------------------------------------------------------------------------------


def test_split_separates_weights_chip_and_what_fades():
    net = make()
    x, key = jnp.asarray(images(), jnp.float32), jax.random.key(1)
    before = net(x, key)
    graph, trained, sampled, volatile, rest = nnx.split(net, network.Weight, network.Sampled, network.Volatile, ...)
    first, second = net.arrays()
    assert sorted(leaf.shape for leaf in jax.tree.leaves(trained)) == sorted(
        xbar.state.x.shape for xbar in (first, second)
    )
    assert len(jax.tree.leaves(volatile)) == 6  # collected, and the two factors of what waits, of two layers
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(volatile))
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(sampled)]
    assert shapes.count(first.params.step_up.shape) == 3 + 1  # three fields spread, and the faults
    assert not jax.tree.leaves(rest)
    np.testing.assert_array_equal(nnx.merge(graph, trained, sampled, volatile, rest)(x, key), before)
    # The same weights on another chip: the trained pytree fits there, and the output follows the chip's own devices.
    _, _, other, _, _ = nnx.split(make(key=1), network.Weight, network.Sampled, network.Volatile, ...)
    assert not np.allclose(nnx.merge(graph, trained, other, volatile, rest)(x, key), before)


def test_a_chip_is_reproducible_from_its_key_and_spread_does_not_reshuffle_it():
    plain = Chip(params=DEVICE.Params(), spread={"step_up": 0.2}, stuck_on=0.1)
    more = plain._replace(spread={"g_max": 0.1, "step_up": 0.2})
    one, again, other = make(3, chip=plain), make(3, chip=plain), make(4, chip=plain)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(one), nnx.state(again))
    (first, second), (changed, _) = one.arrays(), other.arrays()
    assert np.mean(first.params.step_up == changed.params.step_up) < 0.01
    assert not np.array_equal(first.faults, changed.faults)
    spread, _ = make(3, chip=more).arrays()
    np.testing.assert_array_equal(first.params.step_up, spread.params.step_up)
    np.testing.assert_array_equal(first.faults, spread.faults)
    np.testing.assert_array_equal(first.state.x, spread.state.x)
    size = second.params.step_up.size
    assert np.mean(np.ravel(first.params.step_up)[:size] == np.ravel(second.params.step_up)) < 0.05


@pytest.mark.broad
def test_first_weights_have_the_scale_that_is_asked_for():
    chip = Chip(params=DEVICE.Params(), spread={}, init_gain=1.5)
    net = make(chip=chip, sizes=(400, 100, 100), tile=(64, 64), settings=AccumulatorParams(step=0.02))
    for xbar, fan_in in zip(net.arrays(), (400, 100), strict=True):
        w = np.asarray(crossbar.weights(xbar), np.float64)
        assert abs(w.std() * fan_in**0.5 / 1.5 - 1) < 5 / (2 * w.size) ** 0.5
        assert abs(w.mean()) < 5 * w.std() / w.size**0.5


def test_stuck_devices_never_learn():
    net = make()
    before = [logical(xbar, xbar.state.x) for xbar in net.arrays()]
    for turn, x in enumerate(images(20)):
        learn(net, jnp.asarray(x, jnp.float32), 0, turn, (0.5, 0.5), jax.random.key(0))
    for x, xbar in zip(before, net.arrays(), strict=True):
        stuck = logical(xbar, xbar.faults) != 0
        assert stuck.any()
        np.testing.assert_array_equal(logical(xbar, xbar.state.x)[stuck], x[stuck])
        np.testing.assert_array_equal(x[stuck], logical(xbar, xbar.faults)[stuck] > 0)


@pytest.mark.parametrize("bits", [32, 64])
def test_float_types(bits):
    with jax.enable_x64(bits == 64):
        net = make(feedback="random", physics=Physics(read_noise=0.02))
        dtype = np.dtype(f"float{bits}")
        y, *_ = learn(net, jnp.asarray(images()[0], dtype), 1, 0, (0.1, 0.1), jax.random.key(0))
        assert y.dtype == dtype
        assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(net, network.Weight, network.Volatile))} == {dtype}


@pytest.mark.broad
def test_c2c_noise_is_drawn_at_every_write():
    """The same pulses on devices with and without noise: a noisy step is 1 + 0.3 xi times the plain one."""
    x, noisy = jnp.asarray(images(seed=7, size=60)[0], jnp.float32), devices.with_c2c_noise(DEVICE)
    moved = []
    for device, c2c, key in ((DEVICE, None, 0), (noisy, 0.3, 0), (noisy, 0.3, 1)):
        chip = Chip(params=DEVICE.Params(), spread={}, c2c=c2c)
        settings = AccumulatorParams(step=1e-9, lines=None)  # every change fires
        net = make(device=device, chip=chip, settings=settings, sizes=(60, 40, 10), tile=(64, 64))
        before = np.asarray(net.arrays()[0].state.x)
        learn(net, x, 0, 0, (1.0, 1.0), jax.random.key(key))
        moved.append(np.asarray(net.arrays()[0].state.x) - before)
    pulsed = moved[0] != 0
    xi = [(np.float64(some[pulsed]) / moved[0][pulsed] - 1) / 0.3 for some in moved[1:]]
    n = xi[0].size
    assert n > 1000
    for some in xi:
        assert abs(some.mean()) < 5 / n**0.5
        assert abs(some.std() - 1) < 5 / (2 * n) ** 0.5
    assert abs(np.corrcoef(xi)[0, 1]) < 5 / n**0.5
    assert not np.any(moved[1][~pulsed])


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        ({"encoding": "ttfs"}, "encoding = 'ttfs': accepted is one of direct, rate, latency"),
        ({"rule": "bp"}, "rule = 'bp': accepted is one of three_factor, error_driven"),
        ({"feedback": "none"}, "feedback = 'none': accepted is one of symmetric, random"),
        ({"reset": "hard"}, "reset = 'hard': accepted is one of subtract, zero"),
        ({"programmer": "ideal"}, "unknown programmer 'ideal'"),
        ({"programmer": "sign"}, "settings are AccumulatorParams: accepted is SignParams, of programmer 'sign'"),
        ({"steps": 0}, "steps = 0: accepted is at least 1"),
        ({"sizes": (12, 0, 3)}, r"sizes = \(12, 0, 3\)"),
        ({"physics": Physics(neuron=neurons.Params(leak=1.5))}, "leak = 1.5"),
        ({"chip": Chip(params=DEVICE.Params(), spread={"steps": 0.1})}, "no field 'steps'"),
        ({"chip": Chip(params=DEVICE.Params(), spread={"step_up": variation.Spread(-1.0)})}, "sigma of step_up = -1.0"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        make(**change)


@pytest.mark.parametrize("lines", [1, None])
def test_every_product_asks_for_full_precision(lines):
    """Else it is taken with ten bits of mantissa on a GPU, where this test does not run."""
    settings = AccumulatorParams(step=0.025, lines=lines)
    learner, init = network.functional(lambda key: make(settings=settings, physics=Physics(read_noise=0.02)))
    state = jax.eval_shape(init, jax.random.key(0))
    x, turn = jnp.ones(SIZES[0]), jnp.asarray(0, jnp.int32)
    program = jax.jit(learner.learn).lower(state, x, turn, (0.1, 0.1), jax.random.key(0), turn).as_text()
    products = [line for line in program.splitlines() if "stablehlo.dot_general" in line]
    assert len(products) > 8
    assert [line for line in products if "precision = [HIGHEST, HIGHEST]" not in line] == []
