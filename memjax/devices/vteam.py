"""VTEAM: a voltage-threshold memristor, at rest between its two thresholds.

    dx/dt = (k_on / d) (v / v_on - 1)^alpha_on          v > v_on > 0       SET
    dx/dt = -(k_off / d) (v / v_off - 1)^alpha_off      v < v_off < 0      RESET
    dx/dt = 0                                           between            x in [0, 1]
    i = v / R,   R = r_on x + r_off (1 - x)
The paper writes the opposite sign: w = d (1 - x), v_paper = -v, k_on < 0.  So its v_on = -1.5 V, v_off = 0.3 V,
k_on = -216.2 m/s are 1.5 V, -0.3 V and 216.2 m/s here.
No window: the rate depends on the voltage alone, and a step is exact for any dt, x + (dx/dt) dt clipped to [0, 1].
Time scale: from 0 to 1 in 1.1 ns at 2 V and from 1 to 0 in 32 ps at -2 V; 11 us at 1.55 V.
`characteristic_frequency`: 1.8 GHz at 2 V.
Source: Kvatinsky et al., IEEE T. Circuits Syst. II 62, 786 (2015), doi:10.1109/TCSII.2015.2433536; the parameter set
is the one in circulation with public code.
"""

import jax.numpy as jnp
from flax import struct

from memjax.devices.base import Chart, Device, Leaf, clip, fill, require


@struct.dataclass
class Params:
    k_on: Leaf = 216.2  # m/s, speed scale of SET
    k_off: Leaf = 0.091  # m/s, speed scale of RESET
    alpha_on: Leaf = 4.0  # 1
    alpha_off: Leaf = 4.0  # 1
    v_on: Leaf = 1.5  # V, threshold of SET
    v_off: Leaf = -0.3  # V, threshold of RESET
    r_on: Leaf = 1e3  # ohm
    r_off: Leaf = 300e3  # ohm
    d: Leaf = 3e-9  # m, film thickness


@struct.dataclass
class State:
    x: Leaf  # 1, 1 - w / d


def init(params, x):
    return State(x=fill(params, x))


def current(params, state, v):
    return v / (params.r_on * state.x + params.r_off * (1 - state.x))


def _speed(v, threshold, k, alpha, beyond):
    # The base is 1 where the threshold is not passed: a power of 0 has no finite derivative for alpha < 1.
    ratio = jnp.where(beyond, v / threshold - 1, 1.0)
    return jnp.where(beyond, k * ratio**alpha, 0.0)


def rate(params, state, v):
    up = _speed(v, params.v_on, params.k_on, params.alpha_on, v > params.v_on)
    down = _speed(v, params.v_off, params.k_off, params.alpha_off, v < params.v_off)
    return State(x=(up - down) / params.d)


def _drive(params, v, dt):
    return rate(params, None, v).x * dt


def _advance(params, state, move):
    return State(x=clip(state.x + move, 0.0, 1.0))


def step(params, state, v, dt, key):
    return _advance(params, state, _drive(params, v, dt))


def bounds(params):
    return State(x=0.0), State(x=1.0)


def check(params):
    require(params, "k_on", lambda p: p.k_on > 0, "more than 0 m/s (the paper's -k_on)")
    require(params, "k_off", lambda p: p.k_off > 0, "more than 0 m/s")
    require(params, "alpha_on", lambda p: p.alpha_on > 0, "more than 0")
    require(params, "alpha_off", lambda p: p.alpha_off > 0, "more than 0")
    require(params, "v_on", lambda p: p.v_on > 0, "more than 0 V (the paper's -v_on)")
    require(params, "v_off", lambda p: p.v_off < 0, "less than 0 V (the paper's -v_off)")
    require(params, "r_on", lambda p: p.r_on > 0, "more than 0 ohm")
    require(params, "r_off", lambda p: p.r_off > p.r_on, "more than r_on")
    require(params, "d", lambda p: p.d > 0, "more than 0 m")


DEVICE = Device(
    "vteam", Params, init, current, step, rate=rate, bounds=bounds, check=check, chart=Chart(step, _drive, _advance)
)
