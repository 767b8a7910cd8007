# ruff: noqa: NPY002  numba knows no Generator in parallel loops
"""Time Monte Carlo over sampled chips beside NumPy and numba doing the same work; print tables, write monte_carlo.json.

    pip install -e ".[bench]" && python benchmarks/monte_carlo.py       (--quick: small sizes, to see that it runs)
    python benchmarks/monte_carlo.py --out gpu.json                     (on an accelerator: memjax alone, and bandwidth)

A chip is a 64 x 64 array of spread, noisy devices (`configs/mc_arrays.yaml`: exponential response, D2D 20 % of both
steps, C2C 30 % of a step) for 100 steps of pair STDP, both sides spiking at random. What a share of lines spikes a step
changes which devices are written: NumPy and numba draw noise for these alone, memjax for all. The numba kernel is what
one would write by hand: chips in parallel, one after the other in a core's cache, float32, fastmath. Compilation is
left out; times are wall time, the median of a few, on all cores. mean and sd of the weights show that the work is the
same. A chip-device-step is one device of one chip for one step.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from memjax import config, monte_carlo, studies

try:
    import numba
except ImportError:
    numba = None

HERE = Path(__file__).resolve().parent
F = np.float32
SIDE, STEPS = 64, 100
STEP, BETA, D2D, C2C = 1 / 64, 1.0, 0.2, 0.3
A_PLUS = A_MINUS = 0.01
TAU, DT = 0.02, 0.01  # s


def settings(share):
    """Return the config of the study in which so large a share of lines spikes a step."""
    return config.load(HERE.parent / "configs" / "mc_arrays.yaml", [f"monte_carlo.rate={share / DT}"])


def median_time(function, repeats=2):
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), result


# --- the three engines: n chips, what share of lines spikes a step -> (seconds, mean of the chips' sd of weights) -----


def by_memjax(n, share, batch=None):
    """Time the batches of a run after the first, which compiles."""
    study, ends = studies.build(settings(share)), []
    size = batch or max(1, min(n // 8, 256))

    def run():
        ends.clear()
        return monte_carlo.run(
            study.chip, n + size, jax.random.key(0), batch_size=size, progress=lambda at: ends.append(clock(at.done))
        )

    def clock(done):
        return done, time.perf_counter()

    def seconds():
        values = run()
        (first, start), (last, end) = ends[0], ends[-1]
        return (end - start) * n / (last - first), float(values["sd"].mean())

    found = [seconds() for _ in range(3)]
    return float(np.median([x for x, _ in found])), found[0][1]


def sizes(rng, n, dtype=F):
    """Sizes of the devices' steps [n, 64, 64], lognormal with mean STEP."""
    s = np.sqrt(np.log1p(D2D**2))
    return (STEP * np.exp(s * rng.standard_normal((n, SIDE, SIDE), dtype=F) - s * s / 2)).astype(dtype)


def by_numpy(n, share, block=64):
    """Blocks of chips, arrays [block, 64, 64]; noise and steps for written devices only where that is quicker."""

    def chips(rng, m):
        up, down = sizes(rng, m), sizes(rng, m)
        x = np.full((m, SIDE, SIDE), 0.5, F)
        a, b = np.zeros((m, SIDE), F), np.zeros((m, SIDE), F)
        keep = F(np.exp(-DT / TAU))
        for _ in range(STEPS):
            pre, post = (rng.random((m, SIDE), dtype=F) < share for _ in range(2))
            a *= keep
            b *= keep
            pulse = F(A_PLUS / STEP) * a[:, :, None] * post[:, None, :]
            pulse -= F(A_MINUS / STEP) * pre[:, :, None] * b[:, None, :]
            np.clip(pulse, -1, 1, out=pulse)
            at = np.flatnonzero(pulse)
            p, old = pulse.ravel()[at], x.ravel()[at]
            rising = p > 0
            size = np.where(rising, up.ravel()[at], down.ravel()[at])
            moved = p * size * np.exp(np.where(rising, F(-BETA), F(BETA)) * (old - F(0.5)))
            moved *= 1 + F(C2C) * rng.standard_normal(at.size, dtype=F)
            x.ravel()[at] = np.clip(old + moved, 0, 1)
            a += pre
            b += post
        return x.reshape(m, -1).std(axis=1)

    def run():
        rng = np.random.default_rng(0)
        return np.concatenate([chips(rng, min(block, n - start)) for start in range(0, n, block)])

    seconds, sd = median_time(run)
    return seconds, float(sd.mean())


