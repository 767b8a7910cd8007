"""Deploy a digit network on sampled chips: accuracy, energy and yield against the spread, and where they come from.

python experiments/variation/run.py [--work FOLDER] [--network RUN] [--quick]

What is finished is kept in the work folder (runs/variation), and a run that was stopped goes on from there.
"""

import argparse
import json
from pathlib import Path

import figures
import jax
import numpy as np

from memjax import config as configs
from memjax import files, monte_carlo, statistics, studies, training
from memjax.variation import named_key

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parents[1] / "configs" / "mc_deployed.yaml"
D2D = [0.0, 0.1, 0.2, 0.4, 0.6]  # of the step and of g_max - g_min, lognormal
C2C = [0.0, 0.3, 1.0, 2.0, 3.0]  # of a step
WAYS = ("write_verify", "open_loop")
# Those whose source gives the spread of an array, and those of one device under pulses.
ARRAYS, SINGLE = ("hfo2_array", "om_array"), ("gong_reram", "ag_asi_pulsed")
SEVERITIES = [0.5, 1.0]
YIELD_AT = 0.95
SIZES = {"map": 50, "presets": 32, "sobol": 40}
QUICK = {"map": 2, "presets": 2, "sobol": 4}


def settings(device: str, way: str) -> configs.Config:
    """Return the network of `configs/mc_deployed.yaml` on the framework's digit device, or on a preset."""
    base = configs.load(CONFIG, [f"monte_carlo.programming={way}"])
    if device == "framework":
        return base
    changed = base.model_dump(mode="json", exclude={"device", "variation"})
    return configs.from_dict({**changed, "device": {"name": device}}, device)


def sampled(study: studies.Study, severities: dict[str, np.ndarray], chips: int, seed: int, folder: Path) -> dict:
    """Run the same `chips` chips at every point of `severities`, name -> [points]; values [points, chips]."""
    points = len(next(iter(severities.values())))
    keys = monte_carlo.chip_keys(jax.random.key(seed), chips)
    inputs = {
        "chip": keys[np.tile(np.arange(chips), points)],
        "severity": {name: np.repeat(np.asarray(s, np.float32), chips) for name, s in severities.items()},
    }

    def chip(_, given, *args):
        return study.severe_chip(given["chip"], given["severity"], *args)

    values = run(chip, points * chips, seed, study.args, inputs, folder)
    return {name: value.reshape(points, chips) for name, value in values.items()}


def run(chip, n: int, seed: int, args: tuple, inputs: dict, folder: Path) -> dict:
    key = jax.random.key(seed)
    # One chip at once is fastest on a CPU.
    return monte_carlo.run(
        chip, n, key, args=args, inputs=inputs, batch_size=1, checkpoint_dir=folder, resume=folder.exists()
    )


def summarised(values: dict, point: int) -> dict:
    """Return what the chips of a point say: mean and sd of the accuracy, yield with Wilson's interval, energy."""
    y = np.asarray(values["accuracy"][point], np.float64)
    share = statistics.yield_interval(y, YIELD_AT)
    return {
        "accuracy": float(y.mean()),
        "sd": float(y.std(ddof=1)),
        "worst": float(y.min()),
        "yield": [share.estimate, share.low, share.high],
        "missed": float(values["missed"][point].mean()),
        "pulses": float(values["pulses"][point].mean()),
        "energy": float(values["programming_energy"][point].astype(np.float64).mean()),  # J
    }


def spread_map(make, chips: int, work: Path) -> dict:
    """Map D2D and C2C by write-verify; set open-loop, where C2C has no part, against D2D."""
    grid = [(d, c) for d in D2D for c in C2C]
    nominal = settings("framework", "write_verify").variation
    d2d, c2c = nominal.d2d["step_up"].sigma, nominal.c2c
    severities = {"d2d": [d / d2d for d, _ in grid], "c2c": [c / c2c for _, c in grid]}
    values = sampled(make("framework", "write_verify"), severities, chips, 1, work / "map-write_verify")
    once = sampled(make("framework", "open_loop"), {"d2d": [d / d2d for d in D2D]}, chips, 1, work / "map-open_loop")
    # What common random numbers buy: the same chips at 20 and at 40 % of spread.
    a, b = (values["accuracy"][grid.index((d, 0.3))] for d in (0.2, 0.4))
    pair = statistics.paired_difference(a, b)
    return {
        "chips": chips,
        "d2d": D2D,
        "c2c": C2C,
        "write_verify": [{"d2d": d, "c2c": c, **summarised(values, k)} for k, (d, c) in enumerate(grid)],
        "open_loop": [{"d2d": d, **summarised(once, k)} for k, d in enumerate(D2D)],
        "paired": {**pair._asdict()},
    }


