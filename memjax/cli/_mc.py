"""`memjax mc`: many sampled chips, from one core to many hosts; a table, a file of values and figures."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from memjax.cli import _chips


def mc(
    config: _chips.Config = None,
    chips: Annotated[int | None, typer.Option(help="How many chips; with --until at most so many.")] = None,
    batch: _chips.Batch = "auto",
    until: Annotated[
        str | None,
        typer.Option(metavar="yield:THRESHOLD:HALF_WIDTH", help="Stop when the yield is known to +- HALF_WIDTH."),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="What a chip must reach to count in the yield.")] = None,
    sobol: Annotated[
        int, typer.Option(help="Base samples (a power of 2) of a variance decomposition over the sources of chance.")
    ] = 0,
    network: _chips.Network = None,
    set_: _chips.Set = None,
    data_dir: _chips.DataDir = None,
    out: Annotated[Path | None, typer.Option(help="Folder of results; default runs/mc-<config>-<digest>.")] = None,
    resume: _chips.Resume = False,
    seed: _chips.Seed = None,
    coordinator: _chips.Coordinator = None,
    processes: _chips.Processes = None,
    process_id: _chips.ProcessId = None,
) -> None:
    """Sample many chips: deploy a network on them, let them learn, or step bare arrays; yield and what decides it."""
    _chips.start(coordinator, processes, process_id)
    import jax

    from memjax import studies

    settings, out = _chips.settings("mc", "configs/mc_deployed.yaml", config, out, resume, set_, chips, seed)
    rule = None if until is None else studies.yield_rule(until)
    wanted = settings.monte_carlo
    quiet = jax.process_index() > 0
    title = f"{'up to ' if rule else ''}{wanted.chips} chips, {wanted.study} -> {out}"
    if idle := studies.idle(settings):
        title += f"\nno chip ever rests (monte_carlo.age = 0 s): nothing comes of {', '.join(idle)}"
    show = _chips.Show(title, quiet)
    trainer = _chips.Trainer(quiet)
    left = {
        "--until": until,
        "--threshold": threshold,
        "--sobol": sobol or None,
        "--chips": chips,
        "--batch": batch,
        "--network": network,
        "--data-dir": data_dir,
    }
    with _chips.resumable("mc", out, left), show, trainer:
        found = studies.mc(
            settings,
            out,
            data_dir,
            batch_size=_chips.batch_size(batch),
            until=rule,
            threshold=threshold,
            sobol=sobol,
            network=network,
            resume=resume,
            progress=show,
            training_progress=trainer,
        )
    if not quiet:
        _summary(found, out)


def _summary(found: dict, out: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("", "mean", "sd", "worst", "5 %", "median", "95 %", "best", box=box.SIMPLE, pad_edge=False)
    for name, row in found["values"].items():
        share = name in ("accuracy", "missed")
        show = (lambda x: f"{100 * x:.2f} %") if share else (lambda x: f"{x:.4g}")
        unit = "" if row["unit"] == "1" else f" [{row['unit']}]"
        shown = [row["mean"], row["sd"], *(row["quantiles"][q] for q in ("0", "0.05", "0.5", "0.95", "1"))]
        table.add_row(f"{name}{unit}", *map(show, shown))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table)
    lost = f", {len(found['failed'])} failed and left out" if found["failed"] else ""
    print(f"{found['chips']:,} chips{lost}, {found['chips_per_second']:,.1f} a second, {found['seconds']:.1f} s in all")
    if found["yield"]:
        made = found["yield"]
        low, high = 100 * made["low"], 100 * made["high"]
        print(
            f"yield at {100 * made['threshold']:g} %: {100 * made['estimate']:.2f} % "
            f"({low:.2f} to {high:.2f}, Wilson, 95 %)"
        )
    if found["sobol"]:
        parts = (
            f"{name} {'unknown' if row['total'][0] is None else format(row['total'][0], '.0%')}"
            for name, row in found["sobol"].items()
        )
        print(f"share of the variance of {found['metric']} that goes with (total index): {', '.join(parts)}")
    print(f"files: {out}")
