"""The measuring circuit: a drive, a resistor in series, and the device with a capacitance in parallel.

    u = v + R (i(state, v) + C dv/dt)
The measured current is that through the resistor.  A step of length h is implicit in the voltage and the device's own
step in the state,
    state' = step(state, v', h),      u' = v' + R (i(state', v') + C (v' - v) / h)
a scalar equation for v' whatever the number of states: where the resistor limits the current while the device switches,
the voltage and the state hold each other, which is stiff, and an explicit step would ring.  It is solved by Newton's
method kept inside a bracket; the last Newton step is the only one that is differentiated, which gives the derivative of
the implicit function at the price of one evaluation.  First order in h: `substeps` divide every sample's interval.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from memjax.devices.base import Device

NEWTON = 60  # iterations at most; forty bisections reach the tolerance, and Newton's method needs about five
# V.  The state of a steep model moves by as much as 1e3 times the root of an error of the voltage.
TOLERANCE = 1e-12


class Response(NamedTuple):
    current: Array  # [T] A, through the resistor
    voltage: Array  # [T] V, across the device
    state: Any  # after the last sample


def respond(
    device: Device, params: Any, state: Any, drive, dt, r_series, capacitance, *, substeps: int = 2
) -> Response:
    """Drive the circuit -> Response at the T samples of the drive.

    drive [T] in V; dt [T - 1] in s, between the samples; r_series, capacitance [] in ohm and F; state: at the first
    sample, where the capacitance is taken to carry no current.
    """

    def error(new, given):
        params, state, v, u, h, r, c = given
        moved = device.step(params, state, new, h, None)
        return new + r * (device.current(params, moved, new) + c * (new - v) / h) - u

    def at_rest(new, given):
        params, state, u, r = given
        return new + r * device.current(params, state, new) - u

    def sample(carry, inputs):
        (state, v), (before, after, dt) = carry, inputs
        h = dt / substeps
        for k in range(substeps):
            u = before + (after - before) * ((k + 1) / substeps)
            given = (params, state, v, u, h, r_series, capacitance)
            last, v = v, _root(error, v, u, given)
            state = device.step(params, state, v, h, None)
        return (state, v), (device.current(params, state, v) + capacitance * (v - last) / h, v)

    v = _root(at_rest, drive[0], drive[0], (params, state, drive[0], r_series))
    first = device.current(params, state, v)
    (state, _), (current, voltage) = lax.scan(sample, (state, v), (drive[:-1], drive[1:], dt))
    return Response(jnp.append(first, current), jnp.append(v, voltage), state)


def _root(error, v, u, given):
    """Solve error(v, given) = 0, rising through 0 between v, u and 0."""
    fixed, tolerance = lax.stop_gradient(given), max(TOLERANCE, 8 * float(jnp.finfo(jnp.result_type(u)).eps))

    def slope(x, given):
        return jax.jvp(lambda x: error(x, given), (x,), (jnp.ones_like(x),))

    def refine(carry):
        n, x, lo, hi, move = carry
        e, de = slope(x, fixed)
        lo, hi = jnp.where(e < 0, x, lo), jnp.where(e > 0, x, hi)
        newton = -e / de
        inside = (
            (x + newton >= lo) & (x + newton <= hi) & (jnp.abs(newton) <= jnp.maximum(jnp.abs(move) / 2, tolerance))
        )
        move = jnp.where(inside, newton, (lo + hi) / 2 - x)
        return n + 1, x + move, lo, hi, move

    def unfinished(carry):
        n, _, _, _, move = carry
        return (n < NEWTON) & jnp.any(jnp.abs(move) > tolerance)

    v, u = lax.stop_gradient((v, u))
    zero = jnp.zeros_like(u)
    lo, hi = jnp.minimum(jnp.minimum(u, v), zero), jnp.maximum(jnp.maximum(u, v), zero)
    x = lax.while_loop(unfinished, refine, (0, v, lo, hi, jnp.full_like(v, jnp.inf)))[1]
    de = slope(x, fixed)[1]
    return x - error(x, given) / de
