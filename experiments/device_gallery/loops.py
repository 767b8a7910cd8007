"""Pinched hysteresis loops of the ODE models, and the three fingerprints of a memristor, each as a number."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memjax import devices

# Peak of the sine [V]: past the thresholds, and short of what no real device sees.
AMPLITUDES = {
    "linear_ion_drift": 1.0,
    "metastable_switch": 0.5,
    "modular": 1.0,
    "second_order": 1.0,
    "sine_drift": 1.0,
    "vcm": 1.5,
    "vteam": 4.0,  # where SET and RESET are about as fast; at 2 V RESET is 30 times faster
    "wox": 1.2,
    "yakopcic miao": 1.0,
    "yakopcic jo": 3.0,
    "yakopcic oblea": 0.25,
}
DEFAULT_AMPLITUDE = 1.0  # V, of a model that is not in the table
SEARCH = np.geomspace(1e-4, 1e13, 137)  # Hz, 8 a decade
POINTS = 400  # steps of a period
SHARE = 1 / 3  # of the largest lobe area, at the characteristic frequency


class Case(NamedTuple):
    """One model with one set of parameters, and how it is driven."""

    name: str
    device: devices.Device
    params: Any
    x0: float
    amplitude: float  # V


class Loop(NamedTuple):
    """One period of a sine: leaves [..., POINTS]."""

    v: Any  # V
    i: Any  # A
    frozen: Any  # A, at the same voltages by a device that stays in the mean state of the period
    zero: Any  # A, at 0 V in each of its states


def cases() -> list[Case]:
    """List every model that is an ODE and follows the sign of its voltage, with the variants that are worth a panel."""
    found = []
    for name in devices.names():
        device = devices.get(name)
        if device.rate is None or device.switching != "bipolar":
            continue
        if name == "yakopcic":
            sets, x0 = devices.yakopcic.PARAMETER_SETS, devices.yakopcic.INITIAL_X
            found += [_case(f"yakopcic {key}", device, params, x0[key]) for key, params in sets.items()]
            continue
        found.append(_case(name, device, device.Params()))
        if name == "linear_ion_drift":
            windowed = devices.linear_ion_drift.with_window("biolek", 2)
            found.append(_case("linear_ion_drift + biolek", windowed, windowed.Params(), amplitude=1.0))
    return found


def _case(name, device, params, x0=0.3, amplitude=None):
    return Case(name, device, params, x0, AMPLITUDES.get(name, DEFAULT_AMPLITUDE) if amplitude is None else amplitude)


def run(case: Case, frequency) -> Loop:
    """Drive a device from x0 with one period of a sine at each frequency [k] [Hz]; leaves of the loop: [k, POINTS].

    The first period, not a settled one: above its characteristic frequency a model whose SET and RESET differ in speed
    drifts for as many periods as it is driven too fast, and would be measured in another state at every frequency.
    """
    return _run(case, jnp.asarray(frequency))


@partial(jax.jit, static_argnums=0)  # a case is static: one compilation for all runs of as many frequencies
def _run(case: Case, frequency) -> Loop:
    device, params = case.device, case.params
    v = jnp.asarray(case.amplitude * np.sin(2 * np.pi * np.arange(POINTS) / POINTS))
    start = device.init(params, case.x0)

    def one(f):
        _, trace = devices.simulate(device, params, start, v, 1 / (f * POINTS))
        mean = jax.tree.map(lambda leaf: leaf.mean(axis=0), trace.state)
        return Loop(v, trace.current, device.current(params, mean, v), device.current(params, trace.state, 0.0))

    return jax.vmap(one)(frequency)


def area(loop: Loop) -> np.ndarray:
    """Return the area of both lobes, |integral of i dv| of each half period, as a share of V_peak max|i|: [...]."""
    v, i = np.asarray(loop.v), np.asarray(loop.i)
    strip = i * (np.roll(v, -1, axis=-1) - np.roll(v, 1, axis=-1)) / 2
    half = v.shape[-1] // 2
    lobes = np.abs(strip[..., :half].sum(axis=-1)) + np.abs(strip[..., half:].sum(axis=-1))
    return lobes / (np.abs(v).max(axis=-1) * np.abs(i).max(axis=-1))


def characteristic_frequency(case: Case) -> float:
    """Return the highest frequency [Hz] at which the lobes still have a third of the largest area they ever have.

    One definition for all models, also for those with several time constants and for states that no constant voltage
    takes through their range (`devices.characteristic_frequency` is 0 there).  nan: no loop at this amplitude.
    """
    areas = area(run(case, SEARCH))
    peak = int(areas.argmax())
    # Where the device just reaches its bound within the half period, the area has a sharp peak.
    near = _between(peak - 1, peak + 1)
    largest = max(areas.max(), area(run(case, near)).max())
    if not largest > 1e-3:
        return float("nan")
    last = int(np.flatnonzero(areas >= min(SHARE * largest, areas.max()))[-1])
    if last == len(SEARCH) - 1:
        return float("nan")
    fine = _between(last, last + 1)
    return float(fine[area(run(case, fine)) >= SHARE * largest][-1])


def _between(first: int, last: int) -> np.ndarray:
    """Return as many frequencies as SEARCH has, from its entry `first` to its entry `last`."""
    return np.geomspace(SEARCH[max(first, 0)], SEARCH[min(last, len(SEARCH) - 1)], len(SEARCH))


def fingerprints(case: Case, characteristic: float) -> dict:
    """Measure the three fingerprints of a memristor.

    pinched       the largest |i| at 0 V over all states of the loop, and whether i has the sign of v everywhere
    shrinking     lobe areas at 1, 2, 5, 10, ... 1000 times the characteristic frequency
    single_curve  at 10^5 times it, the largest |i - i of the frozen state| / max|i|; and how far that curve is from a
                  straight line, which it is where the model is ohmic
    """
    multiples = np.array([1.0, 2.0, 5.0, 10.0, 30.0, 100.0, 1000.0, 1e5])
    loop = jax.tree.map(np.asarray, run(case, characteristic * multiples))
    fast = jax.tree.map(lambda leaf: leaf[-1], loop)
    peak = np.abs(fast.i).max()
    line = fast.v * (fast.v @ fast.i) / (fast.v @ fast.v)
    moving = np.abs(loop.v) > 1e-9 * case.amplitude
    return {
        "current_at_0_V_A": float(np.abs(loop.zero).max()),
        "passive": bool((np.sign(loop.i) == np.sign(loop.v))[moving].all()),
        "multiples": multiples[:-1].tolist(),
        "areas": area(loop)[:-1].tolist(),
        "from_single_curve": float(np.abs(fast.i - fast.frozen).max() / peak),
        "from_straight_line": float(np.abs(fast.i - line).max() / peak),
    }
