"""Figures hold what they claim to show; files appear whole; pyplot and its global state are never touched."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.animation import FFMpegWriter
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from PIL import Image

from memjax import plot
from memjax.errors import UserError
from memjax.plot import network as drawing
from memjax.plot.style import si

N, T = 5, 20
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def r():
    return np.random.default_rng(0).uniform(0.1, 10.0, (T, N, N))


def arrows(ax):
    return [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]


def test_imports_matplotlib_only_when_drawing_and_pyplot_never():
    code = (
        "import sys; from memjax import plot; assert 'matplotlib' not in sys.modules;"
        "fig = plot.hysteresis([0, 1, 0, -1], [0, 1, 0, -1]); assert fig._repr_png_()[:4] == b'\\x89PNG';"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the visual network -------------------------------------------------------------------------------------------


def test_published_layout_is_the_source_figure(r):
    fig = plot.network_grid(r, layout="published")
    *panels, bar = fig.axes
    assert tuple(fig.get_size_inches()) == (20.0, 4.0)
    assert len(panels) == T
    assert bar.get_ylabel() == "resistance R (Ω)"
    grid = panels[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == (2, 10)
    for step, ax in enumerate(panels):
        points, lines = ax.collections
        assert len(points.get_offsets()) == N * N
        np.testing.assert_array_equal(points.get_facecolor(), [to_rgba("blue")])
        segments = np.array(lines.get_segments())
        assert segments.shape == (N * N, 2, 2)
        np.testing.assert_array_equal(segments[..., 0], segments[..., 1])  # every endpoint is on the diagonal
        np.testing.assert_array_equal(segments[:, 0, 0], np.repeat(np.arange(N), N))
        np.testing.assert_array_equal(segments[:, 1, 0], np.tile(np.arange(N), N))
        assert lines.get_linewidths() == [2.0]
        assert lines.get_alpha() == 0.9
        assert ax.get_title() == f"step {step + 1}"


def test_published_colours_are_jet_over_the_resistance_range():
    import matplotlib

    r = np.array([[[0.1, 10.0], [5.05, 2.575]]])
    lines = plot.network_grid(r, layout="published").axes[0].collections[1]
    expected = matplotlib.colormaps["jet"](np.array([0.0, 1.0, 0.5, 0.25]))
    np.testing.assert_allclose(lines.get_colors()[:, :3], expected[:, :3])


def test_readable_layout_shows_every_synapse(r):
    *panels, _ = plot.network_grid(r).axes
    assert len(panels) == T
    for ax in panels:
        assert len(arrows(ax)) == N * (N - 1)
        assert sum(isinstance(patch, Circle) for patch in ax.patches) == N
    assert len(arrows(plot.network_frame(r[0], self_synapses=True).axes[0])) == N * N


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_the_two_directions_of_a_pair_are_apart(n):
    """Distance between the middles of i -> j and j -> i, in units of the distance between the neurons: 2 x BEND."""
    at = drawing.neuron_positions(n)

    def middle(i, j):
        a, b, c = drawing.synapse_path(i, j, n)
        return (a + 2 * b + c) / 4

    for i in range(n):
        for j in range(i):
            apart = np.linalg.norm(middle(i, j) - middle(j, i))
            assert apart >= 1.5 * drawing.BEND * np.linalg.norm(at[i] - at[j])
            assert apart <= 2.5 * drawing.BEND * np.linalg.norm(at[i] - at[j])


@pytest.mark.parametrize("n", [2, 5, 12])
def test_arcs_start_and_end_at_the_rims_of_their_neurons(n):
    at, radius = drawing.neuron_positions(n), drawing.neuron_radius(n)
    for i in range(n):
        for j in range(n):
            path = drawing.synapse_path(i, j, n)
            for end, neuron in ((path[0], i), (path[-1], j)):
                assert radius * 0.99 <= np.linalg.norm(end - at[neuron]) <= radius * 1.3


def test_low_resistance_is_thick_and_dark():
    r = np.full((3, 3), 10.0)
    r[0, 1] = 0.1
    patches = sorted(arrows(plot.network_frame(r).axes[0]), key=lambda patch: patch.get_linewidth())
    weak, strong = patches[0], patches[-1]
    assert strong.get_linewidth() == pytest.approx(2.0 * drawing.WIDTHS[1])
    assert weak.get_linewidth() == pytest.approx(2.0 * drawing.WIDTHS[0])
    assert sum(strong.get_edgecolor()[:3]) < sum(weak.get_edgecolor()[:3])
    assert strong.get_gid() == "synapse 1-2"


@pytest.mark.parametrize("layout", drawing.LAYOUTS)
def test_gif_has_one_frame_a_step(r, tmp_path, layout):
    path = plot.network_animation(r[:6], tmp_path / "n.gif", layout=layout, fps=5, dpi=50)
    with Image.open(path) as gif:
        assert gif.n_frames == 6
        assert gif.info["duration"] == 200
        assert gif.info["loop"] == 0
        first = np.asarray(gif.convert("RGB"), dtype=int)
        gif.seek(5)
        last = np.asarray(gif.convert("RGB"), dtype=int)
    assert (first[0, 0] == 255).all(), "the paper must stay white"
    assert np.abs(first - last).max() > 50
    assert [p.name for p in tmp_path.iterdir()] == ["n.gif"]


def test_mp4_where_ffmpeg_is_installed(r, tmp_path):
    path = tmp_path / "n.mp4"
    if FFMpegWriter.isAvailable():
        plot.network_animation(r[:3], path, dpi=50)
        assert path.read_bytes()[4:8] == b"ftyp"
    else:
        with pytest.raises(RuntimeError, match=r"ffmpeg .* write a \.gif"):
            plot.network_animation(r[:3], path)
    assert list(tmp_path.iterdir()) in ([], [path])


def test_a_failed_animation_leaves_the_old_file(r, tmp_path, monkeypatch):
    path = tmp_path / "n.gif"
    path.write_text("old")

    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(drawing, "_write_gif", fail)
    with pytest.raises(KeyboardInterrupt):
        plot.network_animation(r, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_trajectories(r):
    (ax,) = plot.network_trajectories(np.arange(T) * 0.1, r, highlight=3).axes
    assert len(ax.lines) == N * N + 2  # and the two bounds
    spread = np.ptp(r, axis=0)
    i, j = np.unravel_index(spread.argmax(), spread.shape)
    assert [text.get_text() for text in ax.get_legend().get_texts()][0] == f"{i + 1} → {j + 1}"


# --- loops, learning, synapses, energy ----------------------------------------------------------------------------


def test_hysteresis():
    t = np.linspace(0, 1, 101)
    v = np.sin(2 * np.pi * t)
    i = np.stack([v * 2e-5, v * 4e-5])
    (ax,) = plot.hysteresis(v, i, labels=["a", "b"]).axes
    assert ax.get_xlabel() == "voltage (V)"
    assert ax.get_ylabel() == "current (µA)"
    loops = [line for line in ax.lines if len(line.get_xdata()) == 101]
    np.testing.assert_allclose(loops[1].get_ydata(), v * 40)
    assert len([text for text in ax.texts if text.arrow_patch is not None]) == 2
    assert len(ax.get_legend().get_texts()) == 2


@pytest.mark.parametrize("v", [np.zeros(10), np.linspace(0, 1, 10), np.full(10, 0.5)])
def test_hysteresis_of_what_is_no_loop(v):
    assert plot.hysteresis(v, v * 1e-6)._repr_png_()[:4] == PNG


def test_waveforms_has_a_panel_for_every_leaf_of_the_state():
    from memjax.devices import sine_drift

    t = jnp.linspace(0.0, 5e-5, 50)
    v = jnp.sin(t * 1e5)
    state = {"device": sine_drift.State(w=v, phi=v), "many": jnp.stack([v] * 9, axis=1)}
    *panels, loop = plot.waveforms(t, v, jnp.stack([v, 2 * v], axis=1) * 1e-3, state).axes
    labels = ["voltage (V)", "current (mA)", "device.w", "device.phi", "many"]
    assert sorted(ax.get_ylabel() for ax in panels) == sorted(labels)
    assert panels[-1].get_xlabel() == "time (µs)"
    assert len(panels[-1].lines) == 7
    assert loop.get_xlabel() == "voltage (V)"


def test_stdp_window_does_not_bridge_the_jump_at_zero():
    def rule(dt):
        return np.sign(dt) * 0.01 * np.exp(-np.abs(dt) / 0.02)

    dts = np.linspace(-0.1, 0.1, 21)
    (ax,) = plot.stdp_window(dts, rule(dts), closed_form=rule).axes
    for line in ax.lines:
        if line.get_linestyle() == "-" and len(line.get_xdata()) > 2:
            assert len(set(np.sign(line.get_ydata()))) == 1
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"simulated", "closed form"}
    (ax,) = plot.stdp_window(dts, np.stack([rule(dts)] * 2), labels=["a", "b"]).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_learning_curve():
    accuracy = np.array([[0.8, 0.9], [0.84, 0.94], [0.76, 0.86]])
    (ax,) = plot.learning_curve([1000, 2000], accuracy, target=0.95).axes
    assert len(ax.lines) == 3 + 1 + 1
    np.testing.assert_allclose(ax.lines[3].get_ydata(), [80, 90])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([band.min(), band.max()], [76, 94])  # sample standard deviation: 4 %
    assert len(plot.learning_curve([1000, 2000], accuracy[0]).axes[0].lines) == 1


@pytest.mark.parametrize("shape, maps", [((2, 8, 4), 4), ((1, 8, 4), 2), ((8, 4), 2)])
def test_conductance_maps_share_one_scale(shape, maps):
    rng = np.random.default_rng(0)
    before, after = rng.uniform(1e-6, 2e-6, shape), rng.uniform(1e-6, 9e-6, shape)
    *axes, bar = plot.conductance_maps(before, after).axes
    assert len(axes) == maps
    limits = {ax.images[0].get_clim() for ax in axes}
    assert limits == {(min(before.min(), after.min()) * 1e6, max(before.max(), after.max()) * 1e6)}
    assert bar.get_ylabel() == "conductance (µS)"


def test_weights_of_both_signs_get_symmetric_diverging_colours():
    w = np.array([[-0.5, 0.1], [0.2, 0.3]])
    ax = plot.conductance_maps(w, w * 2, unit="").axes[0]
    assert ax.images[0].get_clim() == (-1.0, 1.0)
    assert ax.images[0].get_cmap().name == "RdBu_r"


def test_histogram_shares_add_up():
    rng = np.random.default_rng(0)
    (ax,) = plot.conductance_histogram(rng.uniform(0, 1e-3, (2, 9, 9)), np.full((2, 9, 9), 5e-4)).axes
    shares = [patch.get_data().values.sum() for patch in ax.patches]
    np.testing.assert_allclose(shares, [100, 100])


def test_receptive_fields_puts_each_neuron_in_its_cell():
    w = np.zeros((6, 5))
    w[4, 3] = 1.0  # neuron 3, pixel (1, 1) of 2 x 3
    ax = plot.receptive_fields(w, shape=(2, 3), n=4).axes[0]
    sheet = np.asarray(ax.images[0].get_array().filled(np.nan))
    assert sheet.shape == (5, 7)  # 2 x 2 cells with a gap of one
    assert np.argwhere(sheet == 1.0).tolist() == [[4, 5]]
    low, high = ax.images[0].get_clim()
    assert low == -high


def test_energy_breakdown():
    (ax,) = plot.energy_breakdown({"mac": 1000, "pulse": 10}, {"mac": 1e-13, "pulse": 5e-12, "read": 1}).axes
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [100, 50])
    assert ax.get_xlabel() == "energy (pJ)"
    assert ax.get_title() == "total 150 pJ"
    assert plot.energy_breakdown({"mac": 0}, {"mac": 1e-13})._repr_png_()[:4] == PNG


@pytest.mark.parametrize(
    "values, expected",
    [(0.9999, (1, "V")), (1000.0, (1e-3, "kV")), (0.5, (1e3, "mV")), (3e-7, (1e9, "nV")), (0.0, (1, "V"))],
)
def test_si_prefix(values, expected):
    factor, unit = si(values, "V")
    assert factor == pytest.approx(expected[0])
    assert unit == expected[1]


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda r: plot.network_grid(r, layout="round"), "readable, published"),
        (lambda r: plot.network_grid(r[0]), r"\[T, N, N\]"),
        (lambda r: plot.network_grid(r[:, :2]), r"\(20, 2, 5\)"),
        (lambda r: plot.network_grid(r * np.nan), "finite"),
        (lambda r: plot.network_frame(r[0], r_on=3.0, r_off=2.0), "r_on < r_off"),
        (lambda r: plot.network_animation(r, "n.avi"), r"\.gif or \.mp4"),
        (lambda r: plot.network_animation(r, "n.gif", fps=0), "fps"),
        (lambda r: plot.network_trajectories([0, 1], r), "do not fit"),
        (lambda r: plot.hysteresis([1, 2], [1, 2, 3]), "do not fit"),
        (lambda r: plot.hysteresis([1, 2], [1, 2], labels=["a", "b"]), "2 labels for 1 curves"),
        (lambda r: plot.waveforms([1, 2], [1, 2], [1, 2], [np.zeros(3)]), "2 steps"),
        (lambda r: plot.stdp_window([1, 2], [1]), "do not fit"),
        (lambda r: plot.stdp_window([1, 2], [1, 2], closed_form=lambda t: [1]), "closed_form"),
        (lambda r: plot.learning_curve([1, 2], [[1], [2]]), r"\[points\]"),
        (lambda r: plot.conductance_maps(r[0], r[1, :2]), "expected"),
        (lambda r: plot.conductance_maps(r, r), "1 or 2"),
        (lambda r: plot.receptive_fields(r[0]), r"\[784, n_hidden\]"),
        (lambda r: plot.energy_breakdown({"mac": 1}, {"read": 1}), r"without a price: \['mac'\]"),
        (lambda r: plot.save(plot.figure(), "x.docx"), "png"),
    ],
)
def test_wrong_input_is_refused(r, call, said):
    with pytest.raises(ValueError, match=said):
        call(r)


def test_save_writes_whole_files_only(tmp_path):
    fig = plot.hysteresis([0, 1, 0], [0, 1, 0])
    assert isinstance(fig, Figure)
    path = plot.save(fig, tmp_path / "a.png", dpi=50)
    assert path.read_bytes()[:4] == PNG
    assert plot.save(fig, tmp_path / "a.pdf").read_bytes()[:4] == b"%PDF"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pdf", "a.png"]
    with pytest.raises(UserError, match="cannot write"):
        plot.save(fig, tmp_path / "missing" / "a.png")
