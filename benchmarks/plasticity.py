"""Time spiking pair STDP beside Brian2, and event-driven beside dense; print tables, write plasticity.json.

    MEMJAX_BRIAN2=.../bin/python python benchmarks/plasticity.py   (--quick: short runs, to see that it works;
    --no-peers: memjax alone)

The network: 784 Poisson inputs of 20 Hz on 100 leaky integrate-and-fire neurons (20 ms) through exponential synapses
(5 ms) that learn by additive pair STDP (all-to-all, 20 ms, weights clipped to [0, 1]). Wall-clock seconds per
biological second, spikes drawn within, without compilation: memjax in float32, the best of several seconds and their
median; Brian2 in its default float64 and in float32. Brian2 2.9.0 wants an environment of its own with
the packages of the extra `peers` and, for its fast targets, cython and a C++ compiler. numpy and cython are the
difference of two runs, which leaves out what a run prepares; C++ standalone is the time that its program reports.

Brian2 has its documentation's two pathways, in which a pre and a post spike of one step pair; the last row has four, in
which they do not, as in memjax, and runs as long as memjax: rate and weights (mean, sd) are to be compared with it.
`same spikes` gives both programs one train in float64: the post spikes that differ, and by how much the weights do.

Activity: all lines, pre and post, spike in a step with the same probability, current included. `event` may
take the dense way, `never dense` may not, and its crossover with `dense` is interpolated.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

# Everything runs on one core, as Brian2 does by itself. Free to use two, XLA hands the small kernels of a step back and
# forth between them: 14 us a step, not 9. Set before JAX makes its threads, and inherited by Brian2's processes.
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
import numpy as np

from memjax import neurons, noise, plasticity, spiking

F = np.float32
NETWORK = {
    "rows": 784,
    "cols": 100,
    "rate": 20.0,  # Hz
    "tau_plus": 20e-3,
    "tau_minus": 20e-3,
    "a_plus": 0.005,
    "a_minus": 0.00525,
    "tau_m": 20e-3,
    "tau_s": 5e-3,
    "scale": 0.03,
}
STDP = plasticity.get("stdp")
ACTIVITY = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
SECONDS = 2.0  # of measurement a row


def times(function):
    """Return the best and the median time of a call [s] and its last result, after one call that is not counted."""
    result, seen = jax.block_until_ready(function()), []
    end = time.perf_counter() + SECONDS
    while len(seen) < 3 or (time.perf_counter() < end and len(seen) < 100):
        start = time.perf_counter()
        result = jax.block_until_ready(function())
        seen.append(time.perf_counter() - start)
    return min(seen), float(np.median(seen)), result


# --- memjax -------------------------------------------------------------------------------------------------------


def rule_params(kind):
    return STDP.Params(**{name: kind(NETWORK[name]) for name in ("a_plus", "a_minus", "tau_plus", "tau_minus")})


def lif(dt, kind):
    """Return the neurons of the network at rest: dv/dt = (scale g - v) / tau_m, dg/dt = -g / tau_s, exactly."""
    tau_m, tau_s = NETWORK["tau_m"], NETWORK["tau_s"]
    leak, fall = np.exp(-dt / tau_m), np.exp(-dt / tau_s)
    blend = NETWORK["scale"] * (leak - fall) / (tau_m / tau_s - 1.0)
    params = neurons.Params(leak=kind(leak), threshold=kind(1.0))

    def step(state, current):
        g, membrane = state
        (spike, _), membrane = neurons.step(params, membrane, kind(blend) * g, reset="zero")
        return spike, (kind(fall) * g + current, membrane)

    return step, (jnp.zeros(NETWORK["cols"], kind), neurons.init((NETWORK["cols"],), kind))


def network(dt, method):
    """Return run(w, keys): a biological second for each key -> (w, post spikes a second and neuron)."""
    step, rest = lif(dt, F)
    steps = round(1 / dt)

    @jax.jit
    def run(w, keys):
        def second(carry, key):
            w, last = carry
            pre = noise.uniform(key, (steps, NETWORK["rows"])) < F(NETWORK["rate"] * dt)
            post = spiking.Neurons(step, rest)
            w, record = spiking.run(
                STDP, rule_params(F), spiking.Weights(F(0), F(1)), w, pre, post, dt, method=method, resume=last
            )
            return (w, record.last), jnp.mean(record.spikes.astype(F)) / dt

        last = spiking.Last(STDP.init(rule_params(F), NETWORK["rows"], NETWORK["cols"]), rest)
        (w, _), rates = jax.lax.scan(second, (w, last), keys)
        return w, jnp.mean(rates)

    return run


def memjax_row(dt, method, seconds):
    run = network(dt, method)
    w = jnp.asarray(np.random.default_rng(0).random((NETWORK["rows"], NETWORK["cols"])), F)
    keys = jax.random.split(jax.random.key(0), seconds)
    w, rate = run(w, keys)
    # One biological second a call: machines are shared, and the best of many short calls is the least disturbed.
    best, median, _ = times(lambda: run(w, keys[-1:]))
    return {
        "engine": "memjax",
        "target": method,
        "dtype": "float32",
        "dt": dt,
        "biological_seconds": seconds,
        "seconds": best,
        "median_seconds": median,
        "rate": float(rate),
        "w_mean": float(w.mean()),
        "w_sd": float(w.std()),
    }


# --- Brian2 -------------------------------------------------------------------------------------------------------


def brian2(**given):
    """Run `_brian2_plasticity.py` in its own interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = Path(__file__).with_name("_brian2_plasticity.py")
    command = [os.environ["MEMJAX_BRIAN2"], str(script), json.dumps({"network": NETWORK, **given})]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"Brian2 failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def same_spikes(dt, seconds):
    """Return how many post spikes differ, how many there are, and the largest difference of a weight, in float64."""
    rng = np.random.default_rng(1)
    pre = rng.random((round(seconds / dt), NETWORK["rows"])) < NETWORK["rate"] * dt
    w0 = rng.uniform(0.2, 0.8, (NETWORK["rows"], NETWORK["cols"]))
    with tempfile.TemporaryDirectory() as folder, jax.enable_x64(True):
        files = {"spikes": f"{folder}/in.npz", "out": f"{folder}/out.npz"}
        np.savez(files["spikes"], pre=pre, w=w0)
        brian2(target="numpy", dt=dt, seconds=seconds, dtype="float64", pathways=4, **files)
        theirs = np.load(files["out"], allow_pickle=False)
        step, rest = lif(dt, np.float64)
        params, bounds = rule_params(np.float64), spiking.Weights(0.0, 1.0)
        run = jax.jit(lambda w, pre: spiking.run(STDP, params, bounds, w, pre, spiking.Neurons(step, rest), dt))
        w, record = run(jnp.asarray(w0), pre)
        spikes = np.zeros(record.spikes.shape, bool)
        spikes[theirs["steps"], theirs["neurons"]] = True
        return {
            "dt": dt,
            "biological_seconds": seconds,
            "post_spikes": int(spikes.sum()),
            "post_spikes_that_differ": int((spikes != record.spikes).sum()),
            "w_apart": float(np.abs(w - theirs["w"]).max()),
        }


