"""Synapses of an array: maps and histograms of conductance before and after learning, receptive fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memjax.plot.style import COLUMN, PAGE, TEXT, colour, figure, host, label_axes, legend, si, style_colorbar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POLARITIES = ("$g^+$", "$g^-$")


def conductance_maps(before: Any, after: Any, *, unit: str = "S", title: str | None = None) -> Figure:
    """Draw an array before and after learning, with one colour scale for all maps.

    Values of both signs get diverging colours about zero, others run from dark (low) to bright (high).

    Args:
        before: conductances [S], [P, rows, cols], or weights, [rows, cols].
        after: the same after learning.
        unit: "S"; "" for weights without a unit.
        title: above the figure.

    Raises:
        ValueError: shapes that differ or are of another rank.
    """
    before, after = _pair(before, after)
    scale, prefixed = si([before, after], unit)
    data = np.stack([before, after], axis=1) * scale
    limits = _limits(data)
    planes = len(before)
    fig = figure(COLUMN if planes == 1 else PAGE * 0.75, 0.6 + 2.1 * planes)
    axes = fig.subplots(planes, 2, squeeze=False, sharex=True, sharey=True)
    for p in range(planes):
        for when in range(2):
            ax = axes[p, when]
            image = ax.imshow(data[p, when], aspect="auto", interpolation="nearest", **limits)
            label_axes(ax)
            ax.spines[["top", "right"]].set_visible(True)
        axes[p, 0].set_ylabel(f"{POLARITIES[p]}, input" if planes == 2 else "input", fontsize=TEXT)
    for when in range(2):
        axes[0, when].set_title(("before", "after")[when] + " learning", fontsize=TEXT)
        axes[-1, when].set_xlabel("output", fontsize=TEXT)
    bar = fig.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    style_colorbar(bar, _quantity(prefixed))
    if title is not None:
        fig.suptitle(title, fontsize=TEXT)
    return fig


def conductance_histogram(
    before: Any, after: Any, *, unit: str = "S", bins: int = 60, title: str | None = None
) -> Figure:
    """Draw how conductances (or weights) are distributed before and after learning, over the same bins.

    Args:
        before: conductances [S], [P, rows, cols], or weights, [rows, cols].
        after: the same after learning.
        unit: "S"; "" for weights without a unit.
        bins: number of bins.
        title: above the axes.

    Raises:
        ValueError: shapes that differ or are of another rank.
    """
    before, after = _pair(before, after)
    scale, prefixed = si([before, after], unit)
    fig = figure(COLUMN, 2.4)
    ax = fig.add_subplot()
    edges = np.histogram_bin_edges(np.stack([before, after]) * scale, bins)
    for k, (values, label) in enumerate(((before, "before learning"), (after, "after learning"))):
        percent = 100.0 * np.histogram(values * scale, edges)[0] / values.size
        ax.stairs(percent, edges, color=colour(k), fill=k == 0, alpha=0.4 if k == 0 else 1.0, label=label)
    ax.set_yscale("log")  # devices that never move (borders of images) would hide all others on a linear axis
    label_axes(ax, _quantity(prefixed), "devices (%)" if unit else "synapses (%)", title)
    ax.yaxis.set_major_formatter("{x:g}")
    legend(ax)
    return fig


def receptive_fields(w: Any, *, shape: tuple[int, int] = (28, 28), n: int = 64, title: str | None = None) -> Figure:
    """Draw the weights of the first `n` hidden neurons as images of the input, with diverging colours about zero.

    The colours saturate at the 99.5th percentile of |w|, so that a few extreme synapses do not fade the others.

    Args:
        w: weights, [n_inputs, n_hidden].
        shape: rows and columns of the input image.
        n: how many neurons.
        title: above the figure.

    Raises:
        ValueError: w is not a matrix, or `shape` does not hold n_inputs pixels.
    """
    w = host(w)
    if w.ndim != 2 or w.shape[0] != shape[0] * shape[1]:
        pixels = shape[0] * shape[1]
        raise ValueError(f"w {w.shape} does not fit images of {shape[0]} x {shape[1]}: expected [{pixels}, n_hidden]")
    n = min(n, w.shape[1])
    columns = int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    # One image instead of n axes: quick, and the gaps are exact.
    gap = max(1, shape[0] // 14)
    sheet = np.full((rows * (shape[0] + gap) - gap, columns * (shape[1] + gap) - gap), np.nan)
    for k in range(n):
        top, left = (k // columns) * (shape[0] + gap), (k % columns) * (shape[1] + gap)
        sheet[top : top + shape[0], left : left + shape[1]] = w[:, k].reshape(shape)
    limit = np.percentile(np.abs(w[:, :n]), 99.5) or 1.0
    fig = figure(COLUMN, 0.3 + (COLUMN - 0.75) * sheet.shape[0] / sheet.shape[1])
    ax = fig.add_subplot()
    image = ax.imshow(sheet, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set_axis_off()
    ax.set_title(title or f"receptive fields of {n} hidden neurons", fontsize=TEXT)
    style_colorbar(fig.colorbar(image, ax=ax, fraction=0.04, pad=0.02, extend="both"), "weight")
    return fig


def _pair(before: Any, after: Any) -> tuple[np.ndarray, np.ndarray]:
    before, after = host(before), host(after)
    fits = before.ndim == 2 or (before.ndim == 3 and len(before) <= 2)
    if before.shape != after.shape or not fits:
        raise ValueError(f"before {before.shape}, after {after.shape}: expected [1 or 2, rows, cols] or [rows, cols]")
    planes = (-1, *before.shape[-2:])
    return before.reshape(planes), after.reshape(planes)


def _limits(data: np.ndarray) -> dict[str, Any]:
    low, high = np.nanmin(data), np.nanmax(data)
    if low < 0.0:
        bound = max(-low, high)
        return {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound}
    return {"cmap": "viridis", "vmin": low, "vmax": high}


def _quantity(prefixed: str) -> str:
    return f"conductance ({prefixed})" if prefixed else "weight"
