"""The visual network: neurons are points, the memristive synapses between them lines that show their state.

Two layouts. "readable": neurons on a circle, one curved arrow for each direction of a pair, thick and dark where the
synapse conducts well, so that every synapse can be seen. "published": the figure of "Dynamic visualisation of memristor
synapses" (preprint, 17 May 2024) as its code draws it, with the line (i, i)-(j, j) for every pair, so that all synapses
lie on one diagonal and the one drawn last hides the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memjax.files import atomic_path
from memjax.plot.style import (
    COLUMN,
    PAGE,
    SMALL,
    TEXT,
    colormap,
    colour,
    figure,
    host,
    label_axes,
    si,
    style_colorbar,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

LAYOUTS = ("readable", "published")
BEND = 0.16  # sideways offset of an arc's middle, as a share of the distance between its neurons
NEURON = 0.13  # radius of a neuron on a circle of radius 1, at five neurons
WIDTHS = (0.5, 2.6)  # lines at r_off and at r_on in a panel of 1.4 inch [pt]


def network_grid(
    r: Any,
    *,
    layout: str = "readable",
    r_on: float = 0.1,
    r_off: float = 10.0,
    self_synapses: bool | None = None,
    columns: int | None = None,
    first_step: int = 1,
    title: str | None = None,
) -> Figure:
    """Draw the network once a step, in a grid.

    Args:
        r: resistances [ohm], [T, N, N]; r[t, i, j] is the synapse from neuron i to neuron j after a step.
        layout: "readable" or "published" (see the module).
        r_on: resistance at one end of the colour scale [ohm].
        r_off: resistance at the other end [ohm].
        self_synapses: whether to draw (i, i); by default as published, else not.
        columns: panels in a row; ten as published (2 x 10 for 20 steps), else five, which a printed page can show.
        first_step: the number of the first panel.
        title: above the figure.

    Raises:
        ValueError: an unknown layout, or r of another shape or with values that are not finite.
    """
    r = _checked(r, layout, ndim=3)
    steps = len(r)
    if columns is None:
        columns = 10 if layout == "published" else 5
    columns = min(columns, steps)
    rows = -(-steps // columns)
    if layout == "published":
        fig, text = figure(2.0 * columns, 2.0 * rows), 1.5 * TEXT
    else:
        fig, text = figure(PAGE * columns / 5, 1.45 * rows), TEXT
    mappable = _mappable(layout, r_on, r_off)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for t, ax in enumerate(axes):
        if t < steps:
            _draw(ax, r[t], layout, mappable, self_synapses, scale=1.0)
            ax.set_title(f"step {first_step + t}", fontsize=text, pad=2)
        else:
            ax.remove()
    _key(fig, list(axes[:steps]), mappable, layout, text)
    if title is not None:
        fig.suptitle(title, fontsize=text + 1)
    return fig


def network_frame(
    r: Any,
    *,
    layout: str = "readable",
    r_on: float = 0.1,
    r_off: float = 10.0,
    self_synapses: bool | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the network at one moment; r is [N, N] [ohm], the other arguments and errors are those of `network_grid`."""
    r = _checked(r, layout, ndim=2)
    fig = figure(4.2, 3.5)
    ax = fig.add_subplot()
    mappable = _mappable(layout, r_on, r_off)
    _draw(ax, r, layout, mappable, self_synapses, scale=2.0)
    _key(fig, [ax], mappable, layout, TEXT)
    ax.set_title(title or "", fontsize=TEXT + 1)
    return fig


