"""Compare 1,000 diffusive devices with measured statistics: thresholds in sweeps, delay and relaxation after pulses.

python experiments/diffusive/run.py [--devices 1000] [--seed 0] [--out FOLDER]
"""

import argparse
import json
from functools import partial
from math import erf
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from memjax import devices, files, plot, variation
from memjax.devices import diffusive

HERE = Path(__file__).resolve().parent
DEVICE = devices.get("diffusive")
RAMP, V_MAX, SWEEP_STEPS = 3.0, 0.5, 8000  # V/s, V, steps up and as many down: 21 us each
DT, TIME = 5e-6, 40e-3  # s, of the pulse protocol
V_PULSE, V_READ, HELD = 1.0, 0.1, 1e-3  # V, V, s: the pulse ends so long after the device has turned on

# Mean and standard deviation [V], median and range [s], as measured.
MEASURED = {
    "symmetric": {
        "v_th": {"mean": 0.2753, "sd": 0.0248},
        "v_hold": {"mean": 0.0510, "sd": 0.0370},
        "delay": {"median": 1.9e-3, "range": [0.115e-3, 10.4e-3]},
        "relaxation": {"median": 0.33e-3, "range": [0.055e-3, 9.7e-3]},
    },
    "asymmetric": {"v_th": {"mean": 0.1461, "sd": 0.0049}, "v_hold": {"mean": 0.0136, "sd": 0.0039}},
}
DATA_OF = {"published": "symmetric", "symmetric": "symmetric", "asymmetric": "asymmetric"}


def is_on(params, state):
    """Tell whether a device conducts more than half of its on-state."""
    return devices.conductance(DEVICE, params, state, V_READ) * params.r_on > 0.5


def sweep(params, n: int, key, ramp=RAMP):
    """Ramp from 0 to V_MAX and back: V_th where a device turns on (nan: never), V_hold where it is last on [V]."""
    up = jnp.linspace(0.0, V_MAX, SWEEP_STEPS)
    voltage = jnp.concatenate([up, up[::-1]])
    dt = V_MAX / (SWEEP_STEPS - 1) / ramp

    def one(carry, inputs):
        state, v_th, v_hold = carry
        k, v = inputs
        state = DEVICE.step(params, state, v, dt, jax.random.fold_in(key, k))
        on, rising = is_on(params, state), k < SWEEP_STEPS
        v_th = jnp.where(rising & on & jnp.isnan(v_th), v, v_th)
        v_hold = jnp.where(~rising & on, v, v_hold)  # the last voltage at which it is still on
        return (state, v_th, v_hold), None

    start = DEVICE.init(params, jnp.zeros(n))
    first = (start, jnp.full(n, jnp.nan), jnp.zeros(n))
    (_, v_th, v_hold), _ = lax.scan(one, first, (jnp.arange(2 * SWEEP_STEPS), voltage))
    return v_th, v_hold


def pulse(params, n: int, key):
    """Apply V_PULSE until HELD after turn-on, then V_READ: turn-on delay, time to half conductance [s]; inf: never."""

    def one(carry, inputs):
        (state, on_at, off_at), (k, t) = carry, inputs
        end = on_at + HELD
        state = DEVICE.step(params, state, jnp.where(t < end, V_PULSE, V_READ), DT, jax.random.fold_in(key, k))
        on, now = is_on(params, state), t + DT
        on_at = jnp.where(on & jnp.isinf(on_at), now, on_at)
        off_at = jnp.where(~on & (now > end + DT / 2) & jnp.isinf(off_at), now, off_at)
        return (state, on_at, off_at), None

    start, never, steps = DEVICE.init(params, jnp.zeros(n)), jnp.full(n, jnp.inf), round(TIME / DT)
    (_, on_at, off_at), _ = lax.scan(
        one, (start, never, never), (jnp.arange(steps), jnp.linspace(0, TIME, steps, endpoint=False))
    )
    return on_at, jnp.where(jnp.isinf(off_at), jnp.inf, off_at - on_at - HELD)


@partial(jax.jit, static_argnames=("n", "pulses"))
def measure(params, spread, n: int, key, pulses: bool = True) -> dict[str, Any]:
    """Sample n devices and measure each: v_th, v_hold [n], and delay, relaxation [n] where pulses are asked for."""
    sampled = variation.sample_params(params, spread, (n,), variation.named_key(key, "devices"))
    v_th, v_hold = sweep(sampled, n, variation.named_key(key, "sweep"))
    found = {"v_th": v_th, "v_hold": v_hold}
    if pulses:
        found["delay"], found["relaxation"] = pulse(sampled, n, variation.named_key(key, "pulse"))
    return found


