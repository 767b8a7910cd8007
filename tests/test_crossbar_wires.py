"""Arrays with resistive lines against a dense nodal solution of every tile, written here in NumPy.

All arrays have lines of hundreds of ohm, so that what the wires do is of the size of the result, not of an error.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import crossbar, devices
from memjax.crossbar import Lines
from memjax.periphery import ADC, DAC
from memjax.wires import Wires

# Steps of 2 % for every volt, wherever the device is: what a write moves tells the voltage that reached it.
LINEAR = devices.get("exponential")
STEP, V_WRITE = 0.02, 1.5
WIRES = Wires(r_word=300.0, r_bit=500.0, r_source=200.0, r_sense=100.0)
BOTH = Wires(r_word=200.0, r_bit=700.0, r_source=100.0, r_sense=50.0, topology="double")
LAYOUTS = [((13, 9), (4, 5), 2), ((7, 10), (3, 4), 1), ((6, 5), None, 1)]
SHAPE, TILE, POLARITY = LAYOUTS[0]

READ = jax.jit(crossbar.read)


def array(shape=SHAPE, tile=TILE, polarity=POLARITY, wires=WIRES, off=True):
    """An array of different devices of 1-150 uS, its second tile switched off where it has one."""
    rng = np.random.default_rng(sum(shape))
    logical = (polarity, *shape)
    params = LINEAR.Params(
        g_max=jnp.asarray(1e-4 * rng.uniform(0.5, 1.5, logical)), beta_up=0.0, beta_down=0.0, step_up=STEP,
        step_down=STEP, v_write=1.0,
    )  # fmt: skip
    x = jnp.asarray(rng.uniform(0.2, 0.8, logical))
    made = crossbar.create(LINEAR, shape, tile, polarity=polarity, params=params, x=x, wires=wires, v_write=V_WRITE)
    return crossbar.set_active(made, 0, 1, False) if off and tile else made


# --- the judge ----------------------------------------------------------------------------------------------------


def nodal(g, v_word, v_bit, wires):
    """Solve one tile g [m, n] for its cells' voltages, and the currents into word lines and out of bit lines.

    Kirchhoff's current law at its 2 m n nodes, with every segment a conductance: a dense system.
    """
    m, n = g.shape
    word, bit = np.arange(m * n).reshape(m, n), m * n + np.arange(m * n).reshape(m, n)
    matrix, source = np.zeros((2 * m * n, 2 * m * n)), np.zeros(2 * m * n)

    def join(a, b, conductance):
        for p, q in ((a, b), (b, a)):
            matrix[p, p] += conductance
            matrix[p, q] -= conductance

    terminals = []  # (node, conductance, voltage, which line)
    both_word, both_bit = (wires.topology in (one, "double") for one in ("double_drive", "double_sense"))
    for i in range(m):
        for j in range(n):
            join(word[i, j], bit[i, j], g[i, j])
            if j + 1 < n:
                join(word[i, j], word[i, j + 1], 1 / wires.r_word)
            if i + 1 < m:
                join(bit[i, j], bit[i + 1, j], 1 / wires.r_bit)
        for j in (0, n - 1) if both_word else (0,):
            terminals.append((word[i, j], 1 / (wires.r_word + wires.r_source), v_word[i], i))
    for j in range(n):
        for i in (0, m - 1) if both_bit else (m - 1,):
            terminals.append((bit[i, j], 1 / (wires.r_bit + wires.r_sense), v_bit[j], m + j))
    for node, conductance, voltage, _ in terminals:
        matrix[node, node] += conductance
        source[node] += conductance * voltage
    u = np.linalg.solve(matrix, source)
    into = np.zeros(m + n)
    for node, conductance, voltage, line in terminals:
        into[line] += conductance * (voltage - u[node])
    return u[word] - u[bit], into[:m], -into[m:]


def tiles_of(xbar):
    """Yield every active tile: its place, sign, the logical lines it serves, and its conductances, 0 where none is."""
    g, (m, n), (rows, cols) = np.asarray(crossbar.conductance(xbar)), xbar.tile, xbar.shape
    for r, c in np.argwhere(np.asarray(xbar.active)):
        here = slice(r * m, min(rows, (r + 1) * m)), slice(c * n, min(cols, (c + 1) * n))
        for p in range(xbar.polarity):
            whole = np.zeros((m, n))
            part = g[p][here]
            whole[: part.shape[0], : part.shape[1]] = part
            yield (p, r, c), (1, -1)[p], here, whole


def fill(v, size):
    return np.concatenate([v, np.zeros(size - len(v))])


def partial_by_hand(xbar, wires, v):
    """Net currents out of every tile's bit lines [R, cols] for v [rows]."""
    found = np.zeros((xbar.active.shape[0], xbar.shape[1]))
    for (_, r, _), sign, (rows, cols), g in tiles_of(xbar):
        i = nodal(g, fill(v[rows], g.shape[0]), np.zeros(g.shape[1]), wires)[2]
        found[r, cols] += sign * i[: cols.stop - cols.start]
    return found


