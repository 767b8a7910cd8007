"""Measured data, checked and in SI units: I-V loops, pulse trains, retention traces, STDP windows.

loop       t, v, i            or v, i with the drive's frequency: one period, evenly sampled
pulses     a column a ramp: conductance after each pulse; shorter ramps end in empty cells
retention  t, and a column a level: conductance, or current at a read voltage
stdp       dt, dg             spike timing t_post - t_pre, and the change of conductance or weight
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from memjax.errors import UserError
from memjax.fitting import _table
from memjax.fitting._table import Table

KINDS = ("loop", "pulses", "retention", "stdp")
FEWEST = {"loop": 20, "pulses": 5, "retention": 5, "stdp": 4}  # points
NAMES = {
    "t": ("t", "time", "seconds", "timestamp"),
    "v": ("v", "voltage", "u", "vm", "vmem", "bias", "volt", "volts"),
    "i": ("i", "current", "im", "imem", "amp", "amps"),
    "g": ("g", "conductance"),
    "dt": ("dt", "delta_t", "deltat", "timing"),
    "dg": ("dg", "dw", "delta_g", "delta_w", "change"),
}


class Loop(NamedTuple):
    name: str
    sha256: str
    t: np.ndarray  # [T] s, from 0
    v: np.ndarray  # [T] V, across the device
    i: np.ndarray  # [T] A
    frequency: float | None  # Hz
    r_series: float | str | None  # ohm; "fit": there is one, of unknown size; None: there is none, or it is not known
    kind: str = "loop"


class Pulses(NamedTuple):
    name: str
    sha256: str
    g: np.ndarray  # [R, K] S after each pulse, nan where a ramp has ended
    up: np.ndarray  # [R] bool: a ramp of potentiating pulses
    read: float | None  # V, where currents were read
    unit: str  # of g: "S", or "1" where it is normalised
    kind: str = "pulses"


class Retention(NamedTuple):
    name: str
    sha256: str
    t: np.ndarray  # [T] s, above 0
    g: np.ndarray  # [L, T] S
    kind: str = "retention"


class Window(NamedTuple):
    name: str
    sha256: str
    dt: np.ndarray  # [n] s
    dg: np.ndarray  # [n]
    unit: str
    kind: str = "stdp"


Data = Loop | Pulses | Retention | Window


def read(
    source: Any,
    kind: str | None = None,
    *,
    columns: Mapping[str, str | int] | None = None,
    units: Mapping[str, str] | None = None,
    frequency: float | None = None,
    amplitude: float | None = None,
    r_series: float | str | None = None,
    interval: float | None = None,
    v_read: float | None = None,
    up: bool | Sequence[bool] | None = None,
    name: str | None = None,
) -> Data:
    """Read measured data from a CSV file (.csv, .csv.gz), a mapping of arrays or an xarray Dataset, and check them.

    kind: one of KINDS; None: by the columns (dt, dg: stdp; v, i: loop; t and others: retention; ramps: pulses).
    columns: quantity (t, v, i, g, dt, dg) -> column, by name or by number from 1.  units: quantity -> unit, as "uA";
    without it the header's ("i (uA)", "current_A"), without that SI.  frequency [Hz], amplitude [V], r_series [ohm, or
    "fit"]: the drive of a loop.  interval [s]: between rows, where there is no time column.  v_read [V]: where a
    retention trace or a pulse train holds currents.  up: direction of the ramps; None: by their slope.

    A retention trace that begins at t <= 0 is moved so that its first read is one interval after programming. Pulses
    are normalised where their unit is "1" or one is below zero, else conductances in S.

    Raises UserError, with file, row and column, for what cannot be measured data.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(f"kind {kind!r}: accepted are {', '.join(KINDS)}")
    table = _table.read(source, name)
    if kind is None and any(given is not None for given in (frequency, amplitude, r_series)):
        kind = "loop"  # only a loop has a drive
    kind = kind or _kind(table, columns or {})
    get = _Columns(table, dict(columns or {}), dict(units or {}))
    if kind == "loop":
        found = _loop(get, frequency, amplitude, r_series, interval)
    elif kind == "pulses":
        found = _pulses(get, v_read, up)
    elif kind == "retention":
        found = _retention(get, interval, v_read)
    else:
        found = _window(get)
    get.finish()
    return found


