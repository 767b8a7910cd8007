"""What a programmer is (`Programmer`), and what programmers share: the step of a device, and pulses on a pair.

A programmer never sees the rule, only dw, in units of the weight (`crossbar.weights` with w_max = 1), and owns what it
must remember. The device decides what a pulse really does. A programmer file holds its citation and equations, its
Params, `init` and `step`, and ends with `PROGRAMMER = Programmer(...)`.

A signed pulse reaches a differential pair on both devices or on one (`sides`):

    both  push-pull: up on one device, down on the other; the weight moves by two device steps
    one   up on g+ for a rise, up on g- for a fall; the weight moves by one step, and the pair fills up (`rebalance`)

A single-ended device takes the signed pulse itself.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.core import Tracer

from memjax import crossbar
from memjax._fusion import keep
from memjax.crossbar import Crossbar
from memjax.devices.base import Device, conductance
from memjax.energy import Events, count
from memjax.plasticity.base import Outer

SIDES = ("both", "one")


class Programmer(NamedTuple):
    """Turns wanted weight changes into pulses.

    Params  struct.dataclass; its first field is `step` where it has to know the device's (see `settings`)
    init    (params, xbar)                                                     -> State
    step    (params, state, dw [rows, cols] or Outer, xbar, dt [s], key, turn) -> (Crossbar, State, Events)

    dt is the width of a pulse; turn (int32) the number of this call, from 0 on: whose turn it is, where lines take
    turns. It is no part of the state, so that chips stepped together by vmap share it.
    """

    name: str
    Params: type
    init: Callable
    step: Callable


@struct.dataclass
class Params:
    """Programmer of pulses: step is the nominal change of a weight by one pulse on one device (`weight_step`)."""

    step: Array | float
    max_pulses: int = struct.field(pytree_node=False, default=1)  # the longest pulse train of one call
    sides: str = struct.field(pytree_node=False, default="both")
    own: Any = None  # of every weight, see `own_size`; None: all are nominal


def settings(programmer: Programmer, step: Any) -> Any:
    """Return a programmer's Params with its defaults, for devices of this nominal `weight_step`."""
    return programmer.Params(step) if "step" in programmer.Params.__dataclass_fields__ else programmer.Params()


def weight_step(device: Device, params: Any, v_read: float = 0.1, v_write: float = 1.0, dt: float = 1e-8) -> Array:
    """Return the change of a weight by one pulse on one device at mid-range: (dg up + dg down) / 2 / (g_max - g_min).

    device is the bare model (no C2C wrapper) and params its nominal device. Raises ValueError where a pulse moves
    nothing.
    """

    def g(state):
        return conductance(device, params, state, v_read)

    middle = device.init(params, 0.5)
    up, down = (device.step(params, middle, jnp.full_like(g(middle), sign * v_write), dt, None) for sign in (1, -1))
    step = (g(up) - g(down)) / 2 / (g(device.init(params, 1.0)) - g(device.init(params, 0.0)))
    if not isinstance(step, Tracer) and not bool(jnp.all(step > 0)):
        pulse = f"a pulse of {v_write} V and {dt} s"
        raise ValueError(f"programming: {pulse} moves {device.name} by {step} of its range: it cannot learn")
    return step


def push_pull(xbar: Crossbar, signed: Array) -> Array:
    """Spread signed pulses [k, cols] over the devices of a weight: [P, k, cols]."""
    return jnp.stack([signed, -signed]) if xbar.polarity == 2 else signed[None]


def one_sided(xbar: Crossbar, signed: Array) -> Array:
    """Give signed pulses [k, cols] to one device of each pair, as rises alone: [P, k, cols]."""
    return jnp.stack([jnp.maximum(signed, 0), jnp.maximum(-signed, 0)]) if xbar.polarity == 2 else signed[None]


def pulse_size(xbar: Crossbar, step: Any, sides: str) -> Any:
    """Return the nominal change of a weight by one signed pulse [w]; raises ValueError for unknown sides."""
    if sides not in SIDES:
        raise ValueError(f"programming: sides = {sides!r}: accepted is one of {', '.join(SIDES)}")
    return xbar.polarity * step if sides == "both" else step


def own_size(unit: Any, own: Array | None, change: Array) -> Any:
    """Return the size of a pulse in the direction of every change [w]: `unit` times the weight's own share of it.

    own [2, rows, cols] is what a pulse down and a pulse up move a weight by, relative to the nominal; None: 1.
    """
    return unit if own is None else unit * jnp.where(change > 0, own[1], own[0])


def deliver(
    xbar: Crossbar, signed: Array, dt: Any, key: Array | None, *, max_pulses: int = 1, sides: str = "both"
) -> tuple[Crossbar, Events]:
    """Write signed pulse counts [rows, cols], cut to +-max_pulses; returns (array, events)."""
    signed = keep(jnp.clip(signed, -max_pulses, max_pulses))  # counted, and spread over both devices
    pulses = spread(xbar, signed, sides)
    return crossbar.write(xbar, pulses, dt, key, max_pulses=max_pulses)


def spread(xbar: Crossbar, signed: Array, sides: str) -> Array:
    """Spread signed pulses [k, cols] over both devices of a weight or one: [P, k, cols]."""
    return push_pull(xbar, signed) if sides == "both" else one_sided(xbar, signed)


def changes(dw: Array | Outer) -> Array:
    """Count the weights a change reaches; a sum of k products counts k times."""
    if not isinstance(dw, Outer):
        return count(dw)
    pre, post = (jnp.sum(side != 0, axis=1, dtype=jnp.int32) for side in dw)
    return jnp.sum(pre * post, dtype=jnp.int32)


def number_of(mask: Array) -> Array:
    """Count the weights that a mask selects, as int32."""
    return jnp.sum(mask, dtype=jnp.int32)


def none_yet() -> Events:
    """Return a ledger of zeros, each an int32 array: what a loop starts to count from."""
    return Events(**{name: jnp.zeros((), jnp.int32) for name in vars(Events())})


def reached(xbar: Crossbar) -> Array:
    """Tell which weights are in an active tile [rows, cols]."""
    (m, n), (rows, cols) = xbar.tile, xbar.shape
    return jnp.repeat(jnp.repeat(xbar.active, m, axis=0), n, axis=1)[:rows, :cols]


def dtype(xbar: Crossbar) -> Any:
    """Return the devices' float type, which need not be the default one."""
    return jnp.result_type(float, *(leaf.dtype for leaf in jax.tree.leaves(xbar.state)))


def nothing(params: Any, xbar: Crossbar) -> tuple[()]:
    """Return the empty state: the programmer remembers nothing."""
    return ()