def by_numba(n, share):
    @numba.njit(parallel=True, fastmath=True)
    def kernel(n, share, out):
        keep, s = F(np.exp(-DT / TAU)), F(np.sqrt(np.log1p(D2D**2)))
        for chip in numba.prange(n):
            np.random.seed(chip)  # of this thread's generator
            up, down = np.empty((SIDE, SIDE), F), np.empty((SIDE, SIDE), F)
            x = np.full((SIDE, SIDE), F(0.5))
            for i in range(SIDE):
                for j in range(SIDE):
                    up[i, j] = F(STEP) * np.exp(s * F(np.random.standard_normal()) - s * s / 2)
                    down[i, j] = F(STEP) * np.exp(s * F(np.random.standard_normal()) - s * s / 2)
            a, b = np.zeros(SIDE, F), np.zeros(SIDE, F)
            pre, post = np.zeros(SIDE, F), np.zeros(SIDE, F)
            for _ in range(STEPS):
                for i in range(SIDE):
                    pre[i] = F(1) if np.random.random() < share else F(0)
                    post[i] = F(1) if np.random.random() < share else F(0)
                    a[i] *= keep
                    b[i] *= keep
                for i in range(SIDE):
                    for j in range(SIDE):
                        if pre[i] == 0 and post[j] == 0:
                            continue
                        p = F(A_PLUS / STEP) * a[i] * post[j] - F(A_MINUS / STEP) * pre[i] * b[j]
                        if p == 0:
                            continue
                        p = min(max(p, F(-1)), F(1))
                        old = x[i, j]
                        size, slope = (up[i, j], F(-BETA)) if p > 0 else (down[i, j], F(BETA))
                        moved = p * size * np.exp(slope * (old - F(0.5)))
                        moved *= F(1) + F(C2C) * F(np.random.standard_normal())
                        x[i, j] = min(max(old + moved, F(0)), F(1))
                a += pre
                b += post
            out[chip] = np.std(x)

    out = np.empty(n, F)
    seconds, _ = median_time(lambda: kernel(n, F(share), out))
    return seconds, float(out.mean())


# --- tables -----------------------------------------------------------------------------------------------------------


def row(engine, n, share, seconds, sd):
    work = n * SIDE * SIDE * STEPS
    return {
        "engine": engine,
        "chips": n,
        "share_of_lines_spiking": share,
        "seconds": seconds,
        "chips_per_second": n / seconds,
        "chip_device_steps_per_second": work / seconds,
        "sd_of_weights": sd,
    }


def compare(n, shares):
    rows = []
    for share in shares:
        engines = {"memjax": by_memjax} | ({"numpy": by_numpy} if cpu() else {})
        engines |= {"numba": by_numba} if numba and cpu() else {}
        made = [row(name, n, share, *engine(n, share)) for name, engine in engines.items()]
        for other in made:
            other["memjax_is_faster_by"] = other["seconds"] / made[0]["seconds"]
        rows += made
        show(made)
    return rows


def growth(chips, batch):
    """Run every number of chips in a process of its own: seconds and the largest resident memory."""
    rows = []
    for n in chips:
        command = [sys.executable, __file__, "--one", str(n), "--batch", str(batch)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        show(rows[-1:])
    return rows


def one(n, batch):
    study = studies.build(settings(0.2))
    start = time.perf_counter()
    values = monte_carlo.run(study.chip, n, jax.random.key(0), batch_size=batch)
    seconds = time.perf_counter() - start
    return row("memjax", n, 0.2, seconds, float(values["sd"].mean())) | {
        "compilation": "included",
        "batch": batch,
        "largest_resident_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def accelerator(batches, n):
    """Time large batches, and say what share of the memory's bandwidth their states' traffic would be."""
    size = 2**28

    @jax.jit
    def triad(b, c):
        return b + 3.0 * c

    b, c = jnp.ones(size, F), jnp.ones(size, F)
    seconds, _ = median_time(lambda: triad(b, c).block_until_ready(), 10)
    bandwidth = 3 * 4 * size / seconds
    rows = []
    for batch in batches:
        made = row("memjax", n, 0.2, *by_memjax(max(n, 8 * batch), 0.2, batch))
        made["chips"] = max(n, 8 * batch)
        made["chips_per_second"] = made["chips"] / made["seconds"]
        steps = made["chips_per_second"] * SIDE * SIDE * STEPS
        # A step reads the state and both step sizes of every device, and writes the state.
        made |= {
            "batch": batch,
            "chip_device_steps_per_second": steps,
            "bytes_per_second": 16 * steps,
            "of_bandwidth": 16 * steps / bandwidth,
        }
        rows.append(made)
        show([made])
    return {"triad_bytes_per_second": bandwidth, "rows": rows}


def cpu() -> bool:
    return jax.default_backend() == "cpu"


def show(rows):
    for r in rows:
        text = f"{r['engine']:>7} {r['chips']:>8,} chips  {100 * r['share_of_lines_spiking']:5.1f} % spike  "
        text += f"{r['seconds']:8.2f} s  {r['chips_per_second']:10,.0f} chips/s  "
        text += f"{r['chip_device_steps_per_second']:.3g} chip-device-steps/s  sd {r['sd_of_weights']:.4f}"
        for key, shown in (("memjax_is_faster_by", "x{:.1f}"), ("largest_resident_MB", "{:.0f} MB")):
            text += "  " + shown.format(r[key]) if key in r else ""
        text += f"  batch {r['batch']}" if "batch" in r else ""
        text += f"  {100 * r['of_bandwidth']:.0f} % of bandwidth" if "of_bandwidth" in r else ""
        print(text, flush=True)


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    names = ("jax", "numpy", *(["numba"] if numba else []))
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
        "load": list(os.getloadavg()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs; writes nothing")
    parser.add_argument("--out", type=Path, default=HERE / "monte_carlo.json")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=250, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one, given.batch)))
        return
    found = {"machine": machine()}
    if cpu():
        found["compare"] = compare(64 if given.quick else 1000, (0.2,) if given.quick else (0.2, 0.5))
        found["growth"] = growth((100, 1000) if given.quick else (1000, 10_000, 100_000), given.batch)
    else:
        batches = (64, 256) if given.quick else (64, 256, 1024, 4096, 16384)
        found["accelerator"] = accelerator(batches, 1000)
    if not given.quick:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
