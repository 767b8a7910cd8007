"""Stuck devices: the healthy partner of each pair, the rest of its column, and write-verify, by a measured map."""

import frame
import jax
import jax.numpy as jnp
import numpy as np

from memjax import learning, mitigation, programming, variation
from memjax.energy import Events
from memjax.mitigation import fault_map, pairs
from memjax.programming import write_verify

SEVERITIES = (0.0, 0.4, 1.0, 2.0)
STUCK = 0.05  # share of devices at severity 1, half of them on
READ_NOISE = 0.02
WIDTH = 10e-9  # s, of a pulse
SAMPLES = 2000  # training images, of which the second moments are taken


def study(task):
    moments = second_moments(task)
    chip = variation.Nonidealities(stuck=variation.Stuck(STUCK / 2, STUCK / 2), read_noise=READ_NOISE)

    def evaluate(remedy):
        def one(task, key, severity):
            now = chip.with_severity({"stuck": severity})
            made, events = [], Events()
            for xbar, target, moment, name in zip(
                frame.layers(now, key), task.weights, moments, frame.LAYERS, strict=True
            ):
                xbar, spent = remedy(xbar, target, moment, variation.named_key(key, f"program {name}"))
                made, events = [*made, mitigation.reader(xbar, READ_NOISE)], events + spent
            y = frame.accuracy(task, *made, variation.named_key(key, "reads"))
            return {"accuracy": y, "energy": frame.joules(events)}

        return one

    remedies = {
        "open loop": bare,
        "healthy partner": partner,
        "partner and column": column,
        "write-verify": verified,
    }
    curves = {}
    for label, remedy in remedies.items():
        values = frame.run(task, f"pairs {label}", evaluate(remedy), SEVERITIES)
        curves[label] = frame.curve(values, devices=1.0, energy=float(values["energy"][2].mean()))
    ideal = frame.ideal(task)
    judged = []
    for label in list(remedies)[1:]:
        left = ideal - float(np.mean(curves[label]["chips"][2]))
        judged.append(frame.judge(ideal, curves, "open loop", label, 2, "within .6 point of ideal", left <= 0.6))
    return {
        "title": "stuck devices",
        "axis": {"label": "stuck devices (%), half of them on", "values": [100 * STUCK * s for s in SEVERITIES]},
        "ideal": ideal,
        "curves": curves,
        "judged": judged,
        "lost": True,
        "energy_label": "map and programming (µJ)",
    }


def bare(xbar, target, moment, key):
    return frame.open_loop(xbar, target, key), Events(pulse=2 * target.size)


def partner(xbar, target, moment, key):
    xbar, faults, events = measured(xbar, key)
    return frame.place(xbar, pairs.states(target, faults), key), events


def column(xbar, target, moment, key):
    xbar, faults, events = measured(xbar, key)
    wanted = pairs.spread_rest(target, *pairs.reach(faults), moment)
    return frame.place(xbar, pairs.states(wanted, faults), key), events


def measured(xbar, key):
    """Measure the fault map; the events are those of the map and of setting every device once afterwards."""
    found = fault_map.measure(xbar, WIDTH, variation.named_key(key, "map"), read_noise=READ_NOISE)
    return *found[:2], found[2] + Events(pulse=xbar.polarity * xbar.shape[0] * xbar.shape[1])


def verified(xbar, target, moment, key):
    params = write_verify.Params(frame.step(), c2c=0.01, read_noise=READ_NOISE)
    xbar, _, events = programming.program_to(params, xbar, target, WIDTH, key)
    return xbar, events


def second_moments(task):
    """Return <x x^T> of what the two arrays get: training images, and the spikes they cause on ideal devices."""
    x = learning.scale(task.train_images[:SAMPLES])
    hidden = mitigation.reader(frame.ideal_layers(task)[0])
    spikes = mitigation.respond(hidden, lambda x, power: mitigation.Seen(x, None), x, jax.random.key(0))
    return tuple(jnp.matmul(v.T, v) / len(v) for v in (x, spikes))
