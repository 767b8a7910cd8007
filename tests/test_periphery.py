"""Converters, drivers, sensing and codes against closed forms, NumPy loops and the ideal read of an array."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from memjax import crossbar, devices, energy, periphery
from memjax.periphery import ADC, DAC, Driver, SenseAmplifier, Slicing

SOFT = devices.get("soft_bounds")
V_READ = 0.1
# Compiled, so that a test waits for one program and not for one an operation.
adc, dac, read = jax.jit(periphery.adc), jax.jit(periphery.dac), jax.jit(crossbar.read)
sense, sum_tiles = jax.jit(periphery.sense), jax.jit(periphery.sum_tiles, static_argnames="per_tile")
sample = partial(jax.jit, static_argnums=1)(periphery.sample)


@partial(jax.jit, static_argnums=(0, 1))
def create(shape, tile, key):
    params = SOFT.Params(g_min=1e-6, g_max=1e-4)
    return crossbar.create(SOFT, shape, tile, params=params, x=None, key=key)


def array(shape=(24, 10), tile=(8, 5)):
    """An array of random conductances, 1 to 100 uS, that reads linearly."""
    return create(shape, tile, jax.random.key(0))


def inputs(n, rows, seed=1, low=0.0):
    dtype = jnp.result_type(float)
    return jnp.asarray(np.random.default_rng(seed).uniform(low, 1.0, (n, rows)), dtype)


# --- converters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "grid, level, of",  # the levels of two bits from -1 to 1, and the codes of -1.1 -0.8 -0.3 0 0.3 0.8 1.1
    [
        ("mid_tread", [-1.0, -0.5, 0.0, 0.5], [0, 0, 1, 2, 3, 3, 3]),
        ("mid_rise", [-0.75, -0.25, 0.25, 0.75], [0, 0, 1, 2, 2, 3, 3]),
        ("end_point", [-1.0, -1 / 3, 1 / 3, 1.0], [0, 0, 1, 2, 2, 3, 3]),
        ("symmetric", [-1.0, 0.0, 1.0], [0, 0, 1, 1, 1, 2, 2]),
    ],
)
def test_levels_and_codes_of_two_bits_by_hand(grid, level, of, x64):
    x = jnp.asarray([-1.1, -0.8, -0.3, 0.0, 0.3, 0.8, 1.1])
    for kind, convert in ((ADC, adc), (DAC, dac)):
        made = kind(low=-1.0, high=1.0, bits=2, grid=grid)
        np.testing.assert_allclose(periphery.levels(made), level, atol=1e-15)
        assert periphery.codes_of(made, x).tolist() == of
        np.testing.assert_allclose(convert(made, x), np.asarray(level)[of], atol=1e-15)


@pytest.mark.parametrize("grid", periphery.GRIDS)
@pytest.mark.parametrize("kind", [ADC, DAC])
def test_quantisation_error_is_lsb_squared_over_twelve(kind, grid, x64):
    convert = adc if kind is ADC else dac
    for bits in (2, 3, 5, 8, 12):
        made = kind(low=-2.0, high=3.0, bits=bits, grid=grid)
        step, level = periphery.lsb(made), periphery.levels(made)
        low, high = (-2.0, 3.0) if grid == "mid_rise" else (level[0], level[-1])
        x = jnp.asarray(np.random.default_rng(bits).uniform(low, high, 200_000))
        error = np.asarray(convert(made, x) - x)
        assert np.abs(error).max() <= step / 2 * (1 + 1e-9)
        # The sd of the mean of 2e5 squares of a uniform number is 0.2 % of it.
        assert np.mean(error**2) == pytest.approx(step**2 / 12, rel=0.01)
        assert abs(np.mean(error)) < 5 * step / (12 * 200_000) ** 0.5


def test_a_full_scale_sine_has_the_exact_signal_to_noise_ratio(x64):
    """The error's square is 1/12 + sum_k cos(2 pi k u) / (pi k)^2 in LSB, so that the mean over a sine is a sum of J0.

    Without the sum it is the textbook's SNR = 6.02 b + 1.76 dB (Bennett 1948).
    """
    t = np.arange(1 << 16)
    sine = jnp.asarray(np.sin(2 * np.pi * 4093 * t / t.size))  # an odd number of periods: all phases are met once
    k = np.arange(1, 2000)
    for bits in (4, 6, 8):
        step, amplitude = 2.0 / 2**bits, 2.0 ** (bits - 1)
        error = adc(ADC(low=-1.0, high=1.0, bits=bits, grid="mid_rise"), sine) - sine
        wanted = 1 / 12 + np.sum(special.j0(2 * np.pi * k * amplitude) / (np.pi * k) ** 2)
        assert float(jnp.mean(error**2)) / step**2 == pytest.approx(wanted, rel=2e-3)
        snr = 10 * np.log10(float(jnp.mean(sine**2) / jnp.mean(error**2)))
        assert snr == pytest.approx(6.0206 * bits + 1.7609, abs=0.6)


@pytest.mark.parametrize("wide", [False, True])
def test_sixteen_bits_equal_the_ideal_path(wide):
    with jax.enable_x64(wide):
        xbar, x = array(), inputs(50, 24, low=-1.0)
        ideal = read(xbar, V_READ * x)
        scale = float(jnp.max(jnp.abs(ideal)))
        into = DAC(low=-V_READ, high=V_READ, bits=16, grid="symmetric")
        out = ADC(low=-1.1 * scale, high=1.1 * scale, bits=16)
        found = adc(out, read(xbar, dac(into, V_READ * x)))
        assert found.dtype == ideal.dtype == (jnp.float64 if wide else jnp.float32)
        error = float(jnp.max(jnp.abs(found - ideal))) / scale
        assert 1e-6 < error < 1e-4  # some error: it is no pass-through


def test_errors_of_an_array_add_up_as_variances(x64):
    """Through the array, the DACs' errors have variance sum_i g_ij^2 LSB_v^2 / 12, and the ADC adds LSB_i^2 / 12."""
    xbar, x = array((64, 6), None), inputs(20_000, 64, low=-1.0)
    ideal = read(xbar, V_READ * x)
    into = DAC(low=-V_READ, high=V_READ, bits=5, grid="symmetric")
    out = ADC(low=-1.5e-4, high=1.5e-4, bits=6)
    found = adc(out, read(xbar, dac(into, V_READ * x)))
    g2 = np.sum(np.asarray(crossbar.net_conductance(xbar)) ** 2, axis=0)
    wanted = g2 * periphery.lsb(into) ** 2 / 12 + periphery.lsb(out) ** 2 / 12
    assert float(jnp.max(jnp.abs(ideal))) < 1.5e-4  # nothing is clipped
    np.testing.assert_allclose(np.var(np.asarray(found - ideal), axis=0), wanted, rtol=0.05)


