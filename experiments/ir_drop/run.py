"""Map what the resistance of lines does to arrays: current, accuracy, selection and energy.

python experiments/ir_drop/run.py [--quick] [--only arrays|cells|network] [--out FOLDER]
"""

import argparse
import json
from pathlib import Path

import arrays
import cells
import deploy
import figures
import jax
import numpy as np

from memjax import files

HERE = Path(__file__).resolve().parent
RG = [float(f"{x:.3g}") for x in np.geomspace(1e-7, 1e-2, 11)]  # .1 ohm x 1 uS to 10 ohm x 1 mS

FULL = {
    "arrays": lambda: arrays.study([32, 64, 128, 256, 512], RG, other=128, draws=5),
    "cells": lambda: cells.study([8, 16, 32, 64, 128]),
    "network": lambda: deploy.study(
        [16, 32, 64, 128, 256], [0.0, 0.3, 1.0, 3.0, 10.0], ["single", "double"], epochs=3, n_train=None, n_test=2000
    ),
}
# The same code and figures on little: to see that all of it runs.
QUICK = {
    "arrays": lambda: arrays.study([16, 32], [1e-5, 1e-3], other=16, draws=2),
    "cells": lambda: cells.study([4]),
    "network": lambda: deploy.study([128], [0.0, 10.0], ["single"], epochs=1, n_train=300, n_test=100),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What the resistance of lines does to arrays.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json and the figures")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it all run?")
    parser.add_argument(
        "--only", choices=FULL, help="work one part out again, and keep what results.json has of others"
    )
    parser.add_argument("--draw", action="store_true", help="only draw the figures of what results.json has")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "results.json"
    results = json.loads(file.read_text(encoding="utf-8")) if (args.only or args.draw) and file.exists() else {}
    for name, study in (QUICK if args.quick else FULL).items():
        if not args.draw and args.only in (None, name):
            with jax.enable_x64(False):  # single precision; selecting single cells asks for more by itself
                results[name] = study()
    if "arrays" in results:
        found = results["arrays"]
        results["designer"] = arrays.designer(found)
        results["collapse"] = {part: arrays.collapse(found["map"], found[part]) for part in ("map", "others")}
    files.write_json(file, results)
    figures.draw(results, args.out)
    print(json.dumps({name: results.get(name) for name in ("designer", "collapse")}, indent=1))


if __name__ == "__main__":
    main()
