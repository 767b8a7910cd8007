"""Second-order memristor: a volatile internal state that gates a non-volatile one.

    ds/dt = [u |u| - (1 + u^2) s] / tau_s,  u = v / v_s      s in [-1, 1]: mobile ions displaced, they return in tau_s
    dw/dt = k [s - s_th]+ (1 - w) - k [-s - s_th]+ w         w in [0, 1]: the filament, which stays
    i = [g_min + (g_max - g_min) (w + eta (s+ (1 - w) - s- w))] v,      s+ = [s]+, s- = [-s]+
The volatile state conducts too, with the share eta.  A pulse leaves a trace that fades; pulses that come faster than
tau_s pile up, pass s_th, and move w: paired-pulse facilitation and spike-rate-dependent plasticity (SRDP) come out of
the physics.  A negative voltage depresses through the same gate.
A step is exact for constant voltage whatever dt is.  s goes to s_inf = u |u| / (1 + u^2) at the rate
lambda = (1 + u^2) / tau_s, passing each threshold at most once, at exp(-lambda t) = (s_th - s_inf) / (s - s_inf), and
    1 - w' = (1 - w) exp(-k int [s - s_th]+ dt),      w' = w exp(-k int [-s - s_th]+ dt)
with the integrals of an exponential.  Below the gate, from rest, two pulses of length d at an interval T (from end to
start) give the paired-pulse ratio A2 / A1 = 1 + exp(-lambda d - T / tau_s).
Source: the gate is that of Kim et al., Nano Lett. 15, 2203 (2015), where s is the temperature left by earlier pulses.
The signed s, the functions and the defaults are ours.
"""

import jax.numpy as jnp
from flax import struct

from memjax.devices._phi import phi1
from memjax.devices.base import Device, Leaf, fill, require


@struct.dataclass
class Params:
    g_min: Leaf = 1e-6  # S
    g_max: Leaf = 1e-3  # S
    tau_s: Leaf = 0.05  # s, decay of the volatile state
    v_s: Leaf = 0.5  # V, held for long it brings s to 1/2
    s_th: Leaf = 0.4  # 1, threshold of the gate, on |s|
    k: Leaf = 10.0  # 1/s, rate of the non-volatile state per unit of s above the threshold
    eta: Leaf = 0.3  # 1, share of the volatile state in the conductance


@struct.dataclass
class State:
    s: Leaf  # 1, volatile
    w: Leaf  # 1, non-volatile


def init(params, x):
    w = fill(params, x)
    return State(s=jnp.zeros_like(w), w=w)


def current(params, state, v):
    up, down = jnp.maximum(state.s, 0.0), jnp.maximum(-state.s, 0.0)
    share = state.w + params.eta * (up * (1 - state.w) - down * state.w)
    return (params.g_min + (params.g_max - params.g_min) * share) * v


def rate(params, state, v):
    u, s, w = v / params.v_s, state.s, state.w
    grow, shrink = jnp.maximum(s - params.s_th, 0.0), jnp.maximum(-s - params.s_th, 0.0)
    return State(
        s=(u * jnp.abs(u) - (1 + u**2) * s) / params.tau_s,
        w=params.k * (grow * (1 - w) - shrink * w),
    )


def _above(start, end, fast, dt, threshold):
    """Return the integral over dt [s] of [s - threshold]+, s going from start to end with the rate fast [1/s]."""
    first, last = start > threshold, end > threshold
    crosses = first != last
    # Where s does not cross, the logarithm gets an argument of 1: no nan, in the value or in its derivative.
    ratio = jnp.where(crosses, (start - end) / jnp.where(crosses, threshold - end, jnp.ones_like(start)), 1.0)
    crossing = jnp.minimum(jnp.log(jnp.maximum(ratio, 1.0)) / fast, dt)
    length = jnp.where(first, jnp.where(last, dt, crossing), jnp.where(last, dt - crossing, 0.0))
    begin = jnp.where(first, start, threshold)
    return length * ((begin - threshold) + (end - begin) * (1 - phi1(fast * length)))


def step(params, state, v, dt, key):
    u, s, w = v / params.v_s, state.s, state.w
    end, fast = u * jnp.abs(u) / (1 + u**2), (1 + u**2) / params.tau_s
    end, fast = end + jnp.zeros_like(s), fast + jnp.zeros_like(s)
    keep = jnp.exp(-params.k * _above(s, end, fast, dt, params.s_th))  # of 1 - w
    lose = jnp.exp(-params.k * _above(-s, -end, fast, dt, params.s_th))  # of w
    # s moves one way in a step: the gate that it starts in comes first.
    first_down = (1 - keep) + keep * lose * w  # down, then up
    first_up = lose * ((1 - keep) + keep * w)  # up, then down
    moved = jnp.where(end > s, first_down, first_up)
    return State(s=end + (s - end) * jnp.exp(-fast * dt), w=moved + jnp.zeros_like(w))


def relax(params, state, dt):
    return step(params, state, 0.0, dt, None)


def bounds(params):
    return State(s=-1.0, w=0.0), State(s=1.0, w=1.0)


def check(params):
    require(params, "g_min", lambda p: p.g_min >= 0, "0 S or more")
    require(params, "g_max", lambda p: p.g_max > p.g_min, "more than g_min")
    require(params, "tau_s", lambda p: p.tau_s > 0, "more than 0 s")
    require(params, "v_s", lambda p: p.v_s > 0, "more than 0 V")
    require(params, "s_th", lambda p: (p.s_th >= 0) & (p.s_th < 1), "0 or more and less than 1")
    require(params, "k", lambda p: p.k >= 0, "0 1/s or more")
    require(params, "eta", lambda p: (p.eta >= 0) & (p.eta <= 1), "0 to 1")


DEVICE = Device(
    "second_order",
    Params,
    init,
    current,
    step,
    rate=rate,
    relax=relax,
    volatile=True,
    bounds=bounds,
    check=check,
)
