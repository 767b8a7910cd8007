"""`memjax ablate`: which non-ideality costs how much accuracy and energy; a table, a figure and a file of values."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from memjax.cli import _chips


def ablate(
    config: _chips.Config = None,
    chips: Annotated[int | None, typer.Option(help="How many chips, the same in every setting.")] = None,
    batch: _chips.Batch = "auto",
    network: _chips.Network = None,
    set_: _chips.Set = None,
    data_dir: _chips.DataDir = None,
    out: Annotated[Path | None, typer.Option(help="Folder of results; default runs/ablate-<config>-<digest>.")] = None,
    resume: _chips.Resume = False,
    seed: _chips.Seed = None,
    coordinator: _chips.Coordinator = None,
    processes: _chips.Processes = None,
    process_id: _chips.ProcessId = None,
) -> None:
    """Switch each non-ideality on alone, and off alone, on the same sampled chips: what does each cost?"""
    _chips.start(coordinator, processes, process_id)
    import jax

    from memjax import studies

    settings, out = _chips.settings("ablate", "configs/ablate.yaml", config, out, resume, set_, chips, seed)
    quiet, wanted = jax.process_index() > 0, settings.monte_carlo
    title = f"{wanted.chips} chips in every setting, {wanted.study} -> {out}"
    show, trainer = _chips.Show(title, quiet), _chips.Trainer(quiet)
    left = {"--chips": chips, "--batch": batch, "--network": network, "--data-dir": data_dir}
    with _chips.resumable("ablate", out, left), show, trainer:
        found = studies.ablate(
            settings,
            out,
            data_dir,
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

    def of(label: str, name: str) -> dict:
        return found["settings"][label]["values"][name]

    def share(label: str) -> str:
        return _share(of(label, found["metric"]))

    joules = [name for name, row in found["settings"]["none"]["values"].items() if row["unit"] == "J"]

    def energy(label: str) -> list[str]:
        return [f"{of(label, name)['mean']:.4g}" for name in joules]

    heads = ("", "alone", "lost", "left out", "recovered", *(f"{name.replace('_', ' ')} [J]" for name in joules))
    table = Table(*heads, box=box.SIMPLE, pad_edge=False)
    table.add_row("none", share("none"), "", share("all"), "", *energy("none"))
    for name, row in found["nonidealities"].items():
        kept = share(row["alone"]), _points(row["lost"]), share(row["without"]), _points(row["recovered"])
        table.add_row(name, *kept, *energy(row["alone"]))
    table.add_row("all", share("all"), _points(found["lost"]), share("none"), "", *energy("all"))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    console.print(table)
    if found["remedies"]:
        console.print(_remedies(found))
    lost = sum(len(row["failed"]) for row in found["settings"].values())
    failures = f", {lost} values failed and left out" if lost else ""
    remedies = f" x {1 + len(found['remedies'])} (bare, and with remedies)" if found["remedies"] else ""
    print(
        f"{found['metric']} in % (mean and sd of {found['chips']} chips); lost by each alone and recovered when it is "
        "the one left out, in points, chip by chip (95 % interval)"
    )
    print(
        f"{found['chips']} chips x {len(found['settings'])} settings"
        f"{remedies}{failures}, {found['chips_per_second']:,.1f} a "
        f"second, {found['seconds']:.1f} s in all"
    )
    print(f"files: {out}")


def _remedies(found: dict) -> Any:
    """Return the table of what each remedy gains where everything is on, and what it costs."""
    from rich import box
    from rich.table import Table

    bare = found["settings"]["all"]["values"]
    costs = [name for name, row in bare.items() if row["unit"] == "J"] + ["devices"]
    heads = ("with all on", found["metric"], "gained", *(name.replace("_energy", " [J]") for name in costs))
    table = Table(*heads, box=box.SIMPLE, pad_edge=False)

    def row(name: str, values: dict, gained: str) -> None:
        shown = [f"{values[cost]['mean']:.4g}" for cost in costs]
        table.add_row(name, _share(values[found["metric"]]), gained, *shown)

    row("bare", bare, "")
    for name, own in found["remedies"].items():
        row(name.replace("_", " "), own["settings"]["all"]["values"], _points(own["gained"]["all"]))
    return table


def _share(row: dict) -> str:
    return f"{100 * row['mean']:.2f} ± {100 * row['sd']:.2f}"


def _points(row: dict) -> str:
    return f"{100 * row['mean']:.2f} ({100 * row['low']:.2f} to {100 * row['high']:.2f})"