def network_trajectories(
    t: Any, r: Any, *, r_on: float = 0.1, r_off: float = 10.0, highlight: int = 4, title: str | None = None
) -> Figure:
    """Draw the resistance of every synapse over time: a few in colour, with their neurons, the others grey.

    Args:
        t: time [s], [T].
        r: resistances [ohm], [T, N, N].
        r_on: lowest resistance [ohm], drawn dashed.
        r_off: highest resistance [ohm], drawn dashed.
        highlight: how many synapses to colour, those whose resistance covers the widest range first (at most seven).
        title: above the axes.

    Raises:
        ValueError: shapes that do not fit together.
    """
    t, r = host(t), _checked(r, "readable", ndim=3)
    if t.shape != r.shape[:1]:
        raise ValueError(f"t {t.shape} and r {r.shape} do not fit: expected [T] and [T, N, N]")
    n = r.shape[-1]
    series = r.reshape(len(t), -1).T
    widest = np.argsort(-np.ptp(series, axis=1), kind="stable")
    coloured = [int(k) for k in widest[: min(highlight, 7)]]
    factor, seconds = si(t, "s")
    fig = figure(COLUMN, 2.8)
    ax = fig.add_subplot()
    for bound, name in ((r_on, "on"), (r_off, "off")):
        ax.axhline(bound, color="black", linestyle="--", linewidth=0.6)
        place = {"xy": (1.0, bound), "xycoords": ("axes fraction", "data"), "ha": "right"}
        above = {"xytext": (0, 2), "textcoords": "offset points"}
        ax.annotate(rf"$R_\mathrm{{{name}}}$", **place, **above, fontsize=SMALL)
    ax.set_ylim(r_on - 0.06 * (r_off - r_on), r_off + 0.1 * (r_off - r_on))
    for k in widest[len(coloured) :]:
        ax.plot(t * factor, series[k], color="0.75", linewidth=0.6)
    for rank, k in enumerate(coloured):
        ax.plot(t * factor, series[k], color=colour(rank), linewidth=1.4, label=f"{k // n + 1} → {k % n + 1}")
    label_axes(ax, f"time ({seconds})", "resistance R (Ω)", title)
    if coloured:
        beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}  # the lines fill the axes
        ax.legend(fontsize=SMALL, frameon=False, title="synapse", title_fontsize=SMALL, **beside)
    return fig


def network_animation(
    r: Any,
    path: str | os.PathLike[str],
    *,
    layout: str = "readable",
    fps: float = 4.0,
    r_on: float = 0.1,
    r_off: float = 10.0,
    self_synapses: bool | None = None,
    first_step: int = 1,
    dpi: int = 100,
) -> Path:
    """Write the network over time as a looping GIF, or as MP4 where ffmpeg is installed; one frame a step.

    The file appears under its name only when it is complete.

    Args:
        r: resistances [ohm], [T, N, N].
        path: ends in .gif or .mp4.
        layout: "readable" or "published".
        fps: frames a second.
        r_on: resistance at one end of the colour scale [ohm].
        r_off: resistance at the other end [ohm].
        self_synapses: whether to draw (i, i); by default as published, else not.
        first_step: the number of the first frame.
        dpi: pixels an inch; a frame is 4.2 x 3.5 inch.

    Raises:
        ValueError: another suffix, fps that is not positive, or what `network_grid` raises.
        RuntimeError: MP4 without ffmpeg.
    """
    path = Path(path)
    r = _checked(r, layout, ndim=3)
    if not fps > 0:
        raise ValueError(f"fps must be positive, got {fps}")
    suffix = path.suffix.lower()
    if suffix not in (".gif", ".mp4"):
        raise ValueError(f"cannot write an animation as {path.name!r}: the suffix must be .gif or .mp4")
    if suffix == ".mp4":
        from matplotlib.animation import FFMpegWriter

        if not FFMpegWriter.isAvailable():
            raise RuntimeError(f"{path.name}: MP4 needs the program ffmpeg on the PATH; install it, or write a .gif")

    fig = network_frame(r[0], layout=layout, r_on=r_on, r_off=r_off, self_synapses=self_synapses)
    ax = fig.axes[0]
    mappable = _mappable(layout, r_on, r_off)

    def draw(t: int) -> None:
        for artist in [*ax.collections, *ax.patches, *ax.texts]:
            artist.remove()
        _draw(ax, r[t], layout, mappable, self_synapses, scale=2.0)
        ax.set_title(f"step {first_step + t}", fontsize=TEXT + 1)

    with atomic_path(path) as temporary:
        if suffix == ".mp4":
            _write_mp4(fig, draw, len(r), temporary, fps, dpi)
        else:
            _write_gif(fig, draw, len(r), temporary, fps, dpi)
    return path


