"""Programming without a look: every device gets, once, the train of pulses that a nominal device would need.

Two staircases of the nominal device, the positions x = (g - g(0)) / (g(1) - g(0)) after k equal pulses from either end,

    up_0 = 0, up_1, up_2, ...        down_0 = 1, down_1, down_2, ...

say how many pulses lead from x to y: N_up(y) - N_up(x) where y > x, and N_down(x) - N_down(y), negative, where y < x,
with N(x) the number of pulses at which a staircase passes x, interpolated. Trains are whole pulses.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import crossbar
from memjax.crossbar import Crossbar
from memjax.devices.base import Device, conductance
from memjax.energy import Events


@struct.dataclass
class Staircase:
    """Positions of a nominal device after 0, 1, 2, ... pulses: up from x = 0 and down from x = 1 [n]."""

    up: Array
    down: Array


def staircase(
    device: Device, params: Any, v_read: Any = 0.1, v_write: Any = 1.0, dt: Any = 1e-8, *, most: int = 256
) -> Staircase:
    """Pulse a nominal device up and down its range; most: pulses a train may have, where it ends before the bound.

    device is the bare model (no C2C wrapper) and params its nominal device.
    """

    def position(state):
        g = conductance(device, params, state, v_read)
        low, high = (conductance(device, params, device.init(params, x), v_read) for x in (0.0, 1.0))
        return (g - low) / (high - low)

    def stairs(x, sign):
        def pulse(state, _):
            return device.step(params, state, jnp.full_like(position(state), sign * v_write), dt, None), position(state)

        return jax.lax.scan(pulse, device.init(params, x), None, length=most + 1)[1]

    zero = jnp.zeros((), jnp.result_type(float))
    return Staircase(up=stairs(zero, 1), down=stairs(zero + 1, -1))


def pulses_between(stairs: Staircase, start: Array, end: Array) -> Array:
    """Return the signed number of pulses, not rounded, that take a nominal device from start to end, of one shape."""
    up = _number(stairs.up, end) - _number(stairs.up, start)
    # Searched as a rising staircase, from the other end of the range.
    down = _number(1 - stairs.down, 1 - end) - _number(1 - stairs.down, 1 - start)
    return jnp.where(end > start, jnp.maximum(up, 0), -jnp.maximum(down, 0))


def open_loop(
    stairs: Staircase, xbar: Crossbar, start: Array, end: Array, dt: Any, key: Array | None
) -> tuple[Crossbar, Events]:
    """Send every device the whole pulses that take a nominal one from start to end [P, rows, cols]."""
    return crossbar.write(xbar, jnp.round(pulses_between(stairs, start, end)), dt, key)


def _number(rising: Array, x: Array) -> Array:
    """Return at which number of pulses, interpolated, a rising staircase first passes x; at most all of them."""
    above = jnp.clip(jnp.searchsorted(rising, x, side="left"), 1, len(rising) - 1)
    low, high = rising[above - 1], rising[above]
    share = jnp.where(high > low, (x - low) / jnp.where(high > low, high - low, 1), 1)
    return above.astype(x.dtype) - 1 + jnp.clip(share, 0, 1)