@pytest.mark.parametrize("kind", [ADC, DAC])
def test_gradients_are_straight_through(kind, x64):
    convert = adc if kind is ADC else dac
    x = jnp.asarray([-3.0, -1.0, -0.4, 0.0, 0.33, 1.0, 2.0])
    inside = np.asarray([0, 1, 1, 1, 1, 1, 0.0])  # the bounds belong to the range
    for bits in (2, 5, 16):
        made = kind(low=-1.0, high=1.0, bits=bits, grid="symmetric")
        slope = jax.vmap(jax.grad(lambda one, made=made: convert(made, one[None])[0]))(x)
        np.testing.assert_array_equal(slope, inside)
        by = jax.grad(lambda made: jnp.sum(convert(made, x)))(made)
        assert (by.low, by.high) == (1.0, 1.0)  # one element is below, one above
        assert by.offset == (inside.sum() if kind is ADC else x.size)
        # ADC: gain acts on what comes in and is not clipped; DAC: on what goes out.
        gain = np.sum(np.asarray(x) * inside) if kind is ADC else jnp.sum(convert(made, x))
        assert by.gain == pytest.approx(float(gain), abs=1e-12)


def test_gradients_through_a_quantised_array_are_the_ideal_ones_where_nothing_is_clipped():
    xbar, x = array(), inputs(4, 24)
    into, out = DAC(high=V_READ, bits=4), ADC(low=-1e-3, high=1e-3, bits=6)

    def loss(x, quantised):
        v = dac(into, V_READ * x) if quantised else V_READ * x
        i = read(xbar, v)
        return jnp.sum(adc(out, i) if quantised else i)

    np.testing.assert_allclose(jax.grad(loss)(x, True), jax.grad(loss)(x, False), rtol=1e-6)


