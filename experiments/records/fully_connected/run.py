"""The fully connected network, 784-256-10, both layers in situ: MNIST and Fashion-MNIST on five sampled chips.

python experiments/records/fully_connected/run.py [mnist] [fashion_mnist] [--data-dir FOLDER] [--work FOLDER]

Each is `memjax train` of the config beside its name (`CONFIGS`); this gathers what their metrics say in results.json.
A run that was stopped goes on from its last checkpoint.
"""

import argparse
import json
from pathlib import Path

import yaml

from memjax import config as configs
from memjax import files, training

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[2] / "configs"
CONFIGS = {"mnist": FOLDER / "edge_mnist_full.yaml", "fashion_mnist": FOLDER / "edge_fashion.yaml"}


def row(name: str, found: dict) -> dict:
    """Return what is kept of a run: accuracies in percent, energies in J a sample, and the content of its config."""
    accuracy, samples = found["test_accuracy"], found["samples"] * found["n_chips"]
    return {
        "accuracy": 100 * accuracy["mean"],
        "sd": 100 * accuracy["std"],
        "chips": [round(100 * y, 3) for y in accuracy["per_chip"]],
        "evaluated_on": found["evaluated_on"],
        "epochs": found["epochs"],
        "curve": [[round(100 * y, 3) for y in each] for each in found["learning_curve"]["accuracy"]],
        "energy": {kind: found["energy_per_sample"][kind] for kind in ("inference", "training")},
        "events": {
            kind: {name: count / samples for name, count in found["events"][kind].items()}
            for kind in ("inference", "training")
        },
        "samples_per_second": found["n_chips"] * found["samples_per_second"],
        "seconds": found["seconds"],
        "config": yaml.safe_load(CONFIGS[name].read_text(encoding="utf-8")),
        "versions": found["versions"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_sets", nargs="*", choices=[[], *CONFIGS], help="which; both without")
    parser.add_argument("--data-dir", type=Path, help="folder of the data sets' files")
    parser.add_argument("--work", type=Path, default=Path("runs/fully_connected"), help="folder of the runs")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json")
    args = parser.parse_args()
    file = args.out / "results.json"
    for name in args.data_sets or CONFIGS:
        folder = args.work / name
        found = training.train(
            configs.load(CONFIGS[name]), folder, args.data_dir, batch_size="auto", resume=folder.exists()
        )
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        files.write_json(file, kept | {name: row(name, found)})
        e = found["energy_per_sample"]["training"]
        print(f"{name}: {100 * found['test_accuracy']['mean']:.2f} ± {100 * found['test_accuracy']['std']:.2f} %, "
              f"{1e9 * e['e_min']:.1f} to {1e9 * e['e_max']:.1f} nJ a training sample")  # fmt: skip


if __name__ == "__main__":
    main()
