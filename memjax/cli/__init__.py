"""The `memjax` command. Everything heavy is imported inside the commands, so that --help is quick."""

import sys
import traceback
from typing import Annotated

import typer

from memjax.cli import _ablate, _catalogue, _energy, _fit, _mc, _network, _sensitivity, _simulate, _spice, _train
from memjax.errors import UserError

app = typer.Typer(
    help="Memristive devices, learning rules and crossbar arrays that learn.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a bug shows Python's own traceback
)
app.command("train")(_train.train)
app.command("mc")(_mc.mc)
app.command("ablate")(_ablate.ablate)
app.command("sensitivity")(_sensitivity.sensitivity)
app.command("simulate")(_simulate.simulate)
app.command("devices")(_catalogue.list_devices)
app.command("rules")(_catalogue.list_rules)
app.command("network")(_network.network)
app.command("spice")(_spice.spice)
app.command("energy")(_energy.energy)
app.command("fit")(_fit.fit)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"memjax {version('memjax')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; wrong input ends it with one message on stderr and exit code 2, a bug with a traceback."""
    try:
        app()
    except UserError as error:
        _refuse(error)
    except (ValueError, RuntimeError) as error:
        if not _refused_by_us(error):
            raise
        _refuse(error)


def _refuse(error: Exception) -> None:
    print(f"memjax: {error}", file=sys.stderr)
    sys.exit(2)


def _refused_by_us(error: Exception) -> bool:
    """Tell a refusal, raised by a check of memjax itself, from a bug, which surfaces inside a library."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].f_globals.get("__name__", "").startswith("memjax.")