def test_offset_gain_and_inl_by_hand(x64):
    line = jnp.asarray([[0.2, 0.9, 1.6, 2.4, 3.0]]).T  # [5, 1]: five inputs to one line
    plain = ADC(low=0.0, high=4.0, bits=2)
    assert periphery.codes_of(plain, line)[:, 0].tolist() == [0, 1, 2, 2, 3]
    # Transitions at .5, 1.5, 2.5 of what the circuit sees.
    assert periphery.codes_of(plain.replace(offset=0.4), line)[:, 0].tolist() == [1, 1, 2, 3, 3]
    assert periphery.codes_of(plain.replace(gain=-0.5), line)[:, 0].tolist() == [0, 0, 1, 1, 2]
    bent = plain.replace(inl=jnp.asarray([0.5, 0.2, -0.3]))  # transitions at 1, 1.7, 2.2
    assert periphery.codes_of(bent, line)[:, 0].tolist() == [0, 0, 1, 3, 3]
    source = DAC(low=0.0, high=3.0, bits=2, gain=0.1, offset=-0.5, inl=jnp.asarray([0.0, 0.25, -1.5, 0.0]))
    np.testing.assert_allclose(
        periphery.dac(source, jnp.asarray([0.0, 1.2, 1.8, 9.0])), [-0.5, 1.1 * 1.25 - 0.5, 1.1 * 0.5 - 0.5, 2.8]
    )


def test_every_line_may_have_a_converter_of_its_own(x64):
    """Leaves [lines] against a loop over lines, with INL and without."""
    x = inputs(7, 5, seed=3, low=-1.0).reshape(7, 1, 5) * jnp.ones((1, 2, 1))
    for kind, convert in ((ADC, adc), (DAC, dac)):
        common = kind(low=jnp.linspace(-1.0, -0.5, 5), high=jnp.linspace(0.4, 1.2, 5), bits=4)
        made = sample(common, 5, jax.random.key(0), offset=0.05, gain=0.1, dnl=0.3)
        found = convert(made, x)
        for j in range(5):
            alone = kind(bits=4, **{f: getattr(made, f)[j] for f in ("low", "high", "offset", "gain", "inl")})
            np.testing.assert_allclose(found[..., j], convert(alone, x[..., j : j + 1])[..., 0], atol=1e-14)
        assert len({float(offset) for offset in made.offset}) == 5


def test_an_adc_counts_the_transitions_it_has_passed(x64):
    made = sample(ADC(low=-1.0, high=1.0, bits=6), 4, jax.random.key(1), dnl=1.0)
    x = np.linspace(-1.2, 1.2, 4001)
    found = np.asarray(periphery.codes_of(made, jnp.asarray(np.stack([x] * 4, axis=1))))
    assert np.all(np.diff(found, axis=0) >= 0)
    for j in range(4):
        at = -1.0 + (np.arange(1, 64) - 0.5 + np.asarray(made.inl)[j]) * 2 / 64
        np.testing.assert_array_equal(found[:, j], (x[:, None] >= at[None, :]).sum(1))


def test_inl_is_a_brownian_bridge_between_the_end_points(x64):
    dnl, lines, made = 0.05, 4000, DAC(bits=6)
    inl = np.asarray(periphery.sample_inl(made, (lines,), jax.random.key(2), dnl))
    assert inl.shape == (lines, 64)
    np.testing.assert_allclose(inl[:, [0, -1]], 0.0, atol=1e-12)
    k = np.arange(1, 63)
    wanted = dnl * np.sqrt(k * (1 - k / 63))
    assert wanted.max() == pytest.approx(dnl * 63**0.5 / 2, rel=1e-3)
    np.testing.assert_allclose(inl[:, 1:-1].std(0), wanted, rtol=5 / (2 * lines) ** 0.5)
    # A step's own spread, but for the end-point line: 1 - 1/63 of the variance.
    assert np.diff(inl, axis=1).std() == pytest.approx(dnl * (1 - 1 / 63) ** 0.5, rel=0.02)
    ordered = np.asarray(periphery.sample_inl(ADC(bits=6), (lines,), jax.random.key(2), 2.0))
    assert ordered.shape == (lines, 63)
    assert np.diff(ordered, axis=1).min() >= -1 - 1e-12


