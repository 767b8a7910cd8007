"""The modular framework against transcriptions of its design note: device, STDP, modular array, edge network, settings.

The transcriptions are plain Python and NumPy, written from the note's equations as its author would write them: one
object a device, one small array a module, loops over modules. They share no code with memjax.
"""

import dataclasses
import importlib
import importlib.util
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import config, crossbar, devices, plasticity

REPO = Path(__file__).resolve().parent.parent
STUDY = REPO / "experiments" / "framework"
CONFIG = REPO / "configs" / "framework.yaml"
DT = 1e-3
# Reactive devices: at the note's own numbers (1e-3 a pulse) a wrong pulse would be hard to see.
SMALL = (9, 7, 3)  # an edge network that modules of 4 do not divide
QUICK = {"g_min": 2e-6, "g_max": 8e-4, "tau": 0.02, "alpha_pot": 0.2, "alpha_dep": 0.3}

pytestmark = pytest.mark.usefixtures("x64")


# --- the note, transcribed ----------------------------------------------------------------------------------------


class Memristor:
    """A1: one device."""

    def __init__(self, g_min=1e-6, g_max=1e-3, tau=0.1, alpha_pot=1e-3, alpha_dep=1e-3):
        self.g_min, self.g_max, self.tau, self.alpha_pot, self.alpha_dep = g_min, g_max, tau, alpha_pot, alpha_dep
        self.g = (g_min + g_max) / 2

    def update(self, pre, post, dt):
        if pre and post:
            pass
        elif pre:
            self.g -= self.alpha_dep * (self.g - self.g_min)
        elif post:
            self.g += self.alpha_pot * (self.g_max - self.g)
        else:
            self.g -= (self.g - self.g_min) * dt / self.tau
        self.g = min(max(self.g, self.g_min), self.g_max)

    def read(self, v):
        return self.g * v


class Stdp:
    """A2: one synapse's pair of traces, decayed and incremented before they are read."""

    def __init__(self, a_plus, a_minus, tau_plus, tau_minus):
        self.a_plus, self.a_minus, self.tau_plus, self.tau_minus = a_plus, a_minus, tau_plus, tau_minus
        self.x = self.y = 0.0

    def update(self, pre, post, dt):
        self.x = self.x * math.exp(-dt / self.tau_plus) + pre
        self.y = self.y * math.exp(-dt / self.tau_minus) + post
        if pre:
            return -self.a_minus * self.y
        if post:
            return self.a_plus * self.x
        return 0.0


class Module:
    """A3: one module, [outputs, inputs]; the last of a row or column is smaller where the size does not divide."""

    def __init__(self, g, params):
        self.g, self.p, self.active = g.copy(), params, True

    def compute(self, v):
        return np.array([np.sum(row * v) for row in self.g])

    def update(self, pre, post, dt):
        p = self.p
        for j, post_j in enumerate(post):
            g = self.g[j]
            change = np.select(
                [pre & post_j, pre & ~post_j, ~pre & post_j],
                [0.0, -p["alpha_dep"] * (g - p["g_min"]), p["alpha_pot"] * (p["g_max"] - g)],
                -(g - p["g_min"]) * dt / p["tau"],
            )
            self.g[j] = np.minimum(np.maximum(g + change, p["g_min"]), p["g_max"])


class ModularArray:
    """A3: modules in a list of lists, g [inputs, outputs]."""

    def __init__(self, g, size, params):
        n_inputs, n_outputs = g.shape
        self.n_outputs, self.shape = n_outputs, g.shape
        self.inputs = [slice(a, min(a + size, n_inputs)) for a in range(0, n_inputs, size)]
        self.outputs = [slice(b, min(b + size, n_outputs)) for b in range(0, n_outputs, size)]
        self.modules = [[Module(g[a, b].T, params) for b in self.outputs] for a in self.inputs]

    def __iter__(self):
        for a, row in zip(self.inputs, self.modules, strict=True):
            for b, module in zip(self.outputs, row, strict=True):
                yield a, b, module

    def compute(self, v):
        current = np.zeros(self.n_outputs)
        for a, b, module in self:
            if module.active:
                current[b] += module.compute(v[a])
        return current

    def update(self, pre, post, dt):
        for a, b, module in self:
            if module.active:
                module.update(pre[a], post[b], dt)

    def matrix(self):
        g = np.zeros(self.shape)
        for a, b, module in self:
            if module.active:
                g[a, b] = module.g.T
        return g


