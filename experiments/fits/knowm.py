"""Loops of the Knowm SDC devices: each alone, jointly, predicted, and the models compared.

The data are GPL-3.0 and not part of memjax: give their folder.
"""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from memjax import fitting
from memjax.fitting import loops

ALONE = ("metastable_switch", "vteam", "wox", "generalised_metastable_switch")
PAIRED = tuple(fitting.fittable("loop"))
SERIES = ("5kohm-M1", "5kohm-M2", "47kohm-M1")
WHOLE = (*SERIES, "47kohm-M2")
FITTED, FREQUENCIES = (10, 100), (1, 10, 100, 1000)
NAME = re.compile(r"(\d+)kohm_([\d.]+)V_(\d+)Hz_(M\d)\.csv")
FOLDS = 5
DRIVEN = ("5kohm_0.8V_10Hz_M1", "5kohm_0.8V_100Hz_M2", "47kohm_0.8V_1Hz_M1")


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


def series(data: dict, name: str) -> dict[int, fitting.Loop]:
    """Return the loops of a resistor and a cell at .8 V by frequency."""
    resistor, cell = name.split("-")
    return {f: data[key] for f in FREQUENCIES if (key := f"{resistor}_0.8V_{f}Hz_{cell}") in data}


def alone(data: dict, model: str, starts: int) -> dict:
    """Fit every loop alone -> {loop: RMSE of the peak, and what belongs to it}."""
    rows = {}
    for name, loop in data.items():
        found = fitting.fit(loop, model, starts=starts)
        rows[name] = {
            "rmse": found.rmse[0],
            "bic": found.bic,
            "params": found.params(),
            "near": len(found.near),
            "unseen": [u.text for u in found.unseen],
        }
        print(f"{name:24s}{model} {100 * found.rmse[0]:5.2f} %   {len(found.near)} starts near", flush=True)
    return rows


def jointly(data: dict, name: str, use, model: str, starts: int, *, folds: int = 0, start: str = "fitted") -> dict:
    """Fit one set of parameters to several frequencies, and predict every loop of the series from its drive alone.

    start: the state at a loop's first point is fitted, or the one that a period brings back ("periodic").
    """
    own = series(data, name)
    use = [f for f in use if f in own]
    found = fitting.fit([own[f] for f in use], model, starts=starts, folds=folds, start=start)
    near = [dict(zip(found.problem.names, map(float, one), strict=True)) for one in found.near[:10]]
    predicted = {
        f: [loops.error(loop, loops.predicted(model, values, found.held, loop).current) for values in near]
        for f, loop in own.items()
    }
    row = {
        "fit": dict(zip(use, found.rmse, strict=True)),
        "bic": found.bic,
        "held_out": found.held_out,
        "correlation": found.correlation,
        "points": int((np.asarray(found.problem.weights) > 0).sum()),
        "parameters": found.problem.size,
        "predicted": {f: errors[0] for f, errors in predicted.items()},
        "spread": {f: (min(errors), max(errors)) for f, errors in predicted.items()},
        "near": len(found.near),
        "params": found.params(),
        "unseen": [u.text for u in found.unseen],
        "at_bounds": found.at_bounds,
    }
    errors = "  ".join(f"{f} Hz {100 * e:.2f}" for f, e in row["fit"].items())
    out = "  ".join(f"{f} Hz {100 * e[0]:.1f} ({100 * min(e):.1f}..{100 * max(e):.1f})" for f, e in predicted.items())
    print(f"{name} {model} fitted: {errors} | from the drive alone: {out}", flush=True)
    return row


def copied(data: dict) -> dict:
    """Copy the fitted loop of the nearest frequency: the baseline of every prediction."""
    rows = {}
    for name in SERIES:
        own = series(data, name)
        rows[name] = {f: _nearest(loop, [own[k] for k in FITTED if k != f]) for f, loop in own.items()}
        print(f"{name} copy the nearest loop: " + "  ".join(f"{f} Hz {100 * e:.1f}" for f, e in rows[name].items()))
    return rows


def _nearest(loop: fitting.Loop, others: list[fitting.Loop]) -> float:
    """Return the error of copying the loop of the nearest frequency, both from where the drive rises through zero."""
    other = min(others, key=lambda o: abs(np.log(o.frequency / loop.frequency)))
    turned = [np.roll(x.i, -round(-loops.drive(x).phase / (2 * np.pi) * len(x.t))) for x in (loop, other)]
    return float(np.sqrt(np.mean((turned[0] - turned[1]) ** 2)) / np.abs(loop.i).max())


def driven(data: dict, starts: int) -> dict:
    """Compare a drive through the resistor with a drive by the measured voltage."""
    table = {}
    for name in DRIVEN:
        ways = ("resistor", "voltage")
        table[name] = {by: fitting.fit(data[name], ALONE[0], starts=starts, by=by).rmse[0] for by in ways}
        print(name, {by: f"{100 * e:.2f} %" for by, e in table[name].items()}, flush=True)
    return table


def chosen(rows: dict) -> dict[str, list[str]]:
    """Order the models of one series, {model: row of `jointly`}, the best first: by held-out error, and by BIC."""
    fits = [
        SimpleNamespace(
            device=model,
            held_out=row["held_out"],
            rmse=tuple(row["fit"].values()),
            correlation=row["correlation"],
            problem=SimpleNamespace(weights=np.ones(row["points"]), size=row["parameters"]),
        )
        for model, row in rows.items()
    ]
    blind = [SimpleNamespace(**{**vars(fit), "held_out": None}) for fit in fits]
    return {"held_out": [f.device for f in fitting.compare(fits)], "bic": [f.device for f in fitting.compare(blind)]}


def parts(folder: Path, starts: int) -> dict:
    """Return {name of a part: function that makes it}."""
    found = {f"alone/{model}": lambda model=model: alone(read(folder), model, starts) for model in ALONE}
    for name in SERIES:
        for model in PAIRED:
            found[f"pairs/{name}/{model}"] = lambda name=name, model=model: jointly(
                read(folder), name, FITTED, model, starts, folds=FOLDS
            )
        for model in ALONE:
            found[f"periodic/{name}/{model}"] = lambda name=name, model=model: jointly(
                read(folder), name, FITTED, model, starts, start="periodic"
            )
    for name in WHOLE:
        for model in ALONE:
            found[f"all/{name}/{model}"] = lambda name=name, model=model: jointly(
                read(folder), name, FREQUENCIES, model, starts
            )
    return found | {"copy": lambda: copied(read(folder)), "drive": lambda: driven(read(folder), starts)}