def test_sampled_spread_is_what_was_asked_for_and_a_chips_own():
    made = sample(ADC(offset=1e-6), 5000, jax.random.key(0), offset=2e-7, gain=0.03, dnl=None)
    assert made.inl is None
    assert float(jnp.mean(made.offset)) == pytest.approx(1e-6, abs=5 * 2e-7 / 5000**0.5)
    assert float(jnp.std(made.offset)) == pytest.approx(2e-7, rel=0.05)
    assert float(jnp.std(made.gain)) == pytest.approx(0.03, rel=0.05)
    assert abs(float(jnp.corrcoef(made.offset, made.gain)[0, 1])) < 5 / 5000**0.5
    chips = jax.vmap(lambda key: sample(ADC(bits=3), 4, key, offset=1e-6, dnl=0.2))(
        jax.random.split(jax.random.key(3), 2)
    )
    assert chips.inl.shape == (2, 4, 7)
    assert not np.any(np.asarray(chips.offset[0]) == np.asarray(chips.offset[1]))
    once = jax.jit(jax.vmap(periphery.adc, in_axes=(0, None)))(chips, jnp.linspace(-1e-4, 1e-4, 4))
    assert once.shape == (2, 4)


def test_physical_values_do_not_retrace():
    traces = []

    @jax.jit
    def convert(made, i):
        traces.append(1)
        return periphery.adc(made, i)

    for high in (1e-4, 2e-4):
        convert(ADC(low=-high, high=high, offset=high / 10), jnp.ones(3))
    assert len(traces) == 1


@pytest.mark.parametrize(
    "made, complaint",
    [
        (ADC(bits=0), "ADC: bits = 0: accepted is a whole number, 1 to 24"),
        (DAC(bits=-3), "DAC: bits = -3"),
        (ADC(bits=2.5), "bits = 2.5"),
        (ADC(bits=25), "bits = 25"),
        (ADC(bits=True), "bits = True"),
        (DAC(bits=1, grid="symmetric"), "bits = 1: accepted is a whole number, 2 to 24"),
        (ADC(grid="log"), "grid = 'log': accepted is one of mid_tread"),
        (ADC(low=1.0, high=1.0), "ADC: high = 1.0: accepted is more than low = 1.0"),
        (DAC(low=0.0, high=float("nan")), "DAC: high = nan"),
        (ADC(bits=2, inl=np.zeros(4)), "inl has shape (4,): accepted is [3] or [..., lines, 3]"),
        (DAC(bits=2, inl=np.float32(0)), "inl has shape ()"),
        (ADC(bits=2, inl=np.asarray([0.0, -1.5, 0.0])), "a step of inl = -1.5: accepted is -1 LSB or more"),
    ],
)
def test_impossible_converters_are_refused(made, complaint):
    convert = periphery.adc if isinstance(made, ADC) else periphery.dac
    with pytest.raises(ValueError, match=re.escape(complaint)):
        convert(made, jnp.ones(2))


def test_a_negative_spread_is_refused():
    with pytest.raises(ValueError, match="ADC: sd of dnl = -1"):
        periphery.sample(ADC(), 3, jax.random.key(0), dnl=-1)


# --- front end ----------------------------------------------------------------------------------------------------


def test_a_driver_divides_its_voltage_with_the_line_and_stops_at_its_current(x64):
    load = jnp.asarray([1e-3, 4e-3, 0.0])
    v = jnp.asarray([[0.1, 0.2, 0.3], [-0.1, -0.2, 0.0]])
    np.testing.assert_allclose(periphery.drive(Driver(), v, load), v)
    divided = periphery.drive(Driver(r_out=500.0), v, load)
    np.testing.assert_allclose(divided, np.asarray(v) / (1 + 500 * np.asarray(load)), rtol=1e-14)
    limited = periphery.drive(Driver(r_out=500.0, i_max=jnp.asarray([1e-3, 1e-4, 1e-4])), v, load)
    np.testing.assert_allclose(limited[:, 0], divided[:, 0])  # 67 uA of 1 mA
    np.testing.assert_allclose(limited[:, 1], [1e-4 / 4e-3, -1e-4 / 4e-3], rtol=1e-14)
    np.testing.assert_allclose(limited[:, 2], v[:, 2])  # an empty line draws nothing
    slope, by_load = jax.grad(lambda *given: jnp.sum(periphery.drive(Driver(500.0, 1e-4), *given)), (0, 1))(v, load)
    assert np.all(np.isfinite(slope))
    assert np.all(np.isfinite(by_load))
    assert slope[0, 1] == 0.0  # held at the limit


