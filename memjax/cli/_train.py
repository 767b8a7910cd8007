"""`memjax train`: the run's progress while it goes, and a summary at its end."""

import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from memjax.errors import UserError

QUIET = 10.0  # s between two lines of progress where there is no terminal


def train(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file of settings; with --resume taken from the run's folder.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, as learning.epochs=2; repeatable."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of results; default runs/<config>-<digest>.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in the folder.")] = False,
    chips: Annotated[int | None, typer.Option(help="How many sampled chips learn side by side.")] = None,
    batch: Annotated[
        str, typer.Option(help="Chips in one program; auto: as many as fit an accelerator, one a core on a processor.")
    ] = "auto",
    threshold: Annotated[
        float | None, typer.Option(help="Accuracy that a chip must reach to count in the yield.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The run's random seed.")] = None,
) -> None:
    """Train a network of memristors online, on sampled chips; write accuracy, energy, figures and checkpoints."""
    from memjax.cli import _chips

    _chips.core_each()
    from memjax import config as configs

    at_once = _chips.batch_size(batch)
    overrides = list(set_ or [])
    overrides += [f"{name}={value}" for name, value in (("chips", chips), ("seed", seed)) if value is not None]
    source = config
    if source is None and resume and out is not None:
        source = out / "config.yaml"
        if not source.exists():
            raise UserError(
                f"{out} has no config.yaml: it is no folder of a run; give the run's config, or another --out"
            )
    if source is None:
        raise UserError("give a config, as memjax train configs/edge_mnist.yaml, or --resume --out of a run")
    settings = configs.load(source, overrides)
    if out is None:
        out = Path("runs") / f"{source.stem}-{configs.digest(settings)[:8]}"
    from memjax import training

    title = f"training {settings.chips} chip(s) on {settings.data.dataset} -> {out}"
    if not resume:
        title = "\n".join([*settings.notes, title])
    show = _Terminal(title) if sys.stdout.isatty() else _Lines(title)
    try:
        with show:
            metrics = training.train(
                settings, out, data_dir, batch_size=at_once, threshold=threshold, resume=resume, progress=show
            )
    except training.Interrupted as stopped:
        command = ["memjax", "train", "--resume", "--out", str(out)]
        command += [] if data_dir is None else ["--data-dir", str(data_dir)]
        command += [] if batch == "auto" else ["--batch", batch]
        command += [] if threshold is None else ["--threshold", str(threshold)]
        print(f"stopped after {stopped.done:,} of {stopped.total:,} samples; everything is saved. To go on:")
        print(f"  {shlex.join(command)}", flush=True)
        raise typer.Exit(128 + signal.Signals(stopped.signum)) from None
    _summary(metrics, out)


class _Lines:
    """Plain lines now and then, for logs and pipes."""

    def __init__(self, title: str):
        self.title, self.last, self.tested = title, -QUIET, None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None

    def __call__(self, at: Any) -> None:
        if self.title:  # only here, where settings, data and folder have been accepted
            print(self.title)
            self.title = ""
        if at.note:
            print(at.note, flush=True)
        tested = None if at.test is None else tuple(at.test)
        if time.monotonic() - self.last < QUIET and tested == self.tested and at.done < at.total:
            return
        self.last, self.tested = time.monotonic(), tested
        print(f"{at.done:>9,}/{at.total:,} samples  {_state(at)}{_left(at)}", flush=True)


class _Terminal:
    """A live bar."""

    def __init__(self, title: str):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"))
        self.title, self.bar = title, Progress(*columns)
        self.task = self.bar.add_task("compiling", total=None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.bar.stop()

    def __call__(self, at: Any) -> None:
        if self.title:
            self.bar.console.print(self.title, highlight=False)
            self.bar.start()
            self.title = ""
        if at.note:
            self.bar.console.print(at.note, highlight=False)
        text = f"{_state(at)}{_left(at)}" if at.online is not None else "compiling"
        self.bar.update(self.task, total=at.total, completed=at.done, description=text)


def _state(at: Any) -> str:
    parts = [f"epoch {at.epoch}/{at.epochs}"]
    if at.online is not None:
        parts.append(f"online {100 * at.online:.1f} %")
    if at.test is not None:
        parts.append(f"test {100 * at.test.mean():.2f} %")
    if at.rate is not None:
        parts.append(f"{at.rate:,.0f} samples/s")
    return "  ".join(parts)


def _left(at: Any) -> str:
    if at.rate is None or at.done == at.total:
        return ""
    seconds = round((at.total - at.done) / at.rate)
    return f"  {seconds // 60}:{seconds % 60:02d} left"


def _summary(metrics: dict, out: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    accuracy, events = metrics["test_accuracy"], metrics["events"]
    seen = metrics["samples"] * metrics["n_chips"]
    megabytes = {name: x / 1e6 for name, x in metrics["memory"].items()}
    chips = accuracy["per_chip"]
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    rows = [
        ("accuracy", f"{100 * accuracy['mean']:.2f} % ± {100 * accuracy['std']:.2f} ({metrics['evaluated_on']})"),
        ("worst, best of the chips", f"{100 * min(chips):.2f} %, {100 * max(chips):.2f} % ({len(chips)})"),
    ]
    if len(chips) > 2:
        low, middle, high = (100 * x for x in accuracy["quartiles"])
        shown = f"{low:.2f} %, {middle:.2f} %, {high:.2f} %; worst: chip {accuracy['worst_chip']}"
        rows.append(("quartiles", shown))
    if metrics["yield"] is not None:
        part = {name: 100 * x for name, x in metrics["yield"].items()}
        interval = f"{part['low']:.1f} to {part['high']:.1f}, Wilson, 95 %"
        rows.append((f"yield at {part['threshold']:g} %", f"{part['estimate']:.1f} % ({interval})"))
    for kind in ("inference", "training"):
        joule = {name: 1e9 * metrics["energy_per_sample"][kind][name] for name in ("e_min", "e_max", "cmos")}
        text = "{e_min:.3g} to {e_max:.3g} nJ a sample (CMOS {cmos:.3g} nJ)".format(**joule)
        rows.append((f"energy, {kind}", text))
    rows += [
        ("pulses", f"{events['training']['pulse'] / seen:.2f} a sample"),
        (
            "rate",
            f"{metrics['n_chips'] * metrics['samples_per_second']:,.0f} chip-samples/s: "
            f"{metrics['samples_per_second']:,.0f} samples/s on each of {metrics['n_chips']} chip(s)",
        ),
        ("memory", "{chip:.1f} MB a chip's state, {peak:,.0f} MB at most".format(**megabytes)),
        ("time", f"{metrics['seconds']:.1f} s"),
        ("files", str(out)),
    ]
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table)
