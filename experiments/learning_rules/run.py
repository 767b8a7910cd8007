"""Compare learning rules on one network and device: accuracy, pulses and energy, each tuned with the same budget.

python experiments/learning_rules/run.py [RULE ...] [--work FOLDER] [--quick]

Every rule tries the same number of settings (`TRIES`) on one chip and the first training images, judged on the last
ones; then five further chips learn the first half of the training images in one pass, and are tested once. What is
finished is kept in the work folder (runs/learning_rules), and every rule writes its own part of results.json.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import elsewhere
import figures
import jax
import jax.numpy as jnp
import numpy as np
import rules

from memjax import files, learning, monte_carlo, studies, training
from memjax.config import Config
from memjax.variation import named_key

HERE = Path(__file__).resolve().parent
CONFIG = HERE / "config.yaml"
# A coarse grid around the start of the search, and then half steps up and down from its best: 13 settings a rule.
COARSE = [(a, b) for a in (-1.0, 0.0, 1.0) for b in (-1.0, 0.0, 1.0)]
FINE = [(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)]
TRIES = len(COARSE) + len(FINE)
RATE_FACTOR = 3.0
TUNING_SEED = 1000  # of the one chip that settings are chosen on; the test chips are of the config's seed
PASSES = 10  # over the training images, of backprop elsewhere
IDEAL, AWARE = "online, ideal weights", "hardware-aware backprop, deployed"
SOFT = ("accumulator", "Tiki-Taka v2, zero-shifted", "stochastic pulses")
EVERYTHING = [
    *((name, "exponential") for name in (IDEAL, AWARE, *rules.RULES)),
    *((name, "soft bounds") for name in SOFT),
]


class Sizes(NamedTuple):
    """Images to choose settings on, to judge them by, and to train on; chips that are tested; changes of the config."""

    tune: int = 1500
    held: int = 1000
    train: int = 5000
    chips: int = 5
    overrides: tuple[str, ...] = ()


QUICK = Sizes(100, 100, 200, 2, (
    "array.n_inputs=49", "array.n_outputs=16", "array.module_size=16", "neurons.time_steps=2", "data.n_train=400",
    "data.n_test=100",
))  # fmt: skip


def chosen(start: tuple[float, float], factors: tuple[float, float], judge: Callable[[list], Sequence[float]]) -> dict:
    """Search two numbers: judge([(a, b), ...]) -> accuracies, of the coarse grid and then around its best."""

    def at(points, centre):
        return [tuple(float(c * f**p) for c, f, p in zip(centre, factors, point, strict=True)) for point in points]

    tried = at(COARSE, start)
    found = list(judge(tried))
    fine = at(FINE, tried[int(np.argmax(found))])
    tried, found = tried + fine, found + list(judge(fine))
    best = int(np.argmax(found))
    return {
        "tried": tried,
        "accuracy": [float(y) for y in found],
        "chosen": list(tried[best]),
        "held_out": float(found[best]),
    }


def in_situ(name: str, device: str, sizes: Sizes, work: Path) -> dict[str, Any]:
    """Tune a rule that learns in the array, and test it."""
    rule, config = rules.RULES[name], rules.settings(CONFIG, device, sizes.overrides)
    made, samples = rules.parts(config, rule), training.load(config)
    folder = work / f"{device}-{name}".replace(" ", "_").replace(",", "")

    def run(settings, key, keys, data, part):
        inputs = {
            "key": keys,
            **{f: np.asarray(v, np.float32) for f, v in zip(("rate", "second"), settings, strict=True)},
        }

        def chip(_, given, data):
            return rules.learn(rule, made, given["key"], given["rate"], given["second"], data)

        place = folder / part
        return monte_carlo.run(
            chip, len(settings[0]), key, args=(data,), inputs=inputs, batch_size=1, checkpoint_dir=place,
            resume=place.exists(), config=config.model_dump(mode="json"), save_every=0.0,
        )  # fmt: skip

    x, y, held_x, held_y = elsewhere.split(samples, sizes.tune, sizes.held)
    tuning = _data(config, x, y, held_x, held_y)
    key = jax.random.key(TUNING_SEED)

    def judge(points):
        keys = monte_carlo.chip_keys(key, 1)[np.zeros(len(points), int)]
        return run(tuple(zip(*points, strict=True)), key, keys, tuning, f"tune{len(points)}")["accuracy"]

    search = chosen((rule.rate, rule.value), (RATE_FACTOR, rule.factor), judge)
    key = jax.random.key(config.seed)
    data = _data(config, *_whole(samples, sizes))
    both = tuple([value] * sizes.chips for value in search["chosen"])
    values = run(both, key, monte_carlo.chip_keys(key, sizes.chips), data, "test")
    counts, n = rules.ledger(values), sizes.train
    return {"second": rule.second, "search": search, "samples": n, **_accuracy(values["accuracy"]),
            **rules.spent(counts, n)}  # fmt: skip


def _whole(samples: training.Samples, sizes: Sizes) -> tuple:
    return samples.train_x[: sizes.train], samples.train_y[: sizes.train], samples.test_x, samples.test_y


def _data(config: Config, x: Any, y: Any, test_x: Any, test_y: Any) -> tuple:
    order = training.order(config, len(y), 0)
    shape = learning.schedule(len(y), 1.0, config.learning.decay_at, config.learning.decay_factor)
    return (*map(jnp.asarray, (x, y, test_x, test_y, order)), jnp.asarray(shape, jnp.result_type(float)))


def _accuracy(values: Any) -> dict[str, Any]:
    y = 100 * np.asarray(values, np.float64)
    return {"accuracy": float(y.mean()), "sd": float(y.std(ddof=1)), "chips": y.round(3).tolist()}


def aware(device: str, sizes: Sizes, work: Path) -> dict[str, Any]:
    """Train by backprop with weight noise, and deploy by write-verify on the chips that the other rules learn on."""
    config = rules.settings(CONFIG, device, sizes.overrides)
    samples = training.load(config)

    def deploy(x, y, test_x, test_y, points, keys):
        given = training.Samples(x, y, test_x, test_y, "")
        key, found, ideal = jax.random.key(TUNING_SEED + 1), [], []
        train = jax.jit(lambda rate, sigma: elsewhere.backprop(
            config, jnp.asarray(x), jnp.asarray(y), PASSES, rate, sigma, key))  # fmt: skip
        study = studies.build(config, given, train(0.0, 0.0))
        evaluate = jax.jit(study.evaluate)
        for rate, sigma in points:
            weights = train(rate, sigma)
            ideal.append(elsewhere.accuracy(config, weights, test_x, test_y))
            for chip in keys:
                # The chip that learns in situ from this key, device by device.
                own = {"d2d": chip, "faults": chip} | {f: named_key(chip, f) for f in ("c2c", "read_noise")}
                found.append(jax.tree.map(float, evaluate(own, {}, weights, *study.args[1:])))
        return found, ideal

    x, y, held_x, held_y = elsewhere.split(samples, sizes.tune, sizes.held)
    one = monte_carlo.chip_keys(jax.random.key(TUNING_SEED), 1)

    def judge(points):
        return [row["accuracy"] for row in deploy(x, y, held_x, held_y, points, one)[0]]

    search = chosen((0.003, 0.03), (RATE_FACTOR, 2.0), judge)
    keys = monte_carlo.chip_keys(jax.random.key(config.seed), sizes.chips)
    arrays = _whole(samples, sizes)
    rows, ideal = deploy(*arrays, [search["chosen"]], keys)
    n = sizes.train
    joule = float(np.mean([row["programming_energy"] for row in rows]))
    return {
        "second": "sigma", "search": search, "samples": n, "passes": PASSES, "elsewhere": 100 * ideal[0],
        **_accuracy([row["accuracy"] for row in rows]), "pulses": float(np.mean([row["pulses"] for row in rows])),
        "writing": {"e_min": joule / n, "e_max": joule / n},
        "digital": elsewhere.digital_energy(config, PASSES, n) / n,
    }  # fmt: skip


def ideal(device: str, sizes: Sizes, work: Path) -> dict[str, Any]:
    """Learn online on ideal weights: the same rules, samples and first weights' statistics."""
    config = rules.settings(CONFIG, device, sizes.overrides)
    samples = training.load(config)

    def tested(data, points, keys):
        x, y, test_x, test_y, order, schedule = data
        train = jax.jit(lambda rate, hidden, key: elsewhere.online(
            config, x, y, order, schedule, rate, hidden, key))  # fmt: skip
        return [elsewhere.accuracy(config, train(*point, key), test_x, test_y) for point in points for key in keys]

    one = monte_carlo.chip_keys(jax.random.key(TUNING_SEED), 1)
    tuning = _data(config, *elsewhere.split(samples, sizes.tune, sizes.held))
    search = chosen((0.03, 1.0), (RATE_FACTOR, 3.0), lambda points: tested(tuning, points, one))
    data = _data(config, *_whole(samples, sizes))
    keys = monte_carlo.chip_keys(jax.random.key(config.seed), sizes.chips)
    found = tested(data, [search["chosen"]], keys)
    return {"second": "hidden", "search": search, "samples": sizes.train, **_accuracy(found)}


