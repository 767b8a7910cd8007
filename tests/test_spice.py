"""Netlists against the models themselves: ngspice integrates what memjax steps through."""

import shutil
import sys

import jax
import numpy as np
import pytest

from memjax import cli, devices, spice
from memjax.devices import linear_ion_drift, modular, yakopcic
from memjax.spice import _ngspice
from memjax.spice.models import entries, equations

needs_ngspice = pytest.mark.skipif(
    shutil.which("ngspice") is None, reason="ngspice is not installed (Debian package ngspice)"
)
ION = linear_ion_drift.DEVICE
STRONG = linear_ion_drift.Params(r_on=100.0, r_off=10e3, d=12e-9, mu=50e-15)  # the two decks in circulation
MILD = linear_ion_drift.Params(r_on=100.0, r_off=1e3, d=16e-9, mu=40e-15)


def windows(p):
    return [linear_ion_drift.with_window(name, p) for name in linear_ion_drift.WINDOWS if name != "none"]


# Device, params, x at the start, amplitude [V], frequency [Hz]: each at a frequency at which it opens its loop.
CASES = [
    (ION, ION.Params(), 0.1, 1.0, 1.0),
    *((device, STRONG, 0.56, 1.0, 20.0) for device in windows(7)),
    *((device, MILD, 0.076, 1.0, 16.0) for device in windows(7)),
    (linear_ion_drift.with_window("prodromakis", 2, j=1.5), MILD, 0.076, 1.0, 32.0),
    (linear_ion_drift.with_window("zha", 1.5, j=0.8), MILD, 0.076, 1.0, 16.0),
    (devices.get("sine_drift"), None, 0.3, 2.0, 0.5),
    (devices.get("vteam"), None, 0.3, 2.0, 2e8),  # both bounds are met
    (devices.get("vteam"), None, 0.3, 1.7, 5e6),
    (yakopcic.DEVICE, yakopcic.PARAMETER_SETS["miao"], yakopcic.INITIAL_X["miao"], 1.0, 1.0),
    (yakopcic.DEVICE, yakopcic.PARAMETER_SETS["jo"], yakopcic.INITIAL_X["jo"], 3.0, 0.05),
    (yakopcic.DEVICE, yakopcic.PARAMETER_SETS["oblea"], yakopcic.INITIAL_X["oblea"], 0.25, 50.0),
    (devices.get("wox"), None, 0.1, 1.2, 0.5),
    (devices.get("metastable_switch"), None, 0.1, 0.5, 1e3),
    (devices.get("generalised_metastable_switch"), None, 0.1, 0.4, 1e3),
    (devices.get("second_order"), None, 0.1, 1.0, 5.0),
    (devices.get("vcm"), None, 0.3, 1.3, 1e6),  # the SET begins to run away, and the RESET takes it back
    (devices.get("diffusive"), None, 0.1, 0.25, 10.0),  # half a bridge: a whole one is compared below
    *(
        (modular.with_parts(drive, saturation), None, 0.3, 0.8, 2.0)
        for drive, saturation in zip(modular.DRIVES, modular.SATURATIONS, strict=True)
    ),
]
PERIODS, STEPS = 2, 1000
# memjax's steps a period, where a state feeds on itself; ngspice chooses its own.
FINER = {"vcm": 4000, "diffusive": 10000}


def memjax_transient(device, params, x, amplitude, frequency):
    """Return t [T], i [T] and the states over a sine; the steps hold the voltages of their middles."""
    steps = FINER.get(device.name, STEPS)
    dt = 1 / (frequency * steps)
    t = np.arange(PERIODS * steps + 1) * dt
    start = device.init(params, x)
    middle = amplitude * np.sin(2 * np.pi * frequency * (t[:-1] + dt / 2))
    _, trace = devices.simulate(device, params, start, middle, dt, record="state")
    state = jax.tree.map(lambda first, rest: np.append(first, rest), start, trace.state)
    return t, np.asarray(device.current(params, state, amplitude * np.sin(2 * np.pi * frequency * t))), state


