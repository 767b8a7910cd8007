"""What an array is."""

from typing import Any, NamedTuple

from flax import struct
from jax import Array

from memjax.devices.base import Device

SCHEMES = ("half", "third")


@struct.dataclass
class HalfSelect:
    """What pulses do to the other devices on their lines.

    share   of the write voltage that a half-selected device sees, None: the scheme's, 1/2 or 1/3; for a device that
            takes one pulse a step, and scales with the voltage, what such a voltage amounts to. 0 switches it off
    scheme  "half" (V/2) or "third" (V/3: devices on no written line see the opposite voltage)
    """

    share: Any = None
    scheme: str = struct.field(pytree_node=False, default="half")

    @property
    def fraction(self) -> Any:
        """The share, or where there is none that of the scheme."""
        return (1 / 3 if self.scheme == "third" else 1 / 2) if self.share is None else self.share


@struct.dataclass
class Crossbar:
    """An array of devices.

    params, state  leaves [P, R, m, C, n, ...]; a leaf of params may also be a scalar
    faults         int8 [P, R, m, C, n]: 1 stuck on, -1 stuck off, 0 healthy; or None
    active         bool [R, C]
    v_read         read voltage of a full-scale input [V]
    v_write        amplitude of one programming pulse [V]
    net            cached net conductance [R, m, cols] that reads use, or None; every change of the array keeps it true
                   or, with wires and no losses, drops it
    wires          `wires.Wires`: the resistance of every tile's lines, or None: ideal lines
    losses         `Losses` that stand for the wires between two solutions of them, or None
    span           mean range of the devices [S] that reads and weights are scaled by, where it is kept, or None
    half_select    `HalfSelect`: how writes disturb the other devices on their lines, or None: they do not

    Give an array other wires only after `uncache`: what it keeps is of those that it had.
    """

    params: Any
    state: Any
    faults: Array | None
    active: Array
    v_read: Array | float
    v_write: Array | float
    net: Array | None
    device: Device = struct.field(pytree_node=False)
    shape: tuple[int, int] = struct.field(pytree_node=False)
    tile: tuple[int, int] = struct.field(pytree_node=False)
    polarity: int = struct.field(pytree_node=False)
    wires: Any = None
    losses: Any = None
    half_select: Any = None
    span: Any = None


class Losses(NamedTuple):
    """What the wires leave to every device, at the conductances of one moment [P, R, m, C, n].

    read   effective over own conductance
    write  share of the write voltage that reaches the device when it is written alone on its lines
    """

    read: Array
    write: Array


class Lines(NamedTuple):
    """The word lines start .. start + count - 1 of every row of tiles: what all tiles can select at once.

    start may be traced. A line of the last row of tiles that does not exist takes zeros.
    """

    start: Any
    count: int