def test_a_driven_array_carries_what_its_drivers_can_give(x64):
    xbar, x = array(), inputs(5, 24)
    load = jnp.sum(crossbar.conductance(xbar), axis=(0, 2))
    v = periphery.drive(Driver(r_out=200.0, i_max=5e-5), V_READ * x, load)
    drawn = v * load[None, :]
    assert float(jnp.max(drawn)) == pytest.approx(5e-5)
    assert float(jnp.min(V_READ * x - v)) >= 0


@pytest.mark.parametrize("driver", [Driver(r_out=-1.0), Driver(i_max=-1e-3), Driver(r_out=float("nan"))])
def test_impossible_drivers_are_refused(driver):
    with pytest.raises(ValueError, match="Driver: .*accepted is 0 or more"):
        periphery.drive(driver, jnp.ones(2), jnp.ones(2))


def test_sense_noise_is_white_and_drawn_at_every_read_out():
    made = SenseAmplifier(density=2e-12, time=20e-9, offset=jnp.asarray([0.0, 1e-7, -1e-7]))
    # sd = s / sqrt(2 t): 2 pA/sqrt(Hz) over 20 ns are 10 nA.
    assert float(periphery.sense_sd(made)) == pytest.approx(1e-8, rel=1e-6)
    i = jnp.zeros((40_000, 3))
    read = sense(made, i, jax.random.key(0))
    np.testing.assert_allclose(np.mean(read, axis=0), [0.0, 1e-7, -1e-7], atol=5e-8 / 200)
    np.testing.assert_allclose(np.std(read, axis=0), 1e-8, rtol=5 / (2 * 40_000) ** 0.5)
    assert abs(np.corrcoef(read[:-1, 0], read[1:, 0])[0, 1]) < 5 / 200
    assert not np.any(np.asarray(sense(made, i[:9], jax.random.key(1))) == np.asarray(read[:9]))
    np.testing.assert_allclose(sense(made, i[:1]), [[0.0, 1e-7, -1e-7]], rtol=1e-6)
    # Four times the time, half the noise.
    assert float(periphery.sense_sd(made.replace(time=80e-9))) == pytest.approx(5e-9, rel=1e-6)


@pytest.mark.parametrize("made", [SenseAmplifier(density=-1e-12), SenseAmplifier(time=0.0)])
def test_impossible_sense_amplifiers_are_refused(made):
    with pytest.raises(ValueError, match="SenseAmplifier: "):
        periphery.sense(made, jnp.ones(2))


@jax.jit
def partial_currents(xbar, v):
    """Read one row of tiles at a time, all others switched off: [..., R, cols]."""
    off = crossbar.set_active(xbar, slice(None), slice(None), False)
    rows = range(xbar.active.shape[0])
    return jnp.stack([read(crossbar.set_active(off, r, slice(None), True), v) for r in rows], axis=-2)


def test_converting_every_tile_against_converting_the_sum(x64):
    """Four tiles above each other: four errors a column, of a quarter of the range each, or one of the whole."""
    xbar, x = array((64, 12), (16, 12)), inputs(4000, 64, low=-1.0)
    partial, ideal = partial_currents(xbar, V_READ * x), read(xbar, V_READ * x)
    np.testing.assert_allclose(sum_tiles(None, partial), ideal, atol=1e-17)
    tile, whole = (ADC(low=-scale, high=scale, bits=6) for scale in (1e-4, 4e-4))
    assert float(jnp.max(jnp.abs(partial))) < 1e-4
    apart = np.asarray(sum_tiles(tile, partial) - ideal)
    once = np.asarray(sum_tiles(whole, partial, per_tile=False) - ideal)
    assert np.var(apart) == pytest.approx(4 * periphery.lsb(tile) ** 2 / 12, rel=0.05)
    assert np.var(once) == pytest.approx(periphery.lsb(whole) ** 2 / 12, rel=0.05)
    assert np.var(once) == pytest.approx(4 * np.var(apart), rel=0.1)  # 4^2 of one against 4 of a quarter
    # Every tile with converters of its own, against a loop over tiles.
    own = sample(tile, (4, 12), jax.random.key(0), offset=1e-6, gain=0.02, dnl=0.5)
    one = [tile.replace(offset=own.offset[r], gain=own.gain[r], inl=own.inl[r]) for r in range(4)]
    wanted = np.asarray([adc(one[r], partial[:50, r]) for r in range(4)]).sum(0)
    np.testing.assert_allclose(sum_tiles(own, partial[:50]), wanted, atol=1e-18)


