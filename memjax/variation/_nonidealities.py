"""All non-idealities of a chip under their names, each with a severity: 1 as described, 0 off, 2 twice as bad.

What a `Nonidealities` describes is fixed by which of its fields are not None: that decides which wrappers a device
gets, and so what is compiled. Severities are traced, so that switching one on or off never retraces.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jax.core import Tracer

from memjax import devices, noise
from memjax.devices.base import Device, accept
from memjax.variation._faults import merge_faults, sample_lines, sample_lives, sample_stuck
from memjax.variation._keys import named_key
from memjax.variation._spread import Spread, factor, sample_params

FLUCTUATING = ("flicker", "telegraph", "relaxation")  # what changes a chip while it rests, and is drawn
AT_REST = (*FLUCTUATING, "retention", "drift")  # what changes a chip only while it rests; heat does otherwise too
WRITTEN = 0.75  # share of the write voltage above which a pulse is a write, where half-selected devices see pulses too


@struct.dataclass
class Stuck:
    """Shares of devices stuck on and off (`sample_stuck`)."""

    on: Any = 0.0
    off: Any = 0.0


@struct.dataclass
class DeadLines:
    """Shares of dead word lines and bit lines of a tile, and of word-line drivers (`sample_lines`)."""

    word: Any = 0.0
    bit: Any = 0.0
    driver: Any = 0.0


@struct.dataclass
class Flicker:
    """1/f noise of the current (`devices.with_read_noise`): sd relative to it, band of time constants [s]."""

    sigma: Any = 0.02
    tau_min: Any = 1e-6
    tau_max: Any = 10.0
    modes: int = struct.field(pytree_node=False, default=8)


@struct.dataclass
class Telegraph:
    """Random telegraph noise (`devices.with_read_noise`) of a share of the devices; the others have no trap."""

    amplitude: Any = 0.05  # difference of the two currents relative to their mean
    tau_high: Any = 1e-3  # s
    tau_low: Any = 1e-3  # s
    share: Any = 1.0


@struct.dataclass
class Drift:
    """Power-law drift (`devices.with_drift`) whose exponent has a D2D spread, lognormal, relative to nu."""

    nu: Any = 0.05
    spread: Any = 0.0
    t0: Any = 1.0  # s


@struct.dataclass
class Retention:
    """Exponential loss of the state (`devices.with_drift`) with a D2D spread of tau, lognormal, relative to it."""

    tau: Any = 1e8  # s
    spread: Any = 0.0
    x_rest: Any = 0.0


@struct.dataclass
class Endurance:
    """Window that closes with the writes (`devices.with_endurance`)."""

    n_wear: Any = 1e6
    beta: Any = 1.0
    x_worn: Any = 0.5


@struct.dataclass
class Breakdown:
    """Failure for good after a number of writes that follows Weibull's law (`devices.with_breakdown`)."""

    life: Any = 1e6  # writes, after which 1 - 1/e of the devices have failed
    exponent: Any = 1.5
    x_failed: Any = 0.0


@struct.dataclass
class Heat:
    """Temperature (`devices.with_temperature`), of the ambient and from dissipated power.

    network: `thermal.Params`. duty: share of the time that the devices are read at full scale, which heats them.
    """

    network: Any
    reference: Any = 300.0  # K, at which the devices' parameters hold
    e_a: Any = 1.0  # eV, of all that takes time
    e_g: Any = 0.0  # eV, of conduction
    duty: Any = 0.0