@needs_ngspice
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].name)
def test_transient_agrees_with_ngspice(x64, case):
    device, params, x, amplitude, frequency = case
    params = device.Params() if params is None else params
    t, i, state = memjax_transient(device, params, x, amplitude, frequency)
    text = spice.netlist(
        device,
        params,
        waveform=spice.sine(amplitude, frequency),
        state=x,
        stop=PERIODS / frequency,
        max_step=1 / (frequency * STEPS),
    )
    out = spice.run_ngspice(text, timeout=30)
    got = np.interp(t, out["time"], -out["i(vin)"])
    assert np.abs(got - i).max() < 1e-3 * np.abs(i).max()  # .5 % is asked for
    model = equations(device, params)
    for name in model.rate:
        path = np.asarray(entries(state)[name]) / model.scale.get(name, 1.0)
        assert np.ptp(path) > 0.02, "the state hardly moves: this case tests nothing"
        np.testing.assert_allclose(np.interp(t, out["time"], out[f"v(x1.{name})"]), path, atol=5e-3 * np.ptp(path))


def test_every_ode_has_an_entry_that_is_compared():
    compared = {case[0].name for case in CASES}
    assert {name for name in devices.names() if devices.get(name).rate} <= compared
    # Of modular, each drive and each saturation is compared once; their combinations are not.
    assert compared == {name for name in spice.names() if "modular" not in name or name in compared}
    for device in (case[0] for case in CASES):
        params = device.Params()
        assert set(equations(device, params).rate) == set(entries(device.init(params, 0.5)))


@needs_ngspice
def test_diffusive_switches_when_ngspice_says(x64):
    """A bridge forms and lets go within microseconds: what is compared is when, over a sweep of 3 Hz."""
    device, frequency = devices.get("diffusive"), 3.0
    params, steps = device.Params(), 40_000
    t = np.arange(steps + 1) / (steps * frequency)
    middle = 0.5 * np.sin(2 * np.pi * frequency * (t[1:] + t[:-1]) / 2)
    _, trace = devices.simulate(device, params, device.init(params, 0.1), middle, t[1], record="state")
    text = spice.netlist(device, params, waveform=spice.sine(0.5, frequency), state=0.1, stop=t[-1], max_step=1e-4)
    out = spice.run_ngspice(text)

    def on_for(time, total):  # shares of the period at which more than 9 tenths of a bridge come and go
        return frequency * time[1:][np.diff((total > 0.9).astype(int)) != 0]

    ours = on_for(t[1:], np.asarray(trace.state.fil + trace.state.res))
    theirs = on_for(out["time"], out["v(x1.fil)"] + out["v(x1.res)"])
    assert len(ours) == len(theirs) == 4, (ours, theirs)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-3)


def test_infinite_times_and_tuples_are_written():
    device = devices.get("modular")
    text = spice.subcircuit(device, device.Params(tau=(0.1, float("inf")), c=(1.0, 2.0)))
    for line in ("tau0=0.1", "tau1=1e+300", "c1=2.0", "x0_0=0.0"):
        assert f"+ {line}\n" in text


@needs_ngspice
def test_state_held_at_its_bound_comes_off_when_the_voltage_turns(x64):
    """Constant +1 V drives x into the bound, where it must stay without drifting past it; -1 V then takes it back."""
    t = np.array([0.0, 0.1, 0.101, 0.14])
    v = np.array([1.0, 1.0, -1.0, -1.0])
    text = spice.netlist(ION, MILD, waveform=spice.piecewise(t, v), state=0.5, stop=0.14, max_step=2e-5)
    out = spice.run_ngspice(text)
    x = out["v(x1.x)"]
    assert np.abs(x[(out["time"] > 0.05) & (out["time"] < 0.1)] - 1).max() < 1e-5
    fine = np.linspace(0, 0.14, 14001)
    middle = np.interp(fine[:-1] + 5e-6, t, v)
    end, _ = devices.simulate(ION, MILD, ION.init(MILD, 0.5), middle, 1e-5, record=())
    np.testing.assert_allclose(x[-1], end.x, atol=1e-3)


@needs_ngspice
def test_series_resistor_and_triangle(x64):
    """Slow enough a loop for memjax's series solver: the device sees v - i r."""
    n, frequency, r = 2000, 16.0, 300.0
    t = np.arange(n + 1) / (n * frequency)
    corners = np.array([0, 0.25, 0.75, 1]) / frequency
    wave = np.interp(t, corners, [0, 1.0, -1.0, 0])
    middle = np.interp(t[:-1] + t[1] / 2, corners, [0, 1.0, -1.0, 0])
    _, trace = devices.simulate(ION, MILD, ION.init(MILD, 0.2), middle, t[1], r_series=r, record="state")
    text = spice.netlist(
        ION, MILD, waveform=spice.triangle(1.0, frequency), state=0.2, stop=1 / frequency, r_series=r, max_step=t[1]
    )
    out = spice.run_ngspice(text)
    np.testing.assert_allclose(np.interp(t, out["time"], out["v(in)"]), wave, atol=1e-4)
    np.testing.assert_allclose(out["v(in)"] - out["v(dev)"], -out["i(vin)"] * r, atol=1e-9)
    np.testing.assert_allclose(np.interp(t[1:], out["time"], out["v(x1.x)"]), trace.state.x, atol=1e-3)


