"""The three fingerprints of a memristor for every ODE model, and plasticity that comes out of the physics."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

from memjax import devices

STUDY = Path(__file__).resolve().parent.parent / "experiments" / "device_gallery"
RESULTS = json.loads((STUDY / "results.json").read_text(encoding="utf-8"))
COMMITTED = {row["name"]: row for row in RESULTS["loops"]}

pytestmark = pytest.mark.usefixtures("x64")


def _load(name):
    spec = importlib.util.spec_from_file_location(f"device_gallery_{name}", STUDY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


loops, synapse = _load("loops"), _load("synapse")
CASES = {case.name: case for case in loops.cases()}


def test_every_model_of_the_table_is_there():
    assert set(loops.AMPLITUDES) <= set(CASES)
    assert set(loops.AMPLITUDES) <= {name for name, row in COMMITTED.items() if row["loops"]}


@pytest.mark.parametrize("name", CASES)
def test_fingerprints(name):
    case, row = CASES[name], COMMITTED.get(name)
    known = row is not None and row["amplitude_V"] == case.amplitude
    characteristic = row["characteristic_Hz"] if known else loops.characteristic_frequency(case)
    if characteristic is None or math.isnan(characteristic):
        pytest.skip(f"no loop at {case.amplitude} V: give it an amplitude in loops.AMPLITUDES")
    prints = loops.fingerprints(case, characteristic)
    # Pinched: no current at 0 V, in any state, and the sign of the voltage everywhere else.
    assert prints["current_at_0_V_A"] == 0
    assert prints["passive"]
    # Shrinking, in the end as 1 / f.
    areas = np.array(prints["areas"])
    assert areas[0] > 0.05
    assert (np.diff(areas) < 0).all()
    assert areas[-1] / areas[-2] == pytest.approx(0.1, rel=0.05)
    # A single curve in the limit, and a straight line where the frozen device is ohmic.
    assert prints["from_single_curve"] < 1e-4
    ohmic = 2 * float(case.device.current(case.params, case.device.init(case.params, 0.5), 0.5 * case.amplitude)) == (
        pytest.approx(
            float(case.device.current(case.params, case.device.init(case.params, 0.5), case.amplitude)), rel=1e-3
        )
    )
    assert (prints["from_straight_line"] < 1e-4) == ohmic


def test_characteristic_frequency_is_the_committed_one_and_a_third_of_the_largest_area():
    case = CASES["linear_ion_drift"]
    characteristic = loops.characteristic_frequency(case)
    assert characteristic == pytest.approx(COMMITTED["linear_ion_drift"]["characteristic_Hz"], rel=1e-6)
    largest = loops.area(loops.run(case, np.geomspace(0.3, 3, 500))).max()
    assert loops.area(loops.run(case, np.array([characteristic])))[0] == pytest.approx(largest / 3, rel=0.03)


def test_lobe_area_of_linear_drift_far_above_it():
    """First order in x: lobes of (4/3) (r_off - r_on) k v / (2 pi f R^2), k = mu r_on / d^2, as a share of v i_max."""
    case, f = CASES["linear_ion_drift"], 5e3
    r = 100 * case.x0 + 16e3 * (1 - case.x0)
    expected = 4 / 3 * (16e3 - 100) * 1e4 / (2 * np.pi * f * r**2)
    assert loops.area(loops.run(case, np.array([f])))[0] == pytest.approx(expected, rel=2e-3)


# --- plasticity ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plasticity():
    import jax

    with jax.enable_x64(True):
        return synapse.study()


def test_committed_curves_are_these(plasticity):
    for model, protocols in RESULTS["synapse"].items():
        for name, curves in protocols.items():
            for key, values in curves.items():
                np.testing.assert_allclose(plasticity[model][name][key], values, rtol=1e-6, atol=1e-9, err_msg=key)


def test_second_order_facilitates_by_its_closed_form(plasticity):
    curve = plasticity["second_order"]["paired_pulse"]
    interval = np.array(curve["interval_s"])
    np.testing.assert_allclose(curve["ratio"], 1 + np.exp(-0.2 - interval / 0.05), rtol=1e-9)


def test_modular_facilitates_in_each_of_its_time_constants(plasticity):
    """On the scale of u the second response adds sum c_k charge_k exp(-(T + d) / tau_k) to the first."""
    params = devices.modular.Params()
    tau, c = np.array(params.tau), np.array(params.c)
    interval = np.array(plasticity["modular"]["paired_pulse"]["interval_s"])
    with np.errstate(invalid="ignore"):
        charge = np.sinh(2.0) * np.where(np.isinf(tau), 2e-3, -tau * np.expm1(-2e-3 / tau))
    first, share = c @ charge, 1e-3 + 0.998 * synapse.X0
    rest = np.arctanh(2 * share - 1)
    second = first + np.exp(-(interval[:, None] + 2e-3) / tau) @ (c * charge)
    g = lambda u: (1 + np.tanh(u)) / 2  # noqa: E731
    expected = (g(rest + second) - g(rest)) / (g(rest + first) - g(rest))
    # The non-volatile mode carries the state at rest, and so does not fade.
    np.testing.assert_allclose(plasticity["modular"]["paired_pulse"]["ratio"], expected, rtol=1e-9)


@pytest.mark.parametrize("model", synapse.MODELS)
def test_potentiation_and_the_transition_to_long_term(plasticity, model):
    ratio = np.array(plasticity[model]["paired_pulse"]["ratio"])
    assert ratio[0] > 1.5
    assert (np.diff(ratio) <= 0).all()
    assert ratio[0] > ratio[20] > ratio[-1]
    tetanus = plasticity[model]["post_tetanic"]
    assert (np.diff(tetanus["during"]) > 0).all()
    assert (np.diff(tetanus["after"]) < 1e-12).all()
    assert tetanus["after"][0] > tetanus["after"][-1] > 1.2  # part fades, part stays
    transition = plasticity[model]["short_to_long"]
    assert (np.diff(transition["stays"]) > 0).all()
    assert transition["stays"][-1] > 4 * max(transition["stays"][0], 0.01)


def test_spike_rate(plasticity):
    gated, linear = (plasticity[model]["spike_rate"] for model in synapse.MODELS)
    for curve in (gated, linear):
        assert (np.diff(curve["at_once"]) > 0).all()
    rate = np.array(gated["rate_Hz"])
    np.testing.assert_allclose(np.array(gated["stays"])[rate <= 50], 0, atol=1e-9)  # the gate stays shut
    assert gated["stays"][-1] > 1
    # A linear memory adds up: what stays of it counts the pulses, whatever their rate.
    np.testing.assert_allclose(linear["stays"], linear["stays"][0], rtol=1e-9)
    assert linear["stays"][0] > 0.1
