"""Event-driven spiking plasticity: equal to the dense way, to `plasticity.run`, and to a plain loop over synapses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import devices, neurons, plasticity, spiking

N_PRE, N_POST, T, DT = 21, 35, 150, 1e-3  # two words of 16 lines and a part, on the one side
ACTIVITIES = (0.0, 0.003, 0.03, 0.1, 0.5, 1.0)
SLOW = pytest.mark.broad


def rng(seed=0):
    return np.random.default_rng(seed)


def trains(activity, seed=0):
    draw = rng(seed)
    return draw.random((T, N_PRE)) < activity, draw.random((T, N_POST)) < activity


@functools.partial(jax.jit, static_argnames=("rule", "method"))
def run(rule, params, synapses, state, pre, post, method="event", costs=spiking.COSTS):
    return spiking.run(rule, params, synapses, state, pre, post, DT, method=method, costs=costs)


def close(a, b):
    for found, wanted in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


RULES = [
    pytest.param(name, mu, marks=marks, id=name if mu is None else f"{name}, mu {mu}")
    for name, mu, marks in (
        ("stdp", None, ()),
        ("stdp", 0.4, SLOW),
        ("stdp_nearest", None, SLOW),
        ("stdp_nearest", 1.0, ()),
        ("stdp_pre_centred", None, SLOW),
        ("stdp_pre_centred", 0.4, ()),
        ("stdp_reduced", None, ()),
        ("stdp_reduced", 0.4, SLOW),
        ("triplet", None, ()),
        ("triplet_nearest", None, SLOW),
    )
]


@pytest.mark.parametrize("name, mu", RULES)
def test_event_equals_dense_and_the_driver_of_rules(name, mu, x64):
    rule = plasticity.get(name)
    params = rule.Params() if mu is None else rule.Params(mu=mu)
    bounds = spiking.Weights(jnp.asarray(0.1), jnp.asarray(0.9))
    w0 = jnp.asarray(rng(1).uniform(0.1, 0.9, (N_PRE, N_POST)))
    apart = jax.jit(lambda pre, post: plasticity.run(rule, params, w0, pre, post, DT, w_min=0.1, w_max=0.9))
    ways, moved = set(), 0.0
    for activity in ACTIVITIES:
        pre, post = trains(activity)
        dense, record = run(rule, params, bounds, w0, pre, post, method="dense")
        wanted, trace = apart(pre, post)
        close((dense, record.last.rule), (wanted, trace.last))
        moved = max(moved, np.abs(dense - w0).max())
        for costs in (spiking.COSTS, (0.0, 0.0)):
            event, found = run(rule, params, bounds, w0, pre, post, costs=costs)
            close((event, found.last.rule), (dense, record.last.rule))
            np.testing.assert_array_equal(found.spikes, post)
            ways.add(int(found.dense_steps) if costs[0] else -int(found.dense_steps))
    assert min(ways) == 0  # (0, 0) never goes the dense way
    assert max(ways) == T  # everything spikes
    assert any(0 < steps < T for steps in ways)  # and some runs choose step by step
    assert moved > 0.05


def test_sliding_triplet(x64):
    rule = plasticity.get("triplet")
    params, (pre, post) = rule.Params(rho_0=10.0), trains(0.05)
    w0 = jnp.asarray(rng(1).uniform(0.1, 0.9, (N_PRE, N_POST)))
    dense, event = (run(rule, params, spiking.Weights(), w0, pre, post, method=m)[0] for m in ("dense", "event"))
    close(event, dense)


def lif(leak, blend, fall):
    """Return LIF neurons with exponential synapses: v integrates g, and what arrives now acts from the next step on."""
    params = neurons.Params(leak=leak, threshold=1.0)

    def step(state, current):
        g, membrane = state
        (spike, _), membrane = neurons.step(params, membrane, blend * g, reset="zero")
        return spike, (fall * g + current, membrane)

    return step


def by_hand(p, device, pulse, x, pre, leak, blend, fall):
    """Walk through all synapses, volatile devices under pair STDP, and LIF neurons, one by one."""
    g = np.array(device.g_min + (device.g_max - device.g_min) * x)
    (rows, cols), current = g.shape, np.zeros(N_POST)
    traces_pre, traces_post, drive, v = np.zeros(rows), np.zeros(cols), np.zeros(cols), np.zeros(cols)
    spikes = np.zeros((T, cols), bool)
    for t in range(T):
        w = (g - device.g_min) / (device.g_max - device.g_min)
        current = sum((w[i] for i in range(rows) if pre[t, i]), np.zeros(cols))
        v = leak * v + blend * drive
        fired = v > 1
        v[fired], drive = 0, fall * drive + current
        traces_pre, traces_post = traces_pre * np.exp(-DT / p.tau_plus), traces_post * np.exp(-DT / p.tau_minus)
        for i, j in np.ndindex(rows, cols):
            dw = p.a_plus * traces_pre[i] * fired[j] - p.a_minus * traces_post[j] * pre[t, i]
            count = np.clip(np.round(dw / pulse), -1, 1)
            if count > 0:
                g[i, j] += device.alpha_pot * (device.g_max - g[i, j])
            elif count < 0:
                g[i, j] -= device.alpha_dep * (g[i, j] - device.g_min)
            else:
                g[i, j] = device.g_min + (g[i, j] - device.g_min) * np.exp(-DT / device.tau)
        traces_pre, traces_post = traces_pre + pre[t], traces_post + fired
        spikes[t] = fired
    return g, spikes


def test_a_closed_loop_of_volatile_devices_equals_a_loop_by_hand(x64):
    rule, device = plasticity.get("stdp"), devices.get("volatile")
    params = rule.Params(a_plus=0.02, a_minus=0.021)
    physics = device.Params(tau=0.05, alpha_pot=0.1, alpha_dep=0.1)
    synapses = spiking.Devices(physics, 0.005, device=device)
    x, pre = rng(2).uniform(0.3, 0.9, (N_PRE, N_POST)), trains(0.05)[0]
    leak, blend, fall = 0.95, 0.05, 0.8
    wanted, spikes = by_hand(params, physics, 0.005, x, pre, leak, blend, fall)
    assert 0.02 < spikes.mean() < 0.3
    start = (jnp.zeros(N_POST), neurons.init((N_POST,), jnp.float64))
    step = lif(leak, blend, fall)
    for method, costs in (("dense", (0, 0)), ("event", (0, 0)), ("event", spiking.COSTS)):
        loop = jax.jit(
            lambda state, pre, method=method, costs=costs: spiking.run(
                rule, params, synapses, state, pre, spiking.Neurons(step, start), DT, method=method, costs=costs
            )
        )
        state, record = loop(device.init(physics, x), pre)
        np.testing.assert_array_equal(record.spikes, spikes)
        np.testing.assert_allclose(state.g, wanted, rtol=1e-12, atol=0)
    assert 0 < int(record.dense_steps) < T


@pytest.mark.parametrize("name", ["soft_bounds", "second_order", pytest.param("diffusive", marks=SLOW)])
def test_arrays_of_different_devices(name, x64):
    """One that keeps what it has, and two with several leaves of state that relax; one parameter is each one's own."""
    device, rule, (pre, post) = devices.get(name), plasticity.get("stdp_pre_centred"), trains(0.02)
    spread = jnp.asarray(rng(3).uniform(0.8, 1.2, (N_PRE, N_POST)))
    field = {"soft_bounds": "g_max", "second_order": "tau_s", "diffusive": "mu"}[name]
    nominal = device.Params()
    physics = nominal.replace(**{field: getattr(nominal, field) * spread})
    synapses = spiking.Devices(physics, 0.004, v_write=1.0, device=device)
    start = device.init(physics, jnp.asarray(rng(4).uniform(0.2, 0.8, (N_PRE, N_POST))))
    dense, record = run(rule, rule.Params(), synapses, start, pre, post, method="dense")
    event, found = run(rule, rule.Params(), synapses, start, pre, post, costs=(0.0, 0.0))
    close((event, found.last), (dense, record.last))
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(dense), jax.tree.leaves(start), strict=True))