# --- crossbar -----------------------------------------------------------------------------------------------------


def nodal(g, v, r_word, r_bit):
    """Solve Kirchhoff's current law on all 2 m n nodes; return the output currents [n] and the node voltages."""
    m, n = g.shape
    a, b = np.zeros((2 * m * n, 2 * m * n)), np.zeros(2 * m * n)

    def join(p, q, conductance):
        a[p, p] += conductance
        if q is not None:
            a[q, q] += conductance
            a[p, q] -= conductance
            a[q, p] -= conductance

    for i in range(m):
        for j in range(n):
            word, bit = i * n + j, m * n + i * n + j
            join(word, bit, g[i, j])
            join(word, word - 1 if j else None, 1 / r_word)
            if not j:
                b[word] += v[i] / r_word
            join(bit, bit + n if i + 1 < m else None, 1 / r_bit)
    nodes = np.linalg.solve(a, b)
    return nodes[-n:] / r_bit, nodes.reshape(2, m, n)


def an_array(m=16, n=16):
    rng = np.random.default_rng(0)
    return rng.uniform(1e-6, 1e-3, (m, n)), rng.uniform(-0.2, 0.2, m)


def outputs(found, n):
    return np.array([found[f"i(vb{j})"][0] for j in range(n)])


@needs_ngspice
def test_crossbar_with_wires_agrees_with_the_nodal_equations():
    g, v = an_array()
    found = spice.run_ngspice(spice.crossbar_netlist(g, v, 2.0, 2.0))
    i, nodes = nodal(g, v, 2.0, 2.0)
    np.testing.assert_allclose(outputs(found, 16), i, rtol=1e-9)  # 1e-4 is asked for
    got = [[[found[f"v({line}{r}_{c})"][0] for c in range(16)] for r in range(16)] for line in "wb"]
    np.testing.assert_allclose(got, nodes, rtol=0, atol=1e-10)
    assert np.abs(i / (v @ g) - 1).max() > 0.05  # the wires matter here


@needs_ngspice
@pytest.mark.parametrize("r_word, r_bit", [(0.0, 0.0), (3.0, 0.0), (0.0, 5.0)])
def test_crossbar_without_resistance_on_a_line(r_word, r_bit):
    g, v = an_array(5, 3)
    g[2, 1] = 0.0
    found = spice.run_ngspice(spice.crossbar_netlist(g, v, r_word, r_bit))
    expected, _ = nodal(g, v, r_word or 1e-7, r_bit or 1e-7)
    np.testing.assert_allclose(outputs(found, 3), expected, rtol=1e-6)


# --- what is written, and what is refused -------------------------------------------------------------------------


def test_subcircuit_carries_the_params():
    text = spice.subcircuit(linear_ion_drift.with_window("zha", 3, j=0.5), MILD)
    assert text.startswith(".subckt linear_ion_drift_zha plus minus params:\n")
    for line in ("r_on=100.0", "r_off=1000.0", "d=1.6e-08", "mu=4e-14", "p=3.0", "j=0.5", "x_0=0.5"):
        assert f"+ {line}\n" in text
    assert text.endswith(".ends\n")


def test_netlist_starts_from_a_given_state():
    device = devices.get("sine_drift")
    params = device.Params()
    text = spice.netlist(device, params, waveform=spice.sine(1, 1), stop=1, state=device.init(params, 0.25))
    assert "w_0=0.25 phi_0=0.0" in text


def test_refuses_devices_without_a_spice_form():
    with pytest.raises(ValueError, match=r"'volatile' has no SPICE form.*accepted are diffusive, .*, vteam"):
        spice.subcircuit(devices.get("volatile"))
    with pytest.raises(ValueError, match=r"'linear_ion_drift\+c2c' has no SPICE form"):
        spice.subcircuit(devices.with_c2c_noise(ION))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"params": MILD.replace(r_on=2e3)}, "r_off = 1000.0: accepted is more than r_on"),
        ({"params": MILD.replace(mu=np.full(3, 1e-14))}, r"params.mu has shape \(3,\): .* one number"),
        ({"stop": 0.0}, "stop = 0.0: accepted is more than 0 s"),
        ({"max_step": 2.0}, "max_step = 2.0: accepted is more than 0 s, at most stop = 1 s"),
        ({"r_series": -1.0}, "r_series = -1.0: accepted is 0 ohm or more"),
        ({"state": 1.5}, "x = 1.5: accepted is 0 to 1"),
    ],
)
def test_refuses_netlists(change, message):
    arguments = {"params": MILD, "waveform": spice.sine(1, 1), "stop": 1.0} | change
    with pytest.raises(ValueError, match=message):
        spice.netlist(ION, **arguments)


