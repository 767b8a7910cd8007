"""`memjax simulate`: one device under a waveform."""

from pathlib import Path
from typing import Annotated, Any

import typer

from memjax.errors import UserError

SHAPES = ("sine", "triangle", "pulses")


def simulate(
    device: Annotated[str, typer.Argument(help="Memristor model or preset, one of `memjax devices` (--presets).")],
    waveform: Annotated[
        str, typer.Option(help="sine, triangle, pulses, or a CSV file of time [s], voltage [V].")
    ] = "sine",
    amplitude: Annotated[float, typer.Option(help="V")] = 1.0,
    frequency: Annotated[float, typer.Option(help="Hz")] = 1.0,
    periods: Annotated[int, typer.Option(help="Periods of the waveform.")] = 2,
    steps: Annotated[int, typer.Option(help="Time steps in a period.")] = 1000,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A parameter of the model; repeatable.")
    ] = None,
    r_series: Annotated[float, typer.Option(help="Resistance in series, ohm.")] = 0.0,
    state: Annotated[float, typer.Option(help="Normalised initial state, 0 to 1.")] = 0.5,
    out: Annotated[
        Path | None, typer.Option(help="Folder of results; default runs/simulate-<device>-<waveform>.")
    ] = None,
) -> None:
    """Drive one device with a waveform; write its loop as a figure and its trace as results.nc.

    A pulsed model takes one pulse a step. `pulses`: the first half of a period potentiates, the second depresses, and
    every pulse is followed by a step of rest.
    """
    import jax
    import numpy as np

    from memjax import devices, files, plot, presets, results

    values = _values(devices.get(presets.model(device)), set_ or [])
    model, params = presets.resolve(device, values)
    if waveform in SHAPES:
        t, voltage = _waveform(waveform, amplitude, frequency, periods, steps)
        last = slice((periods - 1) * steps, None)
    else:
        t, voltage = _read(Path(waveform))
        last = slice(0, None)
    dt = np.append(np.diff(t), t[-1] - t[-2])
    start = model.init(params, state)
    _, trace = devices.simulate(
        model, params, start, voltage, dt, jax.random.key(0), r_series=r_series if r_series else None
    )
    conductance = np.asarray(jax.vmap(lambda s: devices.conductance(model, params, s))(trace.state), np.float64)
    rest = np.asarray(jax.vmap(lambda s: model.current(params, s, 0.0))(trace.state), np.float64)
    current = np.asarray(trace.current, np.float64)

    if out is None:
        out = Path("runs") / f"simulate-{device}-{Path(waveform).stem}"
    files.new_folder(out)
    plot.save(plot.waveforms(t, voltage, current, trace.state, title=device), out / "waveforms.png")
    plot.save(plot.hysteresis(voltage, current, title=device), out / "loop.png")
    states = {jax.tree_util.keystr(path, simple=True): leaf for path, leaf in jax.tree.leaves_with_path(trace.state)}
    attrs = {"device": device, "params": ", ".join(f"{k}={v}" for k, v in vars(params).items()), "waveform": waveform}
    found = results.device(t, voltage, current, conductance, states, attrs=attrs)
    results.write(out / "results.nc", found)
    _report(t, voltage, current, conductance, rest, last, out)


def _values(model: Any, given: list[str]) -> dict[str, float]:
    import difflib

    known, values = list(vars(model.Params())), {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(
                f"--set {text}: device {model.name!r} has no such parameter{hint} (accepted: {', '.join(known)})"
            )
        try:
            values[name] = float(value)
        except ValueError:
            raise UserError(f"--set {text}: a parameter is written field=number, as {known[0]}=1e-6") from None
    return values


def _waveform(shape: str, amplitude: float, frequency: float, periods: int, steps: int) -> tuple[Any, Any]:
    import numpy as np

    if not (np.isfinite(amplitude) and np.isfinite(frequency) and frequency > 0 and periods >= 1 and steps >= 4):
        raise UserError(
            f"amplitude {amplitude} V, frequency {frequency} Hz, periods {periods}, steps {steps}: accepted are a "
            "finite amplitude, a frequency above 0, at least 1 period and at least 4 steps in a period"
        )
    k = np.arange(periods * steps)
    t, phase = k / (frequency * steps), k % steps / steps
    if shape == "sine":
        v = np.sin(2 * np.pi * phase)
    elif shape == "triangle":
        v = np.abs(4 * ((phase + 0.75) % 1) - 2) - 1
    else:
        v = np.where(k % steps % 2 == 0, np.where(phase < 0.5, 1.0, -1.0), 0.0)
    return t, amplitude * v


def _read(path: Path) -> tuple[Any, Any]:
    import numpy as np

    if not path.exists():
        raise UserError(
            f"waveform {str(path)!r}: accepted is {', '.join(SHAPES)} or a CSV file, and there is no such file"
        )
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline()
        header = int(any(c.isalpha() and c not in "eE" for c in first))
        table = np.loadtxt(path, delimiter=",", ndmin=2, skiprows=header)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}; accepted is a table of time [s], voltage [V]") from error
    if table.shape[0] < 2 or table.shape[1] != 2 or not np.isfinite(table).all():
        raise UserError(
            f"{path} holds {table.shape[0]} rows of {table.shape[1]} values: accepted are at least two rows of two "
            "finite numbers, time [s] and voltage [V]"
        )
    t, v = table.T
    if not (np.diff(t) > 0).all():
        row = int(np.flatnonzero(np.diff(t) <= 0)[0]) + 2 + header
        raise UserError(f"{path}, row {row}: time must rise from row to row")
    return t, v


def _report(t: Any, v: Any, i: Any, g: Any, rest: Any, last: slice, out: Path) -> None:
    import numpy as np
    from rich import box
    from rich.console import Console
    from rich.table import Table

    leak, scale = float(np.max(np.abs(rest))), float(np.max(np.abs(i)))
    closed = (np.append(v[last], v[last][0]), np.append(i[last], i[last][0]))
    lobes = [abs(float(np.trapezoid(np.where(sign * closed[0] > 0, closed[1], 0.0), closed[0]))) for sign in (1, -1)]
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    pinched = leak <= 1e-6 * scale
    rows = [
        ("pinched at 0 V", f"{'yes' if pinched else 'no'} (largest current at 0 V {leak:.3g} A)"),
        ("lobe area, V > 0", f"{lobes[0]:.4g} W"),
        ("lobe area, V < 0", f"{lobes[1]:.4g} W"),
        ("conductance", f"{g.min():.4g} to {g.max():.4g} S"),
        ("largest current", f"{scale:.4g} A"),
        ("files", str(out)),
    ]
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=120).print(table)
