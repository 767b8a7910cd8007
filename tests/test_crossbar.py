"""The modular array against dense matrices, loops over single devices and brute-force noise, all in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from memjax import crossbar, devices, energy, variation
from memjax.crossbar import Lines

SOFT, EXPONENTIAL, VOLATILE = (devices.get(name) for name in ("soft_bounds", "exponential", "volatile"))
SIZES = [((784, 100), 28), ((100, 37), 10), ((50, 30), (7, 16)), ((6, 5), None)]
DT = 2e-3


def random_array(device=SOFT, shape=(13, 9), tile=(4, 5), polarity=2, stuck=0.0):
    """An array of different devices, with what it was made of."""
    rng = np.random.default_rng(0)
    logical = (polarity, *shape)
    x = rng.random(logical)
    g_max = 1e-4 * rng.uniform(0.5, 1.5, logical)
    faults = rng.choice([0, 1, -1], logical, p=[1 - stuck, stuck / 2, stuck / 2]).astype(np.int8) if stuck else None
    params = device.Params(g_max=jnp.asarray(g_max))
    made = crossbar.create(device, shape, tile, polarity=polarity, params=params, x=jnp.asarray(x), faults=faults)
    if stuck:
        x = np.where(faults > 0, 1.0, np.where(faults < 0, 0.0, x))
    return made, x, g_max, faults


def pulses_of(events):
    return energy.total(events)["pulse"]


def on_mask(xbar):
    """Which logical devices lie in an active tile [rows, cols]."""
    (rows, cols), (m, n), active = xbar.shape, xbar.tile, np.asarray(xbar.active)
    return np.asarray([[active[i // m, j // n] for j in range(cols)] for i in range(rows)])


def switched_off(xbar, *tiles):
    for row, col in tiles:
        xbar = crossbar.set_active(xbar, row, col, False)
    return xbar


def line_numbers(xbar, lines):
    """Logical word lines of `Lines`, in the order of its pulses; None where a line is padding."""
    m = xbar.tile[0]
    numbers = [r * m + lines.start + c for r in range(xbar.active.shape[0]) for c in range(lines.count)]
    return [i if i < xbar.shape[0] else None for i in numbers]


# --- reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape, tile", SIZES)
@pytest.mark.parametrize("polarity", [1, 2])
def test_modules_compute_what_one_dense_matrix_computes(shape, tile, polarity, x64):
    modular, x, g_max, _ = random_array(SOFT, shape, tile, polarity)
    dense, *_ = random_array(SOFT, shape, None, polarity)
    g = 1e-6 + (g_max - 1e-6) * x
    np.testing.assert_allclose(crossbar.conductance(modular), g, rtol=1e-12)
    net = g[0] - g[1] if polarity == 2 else g[0]
    rng = np.random.default_rng(1)
    forth, back = rng.normal(size=(3, 2, shape[0])), rng.normal(size=(4, shape[1]))
    # Independent sums, device by device.
    wanted_forth = np.asarray([[sum(v[i] * net[i] for i in range(shape[0])) for v in part] for part in forth])
    wanted_back = np.asarray([sum(v[j] * net[:, j] for j in range(shape[1])) for v in back])
    # The currents are of order 1e-3 A, so that 1e-15 A is 1e-12 of them.
    assert 1e-4 < np.abs(wanted_forth).max() < 1
    for xbar in (modular, dense):
        np.testing.assert_allclose(crossbar.read(xbar, jnp.asarray(forth)), wanted_forth, rtol=0, atol=1e-15)
        np.testing.assert_allclose(crossbar.read_back(xbar, jnp.asarray(back)), wanted_back, rtol=0, atol=1e-15)
    low = 1e-6 if polarity == 1 else 0.0
    wanted = 3 * (net - low) / (g_max - 1e-6).mean()
    np.testing.assert_allclose(crossbar.weights(modular, 3.0), wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(crossbar.conductance_range(modular), (g_max - 1e-6).mean(), rtol=1e-12)


def test_differential_weights_are_the_difference_of_states(x64):
    x = np.random.default_rng(0).random((2, 7, 5))
    pair = crossbar.create(SOFT, (7, 5), 3, x=jnp.asarray(x))
    np.testing.assert_allclose(crossbar.weights(pair), x[0] - x[1], atol=1e-13)
    single = crossbar.create(SOFT, (7, 5), 3, polarity=1, x=jnp.asarray(x[:1]))
    np.testing.assert_allclose(crossbar.weights(single), x[0], atol=1e-13)


def test_float32_by_default():
    with jax.enable_x64(False):
        xbar = crossbar.create(SOFT, (7, 5), 3, x=None, key=jax.random.key(0))
        assert crossbar.read(xbar, jnp.ones(7)).dtype == np.float32
    x = np.asarray(xbar.device.current(xbar.params, xbar.state, 1.0))
    assert np.unique(x).size > 60  # drawn, not repeated


# --- tiles on and off ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape, tile", SIZES[:3])
def test_an_inactive_tile_carries_no_current_and_reads_zero(shape, tile, x64):
    xbar, x, g_max, _ = random_array(SOFT, shape, tile)
    off = switched_off(xbar, (0, 1), (xbar.active.shape[0] - 1, xbar.active.shape[1] - 1))
    mask = on_mask(off)
    assert 0 < np.sum(~mask) < mask.size
    g = np.where(mask, 1e-6 + (g_max - 1e-6) * x, 0.0)
    np.testing.assert_allclose(crossbar.conductance(off), g, rtol=1e-12)
    assert not np.asarray(crossbar.conductance(off))[:, ~mask].any()
    v = np.random.default_rng(1).normal(size=shape[0])
    np.testing.assert_allclose(crossbar.read(off, jnp.asarray(v)), v @ (g[0] - g[1]), rtol=0, atol=1e-15)
    u = np.random.default_rng(1).normal(size=shape[1])
    np.testing.assert_allclose(crossbar.read_back(off, jnp.asarray(u)), (g[0] - g[1]) @ u, rtol=0, atol=1e-15)
    on = crossbar.set_active(crossbar.set_active(off, 0, 1, True), slice(None), slice(None), True)
    np.testing.assert_array_equal(crossbar.conductance(on), crossbar.conductance(xbar))


def test_an_inactive_tile_of_single_devices_has_no_weight():
    """Its conductance is not even g_min, which a device's weight is above; the others' weights do not change."""
    xbar = crossbar.create(EXPONENTIAL, (7, 5), (4, 3), polarity=1, x=0.25)
    w = np.array(crossbar.weights(crossbar.set_active(xbar, 1, 0, False)))
    np.testing.assert_array_equal(w[4:, :3], 0.0)
    w[4:, :3] = 0.25
    np.testing.assert_allclose(w, 0.25, rtol=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("how", ["write", "rows", "lines", "relax", "spike"])
def test_an_inactive_tile_is_frozen_or_relaxes(how, frozen, x64):
    xbar, x, g_max, _ = random_array(VOLATILE)
    off = switched_off(xbar, (1, 0))
    pulses = jnp.ones((2, 13, 9))
    if how == "write":
        after, events = crossbar.write(off, pulses, DT, None, frozen=frozen)
        assert pulses_of(events) == 2 * np.sum(on_mask(off))
    elif how == "rows":
        after, _ = crossbar.write(off, pulses[:, :3], DT, None, rows=jnp.asarray([0, 5, 12]), frozen=frozen)
    elif how == "lines":
        after, _ = crossbar.write(off, pulses[:, :4], DT, None, rows=Lines(0, 1), frozen=frozen)
    elif how == "relax":
        after = crossbar.relax(off, DT, frozen=frozen)
    else:
        spikes = jnp.ones(13), jnp.zeros(9)
        after = crossbar.spike(off, devices.volatile.spike_step, *spikes, DT, frozen=frozen)
    g = 1e-6 + (g_max - 1e-6) * x
    fading = 1 - DT / 0.1 if how == "spike" else np.exp(-DT / 0.1)  # the framework's table has Euler decay
    wanted = g if frozen else 1e-6 + (g - 1e-6) * fading
    mask = on_mask(off)
    assert not np.asarray(crossbar.conductance(after))[:, ~mask].any()
    again = np.asarray(crossbar.conductance(crossbar.set_active(after, 1, 0, True)))
    np.testing.assert_allclose(again[:, ~mask], wanted[:, ~mask], rtol=1e-12)
    assert np.all(again[:, mask] != g[:, mask])


def test_switching_a_tile_does_not_retrace():
    traces = []

    @jax.jit
    def current(xbar, row, col, on):
        traces.append(1)
        return crossbar.read(crossbar.set_active(xbar, row, col, on), jnp.ones(13))

    xbar, *_ = random_array()
    first = current(xbar, 0, 0, False)
    assert not np.allclose(first, current(xbar, 2, 1, False))
    current(xbar, 0, 0, True)
    assert len(traces) == 1


# --- read noise ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("polarity", [1, 2])
def test_read_noise_is_that_of_the_single_devices(back, polarity):
    draws, sigma = 20_000, 0.05
    xbar, x, g_max, _ = random_array(SOFT, (6, 5), (4, 3), polarity)
    xbar = switched_off(xbar, (1, 0))
    mask, rng = on_mask(xbar), np.random.default_rng(2)
    v = rng.normal(size=5 if back else 6)
    read = crossbar.read_back if back else crossbar.read
    keys = jax.random.split(jax.random.key(0), draws)
    v_jax = jnp.asarray(v, float)
    found = np.asarray(jax.jit(jax.vmap(lambda key: read(xbar, v_jax, noise=sigma, key=key)))(keys), np.float64)
    found = found - np.asarray(read(xbar, v_jax), np.float64)

    g_range = (g_max - 1e-6).mean()
    xi = rng.normal(size=(draws, polarity, 6, 5)) * sigma * g_range * mask
    net = xi[:, 0] - xi[:, 1] if polarity == 2 else xi[:, 0]
    brute = net @ v if back else np.einsum("dij,i->dj", net, v)
    sd = sigma * g_range * np.sqrt(polarity * ((mask @ v**2) if back else (v**2 @ mask)))
    for sample in (brute, found):
        assert np.all(np.abs(sample.mean(0)) < 5 * sd / draws**0.5)
        assert np.all(np.abs(sample.std(0) / sd - 1) < 5 / (2 * draws) ** 0.5)
        correlation = np.corrcoef(sample.T) - np.eye(sample.shape[1])
        assert np.max(np.abs(correlation)) < 5 / draws**0.5  # no device serves two columns
    for j in range(sample.shape[1]):
        assert stats.ks_2samp(brute[:, j], found[:, j]).pvalue > 1e-4
    np.testing.assert_allclose(crossbar.noise_sd(xbar, v_jax, sigma, back=back), sd, rtol=1e-5)


def test_read_noise_is_fresh_for_every_vector_and_key():
    xbar, *_ = random_array()
    v = jnp.ones((3, 13))
    i = crossbar.read(xbar, v, noise=0.02, key=jax.random.key(0))
    assert np.unique(i).size == i.size
    assert not np.any(i == crossbar.read(xbar, v, noise=0.02, key=jax.random.key(1)))
    np.testing.assert_array_equal(i, crossbar.read(xbar, v, noise=0.02, key=jax.random.key(0)))


# --- counting reads -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [32, 64])
def test_events_of_a_read_by_hand(bits):
    with jax.enable_x64(bits == 64):
        check_events_of_a_read()


def check_events_of_a_read():
    xbar = crossbar.create(SOFT, (5, 4), (2, 3))  # tiles: rows 0-1, 2-3, 4; columns 0-2, 3
    delivered = jnp.asarray([1, 2, 0, 3, 1], jnp.int32)
    events = crossbar.read_events(xbar, delivered, 3)
    assert events.mac.dtype == events.read.dtype == np.int32
    everything = energy.total(events)
    assert everything["mac"] == 2 * 7 * 4
    assert everything["read"] == 2 * 3 * 4
    part = switched_off(xbar, (1, 0))
    found = energy.total(crossbar.read_events(part, delivered, 3))
    assert found["mac"] == 2 * (3 * 4 + 3 * 1 + 1 * 4)
    assert found["read"] == 2 * 3 * 4  # column tile 0 is still sensed: its other tiles are on
    column_off = switched_off(xbar, (0, 0), (1, 0), (2, 0))
    found = energy.total(crossbar.read_events(column_off, delivered, 3))
    assert (found["mac"], found["read"]) == (2 * 7 * 1, 2 * 3 * 1)
    back = energy.total(crossbar.read_events(part, jnp.asarray([1.0, 0.0, 2.0, 1.0]), 2, back=True))
    assert back["mac"] == 2 * (3 * (2 + 1) + 1 * 5)
    assert back["read"] == 2 * 2 * 5
    single = crossbar.create(SOFT, (5, 4), (2, 3), polarity=1)
    assert energy.total(crossbar.read_events(single, delivered, 3))["mac"] == 7 * 4


# --- writing ------------------------------------------------------------------------------------------------------


def pulse_device(name, x, p, g_max):
    """One device, one pulse of amplitude p in [-1, 1], as its file's docstring says; x is the state in [0, 1]."""
    if name == "volatile":  # x is (g - g_min) / (g_max - g_min)
        return x + 1e-3 * (1 - x) if p > 0 else x - 1e-3 * x if p < 0 else x * np.exp(-DT / 0.1)
    if p == 0:
        return x
    if name == "soft_bounds":
        size = 2 * (1 - x) / 64 if p > 0 else 2 * x / 64
    else:
        size = np.exp(-(x - 0.5)) / 64 if p > 0 else np.exp(-(0.5 - x)) / 64
    return min(max(x + p * size, 0.0), 1.0)


