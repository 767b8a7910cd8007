"""The figure of the study, made from its results alone: accuracy against pulses, and against energy."""

from pathlib import Path

from memjax import plot
from memjax.plot.style import PAGE, SMALL, colour, label_axes

MARKERS = {"exponential": "o", "soft bounds": "s"}


def draw(results: dict, out: Path) -> None:
    """Write accuracy.png into the folder `out`."""
    fig = plot.figure(PAGE, 3.6)
    left, right = fig.subplots(1, 2, sharey=True)
    names = list(dict.fromkeys(name for rows in results["rows"].values() for name in rows))
    for device, rows in results["rows"].items():
        for name, row in rows.items():
            k = names.index(name)
            style = {"color": colour(k) if k < 7 else str(0.2 * (k - 6)),
                     "marker": MARKERS[device], "markersize": 5, "linestyle": "none", "capsize": 2, "linewidth": 0.9,
                     "label": name if device == "exponential" else f"{name} ({device})"}  # fmt: skip
            if "pulses" not in row:
                for ax in (left, right):
                    ax.axhline(row["accuracy"], color="0.6", linestyle=":", linewidth=0.9)
                left.annotate(name, (0.02, row["accuracy"]), (0, 2), xycoords=("axes fraction", "data"),
                              textcoords="offset points", fontsize=SMALL, color="0.4")  # fmt: skip
                continue
            left.errorbar(row["pulses"], row["accuracy"], row["sd"], **style)
            low, high = (1e9 * row["writing"][kind] for kind in ("e_min", "e_max"))
            right.plot([low, high], [row["accuracy"]] * 2, color=style["color"], linewidth=0.9)
            right.errorbar(high, row["accuracy"], row["sd"], **(style | {"label": None}))
    for ax in (left, right):
        ax.set_xscale("log")
    label_axes(left, "pulses on a chip", "test accuracy (%)", "bars: sd of the chips")
    label_axes(
        right, "writing, feedback and verifying (nJ a sample)", None, r"$E_\mathrm{min}$ to $E_\mathrm{max}$ (marker)"
    )
    handles, labels = left.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=SMALL, frameon=False)
    plot.save(fig, out / "accuracy.png", dpi=150)
