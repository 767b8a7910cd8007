"""Many chips: how a metric is distributed, its yield, what its variance is made of, and what non-idealities cost it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from memjax.plot.style import COLUMN, PAGE, SMALL, colour, figure, host, label_axes, legend, names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from memjax.statistics import Indices


def chip_distribution(
    y: Any,
    label: str,
    *,
    threshold: float | None = None,
    direction: str = "above",
    bins: int | str = "auto",
    title: str | None = None,
) -> Figure:
    """Draw the distribution of a metric over chips: its histogram, and below it the share of chips up to each value.

    The lower panel has the quartiles (box), the mean (point) and the worst chip, which is named by its index.

    Args:
        y: the metric, [chips], in the unit that `label` names; chips without a finite one are counted in the title.
        label: of the axis, with the unit.
        threshold: drawn as a dashed line, with the share of chips that meet it.
        direction: the side of the threshold where the good chips are, "above" or "below".
        bins: of the histogram, a number or a rule of numpy's.
        title: above the axes.

    Raises:
        ValueError: another rank, an unknown direction, or no chip with a finite metric.
    """
    from memjax.statistics import summarise, yield_interval  # loads JAX and scipy.stats

    found = summarise(y, direction=direction)
    y = host(y)
    good = np.sort(y[np.isfinite(y)])
    fig = figure(COLUMN, 3.2)
    top, low = fig.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    top.hist(good, bins=bins, color=colour(0), alpha=0.7, linewidth=0)
    top.margins(y=0.12)
    # A step up of 1 / n at each chip: no bins, and so no choice that hides a tail.
    low.ecdf(good, color=colour(0), linewidth=1.2)
    q1, median, q3 = (found.quantiles[q] for q in (0.25, 0.5, 0.75))
    low.fill_betweenx([0.25, 0.75], q1, q3, color=colour(0), alpha=0.2, linewidth=0, label="quartiles")
    low.plot([median, median], [0.25, 0.75], color=colour(0), linewidth=0.8)
    low.plot(found.mean, np.mean(good <= found.mean), "o", color=colour(2), markersize=4, label="mean")
    edge = 0.0 if direction == "above" else 1.0
    low.plot(
        found.worst, edge, "v", color=colour(1), markersize=5, clip_on=False, label=f"worst: chip {found.worst_chip}"
    )
    if threshold is not None:
        share = yield_interval(y, threshold, direction=direction)
        sign = "≥" if direction == "above" else "≤"
        text = f"{100 * share.estimate:.1f} % {sign} {threshold:.4g}"
        for ax, named in ((top, text), (low, None)):
            ax.axvline(threshold, color="black", linestyle="--", linewidth=0.9, label=named)
    apart = f", {found.undefined} without a value" if found.undefined else ""
    counted = f"{found.n} chips{apart}"
    label_axes(top, None, "chips", f"{title}: {counted}" if title else counted)
    label_axes(low, label, "share of chips")
    low.set_ylim(0.0, 1.0)
    legend(top)
    legend(low)
    return fig


def yield_curve(
    y: Any,
    label: str,
    *,
    direction: str = "above",
    confidence: float = 0.95,
    at: float | None = None,
    labels: str | Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw yield against its threshold, with Wilson's interval at each threshold as a band.

    Args:
        y: the metric of each chip, [chips] or [k, chips] for k curves, in the unit that `label` names.
        label: of the threshold's axis, with the unit.
        direction: chips pass "above" or "below" the threshold.
        confidence: of the interval at one threshold (not of the whole curve at once).
        at: a threshold to mark, with the yield there.
        labels: a name for each curve.
        title: above the axes.

    Raises:
        ValueError: shapes, labels or a direction that do not fit; no finite metric.
    """
    from memjax.statistics import yield_interval  # loads JAX and scipy.stats

    y = np.atleast_2d(host(y))
    finite = y[np.isfinite(y)]
    if y.ndim != 2 or not finite.size:
        raise ValueError(
            f"yield_curve: y {y.shape} with {finite.size} finite values: accepted is [chips] or [k, chips]"
        )
    ends = np.array([finite.min(), finite.max()])
    margin = 0.04 * np.ptp(ends) or max(abs(ends[0]), 1.0) * 0.04
    thresholds = np.linspace(ends[0] - margin, ends[1] + margin, 301)
    fig = figure(COLUMN, 2.6)
    ax = fig.add_subplot()
    for k, name in enumerate(names(labels, len(y))):
        found = [yield_interval(y[k], each, direction=direction, confidence=confidence) for each in thresholds]
        estimate, low, high = 100.0 * np.array([(each.estimate, each.low, each.high) for each in found]).T
        band = f"{100 * confidence:g} % interval" if k == 0 else None
        if at is not None:
            here = yield_interval(y[k], at, direction=direction, confidence=confidence)
            text = f"{100 * here.estimate:.1f} % ({100 * here.low:.1f} to {100 * here.high:.1f})"
            name = f"{name}: {text}" if name else f"{text} at {at:.4g}"
        ax.fill_between(thresholds, low, high, color=colour(k), alpha=0.25, linewidth=0, label=band)
        ax.plot(thresholds, estimate, color=colour(k), linewidth=1.4, label=name)
    if at is not None:
        ax.axvline(at, color="black", linestyle="--", linewidth=0.9)
    label_axes(ax, label, "yield (%)", title)
    ax.set_ylim(-2.0, 102.0)
    # The curve leaves one lower corner free.
    legend(ax, loc="lower left" if direction == "above" else "lower right")
    return fig


