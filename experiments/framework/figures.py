"""The figures of the study, made from its results alone."""

from pathlib import Path

import numpy as np

from memjax import plot
from memjax.plot.style import COLUMN, OKABE_ITO, PAGE, TEXT, label_axes, legend, style_colorbar


def draw(results: dict, out: Path) -> None:
    """Write all figures into the folder `out`."""
    plot.save(device(results["device"]), out / "device.png", dpi=150)
    plot.save(stdp(results["stdp"]), out / "stdp.png", dpi=150)
    plot.save(modules(results["array"]["switching"]), out / "modules.png", dpi=150)
    plot.save(network(results["network"]), out / "network.png", dpi=150)


def device(results: dict):
    fig = plot.figure(PAGE, 2.6)
    fall, rest = fig.subplots(1, 2)
    for color, row in zip(OKABE_ITO, results["rates"], strict=False):
        curve = row["curve"]
        fall.plot(curve["t_s"], 100 * np.array(curve["mean"]), color=color, label=f"{row['rate_Hz']} Hz")
        fall.plot(curve["t_s"], 100 * np.array(curve["closed_form"]), "--", color="black", linewidth=0.8)
    fall.plot([], [], "--", color="black", linewidth=0.8, label="closed form")
    fall.set_yscale("log")
    fall.yaxis.set_major_formatter("{x:g}")
    label_axes(fall, "time (s)", "g - g_min (% of range)", "mean of the devices, from mid range")
    legend(fall, ncols=2)
    row = next(row for row in results["rates"] if row["rate_Hz"] == 20)
    trace = 100 * np.array(results["one_device_at_20_Hz"])
    rest.plot(1e-3 * np.arange(len(trace)), trace, color=OKABE_ITO[1], linewidth=0.8, label="one device")
    rest.axhline(
        100 * row["share_closed_form"], color="black", linestyle="--", linewidth=0.8, label="mean, closed form"
    )
    rest.set_ylim(0, 1.25 * trace.max())
    label_axes(rest, "time (s)", "g - g_min (% of range)", "settled, 20 Hz")
    legend(rest, loc="upper right", ncols=2)
    return fig


def stdp(results: dict):
    t = 1e3 * np.array(results["t_post_minus_t_pre_s"])
    fig = plot.figure(COLUMN, 2.6)
    ax = fig.add_subplot()
    ax.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    ax.axvline(0, color="0.8", linewidth=0.6, zorder=0)
    looks = (
        ("stdp", "standard order", OKABE_ITO[0], "o", 4.0),
        ("stdp_framework", "source's order", OKABE_ITO[1], ".", 3.0),
    )
    for name, label, color, marker, size in looks:
        w = 1e2 * np.array(results["rules"][name]["window"])
        hollow = {"markerfacecolor": "none", "markeredgewidth": 0.6} if marker == "o" else {}
        ax.plot(t, w, marker, color=color, markersize=size, label=label, **hollow)
    coincidence = 1e2 * results["rules"]["stdp_framework"]["change_at_coincidence"]
    ax.annotate(
        "same step", (0, coincidence), (14, coincidence), fontsize=TEXT, va="center", arrowprops={"arrowstyle": "->"}
    )
    label_axes(ax, r"$t_\mathrm{post} - t_\mathrm{pre}$ (ms)", r"change of weight $\Delta w$ ($10^{-2}$)")
    legend(ax)
    return fig


def modules(results: dict):
    fig = plot.figure(PAGE, 2.8)
    axes = fig.subplots(1, 3, sharey=True)
    titles = (
        "before",
        f"module off (grey), {results['updates']} steps later",
        "on again",
    )
    maps = [np.array(g) for g in results["maps_uS"].values()]
    for ax, g, title in zip(axes, maps, titles, strict=True):
        # Grey: no reading, which the dark end of the colours could not be told from.
        ax.set_facecolor("0.75")
        image = ax.imshow(np.ma.masked_equal(g, 0), vmin=0, vmax=1000, aspect="auto", interpolation="nearest")
        for edge in range(results["module"], max(g.shape), results["module"]):
            if edge < g.shape[0]:
                ax.axhline(edge - 0.5, color="white", linewidth=0.6)
            if edge < g.shape[1]:
                ax.axvline(edge - 0.5, color="white", linewidth=0.6)
        label_axes(ax, "output", "input" if ax is axes[0] else None, title)
    style_colorbar(fig.colorbar(image, ax=axes, fraction=0.05, pad=0.02), "conductance (µS)")
    return fig


def network(results: dict):
    fig = plot.figure(PAGE, 2.8)
    saw, curve = fig.subplots(1, 2)
    source = results["potentials"]
    saw.axhline(1, color="0.7", linewidth=0.6)
    saw.plot(source["hidden"], color=OKABE_ITO[0], linewidth=0.7, label="all 256 hidden neurons")
    saw.plot(np.array(source["outputs"])[:, 0], color=OKABE_ITO[1], linewidth=1.2, label="output 0")
    saw.plot(np.array(source["outputs"])[:, 1], color=OKABE_ITO[2], linewidth=1.2, linestyle="--", label="output 1")
    saw.set_ylim(0, 1.45)
    label_axes(saw, "training samples (one step each)", "potential (threshold 1)", "the source's network")
    legend(saw, loc="upper right", ncols=2)
    for color, (name, row) in zip(OKABE_ITO, results["variants"].items(), strict=False):
        curve.plot(
            row["samples"],
            100 * np.array(row["test_accuracy"]),
            "o-",
            markersize=2.5,
            linewidth=1,
            color=color,
            label=name,
        )
    curve.axhline(100 * results["claim"], color="black", linewidth=1, label="source's claim")
    curve.axhline(100 * results["chance"], color="0.5", linestyle=":", linewidth=1, label="chance")
    curve.set_ylim(0, 100)
    curve.xaxis.set_major_formatter("{x:,.0f}")
    curve.locator_params(axis="x", nbins=5)
    label_axes(curve, "training samples", "test accuracy (%)")
    legend(curve, loc="center", ncols=2)
    return fig
