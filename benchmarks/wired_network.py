"""What wires cost the 784-256-10 network in 64 x 64 tiles: time to read and to learn, and accuracy.

    python benchmarks/wired_network.py [--samples 10000] [--ohm 1.0]

One chip with the settings of configs/edge_mnist.yaml, both lines with `ohm` a segment. Inference: 2,000 images, the
effective conductances worked out within the time that is given. Learning: samples with write noise, the wires solved
every `array.wires.refresh` samples and that solution counted. Accuracy: of a chip that learned without wires and is
then read without and with them, and of one that learned with them. Compilation is left out. Asserts nothing.
"""

import argparse
import json
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from memjax import config, datasets, learning, training

CONFIG = Path(__file__).parents[1] / "configs/edge_mnist.yaml"
BATCH = 500


class Network:
    """A chip's compiled loop and evaluation, with wires of this many ohm a segment (None: ideal)."""

    def __init__(self, ohm: float | None, refresh: int):
        settings = [] if ohm is None else [f"array.wires={{r_word: {ohm}, r_bit: {ohm}, refresh: {refresh}}}"]
        self.config = config.load(CONFIG, ["chips=1", *settings])
        self.system = training.build(self.config)
        self.step, self.accuracy = learning.online(self.system.learner), learning.evaluate(self.system.learner, BATCH)
        self.chips = jax.jit(jax.vmap(self.system.init))(self.system.keys)
        self.done = 0

    def learn(self, data, samples: int) -> float:
        """Learn the next samples and return the seconds they took."""
        rates = (np.full(samples, self.config.learning.learning_rate, np.float32),) * 2
        order = np.arange(self.done, self.done + samples, dtype=np.int32) % len(data[1])
        jax.block_until_ready(self.chips)
        clock = time.perf_counter()
        self.chips, record = self.step(self.chips, self.system.keys, *data, order, rates, np.int32(self.done))
        jax.block_until_ready((self.chips, record))
        self.done += samples
        return time.perf_counter() - clock

    def infer(self, data, chips=None) -> tuple[float, float]:
        """Return the best time of an evaluation in s, and its accuracy."""
        chips, times, found = self.chips if chips is None else chips, [], 0.0
        for _ in range(6):
            clock = time.perf_counter()
            found = float(self.accuracy(chips, self.system.keys, *data)[0])
            times.append(time.perf_counter() - clock)
        return min(times[1:]), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000, help="samples learned for the accuracies")
    parser.add_argument("--ohm", type=float, default=1.0, help="resistance of a segment")
    parser.add_argument("--refresh", type=int, default=2000, help="samples between two solutions of the wires")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    wanted = parser.parse_args()
    digits = datasets.load("digits")
    train, test = (
        (jnp.asarray(x.reshape(len(x), -1)), jnp.asarray(y))
        for x, y in ((digits.train_x, digits.train_y), (digits.test_x, digits.test_y))
    )
    ideal, wired = Network(None, wanted.refresh), Network(wanted.ohm, wanted.refresh)
    found: dict = {"ohm": wanted.ohm, "refresh": wanted.refresh, "samples": wanted.samples, "load": os.getloadavg()[0]}
    for name, network in (("ideal", ideal), ("wired", wired)):
        network.learn(train, wanted.refresh)  # compiles
        times = [network.learn(train, wanted.refresh) for _ in range(max(1, wanted.samples // wanted.refresh - 1))]
        seconds, accuracy = network.infer(test)
        found[name] = {
            "sample_s": float(np.median(times)) / wanted.refresh,
            "inference_s": seconds,
            "accuracy": accuracy,
        }
    # The chip that learned without wires, read through them: its variables but for what is kept of the wires.
    chips = wired.chips
    for layer in ("hidden", "output"):
        for part in ("weight", "sampled", "volatile"):
            chips[layer][part] = ideal.chips[layer][part]
    found["deployed_accuracy"] = wired.infer(test, chips)[1]
    for key, title, unit, scale in (
        ("sample_s", "learning, a sample", "us", 1e6),
        ("inference_s", "inference, 2,000 images", "ms", 1e3),
    ):
        a, b = (found[name][key] for name in ("ideal", "wired"))
        found[f"{key}_ratio"] = b / a
        print(f"{title:24} {scale * a:9.1f} {unit} ideal {scale * b:9.1f} {unit} wired   {b / a:6.1f} times")
    print(
        f"accuracy after {wanted.samples} samples: {found['ideal']['accuracy']:.4f} ideal, "
        f"{found['deployed_accuracy']:.4f} the same chip read through wires, "
        f"{found['wired']['accuracy']:.4f} learned and read through wires"
    )
    wanted.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written: {wanted.out}")


if __name__ == "__main__":
    main()