def pulse_devices(name, x, pulses, g_max, faults, mask):
    """Loop over all devices of the array, one pulse each."""
    new = x.copy()
    for p, i, j in np.ndindex(x.shape):
        if faults is None or faults[p, i, j] == 0:
            new[p, i, j] = pulse_device(name, x[p, i, j], pulses[p, i, j] if mask[i, j] else 0.0, g_max[p, i, j])
    return new


def states(xbar, g_max):
    """Logical states in [0, 1] [P, rows, cols], inactive tiles too."""
    on = crossbar.set_active(xbar, slice(None), slice(None), True)
    return (np.asarray(crossbar.conductance(on)) - 1e-6) / (g_max - 1e-6)


@pytest.mark.parametrize("device", [SOFT, EXPONENTIAL, VOLATILE], ids=lambda device: device.name)
@pytest.mark.parametrize("polarity", [1, 2])
def test_write_equals_a_loop_over_devices(device, polarity, x64):
    xbar, x, g_max, faults = random_array(device, polarity=polarity, stuck=0.2)
    xbar = switched_off(xbar, (0, 1))
    mask, rng = on_mask(xbar), np.random.default_rng(3)
    pulses = rng.choice([-1.0, 0.0, 1.0], (polarity, 13, 9))
    if device is not VOLATILE:
        pulses = pulses * rng.choice([1.0, 0.5], pulses.shape)
    wanted = pulse_devices(device.name, x, pulses, g_max, faults, mask)
    for options in ({}, {"max_pulses": 1}):
        after, events = crossbar.write(xbar, jnp.asarray(pulses), DT, None, **options)
        np.testing.assert_allclose(states(after, g_max), wanted, rtol=0, atol=1e-12)
        assert pulses_of(events) == np.count_nonzero(pulses * mask)

    rows = np.asarray([12, 3, 4, 0])
    some = np.zeros_like(pulses)
    some[:, rows] = pulses[:, rows]
    wanted = pulse_devices(device.name, x, some, g_max, faults, mask)
    after, events = crossbar.write(xbar, jnp.asarray(pulses[:, rows]), DT, None, rows=jnp.asarray(rows))
    np.testing.assert_allclose(states(after, g_max), wanted, rtol=0, atol=1e-12)
    assert pulses_of(events) == np.count_nonzero(some * mask)

    for lines in (Lines(0, 1), Lines(1, 2), Lines(0, 4), Lines(jnp.asarray(2), 2)):
        numbers = line_numbers(xbar, lines)
        some, given = np.zeros_like(pulses), np.zeros((polarity, len(numbers), 9))
        for k, i in enumerate(numbers):
            if i is not None:
                some[:, i] = given[:, k] = pulses[:, i]
        wanted = pulse_devices(device.name, x, some, g_max, faults, mask)
        after, events = crossbar.write(xbar, jnp.asarray(given), DT, None, rows=lines)
        np.testing.assert_allclose(states(after, g_max), wanted, rtol=0, atol=1e-12)
        assert pulses_of(events) == np.count_nonzero(some * mask)


