"""Loops of the Knowm SDC devices: each alone, jointly, and predicted.  Prints the tables and returns the numbers.

The data are GPL-3.0 and not part of memjax: give their folder.
"""

import re
import time
from pathlib import Path

import numpy as np

from memjax import fitting
from memjax.fitting import loops

ALONE = ("metastable_switch", "vteam", "wox")
MODELS = ("generalised_metastable_switch", "metastable_switch", "vteam", "wox")
SERIES = (("5kohm", "M1"), ("5kohm", "M2"), ("47kohm", "M1"))
FITTED, FREQUENCIES = (10, 100), (1, 10, 100, 1000)
NAME = re.compile(r"(\d+)kohm_([\d.]+)V_(\d+)Hz_(M\d)\.csv")


def read(folder: Path) -> dict[str, fitting.Loop]:
    """Read all loops; resistance, amplitude and frequency stand in the file's name, currents are in uA."""
    found = {}
    for file in sorted(folder.glob("*.csv")):
        r, amplitude, frequency, _ = NAME.fullmatch(file.name).groups()
        found[file.stem] = fitting.read(
            file,
            "loop",
            units={"i": "uA"},
            r_series=1e3 * float(r),
            amplitude=float(amplitude),
            frequency=float(frequency),
        )
    return found


def alone(data: dict, models=ALONE, starts: int = 64) -> dict:
    """Fit every loop alone by every model -> {loop: {model: RMSE of the peak}}."""
    table = {}
    for name, loop in data.items():
        row = {}
        for model in models:
            found = fitting.fit(loop, model, starts=starts)
            row[model] = {"rmse": found.rmse[0], "bic": found.bic, "params": found.params(), "near": len(found.near)}
        table[name] = row
        print(f"{name:24s}" + "".join(f"{model} {100 * row[model]['rmse']:5.2f} %   " for model in models), flush=True)
    best = [min(m["rmse"] for m in row.values()) for row in table.values()]
    worst = max(m["rmse"] for row in table.values() for m in row.values())
    print(
        f"best model: at most {100 * max(best):.2f} %, median {100 * np.median(best):.2f} %; all: {100 * worst:.2f} %"
    )
    return table


def nearest(loop: fitting.Loop, others: list[fitting.Loop]) -> float:
    """Return the error of copying the loop of the nearest frequency, both from where the drive rises through zero."""
    other = min(others, key=lambda o: abs(np.log(o.frequency / loop.frequency)))
    turned = [np.roll(x.i, -round(-loops.drive(x).phase / (2 * np.pi) * len(x.t))) for x in (loop, other)]
    return float(np.sqrt(np.mean((turned[0] - turned[1]) ** 2)) / np.abs(loop.i).max())


def jointly(data: dict, resistor: str, cell: str, use, models=MODELS, starts: int = 48) -> dict:
    """Fit one set of parameters to several frequencies, and predict every loop of the series from its drive alone."""
    series = {f: data[key] for f in FREQUENCIES if (key := f"{resistor}_0.8V_{f}Hz_{cell}") in data}
    row, fits = {}, []
    for model in models:
        fitted = [series[f] for f in use]
        found = fitting.fit(fitted, model, starts=starts)
        fits.append(found)
        spread = {}
        for f, loop in series.items():
            near = []
            for one in found.near[:10]:
                values = dict(zip(found.problem.names, map(float, one), strict=True))
                near.append(loops.error(loop, loops.predicted(model, values, found.held, loop).current))
            spread[f] = (near[0], min(near), max(near))
        row[model] = {
            "fit": dict(zip(map(int, use), found.rmse, strict=True)),
            "bic": found.bic,
            "predicted": {f: s[0] for f, s in spread.items()},
            "spread": {f: s[1:] for f, s in spread.items()},
            "near": len(found.near),
            "params": found.params(),
            "unseen": [u.text for u in found.unseen],
            "at_bounds": found.at_bounds,
        }
        fit_ = "  ".join(f"{f} Hz {100 * e:.2f}" for f, e in row[model]["fit"].items())
        out = "  ".join(f"{f} Hz {100 * s[0]:.1f} ({100 * s[1]:.1f}..{100 * s[2]:.1f})" for f, s in spread.items())
        print(f"{resistor} {cell} {model:18s} fitted: {fit_} | from the drive alone: {out}", flush=True)
    copied = {f: nearest(loop, [o for o in (series[k] for k in use) if o is not loop]) for f, loop in series.items()}
    print(
        f"{resistor} {cell} copy the nearest loop: " + "  ".join(f"{f} Hz {100 * e:.1f}" for f, e in copied.items()),
        flush=True,
    )
    chosen = fitting.compare(fits)[0].device
    print(f"{resistor} {cell} chosen on what was fitted: {chosen}", flush=True)
    return {"models": row, "copy": copied, "chosen": chosen}


def by_voltage(data: dict, models=ALONE[:1], names=("5kohm_0.8V_10Hz_M1", "5kohm_0.8V_100Hz_M2", "47kohm_0.8V_1Hz_M1")):
    """Compare a drive through the resistor with a drive by the measured voltage."""
    table = {}
    for name in names:
        for model in models:
            errors = {by: fitting.fit(data[name], model, starts=32, by=by).rmse[0] for by in ("resistor", "voltage")}
            table[f"{name} {model}"] = errors
            print(
                f"{name} {model}: through the resistor {100 * errors['resistor']:.2f} %, "
                f"by the measured voltage {100 * errors['voltage']:.2f} %",
                flush=True,
            )
    return table


def run(folder: Path, starts: int = 64) -> dict:
    """Make all tables."""
    begun = time.time()
    data = read(folder)
    found = {"alone": alone(data, starts=starts), "pairs": {}, "all": {}}
    for resistor, cell in SERIES:
        found["pairs"][f"{resistor} {cell}"] = jointly(data, resistor, cell, FITTED, starts=starts)
    for resistor, cell in (*SERIES, ("47kohm", "M2")):
        use = tuple(f for f in FREQUENCIES if f"{resistor}_0.8V_{f}Hz_{cell}" in data)
        found["all"][f"{resistor} {cell}"] = jointly(data, resistor, cell, use, starts=starts)
    found["drive"] = by_voltage(data)
    found["seconds"] = time.time() - begun
    return found
