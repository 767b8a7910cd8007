"""Training for the devices that will hold the weights: deployed open loop on chips with D2D spread and stuck devices.

All weights go on from the same trained network, off the chip, for as many batches: as if devices were ideal; on devices
drawn anew at every batch, the same weights for all chips; and from there on the lines of each chip, measured first.
"""

from typing import Any

import jax
import optax
from frame import LAYERS, Task, accuracy, curve, joules, judge, layers, open_loop, run

from memjax import learning, mitigation
from memjax.energy import Events
from memjax.mitigation import training_aware
from memjax.variation import Nonidealities, Stuck, named_key

SHARES = (0.0, 0.02, 0.05, 0.1)
FIVE = SHARES.index(0.05)
GAIN, NOISE, BATCHES, OWN_BATCHES = 0.2, 0.02, 3000, 300
DEVICES = training_aware.Params(gain=GAIN, stuck_on=0.025, stuck_off=0.025, noise=0.02)


def trained(task: Task, params: training_aware.Params | None, batches: int = BATCHES) -> tuple:
    """Go on training the network's weights for devices of this kind, or for ideal ones."""
    optimiser = optax.adam(optax.cosine_decay_schedule(1e-3, batches))
    images = learning.scale(task.train_images)

    def go(weights):
        labels, key = task.train_labels, jax.random.key(1)
        return training_aware.train(optimiser, weights, images, labels, key, params=params, batches=batches)[0]

    return jax.jit(go)(task.weights)


def sampled(key: Any, share: Any) -> tuple:
    chip = Nonidealities(d2d={"g_max": GAIN}, read_noise=NOISE, stuck=Stuck(share / 2, share / 2))
    return layers(chip, key)


def deployed(task: Task, arrays: tuple, weights: tuple, key: Any) -> Any:
    """Return the accuracy of weights that are set once, open loop."""
    readers = [
        mitigation.reader(open_loop(xbar, w, named_key(key, f"program {name}")), NOISE)
        for name, xbar, w in zip(LAYERS, arrays, weights, strict=True)
    ]
    return accuracy(task, *readers, named_key(key, "test"))


def same_for_all(task: Task, key: Any, share: Any) -> dict:
    return {"accuracy": deployed(task, sampled(key, share), task.weights, key)}


def own(batches: int) -> Any:
    """Return the function of a chip that is measured, and for which the weights are then trained."""

    def chip(task: Task, key: Any, share: Any) -> dict:
        arrays = sampled(key, share)
        found = [
            training_aware.measure(xbar, named_key(key, f"measure {name}"), read_noise=NOISE, reads=4)
            for name, xbar in zip(LAYERS, arrays, strict=True)
        ]
        optimiser = optax.adam(optax.cosine_decay_schedule(1e-3, batches))
        weights, _ = training_aware.train(
            optimiser, task.weights, learning.scale(task.train_images), task.train_labels, named_key(key, "train"),
            params=DEVICES, known=(found[0][1], found[1][1]), batches=batches,
        )  # fmt: skip
        spent = found[0][2] + found[1][2]
        return {"accuracy": deployed(task, arrays, weights, key), "measuring": joules(spent)}

    return chip


def study(task: Task) -> dict:
    quick = task.chips < 20
    ideal_trained = trained(task, None, 30 if quick else BATCHES)
    aware = trained(task, DEVICES, 30 if quick else BATCHES)
    for_ideal, for_any = task._replace(weights=ideal_trained), task._replace(weights=aware)
    pulses = 2 * sum(w.size for w in task.weights)
    once = float(joules(Events(pulse=pulses)))
    plain, kind, chip = "trained for ideal devices", "trained for the kind", "trained for each chip"
    curves = {}
    for label, given, name in ((plain, for_ideal, "plain"), (kind, for_any, "kind")):
        values = run(given, f"training_aware-{name}", same_for_all, SHARES)
        curves[label] = curve(values, devices=1.0, energy=once)
    values = run(for_any, "training_aware-own", own(10 if quick else OWN_BATCHES), SHARES[FIVE:])
    energy = once + float(values["measuring"].mean())
    curves[chip] = curve(values, devices=1.0, energy=energy) | {"at": SHARES[FIVE:]}
    nothing = Nonidealities(read_noise=NOISE)

    def perfect(task, key, _):
        return {"accuracy": deployed(task, layers(nothing, key), task.weights, key)}

    ideal = 100 * float(run(for_ideal, "training_aware-ideal", perfect, [0.0])["accuracy"].mean())
    five = {label: {"chips": made["chips"][FIVE:] if len(made["chips"]) == len(SHARES) else made["chips"]}
            for label, made in curves.items()}  # fmt: skip
    rows = [
        judge(ideal, five, plain, remedy, 0, "gain above zero at 5 % stuck devices", False) for remedy in (kind, chip)
    ]  # fmt: skip
    for row in rows:
        row["met"] = bool(row["lost"] >= 3 and row["gain"]["low"] > 0)
    return {
        "title": "20 % spread of g_max", "ideal": ideal, "curves": curves, "judged": rows,
        "axis": {"label": "share of stuck devices, half of them on", "values": SHARES}, "ylim": (28.0, 101.0),
    }  # fmt: skip
