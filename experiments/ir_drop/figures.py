"""The figures of the study, made from its results alone."""

from pathlib import Path

import arrays
import numpy as np

from memjax import plot
from memjax.plot.style import OKABE_ITO, PAGE, SMALL, TEXT, colormap, label_axes, legend, style_colorbar

PERCENT = (1, 2, 5, 10, 20, 50, 80, 95)
CELLS = {"ohmic": OKABE_ITO[1], "sinh": OKABE_ITO[0], "selector": OKABE_ITO[2]}
SCHEMES = {
    "half": ("-", "V/2"),
    "third": ("--", "V/3"),
    "floating": (":", "others open"),
    "ground": ("-.", "others at 0 V"),
}


def draw(results: dict, out: Path) -> None:
    """Write the figures whose results are there into the folder `out`."""
    if "arrays" in results:
        plot.save(linear(results["arrays"]), out / "map.png", dpi=150)
    if "arrays" in results and "network" in results:
        plot.save(tiles(results), out / "tiles.png", dpi=150)
    if "cells" in results:
        plot.save(cells(results["cells"]), out / "cells.png", dpi=150)


def linear(found: dict):
    """The loss over size and r g_max, where in an array it arises, and its collapse onto one curve."""
    rows = found["map"]
    fig = plot.figure(PAGE, 5.6)
    plane, inside, onto, after = fig.subplots(2, 2).ravel()
    _plane(plane, rows)
    _profile(fig, inside, found["profile"])
    sizes = sorted({row["shape"][0] for row in rows})
    shades = colormap("viridis", 0.0, 0.9)(np.linspace(0, 1, len(sizes)))
    s = np.geomspace(min(row["s"] for row in rows), max(row["s"] for row in rows), 200)
    onto.loglog(s, s / (1 + s), color="black", linewidth=0.8, label="s / (1 + s)", zorder=0)
    for n, shade in zip(sizes, shades, strict=True):
        part = [row for row in rows if row["shape"][0] == n]
        onto.loglog(*_xy(part, "loss"), "o", color=shade, markersize=3.5, label=f"{n} x {n}")
        after.loglog(*_xy(part, "trimmed"), "o", color=shade, markersize=3, zorder=3)
    onto.loglog(*_xy(found["others"], "loss"), "x", color=OKABE_ITO[1], markersize=3.5, label="other arrays")
    label_axes(onto, "s, loss to first order", "loss of output current")
    legend(onto, loc="lower right")
    after.loglog([], [], "o", color="0.5", markersize=3, label="rms error after one gain")
    for what, colour, marker in (("word", OKABE_ITO[1], "^"), ("bit", OKABE_ITO[4], "v")):
        largest = [row for row in rows if row["shape"][0] == sizes[-1]]
        after.loglog(
            *_xy(largest, what), marker=marker, color=colour, markersize=3, linewidth=1, label=f"power in {what} lines"
        )
    label_axes(after, "s, loss to first order", "share")
    legend(after, loc="lower right")
    return fig


def _xy(rows: list[dict], what: str) -> tuple[list, list]:
    return [row["s"] for row in rows], [row[what]["mean"] for row in rows]


def _plane(ax, rows: list[dict]) -> None:
    sizes, rg = (sorted({value(row) for row in rows}) for value in (lambda r: r["shape"][0], lambda r: r["rg_word"]))
    loss = {(row["shape"][0], row["rg_word"]): row["loss"]["mean"] for row in rows}
    z = np.log10(100 * np.array([[loss[n, x] for x in rg] for n in sizes]))
    x, y = np.log10(rg), np.log2(sizes)  # in these the contours are straight where the loss is small
    ax.contourf(x, y, z, np.linspace(-2, 2, 41), cmap=colormap("viridis", 0.0, 0.8), extend="min")
    lines = ax.contour(x, y, z, np.log10(PERCENT), colors="white", linewidths=0.9)
    names = {level: f"{p} %" for level, p in zip(np.log10(PERCENT), PERCENT, strict=True)}
    ax.clabel(lines, fmt=names, fontsize=SMALL, inline_spacing=1)
    whole = range(round(x[0]), round(x[-1]) + 1)
    ax.set_xticks(list(whole), [f"$10^{{{k}}}$" for k in whole])
    ax.set_yticks(y, [str(n) for n in sizes])
    label_axes(ax, "resistance of a segment x $g_{max}$", "size n of an n x n array", "loss of output current")


