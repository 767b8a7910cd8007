"""Reading: columns and units however they are given, and messages that name file, row and column."""

import gzip

import numpy as np
import pytest
import xarray as xr

from memjax import fitting
from memjax.errors import UserError

T = np.arange(40) / 40
V = 0.5 * np.sin(2 * np.pi * T)
CURRENT = 1e-3 * V * (1 + 0.3 * np.cos(2 * np.pi * T))


def write(path, header, *columns, mark=","):
    rows = [mark.join(f"{x:.9g}" for x in row) for row in zip(*columns, strict=True)]
    text = "\n".join([*([header] if header else []), *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize(
    "name, header, mark, scale, options",
    [
        ("a.csv", "t (s),v (V),i (uA)", ",", (1, 1, 1e6), {}),
        ("a.csv.gz", "time_ms,voltage_mV,current_A", ",", (1e3, 1e3, 1), {}),
        ("a.csv", "Time [s];U [V];CURRENT [mA]", ";", (1, 1, 1e3), {}),
        ("a.csv", "# a comment\nt/us,v/V,i/nA", ",", (1e6, 1, 1e9), {}),
        ("a.csv", None, ",", (1, 1, 1e6), {"kind": "loop", "units": {"i": "uA"}}),
        ("a.txt", None, " ", (1, 1, 1), {"columns": {"t": 1, "v": "2", "i": 3}}),
    ],
)
def test_a_loop_however_it_is_written(tmp_path, name, header, mark, scale, options):
    path = write(tmp_path / name, header, T * scale[0], V * scale[1], CURRENT * scale[2], mark=mark)
    loop = fitting.read(path, **options)
    assert loop.kind == "loop"
    np.testing.assert_allclose(loop.t, T, atol=1e-9)
    np.testing.assert_allclose(loop.v, V, atol=1e-9)
    np.testing.assert_allclose(loop.i, CURRENT, atol=1e-12)
    assert len(loop.sha256) == 64


def test_a_loop_without_time_gets_it_from_the_frequency(tmp_path):
    loop = fitting.read(write(tmp_path / "a.csv", None, V, CURRENT), frequency=10.0)
    np.testing.assert_allclose(loop.t, T / 10, atol=1e-12)


def test_python_data_come_as_a_mapping_or_a_dataset():
    dataset = xr.Dataset({"v": ("time", 1e3 * V, {"units": "mV"}), "i": ("time", CURRENT, {"units": "A"})}, {"time": T})
    for source in (dataset, {"t": T, "v": V, "i": CURRENT}):
        loop = fitting.read(source)
        np.testing.assert_allclose(loop.v, V, atol=1e-12)
        np.testing.assert_allclose(loop.t, T)


def test_pulses_retention_and_windows(tmp_path):
    k = np.arange(1, 31)
    g = np.stack([1e-5 * k, 3.1e-4 - 1e-5 * k])
    path = tmp_path / "p.csv"
    rows = [f"{a},{b if n < 20 else ''}" for n, (a, b) in enumerate(g.T)]
    path.write_text("up,down\n" + "\n".join(rows) + "\n")
    found = fitting.read(path, "pulses")
    assert found.up.tolist() == [True, False]
    assert np.isnan(found.g[1, 20:]).all()
    np.testing.assert_allclose(found.g[0], g[0])
    trace = fitting.read(write(tmp_path / "r.csv", "v,i1,i2", 0 * k - 0.5, -g[0], -g[1]), "retention", interval=2.0)
    np.testing.assert_allclose(trace.g, 2 * g)
    np.testing.assert_allclose(trace.t, 2.0 * k)
    window = fitting.read(write(tmp_path / "w.csv", "dt (ms),dg", k - 15.5, 0.1 * k))
    assert window.kind == "stdp"
    np.testing.assert_allclose(window.dt, 1e-3 * (k - 15.5))


def test_normalised_pulses_are_told_from_siemens():
    ramp = np.linspace(0.1, 1.0, 30)
    assert fitting.read({"a": ramp, "b": ramp[::-1]}, "pulses", units={"g": "1"}).unit == "1"
    assert fitting.read({"a (%)": 100 * ramp}, "pulses").unit == "1"
    assert fitting.read({"a": ramp - 0.5}, "pulses").unit == "1"  # no conductance is below zero
    assert fitting.read({"a (mS)": ramp}, "pulses").unit == "S"
    assert fitting.read({"a": ramp}, "pulses", v_read=0.1).unit == "S"  # currents, in amperes
    with pytest.raises(UserError, match=r"data, row 29, column 1 .*: 1 S of a device cannot be: give g its unit"):
        fitting.read({"a": ramp}, "pulses")


def test_a_damaged_archive_is_named(tmp_path):
    path = tmp_path / "a.csv.gz"
    whole = bytearray(gzip.compress(b"t,v,i\n" + b"0.125,3,4\n" * 500))
    whole[20:30] = bytes(10)
    path.write_bytes(bytes(whole))
    with pytest.raises(UserError, match=r"cannot read .*a\.csv\.gz"):
        fitting.read(path)


def broken(**changes):
    columns = {"t": T.copy(), "v": V.copy(), "i": CURRENT.copy()}
    for name, (k, value) in changes.items():
        columns[name][k] = value
    return columns.values()


@pytest.mark.parametrize(
    "header, columns, options, message",
    [
        ("t,v,x", broken(), {"kind": "loop"}, r"a.csv: no column for i \(i or current or im\); .* are t, v, x"),
        ("t,v,i", broken(v=(7, np.nan)), {}, r"a.csv, row 9, column 2 \('v'\): a number is missing"),
        ("t,v,i", broken(i=(0, np.inf)), {}, r"a.csv, row 2, column 3 \('i'\)"),
        ("t,v,i", broken(t=(5, 0.0)), {}, r"a.csv, row 7, column 1 \('t'\): time runs backwards"),
        ("t,v (A),i", broken(), {}, r"column 2 \('v \(A\)'\): v in 'A' cannot be: accepted is V"),
        ("t,v,i", broken(), {"units": {"i": "furlong"}}, r"unknown unit 'furlong' \(accepted: .*uA"),
        ("t,v,i", (T[:9], V[:9], CURRENT[:9]), {}, r"column 2 \('v'\): 9 points; at least 20"),
        ("t,v,i", (T, 0 * V + 0.5, CURRENT), {}, r"a.csv, rows 2 to 41, column 2 \('v'\): the voltage is constant"),
        ("v,i", (V, CURRENT), {}, "no time column: give the drive's frequency"),
        (
            "t,v,i",
            (T, V, 1e6 * CURRENT),
            {},
            r"a.csv, row 10, column 3 \('i'\): 519.6 A through a device cannot be: what is the unit of i",
        ),
        ("t,v,i", (T, V, 5e3 * CURRENT), {"r_series": 1e3}, r"row .*, column 3 \('i'\): .* would drop 2.* V, but"),
        ("t,v,i", broken(), {"r_series": 1e3, "amplitude": 5.0, "frequency": 1.0}, "the amplitude is given as 5 V"),
        ("t,v,i", broken(), {"columns": {"i": 9}}, "no column 9 for i: there are 3"),
        ("t,v,i", broken(), {"columns": {"current": 3}}, "no quantity 'current'"),
        ("a,b", (T, V), {}, "what these columns are cannot be told: a, b"),
    ],
)
def test_bad_data_name_file_row_and_column(tmp_path, header, columns, options, message):
    with pytest.raises(UserError, match=message):
        fitting.read(write(tmp_path / "a.csv", header, *columns), **options)


def test_a_cell_that_is_no_number(tmp_path):
    path = write(tmp_path / "a.csv", "t,v,i", T, V, CURRENT)
    path.write_text(path.read_text().replace("\n0.1,", "\n0.1V,"))
    with pytest.raises(UserError, match=r"a.csv, row 6, column 1 \('t'\): '0.1V' is no number"):
        fitting.read(path)
    with pytest.raises(UserError, match="cannot read .*nothing.csv"):
        fitting.read(tmp_path / "nothing.csv")