class _Columns:
    """The columns of a table by quantity, in SI units."""

    def __init__(self, table: Table, columns: dict, units: dict):
        self.table, self.columns, self.units = table, columns, units
        for quantity in [*columns, *units]:
            if quantity not in NAMES:
                raise UserError(f"{table.name}: no quantity {quantity!r}: accepted are {', '.join(NAMES)}")
        self.used: set[str] = set()

    def find(self, quantity: str) -> int | None:
        """Return the index of a quantity's column."""
        if quantity in self.columns:
            return self.table.index(self.columns[quantity], quantity)
        return self.table.match(NAMES[quantity])

    def title(self, quantity: str) -> str:
        """Return what a message calls a quantity's column."""
        return self.table.title(self.find(quantity) or 0)

    def take(self, quantity: str, *, fewest: int) -> np.ndarray:
        """Return a column that must be there, whole and finite, in SI units."""
        index = self.find(quantity)
        if index is None:
            raise UserError(
                f"{self.table.name}: no column for {quantity} ({' or '.join(NAMES[quantity][:3])}); the columns are "
                f"{self.table.columns()}; name it, as {quantity}=1 for the first"
            )
        return self.at(index, quantity, fewest)

    def at(self, index: int, quantity: str, fewest: int, *, may_end: bool = False) -> np.ndarray:
        self.used.add(quantity)
        factor = _table.factor(self.table, index, quantity, self.units.get(quantity))
        found = self.table.numbers(index, may_end=may_end) * factor
        if np.isfinite(found).sum() < fewest:
            where = f"{self.table.name}, column {self.table.title(index)}"
            raise UserError(f"{where}: {np.isfinite(found).sum()} points; at least {fewest} are needed")
        return found

    def finish(self) -> None:
        if left := set(self.units) - self.used:
            raise UserError(
                f"{self.table.name}: a unit is given for {left.pop()!r}, which is not read here; "
                f"read are {', '.join(sorted(self.used))}"
            )

    def others(self, *quantities: str) -> list[int]:
        """Return the columns that belong to none of the quantities."""
        taken = {self.find(q) for q in quantities}
        return [k for k in range(self.table.width) if k not in taken]


def _kind(table: Table, columns: Mapping) -> str:
    def has(*quantities):
        return all(q in columns or table.match(NAMES[q]) is not None for q in quantities)

    for kind, needed in (("stdp", ("dt", "dg")), ("loop", ("v", "i")), ("retention", ("t",))):
        if has(*needed):
            return kind
    if table.header is not None and table.width > 2:
        return "pulses"
    raise UserError(
        f"{table.name}: what these columns are cannot be told: {table.columns()}; "
        f"give the kind ({', '.join(KINDS)}), or name the columns, as v=1 and i=2"
    )


def _loop(get: _Columns, frequency, amplitude, r_series, interval) -> Loop:
    table, fewest = get.table, FEWEST["loop"]
    if table.header is None and get.find("v") is None and table.width == 2:
        get.columns |= {"v": 1, "i": 2}
    if table.header is None and get.find("v") is None and table.width == 3:
        get.columns |= {"t": 1, "v": 2, "i": 3}
    v, i = get.take("v", fewest=fewest), get.take("i", fewest=fewest)
    for quantity, x, column in (("voltage", v, "v"), ("current", i, "i")):
        if np.ptp(x) <= 1e-9 * np.abs(x).max():
            rows = f"{table.name}, rows {table.line(0)} to {table.line(len(x) - 1)}, column {get.title(column)}"
            raise UserError(f"{rows}: the {quantity} is constant ({x[0]:.4g}): nothing can be fitted to that")
    for label, given in (("frequency", frequency), ("amplitude", amplitude), ("interval", interval)):
        if given is not None and not (np.isfinite(given) and given > 0):
            raise UserError(f"{table.name}: {label} = {given}: accepted is a number above 0")
    if r_series not in (None, "fit") and not (np.isfinite(r_series) and r_series >= 0):  # type: ignore[operator]
        raise UserError(f"{table.name}: r_series = {r_series}: accepted is 0 ohm or more, or 'fit'")
    if get.find("t") is not None:
        t = _rising(table, get.find("t"), get.take("t", fewest=fewest))
    elif interval is not None or frequency is not None:
        t = np.arange(len(v)) * (interval if interval is not None else 1 / (frequency * len(v)))
    else:
        raise UserError(f"{table.name}: no time column: give the drive's frequency, or the interval between rows")
    _plausible(get, v, i, amplitude, r_series)
    return Loop(table.name, table.sha256, t - t[0], v, i, frequency, r_series)


def _plausible(get: _Columns, v, i, amplitude, r_series) -> None:
    """Refuse units that cannot be: a device is not driven by kilovolts, and no resistor drops more than the source."""
    table, peak = get.table, float(np.abs(i).max())

    def at(quantity, x):
        return f"{table.name}, row {table.line(int(np.abs(x).argmax()))}, column {get.title(quantity)}"

    if np.abs(v).max() > 1e3:
        raise UserError(f"{at('v', v)}: {np.abs(v).max():.4g} V across a device cannot be: what is the unit of v?")
    if peak > 10:
        raise UserError(f"{at('i', i)}: {peak:.4g} A through a device cannot be: what is the unit of i (mA, uA, nA)?")
    if r_series in (None, "fit", 0):
        return
    drop, source = peak * float(r_series), amplitude or 20 * float(np.abs(v).max())
    if drop > 1.5 * source:
        against = f"the amplitude is {amplitude:g} V" if amplitude else f"{np.abs(v).max():.3g} V are across the device"
        raise UserError(
            f"{at('i', i)}: {peak:.4g} A through {r_series:g} ohm would drop {drop:.4g} V, but {against}: "
            "what is the unit of i (mA, uA, nA)?"
        )
    if amplitude is not None:
        seen = float(np.ptp(v + float(r_series) * i)) / 2
        if not 0.7 < seen / amplitude < 1.4:
            raise UserError(
                f"{table.name}: v + R i swings by {seen:.4g} V, the amplitude is given as {amplitude:g} V: units of v "
                "and i, resistance or amplitude do not fit together"
            )


