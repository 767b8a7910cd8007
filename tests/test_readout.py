"""The readout: its blocks against the plain loop, both against NumPy, and what it counts and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices, learning, noise, programming, readout, variation

ROWS, COLS, TILE, LINES = 21, 5, (8, 3), 2  # three tiles of lines, the last one in part; four turns a round
PERIOD = TILE[0] // LINES
LEVELS, BETA, ETA, GAIN, LEAK, MARGIN = 16, 1.0, 0.2, 2.0, 0.97, 0.15


def make(key=None, c2c=0.0, d2d=0.0, stuck=0.0, beta=BETA, read_noise=None, lines=LINES, leak=LEAK, **changed):
    """Return a readout of small arrays; key None: devices as they are nominally."""
    bare = devices.get("exponential")
    nominal = bare.Params(step_up=1 / LEVELS, step_down=1 / LEVELS, beta_up=beta, beta_down=beta)
    settings = programming.AccumulatorParams(programming.weight_step(bare, nominal), leak=leak, lines=lines)
    device, params, faults = bare, nominal, None
    if key is not None:
        spread = {"step_up": d2d, "step_down": d2d}
        params = variation.sample_params(nominal, spread, (2, ROWS, COLS), key)
        device = devices.with_c2c_noise(bare)
        params = device.Params(inner=params, sigma=c2c)
        faults = variation.sample_stuck((2, ROWS, COLS), stuck / 2, stuck / 2, key)
    xbar = crossbar.create(device, (ROWS, COLS), TILE, params=params, x=0.5, faults=faults)
    return readout.create(readout.Constants(settings, GAIN, read_noise=read_noise, **changed), xbar)


def samples(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, ROWS)) * (rng.random((n, ROWS)) < 0.7)
    dtype = jnp.result_type(float)
    return jnp.asarray(x, dtype), jnp.asarray(rng.integers(0, COLS, n), jnp.int32), jnp.full(n, ETA, dtype)


def plain(state, x, labels, rates, key):
    """The same samples through the learner that takes any programmer."""
    learner = readout.learner()

    def one(state, given):
        x, label, rate, turn = given
        state, (y, seen, spent) = learner.learn(state, x, label, rate, jax.random.fold_in(key, turn), turn)
        return state, learning.Record(learning.hits(y, label), seen, spent)

    return jax.lax.scan(one, state, (x, labels, rates, jnp.arange(len(x), dtype=jnp.int32)))


def assert_same(one, other, rtol):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=rtol, atol=rtol)


def test_blocks_equal_the_plain_loop_with_all_that_is_drawn():
    key, x, labels, rates = jax.random.key(3), *samples(32 * PERIOD)
    start = make(jax.random.key(0), c2c=0.3, d2d=0.3, stuck=0.1, read_noise=0.02, margin=MARGIN)
    start = start.replace(xbar=crossbar.set_active(start.xbar, 1, 1, False))
    wanted, record = jax.jit(plain)(start, x, labels, rates, key)
    found, blocks = jax.jit(readout.learn)(start, x, labels, rates, key)
    assert int(jnp.sum(record.training.pulse)) > 500  # of which none is at another place, or of another size
    rtol = 1e-10 if x.dtype == jnp.float64 else 2e-5
    assert_same(record, blocks, 0)
    assert_same((wanted.xbar, wanted.pending), (found.xbar, found.pending), rtol)
    # In two parts, from what the first leaves, it is the same to the bit.
    half = 16 * PERIOD
    first, _ = jax.jit(readout.learn)(start, x[:half], labels[:half], rates[:half], key)
    second, _ = jax.jit(readout.learn)(first, x[half:], labels[half:], rates[half:], key, half)
    assert_same((second.xbar, second.pending), (found.xbar, found.pending), rtol)
    np.testing.assert_allclose(
        crossbar.net_conductance(found.xbar), crossbar.net_conductance(crossbar.uncache(found.xbar)), rtol=1e-5
    )


def numpy_loop(x, labels, rates, margin):
    """What the docstrings say, one device at a time."""
    up = np.full((2, ROWS, COLS), 0.5)
    a, step, unit = np.zeros((ROWS, COLS)), 1 / LEVELS, 2 / LEVELS
    counts, right = {"mac": [], "read": [], "accumulate": [], "pulse": []}, []
    for turn, (sample, label, eta) in enumerate(zip(x, labels, rates, strict=True)):
        y = sample @ (up[0] - up[1])
        p = np.exp(GAIN * (y - y.max()))
        e = np.eye(COLS)[label] - p / p.sum()
        e = np.where(np.abs(e) < margin, 0, e)
        a = LEAK * a + eta * np.outer(sample, e)
        right.append(np.argmax(y) == label)
        pulses = 0
        for i in range(ROWS):
            if (i % TILE[0]) // LINES != turn % PERIOD:
                continue
            for j in range(COLS):
                if abs(a[i, j]) < unit:
                    continue
                sign = np.sign(a[i, j])
                a[i, j] -= sign * unit
                for device, s in ((0, sign), (1, -sign)):
                    moved = s * step * np.exp(-s * BETA * (up[device, i, j] - 0.5))
                    up[device, i, j] = np.clip(up[device, i, j] + moved, 0, 1)
                    pulses += 1
        counts["mac"].append(2 * COLS * np.count_nonzero(sample))
        counts["read"].append(2 * COLS)
        counts["accumulate"].append(np.count_nonzero(sample) * np.count_nonzero(eta * e))
        counts["pulse"].append(pulses)
    return up[0] - up[1], right, counts


def test_blocks_equal_a_numpy_loop():
    x, labels, rates = samples(40 * PERIOD, seed=1)
    rates = rates.at[5:8].set(0.0)  # samples that are looked at and not learned
    found, record = jax.jit(readout.learn)(make(margin=MARGIN), x, labels, rates, jax.random.key(0))
    weights, right, counts = numpy_loop(*(np.asarray(each) for each in (x, labels, rates)), MARGIN)
    np.testing.assert_allclose(crossbar.weights(found.xbar), weights, atol=2e-5)
    np.testing.assert_array_equal(record.correct, right)
    events = {"mac": record.inference.mac, "read": record.inference.read}
    events |= {"accumulate": record.training.accumulate, "pulse": record.training.pulse}
    for name, number in events.items():
        np.testing.assert_array_equal(number, counts[name], err_msg=name)
    assert sum(counts["pulse"]) > 500
    assert np.any(np.asarray(counts["accumulate"]) < np.asarray(counts["mac"]) / 2)  # some outputs were right enough


def test_it_learns_a_teacher():
    x, _, rates = samples(600 * PERIOD, seed=2)
    labels = jnp.argmax(x @ jax.random.normal(jax.random.key(5), (ROWS, COLS), x.dtype), axis=1).astype(jnp.int32)
    start = make(jax.random.key(1), c2c=0.3, d2d=0.2, stuck=0.02, read_noise=0.02, leak=1.0)
    _, record = jax.jit(readout.learn)(start, x, labels, 0.2 * rates, jax.random.key(2))
    late = np.mean(np.asarray(record.correct)[-800:])
    assert late > 0.8, late
    pulses = np.asarray(record.training.pulse)
    assert pulses[-800:].mean() < 0.5 * pulses[:100].mean()


def test_draws_have_the_stated_moments_and_are_not_used_twice():
    """Every line fires at every turn; what a pulse moves beyond its step is the C2C noise that it drew."""
    start = make(jax.random.key(0), c2c=0.3, beta=0.0)
    settings = start.constants.settings.replace(fire_at=1e-3)
    start = start.replace(constants=start.constants.replace(settings=settings, gain=0.0))
    n, seen, state = 12, [], start
    x, labels, rates = samples(n * PERIOD, seed=3)
    step = jax.jit(readout.learn)
    for k in range(n):
        part = slice(k * PERIOD, (k + 1) * PERIOD)
        after, _ = step(state, jnp.ones_like(x[part]), labels[part], rates[part], jax.random.key(1), k * PERIOD)
        moved = crossbar.conductance(after.xbar) - crossbar.conductance(state.xbar)
        seen.append(np.asarray(moved / crossbar.conductance_range(state.xbar)))
        state = after.replace(xbar=crossbar.cache(crossbar.set_state(after.xbar, 0.5)))
    moved = np.stack(seen)
    xi = (np.abs(moved) * LEVELS - 1) / 0.3
    count = xi.size
    assert abs(xi.mean()) < 4 / count**0.5
    assert abs(xi.std() - 1) < 4 / (2 * count) ** 0.5
    flat = xi.reshape(n, -1)
    rounds, pairs = ((flat[:-1], flat[1:]), (xi[:, 0], xi[:, 1]))
    again = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in (rounds, pairs)]
    assert np.max(np.abs(again)) < 4 / count**0.5 * 2**0.5
    # 32 bits of conductance tell about 1e5 values apart in a standard deviation: a few of 2520 meet by chance.
    assert len(np.unique(np.round(xi, 5))) > 0.99 * count

    x = jnp.ones((4000, ROWS), x.dtype)
    keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.key(4), k))(jnp.arange(len(x)))
    noisy = make(read_noise=0.02)
    y = np.asarray(jax.vmap(lambda x, key: readout.predict(noisy, x, noise.fold_in(key, "read")))(x, keys))
    np.testing.assert_allclose(y.std(axis=0), 0.02 * (2 * ROWS) ** 0.5, rtol=4 / (2 * len(x)) ** 0.5)
    assert np.max(np.abs(np.corrcoef(y.T) - np.eye(COLS))) < 4.5 / len(x) ** 0.5
    assert np.abs(np.mean(y[1:] * y[:-1]) / np.mean(y**2)) < 4 / y.size**0.5


def test_what_it_refuses():
    x, labels, rates = samples(PERIOD + 1)
    with pytest.raises(ValueError, match="multiple of 4"):
        readout.learn(make(), x, labels, rates, jax.random.key(0))
    with pytest.raises(ValueError, match="first = 3: accepted is a multiple of 4"):
        readout.learn(make(), x[:PERIOD], labels[:PERIOD], rates[:PERIOD], jax.random.key(0), 3)
    with pytest.raises(ValueError, match="accumulator with turns"):
        readout.learn(make(lines=None), x, labels, rates, jax.random.key(0))
    own = make()
    settings = own.constants.settings.replace(own=np.ones((2, ROWS, COLS), np.float32))
    with pytest.raises(ValueError, match="got own steps"):
        readout.learn(
            own.replace(constants=own.constants.replace(settings=settings)), x, labels, rates, jax.random.key(0)
        )
    volatile = make()
    relaxing = devices.get("volatile")
    volatile = volatile.replace(xbar=crossbar.create(relaxing, (ROWS, COLS), TILE))
    with pytest.raises(ValueError, match="change at rest"):
        readout.learn(volatile, x, labels, rates, jax.random.key(0))