@pytest.mark.parametrize("device", [SOFT, VOLATILE], ids=lambda device: device.name)
@pytest.mark.parametrize("max_pulses", [None, 3, 5])
@pytest.mark.parametrize("rows", [None, [2, 7]])
def test_a_train_is_its_single_pulses(device, max_pulses, rows, x64):
    xbar, _, g_max, _ = random_array(device, stuck=0.1)
    counts = np.random.default_rng(4).integers(-3, 4, (2, 13 if rows is None else 2, 9)).astype(float)
    counts.flat[0] = 3
    select = None if rows is None else jnp.asarray(rows)
    train, events = crossbar.write(xbar, jnp.asarray(counts), DT, None, rows=select, max_pulses=max_pulses)
    single = xbar
    for n in range(max_pulses or 3):
        pulses = np.sign(counts) * (np.abs(counts) > n)
        single, _ = crossbar.write(single, jnp.asarray(pulses), DT, None, rows=select, max_pulses=1)
    np.testing.assert_allclose(states(train, g_max), states(single, g_max), rtol=0, atol=1e-12)
    assert pulses_of(events) == np.abs(counts).sum()


def test_a_train_is_cut_at_max_pulses(x64):
    xbar, _, g_max, _ = random_array()
    counts = jnp.asarray(np.random.default_rng(4).integers(-4, 5, (2, 13, 9)).astype(float))
    for most in (1, 2):
        cut, events = crossbar.write(xbar, counts, DT, None, max_pulses=most)
        wanted, counted = crossbar.write(xbar, jnp.clip(counts, -most, most), DT, None)
        np.testing.assert_allclose(states(cut, g_max), states(wanted, g_max), rtol=0, atol=1e-14)
        assert pulses_of(events) == pulses_of(counted) == np.abs(np.clip(counts, -most, most)).sum()


