"""Time arrays with wires beside badcrossbar and SciPy's sparse LU; print a table, write wires.json.

    pip install -e ".[bench]" badcrossbar && python benchmarks/wires.py        (--quick: small sizes, to see that it
    runs)

badcrossbar builds on Debian's libcairo2-dev and pkg-config.  Square arrays under three drops: mild (1-100 uS uniform,
1 ohm), log (1 uS - 1 mS log-uniform, 2 ohm) and strong (1 uS - 1 mS uniform, 2 ohm), for 1 and 64 inputs.  SciPy
factors the nodal matrix by LU with MMD_AT_PLUS_A in symmetric mode: `cold` is assembling, factoring and one solution,
`many` the same and 64 solutions. memjax is timed without compilation, its best of several calls beside the median
(machines are shared); `x2` solves halves of the inputs on two CPU devices (`shard_map`), since XLA runs a loop on one
core.  `error` is the largest of a current, relative to the largest current, from SciPy's in float64.  `gradient` is
value and gradient by g, v and both resistances, in the time of a solution. `tiles`: effective conductances of 56 tiles
of 64 x 64.
"""

import argparse
import json
import logging
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

# Two devices on the CPU, for `x2`; what is not split runs on the first.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from memjax import wires

try:
    import badcrossbar
except ImportError:
    badcrossbar = None

DROPS = ("mild", "log", "strong")
SECONDS = 1.0  # of measurement a row


def times(function):
    """Return the best and the median time of a call [s] and its last result, after one call that is not counted."""
    result, seen = function(), []
    end = time.perf_counter() + SECONDS
    while len(seen) < 2 or (time.perf_counter() < end and len(seen) < 100):
        start = time.perf_counter()
        result = function()
        seen.append(time.perf_counter() - start)
    return min(seen), float(np.median(seen)), result


def array(drop, n, inputs):
    """Return g [n, n], v [inputs, n] and the resistance of a segment, in float32."""
    rng = np.random.default_rng(0)
    draw = {
        "mild": lambda: rng.uniform(1e-6, 1e-4, (n, n)),
        "log": lambda: 10 ** rng.uniform(-6, -3, (n, n)),
        "strong": lambda: rng.uniform(1e-6, 1e-3, (n, n)),
    }[drop]
    g, v = draw(), rng.uniform(0, 0.2, (inputs, n))
    return g.astype(np.float32), v.astype(np.float32), 1.0 if drop == "mild" else 2.0


# --- peers --------------------------------------------------------------------------------------------------------


def assemble(g, r):
    """Return the nodal matrix of both kinds of nodes [2 n n, 2 n n]."""
    m, n = g.shape
    word = np.arange(m * n).reshape(m, n)
    bit, s = word + m * n, 1 / r
    pairs = [(word, bit, g), (word[:, :-1], word[:, 1:], s), (bit[:-1], bit[1:], s)]
    a, b, c = (np.concatenate([np.broadcast_to(p[k], p[0].shape).ravel() for p in pairs]) for k in range(3))
    ends = np.r_[word[:, 0], bit[-1]]
    rows, cols = np.r_[a, b, a, b, ends], np.r_[a, b, b, a, ends]
    return sparse.coo_matrix((np.r_[c, c, -c, -c, np.full(ends.size, s)], (rows, cols))).tocsc()


def scipy_factor(g, r):
    return linalg.splu(
        assemble(g.astype(float), r), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )


def scipy_solve(lu, v, r):
    """Return the currents [inputs, n]."""
    inputs, n = v.shape
    right = np.zeros((2 * n * n, inputs))
    right[np.arange(n) * n] = v.T / r
    return lu.solve(right)[-n:].T / r


def badcrossbar_solve(g, v, r):
    solution = badcrossbar.compute(v.T.astype(float), 1 / g.astype(float), r, node_voltages=False, all_currents=False)
    return solution.currents.output


# --- memjax -------------------------------------------------------------------------------------------------------


def memjax_solve(precision, parts):
    def currents(g, v, r):
        return wires.solve(g, v, r, r, precision=precision).i

    if parts > 1:
        mesh = jax.make_mesh((parts,), ("inputs",), axis_types=(jax.sharding.AxisType.Auto,))
        split, whole = jax.sharding.PartitionSpec("inputs"), jax.sharding.PartitionSpec()
        currents = jax.shard_map(currents, mesh=mesh, in_specs=(whole, split, whole), out_specs=split, check_vma=False)
    run = jax.jit(currents)
    return lambda g, v, r: np.asarray(run(g, v, np.float32(r)))


