"""Windows and rate curves that come out of devices: no learning rule, only `device.step` under spikes and pulses."""

import jax
import jax.numpy as jnp
import numpy as np

from memjax import devices, pairing, presets, variation

DT, STEPS = 1e-3, 220
TIMES = np.arange(-100, 101, 2) * DT
MANY = 1000
WAVES = {
    "spike and tail": lambda t: pairing.spike_tail(t, 1.0, 5e-3, 0.5, 0.03),
    "triangular": lambda t: pairing.triangular(t, 1.0, 8e-3, 0.5, 0.08),
    "bi-exponential": lambda t: pairing.biexponential(t, 1.0, 8e-3, 3e-3, 0.5, 0.1, 0.03),
    "bi-rectangular": lambda t: pairing.birectangular(t, 1.0, 5e-3, 0.5, 0.04),
}
RATES = np.array([1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 70.0, 100.0, 150.0, 200.0])
PULSES = (10, 30, 100)


def study() -> dict:
    """Return all curves: numbers, strings and lists alone."""
    time = np.arange(STEPS) * DT
    return {
        "time_s": _list(time[:120]),
        "dt_s": _list(TIMES),
        "waves": {name: _list(np.asarray(wave(time))[:120]) for name, wave in WAVES.items()},
        "wox": wox(time),
        "spread": {"volatile": volatile(time), "ag_asi_pulsed": ag_asi(time)},
        "rates": rates(),
    }


def wox(time) -> dict:
    """Return the window of the WOx memristor, an ODE that depends exponentially on the voltage, for each waveform."""
    device = devices.get("wox")
    params, out = device.Params(), {}
    start = devices.conductance(device, params, device.init(params, 0.3))
    for name, wave in WAVES.items():
        spike = 0.9 * wave(time)
        found = jax.jit(lambda spike: pairing.window(device, params, spike, spike, TIMES, DT, x=0.3))(spike)
        out[name] = _list(100 * found / start)
    return out


def volatile(time) -> dict:
    """Return the window of 1,000 volatile devices with spread parameters and noisy writes."""
    device = devices.with_c2c_noise(devices.get("volatile"))
    inner = devices.volatile.Params(alpha_pot=0.03, alpha_dep=0.03, tau=0.5)
    spread = {name: 0.2 for name in ("g_max", "tau", "alpha_pot", "alpha_dep")}
    many = variation.sample_params(inner, spread, (MANY,), jax.random.key(0))
    return _band(device, device.Params(inner=many, sigma=0.3), time, 1.05)


def ag_asi(time) -> dict:
    """Return the window of 1,000 devices of a noisy preset, Ag:a-Si under pulses."""
    preset = presets.load("ag_asi_pulsed")
    return _band(preset.device, preset.params, time, 1.05)


def _band(device, params, time, threshold) -> dict:
    spike = WAVES["triangular"](time)
    x = jnp.full(MANY, 0.5)
    start = devices.conductance(device, params, device.init(params, x))
    run = jax.jit(
        lambda key: pairing.window(device, params, spike, spike, TIMES, DT, x=x, key=key, threshold=threshold)
    )
    percent = 100 * np.asarray(run(jax.random.key(1)) / start[None])
    low, middle, high = np.percentile(percent, [5, 50, 95], axis=1)
    return {"p5": _list(low), "median": _list(middle), "p95": _list(high), "one": _list(percent[:, 0])}


def rates() -> dict:
    """Return dG / G0 [%] against the rate of pulses, for the volatile device and the second-order memristor."""
    out = {"rate_Hz": _list(RATES)}
    cases = {
        "volatile": (devices.volatile.Params(alpha_pot=0.02), 0.2, 0.0),
        "second_order": (devices.second_order.Params(), 0.2, 5.0),
    }
    for name, (params, x, rest) in cases.items():
        device = devices.get(name)
        start = devices.conductance(device, params, device.init(params, x))
        out[name] = {"rest_s": rest}
        for n in PULSES:
            found = pairing.rates(device, params, RATES, n, height=1.0, width=2e-3, x=x, rest=rest)
            out[name][str(n)] = _list(100 * found / start)
    return out


def _list(values) -> list[float]:
    """Return five significant digits, which is more than a figure shows."""
    return [float(f"{value:.5g}") for value in np.asarray(values, float)]
