"""Independent spread of the devices' gains: trains of pulses without a look, and inverse mapping of measured gains."""

import frame
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax import mitigation, programming
from memjax.programming import write_verify
from memjax.variation import Nonidealities, named_key

SPREADS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # sd of g_max and of the steps up and down, independent, lognormal
AT = 4
NOISE = 0.02
C2C = 0.3
OPEN, ONE = "open loop", "open loop, one device of a pair"
READS = {"inverse mapping": 1, "inverse mapping, 4 reads": 4}
WRITE_VERIFY = "write-verify"


def study(task: frame.Task) -> dict:
    """Return accuracy against the spread of gains, and the pulses and reads that programming takes."""
    found = frame.run(task, "inverse", chip, SPREADS)
    curves = {}
    for name in (OPEN, ONE, *READS, WRITE_VERIFY):
        values = {what: found[f"{what}, {name}"] for what in ("accuracy", "joule", "pulses", "verifies", "error")}
        curves[name] = frame.curve(values, devices=1.0, energy=float(values["joule"][AT].mean()))
    ideal = 100 * float(np.mean(found[f"accuracy, {OPEN}"][0]))
    judged = []
    for bare, at, names in ((OPEN, AT, (*READS, WRITE_VERIFY)), (ONE, AT + 1, READS)):
        for name in names:
            row = frame.judge(ideal, curves, bare, name, at, "80 % of the loss recovered", False)
            share = 1 - row["left"] / row["lost"]
            judged.append(row | {"spread": SPREADS[at], "loss_recovered": share, "met": bool(share >= 0.8)})
    return {
        "title": "Spread of gains", "axis": {"label": "sd of g_max, of steps up and of steps down", "values": SPREADS},
        "ideal": ideal, "ideal_label": "open loop, no spread", "curves": curves, "judged": judged,
        "zoom": {"at": [0.64, 0.46, 0.35, 0.38], "y": [91, 98]},
    }  # fmt: skip


def chip(task: frame.Task, key: Array, spread: Array) -> dict[str, Array]:
    """Return one chip's accuracies, and what programming it took, each way."""
    sampled = Nonidealities(d2d=dict.fromkeys(("g_max", "step_up", "step_down"), spread), c2c=C2C)
    stairs, arrays, costs = frame.stairs(), {}, {}
    for layer, xbar, w in zip(frame.LAYERS, frame.layers(sampled, key), task.weights, strict=True):
        own = named_key(key, f"program {layer}")
        for name, (made, spent) in programmed(stairs, xbar, w, own).items():
            arrays.setdefault(name, []).append(made)
            costs.setdefault(name, []).append((spent, frame.missed(made, w)))
    out = {}
    for name, pair in arrays.items():
        readers = (mitigation.reader(xbar, NOISE) for xbar in pair)
        out |= {f"accuracy, {name}": frame.accuracy(task, *readers, named_key(key, "read"))}
        out |= frame.costs(name, *zip(*costs[name], strict=True))
    return out


def programmed(stairs, xbar, w, key):
    """Program one layer in every way -> {name: (array, events)}, each from the middle of the range but ONE."""
    pair = jnp.stack([w, -w])
    middle, low = jnp.full_like(pair, 0.5), frame.set_low(xbar)
    made = {
        OPEN: programming.open_loop(stairs, xbar, middle, 0.5 + 0.5 * pair, frame.WIDTH, key),
        ONE: programming.open_loop(stairs, low, jnp.zeros_like(pair), jnp.maximum(pair, 0), frame.WIDTH, key),
    }
    for name, reads in READS.items():
        params = mitigation.inverse.Inverse(read_noise=NOISE, reads=reads)
        array, _, spent = mitigation.inverse.map_inverse(params, stairs, xbar, w, frame.WIDTH, key)
        made[name] = array, spent
    params = write_verify.Params(step=frame.step(), read_noise=NOISE, d2d=0.4, c2c=C2C)
    array, _, spent = write_verify.program_to(params, xbar, w, frame.WIDTH, key)
    return made | {WRITE_VERIFY: (array, spent)}