def read_by_hand(xbar, wires, v):
    return np.stack([partial_by_hand(xbar, wires, one).sum(0) for one in np.atleast_2d(v)])


def back_by_hand(xbar, wires, v):
    found = np.zeros((len(v), xbar.shape[0]))
    for k, one in enumerate(v):
        for _, sign, (rows, cols), g in tiles_of(xbar):
            i = -nodal(g, np.zeros(g.shape[0]), fill(one[cols], g.shape[1]), wires)[1]
            found[k, rows] += sign * i[: rows.stop - rows.start]
    return found


def close(found, wanted, error=1e-10):
    """The promise of the wires in float64: 1e-10 of the largest current."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=error * np.abs(wanted).max())


# --- reads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_reads_equal_nodal_analysis_tile_by_tile(layout, x64):
    xbar = array(*layout)
    rng = np.random.default_rng(1)
    few, many = rng.normal(size=(2, xbar.shape[0])), rng.normal(size=(2, 4, xbar.shape[0]))
    few_alone = layout != LAYOUTS[0]  # what many inputs meet is what is kept, compiled once more
    wanted = read_by_hand(xbar, WIRES, few)
    net = np.asarray(crossbar.net_conductance(xbar))
    ideal = few @ net
    assert np.abs(wanted / ideal - 1).min() > 1e-3  # the wires matter, in every column
    assert np.abs(wanted - ideal).max() > 0.2 * np.abs(ideal).max()
    back = rng.normal(size=(2, xbar.shape[1]))
    wanted_back = back_by_hand(xbar, WIRES, back)

    @jax.jit
    def reads(xbar, few, many, back):
        kept = crossbar.cache(xbar)
        found = crossbar.read(kept if few_alone else xbar, many)
        return crossbar.read(xbar, few), found, crossbar.read_back(xbar, back), kept

    found, found_many, found_back, kept = reads(xbar, *map(jnp.asarray, (few, many, back)))
    close(found, wanted)
    close(found_many.reshape(8, -1), read_by_hand(xbar, WIRES, many.reshape(8, -1)))
    close(found_back, wanted_back)
    close(crossbar.read(kept, jnp.asarray(few)), wanted)
    close(crossbar.read_back(kept, jnp.asarray(back)), wanted_back)
    # What is kept for the wires is not what the devices have.
    np.testing.assert_allclose(crossbar.net_conductance(kept), net, rtol=1e-15)
    # Wires without resistance are none.
    ideal_wires = xbar.replace(wires=Wires(0.0, 0.0, 0.0, 0.0))
    found, found_many, found_back, _ = reads(ideal_wires, *map(jnp.asarray, (few, many, back)))
    for one, expected in ((found, ideal), (found_many, many @ net), (found_back, back @ net.T)):
        close(one, expected, 1e-14)


def test_given_wires_take_the_place_of_the_arrays_own(x64):
    xbar = array()
    v = np.random.default_rng(2).normal(size=(1, SHAPE[0]))
    wanted = read_by_hand(xbar, BOTH, v)
    assert np.abs(wanted - read_by_hand(xbar, WIRES, v)).max() > 0.05 * np.abs(wanted).max()
    kept = xbar.replace(net=jnp.ones((4, 4, 9)))  # what is kept is for the array's own wires
    close(READ(kept, jnp.asarray(v), wires=BOTH), wanted)
    many = jnp.asarray(np.repeat(v, 4, axis=0))
    close(READ(xbar.replace(wires=None), many, wires=BOTH), np.repeat(wanted, 4, axis=0))


def test_float32_reads_are_exact_without_64_bit_types():
    v = np.random.default_rng(1).normal(size=(2, SHAPE[0])).astype(np.float32)
    with jax.enable_x64(False):
        xbar = array()
        found = READ(xbar, jnp.asarray(v))
        assert found.dtype == np.float32
        close(found, read_by_hand(xbar, WIRES, v.astype(float)), 1e-6)


def test_gradients_of_a_read_through_the_wires(x64):
    xbar = array()
    v = jnp.asarray(np.random.default_rng(4).normal(size=SHAPE[0]))

    @jax.jit
    @jax.value_and_grad
    def loss(parts):
        g_max, r_bit = parts
        one = xbar.replace(params=xbar.params.replace(g_max=g_max), wires=WIRES.replace(r_bit=r_bit))
        return jnp.sum(crossbar.read(one, v) ** 2) * 1e8

    g_max, r_bit = xbar.params.g_max, jnp.asarray(500.0)
    found = loss((g_max, r_bit))[1]
    assert np.isfinite(found[0]).all()
    # Devices of the tile that is off, and those that only pad, carry no current.
    on = jnp.zeros((2, 4, 4, 2, 5), bool).at[:, :, :, 0].set(True).at[:, 1:, :, 1, :4].set(True).at[:, 3, 1:].set(False)
    np.testing.assert_array_equal(np.asarray(found[0]) != 0, on)
    along = jnp.asarray(np.random.default_rng(5).normal(size=g_max.shape)) * g_max
    h = 1e-5
    slope = (loss((g_max + h * along, r_bit))[0] - loss((g_max - h * along, r_bit))[0]) / (2 * h)
    np.testing.assert_allclose(jnp.sum(found[0] * along), slope, rtol=1e-6)
    slope = (loss((g_max, r_bit + 1e-2))[0] - loss((g_max, r_bit - 1e-2))[0]) / 2e-2
    np.testing.assert_allclose(found[1], slope, rtol=1e-6)


# --- writes -------------------------------------------------------------------------------------------------------


@cache
def writer(kind, most):
    """A compiled write, of the voltage that every device got [P, rows, cols]: devices here move by STEP for a volt."""

    @jax.jit
    def write(xbar, pulses, rows):
        rows = {"all": None, "rows": rows, "lines": Lines(rows, 2)}[kind]
        after, _ = crossbar.write(xbar, pulses, 1e-3, None, rows=rows, max_pulses=most)
        return (states(after) - states(xbar)) / STEP

    return write


def states(xbar):
    """The devices' states [P, rows, cols], of inactive tiles too."""
    x = xbar.state.x
    return x.reshape(x.shape[0], x.shape[1] * x.shape[2], -1)[:, : xbar.shape[0], : xbar.shape[1]]