def presets(make, chips: int, work: Path) -> dict:
    """Deploy on the presets' arrays as published, and with all their non-idealities at a half."""
    found = {}
    for device in (*ARRAYS, *SINGLE):
        found[device] = {}
        for way in WAYS:
            names = training.nonidealities(settings(device, way)).names
            values = sampled(make(device, way), dict.fromkeys(names, SEVERITIES), chips, 2, work / f"{device}-{way}")
            found[device][way] = [{"severity": s, **summarised(values, k)} for k, s in enumerate(SEVERITIES)]
    return {"chips": chips, "devices": found}


def sobol(make, base: int, work: Path) -> dict:
    """Decompose the variance of the accuracy between chips, by device and way of programming."""
    found = {}
    for device in ("framework", *ARRAYS):
        found[device] = {}
        for way in WAYS:
            study, key = make(device, way), jax.random.key(3)
            design = statistics.sobol_design(study.sources, base, named_key(key, "design"))
            n = base * (len(study.sources) + 2)
            values = run(study.keyed_chip, n, 3, study.args, design.inputs, work / f"sobol-{device}-{way}")
            y = statistics.split(values["accuracy"], study.sources)
            made = statistics.sobol_indices(*y, study.sources, named_key(key, "bootstrap"))
            alone = np.concatenate(y[:2])  # the chips that have nothing in common with each other
            share = statistics.yield_interval(alone, YIELD_AT)
            found[device][way] = {
                "sources": list(made.names),
                "first": np.stack([made.first, made.first_low, made.first_high], axis=1).tolist(),
                "total": np.stack([made.total, made.total_low, made.total_high], axis=1).tolist(),
                "accuracy": float(alone.mean()),
                "sd": made.variance**0.5,
                "yield": [share.estimate, share.low, share.high],
                "chips": np.sort(alone).astype(float).round(4).tolist(),
            }
    return {"base": base, "devices": found}


def main() -> None:
    parser = argparse.ArgumentParser(description="What spread takes from a deployed network.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json and the figures")
    parser.add_argument("--work", type=Path, default=Path("runs/variation"), help="folder of finished batches")
    parser.add_argument("--network", type=Path, help="a `memjax train` run to deploy, in place of training one")
    parser.add_argument("--quick", action="store_true", help="few chips: does it all run?")
    parser.add_argument("--draw", action="store_true", help="only draw the figures of results.json")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "results.json"
    if not args.draw:
        sizes, work = (QUICK, args.work / "quick") if args.quick else (SIZES, args.work)
        work.mkdir(parents=True, exist_ok=True)
        config = settings("framework", "write_verify")
        network = args.network or args.work / "network"
        if not (network / "results.nc").exists():
            training.train(studies.ideal(config), network, resume=network.exists())
        samples, weights = training.load(config, None), studies.weights(config, network)
        learned = json.loads((network / "metrics.json").read_text(encoding="utf-8"))

        def make(device: str, way: str) -> studies.Study:
            return studies.build(settings(device, way), samples, weights)

        results = {
            "network": learned["test_accuracy"]["per_chip"][0],
            "yield_at": YIELD_AT,
            "map": spread_map(make, sizes["map"], work),
            "presets": presets(make, sizes["presets"], work),
            "sobol": sobol(make, sizes["sobol"], work),
        }
        files.write_json(file, results)
    figures.draw(json.loads(file.read_text(encoding="utf-8")), args.out)


if __name__ == "__main__":
    main()
