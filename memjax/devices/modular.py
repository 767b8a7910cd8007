"""Modular memristor: a drive, a memory of any number of relaxation modes, and a saturation, each exchangeable.

    drive        f(v), odd, in 1/s
    memory       dx_k/dt = f(v) - x_k / tau_k        tau_k = inf: the non-volatile mode
    cumulation   u = sum_k c_k x_k
    saturation   g = g_min + (g_max - g_min) s(u),  s rising from 0 to 1, s(0) = 1/2, s'(0) = 1/2;   i = g v
The memory is a Prony series (the generalised Maxwell model): after a pulse of area F = integral f dt, shorter than
every tau, u relaxes as F sum_k c_k exp(-t / tau_k); `memjax.prony` turns a power law or a stretched exponential into
such a series.  A step is exact for constant voltage whatever dt is:
    x_k' = x_k exp(-dt / tau_k) + f(v) tau_k (1 - exp(-dt / tau_k)),     x_k + f(v) dt where tau_k = inf
x_k is linear in f, so it is unbounded, below zero too; the saturation keeps g between g_min and g_max.
The parts, by name (`with_parts`):
    drive        "sinh"              rate sinh(v / v0)
                 "linear"            rate v / v0
                 "threshold_linear"  rate sgn(v) [|v| / v0 - 1]+          nothing moves below v0
    saturation   "tanh"              (1 + tanh u) / 2
                 "exponential"       exp(u) / 2 below 0, 1 - exp(-u) / 2 above: a fixed share of what is left a pulse
                 "algebraic"         (1 + u / sqrt(1 + u^2)) / 2: the slowest approach
Source: Habart et al., "Modular memristor model with synaptic-like plasticity and volatile memory", arXiv:2603.04934.
Theirs are the modules: state dynamics, a cumulative conductance, volatility after linear viscoelasticity, saturation
after the linear-nonlinear technique.  The functions above and the defaults are ours.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.core import Tracer

from memjax.devices._phi import approach
from memjax.devices.base import Device, Leaf, accept, fill, require

EDGE = 1e-3  # init maps x = 0 and 1 to this share of the range from its ends, which a saturation reaches at infinity


@struct.dataclass
class Params:
    """A mode is an entry of tau and one of c, so that each leaf is a scalar or has the state's rank."""

    g_min: Leaf = 1e-6  # S
    g_max: Leaf = 1e-3  # S
    rate: Leaf = 1.0  # 1/s, of the drive
    v0: Leaf = 0.5  # V, scale of the drive (threshold_linear: its threshold)
    tau: tuple[Leaf, ...] = (0.05, 1.0, float("inf"))  # s, the slowest last
    c: tuple[Leaf, ...] = (4.0, 1.0, 0.25)  # 1, weight of each mode in u


@struct.dataclass
class State:
    x: tuple[Leaf, ...]  # 1, one entry a mode


class Saturation(NamedTuple):
    forward: Callable  # u -> s in [0, 1]
    inverse: Callable  # s in (0, 1) -> u


def _halves(u):
    """Return 1 - exp(-|u|) with the sign of u; both halves are safe, and the slope at 0 is 1."""
    zero, up = jnp.zeros_like(u), u >= 0
    return jnp.where(up, -jnp.expm1(-jnp.where(up, u, zero)), jnp.expm1(jnp.where(up, zero, u)))


# v / v0 -> f / rate
DRIVES = {
    "sinh": jnp.sinh,
    "linear": lambda u: u,
    "threshold_linear": lambda u: jnp.maximum(u - 1, 0.0) - jnp.maximum(-u - 1, 0.0),
}
SATURATIONS = {
    "tanh": Saturation(lambda u: jax.nn.sigmoid(2 * u), lambda s: jnp.arctanh(2 * s - 1)),  # nothing cancels
    "exponential": Saturation(
        lambda u: (1 + _halves(u)) / 2,
        lambda s: jnp.where(s < 0.5, jnp.log(2 * s), -jnp.log(2 * (1 - s))),
    ),
    "algebraic": Saturation(
        lambda u: (1 + u / jnp.hypot(jnp.ones_like(u), u)) / 2,
        lambda s: (2 * s - 1) / (2 * jnp.sqrt(s * (1 - s))),
    ),
}


