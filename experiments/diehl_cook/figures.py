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


def groups(results: dict, changed: tuple[str, ...] = ()) -> dict[tuple[int, str, int], list[dict]]:
    """Gather the seeds of each (neurons, devices, images) of the runs with these changes and no others."""
    found = {}
    for run in results.values():
        if tuple(run["set"]) == changed and not run["held_out"]:
            found.setdefault((run["neurons"], run["devices"], run["images"]), []).append(run)
    return dict(sorted(found.items()))


def draw(results: dict, runs: Path, out: Path) -> None:
    """Write the figures whose results are there into the folder `out`."""
    kept = {kind: runs / f"{kind}-100-0" / "weights.npy" for kind in COLOURS}
    if all(path.exists() for path in kept.values()):
        fields = {kind: np.load(path) / 255 for kind, path in kept.items()}
        plot.save(receptive_fields(fields), out / "receptive_fields.png", dpi=100)
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
    """Draw the accuracy while learning, mean and range of the seeds, and that of the test set after one pass."""
    fig = plot.figure(COLUMN * 1.5, 3.0)
    ax = fig.subplots()
    for changed, note, line in (((), "", "-"), (("w_inh=100",), ", inhibition 100", ":")):
        for neurons, kind in sorted({key[:2] for key in groups(results, changed)}):
            kept = groups(results, changed).items()
            runs = [run for key, seeds in kept if key[:2] == (neurons, kind) and key[2] > PASS / 2 for run in seeds]
            if not runs:
                continue
            n = min(len(run["curve"]) for run in runs)
            all_ = 100 * np.array([run["curve"][:n] for run in runs])
            seen = learning.WINDOW * (np.arange(n) + 1.5) / 1000
            style = {"color": COLOURS[kind], "linestyle": line if neurons == 100 else "--", "linewidth": 1.1}
            ax.plot(seen, all_.mean(axis=0), label=f"{neurons} neurons, {kind}{note}", **style)
            ax.fill_between(seen, all_.min(axis=0), all_.max(axis=0), color=COLOURS[kind], alpha=0.15, linewidth=0)
            tested = [
                100 * run["accuracy"] for run in runs if run["images"] == PASS and run["accuracy"] and not changed
            ]
            ax.plot([PASS / 1000 + 1.5] * len(tested), tested, "o", color=COLOURS[kind], markersize=3, clip_on=False)
    ax.set_ylim(50, 90)
    label_axes(ax, "images seen (thousands)", "accuracy (%)", "while learning; dots: test set after one pass")
    legend(ax, loc="lower right")
    return fig


def sweeps(results: dict) -> dict[str, list[tuple[float, dict]]]:
    """Gather the short runs in which one property of the noisy devices was changed, each with its nominal run."""
    short = {}
    for run in results.values():
        if run["devices"] == "noisy" and run["images"] < PASS / 2 and not run["held_out"]:
            own = [text for text in run["set"] if text.partition("=")[0] in synapses.Made._fields]
            rest = tuple(text for text in run["set"] if text not in own)
            short.setdefault((run["images"], rest), []).append((own, run))
    found = {}
    for runs in short.values():
        nominal = [run for own, run in runs if not own]
        for own, run in runs:
            if len(own) == 1:
                name, _, value = own[0].partition("=")
                rows = found.setdefault(name, {})
                rows |= {float(getattr(synapses.NOISY, name)): same for same in nominal} | {float(value): run}
    return {name: sorted(rows.items(), key=lambda row: row[0]) for name, rows in found.items()}


def devices(results: dict):
    """Draw the accuracy over one property of the devices at a time."""
    found = sweeps(results)
    names = [name for name in SWEPT if name in found]
    rows = -(-len(names) // 3)
    columns = -(-len(names) // rows)
    fig = plot.figure(PAGE * min(columns, 3) / 3, 1.9 * rows)
    axes = fig.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for ax, name in zip(axes, names, strict=False):
        values, runs = zip(*found[name], strict=True)
        same = [run for run in runs if run["images"] == runs[0]["images"]]
        ax.plot(
            values, [100 * run["accuracy"] for run in same], "o-", color=COLOURS["noisy"], markersize=3, linewidth=1.1
        )
        if name == "levels":
            ax.set_xscale("log", base=2)
            ax.xaxis.set_major_formatter("{x:g}")
        label_axes(ax, SWEPT[name], "accuracy (%)" if ax in axes[::columns] else None)
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
    known = {name: run for name, run in other.items() if run["accuracy"]}  # none where a run was cut off
    lines += [f"{name}: {100 * run['accuracy']:.2f} % ({run['images']} images)" for name, run in known.items()]
    return "\n".join(lines)
