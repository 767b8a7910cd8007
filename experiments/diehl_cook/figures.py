"""The figures of the study and its table, made from the results of its runs."""

from pathlib import Path

import learning
import numpy as np
import synapses

from memjax import plot
from memjax.plot.style import COLUMN, OKABE_ITO, PAGE, SMALL, TEXT, label_axes, legend, style_colorbar

COLOURS = {"ideal": OKABE_ITO[0], "noisy": OKABE_ITO[1]}
SWEPT = {
    "levels": "levels",
    "nonlinearity": "nonlinearity",
    "c2c": "C2C noise, of a step",
    "d2d": "D2D spread of the steps",
    "stuck": "share stuck",
    "read": "read noise, of the range",
}
PASS = 60_000


def groups(results: dict) -> dict[tuple[int, str, int], list[dict]]:
    """Gather the seeds of each (neurons, devices, images) of the runs that nothing else was changed in."""
    found = {}
    for run in results.values():
        if not run["set"] and not run["held_out"]:
            found.setdefault((run["neurons"], run["devices"], run["images"]), []).append(run)
    return dict(sorted(found.items()))


def draw(results: dict, runs: Path, out: Path) -> None:
    """Write the figures whose results are there into the folder `out`."""
    kept = {kind: runs / f"{kind}-100-0" / "weights.npy" for kind in COLOURS}
    if all(path.exists() for path in kept.values()):
        fields = {kind: np.load(path) / 255 for kind, path in kept.items()}
        plot.save(receptive_fields(fields), out / "receptive_fields.png", dpi=150)
    if groups(results):
        plot.save(curves(results), out / "learning.png", dpi=150)
    if sweeps(results):
        plot.save(devices(results), out / "devices.png", dpi=150)


def receptive_fields(fields: dict[str, np.ndarray]):
    """Draw the weights onto each of 100 neurons [100, 784] as images, for each kind of devices."""
    fig = plot.figure(PAGE, 3.6)
    axes = fig.subplots(1, len(fields))
    for ax, (kind, w) in zip(axes, fields.items(), strict=True):
        tiles = np.pad(w.reshape(10, 10, 28, 28), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=np.nan)
        image = ax.imshow(tiles.transpose(0, 2, 1, 3).reshape(300, 300), cmap="magma_r", vmin=0, vmax=1)
        ax.set_axis_off()
        ax.set_title(f"{kind} devices", fontsize=TEXT)
    style_colorbar(fig.colorbar(image, ax=axes, shrink=0.8), "weight, with the neuron's gain", SMALL)
    return fig


def curves(results: dict):
    """Draw the accuracy while learning, and that of the test set at its end, mean and range of the seeds."""
    fig = plot.figure(COLUMN * 1.3, 2.8)
    ax = fig.subplots()
    for (neurons, kind, images), seeds in groups(results).items():
        if images != PASS:
            continue
        seen = learning.WINDOW * (np.arange(len(seeds[0]["curve"])) + 1.5) / 1000
        all_ = 100 * np.array([run["curve"] for run in seeds])
        line = "-" if neurons == 100 else "--"
        ax.plot(seen, all_.mean(axis=0), line, color=COLOURS[kind], linewidth=1.1, label=f"{neurons} neurons, {kind}")
        ax.fill_between(seen, all_.min(axis=0), all_.max(axis=0), color=COLOURS[kind], alpha=0.2, linewidth=0)
        tested = 100 * np.array([run["accuracy"] for run in seeds])
        marker = "o" if neurons == 100 else "s"
        ax.plot(images / 1000 + 1.5, tested.mean(), marker, color=COLOURS[kind], markersize=4, clip_on=False)
    ax.set_ylim(50, 95)
    label_axes(ax, "images seen (thousands)", "accuracy (%)", "while learning; markers: test set")
    legend(ax, loc="lower right")
    return fig


def sweeps(results: dict) -> dict[str, list[tuple[float, dict]]]:
    """Gather the runs of noisy devices in which one property was changed, by property."""
    found = {}
    for run in results.values():
        if run["devices"] == "noisy" and len(run["set"]) == 1 and not run["held_out"]:
            name, _, value = run["set"][0].partition("=")
            if name in synapses.Made._fields:
                found.setdefault(name, []).append((float(value), run))
    for name, rows in found.items():
        nominal = float(getattr(synapses.NOISY, name))
        rows += [(nominal, run) for run in groups(results).get((100, "noisy", rows[0][1]["images"]), [])[:1]]
    return {name: sorted(rows, key=lambda row: row[0]) for name, rows in found.items()}


def devices(results: dict):
    """Draw the accuracy over one property of the devices at a time."""
    found = sweeps(results)
    names = [name for name in SWEPT if name in found]
    fig = plot.figure(PAGE, 3.6)
    axes = fig.subplots(2, 3, sharey=True).ravel()
    for ax, name in zip(axes, names, strict=False):
        values, runs = zip(*found[name], strict=True)
        same = [run for run in runs if run["images"] == runs[0]["images"]]
        ax.plot(
            values, [100 * run["accuracy"] for run in same], "o-", color=COLOURS["noisy"], markersize=3, linewidth=1.1
        )
        if name == "levels":
            ax.set_xscale("log", base=2)
            ax.xaxis.set_major_formatter("{x:g}")
        label_axes(ax, SWEPT[name], "accuracy (%)" if ax in (axes[0], axes[3]) else None)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    return fig


def table(results: dict) -> str:
    """Return the runs' accuracies as lines of text, mean and sd of the seeds."""
    lines = []
    for (neurons, kind, images), seeds in groups(results).items():
        a, own = (
            100 * np.array([run["accuracy"] for run in seeds]),
            np.array([run["seconds"]["training"] for run in seeds]),
        )
        lines.append(
            f"{neurons} neurons, {kind}, {images} images, {len(a)} seeds: {a.mean():.2f} +- {a.std():.2f} %"
            f" ({', '.join(f'{x:.2f}' for x in a)}), {own.mean() / 60:.1f} min of CPU"
        )
    for name, rows in sweeps(results).items():
        lines.append(f"{name}: " + ", ".join(f"{value:g}: {100 * run['accuracy']:.2f} %" for value, run in rows))
    other = {name: run for name, run in results.items() if run["held_out"] or run["devices"] == "ideal" and run["set"]}
    lines += [f"{name}: {100 * run['accuracy']:.2f} % ({run['images']} images)" for name, run in other.items()]
    return "\n".join(lines)
