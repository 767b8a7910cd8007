"""Weights that Brian2 reaches after given spike trains; run by `test_brian2.py` in an interpreter that has Brian2.

python _brian2_weights.py IN.npz OUT.npz: IN holds pre and post [T, n] of 0 and 1, dt [s], and the rules with their
parameters; OUT gets the weights [n] of n synapses, each between one pre and one post neuron, by name of the rule.
Nothing of memjax is used here.
"""

import sys

import brian2 as b
import numpy as np


def traces(**taus):
    return "\n".join(f"d{trace}/dt = -{trace} / {tau} : 1 (event-driven)" for trace, tau in taus.items())


MODELS = {
    "stdp": {
        "model": traces(x="tau_plus", y="tau_minus"),
        "pre": "w -= a_minus * y",
        "post": "w += a_plus * x",
        "traces": {"pre": ["x"], "post": ["y"]},
    },
    "triplet": {
        "model": traces(r1="tau_plus", r2="tau_x", o1="tau_minus", o2="tau_y"),
        "pre": "w -= o1 * (a2_minus + a3_minus * r2)",
        "post": "w += r1 * (a2_plus + a3_plus * o2)",
        "traces": {"pre": ["r1", "r2"], "post": ["o1", "o2"]},
    },
}


def weights(kind, nearest, params, pre, post, dt):
    b.start_scope()
    b.defaultclock.dt = dt * b.second
    n = pre.shape[1]
    sides = []
    for spikes in (pre, post):
        steps, neurons = np.nonzero(spikes)
        sides.append(b.SpikeGeneratorGroup(n, neurons, steps * dt * b.second, sorted=True))
    model = MODELS[kind]
    namespace = {name: value * b.second if name.startswith("tau") else value for name, value in params.items()}
    # Two pathways a side: all reads come before all additions, so that coincident spikes do not see each other.
    adds = " = 1" if nearest else " += 1"
    add = {side: "; ".join(trace + adds for trace in names) for side, names in model["traces"].items()}
    synapses = b.Synapses(
        *sides,
        "w : 1\n" + model["model"],
        on_pre={"read_pre": model["pre"], "add_pre": add["pre"]},
        on_post={"read_post": model["post"], "add_post": add["post"]},
        namespace=namespace,
    )
    synapses.connect(j="i")
    for name in ("read_pre", "read_post"):
        getattr(synapses, name).order = 0
    for name in ("add_pre", "add_post"):
        getattr(synapses, name).order = 1
    network = b.Network(*sides, synapses)
    network.run(len(pre) * dt * b.second)
    return np.array(synapses.w[:])


def main():
    b.prefs.codegen.target = "numpy"
    given = np.load(sys.argv[1], allow_pickle=False)
    out = {}
    for name in given["rules"]:
        kind, _, scheme = str(name).partition("_")
        params = dict(zip(given[f"{kind}.names"].tolist(), given[f"{kind}.values"].tolist(), strict=True))
        out[str(name)] = weights(kind, scheme == "nearest", params, given["pre"], given["post"], float(given["dt"]))
    np.savez(sys.argv[2], **out)


if __name__ == "__main__":
    main()
