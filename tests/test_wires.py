"""Linear arrays with wires against a sparse nodal solution from the same rounded inputs, and against closed forms."""

import functools

import chex
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodal import apart, nodal

from memjax import wires

# The largest error of a current relative to the largest current: on random arrays, and on arrays of equal cells.
PROMISES = {"float64": (1e-10, 1e-10), "mixed": (1e-6, 1e-6), "float32": (5e-6, 1e-4)}
RESISTANCES = [(1.0, 1.0), (100.0, 100.0), (0.0, 3.0), (2.0, 0.0), (0.0, 0.0), (1e-6, 1e-6), (100.0, 1e-6)]


@functools.cache
def solver(**static):
    return jax.jit(functools.partial(wires.solve, **static))


def rounded(x):
    """The same numbers for every precision."""
    return np.asarray(x, np.float32).astype(float)


def arrays(m, n, seed=0):
    """Conductances [kinds, m, n]: uniform, log-uniform, and three constants; voltages [m]."""
    rng = np.random.default_rng(seed)
    kinds = [rng.uniform(1e-8, 1e-2, (m, n)), 10 ** rng.uniform(-8, -2, (m, n))]
    kinds += [np.full((m, n), g) for g in (1e-8, 1e-5, 1e-2)]
    return rounded(kinds), rounded(rng.uniform(-0.2, 0.2, m))


def check_against_truth(m, n, precision, resistances):
    dtype = np.float64 if precision == "float64" else np.float32
    g, v = arrays(m, n)
    for r_word, r_bit in rounded(resistances):
        with jax.enable_x64(precision == "float64"):
            found = solver(precision=precision)(g.astype(dtype), v.astype(dtype), dtype(r_word), dtype(r_bit))
        assert found.i.dtype == dtype
        assert np.all(found.converged)
        for k, cells in enumerate(g):
            truth = nodal(cells, v, r_word, r_bit)
            promise = PROMISES[precision][int(k >= 2)]
            assert apart(found.i[k], truth.i) <= promise, (k, r_word, r_bit)
            # Voltages are relative to what drives them; in one precision each node of a line rounds them once.
            allowed = (m + n) * np.finfo(np.float32).eps / 2 if precision == "float32" else promise
            for name in ("v_word", "v_bit"):
                error = np.abs(np.asarray(getattr(found, name)[k], float) - getattr(truth, name)).max()
                assert error <= max(promise, allowed) * np.abs(v).max(), (name, k, r_word, r_bit)


@pytest.mark.parametrize("precision", PROMISES)
@pytest.mark.parametrize("m, n", [(1, 1), (40, 24)])
def test_agrees_with_the_nodal_equations(m, n, precision):
    check_against_truth(m, n, precision, RESISTANCES)


@pytest.mark.broad
@pytest.mark.parametrize("precision", PROMISES)
@pytest.mark.parametrize("m, n", [(1, 6), (7, 1), (3, 200), (128, 5), (100, 64), (256, 256)])
def test_agrees_with_the_nodal_equations_up_to_256(m, n, precision):
    check_against_truth(m, n, precision, RESISTANCES)


@pytest.mark.parametrize(
    "n, loss",
    [
        (32, 0.036),
        (64, 0.120),
        (128, 0.348),
        *(pytest.param(*x, marks=pytest.mark.broad) for x in ((256, 0.670), (512, 0.878))),
    ],
)
def test_loss_of_output_current(n, loss):
    """The published series: cells uniform in 1-100 uS, voltages in 0-.2 V, 1 ohm a segment, one draw."""
    rng = np.random.default_rng(1)
    g, v = (rng.uniform(*span, size).astype(np.float32) for span, size in (((1e-6, 1e-4), (n, n)), ((0, 0.2), n)))
    found = solver()(g, v, 1.0, 1.0)
    assert 1 - np.sum(found.i) / np.sum(v @ g) == pytest.approx(loss, abs=0.012)