def statistics(found: dict[str, np.ndarray]) -> dict[str, dict[str, float | None]]:
    """Reduce what `measure` found to the numbers that were measured."""
    v_th = found["v_th"]
    result = {
        "v_th": {"mean": np.nanmean(v_th), "sd": np.nanstd(v_th), "never": np.isnan(v_th).mean()},
        "v_hold": {"mean": found["v_hold"].mean(), "sd": found["v_hold"].std()},
    }
    for name in ("delay", "relaxation"):
        if name in found:
            low, middle, high = np.percentile(found[name], [1, 50, 99], method="nearest")
            result[name] = {"median": middle, "p1": low, "p99": high, "never": np.isinf(found[name]).mean()}
    return {name: {k: finite(v) for k, v in row.items()} for name, row in result.items()}


def finite(value) -> float | None:
    """Return a float that JSON knows; None stands for never."""
    return float(value) if np.isfinite(float(value)) else None


def within(found: dict, measured: dict, factor: float = 1.5, share: float = 0.2) -> dict[str, bool]:
    """Say which statistics meet the goal: medians within a factor 1.5, means and standard deviations within 20 %."""
    met = {}
    for name, row in measured.items():
        for key in {"mean", "sd", "median"} & set(row):
            ratio = (found[name][key] or 0.0) / row[key]
            met[f"{name} {key}"] = bool(1 / factor <= ratio <= factor if key == "median" else abs(ratio - 1) <= share)
    return dict(sorted(met.items()))


def study(n: int, seed: int) -> dict:
    sets = {}
    for name, values in diffusive.PARAMETER_SETS.items():
        data = MEASURED[DATA_OF[name]]
        spread = diffusive.SPREADS[name]
        found = measure(diffusive.Params(**values), spread, n, jax.random.key(seed), pulses="delay" in data)
        found = {k: np.asarray(v, dtype=float) for k, v in found.items()}
        numbers = statistics(found)
        sets[name] = {
            "params": values,
            "spread": spread,
            "found": numbers,
            "measured": data,
            "met": within(numbers, data),
            "percentiles": {
                k: [finite(f"{q:.4g}") for q in np.percentile(v[~np.isnan(v)], range(101), method="nearest")]
                for k, v in found.items()
            },
        }
    return {
        "settings": {
            "devices": n,
            "seed": seed,
            "ramp_V_per_s": RAMP,
            "pulse_V": V_PULSE,
            "read_V": V_READ,
            "held_s": HELD,
        },
        "sets": sets,
    }


def draw(results: dict, out: Path) -> None:
    """Draw the distributions of the fitted symmetric set beside the data, from the results alone."""
    row = results["sets"]["symmetric"]
    fig = plot.figure(7.2, 2.4)
    labels = {
        "v_th": "threshold (V)",
        "v_hold": "hold (V)",
        "delay": "delay at 1 V (s)",
        "relaxation": "half-relaxation (s)",
    }
    for ax, (name, label) in zip(fig.subplots(1, 4, sharey=True), labels.items(), strict=True):
        x, data = np.array(row["percentiles"][name], dtype=float), row["measured"][name]
        ax.plot(x, np.arange(101), color=plot.OKABE_ITO[0], label="1,000 devices, model")
        if "mean" in data:
            z = np.linspace(-2.3, 2.3, 101)
            share = 50 * (1 + np.vectorize(erf)(z / 2**0.5))
            ax.plot(data["mean"] + data["sd"] * z, share, "--", color="black", label="normal, measured mean and sd")
        else:
            ax.axvline(data["median"], color="black", ls="--", label="measured median")
            ax.axvspan(*data["range"], color="0.9", label="measured range")
            ax.set_xscale("log")
        ax.set_xlabel(label, fontsize=8)
        ax.tick_params(labelsize=7)
        ax.legend(fontsize=5, loc="upper left", frameon=False)
        ax.set_ylim(0, 125)
    fig.axes[0].set_ylabel("share of devices (%)", fontsize=8)
    plot.save(fig, out / "distributions.png", dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare diffusive devices with measured statistics.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json and the figure")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    results = study(args.devices, args.seed)
    files.write_json(args.out / "results.json", results)
    draw(json.loads((args.out / "results.json").read_text()), args.out)
    for name, row in results["sets"].items():
        print(name, json.dumps(row["found"], indent=1), "missed:", [k for k, ok in row["met"].items() if not ok])


if __name__ == "__main__":
    main()
