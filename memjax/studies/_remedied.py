"""A network deployed with remedies: what `config.mitigation` describes, each at its moment (`memjax.mitigation`).

    before   a measured fault map; spare lines in place of bad ones; weights that stuck devices can reach
    program  as without remedies (`deployed.program`)
    at rest  refresh
    read     what drift has taken put back, columns calibrated, the arrays that share a weight averaged

The first array of the first network is the very chip that has no remedies; further ones are other draws.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from memjax import crossbar, devices, mitigation, network, noise, programming, variation
from memjax.config import Config, device_params
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.errors import ConfigError
from memjax.mitigation import calibration, drift_compensation, fault_map, pairs, redundancy, refresh, spares
from memjax.mitigation.fault_map import FaultMap
from memjax.programming import write_verify
from memjax.studies._study import START
from memjax.training import Parts

LAYERS = ("hidden", "output")


class Deployed(NamedTuple):
    """One layer as it is used: its reader, devices relative to the bare array, events of programming and of upkeep."""

    reader: mitigation.Reader
    devices: float
    spent: Events
    upkeep: Events
    missed: Any


# (array, target weights, key, fault map or None) -> (array, weights that missed their target, events)
Program = Callable[[Crossbar, Array, Array, FaultMap | None], tuple[Crossbar, Any, Events]]


def check(config: Config) -> None:
    """Raise ConfigError for remedies that cannot be had together with the rest of the config."""
    wanted, given = config.mitigation, config.variation
    if wanted.names and config.monte_carlo.study != "deployed":
        raise ConfigError(
            f"mitigation ({', '.join(wanted.names)}) with monte_carlo.study = {config.monte_carlo.study}: accepted is "
            "deployed"
        )
    if wanted.names and config.encoding.kind != "direct":
        raise ConfigError(
            f"mitigation ({', '.join(wanted.names)}) with encoding.kind = {config.encoding.kind}: accepted is direct, "
            "for a network with remedies is driven by constant inputs, and the change would be counted as theirs"
        )
    if wanted.refresh is not None and given.heat is not None:
        raise ConfigError("mitigation.refresh with variation.heat: accepted is one of them")
    if wanted.spares is not None and config.array.wires is not None:
        raise ConfigError("mitigation.spares with array.wires: accepted are ideal wires (null)")


def moments(w_hidden: Array, images: Array) -> tuple[Array, Array]:
    """Return the mean of x_i x_k over the inputs of both layers [rows, rows]: images [n, n_in] in [0, 1], and spikes.

    The spikes are those of the ideal hidden weights, as the readout weighs them.
    """
    seen: list[Array] = []

    def second(x: Array, power: Array) -> mitigation.Seen:
        seen.append(x)
        return mitigation.Seen(x, None)

    ideal = lambda x, power: mitigation.Seen(x @ w_hidden, None)  # noqa: E731
    mitigation.respond(ideal, second, images, jax.random.key(0))
    return tuple(x.T @ x / len(x) for x in (images, seen[0]))  # type: ignore[return-value]


def respond(
    config: Config,
    made: Parts,
    program: Program,
    keys: Mapping[str, Array],
    weights: tuple[Array, Array],
    second_moments: tuple[Array, Array],
    x: Array,
) -> tuple[Array, dict[str, Any]]:
    """Deploy on one chip with all of the config's remedies -> (y [n, classes], what it cost and missed)."""
    wanted, outputs = config.mitigation, []
    spent, upkeep, missed, built = Events(), Events(), 0, 0.0
    size = sum(w.size for w in weights)
    for member in range(wanted.committee):
        readers = []
        for name, target, moment in zip(LAYERS, weights, second_moments, strict=True):
            copies = [
                _layer(config, made, program, _keys(keys, member * wanted.redundancy + k), name, target, moment)
                for k in range(wanted.redundancy)
            ]
            readers.append(redundancy.together([copy.reader for copy in copies]))
            for copy in copies:
                spent, upkeep, missed = spent + copy.spent, upkeep + copy.upkeep, missed + copy.missed
                built += copy.devices * target.size / size
        own = keys["read_noise"] if member == 0 else jax.random.fold_in(keys["read_noise"], member)
        y = mitigation.respond(
            readers[0], readers[1], x, own, neuron=made.physics.neuron, steps=made.arch.steps, reset=made.arch.reset
        )
        outputs.append(y)
    copies = wanted.committee * wanted.redundancy
    cost = {"spent": spent, "upkeep": upkeep, "missed": missed / copies, "devices": built}
    return sum(outputs[1:], outputs[0]) / len(outputs), cost


