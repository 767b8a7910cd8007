"""Gradients through arrays with wires against finite differences, with cotangents on currents and on node voltages."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import wires


@functools.cache
def functions(topology):
    """A functional of all of a solution's outputs, its gradient by every input, and the shapes' inputs."""
    rng = np.random.default_rng(1)
    of_i, of_word, of_bit, of_source = (rng.normal(size=shape) for shape in ((2, 3), (2, 4, 3), (2, 4, 3), (2, 4)))

    def loss(g, v, r_word, r_bit, r_source, r_sense, v_bit):
        s = wires.solve(g, v, r_word, r_bit, r_source=r_source, r_sense=r_sense, v_bit=v_bit, topology=topology)
        currents = 1e3 * (jnp.sum(of_i * s.i) + jnp.sum(of_source * s.i_word))
        return currents + jnp.sum(of_word * s.v_word) + jnp.sum(of_bit * s.v_bit)

    return jax.jit(loss), jax.jit(jax.grad(loss, range(7)))


def inputs(r_word, r_bit, end):
    rng = np.random.default_rng(0)
    g, v, v_bit = 10 ** rng.uniform(-5, -2, (4, 3)), rng.uniform(-0.2, 0.2, (2, 4)), rng.uniform(-0.1, 0.1, 3)
    return g, v, r_word, r_bit, end * rng.uniform(0.5, 1, 4), end, v_bit


def difference(function, arguments, k, index):
    """Differentiate by one number: centrally, or from the right at zero."""
    x = np.array(arguments[k], float)

    def at(value):
        moved = x.copy()
        moved[index] = value
        return float(function(*arguments[:k], moved, *arguments[k + 1 :]))

    h = 1e-4 * x[index] if x[index] else 1e-6
    if x[index]:
        return (at(x[index] + h) - at(x[index] - h)) / (2 * h)
    return (-3 * at(0.0) + 4 * at(h) - at(2 * h)) / (2 * h)


@pytest.mark.parametrize("topology", ["single", "double"])
@pytest.mark.parametrize("r_word, r_bit, end", [(2.0, 3.0, 40.0), (0.0, 3.0, 0.0), (2.0, 0.0, 5.0), (0.0, 0.0, 0.0)])
def test_gradients_are_the_finite_differences(topology, r_word, r_bit, end, x64):
    loss, gradient = functions(topology)
    arguments = inputs(r_word, r_bit, end)
    for k, found in enumerate(gradient(*arguments)):
        x = np.asarray(arguments[k])
        expected = np.reshape([difference(loss, arguments, k, i) for i in np.ndindex(x.shape)], x.shape)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max(), k


@pytest.mark.broad
def test_second_derivatives(x64):
    """A gradient of a gradient: the rule for the adjoint network is the same rule."""
    g, v, *rest = inputs(2.0, 3.0, 40.0)

    def slope(r):
        return jax.grad(lambda g: jnp.sum(wires.solve(g, v, r, rest[1]).i ** 2) * 1e6)(g)[1, 2]

    h = 1e-4
    found, expected = jax.jit(jax.grad(slope))(2.0), (jax.jit(slope)(2.0 + h) - jax.jit(slope)(2.0 - h)) / (2 * h)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_open_lines_have_no_gradient_by_their_terminal(x64):
    rng = np.random.default_rng(0)
    g, ends = 10 ** rng.uniform(-5, -3, (4, 3)), np.array([0.0, np.inf, 10.0, np.inf])

    @jax.jit
    @jax.grad
    def gradient(ends):
        return 1e3 * jnp.sum(wires.solve(g, np.ones(4), 2.0, 3.0, r_source=ends).i)

    found = gradient(ends)
    assert np.all(np.isfinite(found))
    assert found[1] == found[3] == 0
    assert found[0] < 0
    assert found[2] < 0


@pytest.mark.parametrize("precision", ["mixed", pytest.param("float32", marks=pytest.mark.broad)])
def test_gradients_in_single_precision(precision):
    g, v, r_word, r_bit, *_ = inputs(2.0, 3.0, 0.0)

    def gradient(*arguments):
        def loss(g, v, r_word, r_bit):
            kind = precision if g.dtype == jnp.float32 else None
            return 1e3 * jnp.sum(wires.solve(g, v, r_word, r_bit, precision=kind).i ** 2 * 1e3)

        return jax.jit(jax.grad(loss, range(4)))(*arguments)

    single = [np.asarray(x, np.float32) for x in (g, v, r_word, r_bit)]
    found = gradient(*single)
    with jax.enable_x64(True):
        exact = jax.tree.map(np.asarray, gradient(*(x.astype(np.float64) for x in single)))
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == np.float32
        assert np.abs(np.asarray(a, float) - b).max() <= 1e-5 * np.abs(b).max()
