"""One trained network, programmed into every sampled chip: how well do its copies work?"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from memjax import crossbar, energy, learning, network, noise, variation
from memjax.config import Config
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.mitigation import pairs
from memjax.mitigation.fault_map import FaultMap
from memjax.programming import write_verify
from memjax.studies import _remedied
from memjax.studies._study import START, Study
from memjax.training import Parts, Samples, parts

SEEN = 2000  # training images, for remedies that go by the inputs
# What write-verify finds within its tolerance it leaves, so that first states are a source too. Open loop sets all of
# them, but the pulses that map faults begin at them.
SOURCES = {
    "write_verify": ("d2d", "faults", START, "c2c", "read_noise"),
    "open_loop": ("d2d", "faults", "c2c", "read_noise"),
}
UNITS = {
    "accuracy": ("1", "share of test images classified correctly"),
    "cross_entropy": ("nat", "mean cross entropy of the softmax output with the labels of these images"),
    "pulses": ("1", "pulses that programmed the chip"),
    "missed": ("1", "share of weights that read wrong when their budget of pulses was spent"),
    "programming_energy": ("J", "of these pulses and the reads between them"),
    "upkeep_energy": ("J", "of refreshes and reference reads until the test"),
    "devices": ("1", "devices relative to the bare arrays"),
}


def study(config: Config, samples: Samples | None, weights: tuple[Any, Any] | None) -> Study:
    """Return the study of a network of these weights; raises ValueError without samples or weights."""
    if samples is None or weights is None:
        raise ValueError("studies: a deployed network needs samples and trained weights, and at least one is missing")
    nominal, wanted = parts(config), config.monte_carlo
    images = samples.test_x[: wanted.images], samples.test_y[: wanted.images]
    w = tuple(jnp.asarray(x, jnp.result_type(float)) for x in weights)
    if config.mitigation.names:
        seen = learning.scale(jnp.asarray(samples.train_x[:SEEN]))
        args = (w, *map(jnp.asarray, images), _remedied.moments(w[0], seen))
        return Study(_with_remedies(config, nominal), SOURCES["write_verify"], args, "accuracy", UNITS)

    def evaluate(keys, severity, weights, images, labels):
        made = nominal.at(severity)
        net = network.EdgeNetwork(*made, key=keys["d2d"], faults_key=keys["faults"], start_key=keys.get(START))
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
        return _values(y, physics.output_gain, labels, events, Events(), jnp.asarray(missed, y.dtype) / total, 1.0)

    return Study(evaluate, SOURCES[wanted.programming], (w, *map(jnp.asarray, images)), "accuracy", UNITS)


def _with_remedies(config: Config, nominal: Parts) -> Callable[..., dict[str, Array]]:
    def evaluate(keys, severity, weights, images, labels, moments):
        made = nominal.at(severity)

        def set_to(xbar, target, key, faults):
            return program(config, made.nonidealities, xbar, target, key, faults)

        y, cost = _remedied.respond(config, made, set_to, keys, weights, moments, learning.scale(images))
        total = sum(w.size for w in weights)
        missed = jnp.asarray(cost["missed"], y.dtype) / total
        return _values(y, made.physics.output_gain, labels, cost["spent"], cost["upkeep"], missed, cost["devices"])

    return evaluate


def _values(
    y: Array, gain: Any, labels: Array, spent: Events, upkeep: Events, missed: Array, devices: float
) -> dict[str, Array]:
    return {
        "accuracy": jnp.mean(learning.hits(y, labels).astype(y.dtype)),
        "cross_entropy": learning.cross_entropy(gain * y, labels),
        "pulses": jnp.asarray(spent.pulse, y.dtype),
        "missed": missed,
        "programming_energy": energy.priced(spent),
        "upkeep_energy": energy.priced(upkeep),
        "devices": jnp.asarray(devices, y.dtype),
    }


def program(
    config: Config,
    chip: variation.Nonidealities,
    xbar: Crossbar,
    target: Array,
    key: Array,
    faults: FaultMap | None = None,
) -> tuple[Crossbar, Array | int, Events]:
    """Bring an array to its target weights [rows, cols] as the config says -> (array, wrong weights, events).

    Push-pull: the weight w is (1 + w) / 2 of the range on one device and (1 - w) / 2 on the other; where `faults` knows
    one of them to be stuck, the other makes up for it. Write-verify reads with the chip's read noise and knows its C2C
    noise, both at their severities.
    """
    wanted, xbar = config.monte_carlo, crossbar.uncache(xbar)
    if wanted.programming == "write_verify":
        params = _remedied.verify_params(config, chip)
        xbar, result, spent = write_verify.program_to(params, xbar, target, config.device.write_time, key)
        return xbar, jnp.sum(result.failed, dtype=jnp.int32), spent
    x = 0.5 + 0.5 * jnp.stack([target, -target]) if faults is None else pairs.states(target, faults)
    x = jnp.clip(x + wanted.error * noise.normal(key, x.shape, x.dtype), 0.0, 1.0)
    return crossbar.set_state(xbar, x), 0, Events(pulse=jnp.asarray(x.size, jnp.int32))