def test_ideal_wires_give_the_matrix_product(x64):
    g, v = arrays(5, 3)
    found = solver()(g, v, 0.0, 0.0)
    np.testing.assert_allclose(found.i, v @ g, rtol=1e-14)
    np.testing.assert_array_equal(found.v_word[0], np.repeat(v[:, None], 3, axis=1))
    assert np.all(found.v_bit == 0)


@given(
    st.integers(0, 2**32 - 1),
    st.floats(-8, -2),
    st.floats(0, 6),
    st.sampled_from([0.0, 1e-6, 1.0, 100.0]),
    st.sampled_from([0.0, 1e-6, 1.0, 100.0]),
    st.sampled_from([0.0, 50.0]),
)
@settings(max_examples=40, deadline=None)
def test_obeys_kirchhoff(seed, low, decades, r_word, r_bit, end):
    """Every node's currents add up, every segment's voltage is its current times its resistance."""
    rng = np.random.default_rng(seed)
    g = 10 ** np.clip(low + decades * rng.random((6, 5)), -8, -2)
    v = rng.uniform(-1, 1, 6)
    with jax.enable_x64(True):
        s = jax.tree.map(np.asarray, solver()(g, v, r_word, r_bit, r_source=end, r_sense=end))
    assert s.converged
    cells = g * (s.v_word - s.v_bit)
    scale = np.abs(s.i_word).max()
    np.testing.assert_allclose(cells.sum(0), s.i, atol=1e-12 * scale)
    np.testing.assert_allclose(cells.sum(1), s.i_word, atol=1e-12 * scale)
    along = np.cumsum(cells[:, ::-1], axis=1)[:, ::-1]
    drop = -np.diff(np.c_[v - end * s.i_word, s.v_word], axis=1)
    np.testing.assert_allclose(drop, r_word * along, atol=1e-11)
    drop = -np.diff(np.r_[s.v_bit, [end * s.i]], axis=0)
    np.testing.assert_allclose(drop, r_bit * np.cumsum(cells, axis=0), atol=1e-11)


def test_leading_axes_broadcast(x64):
    """Inputs share cells, tiles have their own, in any order of axes; vmap gives the same."""
    rng = np.random.default_rng(0)
    g, v = 10 ** rng.uniform(-6, -3, (3, 1, 6, 5)), rng.uniform(-0.2, 0.2, (4, 6))
    found = solver()(g, v, 2.0, 3.0)
    assert found.i.shape == (3, 4, 5)
    assert found.v_word.shape == found.v_bit.shape == found.i_cell.shape == (3, 4, 6, 5)
    assert found.residual.shape == found.converged.shape == found.iterations.shape == (3, 4)
    for a in range(3):
        for b in range(4):
            truth = nodal(g[a, 0], v[b], 2.0, 3.0)
            assert apart(found.i[a, b], truth.i) < 1e-12
            assert apart(found.v_bit[a, b], truth.v_bit) < 1e-12
            assert apart(found.i_word[a, b], truth.i_word) < 1e-12
    other = solver()(np.moveaxis(g, 0, 1), v[:, None], 2.0, 3.0)
    np.testing.assert_allclose(np.moveaxis(other.v_bit, 0, 1), found.v_bit, rtol=0, atol=1e-15)
    each = jax.jit(jax.vmap(lambda g: wires.solve(g, v, 2.0, 3.0)))(g[:, 0][:, None])
    np.testing.assert_allclose(each.i, found.i, rtol=1e-12)


def test_mixed_precision_inside_vmap_and_jit():
    """float64 residuals, with x64 off, under every transformation."""
    g, v = arrays(40, 24)
    g, v = g[:2].astype(np.float32), v.astype(np.float32)
    each = jax.jit(jax.vmap(jax.jit(lambda g: wires.solve(g, v, 2.0, 3.0))))(g)
    value = jax.jit(jax.grad(lambda v: wires.solve(g[0], v, 2.0, 3.0).i.sum()))(v)
    assert each.i.dtype == value.dtype == np.float32
    for k in range(2):
        truth = nodal(g[k], v, 2.0, 3.0)
        assert apart(each.i[k], truth.i) < 1e-6
    # i = v g_eff, so the derivative by v is the row sum of g_eff.
    np.testing.assert_allclose(value, jax.jit(wires.effective)(g[0], wires.Wires(2.0, 3.0)).sum(1), rtol=1e-5)