def test_a_fractional_train_ends_with_a_weaker_pulse(x64):
    xbar = crossbar.create(SOFT, (1, 1), polarity=1, x=0.5)
    after, events = crossbar.write(xbar, jnp.full((1, 1, 1), 1.5), DT, None)
    x = 0.5 + 2 / 64 * 0.5
    np.testing.assert_allclose(crossbar.weights(after), x + 0.5 * 2 / 64 * (1 - x), rtol=1e-12)
    assert pulses_of(events) == 2


def test_every_pulse_of_a_train_has_noise_of_its_own():
    linear = devices.with_c2c_noise(EXPONENTIAL)
    inner = EXPONENTIAL.Params(beta_up=0.0, beta_down=0.0, step_up=1e-3, step_down=1e-3)
    xbar = crossbar.create(linear, (100, 100), params=linear.Params(inner=inner, sigma=0.3))
    for count in (1, 4):
        after, _ = crossbar.write(xbar, jnp.full((2, 100, 100), float(count)), DT, jax.random.key(0))
        moved = (np.asarray(crossbar.conductance(after), np.float64) - 50.5e-6) / 99e-6 / 1e-3
        assert abs(moved.mean() - count) < 5 * 0.3 * (count / moved.size) ** 0.5 + 1e-3
        # The same noise in every pulse would double this at four pulses; 2e-3: float32 at steps of 1e-3.
        assert abs(moved.std() / (0.3 * count**0.5) - 1) < 5 / (2 * moved.size) ** 0.5 + 2e-3


