"""Time memjax's devices beside the same models hand-written in numba and NumPy; print tables, write devices.json.

    pip install -e ".[bench]" && python benchmarks/devices.py           (--quick: small sizes, to see that it runs)

Every row is one run of one engine in float32, nothing recorded, compilation left out, the median of several. `apart` is
the largest difference of its final states from those of the group's first row: the same work was done. The numba
kernels are what one would write by hand: blocks of 256 devices that stay in the cache, time inside, parallel, fastmath.
A row says its arithmetic; `exact` of linear drift steps R^2 (no root), `euler` its rate (a division).
"""

import argparse
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from memjax import devices

try:
    import numba
except ImportError:
    numba = None

F = np.float32
BLOCK = 256
STATE_BYTES = 8  # a float32 read and written a step
SECONDS = 1.0  # of measurement a row
SIGMA = 0.3  # C2C, relative to the step


# --- measuring ----------------------------------------------------------------------------------------------------


def median_time(function):
    """Return the median time of a call in s and its last result, after one call that is not counted."""
    result = function()
    times, end = [], time.perf_counter() + SECONDS
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 50):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), result


def triad():
    """Return the memory bandwidth of a = b + s c in B/s: 3 arrays of 256 MB, two threads (NumPy: one)."""
    n = 64_000_000
    a, b, c = np.zeros(n, F), np.ones(n, F), np.ones(n, F)
    if numba is None:

        def run():
            np.multiply(c, F(3), out=a)
            np.add(a, b, out=a)

        return 5 * 4 * n / median_time(run)[0]

    @numba.njit(parallel=True, fastmath=True)
    def kernel(a, b, c, s):
        for i in numba.prange(a.size):
            a[i] = b[i] + s * c[i]

    return 3 * 4 * n / median_time(lambda: kernel(a, b, c, F(3)))[0]


def machine():
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    names = ("jax", "numpy", *(["numba"] if numba else []))
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "threads": numba.get_num_threads() if numba else None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
        "load": list(os.getloadavg()),
        "backend": jax.default_backend(),
        "triad_bytes_per_second": triad(),
    }


def _lines(path):
    return Path(path).read_text().splitlines() if Path(path).exists() else []


# --- memjax -------------------------------------------------------------------------------------------------------


def memjax_run(device, params, x, voltage, dt, solver=None):
    noisy = hasattr(params, "sigma")

    @jax.jit
    def run(params, state, voltage, key):
        key = key if noisy else None
        return devices.simulate(device, params, state, voltage, dt, key, record=(), solver=solver)[0]

    start, voltage, key = device.init(params, x), jnp.asarray(voltage), jax.random.key(0)
    return lambda: np.asarray(jax.block_until_ready(run(params, start, voltage, key)).x)


def threefry(device):
    """Return the device with C2C noise drawn by jax.random.normal, as one would write it without memjax.noise."""

    def step(params, state, v, dt, key):
        new = device.step(params.inner, state, v, dt, None)
        xi = jax.random.normal(key, new.x.shape, new.x.dtype)
        return new.replace(x=jnp.clip(new.x + params.sigma * xi * (new.x - state.x), 0.0, 1.0))

    return devices.with_c2c_noise(device)._replace(step=step)


# --- the same by hand ---------------------------------------------------------------------------------------------


def ion_numbers(p):
    """Return r_on, r_off, k = mu r_on / d^2 and the fall of R^2 a V s, as float32."""
    k = p.mu * p.r_on / p.d**2
    return F(p.r_on), F(p.r_off), F(k), F(2 * (p.r_off - p.r_on) * k)


def vteam_rate(p, v):
    """Return dx/dt of VTEAM in NumPy, elementwise."""
    up = p.k_on * np.maximum(v / p.v_on - 1, 0) ** p.alpha_on
    down = p.k_off * np.maximum(v / p.v_off - 1, 0) ** p.alpha_off
    return ((up - down) / p.d).astype(F)


def numpy_run(step, x):
    def run():
        y = x.copy()
        step(y)
        return y

    return run


def numpy_ion(p, x, voltage, dt, exact):
    r_on, r_off, k, fall = ion_numbers(p)

    def squared(y):
        y[:] = (r_on * y + r_off * (1 - y)) ** 2
        for v in voltage:
            y -= fall * v * F(dt)
            np.clip(y, r_on**2, r_off**2, out=y)
        y[:] = (r_off - np.sqrt(y)) / (r_off - r_on)

    def euler(y):
        for v in voltage:
            y += k * v * F(dt) / (r_off + (r_on - r_off) * y)
            np.clip(y, F(0), F(1), out=y)

    return numpy_run(squared if exact else euler, x)


def numpy_vteam(p, x, voltage, dt):
    def step(y):
        for v in voltage:
            y += vteam_rate(p, v) * F(dt)
            np.clip(y, F(0), F(1), out=y)

    return numpy_run(step, x)


