"""1S1R: one selector, one resistive device."""

from functools import cache
from typing import Any

import jax.numpy as jnp
from flax import struct

from memjax.devices._cells._cell import cell
from memjax.devices.base import Device, require


@cache
def one_selector(device: Device) -> Device:
    """Put a bidirectional threshold selector in series with a device: a 1S1R cell.

    Exponential law  i = i_0 sinh(v_sel / v_0),  v = u + v_sel, with u the device's voltage.  Nothing much flows until
    v_sel passes v_0 ln(2 i / i_0): with the defaults .74 V at 1 uA, and 92 mV more for every decade of current.  So a
    cell at half its voltage (half-selected) leaks less than its half: where the selector takes all of the voltage,
    i(v) / i(v/2) is 2 cosh(v / (2 v_0)).
    u is solved in every step from the state at its start (bracketed Newton, implicit derivatives) and held over it.

    Params: inner, i_0 (A), v_0 (V), both traced.  State: the inner one.
    Source of the law: exponential (MIEC) selectors, Burr et al., J. Vac. Sci. Technol. B 32, 040802 (2014),
    doi:10.1116/1.4889999; the default values are ours.
    """

    @struct.dataclass
    class Params:
        inner: Any = struct.field(default_factory=device.Params)
        i_0: Any = 2e-14
        v_0: Any = 0.04

    def residual(params, i, u, v):
        # As a sum of voltages: a sinh of the missing voltage would overflow, and its slope would swamp Newton's step.
        return u + params.v_0 * jnp.arcsinh(i / params.i_0) - v

    def partner_current(params, u, v):
        return params.i_0 * jnp.sinh((v - u) / params.v_0)

    def check(params):
        require(params, "i_0", lambda p: p.i_0 > 0, "more than 0 A")
        require(params, "v_0", lambda p: p.v_0 > 0, "more than 0 V")

    return cell(device, "1s", Params, check, residual, partner_current)
