"""Resistance of the lines of long columns: weights on both devices of a pair, on one, and mapped through the wires."""

import frame
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax import crossbar, mitigation
from memjax.crossbar import Crossbar
from memjax.mitigation.calibration import Calibration
from memjax.mitigation.wire_aware import WireMap
from memjax.variation import Nonidealities, named_key
from memjax.wires import Wires

OHMS = (0.0, 0.1, 0.3, 1.0, 3.0)  # of a segment of a word or a bit line
TILE = (784, 32)  # word lines, bit lines: the first layer's columns are one piece
IMAGES = 1000
NOISE = 0.02
WRONG = 0.8  # believed over true resistance, of a designer who does not know it well
BARE, WINDOW, AWARE, OFF = "both devices of a pair", "one device of a pair", "wire-aware", "wire-aware, wires 20 % off"


def study(task: frame.Task) -> dict:
    """Return accuracy against the resistance of a segment."""
    task = task._replace(images=task.images[:IMAGES], labels=task.labels[:IMAGES])
    # Worked out once a resistance, of nominal devices, and shared by all chips.
    maps = jax.jit(lambda weights: jax.lax.map(lambda r: mapped(weights, r), jnp.asarray(OHMS)))(task.weights)
    found = frame.run(task._replace(more=maps), "wire_aware", chip, OHMS)
    curves = {}
    for name in (BARE, WINDOW, AWARE, OFF):
        curves[name] = frame.curve({"accuracy": found[name]}, devices=1.0)
    ideal = 100 * float(np.mean(found[BARE][0]))
    judged = []
    for remedy, bare, at in (
        (AWARE, BARE, 1), (AWARE, BARE, 3), (AWARE, WINDOW, 3), (AWARE, WINDOW, 4), (OFF, WINDOW, 3), (WINDOW, BARE, 1)
    ):  # fmt: skip
        row = frame.judge(ideal, curves, bare, remedy, at, "half of the loss recovered", False)
        share = 1 - row["left"] / row["lost"]
        judged.append(row | {"ohm": OHMS[at], "loss_recovered": share, "met": bool(row["lost"] >= 3 and share >= 0.5)})
    first, second = (jax.tree.map(np.asarray, m) for m in maps[AWARE])
    gains = {
        f"{r:g}": [[float(m.columns.gain[k].min()), float(m.columns.gain[k].mean())] for m in (first, second)]
        for k, r in enumerate(OHMS)
    }
    return {
        "title": "Long columns, 784 x 32",
        "axis": {"label": "resistance of a segment (ohm)", "values": OHMS, "linear_to": 0.1},
        "ideal": ideal, "ideal_label": "no wires", "curves": curves, "judged": judged, "images": IMAGES,
        "zoom": {"at": [0.09, 0.45, 0.38, 0.34], "y": [91, 98.5]},
        "lines": {
            "title": "fixed point, first layer", "x": "solutions of the wires", "y": "rms error of weights",
            "curves": {f"{r:g} ohm": first.error[k].tolist() for k, r in enumerate(OHMS) if r},
        },
        "gains": gains,
    }  # fmt: skip


def layers(r: Array, key: Array) -> tuple[Crossbar, Crossbar]:
    """Return the two arrays with wires of this resistance a segment."""
    return frame.layers(Nonidealities(), key, tile=TILE, wires=Wires(r, r, precision="float32"))


def mapped(weights: tuple[Array, Array], r: Array) -> dict[str, list[WireMap]]:
    """Return every way's positions and column gains, of nominal devices."""

    def plain(w, x):
        one = jnp.ones(w.shape[1], w.dtype)
        return WireMap(x, Calibration(gain=one, offset=0 * one), jnp.zeros(1, w.dtype))  # nothing was solved

    def aware(believed):
        return [
            mitigation.wire_aware.map_wires(a, w)
            for a, w in zip(layers(believed, jax.random.key(0)), weights, strict=True)
        ]

    return {
        BARE: [plain(w, 0.5 + 0.5 * jnp.stack([w, -w])) for w in weights],
        WINDOW: [plain(w, mitigation.wire_aware.one_of_a_pair(w)) for w in weights],
        AWARE: aware(r),
        OFF: aware(WRONG * r),
    }


def chip(task: frame.Task, key: Array, r: Array) -> dict[str, Array]:
    """Return one chip's accuracies: the same errors of open-loop programming in every way."""
    at, out = jnp.searchsorted(jnp.asarray(OHMS, r.dtype), r), {}
    for name, made in jax.tree.map(lambda leaf: leaf[at], task.more).items():
        readers = []
        for layer, xbar, one in zip(frame.LAYERS, layers(r, key), made, strict=True):
            xbar = frame.place(xbar, one.x, named_key(key, f"program {layer}"))
            read = mitigation.reader(crossbar.cache(xbar), NOISE)
            readers.append(mitigation.calibration.calibrated(read, one.columns))
        out[name] = frame.accuracy(task, *readers, named_key(key, "read"))
    return out