@pytest.mark.parametrize("per_tile", [True, False])
def test_tiles_that_are_off_do_not_convert(per_tile, x64):
    """Neither an offset nor half an LSB comes from them: the same as of the tiles that are on, one by one."""
    xbar, v = array((24, 10), (8, 5)), V_READ * inputs(3, 24, low=-1.0)
    on = np.array([[True, False], [False, False], [True, False]])
    for r, c in np.argwhere(~on):
        xbar = crossbar.set_active(xbar, r, c, False)
    out = ADC(low=-3e-4, high=3e-4, bits=6, offset=5e-6, grid="mid_rise")
    found = crossbar.read(xbar, v, adc=out, per_tile=per_tile)
    net = np.asarray(crossbar.net_conductance(xbar)).reshape(3, 8, 10)
    partial = np.einsum("srm,rmc->src", np.asarray(v).reshape(3, 3, 8), net)[..., :5]
    apart = np.asarray(adc(out, jnp.asarray(partial[:, on[:, 0]]))).sum(1)
    wanted = apart if per_tile else np.asarray(adc(out, jnp.asarray(partial.sum(1))))
    np.testing.assert_allclose(found, np.concatenate([wanted, np.zeros((3, 5))], axis=1), atol=1e-18)


def test_conversions_by_hand():
    """A 5 x 4 array in 2 x 2 tiles, the last row of tiles half padding; tile (1, 0) off."""
    active = jnp.ones((3, 2), bool).at[1, 0].set(False)
    delivered = jnp.asarray([3, 0, 2, 1, 1])  # of three vectors

    def count(**how):
        return energy.total(periphery.conversions(active, (5, 4), (2, 2), delivered, 3, **how))

    # DACs: rows of tiles 0 and 2 have two tiles, 3 + 0 and 1 inputs; row 1 has one, 2 + 1.
    # ADCs: the columns of tiles have 2 and 3 tiles, of two bit lines each.
    assert count()["dac"] == 2 * 3 + 1 * 3 + 2 * 1
    assert count()["adc"] == 3 * (2 * 2 + 3 * 2)
    assert count(per_tile=False)["dac"] == 7
    assert count(per_tile=False)["adc"] == 3 * 4
    assert sum(count().values()) == 11 + 30
    # Three columns: the last tile has one; a row without an active tile drives nothing.
    narrow = periphery.conversions(active.at[1, 1].set(False), (5, 3), (2, 2), delivered, 3)
    assert (int(narrow.dac), int(narrow.adc)) == (2 * 3 + 2 * 1, 3 * (2 * 2 + 2 * 1))
    assert narrow.dac.dtype == narrow.adc.dtype == jnp.int32


def test_conversions_stay_32_bit(x64):
    events = periphery.conversions(jnp.ones((1, 1), bool), (2, 2), (2, 2), jnp.asarray([1, 1]))
    assert events.adc.dtype == events.dac.dtype == jnp.int32


# --- codes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits, signed", [(1, False), (4, False), (8, False), (2, True), (5, True), (8, True)])
def test_bit_planes_are_the_digits(bits, signed):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    x = np.arange(low, high, dtype=np.int32)
    planes = np.asarray(periphery.bit_planes(jnp.asarray(x), bits, signed=signed))
    assert planes.shape == (bits, x.size)
    assert set(np.unique(planes)) <= {0, 1}
    place = 2 ** np.arange(bits)
    place[-1] *= -1 if signed else 1
    np.testing.assert_array_equal(place @ planes, x)


@pytest.mark.parametrize("signed", [False, True])
def test_bit_serial_equals_parallel_for_ideal_converters(signed):
    """To the bit: conductances and voltages are whole multiples of powers of two, so that no float32 sum rounds."""
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 256, (2, 20, 7))
    params = SOFT.Params(g_min=0.0, g_max=2.0**-12)  # a digit is 2^-20 S
    xbar = crossbar.create(SOFT, (20, 7), 6, params=params, x=jnp.asarray(digits / 256, float), v_read=0.125)
    x = jnp.asarray(rng.integers(-128, 128, (30, 20)) if signed else rng.integers(0, 256, (30, 20)), jnp.int32)
    serial = periphery.bit_serial(lambda v: read(xbar, v), x, 8, v_bit=0.125, signed=signed)
    np.testing.assert_array_equal(serial, read(xbar, 0.125 * x.astype(float)))
    np.testing.assert_array_equal(np.asarray(serial) * 2.0**23, np.asarray(x) @ (digits[0] - digits[1]))


