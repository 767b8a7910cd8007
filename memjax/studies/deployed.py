"""One trained network, programmed into every sampled chip: how well do its copies work?"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from memjax import crossbar, devices, learning, network, noise, programming, variation
from memjax.config import Config, device_params
from memjax.crossbar import Crossbar
from memjax.energy import MEMRISTOR, Events
from memjax.programming import write_verify
from memjax.studies._study import Study
from memjax.training import Samples, parts

SOURCES = ("d2d", "faults", "c2c", "read_noise")
UNITS = {
    "accuracy": ("1", "share of test images classified correctly"),
    "cross_entropy": ("nat", "mean cross entropy of the softmax output with the labels of these images"),
    "pulses": ("1", "pulses that programmed the chip"),
    "missed": ("1", "share of weights that read wrong when their budget of pulses was spent"),
    "programming_energy": ("J", "of these pulses and the reads between them"),
}


def study(config: Config, samples: Samples | None, weights: tuple[Any, Any] | None) -> Study:
    """Return the study of a network of these weights; raises ValueError without samples or weights."""
    if samples is None or weights is None:
        raise ValueError("studies: a deployed network needs samples and trained weights, and at least one is missing")
    nominal, wanted = parts(config), config.monte_carlo
    images = samples.test_x[: wanted.images], samples.test_y[: wanted.images]

    def evaluate(keys, severity, weights, images, labels):
        made = nominal.at(severity)
        net = network.EdgeNetwork(*made, key=keys["d2d"], faults_key=keys["faults"])
        physics, chip = net.physics.get_value(), made.nonidealities  # at their severities
        events, missed, total = Events(), 0, 0
        for name, target in zip(("hidden", "output"), weights, strict=True):
            layer, key = getattr(net, name), variation.named_key(keys["c2c"], name)
            xbar, wrong, spent = program(config, chip, layer.array(physics), target, key)
            layer.weight.set_value(xbar.state)
            events, missed, total = events + spent, missed + wrong, total + target.size
        if wanted.age and chip.ages:
            # What fluctuates at rest is noise of the reads to come.
            net.age(wanted.age, variation.named_key(keys["read_noise"], "rest"))
        net.cache()
        y = net(learning.scale(images), keys["read_noise"])
        pulses = jnp.asarray(events.pulse, y.dtype)
        joule = (MEMRISTOR.write or 0.0) * pulses + (MEMRISTOR.verify or 0.0) * jnp.asarray(events.verify, y.dtype)
        return {
            "accuracy": jnp.mean(learning.hits(y, labels).astype(y.dtype)),
            "cross_entropy": learning.cross_entropy(physics.output_gain * y, labels),
            "pulses": pulses,
            "missed": jnp.asarray(missed, y.dtype) / total,
            "programming_energy": joule,
        }

    w = tuple(jnp.asarray(x, jnp.result_type(float)) for x in weights)
    return Study(evaluate, SOURCES, (w, *map(jnp.asarray, images)), "accuracy", UNITS)


def program(
    config: Config, chip: variation.Nonidealities, xbar: Crossbar, target: Array, key: Array
) -> tuple[Crossbar, Array | int, Events]:
    """Bring an array to its target weights [rows, cols] as the config says -> (array, wrong weights, events).

    Push-pull: the weight w is (1 + w) / 2 of the range on one device and (1 - w) / 2 on the other. Write-verify reads
    with the chip's read noise and knows its C2C noise, both at their severities.
    """
    wanted, xbar = config.monte_carlo, crossbar.uncache(xbar)
    if wanted.programming == "write_verify":
        c2c = chip.scaled("c2c")
        params = write_verify.Params(
            step=_step(config),
            tolerance=wanted.tolerance,
            budget=wanted.budget,
            c2c=0.01 if c2c is None else jnp.maximum(c2c, 0.01),
            read_noise=chip.scaled("read_noise"),
        )
        xbar, result, spent = write_verify.program_to(params, xbar, target, config.device.write_time, key)
        return xbar, jnp.sum(result.failed, dtype=jnp.int32), spent
    x = 0.5 + 0.5 * jnp.stack([target, -target])
    x = jnp.clip(x + wanted.error * noise.normal(key, x.shape, x.dtype), 0.0, 1.0)
    return crossbar.set_state(xbar, x), 0, Events(pulse=jnp.asarray(x.size, jnp.int32))


def _step(config: Config) -> Any:
    """Return the nominal change of a weight by one pulse on one device."""
    wanted = config.device
    return programming.weight_step(
        devices.get(wanted.name), device_params(config), wanted.read_voltage, wanted.write_voltage, wanted.write_time
    )