class EdgeNetwork:
    """A4: two modular arrays and two rows of potentials, which persist."""

    def __init__(self, g1, g2, size, params):
        self.array1, self.array2, self.p = ModularArray(g1, size, params), ModularArray(g2, size, params), params
        self.hidden, self.output = [0.0] * g1.shape[1], [0.0] * g2.shape[1]

    @staticmethod
    def spike(potential, current):
        spikes = []
        for k, i in enumerate(current):
            potential[k] += i
            spikes.append(1.0 if potential[k] > 1.0 else 0.0)
            if spikes[k]:
                potential[k] = 0.0
        return np.array(spikes)

    def forward(self, x):
        hidden = self.spike(self.hidden, self.array1.compute(x))
        return hidden, self.spike(self.output, self.array2.compute(hidden))

    def train_step(self, x, target, lr):
        hidden, output = self.forward(x)
        error = target - output
        for a, b, module in self.array2:
            for j in range(b.start, b.stop):
                for i in range(a.start, a.stop):
                    g = module.g[j - b.start, i - a.start] * (1 + lr * error[j] * hidden[i])
                    module.g[j - b.start, i - a.start] = min(max(g, self.p["g_min"]), self.p["g_max"])
        return sum(e * e for e in error)


def close(given, wanted, scale=1.0):
    """Compare to 1e-12 of `scale`, the quantity's natural unit."""
    np.testing.assert_allclose(np.asarray(given) / scale, np.asarray(wanted) / scale, rtol=0, atol=1e-12)


# --- A1, A2 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [{}, QUICK, {"tau": 4e-4, "alpha_pot": 0.5}])
def test_device_follows_the_note(values):
    """Trajectories from mid range: at the note's numbers, at quick ones, and where Euler decay overshoots."""
    rng = np.random.default_rng(0)
    pre, post = rng.random((2, 600, 4)) < np.array([0.02, 0.1, 0.3, 0.6])
    params = devices.volatile.Params(**values)
    start = devices.get("volatile").init(params, jnp.full(4, 0.5))

    def step(state, spikes):
        state = devices.volatile.spike_step(params, state, *spikes, DT)
        return state, (state.g, devices.get("volatile").current(params, state, 0.1))

    _, (g, i) = jax.jit(lambda *spikes: jax.lax.scan(step, start, spikes))(jnp.asarray(pre), jnp.asarray(post))
    for k in range(4):
        device, wanted = Memristor(**values), []
        for t in range(600):
            device.update(pre[t, k], post[t, k], DT)
            wanted.append((device.g, device.read(0.1)))
        close(g[:, k], np.array(wanted)[:, 0], scale=1e-3)
        close(i[:, k], np.array(wanted)[:, 1], scale=1e-4)


def test_stdp_follows_the_note():
    rng, given = np.random.default_rng(1), {"a_plus": 0.011, "a_minus": 0.013, "tau_plus": 0.02, "tau_minus": 0.03}
    pre, post, w0 = rng.random((400, 3)) < 0.15, rng.random((400, 2)) < 0.15, rng.normal(size=(3, 2))
    rule = plasticity.get("stdp_framework")
    _, trace = plasticity.run(rule, rule.Params(**given), w0, pre, post, DT, record=True)
    for i, j in np.ndindex(3, 2):
        synapse, changes = Stdp(**given), []
        for t in range(400):
            changes.append(synapse.update(pre[t, i], post[t, j], DT))
        close(trace.w[:, i, j], w0[i, j] + np.cumsum(changes))
        close(trace.state.x[-1, i], synapse.x)
        close(trace.state.y[-1, j], synapse.y)


