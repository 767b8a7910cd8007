"""One look for every figure: paper column widths, colour-blind-safe colours, axis labels with SI prefixes.

Sizes are set on the artists, never through matplotlib's rcParams, which are shared by the whole process.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memjax.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# Okabe and Ito (2008), "Color universal design": black last, because it is kept for reference lines.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
COLUMN = 3.5  # width of one column of a two-column paper [inch]
PAGE = 7.2  # both columns [inch]
TEXT = 8  # labels and titles [pt]
SMALL = 7  # ticks and legends [pt]
DPI = 200

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


@functools.cache
def _figure_class() -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class DisplayedFigure(Figure):
        """A Figure that a notebook shows without pyplot and without `%matplotlib inline`."""

        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **kwargs)
            FigureCanvasAgg(self)  # registers itself as self.canvas

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=120)
            return buffer.getvalue()

    return DisplayedFigure


def figure(width: float = COLUMN, height: float = 2.6) -> Figure:
    """Make an empty figure of `width` x `height` [inch] that manages its own margins."""
    return _figure_class()(figsize=(width, height), layout="constrained")


def save(fig: Figure, path: str | os.PathLike[str], dpi: int = DPI) -> Path:
    """Write a figure to `path`, whose suffix is the format; the file appears whole or not at all.

    Raises:
        ValueError: a suffix that matplotlib does not write.
        UserError: the folder is missing or cannot be written.
    """
    path = Path(path)
    accepted = fig.canvas.get_supported_filetypes()
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in accepted:
        raise ValueError(f"cannot save {path.name!r}: the suffix must be one of {', '.join(sorted(accepted))}")
    with atomic_path(path) as temporary:
        fig.savefig(temporary, dpi=dpi, format=suffix)
    return path


def label_axes(ax: Axes, x: str | None = None, y: str | None = None, title: str | None = None) -> None:
    """Label one axes and give it the common look: small text, no upper and right frame."""
    if x is not None:
        ax.set_xlabel(x, fontsize=TEXT)
    if y is not None:
        ax.set_ylabel(y, fontsize=TEXT)
    if title is not None:
        ax.set_title(title, fontsize=TEXT)
    ax.tick_params(labelsize=SMALL)
    ax.spines[["top", "right"]].set_visible(False)


def legend(ax: Axes, **kwargs: Any) -> None:
    """Add a legend in the common look; none where nothing has a label."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=SMALL, frameon=False, **kwargs)


def style_colorbar(bar: Any, label: str, text: float = TEXT) -> None:
    """Give a colour bar its label, with units, and the common text sizes."""
    bar.set_label(label, fontsize=text)
    bar.ax.tick_params(labelsize=text - 1)
    bar.ax.yaxis.get_offset_text().set_fontsize(text - 1)


def colour(k: int) -> str:
    """Return the k-th line colour; they repeat after seven."""
    return OKABE_ITO[k % 7]


def colormap(name: str, low: float = 0.0, high: float = 1.0) -> Colormap:
    """Return the part [low, high] of a named colour map."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    full = matplotlib.colormaps[name]
    if (low, high) == (0.0, 1.0):
        return full
    return ListedColormap(full(np.linspace(low, high, 256)), name=f"{name}[{low},{high}]")


def host(x: Any) -> np.ndarray:
    """Copy any array to the host as float64."""
    return np.asarray(x, dtype=np.float64)


def curves(x: Any, name: str) -> np.ndarray:
    """Return [n] or [k, n] data as [k, n].

    Raises:
        ValueError: any other rank.
    """
    x = host(x)
    if x.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {x.shape}; expected [n], or [k, n] for k curves")
    return x.reshape(-1, x.shape[-1])


def names(labels: str | Sequence[str] | None, n: int) -> list[str | None]:
    """Return one label a curve, None where none was given.

    Raises:
        ValueError: the number of labels is not the number of curves.
    """
    if labels is None:
        return [None] * n
    labels = [labels] if isinstance(labels, str) else list(labels)
    if len(labels) != n:
        raise ValueError(f"got {len(labels)} labels for {n} curves: give one a curve, or none")
    return list(labels)


def si(values: Any, unit: str) -> tuple[float, str]:
    """Return (factor, prefixed unit) so that `values * factor` reads as at most three digits before the point."""
    values = np.abs(host(values))
    values = values[np.isfinite(values)]
    largest = values.max() if values.size else 0.0
    if largest == 0.0 or not unit:
        return 1.0, unit
    # The margin keeps a sampled 1 V sine, whose largest sample is a little less than 1, in volts.
    exponent = int(np.clip(3 * np.floor(np.log10(1.01 * largest) / 3), min(_PREFIXES), max(_PREFIXES)))
    return 10.0**-exponent, _PREFIXES[exponent] + unit
