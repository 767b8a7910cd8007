"""`memjax devices` and `memjax rules`: what there is, with the defaults of every parameter."""

from typing import Annotated, Any

import typer


def list_devices(
    presets: Annotated[
        bool, typer.Option("--presets", help="List the presets instead: models with published or fitted parameters.")
    ] = False,
) -> None:
    """List the memristor models with their parameters (SI units), or the presets with their sources."""
    if presets:
        return _list_presets()
    from memjax import devices

    rows = []
    for name in devices.names():
        device = devices.get(name)
        rows.append((name, device.switching, "yes" if device.volatile else "no", _defaults(device.Params)))
    _table("memristor models", ("name", "switching", "volatile", "parameters"), rows)


def _list_presets() -> None:
    from memjax import presets

    rows = []
    for name in presets.names():
        meta = presets.load(name).meta
        doi = f", doi:{meta.source.doi}" if meta.source.doi else ""
        data = f" Data: {meta.source.data} ({meta.source.licence})." if meta.source.data else ""
        rows.append((name, meta.device, meta.title, f"{meta.status}; {meta.source.citation}{doi}.{data}"))
    _table("presets", ("name", "model", "what", "source"), rows)


def list_rules() -> None:
    """List the learning rules with their parameters (SI units)."""
    from memjax import plasticity

    rows = [(name, _defaults(plasticity.get(name).Params)) for name in plasticity.names()]
    _table("learning rules", ("name", "parameters"), rows)


def _defaults(params: type) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
        for name, value in vars(params()).items()
    )


def _table(title: str, columns: tuple[str, ...], rows: list[Any]) -> None:
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