def sobol_bars(
    indices: Indices, *, kind: Literal["both", "first", "total"] = "both", title: str | None = None
) -> Figure:
    """Draw first-order and total Sobol indices with their intervals, a pair of bars a group, in the order given.

    Args:
        indices: what `statistics.sobol_indices` returned.
        kind: draw one of the two alone.
        title: above the axes.

    Raises:
        ValueError: a kind that is none, or indices of a metric without variance.
    """
    shown = {
        "first": ("first-order: alone", indices.first, indices.first_low, indices.first_high),
        "total": ("total: with interactions", indices.total, indices.total_low, indices.total_high),
    }
    if kind not in ("both", *shown):
        raise ValueError(f"sobol_bars: kind = {kind!r}: accepted is one of both, {', '.join(shown)}")
    bars = list(shown.values()) if kind == "both" else [shown[kind]]
    if not all(np.isfinite(values).all() for _, values, *_ in bars):
        raise ValueError("sobol_bars: the metric has no variance, so that its indices are not defined")
    height = 0.8 / len(bars)
    at = np.arange(len(indices.names))
    fig = figure(COLUMN, 1.0 + 0.42 * len(at))
    ax = fig.add_subplot()
    for k, (label, values, low, high) in enumerate(bars):
        y = at + (k - 0.5 * (len(bars) - 1)) * height
        colour_of = colour(0 if label.startswith("first") else 4)
        ax.barh(y, 100.0 * values, height=0.92 * height, color=colour_of, label=label)
        # From end to end, not value +- error: a percentile interval need not surround a biased estimate evenly.
        ax.hlines(y, 100.0 * low, 100.0 * high, color="0.25", linewidth=1.0)
        for end in (low, high):
            ax.plot(100.0 * end, y, "|", color="0.25", markersize=4)
    ax.axvline(0.0, color="0.6", linewidth=0.6)
    ax.set_yticks(at, labels=indices.names)
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    label_axes(ax, f"share of the variance (%), whiskers: {100 * indices.confidence:g} % interval", None, title)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return fig