@struct.dataclass
class Nonidealities:
    """What is not ideal about a chip; None: nothing is, and it is not compiled in.

    d2d          parameter of the device -> `Spread`, or the sigma of a lognormal
    stuck        `Stuck`
    lines        `DeadLines`
    c2c          sd of a write's noise relative to its step (`devices.with_c2c_noise`)
    read_noise   sd of white noise at every read, relative to g_max - g_min (`crossbar.read`)
    flicker      `Flicker`
    telegraph    `Telegraph`
    relaxation   scale of the published relaxation (`devices.with_relaxation`)
    retention    `Retention`
    drift        `Drift`
    half_select  `crossbar.HalfSelect`
    endurance    `Endurance`
    breakdown    `Breakdown`
    heat         `Heat`
    severity     name -> factor [], traced; 1 where it is not named
    """

    d2d: Mapping[str, Spread | Any] | None = None
    stuck: Stuck | None = None
    lines: DeadLines | None = None
    c2c: Any = None
    read_noise: Any = None
    flicker: Flicker | None = None
    telegraph: Telegraph | None = None
    relaxation: Any = None
    retention: Retention | None = None
    drift: Drift | None = None
    half_select: Any = None
    endurance: Endurance | None = None
    breakdown: Breakdown | None = None
    heat: Heat | None = None
    severity: Mapping[str, Any] = struct.field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The non-idealities that are described, in the order of the fields."""
        return tuple(f for f in NAMES if getattr(self, f) is not None)

    @property
    def ages(self) -> bool:
        """Whether a chip changes while it rests."""
        return bool({*AT_REST, "heat"} & set(self.names))

    @property
    def fluctuates(self) -> bool:
        """Whether what changes while it rests is drawn, so that resting takes a key."""
        return bool(set(FLUCTUATING) & set(self.names))

    def scaled(self, name: str) -> Any:
        """Return a description at its severity: what rises with it is multiplied, times and writes are divided.

        The derivative by the severity of what is divided (retention, endurance, breakdown) is 0 at 0: take it above.
        Raises ValueError for a negative severity (tracers pass).
        """
        value, s = getattr(self, name), self.severity.get(name)
        if value is None or s is None:
            return value
        if not isinstance(s, Tracer):
            accept(f"variation: severity of {name}", s, np.asarray(s) >= 0, "0 (off) or more")
        if name == "d2d":
            spreads = {f: v if isinstance(v, Spread) else Spread(v) for f, v in value.items()}
            return {f: replace(v, sigma=s * v.sigma) for f, v in spreads.items()}
        if name in ("c2c", "read_noise", "relaxation"):
            return s * value
        if name == "heat":
            network = value.network
            ambient = value.reference + s * (network.ambient - value.reference)
            return value.replace(network=network.replace(ambient=ambient), duty=s * value.duty)
        if name == "half_select":
            return value.replace(share=s * value.fraction)
        more = {f: s * getattr(value, f) for f in _RISES.get(name, ())}
        some = jnp.asarray(s) > 0
        less = {  # by 0: inf, which is never; a quotient has no derivative there, and a selection has none but 0
            f: jnp.where(some, getattr(value, f) / jnp.where(some, s, 1.0), jnp.inf) for f in _FALLS.get(name, ())
        }
        return value.replace(**more, **less)

    def with_severity(self, severity: Mapping[str, Any]) -> "Nonidealities":
        """Return the same chip at other severities; raise ValueError for one that is not described."""
        for name in severity:
            if name not in self.names:
                raise ValueError(
                    f"variation: severity of {name!r}, which is not described: accepted are {', '.join(self.names)}"
                )
        return replace(self, severity=dict(severity))


NAMES = tuple(f for f in Nonidealities.__dataclass_fields__ if f != "severity")
_RISES = {
    "stuck": ("on", "off"),
    "lines": ("word", "bit", "driver"),
    "flicker": ("sigma",),
    "telegraph": ("amplitude",),
    "drift": ("nu",),
}
_FALLS = {"retention": ("tau",), "endurance": ("n_wear",), "breakdown": ("life",)}


def severities(chip: Nonidealities, names: Iterable[str] | None = None) -> tuple[list[str], dict[str, Array]]:
    """Return the settings of an ablation: labels [S], and every severity [S], 0 or 1, to vmap over.

    "none", each alone ("d2d"), all but one ("all but d2d") and "all"; of one non-ideality "none" and "all" alone.
    names: those to switch (None: all that are described); the others stay on. Raises ValueError for an unknown one.
    """
    switched = list(chip.names if names is None else names)
    chip.with_severity(dict.fromkeys(switched, 1.0))
    rows = {"none": set()}
    if len(switched) > 1:
        rows |= {name: {name} for name in switched}
        if len(switched) > 2:  # of two, all but one is the other one alone
            rows |= {f"all but {name}": set(switched) - {name} for name in switched}
    rows["all"] = set(switched)
    dtype = jnp.result_type(float)
    table = {name: jnp.asarray([float(name in on) for on in rows.values()], dtype) for name in switched}
    return list(rows), table


def settings(chip: Nonidealities, names: Iterable[str] | None = None) -> dict[str, Nonidealities]:
    """Return the chips of an ablation by label: those of `severities`, one by one."""
    labels, table = severities(chip, names)
    return {label: chip.with_severity({f: s[i] for f, s in table.items()}) for i, label in enumerate(labels)}


def dress(chip: Nonidealities, device: Device) -> Device:
    """Return the device in the wrappers that a chip's non-idealities ask for, from the inside out in a fixed order."""
    rests = device.relax is not None
    for name in _worn(chip):
        device = _WRAPPERS[name](chip, device)
    # Then only slow wrappers move it at rest: it is aged by periods, not at every write to other lines.
    return device._replace(slow=not rests and device.relax is not None)


class Sampled(NamedTuple):
    """What makes a chip that chip: Params of the dressed device, leaves [shape] where devices differ, and faults."""

    params: Any
    faults: Array | None