def _profile(fig, ax, found: dict) -> None:
    n = found["n"]
    image = ax.imshow(
        100 * np.array(found["u"]), extent=(0.5, n + 0.5, n + 0.5, 0.5), cmap=colormap("viridis", 0.0, 0.95), vmax=100
    )
    bar = fig.colorbar(image, ax=ax, fraction=0.05, pad=0.02)
    style_colorbar(bar, "voltage across the cell (%)")
    label_axes(
        ax, "bit line (drivers at the left)", "word line (sensed at the bottom)",
        f"{n} x {n}, {1e6 * found['g_S']:g} µS, {found['r_ohm']:g} ohm",
    )  # fmt: skip
    ax.spines[["top", "right"]].set_visible(True)


def tiles(results: dict):
    """The largest tile for an error of the current, and what the tiles do to a network."""
    fig = plot.figure(PAGE, 2.7)
    size, accuracy, onto = fig.subplots(1, 3)
    limits, rg = results["designer"]["limits_of_s"]["loss"], np.geomspace(1e-7, 1e-2, 100)
    for (name, s), colour in zip(limits.items(), OKABE_ITO, strict=False):
        for topology, line in (("single", "-"), ("double", "--")):
            n = [arrays.largest(s, arrays.MEAN * x, topology) for x in rg]
            label = f"loss {100 * float(name):g} %" + (", both ends" if topology == "double" else "")
            size.loglog(rg, n, line, color=colour, label=label)
    size.set_ylim(1, 1024)
    size.set_yscale("log", base=2)
    label_axes(size, "resistance of a segment x $g_{max}$", "largest square tile")
    size.yaxis.set_major_formatter("{x:g}")
    legend(size, loc="lower left")
    rows = results["network"]["rows"]
    wired = sorted({row["r_ohm"] for row in rows} - {0.0})
    for k, r in enumerate(wired):
        for topology, line, marker in (("single", "-", "o"), ("double", "--", "s")):
            part = sorted(
                (row for row in rows if (row["r_ohm"], row["topology"]) == (r, topology)), key=lambda row: row["tile"]
            )
            x, y = [row["tile"] for row in part], [100 * row["accuracy"] for row in part]
            look = {"color": OKABE_ITO[k], "marker": marker, "markersize": 3.5}
            accuracy.plot(x, y, line, label=f"{r:g} ohm" if topology == "single" else None, **look)
            onto.plot([row["s"] for row in part], y, linestyle="", **look)
    ideal = 100 * np.mean([row["accuracy"] for row in rows if row["r_ohm"] == 0])
    for ax in (accuracy, onto):
        ax.axhline(ideal, color="0.6", linewidth=0.8, zorder=0)
        ax.set_ylim(max(0, min(y for line in onto.lines for y in line.get_ydata()) - 3), 100)
    accuracy.set_xscale("log", base=2)
    accuracy.set_xticks(sorted({row["tile"] for row in rows}))
    accuracy.xaxis.set_major_formatter("{x:g}")
    onto.set_xscale("log")
    label_axes(accuracy, "size of the tiles", "test accuracy (%)")
    label_axes(onto, "s of a tile of the first array")
    legend(accuracy, loc="lower left")
    return fig


def cells(rows: list[dict]):
    """Voltage delivered to the farthest cell, what selecting it costs, and the margin of reading it."""
    fig = plot.figure(PAGE, 2.9)
    panels = {
        "delivered": (("half", "third"), "voltage across the selected cell (%)"),
        "power": (("half", "third"), "power delivered / power in that cell"),
        "margin": (("floating", "ground"), "margin of a read, 1 - $I_{off}$ / $I_{on}$ (%)"),
    }
    for ax, (what, (schemes, label)) in zip(fig.subplots(1, 3), panels.items(), strict=True):
        for scheme in schemes:
            line, name = SCHEMES[scheme]
            ax.plot([], [], line, color="0.4", label=name)
            for cell, colour in CELLS.items():
                part = [row for row in rows if (row["cell"], row["scheme"]) == (cell, scheme)]
                y = np.array([row[what] for row in part]) * (1 if what == "power" else 100)
                ax.plot([row["n"] for row in part], y, line, color=colour, marker="o", markersize=3)
        ax.set_xscale("log", base=2)
        ax.set_xticks(sorted({row["n"] for row in rows}))
        ax.xaxis.set_major_formatter("{x:g}")
        label_axes(ax, "size n of an n x n array", label)
        if what == "power":
            ax.set_yscale("log")
        legend(
            ax, **{"delivered": {"loc": "lower left"}, "power": {"loc": "upper left"}}.get(what, {"loc": (0.42, 0.37)})
        )
    handles = [fig.axes[0].plot([], [], "-o", color=colour, markersize=3)[0] for colour in CELLS.values()]
    fig.legend(handles, list(CELLS), loc="outside upper center", ncols=3, fontsize=TEXT, frameon=False)
    return fig