def test_stuck_devices_never_change():
    xbar, _, _, faults = random_array(VOLATILE, stuck=0.4)
    before = np.asarray(crossbar.conductance(xbar))
    stuck = faults != 0
    np.testing.assert_allclose(before[faults < 0], 1e-6, rtol=1e-6)
    key, ones = jax.random.key(0), jnp.ones((2, 13, 9))
    after = xbar
    for pulses in (ones, -ones, 3 * ones, 0 * ones):
        after, _ = crossbar.write(after, pulses, DT, key)
        after, _ = crossbar.write(after, pulses[:, :2], DT, key, rows=jnp.asarray([0, 9]))
        after, _ = crossbar.write(after, pulses[:, :8], DT, key, rows=Lines(1, 2))
        after = crossbar.relax(after, 1.0)
        after = crossbar.spike(after, devices.volatile.spike_step, ones[0, :, 0], 0 * ones[0, 0], DT)
    after = np.asarray(crossbar.conductance(after))
    np.testing.assert_array_equal(after[stuck], before[stuck])
    assert np.all(after[~stuck] != before[~stuck])


def test_spikes_equal_a_loop(x64):
    xbar, x, g_max, _ = random_array(VOLATILE, polarity=1)
    xbar = switched_off(xbar, (2, 1))
    rng = np.random.default_rng(5)
    g = 1e-6 + (g_max[0] - 1e-6) * x[0]
    mask = on_mask(xbar)
    for _ in range(20):
        pre, post = (rng.integers(0, 2, n) for n in xbar.shape)
        xbar = crossbar.spike(xbar, devices.volatile.spike_step, jnp.asarray(pre), jnp.asarray(post), DT, frozen=True)
        for i, j in np.argwhere(mask):
            low, high = g[i, j] - 1e-6, g_max[0, i, j] - g[i, j]
            g[i, j] += {(1, 1): 0.0, (1, 0): -1e-3 * low, (0, 1): 1e-3 * high, (0, 0): -low * DT / 0.1}[pre[i], post[j]]
    np.testing.assert_allclose(states(xbar, g_max)[0], (g - 1e-6) / (g_max[0] - 1e-6), rtol=0, atol=1e-12)


