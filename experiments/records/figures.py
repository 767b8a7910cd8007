"""Figures of a data set's study, from its results."""

from pathlib import Path

import numpy as np

from memjax import plot
from memjax.plot import style

SHOWN = 64  # filters


def draw(results: dict, out: Path, filters: dict[str, np.ndarray]) -> None:
    """Draw learning.png, seeds.png and energy.png, and filters.png of filters [size, size, channels, K] by kind."""
    plot.save(learning(results), out / "learning.png")
    plot.save(seeds(results), out / "seeds.png")
    if any("joules" in row for row in results["chips"]):
        plot.save(energy_split(results), out / "energy.png")
    if filters:
        plot.save(filter_images(filters), out / "filters.png")


def learning(results: dict):
    """Online accuracy of every epoch, before learning each sample; and the accuracy after the last one."""
    fig = style.figure(style.COLUMN, 2.6)
    ax = fig.subplots()
    for number, kind in enumerate(results["table"]):
        rows = [row for row in results["chips"] if row["kind"] == kind]
        curve = 100 * np.mean([row["online"] for row in rows], axis=0)
        epochs = np.arange(1, len(curve) + 1)
        ax.plot(epochs, curve, "o-", ms=3, color=style.colour(number), label=f"{kind}, while learning")
        end = 100 * results["table"][kind]["accuracy"]["mean"]
        ax.plot(epochs[-1] + 0.4 + 0.3 * number, end, "*", color=style.colour(number))
    style.label_axes(ax, "epoch", "accuracy (%)", "stars: at the end, on images not seen")
    style.legend(ax)
    return fig


def seeds(results: dict):
    """Accuracy of every chip."""
    fig = style.figure(style.COLUMN, 2.2)
    ax = fig.subplots()
    kinds = list(results["table"])
    for number, kind in enumerate(kinds):
        each = 100 * np.asarray(results["table"][kind]["accuracy"]["each"])
        ax.plot(each, np.full(len(each), number), "o", color=style.colour(number), alpha=0.7)
        ax.plot([each.mean()] * 2, [number - 0.3, number + 0.3], color=style.colour(number))
    ax.set_yticks(range(len(kinds)), kinds)
    ax.set_ylim(-0.6, len(kinds) - 0.4)
    style.label_axes(ax, "accuracy (%), a chip a point, the bar is their mean")
    return fig


def energy_split(results: dict):
    """Where the energy of a sample goes: E_max by part."""
    fig = style.figure(style.PAGE, 2.4)
    kinds = [kind for kind in results["table"] if kind != "ideal"]

    def mean(kind, what, part):
        return np.mean([row["joules"][what][part]["e_max"] for row in results["chips"] if row["kind"] == kind])

    for ax, what in zip(fig.subplots(1, 2), ("inference", "training"), strict=True):
        left = np.zeros(len(kinds))
        for number, part in enumerate(next(row for row in results["chips"] if row["kind"] in kinds)["joules"][what]):
            each = np.array([1e6 * mean(kind, what, part) for kind in kinds])
            # Parts differ by a factor of hundreds: what a bar cannot show is in the legend.
            label = f"{part}: {', '.join(f'{value:.2g}' for value in each)}"
            ax.barh(range(len(kinds)), each, left=left, color=style.colour(number), label=label)
            left += each
        ax.set_yticks(range(len(kinds)), kinds)
        ax.set_ylim(-0.6, len(kinds) + 1.4)  # room for the legend
        style.label_axes(ax, "E_max a sample (µJ)", title=f"{what}: {', '.join(kinds)}")
        style.legend(ax)
    return fig


def filter_images(filters: dict[str, np.ndarray]):
    """The weights of the first filters of one chip of every kind, as its array holds them; each at its own scale."""
    fig = style.figure(style.PAGE, 2.6)
    for ax, (kind, w) in zip(np.atleast_1d(fig.subplots(1, len(filters))), filters.items(), strict=True):
        size, _, channels, number = w.shape
        side = int(np.ceil(min(number, SHOWN) ** 0.5))
        sheet = np.full((side * (size + 1), side * (size + 1), channels), 0.5)
        for k in range(min(number, SHOWN)):
            r, c = divmod(k, side)
            one = w[..., k] / (2 * np.abs(w[..., k]).max() + 1e-9) + 0.5
            sheet[r * (size + 1) :, c * (size + 1) :][:size, :size] = one
        ax.imshow(sheet if channels == 3 else sheet[..., 0], cmap="gray", vmin=0, vmax=1)
        ax.set_axis_off()
        style.label_axes(ax, title=f"{kind}, each at its own scale")
    return fig
