"""Yakopcic: a generalised threshold memristor with a sinh current and motion that dies out towards the bounds.

    i = a1 x sinh(b v)  (v >= 0),   a2 x sinh(b v)  (v < 0),      dx/dt = g(v) f(x, v),   x in [0, 1]
    g = a_p (e^v - e^v_p)         v > v_p
    g = -a_n (e^-v - e^v_n)       v < -v_n        else 0,  v in volts
    f = exp(-alpha_p (x - x_p)) (1 - x) / (1 - x_p)       v > 0 and x >= x_p
    f = exp(alpha_n (x + x_n - 1)) x / (1 - x_n)          v < 0 and x <= 1 - x_n       else 1
with the paper's eta = 1 (its w_p = (x_p - x)/(1 - x_p) + 1 is (1 - x)/(1 - x_p)).  x = 0 conducts nothing.
A step is exact while f = 1, where x moves at a constant speed, and classical Runge-Kutta (rk4, order 4) from the kink
on, so that no stage straddles it.  The stages are held in [0, 1] and no step diverges, but one longer than
1 / |d rate / dx| is not accurate: `check_step` tells, and `simulate_adaptive` chooses its own steps.
Time scale: the rates grow as e^|v|, and the sets are far apart.  `characteristic_frequency`: 1.2 Hz (miao, 1 V), .06 Hz
(jo, 3 V), 440 Hz (oblea, .25 V).
Sets as used in public code; x0 is the state to start from: `init(params, INITIAL_X[name])`.
    miao    Miao et al., Adv. Mater. 23, 5633 (2011), TaOx.  For v_p = .09 V, far from v_n = .75 V, no second source
            was found.  With it a sweep to +.75 and -1.25 V at 1 Hz moves x between .43 and .92, and the loop is open
            on both sides, 35 and -55 mA; with .9 V instead that sweep would never SET, so it is kept.
    jo      Jo et al., Nano Lett. 10, 1297 (2010), Ag/a-Si
    oblea   Oblea et al., Proc. IJCNN (2010), Ag chalcogenide, under pulses
Source: Yakopcic et al., IEEE Electron Device Lett. 32, 1436 (2011), doi:10.1109/LED.2011.2163292.
"""

import jax.numpy as jnp
from flax import struct

from memjax.devices._solvers import advance
from memjax.devices.base import Device, Leaf, clip, fill, require


@struct.dataclass
class Params:
    a1: Leaf = 0.11  # A, v >= 0
    a2: Leaf = 0.11  # A, v < 0
    b: Leaf = 0.5  # 1/V
    a_p: Leaf = 7.5  # 1/s, speed above v_p
    a_n: Leaf = 2.0  # 1/s, speed below -v_n
    v_p: Leaf = 0.09  # V, threshold of SET
    v_n: Leaf = 0.75  # V, size of the threshold of RESET, which is at -v_n
    alpha_p: Leaf = 1.0  # 1, decay of the speed beyond x_p
    alpha_n: Leaf = 5.0  # 1, decay of the speed below 1 - x_n
    x_p: Leaf = 0.3  # 1
    x_n: Leaf = 0.5  # 1


# Python floats, so that no array outlives the user's settings.
PARAMETER_SETS = {
    "miao": Params(),
    "jo": Params(
        a1=3.7e-7, a2=4.35e-7, b=0.7, a_p=0.005, a_n=0.08, v_p=1.5, v_n=0.5, alpha_p=1.2, alpha_n=3.0, x_p=0.2, x_n=0.5
    ),
    "oblea": Params(
        a1=0.097, a2=0.097, b=0.05, a_p=4e3, a_n=4e3, v_p=0.16, v_n=0.15, alpha_p=1.0, alpha_n=5.0, x_p=0.3, x_n=0.5
    ),
}
INITIAL_X = {"miao": 0.11, "jo": 0.1, "oblea": 0.001}


@struct.dataclass
class State:
    x: Leaf  # 1


def init(params, x):
    return State(x=fill(params, x))


def current(params, state, v):
    return jnp.where(v >= 0, params.a1, params.a2) * state.x * jnp.sinh(params.b * v)


def _speeds(params, v):
    up = jnp.where(v > params.v_p, params.a_p * (jnp.exp(v) - jnp.exp(params.v_p)), 0.0)
    return up, jnp.where(v < -params.v_n, params.a_n * (jnp.exp(-v) - jnp.exp(params.v_n)), 0.0)


def rate(params, state, v):
    x, (up, down) = state.x, _speeds(params, v)
    slow_up = jnp.exp(-params.alpha_p * (x - params.x_p)) * (1 - x) / (1 - params.x_p)
    slow_down = jnp.exp(params.alpha_n * (x + params.x_n - 1)) * x / (1 - params.x_n)
    free = jnp.ones_like(x)
    return State(
        x=up * jnp.where(x >= params.x_p, slow_up, free) - down * jnp.where(x <= 1 - params.x_n, slow_down, free)
    )


def step(params, state, v, dt, key):
    up, down = _speeds(params, v)
    speed = up + down  # one of them is 0
    # How long f = 1 lasts: until x_p on the way up, until 1 - x_n on the way down.
    ahead = jnp.where(up > 0, params.x_p - state.x, state.x - (1 - params.x_n))
    free = clip(ahead / jnp.where(speed > 0, speed, 1.0), 0.0, dt)
    at_kink = State(x=state.x + (up - down) * free)
    return advance("rk4", rate, bounds, params, at_kink, v, dt - free)


def bounds(params):
    return State(x=0.0), State(x=1.0)


def check(params):
    require(params, "a1", lambda p: p.a1 > 0, "more than 0 A")
    require(params, "a2", lambda p: p.a2 > 0, "more than 0 A")
    require(params, "b", lambda p: p.b > 0, "more than 0 1/V")
    require(params, "a_p", lambda p: p.a_p > 0, "more than 0 1/s")
    require(params, "a_n", lambda p: p.a_n > 0, "more than 0 1/s")
    require(params, "v_p", lambda p: p.v_p >= 0, "0 V or more")
    require(params, "v_n", lambda p: p.v_n >= 0, "0 V or more: the size of the threshold, which is at -v_n")
    require(params, "alpha_p", lambda p: p.alpha_p >= 0, "0 or more")
    require(params, "alpha_n", lambda p: p.alpha_n >= 0, "0 or more")
    require(params, "x_p", lambda p: (p.x_p >= 0) & (p.x_p < 1), "0 or more, less than 1")
    require(params, "x_n", lambda p: (p.x_n >= 0) & (p.x_n < 1), "0 or more, less than 1")


DEVICE = Device("yakopcic", Params, init, current, step, rate=rate, bounds=bounds, check=check)