# --- the cache ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("polarity", [1, 2])
def test_the_cache_stays_true_after_every_kind_of_change(polarity):
    xbar, *_ = random_array(VOLATILE, polarity=polarity)
    cached = crossbar.cache(xbar)
    pulses = jnp.asarray(np.random.default_rng(6).choice([-1.0, 0.0, 1.0, 2.0], (polarity, 13, 9)), float)
    key = jax.random.key(0)
    changes = {
        "write": lambda a: crossbar.write(a, pulses, DT, key)[0],
        "rows": lambda a: crossbar.write(a, pulses[:, :3], DT, key, rows=jnp.asarray([1, 12, 6]))[0],
        "lines": lambda a: crossbar.write(a, pulses[:, :8], DT, key, rows=Lines(2, 2), max_pulses=1)[0],
        "off": lambda a: crossbar.set_active(a, 1, 1, False),
        "rows, with a tile off": lambda a: crossbar.write(a, pulses[:, :2], DT, key, rows=jnp.asarray([5, 2]))[0],
        "lines, with a tile off": lambda a: crossbar.write(a, pulses[:, :4], DT, key, rows=Lines(0, 1))[0],
        "relax": lambda a: crossbar.relax(a, 0.01),
        "on": lambda a: crossbar.set_active(a, 1, 1, True),
        "spike": lambda a: crossbar.spike(a, devices.volatile.spike_step, pulses[0, :, 0] > 0, pulses[0, 0] > 0, DT),
    }
    v = jnp.ones(13)
    for name, change in changes.items():
        before = np.asarray(cached.net)
        cached = jax.jit(change)(cached)
        assert np.any(before != cached.net), name
        true = crossbar.uncache(cached)
        assert true.net is None
        np.testing.assert_allclose(cached.net, crossbar.cache(true).net, rtol=0, atol=1e-11, err_msg=name)
        np.testing.assert_allclose(crossbar.read(cached, v), crossbar.read(true, v), rtol=0, atol=1e-9, err_msg=name)


