"""Bad lines, one in every tile: spare lines that take their place, by a measured fault map."""

import functools

import frame
import jax.numpy as jnp
import numpy as np

from memjax import mitigation, variation
from memjax.energy import Events
from memjax.mitigation import fault_map, spares

READ_NOISE = 0.02
WIDTH = 10e-9  # s, of a pulse
# A dead word line is what a differential pair cancels best: it and its driver are judged on single-ended arrays.
CASES = {
    "bit line, pairs": ("bit", 2),
    "word line, single": ("word", 1),
    "driver, single": ("driver", 1),
    "word line, pairs": ("word", 2),
    "driver, pairs": ("driver", 2),
}


def study(task):
    """Compare chips with bad lines, those with spares in their place, and the latter without their bad lines."""
    bare, repaired = (
        [frame.run(task, f"spares {how.__name__} {case}", functools.partial(how, *kind), (1.0,))
         for case, kind in CASES.items()]
        for how in (unrepaired, repair)
    )  # fmt: skip
    whole = [{"accuracy": v["whole"], "energy": v["energy"]} for v in repaired]
    curves = {}
    for label, made in {"bare": bare, "spares": repaired, "spares, no bad line": whole}.items():
        joined = {name: np.concatenate([v[name] for v in made]) for name in made[0]}
        cost = float(np.mean(joined["energy"][0]))
        curves[label] = frame.curve(joined, devices=1.0 if label == "bare" else devices(), energy=cost)
    ideal, judged = frame.ideal(task), []
    for at, case in enumerate(CASES):
        exact = repaired[at]["difference"].max() == 0
        row = frame.judge(ideal, curves, "bare", "spares", at, f"{case}: outputs those without bad lines", exact)
        judged.append(row | {"case": case})
    return {
        "title": "one bad line in every tile of 64 x 64",
        "axis": {"label": "", "values": list(CASES)},
        "ideal": ideal,
        "curves": curves,
        "judged": judged,
        "lost": True,
        "energy_label": "map and programming (µJ)",
    }


def plans():
    """Plan as many spare word lines as tiles lie beside each other, since these share them, and one bit line a tile."""
    return spares.Plan((784, 256), (64, 64), (4, 1)), spares.Plan((256, 10), (64, 10), (1, 1))


def devices():
    built, used = (sum(np.prod(getattr(p, what)) for p in plans()) for what in ("physical_shape", "shape"))
    return float(built / used)


def unrepaired(kind, polarity, task, key, severity):
    arrays = frame.layers(variation.Nonidealities(), key, polarity=polarity, faults=lines(kind))
    y = respond(task, arrays, key)
    events = Events(pulse=sum(polarity * target.size for target in task.weights))
    return {"accuracy": frame.share(task, y), "energy": frame.joules(events)}


def repair(kind, polarity, task, key, severity):
    """Build the arrays with spares, measure their faults through read noise, and route around them."""
    made, events = [], Events()
    arrays = frame.layers(variation.Nonidealities(), key, polarity=polarity, faults=lines(kind), plans=plans())
    for xbar, plan, name in zip(arrays, plans(), frame.LAYERS, strict=True):
        own = variation.named_key(key, f"map {name}")
        xbar, faults, spent = fault_map.measure(xbar, WIDTH, own, read_noise=READ_NOISE)
        routing = spares.assign(plan, faults)
        made.append([spares.route(x, plan, routing) for x in (xbar, xbar.replace(faults=None))])
        events = events + spent + Events(pulse=polarity * plan.shape[0] * plan.shape[1])
    y, whole = (respond(task, arrays, key) for arrays in zip(*made, strict=True))
    return {
        "accuracy": frame.share(task, y),
        "whole": frame.share(task, whole),
        "difference": jnp.max(jnp.abs(y - whole)),
        "energy": frame.joules(events),
    }


def respond(task, arrays, key):
    readers = []
    for xbar, target, name in zip(arrays, task.weights, frame.LAYERS, strict=True):
        xbar = frame.open_loop(xbar, target, variation.named_key(key, f"program {name}"))
        readers.append(mitigation.reader(xbar, READ_NOISE))
    return frame.outputs(task, *readers, variation.named_key(key, "reads"))


def lines(kind):
    return lambda shape, tile, key: variation.one_line_a_tile(shape, tile, kind, key)
