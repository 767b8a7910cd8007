"""What the commands of many chips have in common: devices and hosts, settings, and how far they are."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from memjax.cli import _train
from memjax.errors import UserError

# The options that the commands have in common.
Config = Annotated[
    Path | None, typer.Argument(help="YAML file of settings; with --resume taken from the study's folder.")
]
Batch = Annotated[str, typer.Option(help="Chips at once on a device; auto: as many as fit the memory.")]
Network = Annotated[Path | None, typer.Option(help="Deploy the first chip of this `memjax train` run.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting, as variation.c2c=0.5; repeatable."),
]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the data set's files.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on in the folder, with the batches it has.")]
Seed = Annotated[int | None, typer.Option(help="The study's random seed.")]
Coordinator = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Of several processes, where SLURM or Open MPI is not used.")
]
Processes = Annotated[int | None, typer.Option(help="How many processes take part.")]
ProcessId = Annotated[int | None, typer.Option(help="This process's number, from 0.")]


def start(coordinator: str | None, processes: int | None, process_id: int | None) -> None:
    """Start the hosts, before anything else of JAX, with a device for every core of a processor."""
    core_each()
    from memjax import monte_carlo

    monte_carlo.start_hosts(coordinator, processes, process_id)


def core_each() -> None:
    """Make a device of every core of a processor, before JAX is loaded."""
    # Chips are independent, and a processor works them best as one device a core. It is up to the user's own setting.
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(os.cpu_count() or 1))


def settings(
    command: str, example: str, config: Path | None, out: Path | None, resume: bool, set_: Any, chips: Any, seed: Any
) -> tuple[Any, Path]:
    """Return the config with what the command line sets, and the folder of results."""
    from memjax import config as configs

    overrides = list(set_ or [])
    given = (("monte_carlo.chips", chips), ("seed", seed))
    overrides += [f"{name}={value}" for name, value in given if value is not None]
    source = config
    if source is None and resume and out is not None:
        source = out / "config.yaml"
    if source is None:
        raise UserError(f"give a config, as memjax {command} {example}, or --resume --out of a study")
    made = configs.load(source, overrides)
    digest = configs.study_digest(made)[:8]
    return made, out or Path("runs") / f"{command}-{made.monte_carlo.study}-{source.stem}-{digest}"


def batch_size(text: str) -> Any:
    """Read --batch: "auto", or a number."""
    if text == "auto":
        return text
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"--batch {text}: accepted is auto, or a number of chips of at least 1")
    return int(text)


@contextmanager
def resumable(command: str, out: Path, options: Mapping[str, Any]) -> Iterator[None]:
    """End a command that was stopped with the line that goes on; options: what its folder does not remember.

    A network in training is saved by its signal handler, chips are by their batches.
    """
    import jax

    from memjax import training

    try:
        yield
    except (training.Interrupted, KeyboardInterrupt) as stopped:
        if jax.process_index() == 0 and (out / "config.yaml").exists():
            given = [part for name, x in options.items() if x not in (None, "auto") for part in (name, str(x))]
            print("stopped; what is finished is kept. To go on:")
            print(f"  {shlex.join(['memjax', command, '--resume', '--out', str(out), *given])}", flush=True)
        number = stopped.signum if isinstance(stopped, training.Interrupted) else signal.SIGINT
        raise typer.Exit(128 + signal.Signals(number)) from None


class Trainer:
    """Show the training of the network to deploy, where there is one."""

    def __init__(self, quiet: bool):
        self.shown, self.quiet = None, quiet

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self) -> None:
        if self.shown is not None:
            self.shown.__exit__(None, None, None)
            self.shown = None

    def __call__(self, at: Any) -> None:
        if self.quiet:
            return
        if self.shown is None:
            make = _train._Terminal if sys.stdout.isatty() else _train._Lines
            self.shown = make("training the network to deploy, on ideal devices").__enter__()
        self.shown(at)
        if at.done == at.total:
            self.close()


class Show:
    """One bar for the chips of all processes, or plain lines now and then."""

    def __init__(self, title: str, quiet: bool):
        self.title, self.quiet, self.last, self.bar = title, quiet, -_train.QUIET, None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, at: Any) -> None:
        if self.quiet:
            return
        if self.title:
            print(self.title, flush=True)
            self.title = ""
        rate = "" if at.rate is None else f"{at.rate:,.1f} chips/s"
        if sys.stdout.isatty():
            self._draw(at, rate)
        elif at.done == at.n or time.monotonic() - self.last > _train.QUIET:
            self.last = time.monotonic()
            print(f"{at.done:>9,}/{at.n:,} chips  {rate}", flush=True)

    def _draw(self, at: Any, rate: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self.bar is None:
            columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self.bar = Progress(*columns)
            self.task = self.bar.add_task("", total=at.n)
            self.bar.start()
        self.bar.update(self.task, total=at.n, completed=at.done, description=rate)
