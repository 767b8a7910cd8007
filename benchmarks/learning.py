"""Online learning: samples a second of the 784-256-10 network, on one chip and on five, and what five cost beside one.

    python benchmarks/learning.py [--chips 1 5] [--samples 5000]

Times the compiled loop alone (no compilation, evaluation or files), best and median over chunks, with the settings of
configs/edge_mnist.yaml. Prints a table and asserts nothing.
"""

import argparse
import platform
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from memjax import config, datasets, learning, training

CHUNK = 500


def measure(chips: int, samples: int) -> tuple[float, float]:
    """Return the best and the median time of a sample on all chips together [s]."""
    settings = config.load(Path(__file__).parents[1] / "configs/edge_mnist.yaml", [f"chips={chips}"])
    system = training.build(settings)
    data = datasets.load("digits")
    images, labels = jnp.asarray(data.train_x.reshape(len(data.train_x), -1)), jnp.asarray(data.train_y)
    rates = (np.full(CHUNK, settings.learning.learning_rate, np.float32),) * 2
    step, state, times = learning.online(system.learner), jax.jit(jax.vmap(system.init))(system.keys), []
    for start in range(0, samples + CHUNK, CHUNK):
        order = np.arange(start, start + CHUNK, dtype=np.int32) % len(data.train_x)
        jax.block_until_ready(state)
        clock = time.perf_counter()
        state, record = step(state, system.keys, images, labels, order, rates, np.int32(start))
        jax.block_until_ready((state, record))
        times.append((time.perf_counter() - clock) / CHUNK)
    return min(times[1:]), float(np.median(times[1:]))  # the first chunk compiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--samples", type=int, default=5000)
    wanted = parser.parse_args()
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {platform.machine()}, median of the chunks (best)")
    one = None
    for chips in wanted.chips:
        best, median = measure(chips, wanted.samples)
        one = one or median
        print(
            f"{chips:4d} chip(s): {1e6 * median:7.0f} us a sample ({1e6 * best:.0f}), "
            f"{1 / median:7.0f} samples/s on each chip, {median / one:.2f} times the first row"
        )


if __name__ == "__main__":
    main()
