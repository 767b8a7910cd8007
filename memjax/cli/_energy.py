"""`memjax energy`: what the events of a run cost at several price lists, and how long they take."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from memjax.errors import UserError

PHASES = ("inference", "training")
DEFAULT = ("memristor", "isaac")


def energy(
    run: Annotated[Path, typer.Argument(help="Folder that memjax train has written.")],
    prices: Annotated[
        list[str] | None,
        typer.Option("--prices", metavar="NAME|FILE", help="A price list or a YAML file; repeatable. Default: all."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File of the figure; default RUN/figures/energy_by_list.png, drawn anew.")
    ] = None,
) -> None:
    """Print and draw where the energy of a sample goes, by event class and price list, CMOS beside; and its time."""
    from memjax import plot
    from memjax import prices as price_lists

    metrics, at_once = _read(run)
    lists = {}
    for name in prices or DEFAULT:
        loaded = price_lists.load(name)
        if loaded.name in lists or loaded.name == "cmos":
            what = "is the digital chip that is beside every list" if loaded.name == "cmos" else "is given twice"
            raise UserError(f"--prices {name}: {loaded.name} {what}")
        lists[loaded.name] = loaded
    if out is not None and out.exists():
        raise UserError(f"{out} exists, and nothing is written over: give another --out")
    if out is None:
        out = run / "figures" / "energy_by_list.png"
        out.parent.mkdir(exist_ok=True)
    seen = metrics["samples"] * metrics["n_chips"]
    counts = {phase: {k: v / seen for k, v in metrics["events"][phase].items()} for phase in PHASES}
    joules = {phase: _joules(counts[phase], lists) for phase in PHASES}
    figure = plot.energy_by_list(joules, title=f"energy of one sample, {metrics['evaluated_on'].split(' of ')[-1]}")
    plot.save(figure, out)
    for phase in PHASES:
        _print(phase, counts[phase], joules[phase], lists, at_once)
    _notes(metrics, counts, lists)
    print(f"figure: {out}")


def _read(run: Path) -> tuple[dict, dict[str, int]]:
    """Return a run's metrics, and how many events of each class its arrays can do at once."""
    from memjax import config as configs

    path = run / "metrics.json"
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{run} is no folder of a run that has ended: cannot read {path} ({reason})") from error
    except ValueError as error:
        raise UserError(f"{path} is no readable JSON: {error}") from error
    try:
        whole = all(
            isinstance(number, int) and number >= 0
            for number in (
                metrics["samples"], metrics["n_chips"], *(n for p in PHASES for n in metrics["events"][p].values())
            )
        ) and isinstance(metrics["evaluated_on"], str)  # fmt: skip
        needed = {"mac", "read", "pulse", "verify", "refresh", "accumulate"}
        whole = whole and all(needed <= set(metrics["events"][phase]) for phase in PHASES)
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise UserError(f"{path} does not hold what memjax train writes: samples, n_chips, evaluated_on, events")
    if not metrics["samples"] * metrics["n_chips"]:
        raise UserError(f"{path} is of a run that was stopped before its first sample")
    return metrics, _at_once(configs.load(run / "config.yaml"))


def _at_once(config: Any) -> dict[str, int]:
    """All lines of both arrays at once where the array is read, a word line of each at a time where it is written."""
    columns, rows = config.array.n_outputs + config.array.n_classes, sum(config.word_lines)
    pairs = {event: 2 * columns for event in ("read", "pulse", "verify", "refresh")}
    return pairs | {"accumulate": columns, "adc": columns, "dac": rows}


def _joules(counts: dict[str, float], lists: Mapping[str, Any]) -> dict[str, Mapping[str, float | None]]:
    from memjax import energy as ledger

    each: dict[str, Mapping[str, float | None]]
    each = {name: ledger.breakdown(counts, loaded.prices) for name, loaded in lists.items()}
    return each | {"CMOS": {k: v for k, v in ledger.cmos_breakdown(counts).items() if v}}


def _print(
    phase: str, counts: dict[str, float], joules: Mapping[str, Mapping[str, Any]], lists: Mapping, at_once: dict
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from memjax import energy as ledger

    first = next(iter(lists))
    serial = ledger.latency(counts, lists[first].prices)
    beside = ledger.latency(counts, lists[first].prices, at_once)
    table = Table(title=f"{phase}, a sample", title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("event")
    for name in ("count", *joules, f"time ({first}), one by one", "side by side"):
        table.add_column(name, justify="right")
    for event in ledger.FIELDS:
        count = counts.get(event, 0)
        if not count:
            continue
        cells = [_joule(of[event]) if event in of else "" for of in joules.values()]
        table.add_row(
            event, f"{count:,.4g}" if count < 1e4 else f"{count:,.0f}", *cells, _s(serial[event]), _s(beside[event])
        )
    table.add_section()
    sums = {name: ledger.joules(counts, memristor=loaded.prices) for name, loaded in lists.items()}
    part = {name: "> " if _unpriced(counts, loaded) else "" for name, loaded in lists.items()}
    e_min, e_max = ([part[name] + _joule(sums[name][which]) for name in lists] for which in ("e_min", "e_max"))
    times = (_s(sum(t or 0.0 for t in times.values())) for times in (serial, beside))
    table.add_row("E_min", "", *e_min, "", "", "")
    table.add_row("E_max", "", *e_max, _joule(sum(joules["CMOS"].values())), *times)
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def _notes(metrics: dict, counts: Mapping[str, Mapping[str, float]], lists: Mapping[str, Any]) -> None:
    if metrics.get("interrupted"):
        print("The run was interrupted: these are the samples it has seen.")
    training = counts["training"]
    for name, loaded in lists.items():
        print(f"{name}: {loaded.meta.title} ({loaded.meta.status}; {loaded.meta.source.citation})")
        if missing := _unpriced(training, loaded):
            print(f"  without a price there, and left out of its sums: {', '.join(missing)}")
    if not (training.get("adc") or training.get("dac")):
        print("The run had ideal converters: it counts no conversions.")
    print(
        "Times: one event after the other; and with all lines of both arrays at once, a word line of each in a write."
    )


def _unpriced(counts: Mapping[str, float], loaded: Any) -> list[str]:
    """List the events that happened and have no price."""
    return [event for event, number in counts.items() if number and loaded.prices.price(event) is None]


def _joule(value: float | None) -> str:
    return "no price" if value is None else _unit(value, "J")


def _s(value: float | None) -> str:
    return "-" if value is None else _unit(value, "s") if value else ""


def _unit(value: float, unit: str) -> str:
    from memjax.plot.style import si

    factor, prefixed = si(value, unit)
    return f"{value * factor:.3g} {prefixed}"
