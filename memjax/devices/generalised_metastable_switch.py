"""Generalised metastable switches: a population whose barriers are spread, with a conduction that grows with voltage.

    v > 0:  dx/dt = (1 - x) p_on / tau,   p_on = S((v - b_on) / s_on) - S(-b_on / s_on)
    v < 0:  dx/dt = -x p_off / tau,       p_off = S((-v - b_off) / s_off) - S(-b_off / s_off)
    b_on = v_on + w_on x,   b_off = v_off + w_off (1 - x)
    i = [x / r_on + (1 - x) / r_off] sinh(b v) / b,      S(u) = 1 / (1 + exp(-u)),  x in [0, 1]
The switches with the lowest barriers flip first, so the barrier of those that are next grows with the share that has
flipped, in the mean field by w (half the width of a uniform spread each way; w = 0 is one barrier).  s is the thermal
voltage k_B T / q over the share of the voltage that works on the barrier: 26 mV and up.  S at rest is subtracted:
nothing moves at 0 V.
A step freezes the barrier at the state that half a step leads to, and is exact but for that: order 2 in dt.
Time scale: tau above the barriers; below, slower by exp((b_on - v) / s_on) to begin with.
Source: the two-state switch and its generalisation by a second conduction in parallel: Nugent and Molter, PLoS ONE 9,
e85175 (2014), doi:10.1371/journal.pone.0085175, and Molter and Nugent, Proc. CNNA (2016).  The spread of the barriers,
the two thermal voltages and the sinh (for their diode pair) are ours; the defaults are a fit to loops of a Knowm
self-directed-channel device at 10 and 100 Hz (`experiments/fits`).
"""

import jax
import jax.numpy as jnp
from flax import struct

from memjax.devices.base import Device, Leaf, clip, fill, require


@struct.dataclass
class Params:
    tau: Leaf = 1e-6  # s, of a switch far above its barrier
    v_on: Leaf = 0.45  # V, lowest barrier of switching on
    v_off: Leaf = 0.05  # V, lowest barrier of switching off (at v = -v_off)
    s_on: Leaf = 0.03  # V, thermal voltage
    s_off: Leaf = 0.02  # V, thermal voltage
    w_on: Leaf = 0.1  # V, how much higher the last barrier of switching on is
    w_off: Leaf = 0.3  # V, how much higher the last barrier of switching off is
    r_on: Leaf = 2.3e3  # ohm, all switches on
    r_off: Leaf = 100e3  # ohm, all switches off
    b: Leaf = 2.0  # 1/V, curvature of the current


@struct.dataclass
class State:
    x: Leaf  # 1, share of the switches that are on


def init(params, x):
    return State(x=fill(params, x))


def current(params, state, v):
    return (state.x / params.r_on + (1 - state.x) / params.r_off) * jnp.sinh(params.b * v) / params.b


def _speeds(params, x, v):
    """Return p_on / tau and p_off / tau at the state x; at most one of them is above 0."""
    on, off = params.v_on + params.w_on * x, params.v_off + params.w_off * (1 - x)

    def flips(v, barrier, s):
        above = jax.nn.sigmoid((v - barrier) / s) - jax.nn.sigmoid(-barrier / s)
        return jnp.maximum(above, 0.0) / params.tau

    return flips(v, on, params.s_on), flips(-v, off, params.s_off)


def rate(params, state, v):
    up, down = _speeds(params, state.x, v)
    return State(x=up * (1 - state.x) - down * state.x)


def step(params, state, v, dt, key):
    def frozen(barrier_at, dt):
        up, down = _speeds(params, barrier_at, v)
        risen = state.x + (1 - state.x) * -jnp.expm1(-up * dt)
        return clip(risen * jnp.exp(-down * dt), 0.0, 1.0)

    return State(x=frozen(frozen(state.x, dt / 2), dt))


def bounds(params):
    return State(x=0.0), State(x=1.0)


def check(params):
    for field in ("tau", "s_on", "s_off", "r_on", "b"):
        unit = {"tau": "s", "r_on": "ohm", "b": "1/V"}.get(field, "V")
        require(params, field, lambda p, field=field: getattr(p, field) > 0, f"more than 0 {unit}")
    for field in ("v_on", "v_off"):
        require(params, field, lambda p, field=field: getattr(p, field) >= 0, "0 V or more: the size of the barrier")
    for field in ("w_on", "w_off"):
        require(params, field, lambda p, field=field: abs(getattr(p, field)) < float("inf"), "a finite voltage")
    require(params, "r_off", lambda p: p.r_off > p.r_on, "more than r_on")


DEVICE = Device("generalised_metastable_switch", Params, init, current, step, rate=rate, bounds=bounds, check=check)
