"""`memjax spice`: one device as an ngspice netlist, run through ngspice on demand."""

from pathlib import Path
from typing import Annotated, Any

import typer

from memjax.cli._simulate import _values
from memjax.errors import UserError

STEPS = 1000  # in a period: the longest that ngspice may take, and memjax's own


def spice(
    device: Annotated[str, typer.Argument(help="Memristor model or preset, one of `memjax devices` (--presets).")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A parameter of the model; repeatable.")
    ] = None,
    waveform: Annotated[str, typer.Option(help="sine or triangle.")] = "sine",
    amplitude: Annotated[float, typer.Option(help="V")] = 1.0,
    frequency: Annotated[float, typer.Option(help="Hz")] = 1.0,
    periods: Annotated[int, typer.Option(help="Periods of the waveform.")] = 2,
    state: Annotated[float, typer.Option(help="Normalised initial state, 0 to 1.")] = 0.5,
    r_series: Annotated[float, typer.Option(help="Resistance in series, ohm.")] = 0.0,
    run: Annotated[bool, typer.Option("--run", help="Run ngspice, and compare its current with memjax's.")] = False,
    out: Annotated[Path | None, typer.Option(help="File of the netlist; default: print it.")] = None,
) -> None:
    """Write one device as an ngspice netlist: a subcircuit of behavioural sources, and a transient that drives it."""
    from memjax import devices, files, presets
    from memjax import spice as netlists

    given = _values(devices.get(presets.model(device)), set_ or [])
    model, params = presets.resolve(device, given)
    shapes = {"sine": netlists.sine, "triangle": lambda a, f: netlists.triangle(a, f, periods)}
    if waveform not in shapes:
        raise UserError(f"--waveform {waveform}: accepted is {' or '.join(shapes)}")
    if periods < 1:
        raise UserError(f"--periods {periods}: accepted is 1 or more")
    if out is not None and out.exists():
        raise UserError(f"{out} exists, and nothing is written over: give another --out")
    text = netlists.netlist(
        model,
        params,
        waveform=shapes[waveform](amplitude, frequency),
        state=state,
        stop=periods / frequency,
        max_step=1 / (STEPS * frequency),
        r_series=r_series,
    )
    found = netlists.run_ngspice(text) if run else None
    if out is not None:
        files.write_text(out, text)
        print(f"netlist: {out}")
    elif found is None:
        print(text, end="")
    if found is not None:
        _compare(model, params, state, found)


def _compare(model: Any, params: Any, state: float, found: dict[str, Any]) -> None:
    """Drive memjax's device with the voltage that ngspice's device saw, and print how far the currents are apart."""
    import jax
    import numpy as np

    from memjax import devices

    t, i = found["time"], -found["i(vin)"]
    v = found.get("v(dev)", found["v(in)"])
    # Held at the mean of a step's ends, memjax's steps are of second order.
    start, middle = model.init(params, state), (v[1:] + v[:-1]) / 2
    _, trace = devices.simulate(model, params, start, middle, np.diff(t), record="state")
    seen = v[1:].astype(jax.tree.leaves(start)[0].dtype)
    expected = np.asarray(model.current(params, trace.state, seen), np.float64)
    peak = float(np.abs(i).max())
    print(f"ngspice: {t.size} points, {t[-1]:g} s, largest current {peak:.4g} A")
    for name in found:
        if name.startswith("v(x1."):
            print(f"{name[5:-1]}: {found[name].min():.4g} to {found[name].max():.4g}")
    apart = np.abs(i[1:] - expected)
    share, worst = 100 / (peak or 1.0), int(apart.argmax())
    half = share * np.median(apart)
    print(f"memjax's current is within {share * apart[worst]:.2g} % of the largest, half of the time {half:.2g} %")
    # A device that runs away switches within a step, and both solvers place that to a part of one.
    moves, step = share * abs(i[worst + 1] - i[worst]), t[worst + 1] - t[worst]
    print(f"worst at {t[worst + 1]:.4g} s, where ngspice's moves by {moves:.2g} % in a step of {step:.2g} s")