def gradient_ratio(precision, g, v, r):
    """Return the time of value and gradient over that of the value."""

    def loss(g, v, r_word, r_bit):
        return jnp.sum(wires.solve(g, v, r_word, r_bit, precision=precision).i)

    arguments = g, v, np.float32(r), np.float32(r)
    value, both = jax.jit(loss), jax.jit(jax.value_and_grad(loss, range(4)))
    alone = times(lambda: jax.block_until_ready(value(*arguments)))[0]
    return times(lambda: jax.block_until_ready(both(*arguments)))[0] / alone


def tiles(precision):
    """Return the time of the effective conductances of 56 tiles of 64 x 64 [s]."""
    g = np.random.default_rng(0).uniform(1e-6, 1e-4, (56, 64, 64)).astype(np.float32)
    run = jax.jit(lambda g: wires.effective(g, wires.Wires(1.0, 1.0, precision=precision)))
    return times(lambda: jax.block_until_ready(run(g)))


# --- the table ----------------------------------------------------------------------------------------------------


def rows_of(drop, n, inputs, peers):
    """Yield (engine, best, median, error) of one array."""
    g, v, r = array(drop, n, inputs)
    truth = None
    if peers:
        start = time.perf_counter()
        lu = scipy_factor(g, r)
        truth = scipy_solve(lu, v, r)
        cold = time.perf_counter() - start
        yield ("scipy cold" if inputs == 1 else "scipy many"), cold, cold, 0.0
        if badcrossbar and inputs == 1:
            start = time.perf_counter()
            found = badcrossbar_solve(g, v, r)
            took = time.perf_counter() - start
            yield "badcrossbar", took, took, _error(found, truth)
    for precision in ("float32", "mixed"):
        for threads in (1,) if inputs == 1 else (1, 2):
            solve = memjax_solve(precision, threads)
            best, median, found = times(lambda solve=solve: solve(g, v, np.float32(r)))
            yield f"memjax {precision}{' x2' if threads == 2 else ''}", best, median, _error(found, truth)


def _error(found, truth):
    if truth is None:
        return None
    return float(np.max(np.abs(found - truth).max(-1) / np.abs(truth).max(-1)))


def main():
    global SECONDS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing")
    parser.add_argument("--no-peers", action="store_true", help="memjax alone, without errors; writes nothing")
    parser.add_argument("--sizes", type=int, nargs="+", default=None)
    parser.add_argument("--drops", nargs="+", choices=DROPS, default=DROPS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    wanted = parser.parse_args()
    SECONDS = 0.2 if wanted.quick else SECONDS
    logging.disable(logging.INFO)  # badcrossbar tells its steps
    if badcrossbar is None:
        print("badcrossbar is not installed: its rows are left out")
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    names = ("jax", "scipy", *(["badcrossbar"] if badcrossbar else []))
    machine = {
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in names},
        "load": list(os.getloadavg()),
    }
    print(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load'][0]:.1f}")
    rows = []
    for n in wanted.sizes or ((16, 32) if wanted.quick else (64, 128, 256, 512)):
        for drop in wanted.drops:
            for inputs in (1, 64):
                print(f"\n{n} x {n}, {drop} drop, {inputs} input{'s' if inputs > 1 else ''}", flush=True)
                print(f"  {'engine':20}{'best':>11}{'median':>11}{'of scipy':>10}{'error':>9}")
                first = None
                for engine, best, median, error in rows_of(drop, n, inputs, not wanted.no_peers):
                    first = best if engine.startswith("scipy") else first
                    gain = first / best if first else None
                    print(
                        f"  {engine:20}{1e3 * best:8.1f} ms{1e3 * median:8.1f} ms"
                        f"{'-' if gain is None else f'{gain:.1f} x':>10}{'-' if error is None else f'{error:.0e}':>9}",
                        flush=True,
                    )
                    rows.append(
                        {
                            "size": n,
                            "drop": drop,
                            "inputs": inputs,
                            "engine": engine,
                            "seconds": best,
                            "median_seconds": median,
                            "error": error,
                        }
                    )
        g, v, r = array("strong", n, 1)
        for precision in ("float32", "mixed"):
            ratio = gradient_ratio(precision, g, v, r)
            print(f"  value and gradient, strong, 1 input, {precision}: {ratio:.2f} times the solution", flush=True)
            rows.append({"size": n, "drop": "strong", "inputs": 1, "engine": f"gradient {precision}", "ratio": ratio})
    for precision in ("float32", "mixed"):
        best, median, _ = tiles(precision)
        print(f"56 tiles of 64 x 64, {precision}: {1e3 * best:.0f} ms, median {1e3 * median:.0f} ms")
        rows.append({"engine": f"tiles {precision}", "seconds": best, "median_seconds": median})
    if not (wanted.quick or wanted.no_peers):
        wanted.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
        print(f"\nwritten: {wanted.out}")


if __name__ == "__main__":
    main()
