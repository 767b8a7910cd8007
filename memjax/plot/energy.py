"""Energy: which events the joules go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from memjax.plot.style import COLUMN, PAGE, SMALL, TEXT, colour, figure, label_axes, si

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


def energy_by_list(
    joules: Mapping[str, Mapping[str, Mapping[str, float | None]]], *, title: str | None = None
) -> Figure:
    """Draw the energy of each event class at several price lists, a panel a phase, on the same logarithmic scale.

    Args:
        joules: phase -> price list -> event class -> energy [J]; None where the list has no price for the class, which
            is said in the figure and makes the list's total a part ("> "); a class that a list leaves out does not
            exist there. A class without energy in any list and phase is not drawn.
        title: above the panels.

    Raises:
        ValueError: nothing to draw, or a negative energy.
    """
    lists = list(dict.fromkeys(name for phase in joules.values() for name in phase))
    given = [each for phase in joules.values() for each in phase.values()]
    values = [value for each in given for value in each.values() if value]
    if not values or min(values) < 0:
        raise ValueError("energy_by_list: accepted are energies of 0 J or more, and one above 0 at least")
    # In the order of the list that has most classes.
    order = list(dict.fromkeys(event for each in sorted(given, key=len, reverse=True) for event in each))
    events = [event for event in order if any(each.get(event) for each in given)]
    rows = [*events, "total"]
    # The smallest value keeps a line, and the largest room for its label.
    low, high = 10 ** np.floor(np.log10(min(values)) - 0.3), max(sum(v or 0.0 for v in each.values()) for each in given)
    height = 0.8 / len(lists)
    fig = figure(PAGE, 0.9 + (0.08 + 0.135 * len(lists)) * len(rows))
    axes = fig.subplots(1, len(joules), sharey=True, squeeze=False)[0]
    for ax, (phase, by_list) in zip(axes, joules.items(), strict=True):
        for k, name in enumerate(lists):
            each = by_list.get(name, {})
            partial = any(value is None and _spent(by_list, event) for event, value in each.items())
            shown = {event: each[event] for event in events if event in each and _spent(by_list, event)}
            shown["total"] = sum(value or 0.0 for value in each.values())
            for event, value in shown.items():
                y = rows.index(event) + (k - (len(lists) - 1) / 2) * height
                if value:
                    # A dot, for the length of a bar means nothing on a logarithmic axis; the line leads the eye.
                    ax.plot([low, value], [y, y], color=colour(k), linewidth=0.6, alpha=0.5)
                    ax.plot(value, y, "o", color=colour(k), markersize=4, label=name if event == "total" else None)
                factor, unit = si(value or 0.0, "J")
                text = "no price" if value is None else f"{value * factor:.3g} {unit}" if value else ""
                text = f"> {text}" if event == "total" and partial else text
                place = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
                ax.annotate(text, (value or low, y), **place, fontsize=SMALL - 1, color="black" if value else "0.4")
        ax.axhline(len(events) - 0.5, color="black", linewidth=0.6)
        ax.set(xscale="log", xlim=(low, high * (high / low) ** 0.25), yticks=range(len(rows)))
        ax.set_yticklabels(rows)
        ax.set_ylim(len(rows) - 0.45, -0.55)
        ax.tick_params(axis="y", length=0)
        label_axes(ax, "energy (J)", None, phase)
    keys = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(keys.values(), keys.keys(), loc="outside lower center", ncols=len(lists), fontsize=SMALL, frameon=False)
    if title is not None:
        fig.suptitle(title, fontsize=TEXT + 1)
    return fig


def _spent(by_list: Mapping[str, Mapping[str, float | None]], event: str) -> bool:
    return any(each.get(event) for each in by_list.values())
