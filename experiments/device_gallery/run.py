"""Show what the devices do: loops with their three fingerprints, and short- and long-term plasticity from the physics.

python experiments/device_gallery/run.py [--out FOLDER]
"""

import argparse
import math
from pathlib import Path

import figures
import jax
import loops
import numpy as np
import synapse

from memjax import files

HERE = Path(__file__).resolve().parent
DRAWN = 2  # every second point of a loop is kept for its figure


def study() -> dict:
    """Return all results: numbers, strings and lists alone."""
    with jax.enable_x64(True):
        return {
            "settings": {
                "x0": synapse.X0,
                "pulse": {"height_V": synapse.HEIGHT, "width_s": synapse.WIDTH},
                "tetanus": synapse.TETANUS,
                "train_rate_Hz": synapse.TRAIN_RATE,
                "rate_pulses": synapse.RATE_PULSES,
                "later_s": synapse.LATER,
                "points_per_period": loops.POINTS,
                "share_of_the_largest_area": loops.SHARE,
            },
            "synapse": synapse.study(),
            "loops": [loop_study(case) for case in loops.cases()],
        }


def loop_study(case: loops.Case) -> dict:
    """Return one model's characteristic frequency, fingerprints and loops; without a loop, only its name and drive."""
    row = {"name": case.name, "amplitude_V": case.amplitude, "x0": case.x0}
    characteristic = loops.characteristic_frequency(case)
    if math.isnan(characteristic):
        return {**row, "characteristic_Hz": None, "fingerprints": None, "loops": None}
    multiples = {float(name): name for name in figures.MULTIPLES}
    found = loops.run(case, characteristic * np.array(list(multiples)))
    v, i = np.asarray(found.v)[:, ::DRAWN], np.asarray(found.i)[:, ::DRAWN]
    return {
        **row,
        "characteristic_Hz": characteristic,
        "fingerprints": loops.fingerprints(case, characteristic),
        "loops": {"v_V": _digits(v[0]), "i_A": {name: _digits(i[k]) for k, name in enumerate(multiples.values())}},
    }


def _digits(x) -> list[float]:
    """Return five significant digits, which is more than a figure shows."""
    return [float(f"{value:.5g}") for value in x]


def main() -> None:
    parser = argparse.ArgumentParser(description="Loops and plasticity of the device models.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json and the figures")
    args = parser.parse_args()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(str(error))
    results = study()
    files.write_json(args.out / "results.json", results)
    figures.draw(results, args.out)
    print(
        f"{'model':28s} {'f_c (Hz)':>9s} {'area at f_c':>12s} {'100 f_c':>9s} {'off a curve':>12s} {'off a line':>11s}"
    )
    for row in results["loops"]:
        if row["loops"] is None:
            print(f"{row['name']:28s} no loop at {row['amplitude_V']} V")
            continue
        prints = row["fingerprints"]
        at = dict(zip(prints["multiples"], prints["areas"], strict=True))
        print(
            f"{row['name']:28s} {row['characteristic_Hz']:9.3g} {at[1.0]:12.3f} {at[100.0]:9.5f}"
            f" {prints['from_single_curve']:12.1e} {prints['from_straight_line']:11.1e}"
        )
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
