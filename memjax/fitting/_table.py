"""A table of numbers from a file, a mapping of arrays or an xarray Dataset, with the place of every number."""

import csv
import gzip
import hashlib
import os
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from memjax.errors import UserError

PREFIX = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6}
UNITS = {prefix + unit: (unit, size) for prefix, size in PREFIX.items() for unit in ("V", "A", "S", "s")}
UNITS |= {"min": ("s", 60.0), "h": ("s", 3600.0), "sec": ("s", 1.0), "1": ("1", 1.0), "%": ("1", 0.01)}
ACCEPTED = {"t": "s", "dt": "s", "v": "V", "i": "A", "g": "S1", "dg": "S1"}  # letters of the accepted units
TITLES = (r"^(.*?)\s*[(\[]\s*([^)\]]*)\s*[)\]]$", r"^(.*?)\s*/\s*(\S+)$", r"^(.*)_([^_]+)$", r"^(\S+)\s+(\S+)$")
MISSING = {"", "nan", "na", "n/a", "null", "none", "-"}


class Table(NamedTuple):
    name: str
    sha256: str
    header: tuple[str, ...] | None
    cells: list[list[str]] | None  # of a file
    lines: list[int]  # of the rows, in the file
    arrays: list[np.ndarray] | None = None  # of Python's data
    attrs: tuple[str | None, ...] = ()  # units of Python's data

    @property
    def width(self) -> int:
        return len(self.arrays) if self.arrays is not None else max(map(len, self.cells or [[]]))

    @property
    def length(self) -> int:
        return len(self.arrays[0]) if self.arrays is not None else len(self.cells or [])

    def title(self, index: int) -> str:
        return f"{index + 1} ({self.header[index]!r})" if self.header and index < len(self.header) else f"{index + 1}"

    def columns(self) -> str:
        return ", ".join(self.header) if self.header else f"{self.width} without a header"

    def line(self, row: int) -> int:
        return self.lines[row]

    def index(self, column: str | int, quantity: str) -> int:
        """Return the index of a column given by its name or its number from 1."""
        if self.header and column in self.header:
            return self.header.index(str(column))
        try:
            number = int(column)
        except ValueError:
            raise UserError(
                f"{self.name}: no column {column!r} for {quantity}; the columns are {self.columns()}"
            ) from None
        if not 1 <= number <= self.width:
            raise UserError(f"{self.name}: no column {number} for {quantity}: there are {self.width}")
        return number - 1

    def match(self, names: tuple[str, ...]) -> int | None:
        """Return the first column whose title, without its unit, is one of the names."""
        for index, title in enumerate(self.header or ()):
            if split(title)[0].lower() in names:
                return index
        return None

    def unit(self, index: int) -> str | None:
        if self.attrs and self.attrs[index]:
            return self.attrs[index]
        return split(self.header[index])[1] if self.header and index < len(self.header) else None

    def numbers(self, index: int, *, may_end: bool = False) -> np.ndarray:
        """Return a column as floats; may_end: cells may be missing at its end, and are nan."""
        if self.arrays is not None:
            found = np.asarray(self.arrays[index], float)
        else:
            found = np.array([self._number(row, k, index) for k, row in enumerate(self.cells or [])])
        known = np.flatnonzero(np.isfinite(found))
        last = known[-1] if may_end and len(known) else len(found) - 1
        for k in np.flatnonzero(~np.isfinite(found[: last + 1])):
            raise UserError(
                f"{self.name}, row {self.line(int(k))}, column {self.title(index)}: a number is missing or not finite"
            )
        return found

    def _number(self, row: list[str], k: int, index: int) -> float:
        cell = row[index].strip() if index < len(row) else ""
        if cell.lower() in MISSING:
            return float("nan")
        try:
            return float(cell)
        except ValueError:
            raise UserError(
                f"{self.name}, row {self.line(k)}, column {self.title(index)}: {cell!r} is no number"
            ) from None


def split(title: str) -> tuple[str, str | None]:
    """Split a column's title into name and unit: "i (uA)", "i [uA]", "i/uA", "current_A"."""
    title = title.strip()
    for pattern in TITLES:
        found = re.match(pattern, title)
        if found and found[2] in UNITS:
            return found[1].strip(), found[2]
    return title, None


def factor(table: Table, index: int, quantity: str, given: str | None) -> float:
    """Return what brings a column to SI units; raise UserError for a unit of something else."""
    return 1.0 if (found := unit_of(table, index, quantity, given)) is None else found[1]


def unit_of(table: Table, index: int, quantity: str, given: str | None) -> tuple[str, float] | None:
    """Return a column's SI unit and what brings it there, None where it names none; raise UserError as `factor`."""
    unit = given or table.unit(index)
    if unit is None:
        return None
    if unit not in UNITS:
        accepted = ", ".join(u for u, (base, _) in UNITS.items() if base in ACCEPTED[quantity])
        raise UserError(f"{table.name}, column {table.title(index)}: unknown unit {unit!r} (accepted: {accepted})")
    base, size = UNITS[unit]
    if base not in ACCEPTED[quantity]:
        accepted = " or ".join(ACCEPTED[quantity])
        raise UserError(
            f"{table.name}, column {table.title(index)}: {quantity} in {unit!r} cannot be: accepted is {accepted}"
        )
    return base, size


def read(source: Any, name: str | None = None) -> Table:
    """Read a file, a mapping of arrays, or what looks like an xarray Dataset."""
    if isinstance(source, str | os.PathLike):
        return _file(Path(source), name)
    variables = getattr(source, "variables", source)
    if not hasattr(variables, "items"):
        raise UserError(f"data of type {type(source).__name__}: accepted are a file, a mapping of arrays or a Dataset")
    titles, arrays, units = [], [], []
    for title, values in variables.items():
        array = np.asarray(getattr(values, "values", values), float)
        for k, column in enumerate(array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array[None]):
            titles.append(str(title) if array.ndim == 1 else f"{title}{k + 1}")
            arrays.append(np.atleast_1d(column))
            units.append(getattr(values, "attrs", {}).get("units"))
    name = name or "data"
    if not arrays:
        raise UserError(f"{name}: no arrays in it")
    if len({len(a) for a in arrays}) > 1:
        lengths = ", ".join(f"{t} {len(a)}" for t, a in zip(titles, arrays, strict=True))
        raise UserError(f"{name}: columns of different lengths: {lengths}")
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()
    return Table(name, digest, tuple(titles), None, list(range(len(arrays[0]))), arrays, tuple(units))


def _file(path: Path, name: str | None) -> Table:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: it is no UTF-8 text ({error.reason} at byte {error.start})") from None
    name = name or path.name
    lines = [(k + 1, line) for k, line in enumerate(text.splitlines()) if line.strip() and not line.startswith("#")]
    if not lines:
        raise UserError(f"{name} holds no rows")
    mark = next((m for m in (",", ";", "\t") if m in lines[0][1]), None)
    rows = [line.split() if mark is None else next(csv.reader([line], delimiter=mark)) for _, line in lines]
    header = None
    if not all(_is_number(cell) or cell.strip().lower() in MISSING for cell in rows[0]):
        header, rows, lines = tuple(cell.strip() for cell in rows[0]), rows[1:], lines[1:]
    if not rows:
        raise UserError(f"{name} holds a header and no rows")
    return Table(name, hashlib.sha256(raw).hexdigest(), header, rows, [k for k, _ in lines])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
