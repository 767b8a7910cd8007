"""The visual network against the source's own loop, its text's equation, and the committed results."""

import importlib.util
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax.devices import sine_drift
from memjax.visual_network import load_voltage, simulate_network

STUDY = Path(__file__).resolve().parent.parent / "experiments" / "visual_network"


def source_code(w0, voltage, dt, r_on=0.1, r_off=10.0, beta=0.5):
    """Transcribe the source's loop in NumPy (SPEC B): w, phi, R before the first step and after each."""
    w, phi = np.array(w0), np.zeros_like(w0)
    record = [(w, phi, r_on * w + r_off * (1 - w))]
    for v in voltage:
        w = np.clip(w + beta * np.sin(v) * dt, 0, 1)
        phi = phi + v * dt
        record.append((w, phi, r_on * w + r_off * (1 - w)))
    return (np.array(column) for column in zip(*record, strict=True))


@pytest.fixture(scope="module")
def run_py():
    spec = importlib.util.spec_from_file_location("visual_network_study", STUDY / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("n, steps, dt", [(5, 20, 0.1), (3, 50, 0.4)])
def test_equals_the_source_code(n, steps, dt):
    rng = np.random.default_rng(n)
    w0, voltage = rng.uniform(0.1, 0.9, (n, n)), rng.uniform(-5, 5, (steps, n, n))
    trace = simulate_network(n, steps, dt, w0=w0, voltage=voltage)
    w, phi, r = source_code(w0, voltage, dt)
    assert dt < 0.4 or ((w == 0) | (w == 1)).any(), "the long run is there to meet the bounds"
    np.testing.assert_allclose(trace.w, w, rtol=0, atol=1e-12)
    np.testing.assert_allclose(trace.phi, phi, rtol=0, atol=1e-12)
    np.testing.assert_allclose(trace.r, r, rtol=0, atol=1e-12)
    np.testing.assert_allclose(trace.current, voltage / r[:-1], rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_text_form_is_the_same_while_unclipped():
    """R' = R + alpha sin(V) dt with alpha = -beta (r_off - r_on) = -4.95: positive sin V lowers R."""
    rng = np.random.default_rng(0)
    w0, voltage = (
        rng.uniform(0.4, 0.6, (5, 5)),
        rng.uniform(-5, 5, (7, 5, 5)),
    )  # 7 steps of .05 at most: no bound is met
    trace = simulate_network(5, 7, 0.1, w0=w0, voltage=voltage)
    r = 0.1 * w0 + 10.0 * (1 - w0)
    for t, v in enumerate(voltage):
        r = r - 4.95 * np.sin(v) * 0.1
        np.testing.assert_allclose(trace.r[t + 1], r, rtol=0, atol=1e-12)


def test_draws_are_in_range_and_follow_the_key():
    run = jax.jit(lambda key: simulate_network(30, 10, key=key))
    a, b, other = (run(jax.random.key(seed)) for seed in (0, 0, 1))
    assert a.r.shape == (11, 30, 30)
    assert a.voltage.shape == a.current.shape == (10, 30, 30)
    assert 0.1 <= a.w[0].min() < 0.11
    assert 0.89 < a.w[0].max() <= 0.9
    assert -5 <= a.voltage.min() < -4.9
    assert 4.9 < a.voltage.max() <= 5
    np.testing.assert_array_equal(a.r, b.r)
    assert not np.array_equal(a.voltage, other.voltage)
    correlation = np.corrcoef(a.w[0].ravel(), a.voltage[0].ravel())[0, 1]
    assert abs(correlation) < 0.1  # 900 pairs: three standard deviations of independent draws


def test_jits_and_differentiates_in_the_parameters():
    @jax.jit
    def mean_resistance(beta):
        params = sine_drift.Params(beta=beta)
        return simulate_network(3, 4, key=jax.random.key(2), params=params).r[-1].mean()

    h = 1e-2  # unclipped, R is linear in beta: the difference quotient is exact but for rounding
    slope = (mean_resistance(0.5 + h) - mean_resistance(0.5 - h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(mean_resistance)(0.5), slope, rtol=1e-2)


def test_an_array_of_different_devices():
    r_off = jnp.linspace(5.0, 10.0, 9).reshape(3, 3)
    trace = simulate_network(3, 2, key=jax.random.key(0), params=sine_drift.Params(r_off=r_off))
    np.testing.assert_allclose(
        trace.r, 0.1 * np.asarray(trace.w) + np.asarray(r_off) * (1 - np.asarray(trace.w)), rtol=1e-5
    )


@pytest.mark.parametrize(
    "kwargs, said",
    [
        ({"n": 0}, "n = 0"),
        ({"key": None}, "key is None"),
        ({"w0": np.full((4, 4), 0.5)}, r"\(4, 4\)"),
        ({"w0": np.full((5, 5), 1.5)}, "1.5"),
        ({"voltage": np.zeros((20, 5))}, r"\(20, 5, 5\)"),
        ({"voltage": np.full((20, 5, 5), np.nan)}, "finite"),
        ({"dt": -0.1}, "dt"),
    ],
)
def test_wrong_input_is_refused(kwargs, said):
    with pytest.raises(ValueError, match=said):
        simulate_network(**{"key": jax.random.key(0), **kwargs})


def test_load_voltage(tmp_path):
    voltage = np.random.default_rng(0).uniform(-5, 5, (3, 2, 2))
    path = tmp_path / "v.csv"
    np.savetxt(path, voltage.reshape(3, 4), delimiter=",", fmt="%.17g")
    np.testing.assert_array_equal(load_voltage(path), voltage)


@pytest.mark.parametrize("text", ["1,2,3\n", "1,2,3,x\n", "1,2,3,4\n1,2\n", "1,2,3,nan\n"])
def test_load_voltage_refuses_what_is_no_table(tmp_path, text):
    path = tmp_path / "v.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"v\.csv: .*accepted"):
        load_voltage(path)


def test_committed_results_are_what_the_study_computes(run_py):
    committed = json.loads((STUDY / "results.json").read_text())
    computed = run_py.study(committed["settings"]["seed"])
    assert computed["max_difference_from_transcription"]["r_ohm"] < 1e-12
    assert computed["text_form"]["max_difference_of_the_others_ohm"] < 1e-12
    assert computed["settings"] == committed["settings"]
    np.testing.assert_allclose(computed["r_ohm"], committed["r_ohm"], rtol=0, atol=1e-9)
    for row, expected in zip(computed["digest"], committed["digest"], strict=True):
        assert row == pytest.approx(expected, abs=1e-9)
