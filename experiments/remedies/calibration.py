"""Gain and offset of every column's converter: uncalibrated, and calibrated by test reads of the stored weights."""

from functools import partial

import frame
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax import crossbar, energy, learning, mitigation, prices
from memjax.periphery import converters
from memjax.variation import Nonidealities, named_key

SPREADS = (0.0, 0.1, 0.2, 0.25)  # sd of the gains; the offsets' sd is this of the rms output
AT = 2
NOISE = 0.02
IDLE = 16  # reads of x = 0
BITS = 10
CLIPPED = 1.5  # range of the converters over the largest test output: what gains and offsets may add to it
MARGIN = 1.3  # range of the converters over the largest output of the training images
TESTS = {"calibrated": 1, "calibrated, a quarter of the reads": 4}  # every how many-th column gives patterns


def study(task: frame.Task) -> dict:
    """Return accuracy against the spread of the converters, and what is left of the columns' errors."""
    found = frame.run(task, f"calibration-{BITS}", partial(chip, bits=BITS), SPREADS)
    spent = {name: reads(task, every) for name, every in TESTS.items()}
    curves = {"uncalibrated": frame.curve({"accuracy": found["bare"]}, devices=1.0, energy=0.0)}
    for name in TESTS:
        values = {"accuracy": found[name], "removed": found[f"removed, {name}"]}
        curves[name] = frame.curve(values, devices=1.0, **spent[name])
    ideal = 100 * float(np.mean(found["bare"][0]))
    judged = []
    for name in TESTS:
        row = frame.judge(ideal, curves, "uncalibrated", name, AT, "90 % of the rms error, and of the loss", False)
        removed, share = float(np.mean(curves[name]["removed"][AT])), 1 - row["left"] / row["lost"]
        met = removed >= 0.9 and share >= 0.9
        judged.append(row | {"spread": SPREADS[AT], "rms_error_removed": removed, "loss_recovered": share, "met": met})
    coarse = frame.run(task, "calibration-8", partial(chip, bits=8), SPREADS[AT : AT + 1])
    return {
        "title": "Gain and offset of columns",
        "axis": {"label": "sd of gains, and of offsets / rms output", "values": SPREADS},
        "ideal": ideal, "ideal_label": "ideal converters", "curves": curves, "judged": judged,
        "energy_label": "energy of the test reads (µJ)", "bits": BITS, "noise": NOISE,
        "eight_bits": {
            "removed": float(np.mean(coarse["removed, calibrated"])),
            "accuracy": 100 * float(np.mean(coarse["calibrated"])),
        },
    }  # fmt: skip


def chip(task: frame.Task, key: Array, spread: Array, *, bits: int) -> dict[str, Array]:
    """Return one chip's accuracies, and the shares of the columns' errors (rms over both layers) that are removed.

    The errors are those of the converters alone: against ideal ones on the same, imperfectly programmed, devices.
    """
    arrays = frame.layers(Nonidealities(), key)
    inputs = (learning.scale(task.images), hidden_inputs(task.images.shape[0] // 4))
    readers = {name: [] for name in ("bare", *TESTS)}
    errors = {name: [] for name in readers}
    for layer, (xbar, w, x) in enumerate(zip(arrays, task.weights, inputs, strict=True)):
        own = named_key(key, frame.LAYERS[layer])
        xbar = frame.open_loop(xbar, w, named_key(own, "program"))
        adc, top = sampled(xbar, w, reference_inputs(task, layer), spread, bits, named_key(own, "adc"))
        ideal = mitigation.reader(xbar, NOISE)
        readers["bare"].append(mitigation.reader(xbar, NOISE, adc=adc))
        for name, every in TESTS.items():
            test = mitigation.calibration.patterns(w, top / CLIPPED, every=every)
            made = mitigation.calibration.calibrate(
                readers["bare"][-1], test, test @ w, named_key(own, "calibrate"), idle=IDLE
            )
            readers[name].append(mitigation.calibration.calibrated(readers["bare"][-1], made))
        for name, made in readers.items():
            wrong = made[-1](x, x * x).value - ideal(x, x * x).value
            # Both layers count alike: in units of their own outputs.
            errors[name].append(jnp.mean(wrong**2) / jnp.mean(ideal(x, x * x).value ** 2))
    read = named_key(key, "read")
    rms = {name: jnp.sqrt(sum(one) / 2) for name, one in errors.items()}
    out = {name: frame.accuracy(task, *made, read) for name, made in readers.items()}
    # Without a spread there is nothing to remove but rounding.
    return out | {f"removed, {name}": jnp.where(spread > 0, 1 - rms[name] / rms["bare"], 0) for name in TESTS}


def sampled(xbar, w, x, spread, bits, key):
    """Return a layer's converters, and the largest output [w] that they show."""
    y = x @ w
    unit = xbar.v_read * crossbar.conductance_range(xbar)
    top, rms = MARGIN * jnp.max(jnp.abs(y)), jnp.sqrt(jnp.mean(y * y))
    nominal = converters.ADC(low=-top * unit, high=top * unit, bits=bits)
    return converters.sample(nominal, w.shape[1], key, gain=spread, offset=spread * rms * unit), top


def reference_inputs(task: frame.Task, layer: int) -> Array:
    """Return inputs that a layer's range is laid out for: training images, or what hidden spikes may add up to."""
    return learning.scale(task.train_images[:1000]) if layer == 0 else hidden_inputs(1000)


def hidden_inputs(n: int) -> Array:
    """Return n inputs of the second layer, uniform in [0, 1]: not one that hidden neurons would give, but all sizes."""
    return jnp.asarray(np.random.default_rng(0).uniform(size=(n, 256)), jnp.result_type(float))


def reads(task: frame.Task, every: int) -> dict[str, float]:
    """Return what the test reads of both layers cost [J]: devices by the framework's prices, converters by ISAAC's."""
    total, number = energy.Events(), []
    for xbar, w in zip(frame.layers(Nonidealities(), jax.random.key(0)), task.weights, strict=True):
        test = mitigation.calibration.patterns(w, 1.0, every=every)
        total, number = total + mitigation.calibration.cost(xbar, test), [*number, len(test) + IDLE]
    counts = energy.total(total)
    return {
        "energy": float(frame.joules(total)), "adc_energy": counts["adc"] * prices.load("isaac").prices.adc,
        "conversions": counts["adc"], "test_reads": number,
    }  # fmt: skip