def test_refuses_waveforms_and_crossbars():
    with pytest.raises(ValueError, match="frequency = 0: accepted is more than 0 Hz"):
        spice.sine(1, 0)
    with pytest.raises(ValueError, match="t from 0 s on and rising"):
        spice.piecewise([0, 1, 1], [0, 1, 2])
    with pytest.raises(ValueError, match=r"g has shape \(2, 2\), v \(3,\): accepted are g \[m, n\] and v \[m\]"):
        spice.crossbar_netlist(np.ones((2, 2)), np.ones(3))
    with pytest.raises(ValueError, match="g = -1.0: accepted is 0 S or more"):
        spice.crossbar_netlist([[-1.0]], [1.0])


def test_names_the_package_where_ngspice_is_missing(monkeypatch):
    monkeypatch.setattr(_ngspice.shutil, "which", lambda name: None)
    with pytest.raises(spice.NgspiceMissing, match="Debian and Ubuntu package ngspice"):
        spice.run_ngspice("")


@needs_ngspice
def test_errors_of_ngspice_are_shown():
    with pytest.raises(spice.NgspiceError, match="it said:\n(.*\n)*.*nonsense"):
        spice.run_ngspice("* deck\nV1 a 0 1\nR1 a 0 1\nXbad a 0 nonsense\n.op\n.end\n")
    with pytest.raises(spice.NgspiceError, match=r"did not finish in 0.2 s"):
        spice.run_ngspice("* long\nV1 a 0 SIN(0 1 1)\nR1 a 0 1\n.tran 1u 100 0 1u\n.end\n", timeout=0.2)


def test_reads_ascii_raw_files():
    text = (
        "Title: t\nPlotname: Transient Analysis\nFlags: real\nNo. Variables: 2\nNo. Points: 2\nVariables:\n"
        "\t0\ttime\ttime\n\t1\tv(In)\tvoltage\nValues:\n 0\t0.0\n\t1.5\n\n 1\t1e-3\n\t-2.5\n\n"
    )
    out = _ngspice.parse_raw(text.encode())
    np.testing.assert_array_equal(out["time"], [0.0, 1e-3])
    np.testing.assert_array_equal(out["v(in)"], [1.5, -2.5])
    with pytest.raises(spice.NgspiceError, match="no ngspice raw file"):
        _ngspice.parse_raw(b"hello")
    with pytest.raises(spice.NgspiceError, match="flags 'complex'"):
        _ngspice.parse_raw(text.replace("real", "complex").encode())


# --- the command --------------------------------------------------------------------------------------------------


def command(monkeypatch, *arguments):
    """Run `memjax spice ...` and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["memjax", "spice", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


@needs_ngspice
def test_command_writes_and_runs(monkeypatch, capsys, tmp_path):
    out = tmp_path / "vteam.cir"
    arguments = ("vteam", "--amplitude", 2, "--frequency", 2e8, "--set", "r_off=2e5", "--r-series", 50)
    assert not command(monkeypatch, *arguments, "--run", "--out", out)
    said = capsys.readouterr().out
    assert 0 < float(said.split("within ")[1].split(" %")[0]) < 0.5
    assert "+ r_off=200000.0\n" in out.read_text()
    assert command(monkeypatch, *arguments, "--out", out) == 2
    assert "exists, and nothing is written over" in capsys.readouterr().err


def test_command_prints_or_refuses(monkeypatch, capsys):
    assert not command(monkeypatch, "wox", "--waveform", "triangle", "--periods", 3)
    printed = capsys.readouterr().out
    assert ".subckt wox plus minus params:" in printed
    assert ".tran 0.001 3.0 0 0.001 uic" in printed
    assert command(monkeypatch, "wox", "--waveform", "square") == 2
    assert "--waveform square: accepted is sine or triangle" in capsys.readouterr().err
    assert command(monkeypatch, "volatile") == 2
    assert "'volatile' has no SPICE form" in capsys.readouterr().err
