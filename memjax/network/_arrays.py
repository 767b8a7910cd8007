"""The arrays of a chip: how they are sampled with their first weights, measured, and warmed by their reads."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from jax import Array

from memjax import crossbar, noise, thermal, variation
from memjax.crossbar import Crossbar
from memjax.devices.base import conductance as device_conductance
from memjax.mitigation import adaptive_rate
from memjax.network._described import Architecture, Chip, Physics


def sample_array(
    arch: Architecture,
    chip: Chip,
    physics: Physics,
    shape: tuple[int, int],
    key: Array,
    die: Array,
    name: str = "",
    faults_key: Array | None = None,
    start_key: Array | None = None,
) -> Crossbar:
    """Sample one array [rows, cols] of a chip, with its first weights: key is the array's, die the chip's.

    faults_key, with the array's name, draws the stuck devices in key's place, and start_key the first weights.
    """
    logical, tile = (2, *shape), (min(arch.tile[0], shape[0]), min(arch.tile[1], shape[1]))
    of_faults = key if faults_key is None else variation.named_key(faults_key, name)
    of_start = key if start_key is None else variation.named_key(start_key, name)
    w = (
        chip.init_gain
        / shape[0] ** 0.5
        * noise.normal(variation.named_key(of_start, "weights"), shape, jnp.result_type(float))
    )
    if chip.nonidealities is None:
        params = variation.sample_params(chip.params, chip.spread, logical, variation.named_key(key, "d2d"), die)
        if chip.c2c is not None:
            params = arch.device.Params(inner=params, sigma=chip.c2c)
        faults = variation.sample_stuck(logical, chip.stuck_on, chip.stuck_off, of_faults)
    else:
        device = arch.device if chip.device is None else chip.device
        params, faults = variation.sample(
            chip.nonidealities,
            device,
            chip.params,
            logical,
            tile,
            key,
            die=die,
            v_write=physics.v_write,
            faults_key=of_faults,
        )
    xbar = crossbar.create(
        arch.device,
        shape,
        tile,
        params=params,
        x=jnp.clip(0.5 + 0.5 * jnp.stack([w, -w]), 0.0, 1.0),
        faults=faults,
        v_read=physics.v_read,
        v_write=physics.v_write,
        wires=physics.wires,
        half_select=physics.half_select,
    )
    if physics.heat is None:
        return xbar
    # What reads the array knows it at the reference temperature, and is not told how warm it is.
    cold = replace(xbar, params=variation.with_field(xbar.params, "temperature", physics.heat.reference))
    return replace(xbar, span=crossbar.conductance_range(cold))


def measured(
    wanted: adaptive_rate.Params, xbar: Crossbar, physics: Physics, settings: Any, key: Array
) -> tuple[Crossbar, Any]:
    """Return the array after its steps have been measured, and a programmer's settings that know them.

    What that costs is not part of it: a chip is sampled, and has no ledger yet.
    """
    if not hasattr(settings, "own"):
        raise ValueError(f"network: {type(settings).__name__} has no field `own`: its programmer goes by no own steps")
    xbar, own, _ = adaptive_rate.measure(
        wanted, xbar, settings.step, physics.write_time, key, read_noise=physics.read_noise,
        sides=getattr(settings, "sides", "both"),
    )  # fmt: skip
    return xbar, settings.replace(own=own)


def warmed(xbar: Crossbar, heat: variation.Heat, dt: Any) -> Crossbar:
    """Return the array at the temperature after dt [s] at the power that reads dissipate, `heat.duty` of the time."""
    t = variation.field_of(xbar.params, "temperature")
    g = device_conductance(xbar.device, xbar.params, xbar.state, xbar.v_read)
    lines = (t.shape[0], t.shape[1] * t.shape[2], t.shape[3] * t.shape[4])
    power = heat.duty * jnp.square(xbar.v_read) * g.reshape(lines)
    now = thermal.step(heat.network, t.reshape(lines), power, dt)
    warm = replace(xbar, params=variation.with_field(xbar.params, "temperature", now.reshape(t.shape)))
    return warm if xbar.net is None else crossbar.cache(warm)
