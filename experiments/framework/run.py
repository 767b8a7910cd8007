"""Reproduce the modular framework with its own numbers: device, STDP, modular array, edge network, energy.

python experiments/framework/run.py [--config configs/framework.yaml] [--out FOLDER]
"""

import argparse
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import edge_network
import figures
import jax
import jax.numpy as jnp
import numpy as np

from memjax import config, crossbar, datasets, devices, energy, errors, files, plasticity

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent.parent / "configs" / "framework.yaml"

DT = 1e-3  # s, the source's time step
RATES = (5, 20, 50, 100)  # Hz, of pre and post alike
DEVICES, SECONDS = 500, 4.0
WINDOW = np.arange(-60, 61) * DT  # s
SHAPES = ((100, 37, 10), (784, 256, 10), (256, 10, 10))  # inputs, outputs, module; beside the configuration's
UPDATES = 50
EPOCHS, EVALUATE_EVERY = 2, 2500
CLAIMS = {"mnist_accuracy": 0.952, "mnist_energy_per_sample_J": 2.5e-6}


class Variant(NamedTuple):
    """Initial state of the first array (None: drawn), time steps a sample, and the voltage of a white pixel."""

    start: float | None = 0.5
    steps: int = 1
    white: float = 1.0


# The first is the source. The others are kinder to it, each in one respect, to see whether that is what it lacks.
VARIANTS = {
    "source": Variant(),
    "white is 255 V": Variant(white=255.0),
    "20 steps a sample": Variant(steps=20),
    "first array drawn": Variant(start=None),
    "drawn, 20 steps": Variant(start=None, steps=20),
}


# --- A1: the device ---------------------------------------------------------------------------------------------------