def test_bit_serial_with_an_adc_equals_a_loop_over_planes(x64):
    xbar, x = array(), jnp.asarray(np.random.default_rng(4).integers(0, 16, (6, 24)), jnp.int32)
    made = ADC(low=-5e-5, high=5e-5, bits=5)
    found = periphery.bit_serial(lambda v: read(xbar, v), x, 4, v_bit=V_READ, convert=lambda i: periphery.adc(made, i))
    net, step, wanted = np.asarray(crossbar.net_conductance(xbar)), 1e-4 / 32, 0.0
    for k in range(4):
        i = V_READ * ((np.asarray(x) >> k) & 1) @ net
        wanted = wanted + 2**k * (-5e-5 + step * np.clip(np.floor((i + 5e-5) / step + 0.5), 0, 31))
    np.testing.assert_allclose(found, wanted, atol=1e-15)


def test_bit_serial_with_a_lossless_adc_is_exact(x64):
    """log2(128) + 1 + 2 - 1 = 9 bits convert 128 cells of 2 bits and 1-bit inputs without loss (ISAAC's law)."""
    for law in ((128, 1, 2, 9), (128, 1, 1, 8), (256, 1, 4, 12), (128, 2, 2, 11), (64, 3, 2, 11)):
        assert periphery.lossless_bits(*law[:3]) == law[3]
    with pytest.raises(ValueError, match="codes: rows = 0"):
        periphery.lossless_bits(0, 1, 1)
    rng = np.random.default_rng(5)
    digits, x = rng.integers(0, 4, (128, 9)), jnp.asarray(rng.integers(0, 16, (50, 128)), jnp.int32)
    digits[:, 0], x = 3, x.at[0].set(15)  # the worst case is among them
    cells = jnp.asarray(digits, jnp.float64)

    def run(bits):
        made = ADC(low=0.0, high=512.0, bits=bits)  # one LSB is one step of a cell
        return periphery.bit_serial(lambda v: v @ cells, x, 4, convert=lambda i: periphery.adc(made, i))

    np.testing.assert_array_equal(run(9), np.asarray(x) @ digits)
    assert not np.array_equal(run(8), np.asarray(x) @ digits)


