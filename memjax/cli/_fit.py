"""`memjax fit`: measured curves to device parameters, with uncertainties."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from memjax.errors import UserError


def fit(
    data: Annotated[
        list[Path] | None, typer.Argument(help="CSV files (.csv, .csv.gz) of one kind; loops share the parameters.")
    ] = None,
    device: Annotated[
        str,
        typer.Option(help="Model, or several with commas: the best is kept, all are listed; retention: none, drift."),
    ] = "",
    kind: Annotated[str | None, typer.Option(help="loop, pulses, retention or stdp; default: by the columns.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns by name or number from 1, as v=1,i=2.")] = None,
    units: Annotated[str | None, typer.Option(help="Units, as v=mV,i=uA; default: the header's, else SI.")] = None,
    frequency: Annotated[str | None, typer.Option(help="Hz, of the drive; one a file with commas.")] = None,
    amplitude: Annotated[str | None, typer.Option(help="V, of the drive: checked against v + R i.")] = None,
    r_series: Annotated[str | None, typer.Option(help="ohm, in series, one a file with commas; or fit.")] = None,
    interval: Annotated[float | None, typer.Option(help="s, between rows without a time column.")] = None,
    v_read: Annotated[float | None, typer.Option(help="V, where pulse or retention data are currents.")] = None,
    hold: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=VALUE", help="A parameter to keep; repeatable.")
    ] = None,
    bounds: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=LOW:HIGH", help="A box, SI units; repeatable.")
    ] = None,
    starts: Annotated[int, typer.Option(help="Random starts.")] = 64,
    method: Annotated[
        str, typer.Option(help="levenberg_marquardt, or adam: by the gradient first.")
    ] = "levenberg_marquardt",
    bootstrap: Annotated[int, typer.Option(help="Refits of resampled residuals for the intervals; 0: none.")] = 0,
    folds: Annotated[int, typer.Option(help="Parts of the data left out in turn; 0: compare models by BIC.")] = 0,
    profile: Annotated[str | None, typer.Option(help="Parameters to profile, with commas.")] = None,
    periodic: Annotated[
        bool, typer.Option("--periodic", help="The state repeats every period; default: it is fitted.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the random starts.")] = 0,
    demo: Annotated[bool, typer.Option("--demo", help="Fit the pulse data that memjax ships.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of results; default runs/fit-<device>-<data>.")] = None,
) -> None:
    """Fit models to measured curves; write a preset, the numbers with their intervals, and a figure."""
    import jax

    from memjax import fitting

    if demo:
        if data:
            raise UserError("--demo brings its own data: give no files with it")
        found = [fitting.demo()]
        device = device or "soft_bounds,power_law"
    else:
        if not data:
            raise UserError("give data files, as memjax fit loop.csv --device metastable_switch, or --demo")
        options = {
            "columns": _pairs("columns", columns),
            "units": _pairs("units", units),
            "interval": interval,
            "v_read": v_read,
        }
        each = [
            dict(zip(("frequency", "amplitude", "r_series"), drive, strict=True))
            for drive in zip(
                _numbers("frequency", frequency, len(data)),
                _numbers("amplitude", amplitude, len(data)),
                _numbers("r-series", r_series, len(data), also="fit"),
                strict=True,
            )
        ]
        found = [fitting.read(path, kind, **options, **drive) for path, drive in zip(data, each, strict=True)]
    kinds = {one.kind for one in found}
    if len(kinds) > 1:
        raise UserError(f"the files hold different kinds of data: {', '.join(f'{d.name} {d.kind}' for d in found)}")
    kind = kinds.pop()
    if kind == "retention" and not device:
        return _retention(found, out)
    names = _models(device or ("stdp" if kind == "stdp" else ""), kind, fitting.fittable(kind))
    held = {k: _number("hold", v) for text in hold or [] for k, v in _pairs("hold", text).items()}
    boxes = {k: _box(v) for text in bounds or [] for k, v in _pairs("bounds", text).items()}
    if out is None:
        out = Path("runs") / f"fit-{names[0]}-{found[0].name.split('.')[0]}"
    extra: dict[str, Any] = {"start": "periodic"} if periodic and kind == "loop" else {}
    fits = []
    for name in names:
        # Of several models each takes what it knows; a single one refuses what it does not know.
        own = {*held, *boxes} if len(names) == 1 else _fields(name)
        one = fitting.fit(
            found,
            name,
            starts=starts,
            method=method,
            key=jax.random.key(seed),
            hold={k: v for k, v in held.items() if k in own},
            bounds={k: v for k, v in boxes.items() if k in own},
            bootstrap=bootstrap,
            folds=folds,
            **extra,
        )
        print(f"{name}: {fitting.quality(one)}", flush=True)
        fits.append(one)
    best = fitting.compare(fits)[0]
    noise = fitting.step_noise(best) if kind == "pulses" else {}
    source: dict[str, Any] = (
        {"citation": "Gong et al., Nat. Commun. 9, 2102 (2018)", "licence": "MIT (IBM)"} if demo else {}
    )
    fitting.save(best, out, arrays=fitting.arrays(best, noise) if noise else None, **source)
    _report(fits, best, out)
    for side, one in noise.items():
        split = one.walk
        fading = f"; it fades in {1 / (1 - one.fading.phi):.3g} pulses" if one.fades else ""
        print(f"{side}: read noise {split.read:.4g}, C2C at most {split.c2c:.4g} a pulse, of the range{fading}")
    for name in (profile or "").split(",") if profile else []:
        curve = fitting.profile(best, name.strip())
        inside = curve["value"][curve["deviance"] <= 3.84]
        print(f"profile of {name.strip()}: {inside.min():.4g} to {inside.max():.4g} (95 %)")


def _models(given: str, kind: str, accepted: Sequence[str]) -> list[str]:
    from memjax import devices

    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise UserError(f"give --device: {kind} data are fitted by {', '.join(accepted)}")
    for name in names:
        if name not in accepted:
            if name not in ("stdp",):
                devices.get(name)  # names the nearest model where there is none
            raise UserError(f"device {name!r} is not fitted to {kind} data: accepted are {', '.join(accepted)}")
    return names


def _fields(name: str) -> Sequence[str]:
    from memjax import devices

    return [] if name == "stdp" else list(devices.get(name).Params.__dataclass_fields__)


def _pairs(option: str, text: str | None) -> dict[str, str]:
    found = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, equals, value = (p.strip() for p in part.partition("="))
        if not (name and equals and value):
            raise UserError(f"--{option} {text}: accepted is name=value, several with commas")
        found[name] = value
    return found


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"--{option} {text}: {text!r} is no number") from None


def _box(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    if not colon:
        raise UserError(f"--bounds {text}: accepted is FIELD=LOW:HIGH")
    return _number("bounds", low), _number("bounds", high)


def _numbers(option: str, text: str | None, count: int, also: str | None = None) -> list[Any]:
    """Return one number a file: one for all, or as many as there are files."""
    if text is None:
        return [None] * count
    parts = [p.strip() for p in text.split(",")]
    if len(parts) not in (1, count):
        raise UserError(f"--{option} {text}: {len(parts)} numbers for {count} files: give one, or one a file")
    values = [p if p == also else _number(option, p) for p in parts]
    return values * count if len(parts) == 1 else values


def _report(fits: Sequence[Any], best: Any, out: Path) -> None:
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if len(fits) > 1:
        table = Table("model", "RMSE", "BIC", "held out", box=box.SIMPLE, pad_edge=False)
        for one in fits:
            held = "-" if one.held_out is None else f"{100 * one.held_out:.2f} %"
            errors = ", ".join(f"{100 * e:.2f} %" for e in one.rmse)
            table.add_row(f"{one.device}{' (best)' if one is best else ''}", errors, f"{one.bic:.1f}", held)
        console.print(table)
    units = dict(zip(best.problem.names, best.problem.units, strict=True))
    table = Table(best.device, "value", "95 % interval", "unit", box=box.SIMPLE, pad_edge=False)
    for name, value in best.values.items():
        mark = f" (at the {best.at_bounds[name]} bound)" if name in best.at_bounds else ""
        unit = "range" if best.kind == "pulses" and units[name] == "S" else units[name]
        table.add_row(name, f"{value:.4g}{mark}", f"{best.low[name]:.4g} to {best.high[name]:.4g}", unit)
    console.print(table)
    for direction in best.unseen:
        console.print(direction.text)
    if best.correlation > 0.5:
        console.print(
            f"residuals hang together (correlation {best.correlation:.2f}): the model's error, more than noise"
        )
    near = f"{len(best.near)} of {len(best.costs)} starts came within 10 % of the best"
    console.print(f"{near}; files: {out}")


def _retention(found: Sequence[Any], out: Path | None) -> None:
    from memjax import files, fitting

    out = out or Path("runs") / f"fit-retention-{found[0].name.split('.')[0]}"
    files.new_folder(out)
    rows = {}
    for one in found:
        drift = fitting.drift(one)
        rows[one.name] = {
            "g": drift.g.tolist(),
            "exponent": drift.exponent.tolist(),
            "low": drift.low.tolist(),
            "high": drift.high.tolist(),
        }
        for g, e, low, high in zip(drift.g, drift.exponent, drift.low, drift.high, strict=True):
            print(f"{1e6 * g:10.4g} uS  G = G1 t^-nu, nu = {e:.5f} ({low:.5f} to {high:.5f})")
    files.write_json(out / "fit.json", rows)
    print(f"files: {out}")