# --- activity -----------------------------------------------------------------------------------------------------


def activity_row(share, steps):
    """Return the microseconds of a step of each method, where `share` of all lines spike in it."""
    rng = np.random.default_rng(2)
    rows, cols = NETWORK["rows"], NETWORK["cols"]
    pre, post = (jnp.asarray(rng.random((steps, n)) < share) for n in (rows, cols))
    w0 = jnp.asarray(rng.random((rows, cols)), F)

    def neuron(state, current):
        t, total = state
        return post[t], (t + 1, total + current)

    row, first = {"share": share}, spiking.Neurons(neuron, (jnp.int32(0), jnp.zeros(cols, F)))
    for name, method, costs in (
        ("dense", "dense", spiking.COSTS),
        ("event", "event", spiking.COSTS),
        ("never dense", "event", (0.0, 0.0)),
    ):
        run = jax.jit(
            lambda w, pre, method=method, costs=costs: spiking.run(
                STDP, rule_params(F), spiking.Weights(F(0), F(1)), w, pre, first, 1e-3, method=method, costs=costs
            )
        )
        best, median, (w, record) = times(lambda run=run: run(w0, pre))
        row |= {name: 1e6 * best / steps, f"{name}, median": 1e6 * median / steps}
        if name == "event":
            row["dense_steps"] = int(record.dense_steps) / steps
        row[f"{name}, w"] = float(jnp.mean(w))
    return row