def test_both_ways_count_the_same_writes():
    """A pulse is a write of its own, also where nothing moves a synapse at 0 V, so that it never rests."""
    device, rule, (pre, post) = devices.with_endurance(devices.get("vteam")), plasticity.get("stdp"), trains(0.05)
    params = device.Params()
    synapses = spiking.Devices(params, 0.004, v_write=2.0, device=device)
    start = device.init(params, jnp.full((N_PRE, N_POST), 0.5))
    ways = {"dense": {}, "event": {"costs": (0.0, 0.0)}}
    one, two = (
        spiking.run(rule, rule.Params(), synapses, start, pre, post, 1e-11, method=method, **costs)[0].writes
        for method, costs in ways.items()
    )
    np.testing.assert_array_equal(one, two)
    assert one.max() > 2  # of one sign in a row too


def test_a_run_is_continued(x64):
    rule, device = plasticity.get("stdp_reduced"), devices.get("volatile")
    synapses = spiking.Devices(device.Params(tau=0.05), 0.004, device=device)
    start, (pre, post) = device.init(device.Params(), jnp.full((N_PRE, N_POST), 0.5)), trains(0.02)
    once, wanted = run(rule, rule.Params(), synapses, start, pre, post)
    part = jax.jit(
        lambda state, pre, post, last: spiking.run(rule, rule.Params(), synapses, state, pre, post, DT, resume=last)
    )
    half = T // 2
    state, record = run(rule, rule.Params(), synapses, start, pre[:half], post[:half])
    state, found = part(state, pre[half:], post[half:], record.last)
    close((state, found.last), (once, wanted.last))