# --- A3 -----------------------------------------------------------------------------------------------------------


def arrays(shape, size, seed=2, values=QUICK):
    """Return the same random array as memjax's and as the note's, and the generator to go on with."""
    rng = np.random.default_rng(seed)
    x = rng.random((1, *shape))
    params = devices.volatile.Params(**values)
    xbar = crossbar.create(devices.get("volatile"), shape, size, polarity=1, params=params, x=x)
    full = dataclasses.asdict(params)
    return xbar, ModularArray(full["g_min"] + (full["g_max"] - full["g_min"]) * x[0], size, full), rng


@jax.jit
def update(xbar, pre, post):
    return crossbar.spike(xbar, devices.volatile.spike_step, pre, post, DT, frozen=True)


@jax.jit
def look(xbar, v):
    return crossbar.conductance(xbar)[0], crossbar.read(xbar, v)


def agree(xbar, note, v):
    """Both read the same currents for v and the same conductances, on the scale of the largest."""
    g, i = look(xbar, jnp.asarray(v))
    close(g, note.matrix(), scale=1e-3)
    close(i, note.compute(v), scale=i.max())
    close(i, v @ note.matrix(), scale=i.max())  # one dense matrix


@pytest.mark.parametrize(
    "shape, size, steps", [((784, 100), 28, 4), ((100, 37), 10, 20), ((7, 5), 3, 100), ((4, 6), 9, 20)]
)
def test_modules_are_one_matrix_that_follows_the_note(shape, size, steps):
    xbar, note, rng = arrays(shape, size)
    agree(xbar, note, rng.random(shape[0]))
    for _ in range(steps):
        pre, post = (rng.random(n) < 0.3 for n in shape)
        xbar = update(xbar, jnp.asarray(pre), jnp.asarray(post))
        note.update(pre, post, DT)
        agree(xbar, note, rng.random(shape[0]))


def test_any_pattern_of_modules_follows_the_note():
    """Modules are switched at random between the steps of a trajectory; 11 x 8 has 4 x 3 of them, half of them cut."""
    xbar, note, rng = arrays((11, 8), 3, seed=3)
    for _ in range(150):
        a, b, on = rng.integers(4), rng.integers(3), bool(rng.random() < 0.6)
        xbar = crossbar.set_active(xbar, int(a), int(b), on)
        note.modules[a][b].active = on
        pre, post = rng.random(11) < 0.3, rng.random(8) < 0.3
        xbar = update(xbar, jnp.asarray(pre), jnp.asarray(post))
        note.update(pre, post, DT)
        agree(xbar, note, rng.random(11))
    assert 0 < int(xbar.active.sum()) < 12


def test_an_inactive_module_is_silent_and_frozen_and_comes_back():
    xbar, _, rng = arrays((25, 17), 10, seed=4)
    inside = np.s_[10:20, 10:17]  # module (1, 1), cut by the array's edge
    v, before = jnp.asarray(rng.random(25)), np.asarray(crossbar.conductance(xbar)[0])
    off = crossbar.set_active(xbar, 1, 1, False)
    g = np.asarray(crossbar.conductance(off)[0])
    assert (g[inside] == 0).all()
    assert np.count_nonzero(g) == 25 * 17 - 70
    missing = np.asarray(crossbar.read(xbar, v) - crossbar.read(off, v))
    close(missing[:10], 0, scale=1e-2)
    close(missing[10:], np.asarray(v)[10:20] @ before[inside], scale=1e-2)
    for _ in range(30):
        off = update(off, jnp.asarray(rng.random(25) < 0.3), jnp.asarray(rng.random(17) < 0.3))
        assert (np.asarray(crossbar.conductance(off)[0])[inside] == 0).all()
    on = np.asarray(crossbar.conductance(crossbar.set_active(off, 1, 1, True))[0])
    np.testing.assert_array_equal(on[inside], before[inside])
    others = np.ones((25, 17), bool)
    others[inside] = False
    assert (on != before)[others].all()


