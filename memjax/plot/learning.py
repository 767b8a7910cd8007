"""Learning: the window of a spike-timing rule, and accuracy against the number of samples seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memjax.plot.style import COLUMN, colour, curves, figure, host, label_axes, legend, names

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def stdp_window(
    dts: Any,
    dw: Any,
    *,
    closed_form: Callable[[np.ndarray], Any] | None = None,
    labels: str | Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the change of weight against spike timing, dt = t_post - t_pre.

    Args:
        dts: timing differences [s], [n].
        dw: changes of weight, [n] or [k, n]; points where there is a closed form, lines where there is none.
        closed_form: the formula, timings [m] -> changes [m] or [k, m], drawn as lines.
        labels: a name for each of the k curves.
        title: above the axes.

    Raises:
        ValueError: shapes that do not fit together.
    """
    dts, dw = host(dts), curves(dw, "dw")
    if dts.shape != dw.shape[1:]:
        raise ValueError(f"dts {dts.shape} and dw {dw.shape} do not fit: expected [n] and [k, n]")
    order = np.argsort(dts)
    dts, dw = dts[order], dw[:, order]
    if closed_form is None:
        at, line = dts, dw
    else:
        at = np.linspace(dts[0], dts[-1], 801)
        line = curves(closed_form(at), "closed_form(dts)")
        if line.shape != (len(dw), at.size):
            raise ValueError(f"closed_form gave {line.shape}; expected {len(dw)} curves of {at.size} timings")
    fig = figure(COLUMN, 2.6)
    ax = fig.add_subplot()
    ax.axhline(0.0, color="0.8", linewidth=0.6, zorder=0)
    ax.axvline(0.0, color="0.8", linewidth=0.6, zorder=0)
    # The window jumps at dt = 0: a line across the jump would show values that the rule does not have.
    for k, label in enumerate(names(labels, len(dw))):
        for side in (at < 0, at > 0):
            named = label if closed_form is None and side[-1] else None
            ax.plot(at[side] * 1e3, line[k, side], color=colour(k), linewidth=1.2, label=named)
        if closed_form is not None:
            simulated = "simulated" if label is None and len(dw) == 1 else label
            ax.plot(dts * 1e3, dw[k], "o", color=colour(k), markersize=3, label=simulated)
    if closed_form is not None:
        ax.plot([], [], color=colour(0) if len(dw) == 1 else "0.4", linewidth=1.2, label="closed form")
    label_axes(ax, r"$t_\mathrm{post} - t_\mathrm{pre}$ (ms)", r"change of weight $\Delta w$", title)
    legend(ax)
    return fig


def learning_curve(
    samples: Any, accuracy: Any, *, target: float | None = None, label: str | None = None, title: str | None = None
) -> Figure:
    """Draw test accuracy against samples seen: every chip thin, their mean, and a band of one standard deviation.

    Args:
        samples: training samples seen at each point, [points].
        accuracy: share of test samples classified correctly, in [0, 1], [chips, points] or [points].
        target: an accuracy to compare with, drawn as a dashed line.
        label: what the mean is the mean of; "mean of n chips" by default.
        title: above the axes.

    Raises:
        ValueError: shapes that do not fit together.
    """
    samples, accuracy = host(samples), 100.0 * curves(accuracy, "accuracy")
    if samples.shape != accuracy.shape[1:]:
        raise ValueError(f"samples {samples.shape} and accuracy {accuracy.shape}: expected [points], [chips, points]")
    chips = len(accuracy)
    mean = accuracy.mean(axis=0)
    fig = figure(COLUMN, 2.6)
    ax = fig.add_subplot()
    if chips > 1:
        spread = accuracy.std(axis=0, ddof=1)
        low, high = mean - spread, mean + spread
        ax.fill_between(samples, low, high, color=colour(0), alpha=0.25, linewidth=0, label="± 1 sd")
        for k in range(chips):
            named = "each chip" if k == 0 else None
            ax.plot(samples, accuracy[k], color=colour(0), alpha=0.5, linewidth=0.5, label=named)
        label = label or f"mean of {chips} chips"
    ax.plot(samples, mean, "o-" if samples.size == 1 else "-", color=colour(0), linewidth=1.6, label=label)
    if target is not None:
        percent = 100.0 * target
        ax.axhline(percent, color=colour(1), linestyle="--", linewidth=1.0, label=f"target {percent:.1f} %")
    label_axes(ax, "training samples", "test accuracy (%)", title)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.locator_params(axis="x", nbins=5)
    legend(ax, loc="lower right")
    return fig
