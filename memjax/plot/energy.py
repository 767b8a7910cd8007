"""Energy: which events the joules go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from memjax.plot.style import COLUMN, SMALL, colour, figure, label_axes, si

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def energy_breakdown(events: Mapping[str, float], prices: Mapping[str, float], *, title: str | None = None) -> Figure:
    """Draw count x price of each kind of event as a bar, with its share of the total.

    Args:
        events: name -> count (of a run, or a sample: the caller's `title` says which).
        prices: name -> energy of one such event [J].
        title: above the axes; the total is added to it.

    Raises:
        ValueError: an event without a price, or no events.
    """
    missing = sorted(set(events) - set(prices))
    if missing or not events:
        raise ValueError(f"events {sorted(events)}, of them without a price: {missing}; prices: {sorted(prices)}")
    joules = {name: float(count) * float(prices[name]) for name, count in events.items()}
    total = sum(joules.values())
    scale, unit = si(list(joules.values()), "J")
    fig = figure(COLUMN, 0.9 + 0.28 * len(joules))
    ax = fig.add_subplot()
    bars = ax.barh(list(joules), [e * scale for e in joules.values()], color=colour(0), height=0.65)
    text = [f"{e * scale:.3g} {unit} ({100.0 * e / total if total else 0.0:.1f} %)" for e in joules.values()]
    ax.bar_label(bars, text, padding=3, fontsize=SMALL)
    ax.invert_yaxis()
    ax.margins(x=0.45)
    all_scale, all_unit = si(total, "J")
    total_text = f"total {total * all_scale:.3g} {all_unit}"
    label_axes(ax, f"energy ({unit})", None, f"{title}: {total_text}" if title else total_text)
    ax.set_xlim(left=0.0)
    return fig
