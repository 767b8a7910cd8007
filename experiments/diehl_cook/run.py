"""Train the network of Diehl and Cook on MNIST, and collect such runs into results.json and the figures.

python experiments/diehl_cook/run.py train --name ideal-0 [--neurons 400] [--seed 1] [--devices noisy] [--set levels=16]
python experiments/diehl_cook/run.py collect
"""

import argparse
import json
from pathlib import Path

import figures
import learning
import network
import numpy as np
import synapses

from memjax import datasets, files

HERE = Path(__file__).resolve().parent
HELD_OUT = 10_000  # last images of the training set, in place of the test set


def setting(args: argparse.Namespace) -> learning.Setting:
    """Return the setting that the command line asks for; raises ValueError for a name that is none."""
    made, params = {"ideal": synapses.IDEAL, "noisy": synapses.NOISY}[args.devices], network.Params()
    for text in args.set:
        name, _, value = text.partition("=")
        if name in synapses.Made._fields:
            made = made._replace(**{name: float(value)})
        elif name in vars(params):
            params = params.replace(**{name: float(value)})
        else:
            raise ValueError(f"--set {text}: accepted are {', '.join((*synapses.Made._fields, *vars(params)))}")
    return learning.Setting(args.neurons, args.seed, args.images, made, params)


def held_out(data: datasets.Dataset) -> datasets.Dataset:
    """Put the last images of the training set in place of the test set, which no setting is chosen by."""
    x, y = data.train_x, data.train_y
    cut = slice(None, -HELD_OUT), slice(-HELD_OUT, None)
    return data._replace(train_x=x[cut[0]], train_y=y[cut[0]], test_x=x[cut[1]], test_y=y[cut[1]])


def train(args: argparse.Namespace) -> None:
    """Run one setting; its folder keeps checkpoint, results and weights, and an interrupted run goes on from there."""
    data = datasets.load("mnist", args.data)
    folder = files.new_folder(args.runs / args.name, resume=True)
    results, weights = learning.measure(setting(args), held_out(data) if args.held_out else data, folder)
    results = {"devices": args.devices, "set": args.set, "held_out": args.held_out} | results
    with files.atomic_path(folder / "weights.npy") as path:
        np.save(path, np.round(255 * np.clip(weights, 0, 1)).astype(np.uint8))
    files.write_json(folder / "results.json", results)
    (folder / "checkpoint.npz").unlink(missing_ok=True)
    print(f"{args.name}: {100 * results['accuracy']:.2f} %, {results['seconds']}", flush=True)


def collect(args: argparse.Namespace) -> None:
    """Gather the results of all runs, and draw the figures."""
    runs = {path.parent.name: path for path in sorted(args.runs.glob("*/results.json"))}
    results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in runs.items()}
    path = args.out / "results.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results = dict(sorted((old | results).items()))
    files.write_json(path, results)
    figures.draw(results, args.runs, args.out)
    print(figures.table(results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help=train.__doc__)
    one.set_defaults(run=train)
    one.add_argument("--name", required=True, help="folder of the run, below --runs")
    one.add_argument("--neurons", type=int, default=100)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--images", type=int, default=60_000, help="presented while learning; 60,000 is one pass")
    one.add_argument("--devices", choices=("ideal", "noisy"), default="ideal")
    one.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the devices or the network")
    one.add_argument("--held-out", action="store_true", help="test on the last 10,000 training images, left out of it")
    one.add_argument("--data", help="folder with the four files of MNIST")
    all_ = commands.add_parser("collect", help=collect.__doc__)
    all_.set_defaults(run=collect)
    all_.add_argument("--out", type=Path, default=HERE, help="folder for results.json and the figures")
    for command in (one, all_):
        command.add_argument("--runs", type=Path, default=Path("runs/diehl_cook"), help="folder of the runs")
    args = parser.parse_args()
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
