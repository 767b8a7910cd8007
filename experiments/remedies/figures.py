"""One figure a remedy: accuracy against severity, with and without it, and what it costs."""

from pathlib import Path

import numpy as np

from memjax import plot
from memjax.plot import style


def draw(name: str, found: dict, out: Path) -> None:
    """Draw a study: accuracy with and without the remedy on the left, what it costs (or another view) on the right.

    A study has `title`, `axis`, `ideal` (percent) and `curves` name -> `frame.curve`, and may have

    ideal_label  what the ideal is, where it is not ideal devices
    lost         True: what is lost is drawn in place of accuracy, linear up to a point and logarithmic above
    ylim         what is shown of the accuracies
    zoom         {at, y}: an inset at [x, y, width, height] of the axes that shows these accuracies alone
    second, lines, sweep   what the right side shows in place of energies: another value of the curves, further curves
                 on a logarithmic axis, or accuracy against energy
    kind         a figure of its own

    An axis has `label` and `values`: numbers, or names of cases, which become bars. `log`, `linear_to` (linear up to
    there, logarithmic above) and `times` [s] say how it is scaled. A curve that was not taken at all values has `at`.
    """
    if found.get("kind") in KINDS:
        return KINDS[found["kind"]](name, found, out)
    fig = style.figure(style.PAGE, 2.9)
    ax, right = fig.subplots(1, 2, width_ratios=(2.2, 1))
    cases, lost = isinstance(found["axis"]["values"][0], str), found.get("lost", False)
    _curves(ax, found)
    ideal = found.get("ideal_label", "ideal devices")
    ax.axhline(0.0 if lost else found["ideal"], color="0.4", linestyle=":", linewidth=0.9, label=ideal)
    _scale(ax, found["axis"])
    kind = "points lost to ideal devices" if lost else "accuracy (%)"
    spread = "bar" if cases else "band"
    style.label_axes(ax, found["axis"]["label"], kind, f"{found['title']}: mean, {spread}: sd of chips")
    if lost:
        ax.set_yscale("symlog", linthresh=1.0)
        ax.set_ylim(max(-0.4, min(-0.2, ax.get_ylim()[0])), 3000 if cases else 300)  # room for the legend
        ax.set_yticks([0, 0.5, 1, 3, 10, 30, 100], ["0", "0.5", "1", "3", "10", "30", "100"])
    else:
        low = min(min(np.asarray(made["mean"]) - made["sd"]) for made in found["curves"].values())
        # A band may reach beyond 100: its chips do not.
        ax.set_ylim(*found.get("ylim", (max(0.0, low - 1), 100)))
    style.legend(ax)
    if "zoom" in found:
        inset = ax.inset_axes(found["zoom"]["at"])
        _curves(inset, found)
        inset.set_ylim(*found["zoom"]["y"])
        _scale(inset, found["axis"])
        inset.set_xlim(ax.get_xlim())
        style.label_axes(inset)
    views = {"second": _second, "lines": _lines, "sweep": _sweep}
    next((view for part, view in views.items() if part in found), _costs)(right, found)
    plot.save(fig, out / f"{name}.png")


def _places(axis: dict) -> np.ndarray:
    values = axis["values"]
    return np.arange(len(values)) if isinstance(values[0], str) else np.asarray(values, float)


def _scale(ax, axis: dict) -> None:
    """Scale a severity's axis as it wants to be, with a tick at every value."""
    x = _places(axis)
    if isinstance(axis["values"][0], str):
        ax.set_xticks(x, [value.replace(", ", "\n") for value in axis["values"]], fontsize=style.SMALL)
    elif axis.get("log"):
        ax.set_xscale("log")
    elif axis.get("times"):
        ax.set_xscale("log")
        ax.set_xticks(x, [_time(t) for t in x])
        ax.minorticks_off()
    elif "linear_to" in axis:
        ax.set_xscale("symlog", linthresh=axis["linear_to"])
        ax.set_xticks(x, [f"{value:g}" for value in x])
        ax.minorticks_off()


def _time(seconds: float) -> str:
    """Write a time in the unit that people would use."""
    units = {"yr": 365 * 86400, "mo": 30 * 86400, "wk": 7 * 86400, "d": 86400, "h": 3600, "s": 1}
    name = next(name for name, size in units.items() if seconds >= size)
    return f"{seconds / units[name]:.2g} {name}"


