"""How often the stated 95 % intervals hold the truth: fits of noisy copies of synthetic measurements, by model."""

import sys
import time
from pathlib import Path

import jax
import numpy as np

# The measurements are those of the tests, so that both speak of the same.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "fitting"))
import synthetic  # noqa: E402

TRIALS = 100


def measure(device: str) -> dict:
    begun = time.process_time()
    found = synthetic.trials(*synthetic.problem_of(device), TRIALS, jax.random.key(0))
    pooled = float(np.mean(list(found.inside.values())))
    print(f"{device}: {100 * pooled:.1f} % of the intervals hold the truth, {found.unfinished} searches unfinished")
    for name, share in found.inside.items():
        mean, sd = found.score[name]
        print(f"    {name:12s} {100 * share:5.1f} %   score {mean:+.2f}, sd {sd:.2f}", flush=True)
    seconds = round(time.process_time() - begun)
    return {
        "pooled": pooled, "inside": found.inside, "score": found.score, "deviance": found.deviance,
        "unfinished": found.unfinished, "trials": TRIALS, "seconds": seconds,
    }  # fmt: skip


def parts() -> dict:
    """Return {name of a part: function that makes it}."""
    models = [*synthetic.LOOPS, *synthetic.PULSES, *synthetic.RELAXATION, "stdp"]
    return {f"calibration/{model}": lambda model=model: measure(model) for model in models}
