"""Fits to measured devices.  python experiments/fits/run.py --data FOLDER [--only knowm] [--out HERE]"""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import knowm  # noqa: E402
import pulsed  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds knowm-sdc-iv/ and the others")
    parser.add_argument("--only", nargs="*", default=["knowm", "pulsed"])
    parser.add_argument("--starts", type=int, default=64)
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    file = given.out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    studies = {
        "knowm": lambda: knowm.run(given.data / "knowm-sdc-iv", given.starts),
        "pulsed": lambda: pulsed.run(given.data, given.out),
    }
    for name in given.only:
        results[name] = studies[name]()
        file.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
