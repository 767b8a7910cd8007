"""LIF neurons against a NumPy loop over single neurons, and the surrogate derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import neurons


def loop(leak, threshold, refractory, reset, current):
    """One neuron at a time, as in a textbook: returns spikes and potentials before the reset [T, n]."""
    spikes, potentials = np.zeros(current.shape), np.zeros(current.shape)
    for j in range(current.shape[1]):
        v, asleep_until = 0.0, -1
        for t in range(current.shape[0]):
            v = leak * v + (current[t, j] if t > asleep_until else 0.0)
            potentials[t, j] = v
            if t > asleep_until and v > threshold:
                spikes[t, j] = 1
                v = 0.0 if reset == "zero" else v - threshold
                asleep_until = t + refractory
    return spikes, potentials


@pytest.mark.parametrize("reset", neurons.RESETS)
@pytest.mark.parametrize("refractory", [0, 1, 3])
@pytest.mark.parametrize("leak", [0.9, 1.0])
def test_step_equals_a_loop(reset, refractory, leak, x64):
    current = np.random.default_rng(0).normal(0.3, 0.5, (80, 40))
    params = neurons.Params(leak=leak, threshold=0.8, refractory=refractory)

    def step(state, i):
        out, state = neurons.step(params, state, i, reset=reset)
        return state, out

    state, (spikes, v) = jax.jit(lambda i: jax.lax.scan(step, neurons.init((40,)), i))(jnp.asarray(current))
    wanted, potentials = loop(leak, 0.8, refractory, reset, current)
    np.testing.assert_array_equal(spikes, wanted)
    np.testing.assert_allclose(v, potentials, rtol=0, atol=1e-12)
    assert 0.05 < wanted.mean() < 0.6
    assert state.v.dtype == np.float64
    assert state.rest.dtype == np.int32


def test_threshold_is_strict():
    params = neurons.Params(leak=1.0, threshold=1.0)
    (spike, _), _ = neurons.step(params, neurons.init((3,)), jnp.asarray([1.0, np.nextafter(np.float32(1), 2), 0.99]))
    np.testing.assert_array_equal(spike, [0, 1, 0])


def test_refractory_neuron_is_silent_although_it_is_above_the_threshold():
    params = neurons.Params(leak=1.0, threshold=1.0, refractory=2)
    state, fired = neurons.init((1,)), []
    for current in (3.5, 5.0, 5.0, 0.0, 0.0):
        (spike, _), state = neurons.step(params, state, jnp.asarray([current]))
        fired.append(int(spike[0]))
    # 3.5 fires and leaves 2.5; two inputs of 5 are not heard; 2.5 fires at the first step awake, and sleeps again.
    assert fired == [1, 0, 0, 1, 0]
    np.testing.assert_allclose(state.v, 1.5)


def test_constant_current_meets_the_closed_form(x64):
    """n steps of current i from rest: v = i (1 - leak^n) / (1 - leak), so the first spike is at a known step."""
    i, leak = 0.13, 0.9
    first = int(np.floor(np.log(1 - (1 - leak) / i) / np.log(leak))) + 1
    state, params, spikes = neurons.init((1,)), neurons.Params(leak=leak), []
    for n in range(1, first + 1):
        (spike, v), state = neurons.step(params, state, jnp.full(1, i))
        np.testing.assert_allclose(v, i * (1 - leak**n) / (1 - leak), rtol=1e-12)
        spikes.append(float(spike[0]))
    assert spikes == [0.0] * (first - 1) + [1.0]


def test_every_neuron_may_have_its_own_params():
    params = neurons.Params(
        leak=jnp.asarray([0.5, 1.0]), threshold=jnp.asarray([1.0, 0.1]), refractory=jnp.asarray([0, 1])
    )
    neurons.check(params)
    (spike, v), state = neurons.step(params, neurons.init((2,)), jnp.asarray([0.5, 0.5]))
    np.testing.assert_array_equal(spike, [0, 1])
    np.testing.assert_array_equal(state.rest, [0, 1])


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_surrogate_derivative(width, x64):
    u = jnp.asarray([-2.0, -0.4, 0.0, 0.3, 0.5, 3.0])
    value, slope = jax.jvp(lambda u: neurons.spike(u, width), (u,), (jnp.full(6, 2.0),))
    np.testing.assert_array_equal(value, [0, 0, 0, 1, 1, 1])
    triangle = np.maximum(0, 1 - np.abs(np.asarray(u)) / width) / width
    np.testing.assert_allclose(slope, 2 * triangle, rtol=1e-14)
    np.testing.assert_allclose(jax.grad(lambda u: neurons.spike(u, width).sum())(u), triangle, rtol=1e-14)
    grid = np.linspace(-2 * width, 2 * width, 4001)
    np.testing.assert_allclose(np.trapezoid(neurons.psi(jnp.asarray(grid), width), grid), 1, atol=1e-6)


def test_width_may_be_traced():
    slope = jax.jit(jax.grad(neurons.spike))(jnp.asarray(0.25), jnp.asarray(0.5))
    assert slope == 1.0
    widths = jnp.asarray([0.5, 1.0])
    np.testing.assert_allclose(jax.vmap(jax.grad(neurons.spike), (None, 0))(jnp.asarray(0.25), widths), [1.0, 0.75])


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"leak": 1.1}, r"leak = 1.1: accepted is 0 to 1"),
        ({"leak": float("nan")}, "leak = nan"),
        ({"threshold": 0.0}, "threshold = 0.0: accepted is more than 0"),
        ({"refractory": -1}, "refractory = -1: accepted is 0 or more steps"),
    ],
)
def test_check_refuses(bad, message):
    with pytest.raises(ValueError, match=message):
        neurons.check(neurons.Params(**bad))


def test_check_refuses_one_bad_neuron_and_lets_tracers_pass():
    with pytest.raises(ValueError, match="leak"):
        neurons.check(neurons.Params(leak=jnp.asarray([0.9, 1.2])))
    jax.jit(lambda leak: neurons.check(neurons.Params(leak=leak)))(2.0)


def test_unknown_reset():
    with pytest.raises(ValueError, match="reset = 'hard': accepted is one of"):
        neurons.step(neurons.Params(), neurons.init((1,)), jnp.zeros(1), reset="hard")