def sample(
    chip: Nonidealities,
    device: Device,
    nominal: Any,
    shape: tuple[int, int, int],
    tile: tuple[int, int],
    key: Array,
    *,
    die: Array | None = None,
    v_write: Any = 1.0,
    faults_key: Array | None = None,
) -> Sampled:
    """Draw one array [P, rows, cols] of a chip: Params for `dress(chip, device)`, and its fault map (None: no faults).

    device, nominal: the device as it is without wrappers, and its Params. die: key of what the chip's arrays have in
    common; None: key. faults_key: draws the faults in place of key, so that they vary apart. Raises ValueError for what
    the samplers do not accept.
    """
    params = sample_params(nominal, chip.scaled("d2d") or {}, shape, named_key(key, "d2d"), die)
    half = chip.half_select is not None
    v_min = WRITTEN * v_write if half else 0.0
    for name in _worn(chip):
        device = _WRAPPERS[name](chip, device)
        own = _OWN[name](chip.scaled(name), shape, named_key(key, name))
        if "v_write_min" in device.Params.__dataclass_fields__:
            own["v_write_min"] = v_min
        params = device.Params(inner=params, **own)
    stuck, lines, own_key = chip.scaled("stuck"), chip.scaled("lines"), key if faults_key is None else faults_key
    return Sampled(
        params,
        merge_faults(
            None if stuck is None else sample_stuck(shape, stuck.on, stuck.off, own_key),
            None
            if lines is None
            else sample_lines(shape, tile, lines.word, lines.bit, lines.driver, named_key(own_key, "lines")),
        ),
    )


def field_of(params: Any, name: str) -> Any:
    """Return a parameter of a dressed device, of the outermost wrapper (or the device) that has one of that name."""
    while name not in vars(params):
        params = params.inner
    return getattr(params, name)


def with_field(params: Any, name: str, value: Any) -> Any:
    """Return the Params of a dressed device with a parameter of the outermost wrapper that has it replaced."""
    if name in vars(params):
        return params.replace(**{name: value})
    return params.replace(inner=with_field(params.inner, name, value))


# From the inside out. What scales time is outside of what takes time, and noise of the reading outside of all.
_WRAPPERS = {
    "c2c": lambda chip, device: devices.with_c2c_noise(device),
    "relaxation": lambda chip, device: devices.with_relaxation(device),
    "retention": lambda chip, device: devices.with_drift(device, "exponential"),
    "drift": lambda chip, device: devices.with_drift(device),
    "heat": lambda chip, device: devices.with_temperature(device),
    "endurance": lambda chip, device: devices.with_endurance(device),
    "breakdown": lambda chip, device: devices.with_breakdown(device),
    "telegraph": lambda chip, device: devices.with_read_noise(device, "telegraph"),
    "flicker": lambda chip, device: devices.with_read_noise(device, "one_over_f", chip.flicker.modes),
}


def _worn(chip: Nonidealities) -> list[str]:
    return [name for name in _WRAPPERS if getattr(chip, name) is not None]


def _spread_of(nominal, spread, shape, key, name):
    return nominal * factor(Spread(spread), shape, key, name)


def _telegraph(v, shape, key):
    trap = noise.uniform(key, shape, jnp.result_type(float)) < v.share
    amplitude = jnp.where(trap, v.amplitude, jnp.zeros(shape, jnp.result_type(float)))
    return {"amplitude": amplitude, "tau_high": v.tau_high, "tau_low": v.tau_low}


def _heat(v, shape, key):
    temperature = jnp.full(shape, v.network.ambient, jnp.result_type(float))
    return {"temperature": temperature, "reference": v.reference, "e_a": v.e_a, "e_g": v.e_g}


_OWN = {
    "c2c": lambda v, shape, key: {"sigma": v},
    "relaxation": lambda v, shape, key: {"scale": v},
    "retention": lambda v, shape, key: {"tau": _spread_of(v.tau, v.spread, shape, key, "tau"), "x_rest": v.x_rest},
    "drift": lambda v, shape, key: {"nu": _spread_of(v.nu, v.spread, shape, key, "nu"), "t0": v.t0},
    "heat": _heat,
    "endurance": lambda v, shape, key: {"n_wear": v.n_wear, "beta": v.beta, "x_worn": v.x_worn},
    "breakdown": lambda v, shape, key: {
        "life": sample_lives(shape, v.life, v.exponent, key),
        "x_failed": v.x_failed,
    },
    "telegraph": _telegraph,
    "flicker": lambda v, shape, key: {"sigma": v.sigma, "tau_min": v.tau_min, "tau_max": v.tau_max},
}
