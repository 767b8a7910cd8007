"""The figures of the study, made from its results alone."""

from pathlib import Path

import numpy as np

from memjax import plot
from memjax.plot.style import OKABE_ITO, PAGE, SMALL, label_axes, legend

BLUE, ORANGE, GREEN, RED = OKABE_ITO[:4]


def draw(results: dict, out: Path) -> None:
    """Write the figures of all parts that have results into the folder `out`."""
    for part, figures in {
        "rules": (windows, pairs_at_rates, rates),
        "emerging": (emerging_windows, emerging_rates),
        "distal_reward": (distal_reward,),
        "xor": (xor,),
    }.items():
        if results.get(part):
            for make in figures:
                plot.save(make(results[part]), out / f"{make.__name__}.png", dpi=150)


def _zero(ax) -> None:
    ax.axhline(0, color="0.7", linewidth=0.6, zorder=0)


def windows(results: dict):
    """Pair STDP: the window, soft bounds, pairing schemes."""
    fig = plot.figure(PAGE, 2.5)
    one, two, three = fig.subplots(1, 3)
    curve = results["windows"]
    time, change = 1e3 * np.array(curve["time_s"]), np.array(curve["pair_percent"])
    for side in (time < 0, time > 0):
        one.plot(time[side], change[side], color=BLUE)
    one.axvline(0, color="0.7", linewidth=0.6, zorder=0)
    _zero(one)
    label_axes(one, "t_post - t_pre (ms)", "change by a pair (%)", "window, hippocampal fit")
    weight = np.array(curve["weight"])
    for (name, both), colour, line in zip(
        curve["bounds"].items(), (BLUE, ORANGE, GREEN), ("-", "--", ":"), strict=True
    ):
        two.plot(weight, 100 * np.array(both["up"]), line, color=colour, label=name)
        two.plot(weight, 100 * np.array(both["down"]), line, color=colour)
    _zero(two)
    two.set_ylim(-1.15, 1.75)
    label_axes(two, "weight", "change by a pair at 1 ms (%)", "soft bounds")
    legend(two, loc="upper right")
    schemes, rate = results["schemes"], np.array(results["schemes"]["rate_Hz"])
    names = {"stdp": "all-to-all", "stdp_nearest": "nearest, symmetric"}
    names |= {"stdp_pre_centred": "presynaptic-centred", "stdp_reduced": "reduced symmetric"}
    three.plot(rate, 1e3 * np.array(schemes["all_to_all_theory_per_s"]), color="0.5", linewidth=0.8)
    for (name, label), marker, colour in zip(names.items(), "os^D", OKABE_ITO, strict=False):
        drift = 1e3 * np.array(schemes["drift_per_s"][name])
        three.plot(rate, drift, marker=marker, markersize=3, linestyle=":", linewidth=0.8, color=colour, label=label)
    _zero(three)
    label_axes(three, "rate of both sides (Hz)", "drift (1e-3 / s)", "pairing schemes, Poisson spikes")
    legend(three, loc="lower left")
    return fig


def pairs_at_rates(results: dict):
    """Visual cortex: triplet sets, pair STDP's best fit and the voltage rule over the measured points."""
    found, late = results["pairs_at_rates"], results["voltage_pairs"]
    fig = plot.figure(PAGE, 3.1)
    axes = fig.subplots(1, 3, sharey=True)
    rate = np.array(found["rate_Hz"])
    names = {"visual_full": "triplet, full", "visual_minimal": "triplet, minimal", "pair": "pair, best fit"}
    styles = (("-", BLUE), ("--", GREEN), (":", ORANGE))
    for ax, suffix in zip(axes, ("", "_nearest"), strict=False):
        for (name, label), style in zip(names.items(), styles, strict=True):
            model = found["models"][name + suffix]
            _branches(ax, rate, model["change"], *style, f"{label}: E = {model['error']:.3g}")
    _branches(axes[2], rate, late["change"], "-", RED, f"voltage rule: E = {late['error']:.3g}")
    for ax, title in zip(axes, ("all-to-all", "nearest spike", "voltage, with a neuron"), strict=True):
        for data, sem, marker, label in zip(found["data"], found["sem"], "os", ("+10 ms", "-10 ms"), strict=True):
            face = "black" if marker == "o" else "white"
            ax.errorbar(
                rate, 100 * np.array(data), 100 * np.array(sem), fmt=marker, color="black", markersize=3.5,
                linewidth=0.8, capsize=1.5, markerfacecolor=face, label=f"measured, {label}",
            )  # fmt: skip
        _zero(ax)
        ax.set_ylim(-65, 165)
        label_axes(ax, "rate of the pairs (Hz)", "change of weight (%)" if ax is axes[0] else None, title)
        legend(ax, loc="upper left")
    return fig