def synapse_path(i: int, j: int, n: int) -> np.ndarray:
    """Return the Bezier control points of the arc from neuron i to neuron j of n [3, 2], or of the loop i = j [4, 2].

    The arc bends to the left of its direction, so that i -> j and j -> i are two lines; it ends just off its neurons.
    """
    at = neuron_positions(n)
    radius = neuron_radius(n)
    if i == j:
        # A cubic that leaves the rim on one side of the outward direction and comes back on the other.
        outward = at[i] / np.linalg.norm(at[i])
        side = np.array([-outward[1], outward[0]])
        leave, far = 0.8 * outward - 0.6 * side, 3.6 * outward - 2.0 * side
        back, home = 3.6 * outward + 2.0 * side, 0.8 * outward + 0.6 * side
        return at[i] + radius * np.stack([leave, far, back, home])
    start, end = at[i], at[j]
    chord = end - start
    control = (start + end) / 2 + 2 * BEND * np.array([-chord[1], chord[0]])
    rim = 1.25 * radius
    start = start + rim * (control - start) / np.linalg.norm(control - start)
    end = end + rim * (control - end) / np.linalg.norm(control - end)
    return np.stack([start, control, end])


def neuron_positions(n: int) -> np.ndarray:
    """Return n points on the unit circle [n, 2], the first at the top, clockwise."""
    angle = np.pi / 2 - 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def neuron_radius(n: int) -> float:
    """Return the radius at which n neurons on the unit circle keep clear of each other."""
    return NEURON * min(1.0, 5.0 / n)


def _checked(r: Any, layout: str, ndim: int) -> np.ndarray:
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}: expected one of {', '.join(LAYOUTS)}")
    r = host(r)
    if r.ndim != ndim or r.shape[-1] != r.shape[-2] or r.size == 0:
        raise ValueError(f"r has shape {r.shape}; expected {'[T, N, N]' if ndim == 3 else '[N, N]'}")
    if not np.isfinite(r).all():
        raise ValueError("r holds values that are not finite")
    return r


def _mappable(layout: str, r_on: float, r_off: float) -> ScalarMappable:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if not 0.0 < r_on < r_off:
        raise ValueError(f"expected 0 < r_on < r_off, got r_on = {r_on}, r_off = {r_off}")
    # Viridis without its yellow end, which a thin line on white paper does not show.
    cmap = colormap("jet") if layout == "published" else colormap("viridis", 0.0, 0.88)
    return ScalarMappable(Normalize(r_on, r_off), cmap)


def _key(fig: Figure, axes: list[Axes], mappable: ScalarMappable, layout: str, text: float) -> None:
    single = len(axes) == 1
    bar = fig.colorbar(mappable, ax=axes, fraction=0.06 if single else 0.03, pad=0.02, aspect=25, shrink=0.85)
    style_colorbar(bar, "resistance R (Ω)" + ("" if layout == "published" else "; thick line: low R"), text)


def _draw(
    ax: Axes, r: np.ndarray, layout: str, mappable: ScalarMappable, self_synapses: bool | None, scale: float
) -> None:
    if layout == "published":
        _draw_published(ax, r, mappable, True if self_synapses is None else self_synapses)
    else:
        _draw_readable(ax, r, mappable, bool(self_synapses), scale)


