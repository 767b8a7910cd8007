"""A bit line of every tile fails in use: checksum columns find it by test reads, and restore what it read."""

import functools

import frame
import jax.numpy as jnp
import numpy as np

from memjax import crossbar, learning, mitigation, variation
from memjax.energy import Events
from memjax.mitigation import checksum

READ_NOISE = 0.02
READS = 16  # test reads
CASES = {
    "bit line, pairs": (2, frame.ERROR, READ_NOISE),
    "bit line, single": (1, frame.ERROR, READ_NOISE),
    "bit line, pairs, no noise": (2, 0.0, None),
}
# Groups and locators of the hidden array and of the output array.
CODES = {"sum and weighted sum": ((1, 1), (1, 1)), "5 sums, 2 locators": ((5, 2), (1, 2))}


def study(task):
    variants = {"bare": (unprotected,)} | {label: (protected, label) for label in CODES}
    values = {
        label: [frame.run(task, f"checksum {label} {case}", functools.partial(*how, *kind), (1.0,))
                for case, kind in CASES.items()]
        for label, how in variants.items()
    }  # fmt: skip
    last = list(CODES)[-1]
    values["no bad line"] = [v | {"accuracy": v["whole"]} for v in values[last]]
    curves = {}
    for label, made in values.items():
        joined = {name: np.concatenate([v[name] for v in made]) for name in made[0]}
        cost = devices(last if label == "no bad line" else label) if label != "bare" else 1.0
        curves[label] = frame.curve(joined, devices=cost, energy=float(np.mean(joined["energy"][0])))
    ideal, judged = frame.ideal(task), []
    for label in CODES:
        for at, case in enumerate(CASES):
            made, noisy = values[label][at], CASES[case][2] is not None
            paired = frame.gain(made["accuracy"][0] * 100, made["whole"][0] * 100)
            # Analogue sums are exact but for their own errors: through noise the bar is .3 point of the chip without
            # a bad line, and without noise and errors it is rounding.
            met = paired["mean"] <= 0.3 if noisy else made["difference"].max() < 1e-5
            target = f"{case}: " + ("within .3 point of the chip without bad lines" if noisy else "exact to rounding")
            row = frame.judge(ideal, curves, "bare", label, at, target, met)
            found = {"found": float(made["found"].mean()), "difference": float(made["difference"].max())}
            judged.append(row | found | {"case": case, "left_of_whole": paired, "devices": devices(label)})
    return {
        "title": "one bad bit line in every tile of 64 x 64",
        "axis": {"label": "", "values": list(CASES)},
        "ideal": ideal,
        "curves": curves,
        "judged": judged,
        "lost": True,
        "energy_label": "programming and test (µJ)",
    }


def plans(label):
    hidden, output = CODES[label]
    return checksum.Plan((784, 256), (64, 64), *hidden), checksum.Plan((256, 10), (64, 10), *output)


def devices(label):
    return float(sum(np.prod(p.physical_shape) for p in plans(label)) / sum(np.prod(p.shape) for p in plans(label)))


def failed(xbar, faults):
    """Let bit lines fail after programming: what their devices hold no longer matters."""
    broken = crossbar.create(
        xbar.device, xbar.shape, xbar.tile, polarity=xbar.polarity, params=xbar.params, faults=faults, x=0.0
    )
    state = jnp.where(broken.faults != 0, broken.state.x, xbar.state.x)
    return xbar.replace(state=xbar.state.replace(x=state), faults=broken.faults)


def unprotected(polarity, error, noise, task, key, severity):
    arrays, events = frame.layers(variation.Nonidealities(), key, polarity=polarity), Events()
    readers = []
    for xbar, target, name in zip(arrays, task.weights, frame.LAYERS, strict=True):
        own = variation.named_key(key, name)
        faults = variation.one_line_a_tile((polarity, *xbar.shape), xbar.tile, "bit", own)
        xbar = failed(frame.open_loop(xbar, target, own, error), faults)
        events = events + Events(pulse=polarity * target.size)
        readers.append(mitigation.reader(xbar, noise))
    y = frame.outputs(task, *readers, variation.named_key(key, "reads"))
    return {"accuracy": frame.share(task, y), "energy": frame.joules(events)}


def protected(label, polarity, error, noise, task, key, severity):
    plan = plans(label)
    arrays, events = frame.layers(variation.Nonidealities(), key, polarity=polarity, plans=plan), Events()
    readers, wholes, found = [], [], []
    for xbar, p, target, name in zip(arrays, plan, task.weights, frame.LAYERS, strict=True):
        own = variation.named_key(key, name)
        encoded, scale = checksum.encode(p, target)
        whole = frame.open_loop(xbar, encoded, own, error)
        faults = variation.one_line_a_tile((polarity, *xbar.shape), xbar.tile, "bit", own)
        xbar = failed(whole, faults)
        column, spent = checksum.self_test(
            p, scale, xbar, variation.named_key(own, "test"), read_noise=noise, error=error or 1e-4, reads=READS
        )
        events = events + spent + Events(pulse=polarity * encoded.size)
        readers.append(checksum.reader(p, scale, xbar, column, noise))
        wholes.append(checksum.reader(p, scale, whole, jnp.full_like(column, -1), noise))
        found.append((column == truth(p, faults)).ravel())
    x = learning.scale(task.images)
    read, whole = (made[0](x, x * x).value for made in (readers, wholes))  # behind the neurons rounding may be a spike
    y, healthy = (frame.outputs(task, *made, variation.named_key(key, "reads")) for made in (readers, wholes))
    return {
        "accuracy": frame.share(task, y),
        "whole": frame.share(task, healthy),
        "difference": jnp.max(jnp.abs(read - whole)) / jnp.max(jnp.abs(whole)),
        "found": jnp.mean(jnp.concatenate(found).astype(y.dtype)),
        "energy": frame.joules(events),
    }


def truth(plan, faults):
    """Return the column of the weights that is bad in every tile, or -1: a check is."""
    (r, c), size = plan.tiles, plan.physical_tile[1]
    rows = faults[:, :: plan.tile[0]].any(0)  # the first word line of every row of tiles
    line = jnp.argmax(rows.reshape(r, c, size), axis=-1)
    return jnp.maximum(line - plan.checks, -1)