# --- many chips ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", ["all", "rows", "lines"])
def test_vmapped_chips_in_a_scan_are_the_chips_alone(rows):
    """A scan that is vmapped has been compiled wrongly before: the loop in Python is the judge."""
    device = devices.with_c2c_noise(EXPONENTIAL)

    def chip(key):
        spread = variation.sample_params(EXPONENTIAL.Params(), {"step_up": 0.2, "g_max": 0.1}, (2, 13, 9), key)
        faults = variation.sample_stuck((2, 13, 9), 0.05, 0.05, key)
        params = device.Params(inner=spread, sigma=0.3)
        xbar = crossbar.cache(crossbar.create(device, (13, 9), (4, 5), params=params, faults=faults))

        def step(xbar, t):
            own = jax.random.fold_in(key, t)
            i = crossbar.read(xbar, jnp.linspace(-1, 1, 13) + t.astype(float), noise=0.02, key=own)
            pulses = jnp.sign(jnp.stack([i, -i]))[:, None, :]
            if rows == "all":
                pulses = jnp.broadcast_to(pulses, (2, 13, 9))
                xbar, events = crossbar.write(xbar, pulses, DT, own, max_pulses=1)
            elif rows == "rows":
                which = jnp.stack([t % 13, (t + 5) % 13])
                pulses = jnp.broadcast_to(pulses, (2, 2, 9))
                xbar, events = crossbar.write(xbar, pulses, DT, own, rows=which, max_pulses=1)
            else:
                exists = jnp.where(4 * jnp.arange(4, dtype=jnp.int32) + t % 4 < 13, 1.0, 0.0)[None, :, None]
                xbar, events = crossbar.write(xbar, pulses * exists, DT, own, rows=Lines(t % 4, 1), max_pulses=1)
            return xbar, (i, events)

        return jax.lax.scan(step, xbar, jnp.arange(8, dtype=jnp.int32))

    keys = jax.random.split(jax.random.key(0), 4)
    together = jax.jit(jax.vmap(chip))(keys)
    alone = jax.jit(chip)
    for n, key in enumerate(keys):
        xbar, (i, events) = jax.tree.map(lambda leaf, n=n: leaf[n], together)
        one, (i_one, events_one) = alone(key)
        np.testing.assert_allclose(i, i_one, rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(xbar.state.x, one.state.x, rtol=0, atol=1e-6)
        np.testing.assert_allclose(xbar.net, one.net, rtol=0, atol=1e-10)
        jax.tree.map(np.testing.assert_array_equal, events, events_one)


def test_gradients_flow_through_devices_and_pulses(x64):
    xbar, *_ = random_array()
    v = jnp.linspace(0.0, 1.0, 13)

    def loss(scale):
        other = xbar.replace(params=xbar.params.replace(step_up=scale))
        after, _ = crossbar.write(other, jnp.ones((2, 13, 9)), DT, None, max_pulses=1)
        return jnp.sum(crossbar.read(after, v) ** 2) * 1e6

    found = jax.grad(loss)(0.02)
    h = 1e-6
    np.testing.assert_allclose(found, (loss(0.02 + h) - loss(0.02 - h)) / (2 * h), rtol=1e-6)
    assert found != 0


@pytest.mark.parametrize("back", [False, True])
def test_a_noisy_read_has_a_gradient_where_nothing_is_read(back, x64):
    """The noise of an input is sd |v|: at 0 the gradient is taken as 0, elsewhere it is v / |v|."""
    xbar, read = random_array()[0], crossbar.read_back if back else crossbar.read
    v, key = np.zeros(xbar.shape[1 if back else 0]), jax.random.key(0)
    xbar = switched_off(xbar, (0, 0))

    def gradient(v, noise):
        return jax.grad(lambda v: jnp.sum(read(xbar, v, noise=noise, key=key)))(jnp.asarray(v))

    quiet = gradient(v, 0.0)
    np.testing.assert_array_equal(gradient(v, 0.02), quiet)
    assert np.any(np.asarray(quiet) != 0)
    v[-1] = 0.1
    drawn = read(xbar, jnp.asarray(v), noise=0.02, key=key) - read(xbar, jnp.asarray(v))
    np.testing.assert_allclose((gradient(v, 0.02) - quiet)[-1], jnp.sum(drawn) / 0.1, rtol=1e-9)
    each_tile = jax.grad(lambda v: jnp.sum(crossbar.noise_sd(xbar, v, 0.02, each_tile=True)))
    assert np.all(np.isfinite(each_tile(jnp.zeros(xbar.shape[0]))))


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (((0, 3),), {}, r"shape \(0, 3\).*at least 1"),
        (((3, 3), 0), {}, r"tile \(0, 0\).*at least 1"),
        (((3, 3),), {"polarity": 3}, "polarity = 3: accepted is 1"),
        (((3, 3),), {"x": 1.5}, "x = 1.5: accepted is 0 to 1"),
        (((3, 3),), {"x": np.zeros((3, 3), np.float32)}, r"x has shape \(3, 3\): accepted is a scalar or \(2, 3, 3\)"),
        (((3, 3),), {"faults": np.zeros((1, 3, 3), np.int8)}, r"faults has shape \(1, 3, 3\)"),
        (((3, 3),), {"x": None}, "give a key"),
        (((3, 3),), {"params": SOFT.Params(g_max=np.ones((2, 3), np.float32))}, r"a leaf of params has shape \(2, 3\)"),
        (((3, 3),), {"params": SOFT.Params(g_max=0.0)}, "g_max"),
    ],
)
def test_create_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        crossbar.create(SOFT, *arguments, **options)


