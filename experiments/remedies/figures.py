"""One figure a remedy: accuracy against severity, with and without it, and what it costs."""

from pathlib import Path

import numpy as np

from memjax import plot
from memjax.plot import style


def draw(name: str, found: dict, out: Path) -> None:
    """Draw a study's curves: `axis` {label, values}, `ideal` (percent) and `curves` name -> `frame.curve`.

    Where `lost` is set, what is lost is drawn instead of accuracy, linear up to a point and logarithmic above.
    A curve with `own_axis` True is drawn against its own `devices` instead, and leaves no line here.
    """
    fig = style.figure(style.PAGE, 2.9)
    ax, cost = fig.subplots(1, 2, width_ratios=(2.2, 1))
    lost = found.get("lost", False)
    named = isinstance(found["axis"]["values"][0], str)
    x = np.arange(len(found["axis"]["values"])) if named else np.asarray(found["axis"]["values"], float)
    for k, (label, made) in enumerate(found["curves"].items()):
        mean, sd = np.asarray(made["mean"]), np.asarray(made["sd"])
        if lost:
            mean = found["ideal"] - mean
        if named:  # kinds, not severities: bars beside each other
            width = 0.8 / len(found["curves"])
            at = x + (k - (len(found["curves"]) - 1) / 2) * width
            ax.bar(at, mean, width, yerr=sd, color=style.colour(k), error_kw={"linewidth": 0.8}, label=label)
            continue
        ax.fill_between(x, mean - sd, mean + sd, color=style.colour(k), alpha=0.2, linewidth=0)
        ax.plot(x, mean, "o-", color=style.colour(k), markersize=3, linewidth=1.2, label=label)
    line = 0.0 if lost else found["ideal"]
    ax.axhline(line, color="0.4", linestyle=":", linewidth=0.9)
    if not lost:
        ax.annotate("ideal devices", (x[-1], line), (0, 2), textcoords="offset points", ha="right",
                    fontsize=style.SMALL, color="0.4")  # fmt: skip
    else:
        ax.set_yscale("symlog", linthresh=1.0)
        ax.set_ylim(max(-0.4, min(-0.2, ax.get_ylim()[0])), 3000 if named else 300)  # room for the legend
        ax.set_yticks([0, 0.5, 1, 3, 10, 30, 100], ["0", "0.5", "1", "3", "10", "30", "100"])
    if named:
        ax.set_xticks(x, [value.replace(", ", "\n") for value in found["axis"]["values"]], fontsize=style.SMALL)
    if found["axis"].get("log"):
        ax.set_xscale("log")
    spread = "bar" if named else "band"
    style.label_axes(
        ax,
        found["axis"]["label"],
        "points lost to ideal devices" if lost else "accuracy (%)",
        f"{found['title']}: mean, {spread}: sd of chips",
    )
    style.legend(ax)
    if "second" in found:  # another value of the curves, where programming is no cost
        for k, made in enumerate(found["curves"].values()):
            label = f"×{made['devices']:.4g} devices"
            cost.plot(x, made[found["second"]["value"]], "o-", color=style.colour(k), markersize=3, label=label)
        cost.set_xscale(ax.get_xscale())
        cost.set_yscale("log")
        style.label_axes(cost, found["axis"]["label"], found["second"]["label"], None)
        style.legend(cost)
        plot.save(fig, out / f"{name}.png")
        return
    labels = list(found["curves"])
    energy = [1e6 * made["energy"] if made.get("energy") is not None else 0.0 for made in found["curves"].values()]
    y = np.arange(len(labels))
    cost.barh(y, energy, color=[style.colour(k) for k in range(len(labels))])
    for k, made in enumerate(found["curves"].values()):
        cost.text(energy[k], k, f" ×{made.get('devices', 1.0):.3g} devices", va="center", fontsize=style.SMALL)
    cost.set_xlim(0, 1.8 * max(energy) or 1.0)
    cost.set_yticks(y, labels, fontsize=style.SMALL)
    cost.invert_yaxis()
    style.label_axes(cost, found.get("energy_label", "programming energy (µJ)"), None, "cost")
    plot.save(fig, out / f"{name}.png")