def _draw_published(ax: Axes, r: np.ndarray, mappable: ScalarMappable, self_synapses: bool) -> None:
    from matplotlib.collections import LineCollection

    n = len(r)
    lattice = np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2)
    ax.scatter(lattice[:, 0], lattice[:, 1], color="blue", s=16, zorder=1)
    pairs = [(i, j) for i in range(n) for j in range(n) if self_synapses or i != j]
    lines = LineCollection(
        [((i, i), (j, j)) for i, j in pairs],
        colors=mappable.to_rgba(np.array([r[pair] for pair in pairs])),
        alpha=0.9,
        linewidths=2.0,
        capstyle="projecting",  # pyplot's own cap for lines: (i, i), a line of no length, shows as a dot
    )
    ax.add_collection(lines)
    ax.set(xlim=(-0.5, n - 0.5), ylim=(-0.5, n - 0.5), aspect="equal", xticks=[], yticks=[])


def _draw_readable(ax: Axes, r: np.ndarray, mappable: ScalarMappable, self_synapses: bool, scale: float) -> None:
    from matplotlib.patches import Circle, FancyArrowPatch
    from matplotlib.path import Path as Curve

    n = len(r)
    crowding = scale * min(1.0, 5.0 / n)
    strength = 1.0 - np.clip(mappable.norm(r), 0.0, 1.0)
    # Weak synapses first: the strong ones must not be hidden by them.
    pairs = [(i, j) for i in range(n) for j in range(n) if self_synapses or i != j]
    for i, j in sorted(pairs, key=lambda pair: strength[pair]):
        points = synapse_path(i, j, n)
        curve = Curve(points, [Curve.MOVETO] + [Curve.CURVE3 if len(points) == 3 else Curve.CURVE4] * (len(points) - 1))
        width = crowding * (WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * strength[i, j])
        arrow = FancyArrowPatch(
            path=curve,
            arrowstyle="-|>",
            mutation_scale=3.0 * crowding + 2.0 * width,
            linewidth=width,
            color=mappable.to_rgba(r[i, j]),
            joinstyle="miter",
            capstyle="butt",
            zorder=2,
            gid=f"synapse {i + 1}-{j + 1}",  # its name in an SVG file
        )
        ax.add_patch(arrow)
    for k, at in enumerate(neuron_positions(n)):
        ax.add_patch(Circle(tuple(at), neuron_radius(n), facecolor="white", edgecolor="black", linewidth=0.8, zorder=3))
        if n <= 12:
            text = (SMALL - 1) * min(scale, 1.5) * min(1.0, 9.0 / n)
            ax.text(at[0], at[1], str(k + 1), ha="center", va="center", fontsize=text, zorder=4)
    edge = 1.5 if self_synapses else 1.2
    ax.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
    ax.set_axis_off()


def _frames(fig: Figure, draw: Any, steps: int) -> Iterator[np.ndarray]:
    for t in range(steps):
        draw(t)
        fig.canvas.draw()
        yield np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]


def _write_gif(fig: Figure, draw: Any, steps: int, path: Path, fps: float, dpi: int) -> None:
    from PIL import Image

    fig.set_dpi(dpi)
    frames = [Image.fromarray(frame) for frame in _frames(fig, draw, steps)]
    # One palette for all frames, from a frame in the middle: no flicker of colours, and a smaller file.
    # Maximum coverage keeps the extremes, so that white stays white.
    palette = frames[len(frames) // 2].quantize(256, method=Image.Quantize.MAXCOVERAGE)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    duration = max(20, round(1000 / fps))  # [ms]; below 20 most viewers slow down
    indexed[0].save(path, format="GIF", save_all=True, append_images=indexed[1:], duration=duration, loop=0)


def _write_mp4(fig: Figure, draw: Any, steps: int, path: Path, fps: float, dpi: int) -> None:
    from matplotlib.animation import FFMpegWriter

    # The annotation says int; the number goes to ffmpeg as text, and it takes fractions.
    writer = FFMpegWriter(fps=fps, codec="h264", extra_args=["-f", "mp4"])  # pyright: ignore[reportArgumentType]
    with writer.saving(fig, str(path), dpi):
        for t in range(steps):
            draw(t)
            writer.grab_frame()