def study(name: str, device: str, sizes: Sizes, work: Path) -> dict[str, Any]:
    """Return one row of the table."""
    if name in rules.RULES:
        return in_situ(name, device, sizes, work)
    return (ideal if name == IDEAL else aware)(device, sizes, work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", nargs="*", help=f"which; all without: {', '.join((IDEAL, AWARE, *rules.RULES))}")
    parser.add_argument("--device", choices=tuple(rules.DEVICES), help="one device alone")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json and the figures")
    parser.add_argument("--work", type=Path, default=Path("runs/learning_rules"), help="folder of finished chips")
    parser.add_argument("--quick", action="store_true", help="a tiny network and few images: does it all run?")
    parser.add_argument("--draw", action="store_true", help="only draw the figure of results.json")
    args = parser.parse_args()
    if unknown := set(args.rules) - {name for name, _ in EVERYTHING}:
        parser.error(f"no such rule: {', '.join(sorted(unknown))}")
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "results.json"
    sizes, work = (QUICK, args.work / "quick") if args.quick else (Sizes(), args.work)
    for name, device in [] if args.draw else EVERYTHING:
        if (args.rules and name not in args.rules) or (args.device and device != args.device):
            continue
        found = study(name, device, sizes, work)
        # Read anew each time: rules may be run side by side.
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        kept = {"tries": TRIES, "sizes": sizes._asdict(), "rows": {}} | kept
        kept["rows"].setdefault(device, {})[name] = found
        files.write_json(file, kept)
        print(f"{device:12s} {name:34s} {found['accuracy']:6.2f} ± {found['sd']:.2f}  "
              f"pulses a chip {found.get('pulses', 0):.4g}", flush=True)  # fmt: skip
    results = json.loads(file.read_text(encoding="utf-8"))
    print(table(results))
    figures.draw(results, args.out)


def table(results: dict) -> str:
    """Return the README's table: a line a row, the most accurate first."""
    lines = []
    for device, rows in results["rows"].items():
        for name, row in sorted(rows.items(), key=lambda item: -item[1]["accuracy"]):
            cells = [device, name, f"{row['accuracy']:.2f} ± {row['sd']:.2f}"]
            cells.append(f"{row['pulses']:.3g}" if "pulses" in row else "")
            for kind in ("writing", "training"):
                e = row.get(kind)
                cells.append("" if e is None else f"{1e9 * e['e_min']:.3g} to {1e9 * e['e_max']:.3g}")
            rate, second = row["search"]["chosen"]
            cells.append(f"rate {rate:.3g}, {row['second']} {second:.3g}")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
