"""Wire-aware mapping: the network of the mapped conductances, solved by another program, gives the wanted outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from nodal import nodal

from memjax import crossbar, devices, mitigation
from memjax.wires import Wires

EXPONENTIAL = devices.get("exponential")
ROWS, COLS, TILE = 20, 6, (20, 3)
G_MIN, G_MAX = 1e-6, 1e-4
OHMS = 30.0, 300.0


@pytest.fixture(scope="module")
def w():
    return jnp.asarray(np.random.default_rng(0).uniform(-0.6, 0.6, (ROWS, COLS)), jnp.result_type(float))


def array(r, polarity=2):
    return crossbar.create(EXPONENTIAL, (ROWS, COLS), TILE, polarity=polarity, wires=Wires(r, r))


@pytest.fixture(scope="module")
def found(w):
    """Maps of three resistances at once, none, some and much."""
    return jax.jit(jax.vmap(lambda r: mitigation.wire_aware.map_wires(array(r), w, passes=12)))(
        jnp.asarray([0.0, *OHMS])
    )


def solved(x, r):
    """Net effective weights of positions x [2, rows, cols], from the dense nodal equations of every tile."""
    g = G_MIN + (G_MAX - G_MIN) * np.asarray(x, np.float64)
    eff = np.zeros_like(g)
    for p in range(2):
        for c in range(0, COLS, TILE[1]):
            part = g[p, :, c : c + TILE[1]]
            for i in range(ROWS):
                unit = np.zeros(ROWS)
                unit[i] = 1
                eff[p, i, c : c + TILE[1]] = nodal(part, unit, r, r)[0]
    return (eff[0] - eff[1]) / (G_MAX - G_MIN)


def test_without_wires_one_device_of_a_pair_carries_the_weight(w, found):
    np.testing.assert_allclose(found.x[0], mitigation.wire_aware.one_of_a_pair(w), atol=1e-6)
    np.testing.assert_array_equal(found.columns.gain[0], 1)


@pytest.mark.parametrize(("k", "r"), [(1, OHMS[0]), (2, OHMS[1])])
def test_effective_weights_are_the_wanted_ones(w, found, k, r):
    gain = np.asarray(found.columns.gain[k])
    plain = np.asarray(mitigation.wire_aware.one_of_a_pair(w))
    before, after = solved(plain, r) - np.asarray(w), solved(found.x[k], r) / gain - np.asarray(w)
    assert np.sqrt(np.mean(before**2)) > 0.02
    assert np.sqrt(np.mean(after**2)) < 0.02 * np.sqrt(np.mean(before**2))
    assert np.asarray(found.x[k]).min() >= 0
    assert np.asarray(found.x[k]).max() <= 1


def test_columns_shrink_only_where_a_device_would_leave_its_range(found):
    gains, top = np.asarray(found.columns.gain), np.asarray(found.x).max(axis=(1, 2))
    assert np.all(gains[1] == 1)
    assert gains[2].min() < 0.95
    np.testing.assert_allclose(top[2][gains[2] < 1], 1, atol=0.05)


def test_the_fixed_point_converges(found):
    error = np.asarray(found.error)
    assert np.all(error[1:, -1] < 0.02 * error[1:, 0])
    assert np.all(np.diff(error[1]) <= 1e-6)


def test_reads_through_the_wires_are_the_wanted_outputs(w, found):
    """Together with the digital gains of its columns; and a read is the sum of what its devices are said to add."""
    columns = jax.tree.map(lambda leaf: leaf[2], found.columns)
    x = jnp.asarray(np.random.default_rng(1).uniform(size=(30, ROWS)), w.dtype)

    @jax.jit
    def chip(position):
        mapped = crossbar.set_state(array(OHMS[1]), position)
        g = crossbar.effective_conductance(mapped)
        read = mitigation.calibration.calibrated(mitigation.reader(crossbar.cache(mapped), 0.02), columns)
        return g, read(x, x * x)

    g, seen = chip(found.x[2])
    assert g.shape == (2, ROWS, COLS)
    np.testing.assert_allclose(seen.value, x @ w, atol=0.02)
    # What is smaller is read with the more noise.
    gain = np.asarray(columns.gain)
    np.testing.assert_allclose(np.asarray(seen.sd[0, 0] / seen.sd[0]), gain / gain[0], rtol=1e-5)
    total = np.asarray(x @ (g[0] - g[1])) / gain / (G_MAX - G_MIN)
    np.testing.assert_allclose(total, seen.value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("xbar", "shape", "message"),
    [
        (array(1.0), (COLS, ROWS), r"accepted is \(20, 6\)"),
        (array(1.0, polarity=1), (ROWS, COLS), "differential pairs"),
        (crossbar.create(EXPONENTIAL, (ROWS, COLS)), (ROWS, COLS), "accepted are those of `create`"),
    ],
)
def test_what_cannot_be_mapped_is_refused(xbar, shape, message):
    with pytest.raises(ValueError, match=message):
        mitigation.wire_aware.map_wires(xbar, jnp.zeros(shape))
