"""The event ledger: joules and counts by hand, counts beyond 32 bits; work against loops and nodal solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import integrate

from memjax import crossbar, devices, energy, network, neurons, periphery, programming, wires
from memjax.energy import Events

SOFT = devices.get("soft_bounds")
PJ = 1e-12


def test_joules_of_an_accumulating_array():
    counts = {"mac": 1000, "read": 20, "pulse": 6, "verify": 8, "refresh": 2, "accumulate": 50}
    found = energy.joules(counts)
    # .1 x 1000 + .5 x 8 + 5 (6 + 2) = 144; + .5 x 20 + 5 x 50 = 404; CMOS 1 x 500 + 100 x 50 = 5500
    assert found == pytest.approx({"e_min": 144 * PJ, "e_max": 404 * PJ, "cmos": 5500 * PJ}, rel=1e-12)


def test_joules_of_an_array_without_accumulators():
    counts = dict.fromkeys(energy.FIELDS, 0) | {"mac": 30, "pulse": 8}
    found = energy.joules(counts)
    # 8 pulses on pairs are 4 updates: .1 x 30 + 5 x 8 = 43; CMOS 1 x 15 + 100 x 4 = 415
    assert found == pytest.approx({"e_min": 43 * PJ, "e_max": 43 * PJ, "cmos": 415 * PJ}, rel=1e-12)
    single = energy.joules(counts, devices_per_weight=1)
    assert single["cmos"] == pytest.approx((30 + 800) * PJ, rel=1e-12)


def test_joules_follow_the_prices_given():
    mine = energy.PriceList(mac=1.0, read=2.0, write=4.0)
    counts = dict(zip(energy.FIELDS, (1, 10, 100, 1000, 10_000, 100_000, 7, 7), strict=True))  # 7: without a price
    found = energy.joules(counts, memristor=mine, cmos=mine)
    assert found["e_min"] == 1 + 2 * 1000 + 4 * (100 + 10_000)
    assert found["e_max"] == found["e_min"] + 2 * 10 + 4 * 100_000
    assert found["cmos"] == 0.5 + 4 * 100_000


def test_prices_are_the_frameworks_table():
    assert (energy.MEMRISTOR.mac, energy.MEMRISTOR.read, energy.MEMRISTOR.write) == (0.1 * PJ, 0.5 * PJ, 5 * PJ)
    assert (energy.CMOS.mac, energy.CMOS.read, energy.CMOS.write) == (1 * PJ, 10 * PJ, 100 * PJ)
    # 0.1 pJ is a read of 20 ns and 5 pJ a pulse of 10 ns, at 0.1 V and 1 V and the mid-range 5e-4 S of its device.
    assert 0.1**2 * 5e-4 * energy.MEMRISTOR.read_time == pytest.approx(0.1 * PJ)
    assert 1.0**2 * 5e-4 * energy.MEMRISTOR.write_time == pytest.approx(5 * PJ)


def test_totals_do_not_overflow():
    steps = Events(mac=jnp.full(3000, 2_000_000, jnp.int32), read=7, pulse=jnp.full((3, 1000), 2**31 - 1, jnp.int32))
    found = energy.total(steps)
    assert found["mac"] == 6_000_000_000
    assert found["pulse"] == 3000 * (2**31 - 1)
    assert found["read"] == 7
    assert all(type(value) is int for value in found.values())
    # An epoch's totals add up in Python integers, for as long as the run lasts.
    assert energy.joules({name: value * 10**12 for name, value in found.items()})["e_min"] > 0


def test_a_part_that_has_come_round_is_refused():
    xbar = crossbar.create(devices.get("exponential"), (10_000, 10))
    delivered = jnp.full(10_000, 20_000, jnp.int32)
    spent = crossbar.read_events(xbar, delivered, 20_000)  # 4e9 MACs
    with pytest.raises(ValueError, match="energy: mac = -[0-9]+: accepted is 0 to 2147483647 a part"):
        energy.total(spent)


def test_totals_over_one_axis():
    events = Events(*(jnp.arange(6, dtype=jnp.int32).reshape(2, 3) * k for k in range(1, 7)))
    found = energy.total(events, axis=1)
    np.testing.assert_array_equal(found["mac"], [3, 12])
    np.testing.assert_array_equal(found["accumulate"], [18, 72])
    assert found["mac"].dtype == np.int64


def test_adding_events():
    both = Events(mac=1, read=2, pulse=3) + Events(mac=10, verify=4, refresh=5, accumulate=6)
    expected = {"mac": 11, "read": 2, "pulse": 3, "verify": 4, "refresh": 5, "accumulate": 6, "adc": 0, "dac": 0}
    assert energy.total(both) == expected


def test_count():
    x = jnp.asarray([[0.0, -1.0, 2.0], [0.0, 0.0, 1e-30]])
    assert energy.count(x) == 3
    assert energy.count(x).dtype == np.int32


# --- breakdown, conversions, latency ------------------------------------------------------------------------------

COUNTS = {"mac": 1000, "read": 20, "pulse": 6, "verify": 8, "refresh": 2, "accumulate": 50, "adc": 10, "dac": 30}


def test_the_breakdown_sums_to_the_convention():
    each = energy.breakdown(COUNTS)
    assert each["adc"] is None  # the framework's list has no converters
    assert each["dac"] is None
    priced = {name: value for name, value in each.items() if value is not None}
    by_hand = {"mac": 100, "read": 10, "pulse": 30, "verify": 4, "refresh": 10, "accumulate": 250}
    assert priced == pytest.approx({name: pj * PJ for name, pj in by_hand.items()}, rel=1e-12)
    found = energy.joules(COUNTS)
    assert sum(priced.values()) == pytest.approx(found["e_max"], rel=1e-12)
    assert sum(energy.cmos_breakdown(COUNTS).values()) == pytest.approx(found["cmos"], rel=1e-12)
    assert energy.cmos_breakdown(COUNTS) == pytest.approx({"mac": 500 * PJ, "accumulate": 5000 * PJ})
    plain = energy.cmos_breakdown(COUNTS | {"accumulate": 0}, devices_per_weight=1)
    assert plain == pytest.approx({"mac": 1000 * PJ, "pulse": 600 * PJ})


def test_conversions_are_in_both_sums_where_they_have_a_price():
    with_converters = energy.MEMRISTOR._replace(adc=2 * PJ, dac=0.5 * PJ)
    found, without = energy.joules(COUNTS, memristor=with_converters), energy.joules(COUNTS)
    assert found["e_min"] - without["e_min"] == pytest.approx(35 * PJ)
    assert found["e_max"] - without["e_max"] == pytest.approx(35 * PJ)
    assert found["cmos"] == without["cmos"]


def test_counts_from_before_a_class_existed_are_priced_alike():
    old = {name: value for name, value in COUNTS.items() if name not in ("adc", "dac")}
    assert energy.joules(old) == energy.joules(COUNTS)


def test_a_class_that_is_left_out_has_not_happened():
    for name, number in COUNTS.items():
        whole = dict.fromkeys(energy.FIELDS, 0) | {name: number}
        assert energy.joules({name: number}) == energy.joules(whole)
    assert set(energy.joules({}).values()) == {0}


def test_latency_one_after_another_and_side_by_side():
    prices = energy.MEMRISTOR._replace(adc_time=1e-9)
    serial = energy.latency(COUNTS, prices)
    # 20 ns a read or verify, 10 ns a pulse, refresh or accumulation, 1 ns an ADC; a MAC takes place in its read.
    by_hand = {"mac": 0, "read": 400, "pulse": 60, "verify": 160, "refresh": 20, "accumulate": 500, "adc": 10}
    assert serial["dac"] is None
    assert {name: t for name, t in serial.items() if t is not None} == pytest.approx(
        {name: ns * 1e-9 for name, ns in by_hand.items()}
    )
    beside = energy.latency(COUNTS, prices, {"read": 10, "accumulate": 50})
    assert beside["read"] == pytest.approx(40e-9)
    assert beside["accumulate"] == pytest.approx(10e-9)
    assert beside["pulse"] == serial["pulse"]


@pytest.mark.parametrize("at_once", [{"read": 0}, {"read": float("nan")}, {"reads": 2}])
def test_latency_refuses(at_once):
    with pytest.raises(ValueError, match="accepted is 1 or more for mac, read"):
        energy.latency(COUNTS, at_once=at_once)


# --- the ledger of a small network, by hand -----------------------------------------------------------------------


def test_the_ledger_of_a_small_network_by_hand():
    """A 5-4-3 network in 2 x 2 tiles, tile (1, 0) of the first array off, two of five inputs zero, two time steps.

    First array, 3 x 2 tiles: rows {0, 1}, {2, 3}, {4}; columns {0, 1}, {2, 3}. Second array, 2 x 2 tiles: rows {0, 1},
    {2, 3}; columns {0, 1}, {2}. Every weight is two devices.
    """
    steps = 2
    arch = network.Architecture(SOFT, (5, 4, 3), (2, 2), steps)
    settings = programming.AccumulatorParams(step=0.01, fire_at=1.0, lines=1)
    chip = network.Chip(params=SOFT.Params(step_up=0.01, step_down=0.01), spread={})
    physics = network.Physics(neuron=neurons.Params(leak=1.0, threshold=1.0), surrogate_width=4.0)
    net = network.EdgeNetwork(arch, chip, physics, settings, key=jax.random.key(0))
    # Hidden neurons 0 and 2 get weight +1/2 from every input, 1 and 3 get -1/2; all weights of the second array are
    # different, so that no error that comes back is zero.
    signs = np.where(np.arange(4) % 2 == 0, 0.25, -0.25)
    for layer, w in ((net.hidden, np.tile(signs, (5, 1))), (net.output, np.linspace(-0.2, 0.23, 12).reshape(4, 3))):
        pair = jnp.asarray(np.stack([0.5 + w, 0.5 - w]), float)
        xbar = layer.array(physics)
        layer.weight.set_value(crossbar.create(SOFT, xbar.shape, 2, params=chip.params, x=pair).state)
    sampled = net.hidden.sampled.get_value()
    net.hidden.sampled.set_value(sampled | {"active": sampled["active"].at[1, 0].set(False)})

    # With the tile off neuron 0 hears inputs 0 and 4 of (0, 2, 4): 1/2 + 1/2 a step. Its potential is 1, not above the
    # threshold, then 2: one spike. Neuron 2 hears all three: 3/2, a spike, 1/2 + 3/2 = 2, a spike. 1 and 3 never spike.
    x = jnp.asarray([1.0, 0.0, 1.0, 0.0, 1.0])
    learn = nnx.jit(lambda net, *given: net.learn(*given))
    y, inference, learning = learn(net, x, 1, (1e3, 1e3), jax.random.key(1), jnp.int32(0))
    assert np.all(np.isfinite(y))
    found = energy.total(inference)
    # First array, each step: inputs 0 and 4 reach 4 columns, input 2 only the 2 of tile (1, 1): 10 pairs.
    # Second array: three spikes reach 3 columns each: 9 pairs.
    assert found["mac"] == 2 * (steps * 10 + 9)
    # Every column is sensed at every step: 4 and 3, of two devices.
    assert found["read"] == 2 * steps * (4 + 3)
    assert all(found[name] == 0 for name in ("pulse", "verify", "refresh", "accumulate", "adc", "dac"))

    found = energy.total(learning)
    # The error of three outputs is read back through the second array, once: 3 bit lines x 4 word lines of pairs.
    assert found["mac"] == 2 * 3 * 4
    assert found["read"] == 2 * 4
    # Increments. Second array: neurons 0 and 2 were active, 3 outputs: 6. First: inputs 0, 2, 4 times the neurons whose
    # surrogate derivative is not zero: within 4 of the threshold, all four (1 and 3 sink to -2 or -3 and stay within
    # it on average over the steps): 12. The accumulators beside an inactive tile collect as well.
    assert found["accumulate"] == 2 * 3 + 3 * 4
    # The first line of every tile has its turn, 0, 2, 4 of the first array and 0, 2 of the second, and at a learning
    # rate of 1000 whatever is not zero fires, but not into tile (1, 0): 4 + 2 + 4 and 3 + 3 pairs.
    assert found["pulse"] == 2 * (10 + 6)
    assert all(found[name] == 0 for name in ("verify", "refresh", "adc", "dac"))

    # The converters that this inference would take, one set a tile. First array, each step: inputs 0 and 4 drive two
    # tiles each, input 2 one; tiles with columns {0, 1} are 2, with {2, 3} 3. Second: a spike drives two tiles; of
    # either row of tiles, 2 and 1 columns are converted.
    spikes, (first, second) = jnp.asarray([1, 0, 2, 0]), net.arrays()
    delivered = steps * (x != 0).astype(jnp.int32)
    one = periphery.conversions(first.active, first.shape, first.tile, delivered, steps)
    two = periphery.conversions(second.active, second.shape, second.tile, spikes, steps)
    assert energy.total(one + two)["dac"] == steps * (2 + 2 + 1) + 3 * 2
    assert energy.total(one + two)["adc"] == steps * (2 * 2 + 3 * 2) + steps * 2 * (2 + 1)


# --- work ---------------------------------------------------------------------------------------------------------


def test_the_specified_figures():
    """0.1 V across 5e-4 S: 5 nJ in a step of 1 ms, 0.1 pJ in 20 ns; 1 V: 5 pJ in 10 ns."""
    g = jnp.full((1, 1, 1), 5e-4)
    assert float(energy.read_work(g, jnp.asarray([0.1]), 1e-3)) == pytest.approx(5e-9, rel=1e-6)
    assert float(energy.read_work(g, jnp.asarray([0.1]), 20e-9)) == pytest.approx(0.1 * PJ, rel=1e-6)
    assert float(energy.write_work(g, g, jnp.ones((1, 1, 1)), 10e-9)) == pytest.approx(5 * PJ, rel=1e-6)
    assert 5e-9 / energy.MEMRISTOR.mac == pytest.approx(50_000)


@pytest.mark.parametrize("wide", [False, True])
def test_a_linear_array_dissipates_what_its_sources_deliver(wide):
    """Device by device in NumPy; and from outside, by the current that each source gives off into the array."""
    with jax.enable_x64(wide):
        dtype = jnp.result_type(float)
        xbar = crossbar.create(SOFT, (13, 9), 4, params=SOFT.Params(g_max=1e-4), x=None, key=jax.random.key(0))
        xbar = crossbar.set_active(xbar, 1, 2, False)
        v = jnp.asarray(np.random.default_rng(0).uniform(-0.1, 0.1, (6, 13)), dtype)
        g = crossbar.conductance(xbar)
        found = np.asarray(jax.jit(energy.read_work)(g, v, 20e-9))
        each = np.asarray(v, float)[:, None, :, None] ** 2 * np.asarray(g, float)[None] * 20e-9
        np.testing.assert_allclose(found, each.sum((1, 2, 3)), rtol=1e-12 if wide else 1e-6)
        # A word line's source sees all its devices in parallel: what the line draws when every bit line is at 1 V.
        drawn = sum(crossbar.read_back(one, jnp.ones((1, 9), dtype))[0] for one in single_ended(xbar))
        delivered = jnp.sum(energy.work(v, v * drawn[None, :], 20e-9), axis=-1)
        np.testing.assert_allclose(found, delivered, rtol=1e-12 if wide else 1e-6)


def single_ended(xbar):
    """The two arrays of a pair, each by itself."""
    for p in range(2):
        state = jax.tree.map(lambda leaf, p=p: leaf[p : p + 1], xbar.state)
        yield xbar.replace(state=state, polarity=1)


def test_a_pulse_of_a_changing_device_costs_the_integral_of_its_power(x64):
    """Against the sum over a thousand parts of a pulse in which the conductance rises linearly."""
    before, after, v, t = 2e-5, 6e-5, 1.5, 10e-9
    fine = sum(v**2 * (before + (after - before) * (k + 0.5) / 1000) * t / 1000 for k in range(1000))
    g0, g1 = jnp.full((2, 2, 2), before), jnp.full((2, 2, 2), after)
    pulsed = jnp.zeros((2, 2, 2)).at[0, 1, 0].set(v).at[1, 1, 0].set(-v)
    assert float(energy.write_work(g0, g1, pulsed, t)) == pytest.approx(2 * fine, rel=1e-12)
    xbar = crossbar.create(SOFT, (2, 2), 1, params=SOFT.Params(g_max=1e-4, step_up=0.1, step_down=0.1))
    signed = jnp.zeros((2, 2, 2)).at[0, 1, 0].set(1.0).at[1, 1, 0].set(-1.0)
    new, events = crossbar.write(xbar, signed, t, None, max_pulses=1)
    g0, g1 = crossbar.conductance(xbar), crossbar.conductance(new)
    spent = float(energy.write_work(g0, g1, xbar.v_write * signed, t))
    changed = np.asarray(g0 != g1)
    assert energy.total(events)["pulse"] == changed.sum() == 2
    assert spent == pytest.approx(np.sum((np.asarray(g0 + g1) / 2)[changed]) * t, rel=1e-12)


def solve_nodes(m, n, current, slope, v, r_word, r_bit, r_source, r_sense):
    """Newton on Kirchhoff's laws at every node, dense, in NumPy: v_word, v_bit [m, n] of a wired array."""
    word, bit = np.arange(m * n).reshape(m, n), m * n + np.arange(m * n).reshape(m, n)
    a, b = np.zeros((2 * m * n, 2 * m * n)), np.zeros(2 * m * n)

    def resistor(p, q, r, source=0.0):
        a[p, p] += 1 / r
        if q is None:
            b[p] += source / r
        else:
            a[q, q] += 1 / r
            a[p, q] -= 1 / r
            a[q, p] -= 1 / r

    for i in range(m):
        resistor(word[i, 0], None, r_source + r_word, v[i])
        for j in range(1, n):
            resistor(word[i, j], word[i, j - 1], r_word)
    for j in range(n):
        resistor(bit[m - 1, j], None, r_bit + r_sense)
        for i in range(m - 1):
            resistor(bit[i, j], bit[i + 1, j], r_bit)
    x = np.zeros(2 * m * n)
    for _ in range(50):
        across = x[word] - x[bit]
        i, g = current(across).ravel(), slope(across).ravel()
        residual, jacobian = a @ x - b, a.copy()
        residual[word.ravel()] += i
        residual[bit.ravel()] -= i
        for p, q, s in zip(word.ravel(), bit.ravel(), g, strict=True):
            jacobian[[p, q], [p, q]] += s
            jacobian[[p, q], [q, p]] -= s
        x = x - np.linalg.solve(jacobian, residual)
    assert np.abs(residual).max() < 1e-15
    return x[word], x[bit]


