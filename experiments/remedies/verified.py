"""Spread of devices and noise of writes: trains of pulses without a look, and write-verify at several tolerances."""

import frame
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax import config as configs
from memjax import mitigation, programming
from memjax.programming import write_verify
from memjax.variation import Nonidealities, named_key

SEVERITIES = (0.0, 0.5, 1.0, 2.0)  # 1: the spread and the noise of configs/mc_deployed.yaml
AT = 2
NOISE = 0.02
OPEN = "open loop"
TOLERANCES = {f"write-verify, ±{100 * t:g} %": t for t in (0.01, 0.05)}
BUDGETS = (1, 2, 4)  # pulses that a weight may get, at the tightest tolerance


def study(task: frame.Task) -> dict:
    """Return accuracy against severity, and at severity 1 against energy, by tolerance and by budget."""
    found = frame.run(task, "verified", chip, SEVERITIES)
    budgets = frame.run(task, "verified-budgets", budgeted, BUDGETS)
    curves = {}
    for name in (OPEN, *TOLERANCES):
        values = {what: found[f"{what}, {name}"] for what in ("accuracy", "joule", "pulses", "verifies", "error")}
        curves[name] = frame.curve(values, devices=1.0, energy=float(values["joule"][AT].mean()))
    ideal, judged = 100 * float(np.mean(found[f"accuracy, {OPEN}"][0])), []
    for name in TOLERANCES:
        row = frame.judge(ideal, curves, OPEN, name, AT, "80 % of the loss recovered", False)
        share = 1 - row["left"] / row["lost"]
        judged.append(row | {"loss_recovered": share, "energy": curves[name]["energy"], "met": bool(share >= 0.8)})
    sweep = [
        {
            "label": f"{n}", "energy": float(budgets["joule, budget"][k].mean()),
            "mean": 100 * float(budgets["accuracy"][k].mean()), "sd": 100 * float(budgets["accuracy"][k].std(ddof=1)),
        }
        for k, n in enumerate(BUDGETS)
    ]  # fmt: skip
    return {
        "title": "D2D and C2C together", "axis": {"label": "severity: 1 is 20 % D2D, 30 % C2C", "values": SEVERITIES},
        "ideal": ideal, "ideal_label": "open loop, no spread", "curves": curves, "judged": judged,
        "sweep": {"title": "at severity 1", "label": "±1 %, pulses a weight may get", "points": sweep},
    }  # fmt: skip


def described(severity: Array) -> Nonidealities:
    """Return the spread and the write noise of the configuration at a severity; nothing else."""
    wanted = configs.load(frame.CONFIG).variation
    d2d = {name: severity * spread.sigma for name, spread in wanted.d2d.items()}
    return Nonidealities(d2d=d2d, c2c=severity * wanted.c2c)


def chip(task: frame.Task, key: Array, severity: Array) -> dict[str, Array]:
    """Return one chip's accuracies, and what programming it took, each way."""
    stairs, arrays, costs = frame.stairs(), {}, {}
    for layer, xbar, w in zip(frame.LAYERS, frame.layers(described(severity), key), task.weights, strict=True):
        own, pair = named_key(key, f"program {layer}"), jnp.stack([w, -w])
        middle = jnp.full_like(pair, 0.5)
        made = {OPEN: programming.open_loop(stairs, xbar, middle, 0.5 + 0.5 * pair, frame.WIDTH, own)}
        for name, tolerance in TOLERANCES.items():
            array, _, spent = write_verify.program_to(params(tolerance), xbar, w, frame.WIDTH, own)
            made[name] = array, spent
        for name, (array, spent) in made.items():
            arrays.setdefault(name, []).append(array)
            costs.setdefault(name, []).append((spent, frame.missed(array, w)))
    out = {}
    for name, both in arrays.items():
        readers = (mitigation.reader(xbar, NOISE) for xbar in both)
        out |= {f"accuracy, {name}": frame.accuracy(task, *readers, named_key(key, "read"))}
        out |= frame.costs(name, *zip(*costs[name], strict=True))
    return out


def budgeted(task: frame.Task, key: Array, budget: Array) -> dict[str, Array]:
    """Return what a chip of severity 1 does whose weights get at most so many pulses each."""
    arrays, costs = [], []
    for layer, xbar, w in zip(frame.LAYERS, frame.layers(described(jnp.ones(())), key), task.weights, strict=True):
        own = params(min(TOLERANCES.values())).replace(budget=budget)
        array, _, spent = write_verify.program_to(own, xbar, w, frame.WIDTH, named_key(key, f"program {layer}"))
        arrays.append(mitigation.reader(array, NOISE))
        costs.append((spent, frame.missed(array, w)))
    out = frame.costs("budget", *zip(*costs, strict=True))
    return out | {"accuracy": frame.accuracy(task, *arrays, named_key(key, "read"))}


def params(tolerance: float) -> write_verify.Params:
    """Return write-verify as it is described, for devices of the configuration."""
    return write_verify.Params(step=frame.step(), tolerance=tolerance, read_noise=NOISE)
