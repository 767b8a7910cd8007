"""Online learning of a readout of ten classes on one chip: samples a second by blocks (`readout.learn`) and one by one.

    python benchmarks/readout.py                # prints a table and writes readout.json; under three minutes
    python benchmarks/readout.py --quick        # few samples: does it run?

Batch size 1, real device writes: 64 levels, D2D 20 %, C2C 30 %, nonlinearity 1, 1 % stuck, 2 % read noise; the volatile
accumulator, one word line of every tile of 64 a sample; features random, 70 % of them zero, labels random, so that
errors stay large and pulses many. The compiled loop alone, features on the device, best and median of the chunks.
Asserts nothing.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from memjax import crossbar, devices, learning, noise, programming, readout, variation

SIZES = (256, 1024, 4096, 12800)
CLASSES, TILE, LEVELS = 10, 64, 64


def make(features: int, key: jax.Array) -> readout.Readout:
    """Sample one chip's readout."""
    bare = devices.get("exponential")
    nominal = bare.Params(step_up=1 / LEVELS, step_down=1 / LEVELS)
    chip = variation.Nonidealities(d2d={"step_up": 0.2, "step_down": 0.2}, c2c=0.3, stuck=variation.Stuck(0.005, 0.005))
    sampled = variation.sample(chip, bare, nominal, (2, features, CLASSES), (TILE, CLASSES), key)
    xbar = crossbar.create(
        variation.dress(chip, bare), (features, CLASSES), (TILE, CLASSES), params=sampled.params, faults=sampled.faults
    )
    settings = programming.AccumulatorParams(programming.weight_step(bare, nominal), lines=1)
    return readout.create(readout.Constants(settings, gain=6 / features**0.5, read_noise=0.02), xbar)


def one_by_one(state, x, labels, rates, key, first):
    """The same samples through the loop that takes any programmer."""
    learner = readout.learner()

    def one(state, given):
        x, label, rate, turn = given
        own = jax.random.fold_in(key, turn)
        state, (y, seen, spent) = learner.learn(state, x, label, rate, own, turn)
        return state, learning.Record(learning.hits(y, label), seen, spent)

    turns = first + jnp.arange(len(x), dtype=jnp.int32)
    return jax.lax.scan(one, state, (x, labels, rates, turns))


def measure(way, features: int, samples: int, chunks: int) -> dict:
    """Return seconds a sample, best and median of the chunks, and the pulses of a sample."""
    key = jax.random.key(0)
    state, step = make(features, key), jax.jit(way, donate_argnums=0)
    x = noise.uniform(noise.fold_in(key, "x"), (samples, features))
    x = jnp.where(noise.uniform(noise.fold_in(key, "on"), x.shape) < 0.3, x, 0.0)
    labels = jax.random.randint(noise.fold_in(key, "labels"), (samples,), 0, CLASSES, jnp.int32)
    rates, times, pulses = jnp.full(samples, 0.01), [], 0.0
    for chunk in range(chunks + 1):
        jax.block_until_ready(state)
        clock = time.perf_counter()
        state, record = step(state, x, labels, rates, key, np.int32(chunk * samples))
        jax.block_until_ready((state, record))
        times.append((time.perf_counter() - clock) / samples)
        pulses = float(np.mean(np.asarray(record.training.pulse)))
    return {"best": min(times[1:]), "median": float(np.median(times[1:])), "pulses_per_sample": pulses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    wanted = parser.parse_args()
    # Free to use two cores, XLA hands the small kernels of a step back and forth between them.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    found: dict = {}
    ways = {"blocks": readout.learn, "one by one": one_by_one}
    print(f"jax {jax.__version__}, {platform.machine()}, one core; us a sample: median (best), samples/s")
    for features in SIZES[:2] if wanted.quick else SIZES:
        for name, way in ways.items():
            slow = features > 4096 and name == "one by one"
            samples = TILE * (2 if wanted.quick else 8 if slow else 32)
            row = measure(way, features, samples, 1 if wanted.quick else 7)
            found.setdefault(str(features), {})[name] = row
            speed = f"{1e6 * row['median']:7.1f} ({1e6 * row['best']:7.1f})  {1 / row['median']:8.0f}"
            print(f"{features:6d}-{CLASSES} {name:>10}: {speed}   {row['pulses_per_sample']:.1f} pulses", flush=True)
    results = {"what": "seconds a sample", "jax": jax.__version__, "machine": platform.machine(), "cores": 1}
    wanted.out.write_text(json.dumps({**results, "sizes": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
