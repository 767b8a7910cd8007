"""Adaptive learning rate: samples that a network needs to reach 95 % where every device has a step of its own.

Chips learn in situ from scratch, as configs/edge_mnist.yaml says but at a constant rate, and are tested every 500
samples; what a chip needed is where it first reads 95 %, between the two tests. The same chips three times over: with
one step for all devices, with a spread of 60 % in both directions, and with the same spread measured beforehand.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
from frame import CHIPS, Task, named_key
from frame import CONFIG as DEPLOYED

from memjax import config as configs
from memjax import energy, files, learning, network, statistics, training
from memjax.mitigation import adaptive_rate

CONFIG = DEPLOYED.with_name("edge_mnist.yaml")
TARGET, SPREAD, EVERY, MOST, GROUP = 0.95, 0.6, 500, 50_000, 5
NONE, BARE, ADAPTIVE = "one step for all", "60 % spread, nominal step", "60 % spread, own steps"
CONDITIONS = {NONE: (0.0, 0), BARE: (SPREAD, 0), ADAPTIVE: (SPREAD, 4)}


def settings(spread: float, pulses: int, chips: int) -> configs.Config:
    """Return the configuration of a condition: only the spread and the measurement differ."""
    d2d = f"{{step_up: {spread}, step_down: {spread}}}" if spread else "{}"
    return configs.load(CONFIG, [f"chips={chips}", f"variation.d2d={d2d}", f"learning.measured_pulses={pulses}"])


def curves(task: Task, name: str, group: int, most: int) -> dict[str, list]:
    """Let the chips of a group learn until all have reached the target: accuracy, pulses and energy [tests, chips]."""
    spread, pulses = CONDITIONS[name]
    number = list(CONDITIONS).index(name)
    file = task.work / "adaptive_rate" / f"{number}-{group}.json"
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    config = settings(spread, pulses, task.chips)
    system = training.build(config)
    keys = system.keys[group * GROUP : (group + 1) * GROUP]
    chips = jax.jit(jax.vmap(system.init))(keys)
    step, accuracy = learning.online(system.learner, training.augment(config)), learning.evaluate(system.learner, 500)
    test = jax.vmap(lambda key: named_key(key, "evaluate"))(keys)
    n, order, made = len(task.train_labels), np.zeros(0, np.int32), {"accuracy": [], "pulses": [], "energy": []}
    rate = np.full(EVERY, config.learning.learning_rate, np.dtype(jnp.result_type(float)))
    for start in range(0, most, EVERY):
        if len(order) < EVERY:
            order = np.concatenate([order, training.order(config, n, start // n)])
        now, order = order[:EVERY], order[EVERY:]
        chips, seen = step(chips, keys, task.train_images, task.train_labels, now, (rate, rate), np.int32(start))
        made["accuracy"].append(accuracy(chips, test, task.images, task.labels).tolist())
        made["pulses"].append(np.sum(np.asarray(seen.training.pulse, float), axis=1).tolist())
        made["energy"].append(_joules(seen).tolist())
        if np.all(np.max(made["accuracy"], axis=0) >= TARGET):
            break
    file.parent.mkdir(exist_ok=True, parents=True)
    files.write_json(file, made)
    return made


def _joules(seen: learning.Record) -> np.ndarray:
    """Price what every chip has done [chips], the forward passes included."""
    counts = energy.total(seen.inference + seen.training, axis=1)
    return sum(joule for joule in energy.breakdown(counts).values() if joule is not None)


def needed(accuracy: np.ndarray) -> np.ndarray:
    """Return the samples [chips] at which an accuracy [tests, chips] first reaches the target, or all of them."""
    found = []
    for y in np.vstack([np.full((1, accuracy.shape[1]), 0.1), accuracy]).T:
        k = np.argmax(y >= TARGET)
        found.append(EVERY * (k - 1 + (TARGET - y[k - 1]) / (y[k] - y[k - 1])) if k else EVERY * (len(y) - 1))
    return np.array(found)


def _until(parts: list[dict], what: str) -> float:
    """Return what a chip had spent at the test at which it had reached the target, mean over chips."""
    spent = []
    for part in parts:
        tests = np.ceil(needed(np.array(part["accuracy"])) / EVERY).astype(int)
        total = np.cumsum(np.array(part[what]), axis=0)
        spent += [total[k - 1, i] for i, k in enumerate(tests)]
    return float(np.mean(spent))


def measuring(chips: int) -> dict[str, float]:
    """Return what the measurement of a chip's steps costs: J, and pulses and verifies a device."""
    config = settings(SPREAD, 0, chips)
    made = training.parts(config)
    net = network.EdgeNetwork(*made, key=training.build(config).keys[0])
    given = made.settings.step, config.device.write_time, jax.random.key(0)
    spent = [
        adaptive_rate.measure(adaptive_rate.Params(), xbar, *given, read_noise=config.variation.read_noise)[2]
        for xbar in net.arrays()
    ]
    counts = energy.total(spent[0] + spent[1])
    devices = 2 * (784 * 256 + 256 * 10)
    return {
        "energy": energy.joules(counts)["e_max"],
        "pulses": counts["pulse"] / devices, "verifies": counts["verify"] / devices,
    }  # fmt: skip


def study(task: Task) -> dict:
    quick = task.chips < GROUP
    most = 2 * EVERY if quick else MOST
    groups = -(-task.chips // GROUP)
    made = {name: [curves(task, name, g, most) for g in range(groups)] for name in CONDITIONS}
    found, samples = {}, {}
    for name, parts in made.items():
        ys = [np.array(part["accuracy"]) for part in parts]
        samples[name] = np.concatenate([needed(y) for y in ys])
        shown = min(map(len, ys))
        y = 100 * np.concatenate([y[:shown] for y in ys], axis=1)
        found[name] = {
            "at": [EVERY * (k + 1) for k in range(shown)], "mean": y.mean(axis=1).tolist(),
            "sd": y.std(axis=1, ddof=1).tolist(), "samples": samples[name].round(1).tolist(),
            "reached": int(sum((y >= TARGET).any(axis=0).sum() for y in ys)),
            "pulses": _until(parts, "pulses"), "energy": _until(parts, "energy"), "devices": 1.0,
        }  # fmt: skip
    bare, left = samples[BARE] - samples[NONE], samples[ADAPTIVE] - samples[NONE]
    # Half of the excess of each chip, against what is left of it: is it below, for sure?
    margin, paired = statistics.paired_difference(left, bare / 2), statistics.paired_difference(left, bare)
    judged = {
        "bare": BARE, "remedy": ADAPTIVE, "at": 0, "unit": "samples",
        "lost": float(bare.mean()), "left": float(left.mean()),
        "gain": {"mean": paired.difference, "low": paired.low, "high": paired.high, "pairs": paired.n},
        "below_half": {"mean": margin.difference, "low": margin.low, "high": margin.high},
        "target": "half the excess of samples to 95 %, 95 % interval above zero, on twenty chips",
        "met": bool(margin.difference > 0 and paired.low > 0 and paired.n >= CHIPS),
    }  # fmt: skip
    return {
        "title": "own steps", "kind": "learning", "target": 100 * TARGET, "curves": found, "ideal": 100 * TARGET,
        "axis": {"label": "training samples", "values": []}, "measuring": measuring(task.chips), "judged": [judged],
    }  # fmt: skip
