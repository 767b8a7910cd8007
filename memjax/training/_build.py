"""Config -> the pure functions of a network, its sampled chips, and a view of their arrays."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from memjax import (
    crossbar,
    devices,
    learning,
    mitigation,
    monte_carlo,
    network,
    neurons,
    patches,
    programming,
    thermal,
    variation,
    wires,
)
from memjax.config import Config, device_params
from memjax.crossbar import Crossbar
from memjax.errors import ConfigError
from memjax.training import _patches


class System(NamedTuple):
    """What a config describes.

    learner  learning.Learner of one chip
    init     (key, severity=None) -> state of one chip; vmap and jit it over `keys`. severity: name -> factor, traced,
             of `variation.severities(nonidealities)`
    arrays   (state of one chip) -> (hidden Crossbar, output Crossbar)
    keys     [chips]: chip i's own key, whatever the number of chips
    nonidealities  what the config says is not ideal
    teach    None, or what comes before learning: (state, key, images [n, n_inputs] of bytes, rates [n]) -> (state,
             tuple of Events); vmap and jit it over the chips
    """

    learner: learning.Learner
    init: Callable
    arrays: Callable
    keys: Array
    nonidealities: variation.Nonidealities
    teach: Callable | None = None


class Parts(NamedTuple):
    """What a network is made of: the arguments of `network.EdgeNetwork`, but for a chip's key."""

    arch: network.Architecture
    chip: network.Chip
    physics: network.Physics
    settings: Any  # the programmer's Params

    @property
    def nonidealities(self) -> variation.Nonidealities:
        """What is not ideal about the chip."""
        assert self.chip.nonidealities is not None
        return self.chip.nonidealities

    def at(self, severity: Mapping[str, Any]) -> "Parts":
        """Return the parts of a chip at other severities of its non-idealities (`variation.Nonidealities`)."""
        return self._replace(chip=self.chip._replace(nonidealities=self.nonidealities.with_severity(severity)))


def build(config: Config) -> System:
    """Translate a config into a system of `config.chips` chips.

    Raises ConfigError and ValueError as `parts` does (which takes no patch layer), and ValueError for what a part of
    the network does not accept.
    """
    made, teach = _parts(config), None

    def make(key, severity=None):
        return network.EdgeNetwork(*(made if severity is None else made.at(severity)), key=key)

    if config.patches is None:
        learner, init = network.functional(make)
        arrays = _arrays(made.arch, made.physics)
    else:
        learner, init, arrays, teach = _with_patches(config, config.patches, made)
    keys = monte_carlo.chip_keys(jax.random.key(config.seed), config.chips)
    jax.eval_shape(init, keys[0])  # raises here what would be raised later, in the middle of a compilation
    return System(learner, init, arrays, keys, nonidealities(config), teach)


# What has no part in a network whose first layer is one of patches: section -> settings.
_NOT_FOR_PATCHES = {
    "neurons": ("leak", "threshold", "reset", "refractory", "surrogate_width"),
    "encoding": ("kind",),
    "learning": ("feedback", "learning_rate_hidden", "measured_pulses"),
}


