"""One figure a remedy: accuracy against severity, with and without it, and what it costs."""

from pathlib import Path

import numpy as np

from memjax import plot
from memjax.plot import style


def draw(name: str, found: dict, out: Path) -> None:
    """Draw a study's curves: `axis` {label, values}, `ideal` (percent) and `curves` name -> `frame.curve`.

    `zoom` {at, y}: an inset at [x, y, width, height] of the axes that shows these accuracies alone.
    A curve with `own_axis` True is drawn against its own `devices` instead, and leaves no line here.
    """
    fig = style.figure(style.PAGE, 2.9)
    ax, cost = fig.subplots(1, 2, width_ratios=(2.2, 1))
    x = np.asarray(found["axis"]["values"], float)
    _scale(ax, x, found["axis"])
    _curves(ax, x, found)
    ideal = found.get("ideal_label", "ideal devices")
    ax.axhline(found["ideal"], color="0.4", linestyle=":", linewidth=0.9, label=ideal)
    style.label_axes(ax, found["axis"]["label"], "accuracy (%)", f"{found['title']}: mean, band: sd of chips")
    style.legend(ax)
    low = min(min(np.asarray(made["mean"]) - made["sd"]) for made in found["curves"].values())
    ax.set_ylim(max(0.0, low - 1), 100)  # a band may reach beyond: its chips do not
    if "zoom" in found:
        inset = ax.inset_axes(found["zoom"]["at"])
        _curves(inset, x, found)
        inset.set_ylim(*found["zoom"]["y"])
        _scale(inset, x, found["axis"])
        inset.set_xlim(ax.get_xlim())
        style.label_axes(inset)
    if "lines" in found:
        _lines(cost, found["lines"])
    elif "sweep" in found:
        _sweep(cost, found)
    else:
        _costs(cost, found)
    plot.save(fig, out / f"{name}.png")


def _scale(ax, x: np.ndarray, axis: dict) -> None:
    """Make a severity's axis logarithmic, but for `linear_to`, below which it is linear: so that 0 is on it."""
    if "linear_to" in axis:
        ax.set_xscale("symlog", linthresh=axis["linear_to"])
        ax.set_xticks(x, [f"{value:g}" for value in x])
        ax.minorticks_off()


def _curves(ax, x: np.ndarray, found: dict) -> None:
    for k, (label, made) in enumerate(found["curves"].items()):
        mean, sd = np.asarray(made["mean"]), np.asarray(made["sd"])
        ax.fill_between(x, mean - sd, mean + sd, color=style.colour(k), alpha=0.2, linewidth=0)
        ax.plot(x, mean, "o-", color=style.colour(k), markersize=3, linewidth=1.2, label=label)


def _costs(ax, found: dict) -> None:
    """Draw what each way takes: energy, and devices as text."""
    labels = list(found["curves"])
    energy = [1e6 * made["energy"] if made.get("energy") is not None else 0.0 for made in found["curves"].values()]
    y = np.arange(len(labels))
    ax.barh(y, energy, color=[style.colour(k) for k in range(len(labels))])
    for k, made in enumerate(found["curves"].values()):
        ax.text(energy[k], k, f" ×{made.get('devices', 1.0):.3g} devices", va="center", fontsize=style.SMALL)
    ax.set_xlim(0, 1.6 * max(energy) or 1.0)
    ax.set_yticks(y, labels, fontsize=style.SMALL)
    ax.invert_yaxis()
    style.label_axes(ax, found.get("energy_label", "programming energy (µJ)"), None, "cost")


def _sweep(ax, found: dict) -> None:
    """Draw accuracy against energy: a sweep's points, with their labels, and the curves' own at the judged severity."""
    sweep, at = found["sweep"], found["judged"][0]["at"]
    x, y, sd = (np.asarray([p[key] for p in sweep["points"]]) for key in ("energy", "mean", "sd"))
    ax.errorbar(1e6 * x, y, sd, fmt="o-", color="0.3", markersize=3, linewidth=1.0, label=sweep["label"])
    for p in sweep["points"]:
        ax.annotate(
            p["label"], (1e6 * p["energy"], p["mean"]), (5, -9), textcoords="offset points", fontsize=style.SMALL
        )
    for k, made in enumerate(found["curves"].values()):
        ax.errorbar(
            1e6 * made["energy"], made["mean"][at], made["sd"][at], fmt="s", color=style.colour(k), markersize=4
        )
    ax.set_xlim(left=0)
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.15 * (high - low), high)  # room for the legend
    style.legend(ax)
    style.label_axes(ax, found.get("energy_label", "programming energy (µJ)"), "accuracy (%)", sweep["title"])


def _lines(ax, lines: dict) -> None:
    """Draw further curves of a study, on a logarithmic axis, against 1, 2, 3, ..."""
    for k, (label, y) in enumerate(lines["curves"].items()):
        ax.semilogy(
            np.arange(1, len(y) + 1),
            y,
            ".-",
            color=str(0.7 - 0.7 * k / len(lines["curves"])),
            linewidth=1.0,
            label=label,
        )
    style.legend(ax)
    style.label_axes(ax, lines["x"], lines["y"], lines["title"])