def _layer(
    config: Config, made: Parts, program: Program, keys: Mapping[str, Array], name: str, target: Array, moment: Array
) -> Deployed:
    wanted, chip, physics = config.mitigation, made.nonidealities, made.physics
    read_noise = chip.scaled("read_noise")
    key, shape = variation.named_key(keys["c2c"], name), (target.shape[0], target.shape[1])
    tile = (min(made.arch.tile[0], shape[0]), min(made.arch.tile[1], shape[1]))
    plan, arch, size = None, made.arch, shape
    if wanted.spares is not None:
        plan = spares.Plan(shape, tile, (wanted.spares.word, wanted.spares.bit))
        arch, size = arch._replace(tile=plan.physical_tile), plan.physical_shape
    imperfect = physics.replace(  # type: ignore[attr-defined]
        **{field: chip.scaled(field) for field in ("read_noise", "half_select", "heat")}
    )
    xbar = network.sample_array(
        arch, made.chip, imperfect, size, variation.named_key(keys["d2d"], name), keys["d2d"], name, keys["faults"],
        keys.get(START),
    )  # fmt: skip
    spent, upkeep, faults = Events(), Events(), None
    if plan is not None or wanted.pairs:
        own = variation.named_key(key, "fault map")
        xbar, faults, spent = fault_map.measure(xbar, physics.write_time, own, read_noise=read_noise)
        if plan is not None:
            routing = spares.assign(plan, faults)
            xbar, faults = spares.route(xbar, plan, routing), spares.route_map(plan, routing, faults)
        if wanted.pairs:
            target = pairs.spread_rest(target, *pairs.reach(faults), moment)
    xbar, missed, events = program(xbar, target, key, faults if wanted.pairs else None)
    spent = spent + events
    # Test inputs, and with drift compensation what two reads of the columns say of them while they are new.
    inputs = calibration.patterns(target, jnp.inf)
    rest = variation.named_key(keys["read_noise"], f"rest {name}")
    reference = drift_compensation.reference(xbar)
    if wanted.drift_compensation:
        fresh = mitigation.reader(xbar, read_noise)
        first, second = (
            drift_compensation.measure(fresh, inputs, variation.named_key(rest, own)) for own in ("new", "again")
        )
    if config.monte_carlo.age and chip.ages:
        xbar, events = _rest(config, chip, imperfect, xbar, target, faults, rest)
        upkeep = upkeep + events
    xbar = crossbar.cache(xbar)
    read = mitigation.reader(xbar, read_noise)
    if wanted.drift_compensation:
        now = drift_compensation.measure(read, inputs, variation.named_key(rest, "now"))
        left = drift_compensation.factors(
            first, second, now, inputs, reference=reference, per=wanted.drift_compensation
        )
        read = drift_compensation.compensate(read, left, reference=reference)
        for _ in (first, second, now):
            upkeep = upkeep + drift_compensation.cost(xbar, inputs)
    if wanted.calibration:
        found = calibration.calibrate(read, inputs, inputs @ target, variation.named_key(rest, "calibrate"))
        read = calibration.calibrated(read, found)
        upkeep = upkeep + calibration.cost(xbar, inputs)
    return Deployed(read, 1.0 if plan is None else plan.devices, spent, upkeep, missed)


def _rest(config, chip, physics, xbar, target, faults, key) -> tuple[Crossbar, Events]:
    wanted, age = config.mitigation.refresh, config.monte_carlo.age
    if wanted is None:
        warm = xbar if physics.heat is None else network.warmed(xbar, physics.heat, age)
        return crossbar.relax(warm, age, key=key if chip.fluctuates else None), Events()
    times = int(age // wanted.period)
    params = verify_params(config, chip)
    # A healthy partner is brought back; where both are stuck there is nothing to bring.
    where = None if faults is None else ~jnp.all(faults.stuck, axis=0)
    xbar, _, events = refresh.hold(
        params, xbar, target, physics.write_time, key, period=wanted.period, times=times, budget=wanted.budget,
        where=where, fluctuates=chip.fluctuates,
    )  # fmt: skip
    events = jax.tree.map(lambda x: jnp.sum(x, dtype=jnp.int32) if jnp.ndim(x) else x, events)
    last = noise.fold_in(key, "last")
    return crossbar.relax(xbar, age - times * wanted.period, key=last if chip.fluctuates else None), events


def _keys(keys: Mapping[str, Array], number: int) -> dict[str, Array]:
    return {name: key if number == 0 else jax.random.fold_in(key, number) for name, key in keys.items()}


def verify_params(config: Config, chip: variation.Nonidealities) -> write_verify.Params:
    """Return the settings of write-verify, which knows the chip's C2C noise and read noise at their severities."""
    wanted, c2c = config.monte_carlo, chip.scaled("c2c")
    return write_verify.Params(
        step=_step(config),
        tolerance=wanted.tolerance,
        budget=wanted.budget,
        c2c=0.01 if c2c is None else jnp.maximum(c2c, 0.01),
        read_noise=chip.scaled("read_noise"),
    )


def _step(config: Config) -> Any:
    """Return the nominal change of a weight by one pulse on one device."""
    wanted = config.device
    return programming.weight_step(
        devices.get(wanted.name), device_params(config), wanted.read_voltage, wanted.write_voltage, wanted.write_time
    )
