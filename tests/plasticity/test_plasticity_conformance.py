"""What every learning rule must do, whatever it learns: the suite picks a rule up the moment its file exists."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import plasticity
from memjax.plasticity import Outer, Signals

T, N_PRE, N_POST, DT = 40, 5, 3, 1e-3
# A trace, an eligibility or a sum acts after the last spike, on errors, rewards or a potential: that is the rule.
ACT_LATER = {"three_factor", "voltage", "reward_stdp", "reward_stdp_nearest", "mstdpet", "manhattan_batch"}
# One rule of every kind by default, the others in CI's second step: pairs of spikes, triplets, errors with and without
# a trace, graded activity, a potential, a state for each synapse.
BY_DEFAULT = {"stdp", "triplet", "three_factor", "delta", "bcm", "voltage", "reward_stdp"}

pytestmark = pytest.mark.parametrize(
    "rule",
    [
        pytest.param(rule, id=rule.name, marks=[] if rule.name in BY_DEFAULT else pytest.mark.broad)
        for rule in map(plasticity.get, plasticity.names())
    ],
)


def activity(dtype=np.float32, seed=0):
    """Draw dense random spikes, potentials around a threshold of 1, errors and weights inside (0, 1)."""
    rng = np.random.default_rng(seed)
    pre = Signals((rng.random((T, N_PRE)) < 0.3).astype(dtype), rng.normal(0.8, 0.5, (T, N_PRE)).astype(dtype))
    post = Signals((rng.random((T, N_POST)) < 0.3).astype(dtype), rng.normal(0.8, 0.5, (T, N_POST)).astype(dtype))
    return rng.uniform(0.2, 0.8, (N_PRE, N_POST)).astype(dtype), pre, post, rng.normal(size=(T, N_POST)).astype(dtype)


@functools.partial(jax.jit, static_argnames=("rule", "record"))
def run(rule, params, w, pre, post, modulator, dt=DT, record=False, state=None):
    return plasticity.run(rule, params, w, pre, post, dt, modulator=modulator, record=record, state=state)


def at(signals, t):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[t]), signals)


def test_argument_names_and_order(rule):
    assert list(inspect.signature(rule.init).parameters) == ["params", "n_pre", "n_post"]
    assert list(inspect.signature(rule.step).parameters) == ["params", "state", "pre", "post", "w", "modulator", "dt"]
    assert list(inspect.signature(rule.check).parameters) == ["params"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_step_is_a_fixed_point_of_structure_shape_and_dtype(rule, dtype, x64):
    w, pre, post, modulator = activity(dtype)
    params = jax.tree.map(dtype, rule.Params())
    state = rule.init(params, N_PRE, N_POST)
    step = functools.partial(rule.step, params, dt=DT)
    dw, after = jax.eval_shape(step, state, at(pre, 0), at(post, 0), jnp.asarray(w), jnp.asarray(modulator[0]))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (old.shape, old.dtype, new.weak_type) == (new.shape, new.dtype, False)
        assert new.dtype == dtype
    if isinstance(dw, Outer):
        assert dw.a.shape == (len(dw.b), N_PRE)
        assert dw.b.shape == (len(dw.a), N_POST)
    full = jax.eval_shape(plasticity.dense, dw)
    assert (full.shape, full.dtype) == ((N_PRE, N_POST), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_run_follows_the_dtype_of_the_weights(rule, dtype, x64):
    w0, pre, post, modulator = activity(np.float64)
    whole = functools.partial(run, rule, record=True)
    w, trace = jax.eval_shape(whole, rule.Params(), w0.astype(dtype), pre, post, modulator)
    assert {w.dtype, trace.w.dtype} == {np.dtype(dtype)}
    assert trace.w.shape == (T, N_PRE, N_POST)


def test_float32_agrees_with_float64(rule):
    w0, pre, post, modulator = activity(np.float64)
    single, _ = run(rule, rule.Params(), w0.astype(np.float32), pre, post, modulator)
    assert single.dtype == np.float32
    with jax.enable_x64(True):
        double, _ = run(rule, rule.Params(), w0, pre, post, modulator)
    assert not np.array_equal(double, w0)
    np.testing.assert_allclose(single, double, rtol=0, atol=5e-6 * max(1.0, np.max(np.abs(double))))


def test_silence_changes_nothing_even_with_traces_and_errors(rule):
    if inspect.getmodule(rule.step) is plasticity.homeostasis:
        pytest.skip("answers to silence: that is the rule")
    w0, pre, post, modulator = activity()
    _, trace = run(rule, rule.Params(), w0, pre, post, modulator)
    silent = Signals(np.zeros_like(pre.spike)), Signals(np.zeros_like(post.spike), np.zeros_like(post.v))
    w, _ = run(rule, rule.Params(), w0, *silent, modulator)
    np.testing.assert_array_equal(w, w0)
    if rule.name not in ACT_LATER:
        w, _ = run(rule, rule.Params(), w0, *silent, modulator, state=trace.last)
        np.testing.assert_array_equal(w, w0)


def test_between_spikes_what_has_taus_only_decays(rule, x64):
    if rule.taus is None:
        pytest.skip("acts between spikes too")
    params, (w, *_) = rule.Params(), activity(np.float64)
    rng = np.random.default_rng(1)
    state = jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(0.5, 2.0, leaf.shape)), rule.init(params, N_PRE, N_POST))
    silent = Signals(jnp.zeros(N_PRE)), Signals(jnp.zeros(N_POST))
    dw, after = rule.step(params, state, *silent, jnp.asarray(w), None, DT)
    assert not np.any(plasticity.dense(dw))
    wanted = jax.tree.map(lambda leaf, tau: leaf * np.exp(-DT / tau), state, rule.taus(params))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-14), after, wanted)


def test_bool_int_and_float_spikes_are_the_same(rule):
    w0, pre, post, modulator = activity()
    results = []
    for kind in (bool, np.int32, np.float32):
        typed = [side._replace(spike=side.spike.astype(kind)) for side in (pre, post)]
        results.append(run(rule, rule.Params(), w0, *typed, modulator)[0])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_deterministic_and_the_record_is_the_run(rule):
    w0, pre, post, modulator = activity()
    w1, trace = run(rule, rule.Params(), w0, pre, post, modulator, record=True)
    w2, again = run(rule, rule.Params(), w0, pre, post, modulator, record=True)
    np.testing.assert_array_equal(trace.w, again.w)
    np.testing.assert_array_equal(trace.w[-1], w1)
    np.testing.assert_array_equal(w1, w2)
    for last, steps in zip(jax.tree.leaves(trace.last), jax.tree.leaves(trace.state), strict=True):
        np.testing.assert_array_equal(last, steps[-1])


def test_a_run_in_two_parts_is_the_same_run(rule):
    w0, pre, post, modulator = activity()
    whole, _ = run(rule, rule.Params(), w0, pre, post, modulator)
    first = [jax.tree.map(lambda leaf: leaf[:17], part) for part in (pre, post, modulator)]
    second = [jax.tree.map(lambda leaf: leaf[17:], part) for part in (pre, post, modulator)]
    w, trace = run(rule, rule.Params(), w0, *first)
    w, _ = run(rule, rule.Params(), w, *second, state=trace.last)
    np.testing.assert_array_equal(w, whole)


def test_traced_once_for_all_values(rule):
    w0, pre, post, modulator = activity()
    traces = []

    def counted(params, w, dt):
        traces.append(None)
        return run(rule, params, w, pre, post, modulator, dt)[0]

    jitted = jax.jit(counted)
    for scale in (1.0, 1.1, 0.7):
        params = jax.tree.map(lambda leaf: leaf * scale, rule.Params())  # noqa: B023 - used at once
        jitted(params, w0 * np.float32(scale), DT * scale)
    assert len(traces) == 1


def test_vmap_over_params_and_weights_equals_a_python_loop(rule, x64):
    # A scan under vmap has been miscompiled by a JAX 0.10 backend before (github.com/jax-ml/jax/issues/36958).
    w0, pre, post, modulator = activity(np.float64)
    scales = np.array([0.5, 1.0, 1.7])
    many = jax.tree.map(lambda leaf: leaf * scales, rule.Params())
    ws = w0 * scales[:, None, None] / 2
    one = jax.jit(lambda params, w: run(rule, params, w, pre, post, modulator)[0])
    batched = jax.jit(jax.vmap(one))(many, ws)
    for i in range(len(scales)):
        alone = one(jax.tree.map(lambda leaf: leaf[i], many), ws[i])  # noqa: B023 - used at once
        np.testing.assert_allclose(batched[i], alone, rtol=0, atol=1e-14)
    assert not np.allclose(batched[0] - ws[0], batched[1] - ws[1], rtol=1e-3, atol=0)


def test_gradients_match_finite_differences(rule, x64):
    w0, pre, post, modulator = activity(np.float64)
    probe = np.random.default_rng(1).normal(size=w0.shape)

    def loss(inputs):
        params, w = inputs
        return jnp.sum(probe * run(rule, params, w, pre, post, modulator)[0])

    inputs = (jax.tree.map(jnp.float64, rule.Params()), jnp.asarray(w0))
    gradient = jax.jit(jax.grad(loss))(inputs)
    value = jax.jit(loss)
    leaves, treedef = jax.tree.flatten(inputs)
    for k, exact in enumerate(jax.tree.leaves(gradient)):
        direction = np.random.default_rng(k).choice([-1.0, 1.0], size=leaves[k].shape)
        h = 1e-6 * max(float(np.mean(np.abs(leaves[k]))), 1e-2)  # an amplitude of 1e-10 would drown in rounding
        up, down = ([*leaves[:k], leaves[k] + s * h * direction, *leaves[k + 1 :]] for s in (1, -1))
        measured = (value(treedef.unflatten(up)) - value(treedef.unflatten(down))) / (2 * h)
        np.testing.assert_allclose(np.sum(exact * direction), measured, rtol=1e-5, atol=1e-8)


def test_params_pass_their_own_check_and_refuse_nonsense(rule):
    params = rule.Params()
    rule.check(params)
    assert type(params).__doc__
    for name, value in vars(params).items():
        assert value is None or isinstance(value, float)
        with pytest.raises(ValueError, match=f"{name} must be finite, got nan"):
            rule.check(params.replace(**{name: float("nan")}))
        if name.startswith("tau"):
            with pytest.raises(ValueError, match=f"{name} must be >=? 0, got -0.02"):
                rule.check(params.replace(**{name: -0.02}))
            with pytest.raises(ValueError, match=name):
                plasticity.run(rule, params.replace(**{name: -0.02}), *activity()[:3], DT)


def test_found_by_its_name(rule):
    assert plasticity.get(rule.name) is rule
    module = inspect.getmodule(rule.step)
    assert rule in getattr(module, "RULES", (module.RULE,))
    assert rule.Params is module.Params
