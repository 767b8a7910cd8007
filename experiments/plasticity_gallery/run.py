"""Draw each learning rule's window or rate curve over the published points, and two networks that learn from rewards.

python experiments/plasticity_gallery/run.py [--parts rules emerging xor distal_reward] [--out FOLDER]
"""

import argparse
import json
from pathlib import Path

import distal_reward
import emerging
import figures
import jax
import rules
import xor

from memjax import files

HERE = Path(__file__).resolve().parent
SEEDS = range(10)
PARTS = ("rules", "emerging", "xor", "distal_reward")
QUICK = ("rules", "emerging")


def study(part: str) -> dict:
    """Return the results of one part: numbers, strings and lists alone. Curves in float64, networks in float32."""
    if part in QUICK:
        with jax.enable_x64(True):
            return {"rules": rules, "emerging": emerging}[part].study()
    return {"xor": xor, "distal_reward": distal_reward}[part].study(SEEDS)


def main() -> None:
    parser = argparse.ArgumentParser(description="Windows, rate curves and reward learning of the plasticity rules.")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=QUICK, help="others keep what results.json has")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json and the figures")
    args = parser.parse_args()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(str(error))
    path = args.out / "results.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for part in args.parts:
        print(part, flush=True)
        results[part] = study(part)
        files.write_json(path, results)
    figures.draw(results, args.out)
    for name, model in results.get("rules", {}).get("pairs_at_rates", {}).get("models", {}).items():
        print(f"{name:24s} E = {model['error']:.3f}")
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