def test_chunks_give_what_one_pass_gives(monkeypatch, x64):
    rng = np.random.default_rng(0)
    g, v = 10 ** rng.uniform(-6, -3, (3, 1, 4, 5)), rng.uniform(-0.2, 0.2, (7, 4))
    whole = jax.jit(lambda g, v: wires.solve(g, v, 2.0, 3.0))(g, v)
    for chunk in (40, 300):  # some inputs at a time, and some tiles
        monkeypatch.setattr("memjax.wires._network.CHUNK", chunk)
        parts = jax.jit(lambda g, v: wires.solve(g, v, 2.0, 3.0))(g, v)
        chex.assert_trees_all_close(parts.replace(residual=whole.residual), whole, rtol=1e-12)


def test_a_limit_returns_the_residual_and_a_flag():
    g, v = np.full((32, 32), 1e-2, np.float32), np.ones(32, np.float32)
    short = solver(limit=3)(g, v, 100.0, 100.0)
    assert short.iterations == 3
    assert not short.converged
    assert 1e-6 < short.residual < 1
    assert np.all(np.isfinite(short.i))
    full = solver()(g, v, 100.0, 100.0)
    assert full.converged
    assert full.residual < 1e-8


def test_cells_that_do_not_conduct():
    g = np.zeros((4, 3), np.float32)
    found = solver()(g, np.ones(4, np.float32), 2.0, 3.0)
    assert np.all(found.i == 0)
    np.testing.assert_array_equal(found.v_word, 1)
    assert found.converged


@pytest.mark.parametrize("m, n", [(6, 5), (4, 7)])
def test_effective_conductances(m, n, x64):
    """i = v g_eff for every input; driven from the shorter side, by reciprocity."""
    rng = np.random.default_rng(0)
    g, v = 10 ** rng.uniform(-6, -3, (2, m, n)), rng.uniform(-0.2, 0.2, (3, m))
    lines = wires.Wires(2.0, 3.0, r_source=40.0, r_sense=np.linspace(0, 5, n))
    found = jax.jit(wires.effective)(g, lines)
    assert found.shape == g.shape
    for k in range(2):
        for x in v:
            truth = nodal(g[k], x, 2.0, 3.0, 40.0, np.linspace(0, 5, n))
            np.testing.assert_allclose(x @ found[k], truth.i, rtol=1e-12)


# --- terminals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", ["single", "double_drive", "double_sense", "double"])
def test_terminals(topology, x64):
    """Driver and sense resistances, one for all and one a line, at one end or both, zero included."""
    rng = np.random.default_rng(0)
    g, v, v_bit = 10 ** rng.uniform(-6, -3, (6, 5)), rng.uniform(-0.2, 0.2, 6), rng.uniform(-0.1, 0.1, 5)
    source, sense = rng.uniform(0, 100, 6), rng.uniform(0, 100, 5)
    source[2] = sense[3] = 0
    run = solver(topology=topology)
    for r_word, r_bit in [(2.0, 3.0), (0.0, 3.0), (2.0, 0.0), (0.0, 0.0), (1e-6, 1e-6)]:
        # The sparse matrix loses 1 / 50 ohm beside 1 / 1e-6 ohm; the property test above has that case.
        for ends in [(0.0 * source, 0.0 * sense), (source, sense)][: 1 if r_word == 1e-6 else 2]:
            found = run(g, v, r_word, r_bit, r_source=ends[0], r_sense=ends[1], v_bit=v_bit)
            truth = nodal(g, v, r_word, r_bit, *ends, v_bit, topology)
            for name in truth._fields:
                assert apart(getattr(found, name), getattr(truth, name)) < 1e-10, (name, r_word, r_bit)


def test_two_drivers_lose_less():
    g, v = np.full((16, 16), 1e-4, np.float32), np.full(16, 0.2, np.float32)
    ideal = (v @ g).sum()
    lost = {name: 1 - float(solver(topology=name)(g, v, 2.0, 2.0).i.sum() / ideal) for name in ("single", "double")}
    assert 0 < 3 * lost["double"] < lost["single"]