def _with_patches(config: Config, wanted: Any, made: Parts) -> _patches.Functions:
    aged = made.nonidealities.ages and config.variation.sample_period > 0
    for given, what in (
        (config.array.wires is not None, "array.wires"),
        (made.nonidealities.heat is not None, "variation.heat"),
        (aged, "variation.sample_period"),
        (config.learning.rule == "error_driven", "learning.rule = error_driven"),
        *(
            ((now := getattr(section, name)) != type(section).model_fields[name].default, f"{part}.{name} = {now}")
            for part, names in _NOT_FOR_PATCHES.items()
            for section in [getattr(config, part)]
            for name in names
        ),
    ):
        if given:
            raise ConfigError(f"{what}: is not for a patch layer; accepted is its default, or patches: null")
    geometry = patches.Geometry(config.image, wanted.size, wanted.stride, wanted.padding, wanted.pool)
    nominal, device = made.chip.params, made.chip.device
    d = geometry.n_inputs
    blank = patches.Front(jnp.zeros((d, d), jnp.result_type(float)), jnp.ones((), jnp.result_type(float)), wanted.floor)
    own = programming.get(wanted.programmer)
    settings = _settings(config, device, nominal, own, None)
    said = _patches.Description(
        layer=patches.Layer(
            geometry,
            wanted.programmer,
            wanted.per_image,
            config.neurons.time_steps,
            wanted.code,
            drive=wanted.drive,
            both=wanted.both,
        ),
        constants=patches.Constants(
            blank, settings, wanted.inhibition, wanted.saturation, wanted.handicap, write_time=config.device.write_time
        ),
        fill=wanted.fill,
        epsilon=wanted.epsilon,
        programmer=config.learning.programmer,
        settings=made.settings,
        key=variation.named_key(jax.random.key(config.seed), "whitening"),
    )
    return _patches.functions(
        said, made.arch, lambda severity: made.chip if severity is None else made.at(severity).chip, made.physics
    )


def parts(config: Config) -> Parts:
    """Translate a config into the parts of a fully connected network.

    Raises ConfigError for a device the config describes wrongly, word lines that do not divide a module, and a patch
    layer, and ValueError for a device that no pulse moves.
    """
    if config.patches is not None:
        raise ConfigError("patches: this needs the fully connected network; accepted is patches: null")
    return _parts(config)


def _parts(config: Config) -> Parts:
    device, nominal = devices.get(config.device.name), device_params(config)
    imperfect, lines = nonidealities(config), config.array.wires
    ages = imperfect.ages and config.variation.sample_period > 0
    arch = network.Architecture(
        device=variation.dress(imperfect, device),
        sizes=(config.array.n_inputs, config.array.n_outputs, config.array.n_classes),
        tile=config.array.module_size,
        steps=config.neurons.time_steps,
        encoding=config.encoding.kind,
        reset=config.neurons.reset,
        rule=config.learning.rule,
        feedback=config.learning.feedback,
        programmer=config.learning.programmer,
        refresh=None if lines is None else lines.refresh,
        age_every=config.variation.age_every if ages else None,
    )
    pulses = config.learning.measured_pulses
    chip = network.Chip(
        nominal,
        init_gain=config.learning.init_gain,
        nonidealities=imperfect,
        device=device,
        own_steps=mitigation.adaptive_rate.Params(pulses, config.learning.measured_reads) if pulses else None,
    )
    physics = network.Physics(
        neuron=neurons.Params(config.neurons.leak, config.neurons.threshold, config.neurons.refractory),
        surrogate_width=config.neurons.surrogate_width,
        output_gain=config.learning.output_gain,
        v_read=config.device.read_voltage,
        v_write=config.device.write_voltage,
        write_time=config.device.write_time,
        wires=None if lines is None else _wires(lines),
        sample_period=config.variation.sample_period,
    )
    return Parts(arch, chip, physics, _programmer(config, device, nominal))


def nonidealities(config: Config) -> variation.Nonidealities:
    """Translate the section variation: what is zero or null there is left out, and is not compiled in."""
    v = config.variation

    def of(section, made):
        return None if section is None else made(**section.model_dump())

    heat = v.heat
    return variation.Nonidealities(
        d2d={name: variation.Spread(**s.model_dump()) for name, s in v.d2d.items()} or None,
        stuck=variation.Stuck(v.stuck_on, v.stuck_off) if v.stuck_on + v.stuck_off else None,
        lines=of(v.lines, variation.DeadLines),
        c2c=v.c2c or None,
        read_noise=v.read_noise or None,
        flicker=of(v.flicker, variation.Flicker),
        telegraph=of(v.telegraph, variation.Telegraph),
        relaxation=v.relaxation or None,
        retention=of(v.retention, variation.Retention),
        drift=of(v.drift, variation.Drift),
        half_select=of(v.half_select, crossbar.HalfSelect),
        endurance=of(v.endurance, variation.Endurance),
        breakdown=of(v.breakdown, variation.Breakdown),
        heat=None
        if heat is None
        else variation.Heat(
            thermal.Params(heat.r_th, heat.c_th, heat.g_side, heat.ambient),
            heat.reference,
            heat.e_a,
            heat.e_g,
            heat.duty,
        ),  # fmt: skip
    )