def crossover(rows):
    """Return the share of spiking lines at which event-driven costs as much as dense, between two of the rows."""
    ratio = np.log([row["never dense"] / row["dense"] for row in rows])
    above = int(np.argmax(ratio > 0))
    if not np.any(ratio > 0) or above == 0:
        return None
    x = np.log([rows[above - 1]["share"], rows[above]["share"]])
    return float(np.exp(np.interp(0.0, ratio[above - 1 : above + 1], x)))


# --- the tables ---------------------------------------------------------------------------------------------------


def main():
    global SECONDS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short runs; writes nothing")
    parser.add_argument("--no-peers", action="store_true", help="memjax alone; writes nothing")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    wanted = parser.parse_args()
    SECONDS = 0.2 if wanted.quick else SECONDS
    peers = not wanted.no_peers and "MEMJAX_BRIAN2" in os.environ
    if not peers:
        print("without Brian2 (MEMJAX_BRIAN2 names the python of its environment)")
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    machine = {
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("jax", "numpy")},
        "load": list(os.getloadavg()),
    }
    print(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load'][0]:.1f}")

    timed, same = [], []
    for dt in (1e-3, 1e-4):
        print(f"\n784 x 100, dt {1e3 * dt:g} ms: seconds per biological second", flush=True)
        print(f"  {'engine':44}{'best':>10}{'median':>10}{'rate':>9}{'w':>8}{'sd':>8}")
        runs = [("memjax", method, "float32", 10 if dt == 1e-3 else 2) for method in spiking.METHODS]
        if peers:
            runs += [("brian2", "numpy", "float64", 2 if dt == 1e-3 else 0.4)]
            runs += [
                ("brian2", target, dtype, 20 if dt == 1e-3 else 5)
                for target in ("cython", "cpp_standalone")
                for dtype in ("float64", "float32")
            ]
            runs += [("brian2", "cpp_standalone, 4 paths", "float64", runs[0][3])]
        for engine, target, dtype, seconds in runs:
            seconds = max(1, round(seconds / 10)) if wanted.quick else seconds
            if engine == "memjax":
                row = memjax_row(dt, target, seconds)
            else:
                row = {"engine": engine, "target": target, "dtype": dtype, "dt": dt, "biological_seconds": seconds}
                target, _, four = target.partition(", ")
                row |= brian2(target=target, dt=dt, seconds=seconds, dtype=dtype, pathways=4 if four else 2)
                machine["versions"]["brian2"] = row.pop("brian2")
            timed.append(row)
            name = f"{engine} {row['target']} {dtype}"
            print(
                f"  {name:44}{row['seconds']:10.4f}"
                f"{row.get('median_seconds', row['seconds']):10.4f}{row['rate']:6.1f} Hz{row['w_mean']:8.4f}"
                f"{row['w_sd']:8.4f}",
                flush=True,
            )
        if peers:
            same.append(same_spikes(dt, 0.2 if wanted.quick else 1.0))
            one = same[-1]
            print(
                f"  same spikes: {one['post_spikes_that_differ']} of {one['post_spikes']} post spikes differ, "
                f"weights by {one['w_apart']:.0e}",
                flush=True,
            )

    print("\nus a step by the share of lines that spike in it")
    print(f"  {'share':>7}{'dense':>9}{'event':>9}{'never dense':>13}{'dense steps':>13}")
    rows = []
    for share in ACTIVITY:
        rows.append(row := activity_row(share, 200 if wanted.quick else 2000))
        print(
            f"  {100 * share:6.1f}%{row['dense']:9.1f}{row['event']:9.1f}{row['never dense']:13.1f}"
            f"{100 * row['dense_steps']:12.0f}%",
            flush=True,
        )
    cross = crossover(rows)
    print("no crossover" if cross is None else f"crossover at {100 * cross:.1f} % of the lines")
    if not (wanted.quick or not peers):
        result = {"machine": machine, "network": NETWORK, "timed": timed, "same": same, "activity": rows}
        wanted.out.write_text(json.dumps({**result, "crossover": cross}, indent=1) + "\n")
        print(f"\nwritten: {wanted.out}")


if __name__ == "__main__":
    main()