def test_sneak_path_of_a_floating_array(x64):
    """All cells equal, ideal wires, all but two lines open: g beside (n-1) g, (m-1)(n-1) g and (m-1) g in series."""
    for m, n in ((16, 16), (4, 9)):
        g = np.full((m, n), 1e-4)
        drive = wires.select((m, n), 2, 3, 1.0, "floating")
        found = solver()(g, drive.v, 0.0, 0.0, r_source=drive.r_source, r_sense=drive.r_sense, v_bit=drive.v_bit)
        around = 1 / (1 / (n - 1) + 1 / ((m - 1) * (n - 1)) + 1 / (m - 1))
        assert found.i[3] == pytest.approx(1e-4 * (1 + around), rel=1e-12)
        assert found.i_word[2] == pytest.approx(float(found.i[3]), rel=1e-12)
        assert np.abs(np.delete(np.asarray(found.i), 3)).max() < 1e-18
        # Half-way round: the lines that float divide the voltage as the three groups in series.
        assert found.v_bit[0, 0] == pytest.approx(1 - around / (n - 1), rel=1e-12)


@pytest.mark.parametrize("scheme", ["half", "third", "ground", "floating"])
def test_select_schemes(scheme, x64):
    rng = np.random.default_rng(0)
    m, n = 16, 16
    g = 10 ** rng.uniform(-6, -3, (m, n))
    drive = jax.jit(lambda row: wires.select((m, n), row, 5, 0.9, scheme, r_source=10.0, r_sense=20.0))(7)
    across = np.asarray(drive.v)[:, None] - np.asarray(drive.v_bit)
    assert across[7, 5] == 0.9
    share = {"half": (0.45, 0.45, 0.0), "third": (0.3, 0.3, -0.3), "ground": (0.9, 0.0, 0.0)}.get(scheme)
    if share:
        np.testing.assert_allclose((across[7, 0], across[0, 5], across[0, 0]), share, atol=1e-15)
    assert np.isinf(drive.r_source[0]) == np.isinf(drive.r_sense[0]) == (scheme == "floating")
    ends = {"r_source": drive.r_source, "r_sense": drive.r_sense, "v_bit": drive.v_bit}
    found = solver()(g, drive.v, 2.0, 3.0, **ends)
    truth = nodal(g, drive.v, 2.0, 3.0, drive.r_source, drive.r_sense, np.asarray(drive.v_bit))
    for name in truth._fields:
        # The currents of open lines are sums of a line's cells that cancel.
        assert apart(getattr(found, name), getattr(truth, name)) < 1e-10, name


# --- power --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", ["single", "double"])
def test_power_dissipated_is_power_delivered(topology, x64):
    rng = np.random.default_rng(0)
    g, v, v_bit = 10 ** rng.uniform(-6, -3, (2, 12, 9)), rng.uniform(-0.2, 0.2, 12), rng.uniform(-0.1, 0.1, 9)
    for r_word, r_bit, r_source, r_sense in [(2.0, 3.0, 40.0, 5.0), (0.0, 3.0, 0.0, 5.0), (0.0, 0.0, 0.0, 0.0)]:
        lines = wires.Wires(r_word, r_bit, r_source, r_sense, topology)
        found = solver(topology=topology)(g, v, r_word, r_bit, r_source=r_source, r_sense=r_sense, v_bit=v_bit)
        p = wires.power(found, lines, v, v_bit)
        np.testing.assert_allclose(p.cells + p.word + p.bit + p.terminals, p.delivered, rtol=1e-12)
        # And against the squares of the truth's voltages.
        for k in range(2):
            t = nodal(g[k], v, r_word, r_bit, r_source, r_sense, v_bit, topology)
            np.testing.assert_allclose(p.cells[k], (g[k] * (t.v_word - t.v_bit) ** 2).sum(), rtol=1e-10)
            if r_word and topology == "single":
                inner = (np.diff(t.v_word, axis=1) ** 2).sum() / r_word
                np.testing.assert_allclose(p.word[k], inner + r_word * (t.i_word**2).sum(), rtol=1e-9)
                np.testing.assert_allclose(
                    p.terminals[k], r_source * (t.i_word**2).sum() + r_sense * (t.i**2).sum(), rtol=1e-9
                )