def idle(config: Config, rests: bool | None = None) -> list[str]:
    """Return the non-idealities that change a chip only while it rests, where none ever does.

    rests: whether chips do; None: as they learn, by `variation.sample_period`.
    """
    rests = config.variation.sample_period > 0 if rests is None else rests
    return [] if rests else [name for name in nonidealities(config).names if name in variation.AT_REST]


def _wires(lines: Any) -> wires.Wires:
    # Read noise is ten thousand times what single precision errs by; with 64-bit types on, only those are accepted.
    precision = "float32" if jnp.result_type(float) == jnp.float32 else None
    return wires.Wires(**lines.model_dump(exclude={"refresh"}), precision=precision)


def _programmer(config: Config, device: devices.Device, nominal: Any) -> Any:
    chosen, lines = programming.get(config.learning.programmer), config.learning.rows_per_write
    if chosen.Params is programming.AccumulatorParams and lines is not None:
        # The filters of a patch layer have a programmer of their own.
        rows = config.word_lines if config.patches is None else config.word_lines[1:]
        for module in (min(config.array.module_size[0], n) for n in rows):
            if module % lines:
                raise ConfigError(
                    f"learning.rows_per_write = {lines}: accepted is a divisor of the {module} word lines of a module, "
                    "or null for all"
                )
    return _settings(config, device, nominal, chosen, lines)


def _settings(config: Config, device: Any, nominal: Any, chosen: programming.Programmer, lines: int | None) -> Any:
    wanted, write = config.learning, config.device
    if chosen.Params is programming.SignParams:
        return programming.SignParams(threshold=wanted.sign_threshold)
    step = programming.weight_step(device, nominal, write.read_voltage, write.write_voltage, write.write_time)
    if chosen.Params is programming.AccumulatorParams:
        return programming.AccumulatorParams(step, fire_at=wanted.fire_at, leak=wanted.accumulator_leak, lines=lines)
    # A programmer takes of these what it has; composite counts in units of a push-pull pulse, which is two steps.
    given = {"max_pulses": wanted.max_pulses, "leak": wanted.accumulator_leak, "fire_at": wanted.fire_at / 2}
    params = programming.settings(chosen, step)
    return params.replace(**{name: value for name, value in given.items() if hasattr(params, name)})


def _arrays(arch: network.Architecture, physics: network.Physics) -> Callable:
    """Return the function from a chip's state, the variables of its network by path, to its two crossbars."""
    n_in, n_hidden, n_out = arch.sizes

    def arrays(state: Any) -> tuple[Crossbar, Crossbar]:
        made = []
        for name, shape in (("hidden", (n_in, n_hidden)), ("output", (n_hidden, n_out))):
            sampled = state[name]["sampled"].get_value()
            tile = (min(arch.tile[0], shape[0]), min(arch.tile[1], shape[1]))
            # Sizes and model from an array without content; everything else from the chip.
            like = jax.eval_shape(lambda shape=shape, tile=tile: crossbar.create(arch.device, shape, tile))
            made.append(
                like.replace(
                    params=sampled["params"],
                    faults=sampled["faults"],
                    active=sampled["active"],
                    state=state[name]["weight"].get_value(),
                    net=None,
                    v_read=physics.v_read,
                    v_write=physics.v_write,
                    wires=physics.wires,
                    span=sampled["span"],
                )
            )
        return made[0], made[1]

    return arrays