# --- A4 -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study():
    """Import the study's modules as its script does, from its own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(STUDY)
        spec = importlib.util.spec_from_file_location("framework_study", STUDY / "run.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def steps(study):
    """Compile forward and train_step, once for all tests of a size."""
    return jax.jit(study.edge_network.forward), jax.jit(study.edge_network.train_step)


def networks(study, sizes, size, seed):
    rng = np.random.default_rng(seed)
    starts = [rng.random((1, a, b)) for a, b in (sizes[:2], sizes[1:])]
    params = devices.volatile.Params(**QUICK)
    state = study.edge_network.create(sizes, size, params=params, x=starts)
    full = dataclasses.asdict(params)
    g = [full["g_min"] + (full["g_max"] - full["g_min"]) * x[0] for x in starts]
    return state, EdgeNetwork(*g, size, full), rng


@jax.jit
def conductances(arrays):
    return [crossbar.conductance(xbar)[0] for xbar in arrays]


def same_network(state, note):
    for potential, wanted in zip(state.potentials, (note.hidden, note.output), strict=True):
        close(potential.v, wanted)
    for g, wanted in zip(conductances(state.arrays), (note.array1, note.array2), strict=True):
        close(g, wanted.matrix(), scale=1e-3)


@pytest.mark.parametrize("sizes, size", [((20, 12, 4), 5), (SMALL, 4)])
def test_edge_network_follows_the_note(study, steps, sizes, size):
    """Forward and training steps over many samples, with volts and rates that make spikes, resets and clips common."""
    state, note, rng = networks(study, sizes, size, seed=sum(sizes))
    forward, train_step = steps
    spikes, lr = np.zeros(2), 0.5
    for sample in range(120):
        x = rng.uniform(0, 800 / sizes[0], sizes[0])  # a few tenths of the threshold a step
        target = np.eye(sizes[2])[rng.integers(sizes[2])]
        if sample % 3 == 2:
            (hidden, output), state = forward(state, jnp.asarray(x))
            wanted = note.forward(x)
            np.testing.assert_array_equal(hidden, wanted[0])
            np.testing.assert_array_equal(output, wanted[1])
            spikes += [hidden.mean(), output.mean()]
        else:
            loss, state = train_step(state, jnp.asarray(x), jnp.asarray(target), lr)
            close(loss, note.train_step(x, target, lr))
        same_network(state, note)
        if sample == 40:  # the outputs of so small a network need help to reach the threshold
            note.output = list(rng.uniform(0.98, 1.0, sizes[2]))
            second = state.potentials[1].replace(v=jnp.asarray(note.output))
            state = state.replace(potentials=(state.potentials[0], second))
    assert spikes[0] > 1
    assert (note.array2.matrix() == QUICK["g_max"]).any()


def test_outputs_spike_and_learn_down(study, steps):
    """An output that spikes where its target is 0 has an error of -1: its devices fall, no others move."""
    state, note, _ = networks(study, SMALL, 4, seed=5)
    x, target = np.full(9, 1e3), np.array([1.0, 0.0, 0.0])
    note.output = [0.9995, 0.9995, 0.2]
    second = state.potentials[1].replace(v=jnp.asarray(note.output))
    state = state.replace(potentials=(state.potentials[0], second))
    before = np.asarray(crossbar.conductance(state.arrays[1])[0])
    loss, state = steps[1](state, jnp.asarray(x), jnp.asarray(target), 0.01)
    close(loss, note.train_step(x, target, 0.01))
    same_network(state, note)
    assert float(loss) == 1.0
    change = np.asarray(crossbar.conductance(state.arrays[1])[0]) / before
    close(change, np.array([[1.0, 0.99, 1.0]] * 7))


def test_threshold_is_strict_and_potentials_persist(study, steps):
    params = devices.volatile.Params(g_min=0.0, g_max=1.0)
    state = study.edge_network.create((2, 2, 1), params=params)  # g = 0.5 everywhere
    forward, x = steps[0], jnp.array([0.5, 0.5])
    spikes, potentials = [], []
    for _ in range(6):
        (hidden, output), state = forward(state, x)
        spikes.append((float(hidden[0]), float(output[0])))
        potentials.append((float(state.potentials[0].v[0]), float(state.potentials[1].v[0])))
    # 0.5, 1.0 (no spike: not above), 1.5 spikes; two hidden spikes through 0.5 bring the output to exactly 1, then 2.
    assert spikes == [(0, 0), (0, 0), (1, 0), (0, 0), (0, 0), (1, 1)]
    assert potentials == [(0.5, 0), (1.0, 0), (0, 1.0), (0.5, 1.0), (1.0, 1.0), (0, 0)]


def test_training_step_is_the_rule_error_driven(study):
    state, _, rng = networks(study, SMALL, 4, seed=6)
    hidden, error = jnp.asarray((rng.random(7) < 0.5) * 1.0), jnp.asarray(rng.integers(-1, 2, 3) * 1.0)
    rule, xbar = plasticity.get("error_driven"), state.arrays[1]
    step = lambda *args: study.edge_network.error_step(*args, lr=0.3)  # noqa: E731
    after = crossbar.spike(xbar, step, hidden, error, None, frozen=True)
    bounds = {"w_min": QUICK["g_min"], "w_max": QUICK["g_max"]}
    g, _ = plasticity.run(
        rule, rule.Params(lr=0.3), crossbar.conductance(xbar)[0], hidden[None], jnp.zeros((1, 3)), DT,
        modulator=error[None], **bounds,
    )  # fmt: skip
    close(crossbar.conductance(after)[0], g, scale=1e-3)


def test_switched_off_modules_of_the_network_learn_nothing(study, steps):
    state, note, rng = networks(study, SMALL, 4, seed=7)
    off = crossbar.set_active(state.arrays[1], 1, 0, False)
    note.array2.modules[1][0].active = False
    frozen, before = note.array2.modules[1][0].g.T.copy(), np.asarray(crossbar.conductance(state.arrays[1])[0])
    state = state.replace(arrays=(state.arrays[0], off))
    for _ in range(30):
        x, target = rng.uniform(0, 200, 9), rng.random(3)
        loss, state = steps[1](state, jnp.asarray(x), jnp.asarray(target), 0.2)
        # The note's loop writes all devices: an inactive module's are put back, "it does not change under updates".
        close(loss, note.train_step(x, target, 0.2))
        note.array2.modules[1][0].g = frozen.T.copy()
        same_network(state, note)
    on = np.asarray(crossbar.conductance(crossbar.set_active(state.arrays[1], 1, 0, True))[0])
    np.testing.assert_array_equal(on[4:], before[4:])
    assert (on[:4] != before[:4]).all()


# --- A5 and the study ---------------------------------------------------------------------------------------------


def test_the_frameworks_file_is_what_the_study_uses(study):
    said = study.settings(config.load(CONFIG))
    notes = said.pop("notes")
    assert said == {
        "device": {"g_min": 1e-6, "g_max": 1e-3, "tau": 0.1, "alpha_pot": 1e-3, "alpha_dep": 1e-3},
        "read_voltage_V": 0.1,
        "write_voltage_V": 1.0,
        "stdp": {"a_plus": 0.01, "a_minus": 0.01, "tau_plus": 0.02, "tau_minus": 0.02},
        "array": {"n_inputs": 784, "n_outputs": 100, "module_size": [28, 28]},
        "learning_rate": 0.01,
        "dt_s": 1e-3,
    }
    assert len(notes) == 2
    assert all("milliseconds" in note for note in notes)


@pytest.fixture(scope="module")
def committed():
    return json.loads((STUDY / "results.json").read_text())


def same(computed, wanted, path=""):
    """Compare nested results: numbers to 1e-9, all else exactly."""
    if isinstance(wanted, dict):
        assert computed.keys() == wanted.keys(), path
        for key in wanted:
            same(computed[key], wanted[key], f"{path}.{key}")
    elif isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
        for k, (a, b) in enumerate(zip(computed, wanted, strict=True)):
            same(a, b, f"{path}[{k}]")
    elif isinstance(wanted, float) or (isinstance(wanted, list) and np.asarray(wanted).dtype.kind == "f"):
        np.testing.assert_allclose(computed, wanted, rtol=1e-9, atol=1e-14, err_msg=path)
    else:
        assert computed == wanted, path


def test_committed_device_and_stdp_are_what_the_study_computes(study, committed):
    cfg = config.load(CONFIG)
    same(study.settings(cfg), committed["settings"])
    stdp = study.stdp_study(cfg.stdp.rule_params())
    same(stdp, committed["stdp"])
    for name, rule in stdp["rules"].items():
        assert abs(rule["drift_per_s"] - stdp["closed_form_drift_per_s"][name]) < 4 * rule["standard_error"]
    device = study.device_study(config.device_params(cfg))
    same(device, committed["device"])
    for row in device["rates"]:
        assert abs(row["share_simulated"] - row["share_closed_form"]) < 4 * row["standard_error"]
        np.testing.assert_allclose(row["sd_simulated"], row["sd_closed_form"], rtol=0.05)


def test_balance_is_the_tables_own(study):
    """Its mean, deviation and factor, against a weighted sum over the four rows of the table for many values of g."""
    params = devices.volatile.Params(**QUICK)
    p, q, span = 0.2, 0.1, QUICK["g_max"] - QUICK["g_min"]
    mean, sd, factor = study.balance(params, p, q)
    # Two-point moments of any distribution of shares with that mean and deviation must be kept by a step.
    s = np.array([mean - sd, mean + sd])
    first = second = 0.0
    for pre, post in np.ndindex(2, 2):
        chance = (p if pre else 1 - p) * (q if post else 1 - q)
        state = devices.volatile.State(g=jnp.asarray(QUICK["g_min"] + span * s))
        after = (np.asarray(devices.volatile.spike_step(params, state, pre, post, DT).g) - QUICK["g_min"]) / span
        first, second = first + chance * after, second + chance * after**2
    close(first.mean(), mean)
    close(second.mean() - mean**2, sd**2)
    close((first[1] - first[0]) / (2 * sd), factor)


def test_committed_array_and_network_are_what_the_study_computes(study, committed):
    cfg = config.load(CONFIG)
    params = config.device_params(cfg)
    for row in committed["array"]["against_dense"]:
        assert max(row["read_difference_from_dense"], row["update_difference_from_dense"]) < 1e-12
    same(study.switching_study(params, cfg.device.read_voltage), committed["array"]["switching"])
    computed = study.network_study(
        params, cfg.learning.learning_rate, study.datasets.load("digits", n_train=2500), variants=("source",), epochs=1
    )
    same(computed["potentials"], committed["network"]["potentials"])
    # A sum within 1e-15 of the threshold may fall on the other side on another processor: not the finding's scale.
    short, full = computed["variants"]["source"], committed["network"]["variants"]["source"]
    np.testing.assert_allclose(short["test_accuracy"], full["test_accuracy"][: len(short["test_accuracy"])], atol=0.02)
    assert short["steps_where_hidden_neurons_differ"] == full["steps_where_hidden_neurons_differ"] == 0
