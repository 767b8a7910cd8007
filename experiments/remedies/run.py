"""Judge every remedy on the digit network: accuracy against severity with and without it, and what it costs.

python experiments/remedies/run.py [STUDY ...] [--work FOLDER] [--network RUN] [--quick]

Every study writes its own part of results.json; what is finished is kept in the work folder (runs/remedies).
"""

import argparse
import importlib
import json
from pathlib import Path

import figures
import frame

from memjax import files

HERE = Path(__file__).resolve().parent
# A study is a module with `study(task) -> dict`: title, axis, ideal, curves, judged (a list of `frame.judge`).
STUDIES = (
    "pairs", "spares", "checksum", "residue", "redundancy", "calibration", "inverse", "verified", "wire_aware",
    "refresh", "drift_compensation", "adaptive_rate", "training_aware",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="What each remedy gains, and what it costs.")
    parser.add_argument("studies", nargs="*", choices=[[], *STUDIES], help="which; all without")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json and the figures")
    parser.add_argument("--work", type=Path, default=Path("runs/remedies"), help="folder of finished chips")
    parser.add_argument("--network", type=Path, help="a `memjax train` run to deploy, in place of training one")
    parser.add_argument("--quick", action="store_true", help="few chips and images: does it all run?")
    parser.add_argument("--draw", action="store_true", help="only draw the figures of results.json")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file, wanted = args.out / "results.json", args.studies or STUDIES
    if not args.draw:
        work = args.work / "quick" if args.quick else args.work
        work.mkdir(parents=True, exist_ok=True)
        task = frame.load(work, args.network or args.work / "network", quick=args.quick)
        for name in wanted:
            found = importlib.import_module(name).study(task)
            # Read anew each time: studies may be run side by side.
            kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
            files.write_json(file, kept | {name: found})
            print_judged(name, found)
    results = json.loads(file.read_text(encoding="utf-8"))
    for name in wanted:
        figures.draw(name, results[name], args.out)


def print_judged(name: str, found: dict) -> None:
    """Print what the study decided, a line a remedy."""
    for row in found["judged"]:
        g = row["gain"]
        print(
            f"{name}: {row['remedy']}: lost {row['lost']:.2f} without, {row['left']:.2f} with; gain {g['mean']:.2f} "
            f"({g['low']:.2f} to {g['high']:.2f}); {row['target']}: {'met' if row['met'] else 'MISSED'}"
        )


if __name__ == "__main__":
    main()