@pytest.mark.parametrize("encoding", ["differential", "offset"])
@pytest.mark.parametrize("bits, cell_bits", [(8, 2), (8, 3), (4, 1), (5, 4), (2, 6), (16, 2)])
def test_slices_of_every_weight_go_there_and_back(encoding, bits, cell_bits):
    slicing = Slicing(bits, cell_bits, encoding)
    low, high = slicing.bounds
    w = np.unique(np.linspace(low, high, 1 << min(bits, 10)).astype(np.int32))
    w = np.resize(w, (-(-w.size // 4), 4))
    assert {w.min(), w.max()} == {low, high}
    digits = periphery.slice_weights(jnp.asarray(w), slicing)
    columns = 4 if encoding == "differential" else 5
    assert digits.shape == (slicing.polarity, w.shape[0], slicing.slices, columns)
    assert digits.min() >= 0
    assert digits.max() <= slicing.top
    np.testing.assert_array_equal(periphery.assemble(digits, slicing), w)
    if encoding == "differential":
        assert not np.any(np.asarray(digits[0] & digits[1]))  # one device of a pair is at rest


@pytest.mark.parametrize("encoding", ["differential", "offset"])
def test_sliced_weights_on_devices_give_the_integer_product(encoding, x64):
    """Through an array with g_min > 0, bit-serial inputs: both encodings cancel what g_min adds."""
    rng, slicing = np.random.default_rng(6), Slicing(8, 2, encoding)
    w, x = rng.integers(-127, 128, (20, 6)).astype(np.int32), rng.integers(0, 32, (5, 20)).astype(np.int32)
    digits = periphery.slice_weights(jnp.asarray(w), slicing)
    p, rows, s, c = digits.shape
    params = SOFT.Params(g_min=1e-6, g_max=1e-4)
    state = digits.reshape(p, rows, s * c).astype(float) / slicing.top
    xbar = crossbar.create(SOFT, (rows, s * c), 8, polarity=p, params=params, x=state)
    i = periphery.bit_serial(lambda v: read(xbar, v), jnp.asarray(x), 5, v_bit=V_READ)
    unit = V_READ * float(crossbar.conductance_range(xbar)) / slicing.top
    y = periphery.recombine((i / unit).reshape(5, s, c), slicing)
    np.testing.assert_allclose(y, x @ w, atol=1e-9)


def test_pulse_widths_are_whole_ticks_and_clipped(x64):
    x = jnp.asarray([-2.0, -1.0, -0.5, 0.0, 0.1, 0.49, 1.0, 3.0])
    widths = np.asarray(periphery.pulse_widths(x, 30e-9, 4))  # ticks of 2 ns
    np.testing.assert_allclose(widths / 2e-9, [-15, -15, -7, 0, 2, 7, 15, 15], atol=1e-9)
    slope = jax.vmap(jax.grad(lambda one: periphery.pulse_widths(one[None], 30e-9, 4)[0]))(x)
    np.testing.assert_allclose(slope, 30e-9 * np.asarray([0, 1, 1, 1, 1, 1, 1, 0]), rtol=1e-12)


def test_the_charge_of_pulse_widths_is_the_integrated_current(x64):
    """Against a sum over the clock's ticks of what the lines that are still on draw."""
    xbar, x, ticks, t_max = array(), inputs(3, 24, low=-1.0), 15, 30e-9
    widths = periphery.pulse_widths(x, t_max, 4)
    charge, net = read(xbar, V_READ * widths), np.asarray(crossbar.net_conductance(xbar))
    wanted, tick = 0.0, t_max / ticks
    for k in range(ticks):
        on = np.abs(np.asarray(widths)) > (k + 0.5) * tick
        wanted = wanted + (V_READ * np.sign(widths) * on) @ net * tick
    np.testing.assert_allclose(charge, wanted, atol=1e-12 * float(jnp.max(jnp.abs(charge))))
    fine = read(xbar, V_READ * periphery.pulse_widths(x, t_max, 16)) / t_max
    ideal = read(xbar, V_READ * x)
    assert float(jnp.max(jnp.abs(fine - ideal)) / jnp.max(jnp.abs(ideal))) < 1e-4


@pytest.mark.parametrize(
    "call, complaint",
    [
        (lambda: periphery.bit_planes(jnp.arange(3), 0), "codes: bits = 0: accepted is a whole number, 1 to 24"),
        (lambda: periphery.bit_planes(jnp.arange(3), 1, signed=True), "bits = 1: accepted is a whole number, 2 to"),
        (lambda: periphery.bit_planes(jnp.arange(5), 2), "codes: x = 4: accepted is 0 to 3"),
        (lambda: periphery.bit_planes(jnp.arange(-3, 0), 2), "codes: x = -3: accepted is 0 to 3"),
        (
            lambda: periphery.bit_planes(jnp.ones(3, jnp.float32), 2),
            "x has type float32: accepted are integers, 0 to 3",
        ),
        (lambda: periphery.bit_serial(lambda v: v, jnp.arange(3), 2.0), "bits = 2.0"),
        (lambda: periphery.pulse_widths(jnp.ones(3), 1e-8, 0), "bits = 0: accepted is a whole number, 1 to 23"),
        (lambda: periphery.slice_weights(jnp.ones((2, 2), int), Slicing(0)), "bits = 0"),
        (lambda: periphery.slice_weights(jnp.ones((2, 2), int), Slicing(1)), "bits = 1: accepted is a whole number, 2"),
        (lambda: periphery.slice_weights(jnp.ones((2, 2), int), Slicing(8, 0)), "cell_bits = 0"),
        (lambda: periphery.slice_weights(jnp.full((2, 2), 8), Slicing(4)), "codes: w = 8: accepted is -7 to 7"),
        (lambda: periphery.slice_weights(jnp.ones((2, 2), int), Slicing(4, 2, "gray")), "encoding = 'gray'"),
        (lambda: periphery.recombine(jnp.ones((4, 2)), Slicing(8, -1)), "cell_bits = -1"),
    ],
)
def test_impossible_codes_are_refused(call, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        call()
