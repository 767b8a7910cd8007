"""One figure a remedy: accuracy against severity, with and without it, and what it costs."""

from pathlib import Path

import numpy as np

from memjax import plot
from memjax.plot import style


def draw(name: str, found: dict, out: Path) -> None:
    """Draw a study's curves: `axis` {label, values}, `ideal` (percent) and `curves` name -> `frame.curve`.

    A curve that was not taken at all of the axis' values has its own, `at`. An axis of `times` [s] is logarithmic.
    `ylim`: what is shown of the accuracies, where a curve falls to chance.
    A study of another `kind` has a figure of its own.
    """
    if found.get("kind") in KINDS:
        return KINDS[found["kind"]](name, found, out)
    fig = style.figure(style.PAGE, 2.9)
    ax, cost = fig.subplots(1, 2, width_ratios=(2.2, 1))
    x = np.asarray(found["axis"]["values"], float)
    for k, (label, made) in enumerate(found["curves"].items()):
        mean, sd, at = np.asarray(made["mean"]), np.asarray(made["sd"]), np.asarray(made.get("at", x), float)
        ax.fill_between(at, mean - sd, mean + sd, color=style.colour(k), alpha=0.2, linewidth=0)
        ax.plot(at, mean, "o-", color=style.colour(k), markersize=3, linewidth=1.2, label=label)
    if found["axis"].get("times"):
        ax.set_xscale("log")
        ax.set_xticks(x, [_time(t) for t in x])
        ax.minorticks_off()
    if "ylim" in found:
        ax.set_ylim(*found["ylim"])
    ax.axhline(found["ideal"], color="0.4", linestyle=":", linewidth=0.9)
    ax.annotate("ideal devices", (x[-1], found["ideal"]), (0, 2), textcoords="offset points", ha="right",
                fontsize=style.SMALL, color="0.4")  # fmt: skip
    style.label_axes(ax, found["axis"]["label"], "accuracy (%)", f"{found['title']}: mean, band: sd of chips")
    style.legend(ax)
    labels = list(found["curves"])
    energy = [1e6 * made["energy"] if made.get("energy") is not None else 0.0 for made in found["curves"].values()]
    y = np.arange(len(labels))
    cost.barh(y, energy, color=[style.colour(k) for k in range(len(labels))])
    for k, made in enumerate(found["curves"].values()):
        cost.text(energy[k], k, f" ×{made.get('devices', 1.0):.3g} devices", va="center", fontsize=style.SMALL)
    cost.set_xlim(0, 1.6 * max(energy) or 1.0)
    cost.set_yticks(y, labels, fontsize=style.SMALL)
    cost.invert_yaxis()
    style.label_axes(cost, found.get("energy_label", "programming energy (µJ)"), None, "cost")
    plot.save(fig, out / f"{name}.png")


def _time(seconds: float) -> str:
    """Write a time in the unit that people would use."""
    units = {"yr": 365 * 86400, "mo": 30 * 86400, "wk": 7 * 86400, "d": 86400, "h": 3600, "s": 1}
    name = next(name for name, size in units.items() if seconds >= size)
    return f"{seconds / units[name]:.2g} {name}"


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