def _branches(ax, rate, change, line, colour, label) -> None:
    for k, branch in enumerate(change):
        ax.plot(rate, 100 * np.array(branch), line, color=colour, label=None if k else label)


def rates(results: dict):
    """Mean-field curves with simulated points: triplet, BCM, SRDP, voltage."""
    found = results["rates"]
    fig = plot.figure(PAGE, 4.6)
    (one, two), (three, four) = fig.subplots(2, 2)
    t = found["triplet"]
    one.plot(t["post_Hz"], 1e3 * np.array(t["drift_per_s"]), color=BLUE, label="triplet, minimal: theory")
    one.plot(
        t["simulated_Hz"], 1e3 * np.array(t["simulated_per_s"]), "o", markersize=3.5, color=BLUE, label="Poisson spikes"
    )
    one.plot(t["post_Hz"], 1e3 * np.array(t["pair_per_s"]), "--", color=ORANGE, label="pair STDP")
    one.axvline(t["threshold_Hz"], color="0.6", linestyle=":", linewidth=0.8)
    one.text(t["threshold_Hz"] + 0.6, 45, f"{t['threshold_Hz']:.2f} Hz", fontsize=SMALL)
    _zero(one)
    label_axes(one, "post rate (Hz), pre 10 Hz", "drift (1e-3 / s)", "triplet STDP is a BCM rule")
    legend(one, loc="upper left")
    b = found["bcm"]
    for (theta, curve), colour in zip(b["held"].items(), (GREEN, BLUE, ORANGE), strict=True):
        two.plot(b["y"], curve, color=colour, label=f"threshold {theta}")
    two.plot(b["y"], b["settled"], "--", color="black", label="threshold settled")
    _zero(two)
    two.set_ylim(-1.0, 1.6)
    label_axes(two, "output y / y_0", "change / (eta x)", "BCM: the threshold slides")
    legend(two, loc="upper left")
    s = found["srdp"]
    for (n, curve), colour in zip(s["pulses"].items(), (GREEN, ORANGE, BLUE), strict=True):
        three.semilogx(s["rate_Hz"], curve["closed_form"], color=colour, label=f"{n} spikes")
        three.semilogx(s["simulated_Hz"], curve["simulated"], "o", markersize=3.5, color=colour)
    three.xaxis.set_major_formatter("{x:g}")
    _zero(three)
    label_axes(three, "rate of the train (Hz)", "change of weight", "SRDP: closed form and simulation")
    legend(three, loc="upper left")
    v = found["voltage"]
    four.plot(1e3 * np.array(v["u_V"]), 1e3 * np.array(v["drift_per_s"]), color=BLUE, label="theory")
    four.plot(
        1e3 * np.array(v["simulated_V"]), 1e3 * np.array(v["simulated_per_s"]), "o", markersize=3.5, color=BLUE,
        label="simulated",
    )  # fmt: skip
    for theta in (-70.6, -45.3):
        four.axvline(theta, color="0.6", linestyle=":", linewidth=0.8)
    _zero(four)
    label_axes(four, "clamped potential (mV), pre 25 Hz", "drift (1e-3 / s)", "voltage rule")
    legend(four, loc="upper left")
    return fig


def emerging_windows(results: dict):
    """Waveforms, the window of an ODE device for each, and the spread over 1,000 devices."""
    fig = plot.figure(PAGE, 4.6)
    (one, two), (three, four) = fig.subplots(2, 2)
    styles = dict(zip(results["waves"], zip(OKABE_ITO, ("-", "--", "-.", ":"), strict=False), strict=False))
    dts = 1e3 * np.array(results["dt_s"])
    for name, (colour, line) in styles.items():
        one.plot(1e3 * np.array(results["time_s"]), results["waves"][name], line, color=colour, label=name)
        two.plot(dts, results["wox"][name], line, color=colour, label=name)
    _zero(one)
    _zero(two)
    label_axes(one, "time (ms)", "spike / its height", "waveforms")
    legend(one, loc="upper right")
    label_axes(two, "t_post - t_pre (ms)", "change of conductance (%)", "wox, spikes of 0.9 V")
    for ax, (name, band), colour in zip((three, four), results["spread"].items(), (BLUE, GREEN), strict=True):
        ax.fill_between(dts, band["p5"], band["p95"], color=colour, alpha=0.25, linewidth=0, label="5 to 95 % of 1,000")
        ax.plot(dts, band["median"], color=colour, label="median")
        ax.plot(dts, band["one"], ".", color="black", markersize=2.5, label="one device")
        _zero(ax)
        label_axes(ax, "t_post - t_pre (ms)", "change of conductance (%)", f"{name}, triangular spikes")
        legend(ax, loc="upper left")
    return fig