def test_one_compilation_whatever_the_activity():
    traces = []
    rule, w0 = plasticity.get("stdp"), jnp.full((N_PRE, N_POST), 0.5)

    @jax.jit
    def once(params, pre, post):
        traces.append(1)
        return spiking.run(rule, params, spiking.Weights(), w0, pre, post, DT)

    for k, activity in enumerate(ACTIVITIES):
        w, record = once(rule.Params(a_plus=0.01 + k), *trains(activity))
    assert len(traces) == 1
    assert w.dtype == w0.dtype
    assert record.spikes.dtype == bool


def test_chips_side_by_side(x64):
    rule, w0 = plasticity.get("stdp"), jnp.full((N_PRE, N_POST), 0.5)
    pre, post = (jnp.stack(side) for side in zip(*(trains(a) for a in (0.01, 0.3)), strict=True))
    one = lambda pre, post: spiking.run(rule, rule.Params(), spiking.Weights(), w0, pre, post, DT)[0]  # noqa: E731
    np.testing.assert_allclose(jax.vmap(one)(pre, post), jax.lax.map(lambda side: one(*side), (pre, post)), atol=1e-12)


def test_gradients_go_through_the_dense_way():
    rule, (pre, post) = plasticity.get("stdp"), trains(0.1)

    def loss(w0, method):
        return jnp.sum(spiking.run(rule, rule.Params(mu=1.0), spiking.Weights(), w0, pre, post, DT, method=method)[0])

    w0 = jnp.full((N_PRE, N_POST), 0.5)
    assert np.all(np.isfinite(jax.grad(loss)(w0, "dense")))
    with pytest.raises(ValueError, match="while_loop"):
        jax.grad(loss)(w0, "event")


@SLOW
@pytest.mark.parametrize("method", spiking.METHODS)
def test_weights_are_updated_in_place(method):
    """A copy of all weights in a step would cost ten times the step. On a CPU, in the program that XLA makes of it."""
    rule, w0 = plasticity.get("stdp"), jnp.zeros((97, 89), jnp.float32)
    start = (jnp.zeros(89, jnp.float32), neurons.init((89,), jnp.float32))
    step = lif(0.9, 0.1, 0.8)

    def loop(w0, pre):
        return spiking.run(
            rule, rule.Params(), spiking.Weights(), w0, pre, spiking.Neurons(step, start), DT, method=method
        )

    text = jax.jit(loop).lower(w0, jnp.zeros((50, 97), bool)).compile().as_text()
    main = text.index("\nENTRY")  # where the argument itself is copied, once
    assert "f32[97,89]" in text[:main]
    assert not [line for line in text[:main].splitlines() if "= f32[97,89]" in line and " copy(" in line]


@pytest.mark.parametrize(
    "changed, complaint",
    [
        ({"method": "sparse"}, "method = 'sparse': accepted is one of"),
        ({"rule": "voltage"}, "acts between spikes too"),
        ({"pre": np.zeros((T, 3), bool)}, r"pre has shape \(150, 3\): accepted is \(150, 21\)"),
        ({"post": np.zeros((T + 1, N_POST), bool)}, "post has shape"),
        ({"dt": -1.0}, "dt must be one positive number"),
        ({"costs": (-1, 0)}, "costs"),
        ({"rule": "delayed"}, "acts between spikes too"),  # weights change when spikes arrive, not when they are sent
    ],
)
def test_wrong_input(changed, complaint):
    pre, post = trains(0.1)
    given = {"rule": "stdp", "pre": pre, "post": post, "dt": DT, **changed}
    name, w0 = given.pop("rule"), jnp.zeros((N_PRE, N_POST))
    rule = plasticity.delayed(plasticity.get("stdp"), 3) if name == "delayed" else plasticity.get(name)
    with pytest.raises(ValueError, match=complaint):
        spiking.run(rule, rule.Params(), spiking.Weights(), w0, **given)