def in_blocks(block):
    """Run block(y, voltages, *numbers) over blocks of devices in parallel; voltages [T] shared, or [T, N].

    The inner loop is a function of its own on a slice: in one nest with prange, numba does not vectorise it.
    """
    block = numba.njit(fastmath=True, error_model="numpy")(block)  # "python" checks every division for zero

    @numba.njit(parallel=True, fastmath=True)
    def shared_voltage(y, v, numbers):
        for b in numba.prange((y.size + BLOCK - 1) // BLOCK):
            block(y[b * BLOCK : min(y.size, (b + 1) * BLOCK)], v, *numbers)

    @numba.njit(parallel=True, fastmath=True)
    def own_voltage(y, v, numbers):
        for b in numba.prange((y.size + BLOCK - 1) // BLOCK):
            begin, end = b * BLOCK, min(y.size, (b + 1) * BLOCK)
            block(y[begin:end], v[:, begin:end], *numbers)

    return lambda y, v, *numbers: (shared_voltage if v.ndim == 1 else own_voltage)(y, v, numbers)


def numba_kernels():
    """Return the kernels by name; each works in place on y [N]."""

    def add_clip(y, move, lo, hi):  # y <- clip(y + move_t): VTEAM, and R^2 of linear drift
        for t in range(move.size):
            m = move[t]
            for i in range(y.size):
                z = y[i] + m
                z = lo if z < lo else z
                y[i] = hi if z > hi else z

    def ion_euler(x, drift, r_on, r_off):
        for t in range(drift.size):
            d = drift[t]
            for i in range(x.size):
                z = x[i] + d / (r_off + (r_on - r_off) * x[i])
                z = F(0) if z < F(0) else z
                x[i] = F(1) if z > F(1) else z

    def scale_clip(y, v, scale, lo, hi):  # y <- clip(y + scale v_t), a waveform each
        for t in range(v.shape[0]):
            for i in range(y.size):
                z = y[i] + scale * v[t, i]
                z = lo if z < lo else z
                y[i] = hi if z > hi else z

    def vteam(x, v, up, down, v_on, v_off):  # a waveform each; exponents of 4 as products
        for t in range(v.shape[0]):
            for i in range(x.size):
                a, c = v[t, i] / v_on - F(1), v[t, i] / v_off - F(1)
                a = F(0) if a < F(0) else a * a
                c = F(0) if c < F(0) else c * c
                z = x[i] + up * a * a - down * c * c
                z = F(0) if z < F(0) else z
                x[i] = F(1) if z > F(1) else z

    def vteam_noisy(x, move, sigma):
        for t in range(move.size):
            m = move[t]
            for i in range(x.size):
                z = min(max(x[i] + m, F(0)), F(1))
                z += F(sigma * np.random.standard_normal()) * (z - x[i])  # noqa: NPY002 (all that numba has)
                x[i] = min(max(z, F(0)), F(1))

    return {kernel.__name__: in_blocks(kernel) for kernel in (add_clip, ion_euler, scale_clip, vteam, vteam_noisy)}


def on_copy(kernel, x, *arguments):
    """Return a run of a kernel that works in place, on a fresh copy of x."""

    def run():
        y = x.copy()
        kernel(y, *arguments)
        return y

    return run


def squared(kernel, p, x, *arguments):
    """Return a run in linear drift's squared resistance, with the way there and back."""
    r_on, r_off, _, _ = ion_numbers(p)

    def run():
        y = (r_on * x + r_off * (1 - x)) ** 2
        kernel(y, *arguments, r_on**2, r_off**2)
        return (r_off - np.sqrt(y)) / (r_off - r_on)

    return run


# --- the groups of rows -------------------------------------------------------------------------------------------

ION, VTEAM = devices.get("linear_ion_drift"), devices.get("vteam")
# Time steps at which a period of the waveform opens the loop.
DT = {"linear_ion_drift": 1e-3, "vteam": 2e-12}
VOLTS = {"linear_ion_drift": 1.0, "vteam": 2.0}


def waveform(device, steps, n=None):
    """Return a sine [T], or one of its own phase for each device [T, n]."""
    phase = 0.0 if n is None else np.linspace(0, 1, n)
    t = np.arange(steps) / steps
    angle = 2 * np.pi * (t if n is None else t[:, None] + phase)
    return (VOLTS[device.name] * np.sin(angle)).astype(F)


def shared(device, x, steps, kernels):
    """Yield (engine, arithmetic, run, what limits it) of one waveform for all devices."""
    p, v, dt = device.Params(), waveform(device, steps), DT[device.name]
    if device is ION:
        r_on, r_off, k, fall = ion_numbers(p)
        yield "memjax", "exact", memjax_run(ION, p, x, v, dt), "passes over the state: a step is a loop of its own"
        yield "memjax", "euler", memjax_run(ION, p, x, v, dt, "euler"), "the division"
        if kernels:
            yield "numba", "exact", squared(kernels["add_clip"], p, x, -fall * v * F(dt)), "arithmetic, in the L1 cache"
            yield "numba", "euler", on_copy(kernels["ion_euler"], x, k * v * F(dt), r_on, r_off), "the division"
        yield "numpy", "exact", numpy_ion(p, x, v, dt, exact=True), "one thread, a pass an operation"
        yield "numpy", "euler", numpy_ion(p, x, v, dt, exact=False), "one thread, a pass an operation"
    else:
        yield "memjax", "exact", memjax_run(VTEAM, p, x, v, dt), "passes over the state: a step is a loop of its own"
        if kernels:
            move = vteam_rate(p, v) * F(dt)
            yield "numba", "exact", on_copy(kernels["add_clip"], x, move, F(0), F(1)), "arithmetic, in the L1 cache"
        yield "numpy", "exact", numpy_vteam(p, x, v, dt), "one thread, a pass an operation"


def own(device, x, steps, kernels):
    """Yield rows of a waveform of its own for each device."""
    p, v, dt = device.Params(), waveform(device, steps, x.size), DT[device.name]
    if device is ION:
        fall = ion_numbers(p)[3]
        yield "memjax", "exact", memjax_run(ION, p, x, v, dt), "reading the voltages"
        if kernels:
            yield "numba", "exact", squared(kernels["scale_clip"], p, x, v, -fall * F(dt)), "reading the voltages"
    else:
        yield "memjax", "exact", memjax_run(VTEAM, p, x, v, dt), "two powers a device and step"
        if kernels:
            up, down = F(p.k_on / p.d * dt), F(p.k_off / p.d * dt)
            run = on_copy(kernels["vteam"], x, v, up, down, F(p.v_on), F(p.v_off))
            yield "numba", "exact", run, "reading the voltages; powers as products, which fixes alpha = 4"


def noisy(device, x, steps, kernels):
    """Yield rows with C2C noise at every step."""
    wrapped = devices.with_c2c_noise(device)
    p, v, dt = wrapped.Params(device.Params(), SIGMA), waveform(device, steps), DT[device.name]
    yield "memjax", "noise.normal", memjax_run(wrapped, p, x, v, dt), "hash and inverse normal, one thread"
    yield "memjax", "threefry", memjax_run(threefry(device), p, x, v, dt), "threefry and erf_inv"
    if kernels and device is VTEAM:
        move = vteam_rate(p.inner, v) * F(dt)
        yield "numba", "its generator", on_copy(kernels["vteam_noisy"], x, move, SIGMA), "the generator, two threads"


def main():
    global SECONDS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    small, large, steps = (10_000, 1_000_000, 1000) if not arguments.quick else (1000, 20_000, 100)
    SECONDS = 0.05 if arguments.quick else SECONDS
    if numba is None:
        print('numba is not installed: its rows are left out (pip install -e ".[bench]")')
    kernels = numba_kernels() if numba else None
    description = machine()
    bandwidth = description["triad_bytes_per_second"]
    print(f"{description['cpu']}, {description['cores']} cores, load {description['load'][0]:.1f}")
    print(f"triad: {bandwidth / 1e9:.1f} GB/s")
    groups = [
        ("one waveform for all", shared, small, steps),
        ("one waveform for all", shared, large, steps // 10),
        ("a waveform each", own, small, steps),
        ("C2C noise a step", noisy, small, steps // 5),
    ]
    rows = []
    for title, make, n, t in groups:
        for device in (ION, VTEAM):
            print(f"\n{device.name}: {n} devices x {t} steps, {title}")
            heads = ("device-steps/s", 15), ("of numba", 10), ("of triad", 10), ("apart", 9)
            print(f"  {'engine':8}{'arithmetic':15}" + "".join(f"{head:>{width}}" for head, width in heads) + "  limit")
            x = np.linspace(0.1, 0.9, n).astype(F)
            group, first = [], None
            for engine, arithmetic, run, limit in make(device, x, t, kernels):
                seconds, end = median_time(run)
                first = end if first is None else first
                group.append(
                    {
                        "device": device.name,
                        "work": title,
                        "devices": n,
                        "steps": t,
                        "engine": engine,
                        "arithmetic": arithmetic,
                        "device_steps_per_second": n * t / seconds,
                        "of_triad": n * t / seconds * (STATE_BYTES + (4 if make is own else 0)) / bandwidth,
                        "apart": None if make is noisy else float(np.abs(end - first).max()),
                        "limit": limit,
                    }
                )
            hand = {row["arithmetic"]: row["device_steps_per_second"] for row in group if row["engine"] == "numba"}
            for row in group:
                peer = hand.get(row["arithmetic"], max(hand.values(), default=None) if make is noisy else None)
                row["of_numba"] = row["device_steps_per_second"] / peer if peer else None
                print(
                    f"  {row['engine']:8}{row['arithmetic']:15}{row['device_steps_per_second']:15.2e}"
                    f"{_or_dash(row['of_numba'], '.2f'):>10}{row['of_triad']:10.2f}{_or_dash(row['apart'], '.0e'):>9}"
                    f"  {row['limit']}"
                )
            rows += group
    if not arguments.quick:
        arguments.out.write_text(json.dumps({"machine": description, "rows": rows}, indent=1) + "\n")
        print(f"\nwritten: {arguments.out}")


def _or_dash(value, form):
    return "-" if value is None else format(value, form)


if __name__ == "__main__":
    main()
