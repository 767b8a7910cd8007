"""Volatile memristor of the modular framework: a conductance that pulses move and that decays in tau.

A pulse moves g by a fraction of its distance to the bound, rest lets it relax:
    v > 0:  g += alpha_pot (g_max - g)
    v < 0:  g -= alpha_dep (g - g_min)
    v = 0:  g_min + (g - g_min) exp(-dt / tau)          exact for any dt
    i = g v
`spike_step` is the framework's own table, driven by the two spike lines of a synapse, with Euler decay:
    pre post   1 1: 0    1 0: -alpha_dep (g - g_min)    0 1: +alpha_pot (g_max - g)    0 0: -(g - g_min) dt / tau
It has no spike timing, and at its defaults decay beats a pulse (1e-2 of the distance a 1 ms step against 1e-3).
Source: the design note behind the modular framework of arXiv:2603.04934, table of the volatile memristor.
"""

import jax.numpy as jnp
from flax import struct

from memjax.devices.base import Device, Leaf, clip, fill, require


@struct.dataclass
class Params:
    g_min: Leaf = 1e-6  # S
    g_max: Leaf = 1e-3  # S
    tau: Leaf = 0.1  # s, decay towards g_min
    alpha_pot: Leaf = 1e-3  # fraction of the distance to g_max a pulse
    alpha_dep: Leaf = 1e-3  # fraction of the distance to g_min a pulse


@struct.dataclass
class State:
    g: Leaf  # S


def init(params, x):
    return State(g=params.g_min + (params.g_max - params.g_min) * fill(params, x))


def current(params, state, v):
    return state.g * v


def relax(params, state, dt):
    return State(g=params.g_min + (state.g - params.g_min) * jnp.exp(-dt / params.tau))


def step(params, state, v, dt, key):
    g = state.g
    up, down = g + params.alpha_pot * (params.g_max - g), g - params.alpha_dep * (g - params.g_min)
    new = jnp.where(v > 0, up, jnp.where(v < 0, down, relax(params, state, dt).g))
    return State(g=clip(new, params.g_min, params.g_max))


def spike_step(params, state, pre, post, dt):
    """Apply the framework's table to 0/1 spike arrays pre, post (any real dtype, broadcast against g) over dt [s]."""
    g, pre, post = state.g, jnp.asarray(pre).astype(bool), jnp.asarray(post).astype(bool)
    alone = jnp.where(pre, -params.alpha_dep * (g - params.g_min), params.alpha_pot * (params.g_max - g))
    change = jnp.where(pre | post, alone, -(g - params.g_min) * dt / params.tau)
    new = g + jnp.where(pre & post, jnp.zeros_like(change), change)
    return State(g=clip(new, params.g_min, params.g_max))


def bounds(params):
    return State(g=params.g_min), State(g=params.g_max)


def check(params):
    require(params, "g_min", lambda p: p.g_min >= 0, "0 S or more")
    require(params, "g_max", lambda p: p.g_max > p.g_min, "more than g_min")
    require(params, "tau", lambda p: p.tau > 0, "more than 0 s")
    require(params, "alpha_pot", lambda p: (p.alpha_pot >= 0) & (p.alpha_pot <= 1), "0 to 1")
    require(params, "alpha_dep", lambda p: (p.alpha_dep >= 0) & (p.alpha_dep <= 1), "0 to 1")


DEVICE = Device(
    "volatile",
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
