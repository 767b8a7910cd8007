"""What a network is made of: its physics, what fixes the compiled program, and how chips are sampled."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from flax import struct

from memjax import neurons, variation
from memjax.devices.base import Device
from memjax.mitigation import adaptive_rate


@struct.dataclass
class Physics:
    """Physical constants of a network, all traced."""

    neuron: neurons.Params = neurons.Params()
    surrogate_width: Any = 1.0  # in units of the membrane potential
    output_gain: Any = 0.5  # slope of the softmax
    read_noise: Any = None  # sd of a device's conductance at every read, relative to g_max - g_min; None: no draw
    v_read: Any = 0.1  # V, of a full-scale input
    v_write: Any = 1.0  # V
    write_time: Any = 10e-9  # s, width of a pulse
    wires: Any = None  # wires.Wires: resistance of every tile's lines; None: ideal
    half_select: Any = None  # crossbar.HalfSelect: how writes disturb the other devices on their lines; None: not
    heat: Any = None  # variation.Heat: what warms the arrays; None: they stay at the temperature of their devices
    sample_period: Any = 1e-3  # s, from one training sample to the next: what the arrays age by


class Architecture(NamedTuple):
    """What fixes the compiled program: sizes, models and rules."""

    device: Device
    sizes: tuple[int, int, int] = (784, 256, 10)
    tile: tuple[int, int] = (64, 64)
    steps: int = 5
    encoding: str = "direct"
    reset: str = "subtract"
    rule: str = "three_factor"
    feedback: str = "symmetric"
    programmer: str = "accumulator"
    # Samples between two solutions of the wires while learning; None: at every read and write. Static: chips that learn
    # side by side do so together, where a traced number would have every sample of every chip do both.
    refresh: int | None = None
    # Samples after which the arrays age, while learning, by as many periods; None: they do not. Static, as above.
    age_every: int | None = None


class Chip(NamedTuple):
    """How chips are sampled: nominal device, spread, stuck devices, and the scale of the first weights.

    The first weights are normal with sd init_gain / sqrt(fan-in). c2c is the sigma of the cycle-to-cycle noise,
    relative to the step: give it where, and only where, the architecture's device is `with_c2c_noise`.

    nonidealities stands in place of spread, c2c and the stuck devices, and of the physics' read noise, half-selection
    and heat: the architecture's device is then `variation.dress(nonidealities, device)`, and `device` the one inside.

    own_steps: how every weight's own step is measured before anything is learned, for a programmer that goes by it
    (`mitigation.adaptive_rate`); None: it believes in the nominal one. The pulses and reads of that come before the
    first sample, and are in no ledger of the network (`adaptive_rate.measure` returns them).
    """

    params: Any
    spread: Mapping[str, variation.Spread | float] = MappingProxyType({})
    c2c: Any = None
    stuck_on: float = 0.0
    stuck_off: float = 0.0
    init_gain: float = 1.5
    nonidealities: variation.Nonidealities | None = None
    device: Device | None = None
    own_steps: adaptive_rate.Params | None = None
