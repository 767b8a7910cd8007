"""The study of learning rules: its search, its ledger, and the network that it trains outside the array."""

import importlib.util
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import config, crossbar, energy, learning, monte_carlo, network, training

STUDY = Path(__file__).resolve().parent.parent / "experiments" / "learning_rules"
TINY = (
    "array.n_inputs=49", "array.n_outputs=16", "array.module_size=16", "neurons.time_steps=3", "data.n_train=100",
    "data.n_test=50",
)  # fmt: skip


@pytest.fixture(scope="module")
def study():
    """The study's modules; run.py imports the others by name."""
    names, made = ("rules", "elsewhere", "figures", "run"), {}
    try:
        for name in names:
            spec = importlib.util.spec_from_file_location(name, STUDY / f"{name}.py")
            made[name] = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(made[name])
        yield made
    finally:
        for name in names:
            sys.modules.pop(name, None)


def test_the_search_finds_a_peak_with_the_same_number_of_tries_from_anywhere(study):
    peak = np.log([0.2, 3.0])

    def judge(points):
        return [-np.sum((np.log(point) - peak) ** 2) for point in points]

    found = study["run"].chosen((0.1, 2.0), (3.0, 2.0), judge)
    assert len(found["tried"]) == len(found["accuracy"]) == study["run"].TRIES == 13
    assert found["held_out"] == max(found["accuracy"])
    assert np.all(np.abs(np.log(found["chosen"]) - peak) < [np.log(3) / 2, np.log(2) / 2])
    edge = study["run"].chosen((0.01, 2.0), (3.0, 2.0), judge)  # the peak lies beyond the coarse grid
    assert edge["chosen"][0] == pytest.approx(0.01 * 3**1.5)


def test_events_are_priced_by_the_convention(study):
    counts = {
        "inference": {"mac": 1000, "read": 60},
        "learning": {"pulse": 20, "verify": 8, "accumulate": 5, "read": 4},
    }
    full = {kind: {name: float(each.get(name, 0)) for name in energy.FIELDS} for kind, each in counts.items()}
    found = study["rules"].spent(full, 10)
    assert found["pulses"] == 20
    assert found["writing"]["e_min"] == pytest.approx((20 * 5e-12 + 8 * 0.5e-12) / 10)
    assert found["writing"]["e_max"] == pytest.approx((25 * 5e-12 + 12 * 0.5e-12) / 10)
    assert found["training"]["e_max"] == pytest.approx((25 * 5e-12 + 72 * 0.5e-12 + 1000 * 0.1e-12) / 10)


def test_the_network_outside_the_array_is_the_one_inside(study):
    """On ideal devices, for the same weights: outputs, filtered spikes and surrogate derivatives."""
    ideal = config.load(STUDY / "config.yaml", [*TINY, "variation={}"])
    net = network.EdgeNetwork(*training.parts(ideal), key=jax.random.key(3))
    x = jax.random.uniform(jax.random.key(1), (20, 49))
    w = tuple(np.asarray(crossbar.weights(xbar)) for xbar in net.arrays())
    seen = net.present(x, jax.random.key(0))
    y, hbar, psi = study["elsewhere"].respond(ideal, tuple(map(jnp.asarray, w)), x)
    np.testing.assert_allclose(seen.hbar, hbar, atol=1e-5)
    np.testing.assert_allclose(seen.psi, psi, atol=1e-4)
    np.testing.assert_allclose(seen.y, y, atol=1e-4)
    assert float(hbar.max()) > 0.5


def test_backprop_and_online_learning_lower_the_loss(study):
    tiny = config.load(STUDY / "config.yaml", TINY)
    data = training.load(tiny)
    x, y = jnp.asarray(data.train_x), jnp.asarray(data.train_y)
    key, order = jax.random.key(0), jnp.tile(jnp.arange(100, dtype=jnp.int32), 20)

    def loss(weights):
        out = study["elsewhere"].respond(tiny, weights, learning.scale(x))[0]
        return float(learning.cross_entropy(tiny.learning.output_gain * out, y))

    before = loss(study["elsewhere"].first_weights(tiny, key))
    with jax.numpy_dtype_promotion("standard"):  # Adam raises a float to the number of its steps
        trained = study["elsewhere"].backprop(tiny, x, y, 100, 0.03, 0.02, key)
    assert loss(trained) < 0.3 * before
    online = study["elsewhere"].online(tiny, x, y, order, jnp.ones(2000), 0.1, 1.0, key)
    assert loss(online) < 0.5 * before
    assert max(float(jnp.abs(w).max()) for w in online) <= 1.0


@pytest.mark.broad
def test_a_rule_learns_what_the_command_would(study, tmp_path):
    """Chip for chip: the same pulses as `memjax train` with the same settings."""
    rule = study["rules"].RULES["accumulator"]
    tiny = config.load(STUDY / "config.yaml", [*TINY, "chips=1"])
    data = training.load(tiny)
    arrays = study["run"]._data(tiny, data.train_x, data.train_y, data.test_x, data.test_y)
    key = monte_carlo.chip_keys(jax.random.key(tiny.seed), 1)[0]
    made = study["rules"].parts(tiny, rule)
    values = jax.jit(lambda key: study["rules"].learn(rule, made, key, 0.03, 2.0, arrays))(key)
    counts = study["rules"].ledger({name: np.asarray(x)[None] for name, x in values.items()})
    trained = training.train(tiny, tmp_path / "run")["events"]
    assert counts["learning"]["pulse"] == trained["training"]["pulse"] > 0
    assert counts["inference"]["mac"] == pytest.approx(trained["inference"]["mac"], rel=1e-3)


def test_the_committed_table_is_complete_and_says_what_the_text_says(study):
    found = json.loads((STUDY / "results.json").read_text(encoding="utf-8"))
    assert found["tries"] == study["run"].TRIES
    rows = found["rows"]["exponential"]
    for name, row in rows.items():
        assert len(row["chips"]) == 5
        assert row["accuracy"] == pytest.approx(np.mean(row["chips"]))
        assert len(row["search"]["tried"]) == study["run"].TRIES, name
    plain = rows["stochastic pulses"]
    assert rows["accumulator"]["accuracy"] > plain["accuracy"]
    assert rows["accumulator"]["pulses"] < plain["pulses"] / 3
    assert rows["accumulator"]["accuracy"] > rows["Tiki-Taka v2, zero-shifted"]["accuracy"]