def _rising(table: Table, index: int | None, t: np.ndarray) -> np.ndarray:
    if (np.diff(t) <= 0).any():
        k, index = int(np.flatnonzero(np.diff(t) <= 0)[0]) + 1, index or 0
        raise UserError(
            f"{table.name}, row {table.line(k)}, column {table.title(index)}: time runs backwards or stands "
            f"({t[k - 1]:.6g} s, then {t[k]:.6g} s); it must rise from row to row"
        )
    return t


def _pulses(get: _Columns, v_read, up) -> Pulses:
    table = get.table
    quantity = "i" if v_read is not None else "g"
    given = get.columns.get(quantity)
    indices = [table.index(given, quantity)] if given is not None else list(range(table.width))
    ramps = [get.at(k, quantity, FEWEST["pulses"], may_end=True) for k in indices]
    g = np.stack(ramps) / (v_read or 1.0)
    for k, ramp in zip(indices, g, strict=True):
        if np.nanmax(ramp) == np.nanmin(ramp):
            raise UserError(f"{table.name}, column {table.title(k)}: the conductance is constant: there is no response")
    slope = np.array([np.mean(r[len(r) // 2 :]) - np.mean(r[: len(r) // 2]) for r in (x[~np.isnan(x)] for x in g)])
    directions = slope > 0 if up is None else np.broadcast_to(np.asarray(up, bool), slope.shape)
    return Pulses(
        table.name, table.sha256, g, directions, v_read, "S" if v_read is not None else _unit(get, indices, g)
    )


def _unit(get: _Columns, indices: list[int], g: np.ndarray) -> str:
    """Tell whether conductances g [ramps, n] are in siemens, "S", or normalised, "1"."""
    table = get.table
    named = {found[0] for k in indices if (found := _table.unit_of(table, k, "g", get.units.get("g"))) is not None}
    if "1" in named or np.nanmin(g) < 0:
        return "1"
    if not named and np.nanmax(g) > 0.1:
        ramp = int(np.nanargmax(np.nanmax(g, axis=1)))
        where = f"{table.name}, row {table.line(int(np.nanargmax(g[ramp])))}, column {table.title(indices[ramp])}"
        raise UserError(f"{where}: {np.nanmax(g):.4g} S of a device cannot be: give g its unit (uS; 1 if normalised)")
    return "S"


def _retention(get: _Columns, interval, v_read) -> Retention:
    table, fewest = get.table, FEWEST["retention"]
    if get.find("t") is not None:
        t = _rising(table, get.find("t"), get.take("t", fewest=fewest))
    elif interval is not None:
        t = (np.arange(table.length) + 1.0) * interval
    else:
        raise UserError(f"{table.name}: no time column: give the interval between rows")
    if get.find("g") is not None:
        g = get.take("g", fewest=fewest)[None]
    else:
        voltage = get.take("v", fewest=fewest) if get.find("v") is not None else v_read
        quantity = "g" if voltage is None else "i"
        columns = [get.at(k, quantity, fewest) for k in get.others("t", "v")]
        if not columns:
            raise UserError(f"{table.name}: no column of conductances or currents beside {table.columns()}")
        g = np.stack(columns)
        # Instruments differ in the sign of a current read at a negative voltage.
        g = g if voltage is None else np.abs(g / voltage)
    if t[0] <= 0:  # the first read is taken to be one interval after programming
        t = t - t[0] + (t[1] - t[0])
    if (g <= 0).any():
        level, k = np.argwhere(g <= 0)[0]
        raise UserError(
            f"{table.name}, row {table.line(int(k))}: level {level + 1} has a conductance of {g[level, k]:.4g} S"
        )
    return Retention(table.name, table.sha256, t, g)


def _window(get: _Columns) -> Window:
    table, fewest = get.table, FEWEST["stdp"]
    if table.header is None and get.find("dt") is None and table.width == 2:
        get.columns |= {"dt": 1, "dg": 2}
    dt, dg = get.take("dt", fewest=fewest), get.take("dg", fewest=fewest)
    if np.abs(dt).max() > 100:
        where = f"{table.name}, row {table.line(int(np.abs(dt).argmax()))}, column {get.title('dt')}"
        raise UserError(f"{where}: a spike timing of {np.abs(dt).max():.4g} s cannot be: what is the unit of dt (ms)?")
    return Window(table.name, table.sha256, dt, dg, "1")
