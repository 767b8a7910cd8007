"""The drivers: looking rules up, running them, measuring their window."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import plasticity
from memjax.plasticity import Outer, Signals

run = jax.jit(plasticity.run, static_argnames=("rule", "record"))


def test_names_list_files_and_their_variants():
    known = plasticity.names()
    assert {"stdp", "stdp_nearest", "stdp_framework", "error_driven", "three_factor", "delta"} <= set(known)
    assert known == sorted(known)
    assert "base" not in known


def test_unknown_rule_names_the_nearest_and_all():
    with pytest.raises(ValueError, match=r"unknown rule 'stdp_nearst'; did you mean 'stdp_nearest'\?") as error:
        plasticity.get("stdp_nearst")
    assert all(name in str(error.value) for name in plasticity.names())


def test_rule_modules_load_on_first_use():
    assert plasticity.stdp.RULE is plasticity.get("stdp")
    assert {"stdp", "three_factor", "run"} <= set(dir(plasticity))
    with pytest.raises(AttributeError, match="did you mean 'stdp'"):
        plasticity.stpd  # noqa: B018 - the lookup is the test


@pytest.mark.parametrize("k", [1, 2, 8, 9, 30])
def test_dense_expands_the_factors(k, x64):
    rng = np.random.default_rng(k)
    a, b = rng.normal(size=(k, 7)), rng.normal(size=(k, 4))
    wanted = np.array([[sum(a[m, i] * b[m, j] for m in range(k)) for j in range(4)] for i in range(7)])
    np.testing.assert_allclose(plasticity.dense(Outer(jnp.asarray(a), jnp.asarray(b))), wanted, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(plasticity.dense(jnp.asarray(wanted)), wanted)


def test_bounds_clip_after_every_step(x64):
    rule = plasticity.get("delta")
    ones = np.ones((4, 1))
    error = np.array([1.0, 1.0, 1.0, -1.0])
    low, high = np.array([[0.2]]), 0.75
    w, trace = plasticity.run(
        rule, rule.Params(eta=0.2), 0.5 * np.ones((1, 1)), ones, ones, 1e-3,
        modulator=error, record=True, w_min=low, w_max=high,
    )  # fmt: skip
    # Clipping only at the end would give 0.75: the overshoot must not be remembered.
    np.testing.assert_allclose(trace.w[:, 0, 0], [0.7, 0.75, 0.75, 0.55], rtol=0, atol=1e-15)
    np.testing.assert_allclose(w, [[0.55]], rtol=0, atol=1e-15)
    w, _ = plasticity.run(rule, rule.Params(eta=0.2), [[0.3]], ones, ones, 1e-3, modulator=-error, w_min=low)
    np.testing.assert_allclose(w, [[0.4]], rtol=0, atol=1e-15)


def test_a_modulator_per_step_reaches_all_neurons():
    rule = plasticity.get("delta")
    rng = np.random.default_rng(0)
    w0, pre, post = np.zeros((3, 2), np.float32), rng.random((6, 3)), np.zeros((6, 2))
    scalar = rng.normal(size=6)
    one, _ = plasticity.run(rule, rule.Params(), w0, pre, post, 1e-3, modulator=scalar)
    each, _ = plasticity.run(rule, rule.Params(), w0, pre, post, 1e-3, modulator=np.stack([scalar, scalar], axis=1))
    np.testing.assert_allclose(one, each, rtol=1e-6)
    assert np.any(np.asarray(one) != 0)


@pytest.mark.parametrize("name", ["error_driven", "delta", "three_factor"])
def test_a_rule_that_needs_a_modulator_says_so(name):
    rule = plasticity.get(name)
    with pytest.raises(ValueError, match=rf"{name} needs a modulator of shape \(2,\)"):
        plasticity.run(rule, rule.Params(), np.ones((3, 2)), np.ones((4, 3)), np.ones((4, 2)), 1e-3)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"w0": np.ones(3)}, r"w0 must be \[n_pre, n_post\], got shape \(3,\)"),
        ({"pre": np.ones((4, 2))}, r"pre must have shape \(4, 3\) for w0 \(3, 2\), got \(4, 2\)"),
        ({"post": np.ones((5, 2))}, r"post must have shape \(4, 2\) for w0 \(3, 2\), got \(5, 2\)"),
        ({"pre": np.float32(1)}, r"pre must have shape"),
        ({"post": Signals(np.ones((4, 2)), np.ones((4, 3)))}, r"post.v must have shape \(4, 2\)"),
        ({"modulator": np.ones((4, 3))}, r"modulator must be \(4, 2\) or \(4,\), got \(4, 3\)"),
        ({"w_max": np.ones(2)}, r"w_max must be a scalar or \(3, 2\), got shape \(2,\)"),
        ({"dt": 0.0}, r"dt must be one positive number of seconds, got 0.0"),
        ({"dt": np.array([1e-3, 1e-3])}, r"dt must be one positive number"),
    ],
)
def test_wrong_input_is_named(change, message):
    rule = plasticity.get("stdp")
    inputs = {"w0": np.ones((3, 2)), "pre": np.ones((4, 3)), "post": np.ones((4, 2)), "dt": 1e-3} | change
    with pytest.raises(ValueError, match=f"run stdp: {message}"):
        plasticity.run(rule, rule.Params(), **inputs)


@pytest.mark.parametrize(
    "name", ["stdp", *(pytest.param(n, marks=pytest.mark.broad) for n in ("triplet", "stdp_reduced"))]
)
@pytest.mark.parametrize("axonal, dendritic", [(3, 0), (0, 4), (2, 7), ([0, 5, 1], [2, 0])])
def test_delays_are_shifts_of_the_trains(name, axonal, dendritic, x64):
    rng, rule = np.random.default_rng(0), plasticity.get(name)
    pre, post = rng.random((80, 3)) < 0.2, rng.random((80, 2)) < 0.2
    shifted = [np.zeros((90, side.shape[1])) for side in (pre, post)]
    for late, side, delays in zip(shifted, (pre, post), (axonal, dendritic), strict=True):
        for n, delay in enumerate(np.broadcast_to(delays, side.shape[1])):
            late[delay : delay + 80, n] = side[:, n]
    wanted, _ = run(rule, rule.Params(), np.zeros((3, 2)), *shifted, 1e-3)
    padded = [np.pad(side, ((0, 10), (0, 0))) for side in (pre, post)]
    late = plasticity.delayed(rule, axonal, dendritic)
    found, _ = run(late, rule.Params(), np.zeros((3, 2)), *padded, 1e-3)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-15)
    assert np.any(np.asarray(found) != np.asarray(run(rule, rule.Params(), np.zeros((3, 2)), *padded, 1e-3)[0]))


def test_delays_shift_the_window(x64):
    rule, times = plasticity.get("stdp"), np.arange(-20, 21) * 1e-3
    late = plasticity.window(plasticity.delayed(rule, 2, 5), rule.Params(), times, 1e-3, silent=5)
    wanted = plasticity.window(rule, rule.Params(), times + 3e-3, 1e-3)
    np.testing.assert_allclose(late, wanted, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "delays, message", [({"axonal": -1}, "axonal must be"), ({"dendritic": 0.5}, "dendritic must be")]
)
def test_wrong_delays_are_named(delays, message):
    with pytest.raises(ValueError, match=f"delayed: {message} whole numbers of steps >= 0"):
        plasticity.delayed(plasticity.get("stdp"), **delays)


def test_window_refuses_times_off_the_grid():
    rule = plasticity.get("stdp")
    with pytest.raises(ValueError, match=r"multiples of dt = 0.001 s, got 0.0025"):
        plasticity.window(rule, rule.Params(), [0.001, 0.0025], 1e-3)
    with pytest.raises(ValueError, match="dts must be a list of times, got shape"):
        plasticity.window(rule, rule.Params(), np.zeros((2, 2)), 1e-3)
    float32_times = np.linspace(-0.1, 0.1, 201, dtype=np.float32)
    assert plasticity.window(rule, rule.Params(), float32_times, 1e-3).shape == (201,)