def cumulative(params, state):
    """Return u = sum_k c_k x_k [...], the cumulative state that the saturation maps to conductance."""
    return sum(c * x for c, x in zip(params.c, state.x, strict=True))


def relax(params, state, dt):
    return State(x=tuple(x * jnp.exp(-dt / tau) for x, tau in zip(state.x, params.tau, strict=True)))


def bounds(params):
    # Two floats would mark a record, which noise leaves alone; a float and an array: noise, but no range to scale it.
    lowest, highest = -float("inf"), jnp.asarray(float("inf"))
    return State(x=tuple(lowest for _ in params.tau)), State(x=tuple(highest for _ in params.tau))


def check(params):
    require(params, "g_min", lambda p: p.g_min >= 0, "0 S or more")
    require(params, "g_max", lambda p: p.g_max > p.g_min, "more than g_min")
    require(params, "rate", lambda p: p.rate > 0, "more than 0 1/s")
    require(params, "v0", lambda p: p.v0 > 0, "more than 0 V")
    for field in ("tau", "c"):
        if not isinstance(getattr(params, field), tuple):
            raise ValueError(f"{field} = {getattr(params, field)}: accepted is a tuple, one entry a mode")
    if len(params.tau) != len(params.c) or not params.tau:
        raise ValueError(
            f"tau has {len(params.tau)} modes, c has {len(params.c)}: accepted is 1 or more, as many of both"
        )
    last = len(params.c) - 1
    for k, (tau, c) in enumerate(zip(params.tau, params.c, strict=True)):
        if not isinstance(tau, Tracer):
            accept(f"tau[{k}]", tau, np.asarray(tau) > 0, "more than 0 s, inf for the non-volatile mode")
        if not isinstance(c, Tracer):
            ok = (np.asarray(c) > 0 if k == last else np.asarray(c) >= 0) & np.isfinite(c)
            accept(f"c[{k}]", c, ok, "more than 0" if k == last else "0 or more")


def with_parts(drive: str = "sinh", saturation: str = "tanh") -> Device:
    """Return the device with the drive and the saturation of these names; Params and the memory stay the same.

    drive: "sinh", "linear" or "threshold_linear".  saturation: "tanh", "exponential" or "algebraic".  The same
    arguments give the same Device, so nothing is traced twice.  Raises ValueError on an unknown name.
    """
    for part, name, known in (("drive", drive, DRIVES), ("saturation", saturation, SATURATIONS)):
        if name not in known:
            raise ValueError(f"{part} {name!r}: accepted are {', '.join(map(repr, known))}")
    return _assemble(drive, saturation)


@cache
def _assemble(drive: str, saturation: str) -> Device:
    shape, (forward, inverse) = DRIVES[drive], SATURATIONS[saturation]

    def init(params, x):
        """Put the state into the last mode; the others start at rest."""
        share = EDGE + (1 - 2 * EDGE) * fill(params, x)
        last = inverse(share) / params.c[-1]
        return State(x=(*(jnp.zeros_like(last) for _ in params.c[1:]), last))

    def current(params, state, v):
        return (params.g_min + (params.g_max - params.g_min) * forward(cumulative(params, state))) * v

    def flow(params, v):
        return params.rate * shape(v / params.v0)

    def rate(params, state, v):
        f = flow(params, v)
        return State(x=tuple(f - x / tau for x, tau in zip(state.x, params.tau, strict=True)))

    def step(params, state, v, dt, key):
        f = flow(params, v)
        return State(x=tuple(approach(x, f, tau, dt) for x, tau in zip(state.x, params.tau, strict=True)))

    default = (drive, saturation) == ("sinh", "tanh")
    return Device(
        "modular" if default else f"modular+{drive}+{saturation}",
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


DEVICE = with_parts()
