"""Compare synapses that learn a linear teacher, sweep the volatile element and the devices, and program with verify.

python experiments/synapse/run.py [--out FOLDER]
"""

import argparse
from pathlib import Path

import figures
import jax
import learning
import numpy as np

from memjax import crossbar, devices, energy, files, programming, variation
from memjax.programming import write_verify

HERE = Path(__file__).resolve().parent
TAUS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)  # samples
SATURATIONS = (1.02, 1.1, 1.25, 1.5, 2.0, 4.0, 8.0)  # in units of the change that fires
NOISES = (0.0, 0.3, 1.0, 2.0, 4.0, 8.0)  # relative to an increment
OF_DEVICES = {
    "levels": (8, 16, 32, 64, 128, 256),
    "nonlinearity": (0.0, 1.0, 2.0, 3.0, 5.0),
    "asymmetry": (0.0, 0.1, 0.2, 0.4, 0.6),
    "c2c": (0.0, 0.3, 1.0, 2.0, 3.0),
    "stuck": (0.0, 0.01, 0.03, 0.1),
}
SWEPT = ("composite, both", "composite, one", "composite, both, read")
SIDE = 200  # devices on the side of the array that is programmed with verify: 40,000


def volatile_sweeps() -> dict:
    """Return the errors over the time constant, the bound and the noise of the volatile element, one at a time."""
    found = {}
    for name in SWEPT:
        synapse = learning.synapses()[name]
        unit = (1 if synapse.params.sides == "one" else 2) / learning.LEVELS

        def over(values, change, synapse=synapse):
            rows = [learning.measure(synapse._replace(params=change(synapse.params, value))) for value in values]
            return [_short(row) for row in rows]

        found[name] = {
            "tau": over(TAUS, lambda p, tau: p.replace(leak=float(np.exp(-1 / tau)))),
            "saturation": over(SATURATIONS, lambda p, times, unit=unit: p.replace(saturation=times * unit)),
            "noise": over(NOISES, lambda p, noise: p.replace(noise=noise)),
        }
    return found


def device_sweeps() -> dict:
    """Return the errors over one property of the non-volatile devices at a time; all programmers know the levels."""
    found = {}
    for name in (*SWEPT, "mixed precision", "stochastic"):
        synapse = learning.synapses()[name]
        found[name] = {}
        for field, values in OF_DEVICES.items():
            rows = []
            for value in values:
                made = learning.NOMINAL._replace(**{field: value})
                own = synapse._replace(params=synapse.params.replace(step=1 / made.levels))
                rows.append(_short(learning.measure(own, made)))
            found[name][field] = rows
    return found


def _short(row: dict) -> dict:
    """Return the numbers of a sweep; an error above 100 (a silent output has 5.3) has grown without bound."""
    stable = row["error"] < 100  # not for nan
    return {
        "error": row["error"] if stable else None,
        "excess": row["excess"] if stable else None,
        "pulses": row["ledger"]["pulse"],
    }


def verify(step: float = 1 / 64, seed: int = 0) -> dict:
    """Program 40,000 single devices and as many pairs, from uniform random weights to uniform random weights."""
    found, write = {}, jax.jit(programming.program_to)
    exponential = devices.get("exponential")
    noisy = devices.with_c2c_noise(exponential)
    for polarity in (1, 2):
        logical, key = (polarity, SIDE, SIDE), jax.random.key(seed)
        nominal = exponential.Params(step_up=step, step_down=step)
        inner = variation.sample_params(nominal, {"step_up": 0.2, "step_down": 0.2}, logical, key)
        params = noisy.Params(inner=inner, sigma=0.3)
        xbar = crossbar.create(noisy, (SIDE, SIDE), polarity=polarity, params=params, x=None, key=key)
        target = jax.random.uniform(jax.random.fold_in(key, 1), (SIDE, SIDE), minval=1.0 - polarity)
        for modulation in write_verify.MODULATIONS:
            for largest in (1.0,) if modulation == "unit" else (2.0, 4.0, 8.0, 16.0, 64.0):
                wanted = write_verify.Params(1 / 64, modulation=modulation, largest=largest, budget=300)
                after, result, events = write(wanted, xbar, target, learning.DT, jax.random.fold_in(key, 2))
                error = np.abs(np.asarray(crossbar.weights(after) - target))
                pulses, counts = np.asarray(result.pulses), energy.total(events)
                found[f"{'single' if polarity == 1 else 'pair'}, {modulation}, {largest:g}"] = {
                    "mean": float(pulses.mean()),
                    "p95": float(np.percentile(pulses, 95)),
                    "max": int(pulses.max()),
                    "failed": float(np.mean(result.failed)),
                    "outside": float(np.mean(error > 0.01 * polarity * 1.0001)),
                    "ledger_pulses": counts["pulse"] / SIDE**2,
                    "ledger_verify": counts["verify"] / SIDE**2,
                    "histogram": np.bincount(pulses.ravel(), minlength=1).tolist(),
                }
    return found


def study() -> dict:
    """Return all results: numbers, strings and lists alone."""
    compared = learning.synapses()
    uniform = (
        "ideal weights",
        "accumulator",
        "composite, both, soft",
        "composite, one",
        "composite, both, read",
        "stochastic",
    )
    return {
        "settings": {
            "inputs": learning.INPUTS,
            "samples": learning.SAMPLES,
            "chips": learning.CHIPS,
            "last": learning.LAST,
            "window": learning.WINDOW,
            "rates": learning.RATES,
            "label_noise": learning.LABEL_NOISE,
            "levels": learning.LEVELS,
            "taus": TAUS,
            "saturations": SATURATIONS,
            "noises": NOISES,
            "of_devices": OF_DEVICES,
        },
        "learning": {name: learning.measure(synapse) for name, synapse in compared.items()},
        "uniform_inputs": {name: learning.measure(compared[name], half_width=1.0) for name in uniform},
        "volatile": volatile_sweeps(),
        "devices": device_sweeps(),
        "write_verify": verify(),
        "write_verify_64_pulses": verify(2 * float(np.sinh(0.5)) / 64),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json and the figures")
    args = parser.parse_args()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(str(error))
    results = study()
    files.write_json(args.out / "results.json", results)
    figures.draw(results, args.out)
    ideal = results["learning"]["ideal weights"]["error"]
    print(f"{'synapse':24s} {'error':>8s} {'of ideal':>9s} {'excess':>9s} {'pulses':>9s}")
    for name, row in results["learning"].items():
        pulses = row["ledger"]["pulse"] + row["ledger"]["refresh"]
        print(f"{name:24s} {row['error']:8.4f} {row['error'] / ideal:9.3f} {row['excess']:9.5f} {pulses:9.0f}")
    for name, row in results["write_verify"].items():
        print(f"{name:24s} mean {row['mean']:6.2f}, 95 % {row['p95']:3.0f}, failed {100 * row['failed']:.3f} %")
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