def voltages_by_hand(xbar, pulses, wires):
    """V/2 scheme: one word line of a tile at a time, at half the voltage; to potentiate, then to depress."""
    found = np.zeros(pulses.shape)
    for (p, _, _), _, (rows, cols), g in tiles_of(xbar):
        for line in range(rows.stop - rows.start):
            amplitude = fill(pulses[p, rows.start + line, cols], g.shape[1])
            for sign in (1, -1):
                selected = sign * amplitude > 0
                if not selected.any():
                    continue  # no pulse of this sign: the line rests
                at_word = np.zeros(g.shape[0])
                at_word[line] = sign * V_WRITE / 2
                # A full pulse has its bit line at the other half; a weaker one at what is left of it.
                at_bit = np.where(selected, sign * V_WRITE / 2 - V_WRITE * amplitude, 0)
                u = np.where(selected, nodal(g, at_word, at_bit, wires)[0][line], 0)
                found[p, rows.start + line, cols] += u[: cols.stop - cols.start]
    return found


def some_pulses():
    rng = np.random.default_rng(6)
    pulses = rng.choice([-1.0, 0.0, 1.0, 0.4, -0.7], (POLARITY, *SHAPE))
    pulses[:, 5] = np.abs(pulses[:, 5])  # one line without a pulse of one sign
    return pulses


