"""Spread and stuck devices: k devices a weight, with and without a fault map, and committees of k networks."""

import functools

import frame
import jax
import jax.numpy as jnp
import numpy as np

from memjax import learning, mitigation, variation
from memjax.energy import Events
from memjax.mitigation import committee, fault_map, pairs, redundancy

TIMES = (1, 2, 3, 4, 6, 8)
CHIP = variation.Nonidealities(d2d={"g_max": 0.2}, stuck=variation.Stuck(0.01, 0.01), read_noise=0.02)
WIDTH = 10e-9  # s, of a pulse
MAP = {"pulses": 2, "amplitude": 8.0}
JUDGED = TIMES.index(4)


def study(task):
    ways = {
        "devices a weight": (spread_out, False),
        "committee": (networks,),
        "devices a weight, mapped": (spread_out, True),
    }
    curves = {}
    for label, (how, *settings) in ways.items():
        made = [frame.run(task, f"redundancy {label} {k}", functools.partial(how, k, *settings), (1.0,)) for k in TIMES]
        joined = {name: np.concatenate([v[name] for v in made]) for name in made[0]}
        curves[label] = frame.curve(joined, devices=float(TIMES[JUDGED]), energy=float(joined["energy"][JUDGED].mean()))
    ideal = frame.ideal(task)
    curves["once"] = dict(curves["devices a weight"])
    for name in ("mean", "sd", "chips"):
        curves["once"][name] = [curves["devices a weight"][name][0]] * len(TIMES)
    judged = []
    for label in ways:
        left = [ideal - m for m in curves[label]["mean"]]
        row = frame.judge(ideal, curves, "once", label, JUDGED, "a curve against devices", True)
        judged.append(row | {"left_at": dict(zip(map(str, TIMES), left, strict=True))})
    against = frame.gain(curves["devices a weight"]["chips"][JUDGED], curves["committee"]["chips"][JUDGED])
    del curves["once"]
    return {
        "title": "20 % spread of g_max, 2 % stuck",
        "axis": {"label": "devices relative to one array", "values": list(TIMES)},
        "ideal": ideal,
        "curves": curves,
        "judged": judged,
        "committee_against_devices": against,
        "lost": True,
        "energy_label": f"programming at {TIMES[JUDGED]} (µJ)",
    }


def chips(k, key):
    """Sample k chips' arrays, stacked."""
    return jax.vmap(lambda own: frame.layers(CHIP, own))(jax.random.split(key, k))


def spread_out(k, mapped, task, key, severity):
    readers, events = [], Events()
    for stack, target, name in zip(chips(k, key), task.weights, frame.LAYERS, strict=True):
        keys = jax.random.split(variation.named_key(key, f"program {name}"), k)
        events = events + Events(pulse=2 * k * target.size)
        if mapped:
            stack, faults, spent = jax.vmap(measure)(stack, keys)
            wanted = redundancy.divide(target, *jax.vmap(pairs.reach)(faults))
            stack = jax.vmap(frame.place)(stack, jax.vmap(pairs.states)(wanted, faults), keys)
            events = events + jax.tree.map(jnp.sum, spent)
        else:
            stack = jax.vmap(frame.open_loop, in_axes=(0, None, 0))(stack, target, keys)
        readers.append(redundancy.parallel(reader, stack))
    return {
        "accuracy": frame.accuracy(task, *readers, variation.named_key(key, "reads")),
        "energy": frame.joules(events),
    }


def networks(k, task, key, severity):
    stacks = []
    for stack, target, name in zip(chips(k, key), task.weights, frame.LAYERS, strict=True):
        keys = jax.random.split(variation.named_key(key, f"program {name}"), k)
        stacks.append(jax.vmap(frame.open_loop, in_axes=(0, None, 0))(stack, target, keys))
    x = learning.scale(task.images)
    y = committee.answer(lambda pair: tuple(map(reader, pair)), stacks, x, variation.named_key(key, "reads"))
    events = Events(pulse=sum(2 * k * target.size for target in task.weights))
    return {"accuracy": frame.share(task, y), "energy": frame.joules(events)}


def reader(xbar):
    return mitigation.reader(xbar, CHIP.read_noise)


def measure(xbar, key):
    return fault_map.measure(xbar, WIDTH, variation.named_key(key, "map"), read_noise=CHIP.read_noise, **MAP)
