"""`memjax mc`: many sampled chips, from one core to many hosts; a table, a file of values and figures."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from memjax.cli import _chips


def mc(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file of settings; with --resume taken from the study's folder.")
    ] = None,
    chips: Annotated[int | None, typer.Option(help="How many chips; with --until at most so many.")] = None,
    batch: Annotated[str, typer.Option(help="Chips at once on a device; auto: as many as fit the memory.")] = "auto",
    until: Annotated[
        str | None,
        typer.Option(metavar="yield:THRESHOLD:HALF_WIDTH", help="Stop when the yield is known to +- HALF_WIDTH."),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="What a chip must reach to count in the yield.")] = None,
    sobol: Annotated[
        int, typer.Option(help="Base samples (a power of 2) of a variance decomposition over the sources of chance.")
    ] = 0,
    network: Annotated[Path | None, typer.Option(help="Deploy the first chip of this `memjax train` run.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, as variation.c2c=0.5; repeatable."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of results; default runs/mc-<config>-<digest>.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in the folder, with the batches it has.")] = False,
    seed: Annotated[int | None, typer.Option(help="The study's random seed.")] = None,
    coordinator: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Of several processes, where SLURM or Open MPI is not used.")
    ] = None,
    processes: Annotated[int | None, typer.Option(help="How many processes take part.")] = None,
    process_id: Annotated[int | None, typer.Option(help="This process's number, from 0.")] = None,
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
    show = _chips.Show(title, quiet)
    trainer = _chips.Trainer(quiet)
    with show, trainer:
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
