"""Bare arrays of devices under spike-timing-dependent plasticity: how far do their weights come to differ?

Both sides of an array fire at random. Pair STDP proposes a change of every weight that one of its two spikes touches;
it is applied as one pulse of that part of a full pulse's amplitude, by a model of the device that adds its own
nonlinearity and cycle-to-cycle noise.
"""

from typing import Any

import jax
import jax.numpy as jnp

from memjax import crossbar, devices, noise, plasticity, programming, variation
from memjax.config import Config, device_params
from memjax.errors import ConfigError
from memjax.plasticity import stdp
from memjax.plasticity.base import Signals, dense
from memjax.studies._study import Study
from memjax.training import Samples, nonidealities

SOURCES = ("d2d", "faults", "c2c", "spikes")
UNITS = {
    "mean": ("1", "mean weight at the end, of the nominal range"),
    "sd": ("1", "standard deviation of the weights in the array"),
    "low": ("1", "share of weights in the lowest tenth of the range"),
    "high": ("1", "share of weights in the highest tenth of the range"),
    "pulses": ("1", "pulses"),
}


def study(config: Config, samples: Samples | None, weights: tuple[Any, Any] | None) -> Study:
    """Return the study of single-ended arrays [n_inputs, n_outputs]; `samples` and `weights` are not used.

    Raises ConfigError for settings that have no part in it, and more than a spike a step.
    """
    whole, wanted, array = nonidealities(config), config.monte_carlo, config.array
    for given, what in (
        (whole.read_noise is not None, "variation.read_noise: arrays are not read"),
        (array.wires is not None, "array.wires: lines are ideal"),
        (wanted.age > 0, f"monte_carlo.age = {wanted.age:g} s: arrays do not rest"),
    ):
        if given:
            raise ConfigError(f"{what} in a study of arrays; accepted is its default, or another monte_carlo.study")
    chance = wanted.rate * wanted.dt
    if chance > 1 + 1e-9:
        raise ConfigError(
            f"monte_carlo.rate = {wanted.rate:g} Hz with monte_carlo.dt = {wanted.dt:g} s: accepted is at most one "
            "spike a step on average"
        )
    device, nominal = devices.get(config.device.name), device_params(config)
    full = programming.weight_step(
        device, nominal, config.device.read_voltage, config.device.write_voltage, config.device.write_time
    )
    dressed = variation.dress(whole, device)
    rule, params = plasticity.get("stdp"), stdp.Params(**config.stdp.rule_params())
    shape = (array.n_inputs, array.n_outputs)
    tile = (min(array.module_size[0], shape[0]), min(array.module_size[1], shape[1]))

    def evaluate(keys, severity):
        chip, logical = whole.with_severity(severity), (1, *shape)
        spread, faults = variation.sample(chip, device, nominal, logical, tile, keys["d2d"], faults_key=keys["faults"])
        xbar = crossbar.create(
            dressed,
            shape,
            tile,
            polarity=1,
            params=spread,
            faults=faults,
            half_select=chip.scaled("half_select"),
            v_read=config.device.read_voltage,
            v_write=config.device.write_voltage,
        )
        pre, post = (
            noise.uniform(variation.named_key(keys["spikes"], side), (wanted.steps, n)) < chance
            for side, n in (("pre", shape[0]), ("post", shape[1]))
        )

        def step(carry, now):
            xbar, traces = carry
            number, before, after = now
            dw, traces = rule.step(
                params, traces, Signals(before), Signals(after), crossbar.weights(xbar), None, wanted.dt
            )
            key = noise.fold_in(keys["c2c"], number)
            xbar, spent = crossbar.write(xbar, dense(dw)[None] / full, config.device.write_time, key, max_pulses=1)
            return (xbar, traces), spent.pulse

        numbers = jnp.arange(wanted.steps, dtype=jnp.uint32)
        (xbar, _), pulses = jax.lax.scan(step, (xbar, rule.init(params, *shape)), (numbers, pre, post))
        w = crossbar.weights(xbar)
        return {
            "mean": jnp.mean(w),
            "sd": jnp.std(w),
            "low": jnp.mean((w < 0.1).astype(w.dtype)),
            "high": jnp.mean((w > 0.9).astype(w.dtype)),
            "pulses": jnp.sum(pulses).astype(w.dtype),
        }

    return Study(evaluate, SOURCES, (), "sd", UNITS)
