"""1T1R: one transistor, one resistive device; the gate voltage sets the compliance current."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax.devices._cells._cell import cell
from memjax.devices.base import Device, require


@cache
def one_transistor(device: Device) -> Device:
    """Put an n-channel transistor in series with a device, between it and the source line: a 1T1R cell.

    Square law, symmetric in source and drain (triode and saturation in one; potentials against the lower line):
        i = k/2 ([v_gate - v_th - v_s]+^2 - [v_gate - v_th - v_d]+^2)
    v > 0 (SET) raises the bit line: v_s = 0, v_d = v - u, with u the device's voltage.  The current saturates at the
    compliance k/2 [v_gate - v_th]+^2, whatever the device does.
    v < 0 (RESET) raises the source line, since arrays have no negative lines: the node between is the source,
    v_s = |u|, v_d = |v|, so the gate loses what the device takes: a full RESET needs a gate voltage well above |v|.
    u is solved in every step from the state at its start (bracketed Newton, implicit derivatives) and held over it:
    order 1 in dt, so let dt resolve an abrupt SET, or it passes the compliance.

    Params: inner, v_gate (V), v_th (V), k (A/V^2), all traced; arrays of the state's rank give every cell its own gate.
    State: the inner one.
    Source: Shichman and Hodges, IEEE J. Solid-State Circuits 3, 285 (1968), doi:10.1109/JSSC.1968.1049902.
    """

    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        v_gate: Any = 1.5
        v_th: Any = 0.5
        k: Any = 1e-3

    def partner_current(params, u, v):
        over, zero = params.v_gate - params.v_th, jnp.zeros_like(v)
        source = jnp.where(v < 0, -u, zero)
        drain = jnp.where(v < 0, -v, v - u)
        square = jnp.maximum(over - source, 0.0) ** 2 - jnp.maximum(over - drain, 0.0) ** 2
        return jnp.where(v < 0, -params.k, params.k) / 2 * square

    def residual(params, i, u, v):
        return i - partner_current(params, u, v)

    def check(params):
        require(params, "v_gate", lambda p: p.v_gate >= 0, "0 V or more")
        require(params, "v_th", lambda p: p.v_th >= 0, "0 V or more")
        require(params, "k", lambda p: p.k > 0, "more than 0 A/V^2")

    return cell(device, "1t", Params, check, residual, partner_current)


def compliance(params: Any) -> jax.Array:
    """Return the largest SET current [A] of a 1T1R cell, k/2 [v_gate - v_th]+^2."""
    return params.k / 2 * jnp.maximum(params.v_gate - params.v_th, 0.0) ** 2