def power(v, v_word, v_bit, i, lines):
    """Return the power of an array whose node voltages are given, and whose cells carry i [m, n]."""
    v, v_word, v_bit, i = (jnp.asarray(x) for x in (v, v_word, v_bit, i))
    none = jnp.zeros(())
    solution = wires.WireSolution(i.sum(0), v_word, v_bit, i.sum(1), i, none, none, none, none)
    return wires.power(solution, lines, v)


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("ends", [0.0, 40.0])
def test_a_wired_array_dissipates_what_its_sources_deliver(linear, ends, x64):
    m, n, rng = 7, 5, np.random.default_rng(1)
    g, v = 10 ** rng.uniform(-6, -3, (m, n)), rng.uniform(-0.3, 0.3, m)
    k = 1e-9 if linear else 6.0  # i = g sinh(k v) / k

    def current(v):
        return g * np.sinh(k * v) / k

    v_word, v_bit = solve_nodes(m, n, current, lambda v: g * np.cosh(k * v), v, 2.0, 3.0, ends, ends)
    i = current(v_word - v_bit)
    found = power(v, v_word, v_bit, i, wires.Wires(2.0, 3.0, ends, ends))
    assert float(found.dissipated) == pytest.approx(float(found.delivered), rel=1e-9)
    assert float(found.word) > 0.003 * float(found.delivered)  # the wires take a share that shows
    assert (float(found.terminals) > 0) == (ends > 0)
    # It is a test: other voltages do not balance.
    wrong = power(v, 0.99 * v_word, v_bit, i, wires.Wires(2.0, 3.0))
    assert float(wrong.dissipated) != pytest.approx(float(wrong.delivered), rel=1e-3)
    # Without resistance the cells get all of it.
    ideal = power(v, v[:, None] + 0 * g, np.zeros((m, n)), g * v[:, None], wires.Wires(0.0, 0.0))
    assert float(ideal.cells) == pytest.approx(float(ideal.delivered), rel=1e-12)
    assert float(ideal.delivered) == pytest.approx(float(energy.read_work(jnp.asarray(g[None]), jnp.asarray(v), 1.0)))


def test_work_follows_a_nonlinear_device(x64):
    """What a device takes from its source over a sine is the integral of v i that SciPy finds."""
    device = devices.get("wox")
    params = device.Params()
    t, dt = np.linspace(0, 1e-3, 4001), 1e-3 / 4000
    v = jnp.asarray(0.8 * np.sin(2 * np.pi * 1e3 * t))
    _, trace = devices.simulate(device, params, device.init(params, 0.3), v, dt)
    spent = float(jnp.sum(energy.work(v, trace.current, dt)))
    assert spent == pytest.approx(float(integrate.simpson(np.asarray(v * trace.current), x=t)), rel=1e-4)
    assert spent > 0
