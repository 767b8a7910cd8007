"""The figures of the study, made from its results alone."""

import math
from pathlib import Path

import numpy as np

from memjax import plot
from memjax.plot.style import OKABE_ITO, PAGE, SMALL, TEXT, label_axes, legend, si

COLOURS = {"second_order": OKABE_ITO[0], "modular": OKABE_ITO[1]}
MULTIPLES = {"0.1": (OKABE_ITO[0], "-"), "1": (OKABE_ITO[1], "-"), "10": (OKABE_ITO[2], "-")}


def draw(results: dict, out: Path) -> None:
    """Write all figures into the folder `out`."""
    synapse = results["synapse"]
    for name, make in {
        "paired_pulse": paired_pulse,
        "post_tetanic": post_tetanic,
        "short_to_long": short_to_long,
        "spike_rate": spike_rate,
    }.items():
        curves = {model: protocols[name] for model, protocols in synapse.items()}
        plot.save(make(curves, results["settings"]), out / f"{name}.png", dpi=150)
    plot.save(loops(results["loops"]), out / "loops.png", dpi=110)
    plot.save(areas(results["loops"]), out / "areas.png", dpi=150)


def _panels(curves: dict, height: float = 2.5):
    fig = plot.figure(PAGE, height)
    return fig, zip(fig.subplots(1, len(curves)), curves.items(), strict=True)


def paired_pulse(curves: dict, settings: dict):
    fig, panels = _panels(curves)
    for ax, (model, curve) in panels:
        ax.axhline(1, color="0.7", linewidth=0.6, zorder=0)
        ax.semilogx(1e3 * np.array(curve["interval_s"]), curve["ratio"], color=COLOURS[model])
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_ylim(0.9, 2.05)
        label_axes(ax, "interval between the two pulses (ms)", "second response / first", model)
    return fig


def post_tetanic(curves: dict, settings: dict):
    fig, panels = _panels(curves)
    rate = settings["tetanus"]["rate_Hz"]
    for ax, (model, curve) in panels:
        last = curve["during"][-1]
        ax.axhline(1, color="0.7", linewidth=0.6, zorder=0)
        ax.axhline(last, color="0.4", linestyle=":", label=f"last of {len(curve['during'])} pulses at {rate:g} Hz")
        ax.semilogx(curve["delay_s"], curve["after"], color=COLOURS[model], label="one probe pulse, later")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_ylim(0.9, 3.05)
        label_axes(ax, "time after the tetanus (s)", "response / response before", model)
        legend(ax, loc="upper right")
    return fig


def short_to_long(curves: dict, settings: dict):
    fig, panels = _panels(curves, 2.7)
    for ax, (model, curve) in panels:
        shades = plot.style.colormap("viridis", 0.0, 0.9)(np.linspace(1, 0, len(curve["pulses"])))
        for shade, n, share in zip(shades, curve["pulses"], curve["share"], strict=True):
            ax.semilogx(curve["time_s"], 100 * np.array(share), color=shade, label=f"{n:g}")
        ax.set_ylim(-3, 103)
        label_axes(ax, "time after the train (s)", "share of the gain left (%)", model)
        legend(ax, title="pulses", title_fontsize=SMALL, loc="lower left", ncols=1)
    return fig


def spike_rate(curves: dict, settings: dict):
    fig, panels = _panels(curves)
    for ax, (model, curve) in panels:
        for key, marker, line, label in (
            ("at_once", "o", "-", "just after the train"),
            ("stays", "s", "--", f"{settings['later_s']:g} s later"),
        ):
            percent = 100 * np.array(curve[key])
            ax.semilogx(
                curve["rate_Hz"], percent, line, marker=marker, markersize=3.5, color=COLOURS[model], label=label
            )
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_ylim(-8, 208)
        label_axes(ax, f"rate of {settings['rate_pulses']} pulses (Hz)", "change of conductance (%)", model)
        legend(ax, loc="upper left")
    return fig


def loops(results: list):
    shown = [row for row in results if row["loops"]]
    columns = 4
    fig = plot.figure(PAGE, 1.75 * math.ceil(len(shown) / columns) + 0.35)
    axes = fig.subplots(math.ceil(len(shown) / columns), columns).ravel()
    for ax, row in zip(axes, shown, strict=False):
        for multiple, (colour, line) in MULTIPLES.items():
            i = np.array(row["loops"]["i_A"][multiple])
            ax.plot(row["loops"]["v_V"], i / np.abs(i).max(), line, color=colour, linewidth=1.0)
        factor, unit = si([row["characteristic_Hz"]], "Hz")
        ax.set_title(f"{row['name']}\n{row['characteristic_Hz'] * factor:.3g} {unit}", fontsize=SMALL, linespacing=1.1)
        ax.axhline(0, color="0.8", linewidth=0.5, zorder=0)
        ax.axvline(0, color="0.8", linewidth=0.5, zorder=0)
        ax.set_yticks([-1, 0, 1])
        ax.set_ylim(-1.1, 1.1)
        label_axes(ax)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    handles = [axes[0].lines[k] for k in range(len(MULTIPLES))]
    names = [f"{m} x characteristic frequency" for m in MULTIPLES]
    fig.legend(handles, names, loc="outside upper center", ncols=3, fontsize=TEXT, frameon=False)
    fig.supxlabel("voltage (V)", fontsize=TEXT)
    fig.supylabel("current / its maximum", fontsize=TEXT)
    return fig


def areas(results: list):
    fig = plot.figure(PAGE, 3.2)
    ax = fig.add_subplot()
    shown = [row for row in results if row["loops"]]
    styles = ("-", "--", ":")
    for k, row in enumerate(shown):
        prints = row["fingerprints"]
        ax.loglog(
            prints["multiples"],
            prints["areas"],
            styles[k // 7],
            color=OKABE_ITO[k % 7],
            linewidth=1.0,
            label=row["name"],
        )
    x = np.array([3.0, 1000.0])
    ax.loglog(x, 1.0 / x, color="black", linewidth=0.8)
    ax.text(60, 1.0 / 60 * 1.3, "1 / f", fontsize=SMALL)
    label_axes(ax, "frequency / characteristic frequency", "lobe area / (peak voltage x peak current)")
    legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig
