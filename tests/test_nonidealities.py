"""The block of non-idealities: dressing a device, severities that never retrace, and ageing of arrays and networks."""

import collections

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import config, crossbar, devices, learning, monte_carlo, network, training, variation
from memjax.crossbar import HalfSelect
from memjax.programming import tiki_taka
from memjax.thermal import Params as Network
from memjax.thermal import steady

LINEAR = devices.get("exponential")
NOMINAL = LINEAR.Params(step_up=0.01, step_down=0.01)
KEY = jax.random.key(0)
ALL = variation.Nonidealities(
    d2d={"step_up": 0.2, "g_max": variation.Spread(0.1, "truncated", die=0.2, patch=0.3, length=3.0)},
    stuck=variation.Stuck(0.02, 0.03),
    lines=variation.DeadLines(0.02, 0.01, 0.01),
    c2c=0.3,
    read_noise=0.02,
    flicker=variation.Flicker(0.02, 1e-6, 1.0, modes=4),
    telegraph=variation.Telegraph(0.1, 1e-2, 3e-2, share=0.5),
    relaxation=1.0,
    retention=variation.Retention(1e3, 0.3),
    drift=variation.Drift(0.06, 0.3),
    half_select=HalfSelect(0.01),
    endurance=variation.Endurance(1e4),
    breakdown=variation.Breakdown(1.0, 1.5),  # most do not survive the first write
    heat=variation.Heat(Network(1e6, 1e-15, 0.0, 350.0), e_a=0.6, e_g=0.05, duty=0.5),
)


def array(chip, key=KEY, shape=(2, 12, 10), tile=(5, 4), **kwargs):
    params, faults = variation.sample(chip, LINEAR, NOMINAL, shape, tile, key)
    device = variation.dress(chip, LINEAR)
    return crossbar.create(
        device, shape[1:], tile, polarity=shape[0], params=params, faults=faults,
        half_select=chip.scaled("half_select"), **kwargs,
    )  # fmt: skip


# --- settings ---------------------------------------------------------------------------------------------------------


def test_twelve_settings_of_five():
    chip = variation.Nonidealities(
        d2d={"step_up": 0.2}, stuck=variation.Stuck(0.1), c2c=0.3, read_noise=0.02, drift=ALL.drift
    )
    labels, table = variation.severities(chip)
    assert labels == [
        "none", "d2d", "stuck", "c2c", "read_noise", "drift",
        "all but d2d", "all but stuck", "all but c2c", "all but read_noise", "all but drift", "all",
    ]  # fmt: skip
    on = np.stack([table[name] for name in chip.names], axis=1)
    np.testing.assert_array_equal(on, np.concatenate([np.zeros((1, 5)), np.eye(5), 1 - np.eye(5), np.ones((1, 5))]))
    alone = variation.settings(chip)["all but c2c"]
    assert (alone.scaled("c2c"), alone.scaled("read_noise")) == (0.0, pytest.approx(0.02))
    assert alone.scaled("d2d")["step_up"].sigma == pytest.approx(0.2)


def test_fewer_settings_of_fewer():
    assert variation.severities(ALL, ["c2c", "drift"])[0] == ["none", "c2c", "drift", "all"]
    assert variation.severities(ALL, ["c2c"])[0] == ["none", "all"]
    assert set(variation.severities(ALL)[1]) == set(variation.NAMES)
    assert len(variation.severities(ALL)[0]) == 2 * len(variation.NAMES) + 2
    chip = variation.Nonidealities(c2c=0.3)
    with pytest.raises(ValueError, match="severity of 'drift', which is not described: accepted are c2c"):
        variation.severities(chip, ["drift"])


# --- dressing ---------------------------------------------------------------------------------------------------------


def test_the_plain_chip_is_the_plain_device_and_the_order_is_fixed():
    assert variation.dress(variation.Nonidealities(d2d={"step_up": 0.1}, read_noise=0.1), LINEAR) == LINEAR
    dressed = variation.dress(ALL, LINEAR)
    assert dressed.name == (
        "exponential+c2c+relaxation+retention+drift+temperature+endurance+breakdown+telegraph+one_over_f4"
    )
    assert dressed == variation.dress(ALL, LINEAR)
    assert dressed.slow
    assert not variation.dress(ALL, devices.get("volatile")).slow


def test_a_severity_of_zero_is_the_ideal_array_and_one_trace_serves_all():
    """Every setting of all fourteen through write, rest and read; each alone differs from none."""
    traces = []

    @jax.jit
    def run(severity):
        traces.append(1)
        chip = ALL.with_severity(severity)
        xbar = array(chip, x=0.6)
        ups = jnp.zeros((2, 12, 10)).at[0, ::2].set(1.0)
        xbar, _ = crossbar.write(xbar, ups, 1e-8, jax.random.key(1), max_pulses=1)
        xbar, _ = crossbar.write(xbar, ups[:, :1], 1e-8, jax.random.key(2), rows=jnp.asarray([3]), max_pulses=1)
        xbar = crossbar.relax(xbar, 10.0, key=jax.random.key(3))
        read = crossbar.read(xbar, jnp.full(12, 0.1), noise=chip.scaled("read_noise"), key=jax.random.key(4))
        return crossbar.conductance(xbar), read

    labels, table = variation.severities(ALL)
    got = {label: run({f: s[i] for f, s in table.items()}) for i, label in enumerate(labels)}
    assert len(traces) == 1
    ideal = crossbar.create(LINEAR, (12, 10), (5, 4), params=NOMINAL, x=0.6)
    ups = jnp.zeros((2, 12, 10)).at[0, ::2].set(1.0)
    ideal, _ = crossbar.write(ideal, ups, 1e-8, None, max_pulses=1)
    ideal, _ = crossbar.write(ideal, ups[:, :1], 1e-8, None, rows=jnp.asarray([3]), max_pulses=1)
    np.testing.assert_allclose(got["none"][0], crossbar.conductance(ideal), rtol=1e-5)
    np.testing.assert_allclose(got["none"][1], crossbar.read(ideal, jnp.full(12, 0.1)), rtol=1e-4)
    for name in variation.NAMES:
        away = np.max(np.abs(np.asarray(got[name][1]) / np.asarray(got["none"][1]) - 1))
        assert away > (1e-6 if name == "endurance" else 1e-4), name
        assert np.all(np.isfinite(got[name][0]))


def test_derivatives_by_a_severity_are_finite_where_it_is_off():
    chip = variation.Nonidealities(
        d2d={"step_up": 0.2}, retention=variation.Retention(1e3, 0.3), endurance=variation.Endurance(1e2, 0.7)
    )

    def total(severity):
        xbar = array(chip.with_severity(severity), shape=(1, 2, 3), tile=(2, 3), x=0.6)
        xbar, _ = crossbar.write(xbar, jnp.ones((1, 2, 3)), 1e-8, KEY, max_pulses=1)
        return 1e5 * jnp.sum(crossbar.conductance(crossbar.relax(xbar, 10.0)))

    slopes = jax.jit(jax.grad(total))
    for value in (0.0, 1.0):
        found = slopes(dict.fromkeys(chip.names, value))
        assert np.isfinite(list(found.values())).all()
        assert found["d2d"] != 0
        assert (found["retention"] < 0) == (found["endurance"] != 0) == (value > 0)


def test_a_negative_severity_is_refused():
    for name in ("c2c", "d2d", "retention", "heat"):
        with pytest.raises(ValueError, match=f"severity of {name} = -1.0: accepted is 0"):
            ALL.with_severity({name: -1.0}).scaled(name)


def test_what_each_device_of_a_dressed_array_has():
    chip = variation.Nonidealities(
        drift=variation.Drift(0.06, 0.3), telegraph=variation.Telegraph(0.1, share=0.25), heat=ALL.heat,
        half_select=HalfSelect(0.01), breakdown=variation.Breakdown(1e4, 2.0),
    )  # fmt: skip
    n = 2 * 256 * 512
    params, faults = variation.sample(chip, LINEAR, NOMINAL, (2, 256, 512), (64, 64), KEY, v_write=2.0)
    assert faults is None
    nu = np.asarray(variation.field_of(params, "nu"), np.float64)
    assert abs(nu.mean() - 0.06) < 5 * 0.018 / n**0.5
    assert abs(nu.std() / 0.018 - 1) < 5 * np.sqrt((stats_kurtosis(nu) - 1) / (4 * n))
    traps = np.mean(np.asarray(variation.field_of(params, "amplitude")) > 0)
    assert abs(traps - 0.25) < 5 * (0.25 * 0.75 / n) ** 0.5
    assert np.all(np.asarray(variation.field_of(params, "temperature")) == 350)
    assert variation.field_of(params, "v_write_min") == 1.5  # of the outermost that has one
    assert variation.field_of(params.inner.inner.inner, "v_write_min") == 1.5
    cooler = variation.with_field(params, "temperature", 300.0)
    assert variation.field_of(cooler, "temperature") == 300.0
    chex.assert_trees_all_equal(
        variation.with_field(cooler, "temperature", variation.field_of(params, "temperature")), params
    )
    lives = np.asarray(params.inner.life)
    assert abs(np.mean(lives < 1e4) - (1 - np.exp(-1))) < 5 * (0.25 / n) ** 0.5


def stats_kurtosis(x):
    z = (x - x.mean()) / x.std()
    return np.mean(z**4)


# --- ageing -----------------------------------------------------------------------------------------------------------


def test_a_slow_device_rests_when_told_and_not_while_others_are_written():
    chip = variation.Nonidealities(retention=variation.Retention(1.0, x_rest=0.0))
    xbar = array(chip, x=1.0)
    row = jnp.ones((2, 1, 10))
    written, _ = crossbar.write(xbar, row, 0.5, None, rows=jnp.asarray([0]), max_pulses=1)
    np.testing.assert_array_equal(crossbar.conductance(written)[:, 1:], crossbar.conductance(xbar)[:, 1:])
    rested = crossbar.relax(crossbar.cache(written), 2.0)
    np.testing.assert_allclose(rested.state.x, written.state.x * np.exp(-2.0), rtol=1e-5)
    np.testing.assert_array_equal(rested.net, crossbar.cache(crossbar.uncache(rested)).net)


@pytest.mark.parametrize("dt", [1e-3, 2e-2])
def test_telegraph_noise_of_a_resting_array_is_the_markov_chain(dt):
    """A million devices between two reads: levels, and how much of a level is left, as the exact chain says."""
    chip = variation.Nonidealities(telegraph=variation.Telegraph(0.1, 1e-2, 3e-2))
    xbar = array(chip, shape=(2, 1024, 512), tile=(128, 128))
    rest = jax.jit(lambda xbar, key: crossbar.relax(xbar, dt, key=key))
    first = rest(xbar, jax.random.key(1))
    second = rest(first, jax.random.key(2))
    n, high = first.state.n.size, 0.25
    a, b = (np.asarray(x.state.n, np.float64).ravel() for x in (first, second))
    assert abs(np.mean(a > 0) - high) < 5 * (high * (1 - high) / n) ** 0.5
    stay = high + (1 - high) * np.exp(-dt * (1 / 1e-2 + 1 / 3e-2))
    up = a > 0
    assert abs(np.mean(b[up] > 0) - stay) < 5 * (stay * (1 - stay) / up.sum()) ** 0.5
    g = np.asarray(crossbar.conductance(second))
    np.testing.assert_allclose(np.unique(np.round(g / np.mean(NOMINAL.g_min + NOMINAL.g_max) * 2, 3)), [0.95, 1.05])


def test_flicker_of_a_resting_array_forgets_mode_by_mode():
    chip = variation.Nonidealities(flicker=variation.Flicker(0.05, 1e-3, 1.0, modes=4))
    xbar = array(chip, shape=(2, 512, 512), tile=(128, 128))
    rest = jax.jit(lambda xbar, key: crossbar.relax(xbar, 0.05, key=key))
    first = rest(xbar, jax.random.key(1))
    second = rest(first, jax.random.key(2))
    a, b = (np.asarray(crossbar.conductance(x), np.float64).ravel() for x in (first, second))
    mean = 0.5 * (NOMINAL.g_min + NOMINAL.g_max)
    n = a.size
    assert abs(a.std() / mean / 0.05 - 1) < 5 / (2 * n) ** 0.5
    left = np.mean(np.exp(-0.05 / np.logspace(-3, 0, 4)))
    assert abs(np.corrcoef(a, b)[0, 1] - left) < 5 * (1 - left**2) / n**0.5


# --- networks ---------------------------------------------------------------------------------------------------------

TINY = {
    "chips": 2,
    "device": {"name": "exponential"},
    "array": {"n_inputs": 49, "n_outputs": 8, "module_size": 16},
    "neurons": {"time_steps": 2},
    "learning": {"learning_rate": 0.05},
}
WHOLE = {
    "d2d": {"step_up": {"sigma": 0.2, "die": 0.5}}, "c2c": 0.3, "read_noise": 0.02, "stuck_on": 0.01,
    "lines": {"word": 0.02},
    "flicker": {"modes": 2}, "telegraph": {"share": 0.1}, "relaxation": 0.5, "retention": {"tau": 100.0},
    "drift": {"nu": 0.06, "spread": 0.3}, "half_select": {"share": 0.01}, "endurance": {"n_wear": 1e5},
    "breakdown": {"life": 1e5}, "heat": {"ambient": 330.0, "duty": 0.5, "g_side": 1e-6},
    "sample_period": 0.02, "age_every": 5,
}  # fmt: skip


@pytest.mark.parametrize("warm", [False, True])
def test_an_array_of_the_programmer_ages_beside_the_layers(warm):
    """Tiki-Taka's A drifts by the power law as C does, and is as warm."""
    heat = variation.Heat(Network(1e8, 1e-15, 0.0, 350.0), duty=0.5) if warm else None
    chip = variation.Nonidealities(drift=variation.Drift(0.2), flicker=variation.Flicker(0.0), heat=heat)
    arch = network.Architecture(variation.dress(chip, LINEAR), (5, 4, 3), (3, 3), 2, programmer="tiki_taka")
    made = network.Chip(NOMINAL, nonidealities=chip, device=LINEAR)
    net = network.EdgeNetwork(arch, made, network.Physics(), tiki_taka.Params(0.01), key=jax.random.key(0))
    layer, physics = net.hidden, net.physics.get_value()

    def arrays():
        return layer.array(physics), layer.volatile.get_value().fast

    before = [crossbar.conductance(x) for x in arrays()]
    net.age(1e5, jax.random.key(1))
    for x, g in zip(arrays(), before, strict=True):
        faster = 1.0
        if warm:
            kelvin = variation.field_of(x.params, "temperature").reshape(2, 6, 6)[:, :5, :4]
            assert np.all(kelvin > 350)  # beyond the ambient: reads warm it
            faster = np.exp(-1.0 / 8.617333e-5 * (1 / kelvin - 1 / 300))
        np.testing.assert_allclose(crossbar.conductance(x) / g, (1 + 1e5 * faster) ** -0.2, rtol=1e-3)
    rested = layer.volatile.get_value()
    net.age(1e5, jax.random.key(1), jnp.asarray(False))
    chex.assert_trees_all_equal(layer.volatile.get_value(), rested)
    net.age(1e9, jax.random.key(1), jnp.asarray(True))
    assert np.all(crossbar.conductance(arrays()[1]) < 0.5 * crossbar.conductance(rested.fast))


def test_a_config_names_them_all():
    chip = training.build(config.from_dict({**TINY, "nonidealities": WHOLE})).nonidealities
    assert chip.names == variation.NAMES
    assert chip.ages
    assert chip.fluctuates
    assert chip.heat.network.ambient == 330.0
    assert chip.d2d["step_up"].die == 0.5
    plain = training.build(config.from_dict(TINY))
    assert plain.nonidealities == variation.Nonidealities()
    assert not plain.nonidealities.ages


def test_a_network_ages_while_it_learns_and_after_and_severities_share_one_trace():
    names = ("d2d", "telegraph", "drift", "heat", "half_select", "sample_period", "age_every")
    system = training.build(config.from_dict({**TINY, "nonidealities": {name: WHOLE[name] for name in names}}))
    labels, table = variation.severities(system.nonidealities, ["telegraph", "drift", "heat"])
    traces, images = collections.Counter(), np.random.default_rng(0).integers(0, 256, (10, 49)).astype(np.uint8)

    def counted(name, f):
        def traced(*args):
            traces[name] += 1
            return f(*args)

        return traced

    init = jax.jit(jax.vmap(counted("init", system.init), in_axes=(0, None)))
    step = learning.online(system.learner._replace(learn=counted("learn", system.learner.learn)))
    age = jax.jit(jax.vmap(counted("age", system.learner.age), in_axes=(0, None, 0)))
    arrays = jax.vmap(lambda state: crossbar.conductance(system.arrays(state)[1]))
    found = {}
    for label in ("none", "all", "all but drift"):
        i = labels.index(label)
        chips = init(system.keys, {f: s[i] for f, s in table.items()})
        rates = (jnp.full(10, 0.05),) * 2
        order = np.arange(10, dtype=np.int32)
        chips, _ = step(chips, system.keys, images, jnp.arange(10), order, rates, np.int32(0))
        later = age(chips, 1000.0, system.keys)
        found[label] = np.asarray(arrays(chips)), np.asarray(arrays(later)), chips
    assert traces == {"init": 1, "learn": 1, "age": 1}
    for label, (now, later, _) in found.items():
        assert np.all(np.isfinite(later))
        assert np.mean(later) < np.mean(now) * (0.9 if label == "all" else 1.01), label
    assert np.mean(found["all"][1]) < np.mean(found["all but drift"][1])
    variation.require_different(found["all"][0])
    # Before sample 5 the arrays were warmed by the ambient and their reads, and aged by five periods as fast as that
    # makes them: a device that no pulse met since is so old.
    layer = found["all"][2]["output"]
    kelvin = np.asarray(variation.field_of(layer["sampled"].get_value()["params"], "temperature"))
    assert 330.0 < kelvin.min() < kelvin.max() < 331.0
    t = np.asarray(variation_state(layer["weight"].get_value(), "t"))
    old = t > 0.01
    assert old.any()
    np.testing.assert_allclose(t[old], 5 * 0.02 * devices.arrhenius(1.0, kelvin, 300.0)[old], rtol=1e-3)


def variation_state(state, name):
    while name not in vars(state):
        state = state.inner
    return getattr(state, name)


@pytest.mark.broad
def test_temperature_of_a_network_is_the_steady_state_of_its_reads():
    whole = {"heat": {"ambient": 320.0, "duty": 0.5, "g_side": 1e-6, "r_th": 1e9}}
    system = training.build(config.from_dict({**TINY, "chips": 1, "nonidealities": whole}))
    state = jax.jit(system.init)(system.keys[0])
    older = jax.jit(system.learner.age)(state, 1.0, KEY)
    kelvin = variation.field_of(older["output"]["sampled"].get_value()["params"], "temperature")
    g = crossbar.conductance(system.arrays(state)[1])
    power = jnp.zeros((2, 16, 16)).at[:, :8, :10].set(0.5 * 0.1**2 * g)
    assert kelvin.shape[1:] == (1, 8, 1, 10)
    expected = steady(Network(1e9, 1e-15, 1e-6, 320.0), power[:, :8, :10])
    np.testing.assert_allclose(kelvin.reshape(2, 8, 10), expected, rtol=1e-4)
    assert float(kelvin.max()) > 325


def test_two_arrays_of_a_chip_share_its_die_and_chips_do_not():
    whole = {"d2d": {"step_up": {"sigma": 0.2, "die": 1.0}}}
    system = training.build(config.from_dict({**TINY, "nonidealities": whole}))
    chips = jax.jit(jax.vmap(system.init))(monte_carlo.chip_keys(KEY, 2))
    steps = [np.asarray(chips[name]["sampled"].get_value()["params"].step_up) for name in ("hidden", "output")]
    assert np.ptp(steps[0][0]) == 0
    assert steps[0][0].flat[0] == steps[1][0].flat[0]
    assert steps[0][0].flat[0] != steps[0][1].flat[0]
