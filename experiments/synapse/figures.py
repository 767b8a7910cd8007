"""The figures of the study, made from its results alone."""

from pathlib import Path

import numpy as np

from memjax import plot
from memjax.plot.style import OKABE_ITO, PAGE, SMALL, label_axes, legend

COLOURS = {
    "ideal weights": "0.5",
    "accumulator": OKABE_ITO[0],
    "composite, both": OKABE_ITO[0],
    "composite, both, soft": OKABE_ITO[5],
    "composite, one": OKABE_ITO[2],
    "composite, both, read": OKABE_ITO[1],
    "mixed precision": "#005040",
    "tag and capture": OKABE_ITO[4],
    "write-verify": OKABE_ITO[6],
    "tiki-taka": OKABE_ITO[7],
    "stochastic": OKABE_ITO[3],
    "pulse train": "#8c564b",
    "sign": "#7f7fbf",
}
LABELS = {
    "composite, both": "push-pull",
    "composite, one": "one device of the pair",
    "mixed precision": "one device, re-balanced",
    "composite, both, read": "push-pull, volatile read too",
    "stochastic": "stochastic pulses",
}


def draw(results: dict, out: Path) -> None:
    """Write all figures into the folder `out`."""
    plot.save(learning(results), out / "learning.png", dpi=150)
    plot.save(volatile(results), out / "volatile.png", dpi=150)
    plot.save(devices(results), out / "devices.png", dpi=150)
    plot.save(write_verify(results), out / "write_verify.png", dpi=150)


def learning(results: dict):
    """Draw the error and the pulses so far over the samples."""
    fig = plot.figure(PAGE, 3.4)
    left, right = fig.subplots(1, 2)
    settings = results["settings"]
    samples = settings["window"] * (np.arange(settings["samples"] // settings["window"]) + 0.5)
    for name, row in results["learning"].items():
        if name == "composite, both":
            continue  # the accumulator, to the bit
        style = {"color": COLOURS[name], "linewidth": 2.2 if name == "composite, both, read" else 1.1, "label": name}
        if name in ("ideal weights", "mixed precision"):  # on others' curves
            style |= {"linestyle": "--", "zorder": 5}
        left.semilogy(samples / 1000, row["curve"], **style)
        if row["pulses"][-1]:
            right.loglog(samples + settings["window"] / 2, row["pulses"], **style)
    for ax, at in ((left, settings["samples"] / 2000), (right, settings["samples"] / 2)):
        ax.axvline(at, color="0.8", linewidth=0.6, zorder=0)
    left.axhline(settings["label_noise"] ** 2, color="0.8", linewidth=0.6, zorder=0)
    left.text(1, 8.6e-3, "noise of the labels", fontsize=SMALL, va="top", color="0.4")
    left.set_ylim(6e-3, 10)
    label_axes(left, "samples (thousands)", "squared error", f"mean of {settings['chips']} chips")
    label_axes(right, "samples", "pulses on a chip's 128 devices so far", "every pulse on a device")
    handles, labels = left.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=SMALL, frameon=False)
    return fig


def volatile(results: dict):
    """Draw the error over each property of the volatile element."""
    fig = plot.figure(PAGE, 2.6)
    settings = results["settings"]
    panels = (
        ("tau", settings["taus"], "time constant (samples)", "leak"),
        ("saturation", settings["saturations"], "bound (changes that fire)", "saturation"),
        ("noise", settings["noises"], "sd of an increment, relative", "write noise"),
    )
    for ax, (field, values, x, title) in zip(fig.subplots(1, 3, sharey=True), panels, strict=True):
        _ideal(ax, results)
        for name, sweeps in results["volatile"].items():
            ax.plot(values, _errors(sweeps[field]), "o-", **_style(name))
        ax.set_yscale("log")
        if field == "noise":
            ax.set_xscale("symlog", linthresh=0.3, linscale=0.4)
        else:
            ax.set_xscale("log")
        if field != "tau":
            ticks = [value for value in values if not 1 < value < 1.5]  # those stand too close
            ax.set_xticks(ticks, [f"{value:g}" for value in ticks])
            ax.minorticks_off()
        label_axes(ax, x, "squared error" if field == "tau" else None, title)
        if field == "tau":
            legend(ax, loc="upper right")
    return fig


def devices(results: dict):
    """Draw the error over each property of the non-volatile devices."""
    fig = plot.figure(PAGE, 2.4)
    names = {
        "levels": "levels",
        "nonlinearity": "nonlinearity",
        "asymmetry": "asymmetry",
        "c2c": "C2C noise, of the step",
        "stuck": "share stuck",
    }
    for ax, (field, x) in zip(fig.subplots(1, 5, sharey=True), names.items(), strict=True):
        _ideal(ax, results)
        values = results["settings"]["of_devices"][field]
        for name, sweeps in results["devices"].items():
            ax.plot(values, _errors(sweeps[field]), "o-", **_style(name))
        ax.set_yscale("log")
        if field == "levels":
            ax.set_xscale("log", base=2)
            ax.xaxis.set_major_formatter("{x:g}")
        label_axes(ax, x, "squared error" if field == "levels" else None)
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=SMALL, frameon=False)
    return fig


def write_verify(results: dict):
    """Draw how many pulses programming takes."""
    fig = plot.figure(PAGE, 2.6)
    left, right = fig.subplots(1, 2)
    rows = results["write_verify"]
    drawn = (
        ("unit, 1", OKABE_ITO[3], "unit pulses"),
        ("amplitude, 8", OKABE_ITO[0], "amplitude up to 8"),
        ("width, 8", OKABE_ITO[1], "width up to 8"),
    )
    for name, colour, label in drawn:
        counts = np.array(rows[f"single, {name}"]["histogram"])
        # The share of devices that needs more than so many.
        left.semilogy(1 - np.cumsum(counts) / counts.sum(), color=colour, drawstyle="steps-post", label=label)
    left.axhline(0.05, color="0.8", linewidth=0.6, zorder=0)
    left.set_ylim(1e-4, 1)
    label_axes(left, "pulses", "share of devices that need more", "single devices, tolerance 1 % of the range")
    legend(left, loc="upper right")
    largest = (2, 4, 8, 16, 64)
    for modulation, colour in (("amplitude", OKABE_ITO[0]), ("width", OKABE_ITO[1])):
        for kind, line in (("single", "-"), ("pair", "--")):
            found = [rows[f"{kind}, {modulation}, {top}"] for top in largest]
            label = f"{kind}, {modulation}"
            right.plot(largest, [row["mean"] for row in found], line, marker="o", ms=3, color=colour, label=label)
    right.set_xscale("log", base=2)
    right.xaxis.set_major_formatter("{x:g}")
    right.set_ylim(0, None)
    label_axes(right, "strongest pulse (of a unit pulse)", "mean pulses a device", None)
    legend(right, loc="upper right")
    return fig


def _ideal(ax, results: dict) -> None:
    ax.axhline(results["learning"]["ideal weights"]["error"], color="0.7", linewidth=0.6, zorder=0)


def _errors(rows: list) -> np.ndarray:
    """Return the errors, nan where one grew without bound."""
    return np.array([row["error"] for row in rows], float)


def _style(name: str) -> dict:
    return {"color": COLOURS[name], "markersize": 3, "linewidth": 1.1, "label": LABELS[name]}
