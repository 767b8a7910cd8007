"""`memjax network`: the visual network, drawn and animated."""

from pathlib import Path
from typing import Annotated

import typer

from memjax.errors import UserError


def network(
    n: Annotated[int, typer.Option("--n", help="Neurons.")] = 5,
    steps: Annotated[int, typer.Option(help="Time steps.")] = 20,
    dt: Annotated[float, typer.Option(help="Time step, s.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of voltages and first states.")] = 0,
    layout: Annotated[str, typer.Option(help="readable or published.")] = "readable",
    voltage: Annotated[
        Path | None, typer.Option(help="CSV of voltages: a row a step, n x n columns; sets --n and --steps.")
    ] = None,
    animate: Annotated[str | None, typer.Option(help="gif or mp4.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of results; default runs/network-<seed>.")] = None,
) -> None:
    """Drive n neurons, each joined to every other by a memristor drawn as a line; write figures and results.nc."""
    import jax
    import numpy as np

    from memjax import files, plot, results
    from memjax.visual_network import load_voltage, simulate_network

    for name, value, accepted in (
        ("layout", layout, ("readable", "published")),
        ("animate", animate, (None, "gif", "mp4")),
    ):
        if value not in accepted:
            raise UserError(f"--{name} {value}: accepted is {' or '.join(filter(None, accepted))}")
    given = None
    if voltage is not None:
        try:
            given = load_voltage(voltage)
        except OSError as error:
            raise UserError(f"cannot read {voltage}: {error.strerror or error}") from error
        steps, n = given.shape[:2]
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed}: accepted is 0 to {2**32 - 1}")
    trace = jax.tree.map(np.asarray, simulate_network(n, steps, dt, jax.random.key(seed), voltage=given))
    grid = plot.network_grid(trace.r[1:], layout=layout)
    out = files.new_folder(out if out is not None else Path("runs") / f"network-{seed}")
    if animate is not None:
        plot.network_animation(trace.r, out / f"network.{animate}", layout=layout, first_step=0)
    plot.save(grid, out / "network.png")
    plot.save(plot.network_trajectories(dt * np.arange(steps + 1), trace.r), out / "trajectories.png")
    results.write(out / "results.nc", results.synapses(dt, trace.voltage, trace.current, trace.w, trace.phi, trace.r))
    print(f"{n} neurons, {steps} steps of {dt:g} s, layout {layout}")
    print(f"resistance at the start {trace.r[0].mean():.3f} ohm in the mean, at the end {trace.r[-1].mean():.3f} ohm")
    print(f"files: {out}")