def test_power_in_single_precision():
    g, v = arrays(40, 24)
    g, v = g[:2].astype(np.float32), v.astype(np.float32)
    p = wires.power(solver(precision="mixed")(g, v, 2.0, 3.0), wires.Wires(2.0, 3.0), v)
    np.testing.assert_allclose(p.cells + p.word + p.bit + p.terminals, p.delivered, rtol=1e-6)


# --- what is refused ----------------------------------------------------------------------------------------------

G, V = np.full((3, 2), 1e-4), np.ones(3)


@pytest.mark.parametrize(
    "arguments, more, message",
    [
        ((-G, V, 1.0, 1.0), {}, r"g = -\S+: accepted is 0 S or more"),
        ((G * np.nan, V, 1.0, 1.0), {}, "g = nan: accepted is 0 S or more"),
        ((G[0], V, 1.0, 1.0), {}, r"g has shape \(2,\): accepted is \[..., word lines, bit lines\]"),
        ((G, V[:2], 1.0, 1.0), {}, r"v has shape \(2,\): the last axis must have 3 word lines"),
        ((G, V * np.inf, 1.0, 1.0), {}, "v = inf: accepted is a finite voltage"),
        ((G, V, -1.0, 1.0), {}, "r_word = -1.0: accepted is 0 ohm or more"),
        ((G, V, 1.0, np.nan), {}, "r_bit = nan: accepted is 0 ohm or more"),
        ((G, V, 1.0, np.ones(2)), {}, r"r_bit has shape \(2,\): accepted is one number"),
        ((G, V, 1.0, 1.0), {"r_source": -1.0}, "r_source = -1.0: accepted is 0 ohm or more, inf"),
        ((G, V, 1.0, 1.0), {"r_sense": np.ones(3)}, r"r_sense has shape \(3,\): accepted is \[\], or a last axis of 2"),
        ((G, V, 1.0, 1.0), {"v_bit": np.ones(3)}, r"v_bit has shape \(3,\): the last axis must have 2 bit lines"),
        ((G, V, 1.0, 1.0), {"topology": "ring"}, "topology = 'ring': accepted are single, double_drive"),
        ((G, V, 1.0, 1.0), {"precision": "half"}, "precision = 'half': accepted are float32, mixed"),
        (
            (G.astype(np.float32), V.astype(np.float32), 1.0, 1.0),
            {"precision": "float64"},
            "with float32 inputs: float64",
        ),
        ((G, V, 1.0, 1.0), {"limit": 0}, "limit = 0: accepted is 1 or more"),
        ((np.ones((2, 3, 2)), np.ones((5, 3)), 1.0, 1.0), {}, "they must broadcast"),
        ((G, V, 1.0, 1.0), {"r_source": np.inf, "r_sense": np.inf}, "word line 0 floats and no cell connects it"),
    ],
)
def test_refuses(arguments, more, message):
    with pytest.raises(ValueError, match=message):
        wires.solve(*arguments, **more)


def test_refuses_lines_without_a_path_to_ground():
    """Line by line: a floating word line whose only cells lead to floating bit lines."""
    g = np.ones((3, 3))
    g[1], g[1, 2], g[0, 2], g[2, 2] = 0, 1, 0, 0
    ends = {"r_source": np.array([0, np.inf, 0]), "r_sense": np.array([0, 0, np.inf])}
    with pytest.raises(ValueError, match="word line 1 floats"):
        wires.solve(g, np.ones(3), 1.0, 1.0, **ends)
    g[0, 2] = 1
    assert jax.jit(lambda v: wires.solve(g, v, 1.0, 1.0, **ends).converged)(np.ones(3))
    with pytest.raises(ValueError, match="scheme = 'fifth': accepted are half, third, ground, floating"):
        wires.select((3, 3), 0, 0, 1.0, "fifth")
