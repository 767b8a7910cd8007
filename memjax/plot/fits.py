"""A fit at a glance: data and model, what is left between them, and how sure the parameters are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memjax.plot.style import PAGE, SMALL, colour, figure, host, label_axes, legend, si

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_PANELS = 4  # data sets drawn, each with its residuals below
REACH = 100.0  # %: an interval that reaches further is cut, and marked as open


def fit_overview(
    sets: Sequence[tuple[str, Any, Any, Any]],
    parameters: Mapping[str, tuple[float, float, float, str]],
    *,
    x: tuple[str, str] = ("voltage", "V"),
    y: tuple[str, str] = ("current", "A"),
    title: str | None = None,
) -> Figure:
    """Draw overlays, residuals and parameter intervals.

    Args:
        sets: (name, x [T], data [T], model [T]) of each data set; the first four are drawn.
        parameters: name -> (value, low, high, unit); intervals are drawn relative to the value.
        x, y: what the axes are, and their units.
        title: above the figure.

    Raises:
        ValueError: no data set, or lengths that do not fit.
    """
    if not sets:
        raise ValueError("sets is empty: expected at least one (name, x, data, model)")
    shown = [(name, *map(host, columns)) for name, *columns in sets[:MAX_PANELS]]
    for name, *columns in shown:
        if len({c.shape for c in columns}) > 1:
            raise ValueError(f"{name}: x, data and model have shapes {[c.shape for c in columns]}; expected the same")
    count = len(shown)
    fig = figure(PAGE, max(3.6, 1.2 + 0.17 * len(parameters)))
    grid = fig.add_gridspec(2, count + 1, height_ratios=[2.2, 1.0], width_ratios=[*[2.0 / count**0.5] * count, 1.5])
    fx, ux = si(np.concatenate([s[1] for s in shown]), x[1])
    fy, uy = si(np.concatenate([s[2] for s in shown]), y[1])
    for k, (name, at, data, model) in enumerate(shown):
        top, below = fig.add_subplot(grid[0, k]), fig.add_subplot(grid[1, k])
        top.plot(at * fx, data * fy, ".", color="0.45", markersize=2.5, label="data")
        top.plot(at * fx, model * fy, color=colour(0), linewidth=1.2, label="model")
        peak = np.nanmax(np.abs(data))
        below.axhline(0.0, color="0.8", linewidth=0.6)
        below.plot(100 * (model - data) / peak, color=colour(1), linewidth=0.8)
        label_axes(top, f"{x[0]} ({ux})" if ux else x[0], f"{y[0]} ({uy})" if uy and k == 0 else None, name)
        top.title.set_fontsize(SMALL)
        label_axes(below, "sample", "residual (% of peak)" if k == 0 else None)
        if k == 0:
            legend(top)
    _intervals(fig.add_subplot(grid[:, -1]), parameters)
    if title is not None:
        fig.suptitle(title, fontsize=SMALL + 2)
    return fig


def _intervals(ax: Any, parameters: Mapping[str, tuple[float, float, float, str]]) -> None:
    ax.axvline(0.0, color="0.8", linewidth=0.6, zorder=0)
    rows = []
    for k, (name, (value, low, high, unit)) in enumerate(parameters.items()):
        scale = 100 / abs(value) if value else 0.0
        ends = np.clip([(low - value) * scale, (high - value) * scale], -REACH, REACH)
        ax.plot(ends, [k, k], color=colour(0), linewidth=1.5)
        ax.plot(0, k, "o", color=colour(0), markersize=3)
        for end, mark in zip(ends, "<>", strict=True):
            if abs(end) >= REACH:
                ax.plot(end, k, mark, color=colour(1), markersize=4)
        rows.append(f"{name}\n{value:.3g}{' ' + unit if unit not in ('', '1') else ''}")
    ax.set_yticks(range(len(rows)), rows)
    ax.invert_yaxis()
    label_axes(ax, "95 % interval (% of value)")
    ax.tick_params(axis="y", labelsize=SMALL - 1)