def test_a_write_applies_the_voltage_that_reaches_each_device(x64):
    xbar, pulses = array(), some_pulses()
    wanted = voltages_by_hand(xbar, pulses, WIRES)
    full = V_WRITE * pulses * np.any([[wanted != 0]], axis=(0, 1))
    assert np.abs(wanted - full).max() > 0.1  # V lost on the way
    close(writer("all", 1)(xbar, jnp.asarray(pulses), None), wanted, 1e-9)

    rows = np.asarray([12, 3, 5, 0])
    some = np.zeros_like(pulses)
    some[:, rows] = pulses[:, rows]
    found = writer("rows", 1)(xbar, jnp.asarray(pulses[:, rows]), jnp.asarray(rows))
    close(found, voltages_by_hand(xbar, some, WIRES), 1e-9)
    close(np.asarray(found)[:, rows], wanted[:, rows], 1e-9)  # lines take turns: none disturbs another

    lines = np.asarray([1, 2, 5, 6, 9, 10, 13, 14])  # the second and third of every tile; the last two do not exist
    some, given = np.zeros_like(pulses), np.zeros((POLARITY, 8, SHAPE[1]))
    some[:, lines[:6]] = given[:, :6] = pulses[:, lines[:6]]
    found = writer("lines", 1)(xbar, jnp.asarray(given), jnp.asarray(1))
    close(found, voltages_by_hand(xbar, some, WIRES), 1e-9)
    close(np.asarray(found)[:, lines[:6]], wanted[:, lines[:6]], 1e-9)


def test_a_write_through_ideal_wires_is_the_plain_write(x64):
    pulses = jnp.asarray(some_pulses())
    through = writer("all", 1)(array(wires=Wires(0.0, 0.0, 0.0, 0.0)), pulses, None)
    plain = writer("all", 1)(array(wires=None), pulses, None)
    assert np.abs(plain).max() > 1
    np.testing.assert_allclose(through, plain, rtol=0, atol=1e-12)


def test_whole_numbers_of_pulses_are_pulses(x64):
    pulses = np.sign(some_pulses())
    xbar, rows = array(), np.asarray([12, 3, 5, 0])
    wanted, found = (
        writer("rows", 1)(xbar, jnp.asarray(pulses[:, rows], dtype), jnp.asarray(rows)) for dtype in (float, "int32")
    )
    assert np.abs(wanted).max() > 1
    np.testing.assert_array_equal(found, wanted)


def test_every_pulse_of_a_train_meets_the_conductances_that_the_one_before_left(x64):
    xbar, pulses = array(), 3 * np.sign(some_pulses())
    total, now = 0.0, xbar
    for _ in range(3):
        moved = voltages_by_hand(now, np.sign(pulses), WIRES)
        total = total + moved
        x = states(now) + STEP * jnp.asarray(moved)
        now = xbar.replace(state=now.state.replace(x=to_tiles(x, xbar.state.x.shape)))
    found = writer("all", 3)(xbar, jnp.asarray(pulses), None)
    close(found, total, 1e-9)
    first = voltages_by_hand(xbar, np.sign(pulses), WIRES)
    assert np.abs(3 * first - total).max() > 1e-3  # they do change


def to_tiles(x, shape):
    p, r, m, c, n = shape
    return jnp.zeros((p, r * m, c * n)).at[:, : x.shape[1], : x.shape[2]].set(x).reshape(shape)


def test_every_change_drops_effective_conductances_and_updates_ideal_ones():
    """What is kept is None or not by structure: nothing needs to be worked out to see it."""
    volatile = devices.get("volatile")
    pulses = jnp.ones((2, 13, 9))
    changes = {
        "write": lambda a: crossbar.write(a, pulses, 1e-3, None)[0],
        "rows": lambda a: crossbar.write(a, pulses[:, :2], 1e-3, None, rows=jnp.asarray([1, 12]))[0],
        "lines": lambda a: crossbar.write(a, pulses[:, :4], 1e-3, None, rows=Lines(0, 1), max_pulses=1)[0],
        "relax": lambda a: crossbar.relax(a, 0.01),
        "spike": lambda a: crossbar.spike(a, devices.volatile.spike_step, pulses[0, :, 0], pulses[0, 0], 1e-3),
        "a tile": lambda a: crossbar.set_active(a, 0, 0, False),
    }
    for wires in (WIRES, None):
        xbar = crossbar.create(volatile, SHAPE, TILE, wires=wires)
        kept = jax.eval_shape(crossbar.cache, xbar)
        assert kept.net.shape == (4, 4, 9)
        for name, change in changes.items():
            after = jax.eval_shape(change, kept).net
            assert (after is None) == (wires is not None), name
            assert jax.eval_shape(change, xbar).net is None, name