def device_study(params) -> dict:
    """The spike table, and where Poisson spikes leave a device: simulated, and from the mean balance of the table."""
    span = params.g_max - params.g_min
    device = devices.get("volatile")
    middle = device.init(params, jnp.full((2, 2), 0.5))
    pre, post = jnp.array([[1], [0]]), jnp.array([[1, 0]])
    after = devices.volatile.spike_step(params, middle, pre, post, DT).g
    table = {f"pre {1 - i}, post {1 - j}": float(after[i, j] - middle.g[i, j]) for i in (0, 1) for j in (0, 1)}

    @jax.jit
    def drive(pre, post):
        def step(state, spikes):
            state = devices.volatile.spike_step(params, state, *spikes, DT)
            return state, (state.g - params.g_min) / span

        return jax.lax.scan(step, device.init(params, jnp.full(DEVICES, 0.5)), (pre, post))[1]

    rng, steps, rows = np.random.default_rng(0), round(SECONDS / DT), []
    for rate in RATES:
        pre, post = rng.random((2, steps, DEVICES)) < rate * DT
        share = np.asarray(drive(jnp.asarray(pre), jnp.asarray(post)))
        settled = share[steps // 2 :]
        mean, sd, factor = balance(params, rate * DT, rate * DT)
        shown = np.arange(0, steps // 4, 10)
        rows.append(
            {
                "rate_Hz": rate,
                "share_simulated": float(settled.mean()),
                "standard_error": float(settled.mean(0).std(ddof=1) / np.sqrt(DEVICES)),
                "share_closed_form": mean,
                "alpha_rate_tau": params.alpha_pot * rate * params.tau,
                "sd_simulated": float(settled.std()),
                "sd_closed_form": sd,
                "time_constant_s": -DT / float(np.log(factor)),
                "curve": {
                    "t_s": ((shown + 1) * DT).round(6).tolist(),
                    "mean": share[shown].mean(1).round(7).tolist(),
                    "closed_form": (mean + (0.5 - mean) * factor ** (shown + 1)).round(7).tolist(),
                },
            }
        )
        if rate == 20:
            one_device = share[-1000:, 0].round(7).tolist()
    return {
        "change_at_mid_range_S": table,
        "share_of_the_distance": {"pulse": params.alpha_pot, "decay_in_one_step": DT / params.tau},
        "decay_over_tau": {"euler": (1 - DT / params.tau) ** round(params.tau / DT), "exact": float(np.exp(-1))},
        "rates": rows,
        "one_device_at_20_Hz": one_device,
    }


def balance(params, p: float, q: float) -> tuple[float, float, float]:
    """Return mean and standard deviation of the settled s = (g - g_min) / (g_max - g_min), and its factor a step.

    Independent spikes of probability p (pre) and q (post) make the table s <- (1 - c) s + d with (c, d) drawn anew in
    each step, so E s = E d / E c, E s^2 = (2 E[(1 - c) d] E s + E d^2) / (1 - E (1 - c)^2), and E s - (its end value)
    shrinks by 1 - E c a step: exact, as no step meets a bound.
    """
    decay = DT / params.tau
    chance = np.array([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)])
    c = np.array([0, params.alpha_dep, params.alpha_pot, decay])
    d = np.array([0, 0, params.alpha_pot, 0])
    mean = float(chance @ d / (chance @ c))
    square = float((2 * chance @ ((1 - c) * d) * mean + chance @ d**2) / (1 - chance @ (1 - c) ** 2))
    return mean, float(np.sqrt(square - mean**2)), float(1 - chance @ c)


# --- A2: STDP ---------------------------------------------------------------------------------------------------------


def stdp_study(given: dict) -> dict:
    """The windows of the source's order and of the field's, and the drift that Poisson spikes make of either."""
    rate, steps, pairs = 20, 4000, 2000
    p, rng = rate * DT, np.random.default_rng(1)
    pre, post = jnp.asarray(rng.random((2, pairs, steps, 1)) < p)
    rules, drifts = {}, {}
    for name in ("stdp_framework", "stdp"):
        rule = plasticity.get(name)
        params = rule.Params(**given)
        change = np.asarray(plasticity.window(rule, params, WINDOW, DT))
        w = jax.vmap(lambda a, b: plasticity.run(rule, params, jnp.zeros((1, 1)), a, b, DT)[0])(pre, post)  # noqa: B023
        drifts[name] = np.asarray(w).ravel() / (steps * DT)
        rules[name] = {
            "window": change.round(9).tolist(),
            "change_at_coincidence": float(change[np.flatnonzero(WINDOW == 0)[0]]),
            "drift_per_s": float(drifts[name].mean()),
            "standard_error": float(drifts[name].std(ddof=1) / np.sqrt(pairs)),
        }
    decay_x, decay_y = (np.exp(-DT / given[tau]) for tau in ("tau_plus", "tau_minus"))
    down, up = given["a_minus"] * p * p, given["a_plus"] * p * p * decay_x / (1 - decay_x)
    return {
        "t_post_minus_t_pre_s": WINDOW.tolist(),
        "largest_difference_between_other_times": float(
            np.abs(np.subtract(*(np.array(r["window"]) for r in rules.values())))[WINDOW != 0].max()
        ),
        "poisson_rate_Hz": rate,
        # A pre spike sees the post spikes up to and including its step's, and hides the post spike of its step.
        "closed_form_drift_per_s": {
            "stdp_framework": float(((1 - p) * up - down / (1 - decay_y)) / DT),
            "stdp": float((up - down * decay_y / (1 - decay_y)) / DT),
        },
        "rules": rules,
    }


# --- A3: the modular array --------------------------------------------------------------------------------------------


def array_study(params, v_read: float, shapes) -> dict:
    """Modules against one dense matrix, what a lost remainder costs, and modules switched off and on."""
    rng, device = np.random.default_rng(2), devices.get("volatile")
    update = jax.jit(partial(crossbar.spike, step=devices.volatile.spike_step, dt=DT, frozen=True))
    rows = []
    for n_in, n_out, module in shapes:
        xbar = crossbar.create(device, (n_in, n_out), module, polarity=1, params=params, x=rng.random((1, n_in, n_out)))
        g, v = np.array(crossbar.conductance(xbar)[0]), v_read * rng.random((16, n_in))
        current = v @ g
        kept_in, kept_out = n_in // module * module, n_out // module * module
        lost = 1 - (v[:, :kept_in] @ g[:kept_in, :kept_out]).sum() / current.sum()
        read_error = np.abs(np.asarray(crossbar.read(xbar, jnp.asarray(v))) - current).max() / current.max()
        for pre, post in zip(rng.random((UPDATES, n_in)) < 0.2, rng.random((UPDATES, n_out)) < 0.2, strict=True):
            xbar = update(xbar, pre=jnp.asarray(pre), post=jnp.asarray(post))
            g = dense_update(params, g, pre[:, None], post[None, :])
        rows.append(
            {
                "inputs": n_in,
                "outputs": n_out,
                "module": module,
                "modules": list(xbar.active.shape),
                "read_difference_from_dense": float(read_error),
                "update_difference_from_dense": float(np.abs(crossbar.conductance(xbar)[0] - g).max() / params.g_max),
                "source_keeps": [kept_in, kept_out],
                "source_loses_devices": n_in * n_out - kept_in * kept_out,
                "source_loses_devices_share": 1 - kept_in * kept_out / (n_in * n_out),
                "source_loses_current_share": float(lost),
            }
        )
    return {"against_dense": rows, "switching": switching_study(params, v_read)}


def dense_update(params, g, pre, post):
    """The device's table on one dense NumPy matrix."""
    alone = np.where(pre, -params.alpha_dep * (g - params.g_min), params.alpha_pot * (params.g_max - g))
    change = np.where(pre | post, np.where(pre & post, 0, alone), -(g - params.g_min) * DT / params.tau)
    return np.clip(g + change, params.g_min, params.g_max)


def switching_study(params, v_read: float) -> dict:
    """Switch one module of 30 x 25 devices off, let spikes act on the array, and switch it on again."""
    shape, module, tile, rate = (30, 25), 10, (1, 1), 20
    inside = np.s_[10:20, 10:20]
    around = np.ones(shape, bool)
    around[inside] = False
    rng, device = np.random.default_rng(3), devices.get("volatile")
    xbar = crossbar.create(device, shape, module, polarity=1, params=params, x=rng.random((1, *shape)))
    v = jnp.asarray(v_read * rng.random(shape[0]))
    before = np.asarray(crossbar.conductance(xbar)[0])
    off = crossbar.set_active(xbar, *tile, False)
    missing = np.asarray(crossbar.read(xbar, v) - crossbar.read(off, v))
    of_module = np.asarray(v)[inside[0]] @ before[inside]
    spikes = [(rng.random(shape[0]) < rate * DT, rng.random(shape[1]) < rate * DT) for _ in range(UPDATES)]
    update = jax.jit(partial(crossbar.spike, step=devices.volatile.spike_step, dt=DT), static_argnames="frozen")
    frozen, physical = off, off
    for lines in spikes:
        pre, post = (jnp.asarray(line) for line in lines)
        frozen, physical = update(frozen, pre=pre, post=post, frozen=True), update(physical, pre=pre, post=post)
    during = np.asarray(crossbar.conductance(frozen)[0])
    again, decayed = (
        np.asarray(crossbar.conductance(crossbar.set_active(x, *tile, True))[0]) for x in (frozen, physical)
    )
    return {
        "shape": list(shape),
        "module": module,
        "updates": UPDATES,
        "other_columns_change_A": float(np.abs(np.delete(missing, np.r_[inside[1]])).max()),
        "missing_current_less_that_of_the_module_A": float(np.abs(missing[inside[1]] - of_module).max()),
        "read_while_off_S": float(during[inside].max()),
        "change_found_on_return_S": float(np.abs(again - before)[inside].max()),
        "share_left_if_not_frozen": float(np.mean((decayed - params.g_min)[inside] / (before - params.g_min)[inside])),
        "share_left_elsewhere": float((again - params.g_min)[around].sum() / (before - params.g_min)[around].sum()),
        "maps_uS": {
            name: (1e6 * g).round(1).tolist() for name, g in (("before", before), ("off", during), ("on again", again))
        },
    }


# --- A4: the edge network ---------------------------------------------------------------------------------------------


def guess(counts, potential):
    """Take the output with most spikes, among equals the one with the largest potential (0 to 1, hence the half)."""
    return jnp.argmax(counts + 0.5 * potential).astype(jnp.int32)


@partial(jax.jit, static_argnames="steps")
def train(state, currents, labels, lr, *, steps):
    """Take the source's training step `steps` times for every sample, potentials persisting; one compiled scan."""

    def sample(state, inputs):
        current, label = inputs
        target = jax.nn.one_hot(label, state.arrays[1].shape[1], dtype=current.dtype)

        def one(state, _):
            (loss, hidden, output), state = edge_network.learn(state, current, target, lr)
            first, second = (potential.v for potential in state.potentials)
            return state, (loss, hidden.mean(), hidden.max() - hidden.min(), output.mean(), first[0], second)

        return jax.lax.scan(one, state, length=steps)

    return jax.lax.scan(sample, state, (currents, labels))


@partial(jax.jit, static_argnames="steps")
def accuracy(state, currents, labels, *, steps):
    """Run samples one after the other without learning, potentials persisting; the share that is guessed right."""

    def sample(state, inputs):
        current, label = inputs

        def one(state, _):
            (_, output), state = edge_network.integrate(state, current)
            return state, output

        state, output = jax.lax.scan(one, state, length=steps)
        return state, guess(output.sum(0), state.potentials[1].v) == label

    return jnp.mean(jax.lax.scan(sample, state, (currents, labels))[1], dtype=currents.dtype)


def network_study(params, lr: float, data, *, variants=tuple(VARIANTS), epochs: int = EPOCHS) -> dict:
    """Train the source's step on the embedded digits, as it is and under kinder conditions; report what is measured."""
    train_x, test_x = (jnp.asarray(x.reshape(len(x), -1) / 255.0) for x in (data.train_x, data.test_x))
    train_y, test_y = jnp.asarray(data.train_y), jnp.asarray(data.test_y)
    rows = {}
    for name in variants:
        start, steps, white = VARIANTS[name]
        state = edge_network.create(params=params, x=(start, 0.5), key=jax.random.key(0))
        read = jax.jit(partial(crossbar.read, state.arrays[0]))
        currents, test_currents = read(white * train_x), read(white * test_x)
        seen, measured, records = [0], [float(accuracy(state, test_currents, test_y, steps=steps))], []
        cuts = [*range(0, len(train_y), EVALUATE_EVERY), len(train_y)]
        for epoch in range(epochs):
            for a, b in pairwise(cuts):
                state, record = train(state, currents[a:b], train_y[a:b], lr, steps=steps)
                records.append(record)
                seen.append(epoch * len(train_y) + b)
                measured.append(float(accuracy(state, test_currents, test_y, steps=steps)))
        loss, hidden, spread, output, first, second = (
            np.concatenate([np.asarray(x) for x in leaf]).reshape(epochs * len(train_y) * steps, -1)
            for leaf in zip(*records, strict=True)
        )
        g = np.asarray(crossbar.conductance(state.arrays[1])[0])
        rows[name] = {
            "steps_a_sample": steps,
            "samples": seen,
            "test_accuracy": measured,
            "loss_a_step": float(loss.mean()),
            "hidden_spikes_a_neuron_and_step": float(hidden.mean()),
            "output_spikes_a_neuron_and_step": float(output.mean()),
            "steps_with_a_hidden_spike": float(np.mean(hidden > 0)),
            "steps_where_hidden_neurons_differ": float(np.mean(spread > 0)),
            "column_current_A": {"mean": float(currents.mean()), "max": float(currents.max())},
            "second_array_S": {
                "min": float(g.min()),
                "mean": float(g.mean()),
                "max": float(g.max()),
                "spread_over_rows": float(np.ptp(g, axis=0).max()),
                "column_means": g.mean(0).tolist(),
            },
        }
        if name == "source":
            potentials = {"hidden": first[:400, 0].round(5).tolist(), "outputs": second[:400, :2].round(5).tolist()}
    return {
        "sizes": list(edge_network.SIZES),
        "data": {"name": data.name, "train": len(train_y), "test": len(test_y)},
        "epochs": epochs,
        "chance": float(np.bincount(data.test_y).max() / len(data.test_y)),
        "claim": CLAIMS["mnist_accuracy"],
        "potentials": potentials,
        "variants": rows,
    }


# --- energy -----------------------------------------------------------------------------------------------------------


def energy_study(params, v_read: float, v_write: float, read_time: float, write_time: float, data) -> dict:
    """Integrate v^2 g dt for one device and for one image through the first array, beside the stated prices."""
    middle = (params.g_min + params.g_max) / 2
    x = data.test_x.reshape(len(data.test_x), -1) / 255.0
    xbar = edge_network.create(params=params).arrays[0]
    # The power of an array is the current that the squared voltages would drive: sum_ij v_i^2 g_ij.
    power = float(np.mean(np.asarray(crossbar.read(xbar, jnp.asarray(x**2))).sum(-1)))
    macs = energy.total(crossbar.read_events(xbar, jnp.asarray((x > 0).sum(0)), len(x)))["mac"] / len(x)
    device_step = v_read**2 * middle * DT
    full = jnp.full(xbar.shape[0], v_read)
    return {
        "device_J": {
            "read, 1 ms": device_step,
            "read, 20 ns": v_read**2 * middle * read_time,
            "write, 1 ms": v_write**2 * middle * DT,
            "write, 10 ns": v_write**2 * middle * write_time,
        },
        "stated_J": {"mac": energy.MEMRISTOR.mac, "write": energy.MEMRISTOR.write},
        "times_the_mac_price": device_step / energy.MEMRISTOR.mac,
        "read_time_for_the_mac_price_s": energy.MEMRISTOR.mac / (v_read**2 * middle),
        "write_time_for_the_write_price_s": energy.MEMRISTOR.write / (v_write**2 * middle),
        "image_through_first_array": {
            "power_W": power,
            "total_current_A": float(np.mean(np.asarray(crossbar.read(xbar, jnp.asarray(x))).sum(-1))),
            "column_current_at_read_voltage_on_all_inputs_A": float(crossbar.read(xbar, full).max()),
            "macs": macs,
            "energy_J": {
                "as written: inputs in volts, 1 ms": power * DT,
                "inputs of at most the read voltage, 1 ms": power * v_read**2 * DT,
                "inputs of at most the read voltage, 20 ns": power * v_read**2 * read_time,
                "stated price of a MAC": macs * energy.MEMRISTOR.mac,
                "stated figure of a sample": CLAIMS["mnist_energy_per_sample_J"],
            },
            "passes_in_the_stated_figure": CLAIMS["mnist_energy_per_sample_J"] / (macs * energy.MEMRISTOR.mac),
        },
    }


# --- all --------------------------------------------------------------------------------------------------------------


def settings(cfg) -> dict:
    """What the source's configuration file says, in SI units, and the time step that it leaves open."""
    params = config.device_params(cfg)
    return {
        "device": {name: getattr(params, name) for name in params.__dataclass_fields__},
        "read_voltage_V": cfg.device.read_voltage,
        "write_voltage_V": cfg.device.write_voltage,
        "stdp": cfg.stdp.rule_params(),
        "array": cfg.array.model_dump(mode="json", include={"n_inputs", "n_outputs", "module_size"}),
        "learning_rate": cfg.learning.learning_rate,
        "dt_s": DT,
        "notes": list(cfg.notes),
    }


def study(cfg) -> dict:
    """Return all results; float64."""
    with jax.enable_x64(True):
        params, data = config.device_params(cfg), datasets.load("digits")
        device, array = cfg.device, cfg.array
        shapes = ((array.n_inputs, array.n_outputs, array.module_size[0]), *SHAPES)
        return {
            "source": "design note of a modular framework that builds on arXiv:2603.04934",
            "settings": settings(cfg),
            "device": device_study(params),
            "stdp": stdp_study(cfg.stdp.rule_params()),
            "array": array_study(params, device.read_voltage, shapes),
            "network": network_study(params, cfg.learning.learning_rate, data),
            "energy": energy_study(
                params, device.read_voltage, device.write_voltage, device.read_time, device.write_time, data
            ),
        }


def report(results: dict) -> str:
    """Return the digest that is printed at the end."""
    lines = ["Poisson spikes      g settles at (share of its range)   closed form"]
    lines += [
        "  {rate_Hz:4d} Hz           {share_simulated:.3%} +- {standard_error:.3%}                  "
        "{share_closed_form:.3%}".format(**row)
        for row in results["device"]["rates"]
    ]
    rules, drift = results["stdp"]["rules"], results["stdp"]["closed_form_drift_per_s"]
    lines += ["STDP                coincident spikes    drift /s at 20 Hz   closed form"]
    lines += [
        f"  {name:16s}  {rule['change_at_coincidence']:+.4f}              "
        f"{rule['drift_per_s']:+.1e} +- {rule['standard_error']:.0e}  {drift[name]:+.1e}"
        for name, rule in rules.items()
    ]
    lines += ["Modules             read, updates differ from dense    the source keeps"]
    lines += [
        "  {inputs:3d} x {outputs:3d} / {module:2d}    {read_difference_from_dense:.1e}, "
        "{update_difference_from_dense:.1e}                    ".format(**row)
        + "{} x {}".format(*row["source_keeps"])
        for row in results["array"]["against_dense"]
    ]
    lines += [f"Edge network        test accuracy   (source: {results['network']['claim']:.1%})"]
    lines += [f"  {name:18s}  {row['test_accuracy'][-1]:.2%}" for name, row in results["network"]["variants"].items()]
    lines += [f"A device-step costs {results['energy']['times_the_mac_price']:,.0f} times the stated price of a MAC"]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Reproduce the modular framework of volatile memristors.")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the framework's configuration file")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json and the figures")
    args = parser.parse_args()
    try:
        cfg = config.load(args.config)
        args.out.mkdir(parents=True, exist_ok=True)
    except (OSError, errors.UserError) as error:
        parser.error(str(error))
    started = time.perf_counter()
    results = study(cfg)
    files.write_json(args.out / "results.json", results)
    figures.draw(results, args.out)
    print(report(results))
    print(f"{time.perf_counter() - started:.0f} s; written to {args.out}")


if __name__ == "__main__":
    main()