def emerging_rates(results: dict):
    """Rate curves of two devices under trains of pulses."""
    found, fig = results["rates"], plot.figure(PAGE, 2.6)
    for ax, name in zip(fig.subplots(1, 2), ("volatile", "second_order"), strict=True):
        rest = found[name]["rest_s"]
        for n, colour, marker in zip((10, 30, 100), (GREEN, ORANGE, BLUE), "^so", strict=True):
            curve = found[name][str(n)]
            ax.semilogx(found["rate_Hz"], curve, marker=marker, markersize=3.5, color=colour, label=f"{n} pulses")
        _zero(ax)
        ax.xaxis.set_major_formatter("{x:g}")
        read = f"read {rest:g} s later" if rest else "read one interval later"
        label_axes(ax, "rate of the pulses (Hz)", "change of conductance (%)", f"{name}, {read}")
        legend(ax, loc="upper left")
    return fig


def distal_reward(results: dict):
    """The chosen synapse over time, for all seeds, and the weights at the end."""
    fig = plot.figure(PAGE, 2.7)
    one, two = fig.subplots(1, 2, width_ratios=(1.7, 1))
    for kind, colour, label in (("random", "0.6", "rewards at random times"), ("rewarded", BLUE, "rewarded")):
        for k, row in enumerate(results["seeds"]):
            chosen = np.array(row[kind]["chosen_mV"])
            time = results["seconds"] / len(chosen) * np.arange(1, len(chosen) + 1)
            one.plot(time / 60, chosen, color=colour, linewidth=0.8, label=None if k else label)
    one.axhline(0.95 * results["s_max_mV"], color="black", linestyle=":", linewidth=0.8)
    beside = {"transform": one.get_yaxis_transform(), "fontsize": SMALL, "va": "center"}
    one.text(1.01, 0.95 * results["s_max_mV"], ".95 s_max", **beside)
    label_axes(one, "time (min)", "weight of the chosen synapse (mV)", "")
    one.set_ylim(-0.1, 4.9)
    legend(one, loc="upper right", ncols=2)
    edges = np.linspace(0, results["s_max_mV"], 41)
    counts = np.mean([row["rewarded"]["histogram"] for row in results["seeds"]], axis=0)
    two.stairs(np.maximum(counts, 0.5), edges, color="0.4", label="all synapses")
    for k, row in enumerate(results["seeds"]):
        two.axvline(
            row["rewarded"]["final_mV"], 0, 0.12, color=BLUE, linewidth=1.2, label=None if k else "the chosen one"
        )
    two.set_yscale("log")
    label_axes(two, "weight after an hour (mV)", "synapses a bin", "")
    legend(two, loc="upper right")
    return fig


def xor(results: dict):
    """Rates of the output while learning, mean over seeds, and after, for each seed."""
    fig = plot.figure(PAGE, 2.7)
    axes = fig.subplots(1, 3, width_ratios=(1, 1, 0.8))
    colours = dict(zip(results["patterns"], (OKABE_ITO[7 % len(OKABE_ITO)], BLUE, GREEN, ORANGE), strict=True))
    for ax, (name, found) in zip(axes, results["rules"].items(), strict=False):
        curves = np.array(found["learning_Hz"]).T
        for pattern, curve in zip(results["patterns"], curves, strict=True):
            ax.plot(np.arange(1, len(curve) + 1), curve, color=colours[pattern], linewidth=0.8, label=pattern)
        ax.set_ylim(-5, 260)
        label_axes(ax, "presentations of each pattern", "output rate (Hz)", f"{name}, mean over seeds")
        legend(ax, loc="upper right", ncols=2)
    for k, (_name, found) in enumerate(results["rules"].items()):
        rates = np.array(found["rates_Hz"])
        for p, pattern in enumerate(results["patterns"]):
            x = p + 5 * k + np.linspace(-0.25, 0.25, len(rates))
            axes[2].plot(x, rates[:, p], ".", markersize=4, color=colours[pattern])
    axes[2].set_xticks([0, 1, 2, 3, 5, 6, 7, 8], [*results["patterns"]] * 2, rotation=90, fontsize=SMALL)
    axes[2].set_ylim(-5, 260)
    label_axes(axes[2], "mstdp               mstdpet", "output rate (Hz)", "after learning, each seed")
    return fig