def ablation_bars(
    lost: Mapping[str, Any],
    recovered: Mapping[str, Any],
    whole: Any,
    metric: str = "accuracy",
    *,
    title: str | None = None,
) -> Figure:
    """Draw what each non-ideality costs: a bar for it alone, one for what leaving it out of all brings back.

    Bars are means over the chips, lines reach from the 5 % to the 95 % quantile of the chips, dots are chips.

    Args:
        lost: name -> metric with none less metric with it alone, chip by chip, [chips]; shares, shown in points (%).
        recovered: name -> metric without it less metric with all, [chips].
        whole: metric with none less metric with all, [chips].
        metric: what it is, for the axis.
        title: above the axes.

    Raises:
        ValueError: names that differ, or a row without a finite value.
    """
    if list(lost) != list(recovered):
        raise ValueError(f"ablation_bars: lost names {', '.join(lost)} and recovered {', '.join(recovered)}")
    rows = {"lost by it alone": [*lost.values(), whole], "recovered without it": list(recovered.values())}
    at = np.arange(len(lost) + 1)
    fig = figure(COLUMN, 1.1 + 0.42 * len(at))
    ax = fig.add_subplot()
    for k, (label, bars) in enumerate(rows.items()):
        for i, each in enumerate(bars):
            points = 100.0 * host(each)
            points = points[np.isfinite(points)]
            if not points.size:
                raise ValueError(f"ablation_bars: no chip of {[*lost, 'all'][i]} ({label}) has a finite value")
            y = at[i] + (0.0 if i == len(lost) else 0.4 * k - 0.2)
            ax.barh(y, points.mean(), height=0.37, color=colour(4 * k), alpha=0.75, label=label if i == 0 else None)
            ax.hlines(y, *np.quantile(points, [0.05, 0.95]), color="0.5", linewidth=0.8)
            # Of thousands of chips some are enough to see, at even places of their order.
            some = np.sort(points)[np.unique(np.linspace(0, points.size - 1, 100).astype(int))]
            ax.plot(some, np.full(some.size, y), ".", color="0.1", markersize=2.5, markeredgewidth=0)
    ax.axvline(0.0, color="0.6", linewidth=0.6)
    ax.set_yticks(at, labels=[*lost, "all"])
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    label_axes(ax, f"{metric} (points); lines: 5 to 95 % of the chips", None, title)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return fig


def remedy_map(means: Mapping[str, Any], labels: Sequence[str], metric: str = "accuracy") -> Figure:
    """Draw the mean metric with every remedy (rows) in every setting (columns), each number in its cell.

    means: remedy -> shares [settings], shown in percent. Raises ValueError for rows of another length than labels.
    """
    z = 100.0 * np.stack([host(row) for row in means.values()])
    if z.shape[1] != len(labels):
        raise ValueError(f"remedy_map: rows of {z.shape[1]} settings for {len(labels)} labels")
    fig = figure(PAGE, 1.5 + 0.3 * len(z))
    ax = fig.add_subplot()
    image = ax.imshow(z, aspect="auto", cmap="viridis")
    middle = 0.5 * (np.nanmin(z) + np.nanmax(z))
    for (i, j), value in np.ndenumerate(z):
        ink = "white" if value < middle else "black"
        ax.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=SMALL, color=ink)
    ax.set_xticks(range(len(labels)), [label.replace("_", " ") for label in labels], rotation=40, ha="right")
    ax.set_yticks(range(len(z)), [name.replace("_", " ") for name in means])
    ax.tick_params(length=0, labelsize=SMALL)
    bar = fig.colorbar(image, ax=ax)
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label(f"mean {metric} (%)", fontsize=SMALL)
    return fig


def sensitivity_bars(
    slopes: Mapping[str, tuple[float, float, float]], value: float, metric: str, unit: str, *, title: str | None = None
) -> Figure:
    """Draw how fast a loss rises with each non-ideality, a bar each with its interval, in the order given.

    Args:
        slopes: name -> (d loss / d ln sigma, low, high).
        value: the loss itself, which the upper axis is relative to; above 0.
        metric: what the loss is.
        unit: its unit.
        title: above the axes.

    Raises:
        ValueError: no slopes, or one that is not finite.
    """
    rows = np.array(list(slopes.values()), float)
    if not rows.size or not np.isfinite(rows).all():
        raise ValueError(f"sensitivity_bars: slopes {rows.tolist()}: accepted are finite ones, at least one")
    at = np.arange(len(rows))
    fig = figure(COLUMN, 1.2 + 0.3 * len(at))
    ax = fig.add_subplot()
    ax.barh(at, rows[:, 0], height=0.7, color=colour(0), alpha=0.75)
    ax.hlines(at, rows[:, 1], rows[:, 2], color="0.25", linewidth=1.0)
    for end in (1, 2):
        ax.plot(rows[:, end], at, "|", color="0.25", markersize=5)
    ax.axvline(0.0, color="0.6", linewidth=0.6)
    ax.set_yticks(at, labels=list(slopes))
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    label_axes(ax, f"d {metric} / d ln σ ({unit}); whiskers: 95 % interval", None, title)
    upper = ax.secondary_xaxis("top", functions=(lambda x: host(x) / value, lambda x: host(x) * value))
    upper.set_xlabel("elasticity", fontsize=SMALL)
    upper.tick_params(labelsize=SMALL)
    return fig
