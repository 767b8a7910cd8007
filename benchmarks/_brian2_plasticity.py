"""Brian2's side of `plasticity.py`, run in an interpreter that has Brian2.

    python _brian2_plasticity.py JSON

JSON: target (numpy, cython, cpp_standalone), dt [s], seconds, dtype, pathways (2, as in its documentation, or 4) and
network (sizes, rates, constants). With `spikes`, a file of pre [T, rows] and w [rows, cols], it repeats these and
leaves weights and post spikes in `out`.
Prints one line of JSON. Nothing of memjax is used here.
"""

import json
import sys
import tempfile
import time

import brian2 as b
import numpy as np

SYNAPSE = """
w : 1
dx/dt = -x / tau_plus : 1 (event-driven)
dy/dt = -y / tau_minus : 1 (event-driven)
"""


def build(given):
    """Return the network, its synapses and its spike monitor."""
    net, dt = given["network"], given["dt"]
    b.start_scope()
    b.defaultclock.dt = dt * b.second
    b.prefs.core.default_float_dtype = np.dtype(given["dtype"]).type
    names = {key: net[key] * b.second for key in ("tau_plus", "tau_minus", "tau_m", "tau_s")}
    names |= {key: net[key] for key in ("a_plus", "a_minus", "scale")}
    if "spikes" in given:
        pre = np.load(given["spikes"], allow_pickle=False)["pre"]
        steps, lines = np.nonzero(pre)
        inputs = b.SpikeGeneratorGroup(net["rows"], lines, steps * dt * b.second, sorted=True)
    else:
        inputs = b.PoissonGroup(net["rows"], net["rate"] * b.Hz)
    neurons = b.NeuronGroup(
        net["cols"],
        "dv/dt = (scale * g - v) / tau_m : 1\ndg/dt = -g / tau_s : 1",
        threshold="v > 1",
        reset="v = 0",
        method="exact",
        namespace=names,
    )
    if given["pathways"] == 4:  # all reads before all additions: coincident spikes do not see each other
        paths = {
            "on_pre": {"read_pre": "g += w; w = clip(w - a_minus * y, 0, 1)", "add_pre": "x += 1"},
            "on_post": {"read_post": "w = clip(w + a_plus * x, 0, 1)", "add_post": "y += 1"},
        }
    else:  # as the example of its documentation
        paths = {
            "on_pre": "g += w\nx += 1\nw = clip(w - a_minus * y, 0, 1)",
            "on_post": "y += 1\nw = clip(w + a_plus * x, 0, 1)",
        }
    synapses = b.Synapses(inputs, neurons, SYNAPSE, namespace=names, **paths)
    synapses.connect()
    if given["pathways"] == 4:
        for name, order in (("read_pre", 0), ("read_post", 1), ("add_pre", 2), ("add_post", 2)):
            getattr(synapses, name).order = order
    if "spikes" in given:
        synapses.w = np.load(given["spikes"], allow_pickle=False)["w"].ravel()
    else:
        synapses.w = "rand()"
    monitor = b.SpikeMonitor(neurons, record="spikes" in given)
    return b.Network(inputs, neurons, synapses, monitor), synapses, monitor


def main():
    given = json.loads(sys.argv[1])
    seconds, out = given["seconds"], {}
    if given["target"] == "cpp_standalone":
        with tempfile.TemporaryDirectory() as folder:
            b.set_device("cpp_standalone", directory=folder, build_on_run=False)
            network, synapses, monitor = build(given)
            network.run(seconds * b.second)
            b.device.build(directory=folder, compile=True, run=True, debug=False)
            out["seconds"] = b.device._last_run_time / seconds
            out |= statistics(synapses, monitor, seconds, given)
    elif "spikes" in given:
        b.prefs.codegen.target = given["target"]
        network, synapses, monitor = build(given)
        network.run(seconds * b.second)
        steps = np.rint(np.array(monitor.t / b.second) / given["dt"]).astype(int)
        w = np.array(synapses.w[:]).reshape(given["network"]["rows"], given["network"]["cols"])
        np.savez(given["out"], w=w, steps=steps, neurons=np.array(monitor.i))
    else:
        b.prefs.codegen.target = given["target"]
        network, synapses, monitor = build(given)
        # The first run builds; both of the others prepare alike, so that their difference is the loop alone.
        network.run(0.01 * b.second)
        spent = []
        for length in (seconds / 5, seconds):
            start = time.perf_counter()
            network.run(length * b.second)
            spent.append(time.perf_counter() - start)
        out["seconds"] = (spent[1] - spent[0]) / (seconds - seconds / 5)
        out |= statistics(synapses, monitor, 1.2 * seconds + 0.01, given)
    print(json.dumps(out))


def statistics(synapses, monitor, seconds, given):
    w = np.array(synapses.w[:], np.float64)
    return {
        "rate": float(monitor.num_spikes / seconds / given["network"]["cols"]),
        "w_mean": float(w.mean()),
        "w_sd": float(w.std()),
        "brian2": b.__version__,
    }


if __name__ == "__main__":
    main()
