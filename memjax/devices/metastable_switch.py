"""Metastable switches in the mean field: a share x of two-state switches is on, each flips over a thermal barrier.

    dx/dt = (1/tau) [p_on (1 - x) - p_off x]                                            x in [0, 1]
    p_on = 1 / (1 + exp(-(v - v_on) / V_T)),   p_off = 1 / (1 + exp(-(-v - v_off) / V_T)),   V_T = k_B T / q
    i = [x / r_on + (1 - x) / r_off] v
A linear equation in x at constant voltage, so a step is exact for any dt:
    x' = x_inf + (x - x_inf) exp(-k dt),    k = (p_on + p_off) / tau,    x_inf = p_on / (p_on + p_off)
Volatile: at rest x goes to x_inf = 1/2 for equal barriers, with the time constant 1 / k = 1.8 s.
Time scale: tau = 0.1 ms above the barriers, 1.8 s at rest, and anything between.
`characteristic_frequency`: 9 kHz at 1 V, 7 kHz at .3 V.
Source: Nugent and Molter, PLoS ONE 9, e85175 (2014), doi:10.1371/journal.pone.0085175; the numbers are those of the
Knowm self-directed-channel device.
"""

import jax
import jax.numpy as jnp
from flax import struct

from memjax.devices.base import Chart, Device, Leaf, clip, fill, require

K_B_OVER_Q = 1.380649e-23 / 1.602176634e-19  # V/K, exact in the SI


@struct.dataclass
class Params:
    tau: Leaf = 1e-4  # s, of a switch far above its barrier
    v_on: Leaf = 0.27  # V, barrier of switching on
    v_off: Leaf = 0.27  # V, barrier of switching off (at v = -v_off)
    r_on: Leaf = 500.0  # ohm, all switches on
    r_off: Leaf = 1500.0  # ohm, all switches off
    temperature: Leaf = 298.5  # K


@struct.dataclass
class State:
    x: Leaf  # 1, share of the switches that are on


def init(params, x):
    return State(x=fill(params, x))


def current(params, state, v):
    return (state.x / params.r_on + (1 - state.x) / params.r_off) * v


def _probabilities(params, v):
    thermal = K_B_OVER_Q * params.temperature
    return jax.nn.sigmoid((v - params.v_on) / thermal), jax.nn.sigmoid((-v - params.v_off) / thermal)


def rate(params, state, v):
    p_on, p_off = _probabilities(params, v)
    return State(x=(p_on * (1 - state.x) - p_off * state.x) / params.tau)


def relax(params, state, dt):
    return step(params, state, 0.0, dt, None)


def _drive(params, v, dt):
    """Return where x settles at v, and the share of the way there that dt takes."""
    p_on, p_off = _probabilities(params, v)
    total = p_on + p_off
    # Far below both barriers, or in the cold, both underflow: nothing moves, wherever it would settle.
    return p_on / jnp.where(total > 0, total, 1.0), -jnp.expm1(-total * dt / params.tau)


def _advance(params, state, drive):
    settled, share = drive
    return State(x=clip(state.x + (settled - state.x) * share, 0.0, 1.0))


def step(params, state, v, dt, key):
    return _advance(params, state, _drive(params, v, dt))


def bounds(params):
    return State(x=0.0), State(x=1.0)


def check(params):
    require(params, "tau", lambda p: p.tau > 0, "more than 0 s")
    require(params, "v_on", lambda p: p.v_on > 0, "more than 0 V")
    require(params, "v_off", lambda p: p.v_off > 0, "more than 0 V: the size of the barrier, not the voltage -v_off")
    require(params, "r_on", lambda p: p.r_on > 0, "more than 0 ohm")
    require(params, "r_off", lambda p: p.r_off > p.r_on, "more than r_on")
    require(params, "temperature", lambda p: p.temperature > 0, "more than 0 K")


DEVICE = Device(
    "metastable_switch",
    Params,
    init,
    current,
    step,
    rate=rate,
    relax=relax,
    volatile=True,
    bounds=bounds,
    check=check,
    chart=Chart(step, _drive, _advance),
)