# --- converters and noise around the wires ------------------------------------------------------------------------


def test_converters_of_16_bits_are_none(x64):
    xbar = array()
    v = np.random.default_rng(7).uniform(0, 0.1, (2, SHAPE[0]))
    wanted = read_by_hand(xbar, WIRES, v)
    high = 1.01 * max(np.abs(partial_by_hand(xbar, WIRES, one)).max() for one in v)
    converters = {"dac": DAC(high=0.1, bits=16), "adc": ADC(low=-high, high=high, bits=16)}
    close(READ(xbar, jnp.asarray(v), **converters), wanted, 1e-4)


def test_quantised_reads_equal_sums_by_hand(x64):
    xbar = array()
    v = np.random.default_rng(8).uniform(0, 0.1, SHAPE[0])
    driven = np.round(v / (0.1 / 15)) * (0.1 / 15)  # 4 bits, both ends included
    partial = partial_by_hand(xbar, WIRES, driven)
    # A range that the largest current leaves, on both sides: it is clipped there.
    high = 0.8 * np.abs(partial).max()
    step = 2 * high / 2**5

    def level(i):
        return -high + step * np.clip(np.floor((i + high) / step + 0.5), 0, 2**5 - 1)

    kept = jax.jit(crossbar.cache)(xbar)
    for per_tile, wanted in ((True, level(partial).sum(0)), (False, level(partial.sum(0)))):
        assert np.abs(wanted - partial.sum(0)).max() > step / 4
        converters = {"dac": DAC(high=0.1, bits=4), "adc": ADC(low=-high, high=high, bits=5)}
        close(crossbar.read(kept, jnp.asarray(v), per_tile=per_tile, **converters), wanted, 1e-12)


def test_noise_enters_before_the_adc_with_the_stated_sd(x64):
    xbar, sigma, draws = array(), 0.02, 4000
    v = np.random.default_rng(9).uniform(0, 0.1, SHAPE[0])
    exact = partial_by_hand(xbar, WIRES, v)
    # Independent noise of every device of an active tile, with the voltage at the terminals: the stated bound.
    mask = np.ones(SHAPE)
    mask[:4, 5:] = 0
    span = 1e-4 * np.random.default_rng(sum(SHAPE)).uniform(0.5, 1.5, (POLARITY, *SHAPE)).mean() - 1e-6
    each = sigma * span * np.sqrt(2 * np.stack([(v[r : r + 4] ** 2) @ mask[r : r + 4] for r in range(0, 13, 4)]))
    sd = np.sqrt((each**2).sum(0))
    keys = jax.random.split(jax.random.key(0), draws)

    @jax.jit
    def noisy(high):
        adc = ADC(low=-high, high=high, bits=12)
        return jax.vmap(lambda key: crossbar.read(xbar, jnp.asarray(v), adc=adc, noise=sigma, key=key))(keys)

    found = np.asarray(noisy(1.2 * np.abs(exact).max()))  # steps of a hundredth of the noise
    assert np.all(np.abs(found.mean(0) - exact.sum(0)) < 5 * sd / draws**0.5)
    assert np.all(np.abs(found.std(0) / sd - 1) < 5 / (2 * draws) ** 0.5)
    # Steps twice the noise: every result is still a sum of levels, and the noise makes it another one each time.
    step = 2 * each.max()
    found = np.asarray(noisy(step * 2**11)) / step
    np.testing.assert_allclose(found, np.round(found), rtol=0, atol=1e-9)
    assert all(len(np.unique(np.round(column))) > 1 for column in found.T)


def test_wires_that_cannot_be_are_refused():
    xbar, v = crossbar.create(LINEAR, SHAPE, TILE), jnp.ones(13)
    with pytest.raises(ValueError, match=r"r_word = -1.*accepted is 0 ohm or more"):
        crossbar.read(xbar, v, wires=Wires(r_word=-1.0))
    for call, message in (
        (
            lambda: crossbar.write(xbar, jnp.ones((2, 13, 9)), 1e-3, None, wires=Wires(topology="ring")),
            r"topology = 'ring': accepted are single",
        ),
        (lambda: crossbar.read(xbar, v, wires=WIRES, noise=0.1), "give a key"),
    ):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(call)