def _curves(ax, found: dict) -> None:
    axis, curves = found["axis"], found["curves"]
    x, cases = _places(axis), isinstance(axis["values"][0], str)
    for k, (label, made) in enumerate(curves.items()):
        mean, sd = np.asarray(made["mean"]), np.asarray(made["sd"])
        mean = found["ideal"] - mean if found.get("lost") else mean
        if cases:  # kinds, not severities: bars beside each other
            width = 0.8 / len(curves)
            at = x + (k - (len(curves) - 1) / 2) * width
            ax.bar(at, mean, width, yerr=sd, color=style.colour(k), error_kw={"linewidth": 0.8}, label=label)
            continue
        at = np.asarray(made.get("at", x), float)
        ax.fill_between(at, mean - sd, mean + sd, color=style.colour(k), alpha=0.2, linewidth=0)
        ax.plot(at, mean, "o-", color=style.colour(k), markersize=3, linewidth=1.2, label=label)


def _costs(ax, found: dict) -> None:
    """Draw what each way takes: energy, and devices as text."""
    labels = list(found["curves"])
    energy = [1e6 * made["energy"] if made.get("energy") is not None else 0.0 for made in found["curves"].values()]
    y = np.arange(len(labels))
    ax.barh(y, energy, color=[style.colour(k) for k in range(len(labels))])
    for k, made in enumerate(found["curves"].values()):
        ax.text(energy[k], k, f" ×{made.get('devices', 1.0):.3g} devices", va="center", fontsize=style.SMALL)
    ax.set_xlim(0, 1.8 * max(energy) or 1.0)
    ax.set_yticks(y, labels, fontsize=style.SMALL)
    ax.invert_yaxis()
    style.label_axes(ax, found.get("energy_label", "programming energy (µJ)"), None, "cost")


def _second(ax, found: dict) -> None:
    """Draw another value of the curves, where programming is no cost."""
    for k, made in enumerate(found["curves"].values()):
        label = f"×{made['devices']:.4g} devices"
        y = made[found["second"]["value"]]
        ax.plot(_places(found["axis"]), y, "o-", color=style.colour(k), markersize=3, label=label)
    _scale(ax, found["axis"])
    ax.set_yscale("log")
    style.label_axes(ax, found["axis"]["label"], found["second"]["label"], None)
    style.legend(ax)


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


def _lines(ax, found: dict) -> None:
    """Draw further curves of a study, on a logarithmic axis, against 1, 2, 3, ..."""
    lines = found["lines"]
    for k, (label, y) in enumerate(lines["curves"].items()):
        grey = str(0.7 - 0.7 * k / len(lines["curves"]))
        ax.semilogy(np.arange(1, len(y) + 1), y, ".-", color=grey, linewidth=1.0, label=label)
    style.legend(ax)
    style.label_axes(ax, lines["x"], lines["y"], lines["title"])


def learning(name: str, found: dict, out: Path) -> None:
    """Draw learning curves, and the samples that every chip needed: `curves` name -> at, mean, sd, samples."""
    fig = style.figure(style.PAGE, 2.9)
    ax, needed = fig.subplots(1, 2, width_ratios=(1.5, 1))
    for k, (label, made) in enumerate(found["curves"].items()):
        at, mean, sd = (np.asarray(made[part]) for part in ("at", "mean", "sd"))
        ax.fill_between(at / 1000, mean - sd, mean + sd, color=style.colour(k), alpha=0.2, linewidth=0)
        ax.plot(at / 1000, mean, color=style.colour(k), linewidth=1.1, label=label)
    ax.axhline(found["target"], color="0.4", linestyle=":", linewidth=0.9)
    ax.set_ylim(80, 97)
    style.label_axes(ax, "training samples (thousands)", "test accuracy (%)", "learning: mean, band: sd of chips")
    style.legend(ax)
    samples = np.asarray([made["samples"] for made in found["curves"].values()]) / 1000  # [conditions, chips]
    x = np.arange(len(samples))
    needed.plot(x, samples, "-", color="0.8", linewidth=0.6)
    for k, own in enumerate(samples):
        needed.plot(np.full(own.size, k), own, "o", color=style.colour(k), markersize=3)
        needed.plot([k - 0.25, k + 0.25], [own.mean()] * 2, color=style.colour(k), linewidth=1.8)
    needed.set_xticks(x, [label.replace(", ", "\n") for label in found["curves"]], fontsize=style.SMALL)
    needed.set_xlim(-0.5, len(samples) - 0.5)
    style.label_axes(needed, None, "samples to 95 % (thousands)", "each chip, and the mean")
    plot.save(fig, out / f"{name}.png")


KINDS = {"learning": learning}
