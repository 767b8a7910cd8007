"""`memjax sensitivity`: how fast the loss rises with each non-ideality; a table, a figure and a file of values."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from memjax.cli import _chips


def sensitivity(
    config: _chips.Config = None,
    step: Annotated[float, typer.Option(help="Each non-ideality is changed by this share, down and up.")] = 0.25,
    chips: Annotated[int | None, typer.Option(help="How many chips, the same at every severity.")] = None,
    batch: _chips.Batch = "auto",
    network: _chips.Network = None,
    set_: _chips.Set = None,
    data_dir: _chips.DataDir = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of results; default runs/sensitivity-<config>-<digest>.")
    ] = None,
    resume: _chips.Resume = False,
    seed: _chips.Seed = None,
    coordinator: _chips.Coordinator = None,
    processes: _chips.Processes = None,
    process_id: _chips.ProcessId = None,
) -> None:
    """Change each non-ideality a little, on the same sampled chips: which one is worth fixing first?"""
    _chips.start(coordinator, processes, process_id)
    import jax

    from memjax import studies

    settings, out = _chips.settings("sensitivity", "configs/ablate.yaml", config, out, resume, set_, chips, seed)
    quiet, wanted = jax.process_index() > 0, settings.monte_carlo
    title = f"{wanted.chips} chips at every severity, {wanted.study} -> {out}"
    show, trainer = _chips.Show(title, quiet), _chips.Trainer(quiet)
    left = {"--step": step, "--chips": chips, "--batch": batch, "--network": network, "--data-dir": data_dir}
    with _chips.resumable("sensitivity", out, left), show, trainer:
        found = studies.sensitivity(
            settings,
            out,
            data_dir,
            step=step,
            batch_size=_chips.batch_size(batch),
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

    def interval(row: dict | None, factor: float = 1.0) -> str:
        if row is None:
            return ""
        mean, low, high = (factor * row[name] for name in ("mean", "low", "high"))
        return f"{mean:.3g} ({low:.3g} to {high:.3g})"

    heads = (
        "",
        "as described",
        "d loss / d ln sigma [nat]",
        "elasticity",
        "d loss / d sigma [nat]",
        "accuracy (points)",
    )
    table = Table(*heads, box=box.SIMPLE, pad_edge=False)
    for name, row in found["nonidealities"].items():
        table.add_row(
            name,
            "" if row["described"] is None else f"{row['described']:.3g}",
            interval(row["per_relative_change"]),
            "" if row["elasticity"] is None else f"{row['elasticity']:.3g}",
            interval(row["per_sigma"]),
            interval(row["accuracy_per_relative_change"], 100),
        )
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    console.print(table)
    print(
        f"cross entropy {found['value']:.4g} nat, accuracy {100 * found['accuracy']:.2f} %; slopes by differences of "
        f"{100 * found['step']:g} % down and up, chip by chip (95 % interval); accuracy: per ln sigma"
    )
    print(f"{found['chips']} chips, {found['chips_per_second']:,.1f} a second, {found['seconds']:.1f} s in all")
    print(f"files: {out}")
