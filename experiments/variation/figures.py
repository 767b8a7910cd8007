"""Figures of the study, from results.json."""

from pathlib import Path

import numpy as np

from memjax import plot
from memjax.plot import style

NAMES = {"framework": "framework's", "hfo2_array": "HfO2 array", "om_array": "OM array"}
WAYS = {"write_verify": "write-verify", "open_loop": "open loop"}


def draw(results: dict, out: Path) -> None:
    plot.save(spread_map(results["map"]), out / "map.png")
    plot.save(yields(results), out / "yield.png")
    plot.save(sobol(results["sobol"]), out / "sobol.png")


def spread_map(found: dict):
    """Accuracy, yield and programming energy over D2D and C2C, by write-verify."""
    shape = len(found["d2d"]), len(found["c2c"])
    parts = {
        "mean accuracy (%)": [100 * p["accuracy"] for p in found["write_verify"]],
        "yield at 95 % (%)": [100 * p["yield"][0] for p in found["write_verify"]],
        "programming energy (µJ)": [1e6 * p["energy"] for p in found["write_verify"]],
    }
    fig = style.figure(style.PAGE, 2.5)
    for ax, (title, values) in zip(fig.subplots(1, 3, sharey=True), parts.items(), strict=True):
        z = np.reshape(values, shape)
        image = ax.imshow(z, origin="lower", aspect="auto", cmap="viridis")
        middle = 0.5 * (z.min() + z.max())
        for (i, j), value in np.ndenumerate(z):
            text = f"{value:.0f}" if title.startswith("yield") else f"{value:.1f}"
            ink = "white" if value < middle else "black"
            ax.text(j, i, text, ha="center", va="center", fontsize=style.SMALL, color=ink)
        ax.set_xticks(range(shape[1]), [f"{100 * c:.0f}" for c in found["c2c"]])
        ax.set_yticks(range(shape[0]), [f"{100 * d:.0f}" for d in found["d2d"]])
        style.label_axes(ax, "C2C (% of a step)", "D2D (%)" if ax.get_subplotspec().is_first_col() else None, title)
        fig.colorbar(image, ax=ax).ax.tick_params(labelsize=style.SMALL)
    return fig


def yields(results: dict):
    """Accuracy and yield against D2D, set by write-verify and open-loop; yield against its threshold."""
    found = results["map"]
    rows = {
        "write_verify": [p for p in found["write_verify"] if p["c2c"] == 0.3],
        "open_loop": found["open_loop"],
    }
    fig = style.figure(style.PAGE, 2.8)
    first, second, third = fig.subplots(1, 3)
    x = 100 * np.array(found["d2d"])
    for k, (way, points) in enumerate(rows.items()):
        mean, sd = (100 * np.array([p[name] for p in points]) for name in ("accuracy", "sd"))
        share, low, high = 100 * np.array([p["yield"] for p in points]).T
        first.fill_between(x, mean - sd, mean + sd, color=style.colour(k), alpha=0.25, linewidth=0)
        first.plot(x, mean, "o-", color=style.colour(k), markersize=3, linewidth=1.2, label=WAYS[way])
        second.errorbar(
            *(x + 0.6 * (k - 0.5), share, [share - low, high - share]),
            fmt="o-", color=style.colour(k), markersize=3, linewidth=1.2, capsize=2, label=WAYS[way],
        )  # fmt: skip
    style.label_axes(first, "D2D (%)", "accuracy (%)", "mean, band: sd between chips")
    style.label_axes(second, "D2D (%)", "yield at 95 % (%)", "bars: 95 % interval (Wilson)")
    for k, (device, ways) in enumerate(results["sobol"]["devices"].items()):
        for way, line in (("write_verify", "-"), ("open_loop", ":")):
            y = 100 * np.sort(ways[way]["chips"])
            # The share of chips at or above each chip's accuracy.
            third.step(y, 100 * (1 - np.arange(len(y)) / len(y)), line, color=style.colour(k), linewidth=1.2,
                       label=NAMES[device] if line == "-" else None)  # fmt: skip
    third.axvline(95, color="black", linestyle="--", linewidth=0.8)
    style.label_axes(third, "threshold of the accuracy (%)", "yield (%)", "dotted: open loop")
    style.legend(first)
    handles, labels = third.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower right", ncols=3, fontsize=style.SMALL, frameon=False)
    return fig


def sobol(found: dict):
    """First-order and total indices, a panel a device and way."""
    fig = style.figure(style.PAGE, 3.6)
    devices = found["devices"]
    grid = fig.subplots(len(WAYS), len(devices), sharex=True, sharey="row", squeeze=False)
    for column, (device, ways) in enumerate(devices.items()):
        for row, (way, made) in enumerate(ways.items()):
            ax, at = grid[row][column], np.arange(len(made["sources"]))
            for k, (kind, offset) in enumerate((("first", -0.2), ("total", 0.2))):
                value, low, high = 100 * np.array(made[kind]).T
                ax.barh(at + offset, value, height=0.37, color=style.colour(4 * k), label=kind)
                ax.hlines(at + offset, low, high, color="0.25", linewidth=1.0)
            ax.axvline(0, color="0.6", linewidth=0.6)
            ax.set_yticks(
                at, [name.replace("_", " ").replace("d2d", "D2D").replace("c2c", "C2C") for name in made["sources"]]
            )
            said = f"{NAMES[device]}, {WAYS[way]}\n{100 * made['accuracy']:.1f} %, sd {100 * made['sd']:.2f}"
            style.label_axes(ax, "share of the variance (%)" if row else None, None, said)
    for row in grid:
        row[0].invert_yaxis()
    style.legend(grid[0][-1], loc="lower right")
    return fig
