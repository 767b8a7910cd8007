"""One device under a waveform: pinched hysteresis loops and the waveforms behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from memjax.plot.style import COLUMN, PAGE, SMALL, colour, curves, figure, host, label_axes, legend, names, si

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LINES = 7  # devices drawn in one panel: more colours than these cannot be told apart


def hysteresis(v: Any, i: Any, *, labels: str | Sequence[str] | None = None, title: str | None = None) -> Figure:
    """Draw current against voltage, the fingerprint of a memristor; an arrow on each loop shows the direction of time.

    Args:
        v: voltage [V], [T] for all loops or [k, T].
        i: current [A], [T] or [k, T].
        labels: a name for each loop.
        title: above the axes.

    Raises:
        ValueError: shapes that do not fit together.
    """
    v, i = curves(v, "v"), curves(i, "i")
    if v.shape[1] != i.shape[1] or v.shape[0] not in (1, i.shape[0]):
        raise ValueError(f"v {v.shape} and i {i.shape} do not fit: expected v [T] or [k, T] beside i [k, T]")
    fig = figure(COLUMN, 2.8)
    ax = fig.add_subplot()
    _loop(ax, np.broadcast_to(v, i.shape), i, names(labels, i.shape[0]))
    if title is not None:
        ax.set_title(title, fontsize=SMALL + 1)
    return fig


def waveforms(t: Any, v: Any, i: Any, state: Any, *, title: str | None = None) -> Figure:
    """Draw voltage, current and every state variable over time, and the I-V loop beside them.

    Args:
        t: time [s], [T].
        v: voltage [V], [T].
        i: current [A], [T] or [T, ...]; of many devices the first seven are drawn.
        state: a pytree whose leaves are [T] or [T, ...] (a trace's `state`), or one array.
        title: above the figure.

    Raises:
        ValueError: a length that is not T.
    """
    t, v = host(t), host(v)
    if t.ndim != 1 or v.shape != t.shape:
        raise ValueError(f"t {t.shape} and v {v.shape} must both be [T]")
    panels = {"voltage": (_columns(v, "v", t), "V"), "current": (_columns(i, "i", t), "A")}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "state"
        panels[name] = (_columns(leaf, name, t), "")

    fig = figure(PAGE, max(2.8, 0.4 + 1.0 * len(panels)))
    grid = fig.add_gridspec(len(panels), 2, width_ratios=[1.25, 1.0])
    factor, seconds = si(t, "s")
    axes: list[Axes] = []
    for row, (name, (y, unit)) in enumerate(panels.items()):
        ax = fig.add_subplot(grid[row, 0], sharex=axes[0] if axes else None)
        axes.append(ax)
        scale, prefixed = si(y, unit)
        for k in range(y.shape[1]):
            ax.plot(t * factor, y[:, k] * scale, color="black" if name == "voltage" else colour(k), linewidth=1.0)
        label_axes(ax, y=f"{name} ({prefixed})" if prefixed else name)
        ax.tick_params(labelbottom=row == len(panels) - 1)
    label_axes(axes[-1], x=f"time ({seconds})")
    fig.align_ylabels(axes)
    current = panels["current"][0].T
    _loop(fig.add_subplot(grid[:, 1]), np.broadcast_to(v, current.shape), current, [None] * len(current))
    if title is not None:
        fig.suptitle(title, fontsize=SMALL + 2)
    return fig


def _columns(x: Any, name: str, t: np.ndarray) -> np.ndarray:
    x = host(x)
    if x.ndim == 0 or len(x) != len(t):
        raise ValueError(f"{name} has shape {x.shape}; its first axis must be time, {len(t)} steps")
    return x.reshape(len(t), -1)[:, :MAX_LINES]


def _loop(ax: Axes, v: np.ndarray, i: np.ndarray, labels: list[str | None]) -> None:
    scale, unit = si(i, "A")
    volts, volt = si(v, "V")
    ax.axhline(0.0, color="0.8", linewidth=0.6, zorder=0)
    ax.axvline(0.0, color="0.8", linewidth=0.6, zorder=0)
    for k in range(len(i)):
        x, y = v[k] * volts, i[k] * scale
        ax.plot(x, y, color=colour(k), linewidth=1.2, label=labels[k])
        _arrow(ax, x, y, colour(k), at=0.8 - 0.5 * k / len(i))
    label_axes(ax, f"voltage ({volt})", f"current ({unit})")
    ax.locator_params(axis="x", nbins=7)
    legend(ax)


def _arrow(ax: Axes, x: np.ndarray, y: np.ndarray, color: str, at: float) -> None:
    """Put an arrowhead where |v|, after its first peak, is down to the share `at` of it: there loops lie apart."""
    size = np.abs(x)
    peak = int(np.argmax(size >= 0.99 * size.max()))
    after = np.flatnonzero(size[peak:] <= at * size.max())
    if after.size == 0 or after[0] == 0:  # no way down: a ramp, or no voltage
        return
    tip = peak + int(after[0])
    props = {"arrowstyle": "-|>", "color": color, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=(x[tip], y[tip]), xytext=(x[tip - 1], y[tip - 1]), arrowprops=props)
