"""STDP and SRDP that emerge from devices: the ideal limit is the trace rule, and real models show their mechanism."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from memjax import devices, pairing, plasticity
from memjax.devices import Device

DT, TAU, V_TH, TAIL = 1e-3, 0.02, 1.0, 0.5
T = np.arange(150) * DT


@struct.dataclass
class Ideal:
    k: float = 2e-3  # S/(V s)


IDEAL = Device(
    "ideal",
    Ideal,
    init=lambda params, x: jnp.asarray(1e-3 * x),
    current=lambda params, state, v: state * v,
    step=lambda params, g, v, dt, key: g + params.k * dt * (jnp.maximum(v - V_TH, 0.0) - jnp.maximum(-v - V_TH, 0.0)),
)


def test_the_ideal_device_is_the_trace_rule(x64):
    """A spike at threshold and an exponential tail: dG = A exp(-dt / tau), and no change at dt = 0."""
    spike = pairing.spike_tail(T, V_TH, DT, TAIL, TAU)
    times = np.arange(-100, 101) * DT
    found = pairing.window(IDEAL, Ideal(), spike, spike, times, DT)
    # The tail starts at the end of the spike, one step late.
    amplitude = 2e-3 * DT * TAIL * np.exp(DT / TAU)
    stdp = plasticity.get("stdp")
    rule = amplitude * plasticity.window(stdp, stdp.Params(1.0, 1.0, TAU, TAU), times, DT, w=0.0)
    np.testing.assert_allclose(found, rule, rtol=1e-9, atol=1e-18)
    assert np.max(np.abs(found)) > 0.9e-6


def test_different_waveforms_give_each_branch_its_own_constants(x64):
    pre, post = (pairing.spike_tail(T, V_TH, DT, tail, tau) for tail, tau in ((0.3, 0.01), (0.6, 0.03)))
    found = pairing.window(IDEAL, Ideal(), pre, post, [5e-3, 10e-3, -5e-3, -10e-3], DT)
    assert found[0] / found[1] == pytest.approx(np.exp(0.5), rel=1e-9)  # potentiation meets the pre tail
    assert found[2] / found[3] == pytest.approx(np.exp(5 / 30), rel=1e-9)
    assert found[0] == pytest.approx(2e-3 * DT * 0.3 * np.exp(-4e-3 / 0.01), rel=1e-9)


WAVES = {
    "spike_tail": lambda t: pairing.spike_tail(t, 1.0, 5e-3, 0.4, 0.02),
    "triangular": lambda t: pairing.triangular(t, 1.0, 6e-3, 0.4, 0.05),
    "biexponential": lambda t: pairing.biexponential(t, 1.0, 5e-3, 2e-3, 0.4, 0.06, 0.02),
    "birectangular": lambda t: pairing.birectangular(t, 1.0, 5e-3, 0.4, 0.03),
}


@pytest.mark.parametrize("name", WAVES)
def test_waveforms_have_a_positive_spike_and_a_negative_tail(name, x64):
    t = np.linspace(-0.01, 0.3, 3101)
    v = np.asarray(WAVES[name](t))
    assert (v[t < -1e-9] == 0).all()
    assert v.max() == pytest.approx(1.0, abs=0.06)
    assert v.min() == pytest.approx(-0.4, abs=1e-3)
    assert (v[t > 7e-3] <= 0).all()
    assert abs(v[-1]) < 1e-6


def test_waveforms_at_points_of_their_formulas(x64):
    assert float(pairing.spike_tail(0.025, 1.0, 5e-3, 0.4, 0.02)) == pytest.approx(-0.4 / np.e)
    assert float(pairing.triangular(1.5e-3, 1.0, 6e-3, 0.4, 0.05)) == pytest.approx(0.5)
    assert float(pairing.triangular(31e-3, 1.0, 6e-3, 0.4, 0.05)) == pytest.approx(-0.2)
    assert float(pairing.birectangular(0.034, 1.0, 5e-3, 0.4, 0.03)) == -0.4
    rise = pairing.biexponential(2e-3, 1.0, 5e-3, 2e-3, 0.4, 0.06, 0.02)
    assert float(rise) == pytest.approx(np.expm1(1) / np.expm1(2.5))


@pytest.mark.parametrize("name", WAVES)
def test_a_window_emerges_from_a_threshold_device_with_every_waveform(name, x64):
    dt = DT / 5
    wave = WAVES[name](np.arange(750) * dt)
    found = np.asarray(pairing.window(IDEAL, Ideal(), wave, wave, np.array([-80, -10, -7, 7, 10, 80]) * DT, dt))
    assert found[3] >= found[4] > found[5] >= 0
    assert found[2] <= found[1] < found[0] <= 0
    np.testing.assert_allclose(found, -found[::-1], rtol=1e-9, atol=1e-18)  # one waveform for both: an odd window


def test_a_spike_alone_changes_nothing_below_the_threshold(x64):
    wave = WAVES["triangular"](T)
    found = pairing.window(IDEAL, Ideal(), wave, np.zeros_like(wave), [-0.01, 0.01], DT)
    np.testing.assert_array_equal(found, 0)


def test_a_volatile_device_is_compared_with_itself_left_alone(x64):
    device, params = devices.get("volatile"), devices.volatile.Params(alpha_pot=0.05, alpha_dep=0.05, tau=0.5)
    wave = WAVES["triangular"](T)
    find = partial(pairing.window, device, params, wave, wave, threshold=1.05, dt=DT)
    found = np.asarray(find([-0.01, 0.0, 0.01, 0.14]))
    assert found[0] < 0 < found[2]
    np.testing.assert_allclose(found[[1, 3]], 0, atol=1e-15)
    # 130 steps shorter and a second longer: what the pair has left decays in tau.
    later = np.asarray(find([-0.01, 0.01], rest=1.0))
    np.testing.assert_allclose(later, found[[0, 2]] * np.exp(-(1.0 - 0.13) / 0.5), rtol=1e-9)


def test_noise_gives_each_device_and_each_delay_its_own_draw():
    device = devices.with_c2c_noise(devices.get("volatile"))
    params = device.Params(inner=devices.volatile.Params(alpha_pot=0.05, alpha_dep=0.05, tau=1e6), sigma=0.3)
    wave = WAVES["triangular"](T)
    many = jax.jit(lambda key: pairing.window(
        device, params, wave, wave, [0.008, 0.009], DT, x=jnp.full(4000, 0.5), key=key, threshold=1.05
    ))(jax.random.key(0))  # fmt: skip
    assert many.shape == (2, 4000)
    quiet = pairing.window(devices.get("volatile"), params.inner, wave, wave, [0.008, 0.009], DT, threshold=1.05)
    np.testing.assert_allclose(many.mean(axis=1), quiet, rtol=0.02)
    # The peak of the spike alone passes the selector: one pulse, with the spread of one pulse.
    np.testing.assert_allclose(quiet, 0.05 * 0.5 * (1e-3 - 1e-6), rtol=1e-3)
    np.testing.assert_allclose(many.std(axis=1) / many.mean(axis=1), 0.3, rtol=0.05)
    assert abs(np.corrcoef(many)[0, 1]) < 0.06


# --- rates --------------------------------------------------------------------------------------------------------


def test_volatile_device_has_its_fixed_point_in_closed_form(x64):
    """After many pulses g just before the next one solves g = g_min + (g + a (g_max - g) - g_min) exp(-T / tau)."""
    params = devices.volatile.Params(alpha_pot=0.1)
    rate = np.array([1.0, 10.0, 50.0, 200.0])
    width = 1e-3
    found = pairing.rates(devices.get("volatile"), params, rate, 400, height=1.0, width=width, x=0.2)
    q = np.exp(-(1 / rate - width) / 0.1)
    share = 0.1 * q / (1 - 0.9 * q)
    np.testing.assert_allclose(found, (share - 0.2) * (1e-3 - 1e-6), rtol=1e-6, atol=1e-12)
    assert (found[:2] < 0).all()
    assert (found[2:] > 0).all()  # slow trains lose what it forgets, fast ones potentiate


def test_second_order_memristor_has_a_threshold_of_the_rate(x64):
    device, params = devices.get("second_order"), devices.second_order.Params()
    rate = np.array([1.0, 10.0, 20.0, 50.0, 100.0, 200.0])
    found = np.asarray(pairing.rates(device, params, rate, 50, height=1.0, width=2e-3, x=0.2, rest=5.0))
    np.testing.assert_allclose(found[rate <= 50], 0, atol=1e-12)
    assert 0 < found[-2] < found[-1]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"dts": [1.5e-3]}, "multiples of dt"),
        ({"post": np.zeros(3)}, "lists of one length"),
        ({"pre": np.zeros((2, 2)), "post": np.zeros((2, 2))}, "lists of one length"),
    ],
)
def test_wrong_input_is_named(change, message):
    inputs = {"pre": np.zeros(4), "post": np.zeros(4), "dts": [1e-3], "dt": 1e-3} | change
    with pytest.raises(ValueError, match=message):
        pairing.window(IDEAL, Ideal(), **inputs)
    with pytest.raises(ValueError, match=r"pulses of 0.1 s overlap at 20.0 Hz"):
        pairing.rates(IDEAL, Ideal(), np.array([1.0, 20.0]), 3, height=1.0, width=0.1)
