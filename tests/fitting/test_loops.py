"""Loops as a problem: every model of the table, loops of unequal length together, and the periodic state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from synthetic import LOOPS, loop_problem

from memjax import devices, fitting
from memjax.fitting import loops
from memjax.fitting import problem as problems
from memjax.fitting._fit import _blocks

TRUTH = {"tau": 2e-3, "v_on": 0.25, "v_off": 0.15, "r_on": 500.0, "r_off": 5e3, "temperature": 500.0}


COSTLY = ("generalised_metastable_switch", "yakopcic", "second_order")  # to compile
MODELS = [pytest.param(name, marks=pytest.mark.broad if name in COSTLY else ()) for name in LOOPS]


@pytest.mark.parametrize("device", MODELS)
def test_a_prediction_is_the_models_own_simulation(x64, device):
    """Without a resistor a loop is the device under its voltage: `devices.simulate` at the samples, to rounding."""
    problem, phi = loop_problem(device, points=40)
    values = {name: float(x) for name, x in problems.values(problem, jnp.asarray(phi)).items()}
    assert ((np.asarray(problem.lo) < phi) & (phi < np.asarray(problem.hi))).all()  # the box holds the truth
    model = devices.get(device)
    params = model.Params(**loops.device_parameters(device, values, problem.inputs["held"]))
    model.check(params)
    for k, name in enumerate(n for n in problem.names if n.startswith("x0")):
        v, dt = problem.inputs["u"][k], float(problem.inputs["dt"][k][0])
        start, i0 = model.init(params, values[name]), None
        i0 = model.current(params, start, v[0])
        # Two parts of a sample: the drive halfway, then the sample's own.
        fine = np.stack([(v[:-1] + v[1:]) / 2, v[1:]], 1).reshape(-1)
        _, trace = devices.simulate(model, params, start, jnp.asarray(fine), dt / 2, record="state")
        after = jax.tree.map(lambda leaf: leaf[1::2], trace.state)
        i = np.append(i0, jax.vmap(lambda s, v: model.current(params, s, v))(after, jnp.asarray(v[1:])))
        np.testing.assert_allclose(problem.data[k * 40 : (k + 1) * 40], i / problem.inputs["peak"][k], atol=1e-9)


def measured(points, frequency, amplitude=0.5):
    t = np.arange(points) / points / frequency
    v = amplitude * np.sin(2 * np.pi * frequency * t)
    return fitting.read({"v": v, "i": 1e-3 * v * (1 + 0.1 * np.cos(2 * np.pi * frequency * t))}, frequency=frequency)


@pytest.mark.parametrize("start", ["fitted", "periodic"])
def test_loops_of_unequal_length_are_what_they_are_alone(x64, start):
    """A shorter loop is filled up without weight, and predicted as if the longer one were not there."""
    pair = [measured(30, 10.0), measured(50, 40.0)]
    values = {"r_on": jnp.asarray(400.0), "r_off": jnp.asarray(2e3), "mu": jnp.asarray(200.0)}
    together = loops.problem("linear_ion_drift", pair, start=start)
    states = {} if start == "periodic" else {"x0[0]": jnp.asarray(0.3), "x0[1]": jnp.asarray(0.6)}
    curve = together.predict({**values, **states}, together.inputs)
    if start == "fitted":
        blocks = _blocks(pair)
    else:
        blocks = [50 * k + np.arange(50 - len(one.t), 50) for k, one in enumerate(pair)]
    assert together.weights.sum() == 80
    for k, (one, block) in enumerate(zip(pair, blocks, strict=True)):
        np.testing.assert_array_equal(together.weights[block], 1.0)
        alone = loops.problem("linear_ion_drift", [one], start=start)
        own = {"x0": states[f"x0[{k}]"]} if states else {}
        np.testing.assert_allclose(curve[block], alone.predict({**values, **own}, alone.inputs), atol=1e-12)
        np.testing.assert_allclose(together.data[block], one.i / np.abs(one.i).max())


def test_a_periodic_state_comes_back(x64):
    """After the warm-up a period ends where it began: the next one is the same, and no initial state is fitted."""
    loop = measured(40, 10.0)
    problem = loops.problem("metastable_switch", [loop], start="periodic")
    assert "x0" not in problem.names
    curve = problem.predict({name: jnp.asarray(x) for name, x in TRUTH.items()}, problem.inputs)
    device = devices.get("metastable_switch")
    params, v = device.Params(**TRUTH), np.tile(loop.v, 12)
    fine = np.stack([(np.roll(v, 1) + v) / 2, v], 1).reshape(-1)
    _, trace = devices.simulate(device, params, device.init(params, 0.5), jnp.asarray(fine), 1 / 800, record="state")
    last = jax.tree.map(lambda leaf: leaf[1::2][-40:], trace.state)
    i = jax.vmap(lambda s, v: device.current(params, s, v))(last, jnp.asarray(loop.v))
    np.testing.assert_allclose(curve, i / np.abs(loop.i).max(), atol=2e-3)  # two periods of warm-up, twelve here
