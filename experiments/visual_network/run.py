"""Reproduce the visual network with its own numbers: simulate it, check it against the source's loop, draw it.

python experiments/visual_network/run.py [--seed 0] [--voltage FILE.csv] [--out FOLDER]
"""

import argparse
from pathlib import Path

import jax
import numpy as np

from memjax import files, plot
from memjax.visual_network import load_voltage, simulate_network

HERE = Path(__file__).resolve().parent
N, STEPS, DT = 5, 20, 0.1  # 1, 1, s
R_ON, R_OFF, BETA = 0.1, 10.0, 0.5  # ohm, ohm, 1/s
SHOWN = (0, 10, 20)  # steps whose matrices the digest holds


def transcription(w0, voltage, dt):
    """Run the source's loop, one synapse at a time: R and phi [T + 1, N, N], before the first step and after each."""
    w, phi = w0.copy(), np.zeros_like(w0)
    r = [R_ON * w + R_OFF * (1 - w)]
    flux = [phi.copy()]
    for v in voltage:
        for i in range(len(w)):
            for j in range(len(w)):
                w[i, j] = min(max(w[i, j] + BETA * np.sin(v[i, j]) * dt, 0.0), 1.0)
                phi[i, j] += v[i, j] * dt
        r.append(R_ON * w + R_OFF * (1 - w))
        flux.append(phi.copy())
    return np.array(r), np.array(flux)


def text_form(w0, voltage, dt):
    """Run the equation of the source's text, R' = R + alpha sin(V) dt, without bounds, with the alpha of its code."""
    alpha = -BETA * (R_OFF - R_ON)
    start = R_ON * w0 + R_OFF * (1 - w0)
    return np.concatenate([start[None], start + np.cumsum(alpha * np.sin(voltage) * dt, axis=0)])


def study(seed: int, voltage=None) -> dict:
    """Return the results: R of every step, their digest, and the differences from the two forms of the source."""
    n, steps = (N, STEPS) if voltage is None else (voltage.shape[1], len(voltage))
    with jax.enable_x64(True):
        trace = simulate_network(n, steps, DT, jax.random.key(seed), voltage=voltage)
        trace = jax.tree.map(np.asarray, trace)
    r_code, phi_code = transcription(trace.w[0], trace.voltage, DT)
    unclipped = ((trace.w > 0.0) & (trace.w < 1.0)).all(axis=0)
    difference_text = np.abs(trace.r - text_form(trace.w[0], trace.voltage, DT))
    return {
        "source": "dynamic visualisation of memristor synapses, preprint, 17 May 2024",
        "settings": {
            "neurons": n,
            "steps": steps,
            "dt_s": DT,
            "r_on_ohm": R_ON,
            "r_off_ohm": R_OFF,
            "beta_per_s": BETA,
            "voltage_V": "uniform in [-5, 5]" if voltage is None else "from a file",
            "w0": "uniform in [0.1, 0.9]",
            "seed": seed,
        },
        "max_difference_from_transcription": {
            "r_ohm": float(np.abs(trace.r - r_code).max()),
            "phi_Vs": float(np.abs(trace.phi - phi_code).max()),
        },
        "text_form": {
            "alpha_ohm_per_s": -BETA * (R_OFF - R_ON),
            "synapses_that_met_a_bound": int((~unclipped).sum()),
            "max_difference_of_the_others_ohm": float(difference_text[:, unclipped].max(initial=0.0)),
            "max_difference_of_all_ohm": float(difference_text.max()),
        },
        "digest": [
            {
                "step": k,
                "r_mean_ohm": float(trace.r[k].mean()),
                "r_min_ohm": float(trace.r[k].min()),
                "r_max_ohm": float(trace.r[k].max()),
            }
            for k in sorted({min(k, steps) for k in SHOWN})
        ],
        "r_ohm": trace.r.round(12).tolist(),
    }


def draw(results: dict, out: Path) -> None:
    """Make the figures from the results alone."""
    r = np.array(results["r_ohm"])
    after = r[1:]  # one panel a step: the network after it
    t = np.arange(len(r)) * results["settings"]["dt_s"]
    # Coarse where there is much to draw: what is committed stays below 300 kB a file.
    plot.save(plot.network_grid(after, layout="published"), out / "figure1_published.png", dpi=80)
    plot.save(plot.network_grid(after), out / "network_grid.png", dpi=85)
    plot.save(plot.network_trajectories(t, r), out / "trajectories.png", dpi=150)
    plot.network_animation(r, out / "network.gif", first_step=0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Reproduce the visual network of memristor synapses.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json and the figures")
    parser.add_argument("--seed", type=int, default=0, help="seed of w0 and of the voltages")
    parser.add_argument("--voltage", type=Path, help="CSV of voltages: a row a step, N x N columns")
    args = parser.parse_args()
    try:
        voltage = None if args.voltage is None else load_voltage(args.voltage)
        args.out.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    results = study(args.seed, voltage)
    files.write_json(args.out / "results.json", results)
    draw(results, args.out)
    for row in results["digest"]:
        print("step {step:3d}   mean R {r_mean_ohm:.4f}   min {r_min_ohm:.4f}   max {r_max_ohm:.4f} ohm".format(**row))
    print("difference from the source's loop: {r_ohm:.1e} ohm".format(**results["max_difference_from_transcription"]))
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
