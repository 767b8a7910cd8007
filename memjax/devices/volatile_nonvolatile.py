"""Volatile and non-volatile memory in one device: repeated stimulation consolidates the first into the second.

Two state variables in [0, 1]: short (short-term, decays in tau), long (long-term, retained).  s = |v| / v_write:
    v > 0:  short += s alpha_short (1 - short);   then   long += s alpha_long [short - threshold]+ (1 - long)
    v < 0:  short -= s alpha_short short;                long -= s alpha_erase long
    v = 0:  short exp(-dt / tau)                         long stays                      exact for any dt
Either path conducts; together they saturate (the complement of the product of the complements):
    i = [g_min + (g_max - g_min) (1 - (1 - short)(1 - long))] v
One pulse leaves a trace that fades; pulses that come faster than tau pile up in `short`, pass the threshold, and stay
in `long`.  Below the threshold, two pulses of s = 1 an interval T apart, from rest, give the paired-pulse ratio
    A2 / A1 = 1 + (1 - alpha_short) exp(-T / tau)
Source: the framework's sketch of a volatile and a non-volatile part (design note behind arXiv:2603.04934) names the
combination; the gate [short - threshold]+ is that of second-order memristors (Kim et al., Nano Lett. 15, 2203, 2015).
The functions and defaults are ours.
"""

import jax.numpy as jnp
from flax import struct

from memjax.devices.base import Device, Leaf, clip, fill, require


@struct.dataclass
class Params:
    g_min: Leaf = 1e-6  # S
    g_max: Leaf = 1e-3  # S
    tau: Leaf = 0.1  # s, decay of the short-term part
    alpha_short: Leaf = 0.2  # fraction of the way to the bound a pulse
    alpha_long: Leaf = 0.2  # the same, per unit of short above the threshold
    alpha_erase: Leaf = 0.1  # fraction of `long` that a depressing pulse removes
    threshold: Leaf = 0.4  # of `short`, for consolidation
    v_write: Leaf = 1.0  # V


@struct.dataclass
class State:
    short: Leaf
    long: Leaf


def init(params, x):
    long = fill(params, x)
    return State(short=jnp.zeros_like(long), long=long)


def current(params, state, v):
    total = state.short + state.long * (1 - state.short)
    return (params.g_min + (params.g_max - params.g_min) * total) * v


def relax(params, state, dt):
    return State(short=state.short * jnp.exp(-dt / params.tau), long=state.long + jnp.zeros_like(state.short))


def step(params, state, v, dt, key):
    pulse, rest = jnp.abs(v) / params.v_write, relax(params, state, dt)
    move = jnp.minimum(pulse * params.alpha_short, 1.0)
    raised = state.short + move * (1 - state.short)
    gate = jnp.maximum(raised - params.threshold, 0.0)
    grown = state.long + pulse * params.alpha_long * gate * (1 - state.long)
    erased = state.long - pulse * params.alpha_erase * state.long
    short = jnp.where(v > 0, raised, jnp.where(v < 0, state.short * (1 - move), rest.short))
    long = jnp.where(v > 0, grown, erased)
    return State(short=short, long=clip(long, 0.0, 1.0))


def bounds(params):
    return State(short=0.0, long=0.0), State(short=1.0, long=1.0)


def check(params):
    require(params, "g_min", lambda p: p.g_min >= 0, "0 S or more")
    require(params, "g_max", lambda p: p.g_max > p.g_min, "more than g_min")
    require(params, "tau", lambda p: p.tau > 0, "more than 0 s")
    for field in ("alpha_short", "alpha_long", "alpha_erase", "threshold"):
        require(params, field, lambda p, f=field: (getattr(p, f) >= 0) & (getattr(p, f) <= 1), "0 to 1")
    require(params, "v_write", lambda p: p.v_write > 0, "more than 0 V")


DEVICE = Device(
    "volatile_nonvolatile",
    Params,
    init,
    current,
    step,
    relax=relax,
    switching="programmed",
    volatile=True,
    bounds=bounds,
    check=check,
)
