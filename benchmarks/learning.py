"""Online learning: samples a second of the 784-256-10 network on one chip and five, and a hundred beside one.

    python benchmarks/learning.py [--chips 1 5] [--samples 5000]
    python benchmarks/learning.py --runs 1 100 [--images 10000]

The first times the compiled loop alone (no compilation, evaluation or files), all chips in one program, best and median
over chunks, with the settings of configs/edge_mnist.yaml. The second runs `memjax train` on that config with so many
chips, each in a process of its own, for one pass over the embedded digits; it compares memory and chip-samples a second
with the first run's, and leaves its table in learning.json and the distribution of the last run's chips in
learning_chips.png. Prints tables and asserts nothing.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from memjax import config, datasets, files, learning, training

CHUNK = 500
HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "configs" / "edge_mnist.yaml"


def measure(chips: int, samples: int) -> tuple[float, float]:
    """Return the best and the median time of a sample on all chips together [s]."""
    settings = config.load(CONFIG, [f"chips={chips}"])
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


def run(chips: int, images: int, threshold: float) -> dict:
    """Run `memjax train` on so many chips, and return what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        # No shifts and a single pass: what is measured is the rate. Checkpoints at the end alone.
        given = {"learning.epochs": 1, "data.n_train": images, "data.shift": 0, "run.checkpoint_every_s": 1e6}
        options = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
        code = "import sys; from memjax.cli import main; sys.exit(main())"
        command = [
            sys.executable,
            "-c",
            code,
            "train",
            str(CONFIG),
            "--chips",
            str(chips),
            "--threshold",
            str(threshold),
        ]
        subprocess.run([*command, *options, "--out", str(out)], check=True)
        found = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
        if (figure := out / "figures" / "distribution.png").exists():
            shutil.copyfile(figure, HERE / "learning_chips.png")
    accuracy = found["test_accuracy"]
    return {
        "chips": chips,
        "images": images,
        "chip_samples_per_second": chips * found["samples_per_second"],
        "seconds": found["seconds"],
        "chip_bytes": found["memory"]["chip"],
        "peak_bytes": found["memory"]["peak"],
        "accuracy": {name: accuracy[name] for name in ("mean", "std", "quartiles", "worst_chip")}
        | {"worst": min(accuracy["per_chip"]), "best": max(accuracy["per_chip"])},
        "yield": found["yield"],
    }


def compare(numbers: list[int], images: int, threshold: float) -> None:
    """Run every number of chips, print the table and write it."""
    rows = [run(chips, images, threshold) for chips in numbers]
    machine = {"jax": jax.__version__, "device": jax.devices()[0].device_kind, "machine": platform.machine()}
    files.write_json(HERE / "learning.json", {**machine, "runs": rows})
    print(f"{'chips':>6s} {'chip-samples/s':>15s} {'times':>6s} {'memory':>9s} {'a chip':>8s}  mean, quartiles, worst")
    first = rows[0]
    for row in rows:
        y = row["accuracy"]
        shown = ", ".join(f"{100 * x:.2f}" for x in (y["mean"], *y["quartiles"], y["worst"]))
        rate = row["chip_samples_per_second"]
        print(
            f"{row['chips']:6d} {rate:15,.0f} {rate / first['chip_samples_per_second']:6.2f} "
            f"{row['peak_bytes'] / 1e6:6,.0f} MB {row['chip_bytes'] / 1e6:5.1f} MB  {shown} (chip {y['worst_chip']})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--runs", type=int, nargs="+", help="chips of whole runs to compare, as 1 100")
    parser.add_argument("--images", type=int, default=10_000, help="training images of these runs")
    parser.add_argument("--threshold", type=float, default=0.93, help="accuracy that a chip must reach to count")
    wanted = parser.parse_args()
    if wanted.runs:
        return compare(wanted.runs, wanted.images, wanted.threshold)
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {platform.machine()}, median of the chunks (best)")
    one = None
    for chips in wanted.chips:
        best, median = measure(chips, wanted.samples)
        one = one or median
        print(
            f"{chips:4d} chip(s): {1e6 * median:7.0f} us a sample ({1e6 * best:.0f}), "
            f"{1 / median:7.0f} samples/s on each chip, {median / one:.2f} times the first row"
        )
    return None


if __name__ == "__main__":
    main()