def test_calls_refuse():
    xbar, *_ = random_array()
    ones = jnp.ones((2, 13, 9))
    with pytest.raises(ValueError, match=r"read with v of shape \(9,\).*13 word lines"):
        crossbar.read(xbar, jnp.ones(9))
    with pytest.raises(ValueError, match=r"read_back with v of shape \(13,\).*9 bit lines"):
        crossbar.read_back(xbar, jnp.ones(13))
    with pytest.raises(ValueError, match="give a key"):
        crossbar.read(xbar, jnp.ones(13), noise=0.1)
    with pytest.raises(ValueError, match=r"pulses have shape \(13, 9\): accepted is \(2, 13, 9\)"):
        crossbar.write(xbar, ones[0], DT, None)
    with pytest.raises(ValueError, match=r"accepted is \(2, 4, 9\)"):
        crossbar.write(xbar, ones, DT, None, rows=Lines(0, 1))
    for bad in (13, -1):
        with pytest.raises(ValueError, match=rf"rows = {bad}: accepted is 0 to 12"):
            crossbar.write(xbar, ones[:, :2], DT, None, rows=jnp.asarray([0, bad]))
    with pytest.raises(ValueError, match=r"tile_row = 4: accepted is 0 to 3"):
        crossbar.set_active(xbar, 4, 0, False)
    with pytest.raises(ValueError, match=r"tile_col = -1: accepted is 0 to 1"):
        crossbar.set_active(xbar, 0, -1, False)
    with pytest.raises(ValueError, match=r"spikes of shapes \(9,\) and \(13,\)"):
        crossbar.spike(xbar, devices.volatile.spike_step, jnp.ones(9), jnp.ones(13), DT)
