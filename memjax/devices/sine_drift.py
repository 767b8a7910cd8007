"""Sine drift: the memristor of the visual network, driven by the sine of the voltage.

    w' = clip(w + beta sin(v) dt, 0, 1),   R = r_on w + r_off (1 - w),   i = v / R,   phi' = phi + v dt
Exact over a step of constant voltage.  A positive v raises conductance for |v| < pi (sin is read in radians of volts).
Its text writes R' = R + alpha sin(v) dt: the same while unclipped, with alpha = -beta (r_off - r_on) = -4.95 ohm/s.
Source: dynamic visualisation of memristor synapses, preprint, 17 May 2024; the form of its code.
"""

import jax
import jax.numpy as jnp
from flax import struct

from memjax.devices.base import Chart, Device, Leaf, clip, fill, require


@struct.dataclass
class Params:
    r_on: Leaf = 0.1  # ohm
    r_off: Leaf = 10.0  # ohm
    beta: Leaf = 0.5  # 1/s


@struct.dataclass
class State:
    w: Leaf  # 1, share of the low-resistance phase
    phi: Leaf  # V s, flux since the start: a record, without bounds


def init(params, x):
    w = fill(params, x)
    return State(w=w, phi=jnp.zeros_like(w))


def current(params, state, v):
    return v / (params.r_on * state.w + params.r_off * (1 - state.w))


def rate(params, state, v):
    return State(w=params.beta * jnp.sin(v), phi=v)


def _drive(params, v, dt):
    return jax.tree.map(lambda slope: slope * dt, rate(params, None, v))


def _advance(params, state, move):
    return State(w=clip(state.w + move.w, 0.0, 1.0), phi=state.phi + move.phi)


def step(params, state, v, dt, key):
    return _advance(params, state, _drive(params, v, dt))


def bounds(params):
    return State(w=0.0, phi=-float("inf")), State(w=1.0, phi=float("inf"))


def check(params):
    require(params, "r_on", lambda p: p.r_on > 0, "more than 0 ohm")
    require(params, "r_off", lambda p: p.r_off > p.r_on, "more than r_on")
    require(params, "beta", lambda p: p.beta > 0, "more than 0 1/s")


DEVICE = Device(
    "sine_drift",
    Params,
    init,
    current,
    step,
    rate=rate,
    bounds=bounds,
    check=check,
    chart=Chart(step, _drive, _advance),
)
