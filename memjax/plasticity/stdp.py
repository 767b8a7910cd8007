"""Pair-based spike-timing-dependent plasticity (STDP) with exponential windows.

    dw = +A_plus  exp(-dt / tau_plus)     dt = t_post - t_pre > 0
    dw = -A_minus exp(+dt / tau_minus)    dt < 0

online, with a pre trace x (tau_plus) and a post trace y (tau_minus): a post spike adds A_plus x, a pre spike
takes A_minus y. Order in a step: decay both traces, read them, then add this step's spikes: coincident spikes
do not see each other.

`stdp`          all-to-all: a spike adds 1 to its trace, every pair of spikes counts.
`stdp_nearest`  nearest-spike, symmetric: a spike sets its trace to 1, only the latest one of the other side counts.

Soft bounds (mu): potentiation is scaled by (1 - w)^mu and depression by w^mu, w in [0, 1] (Guetig, Aharonov,
Rotter, Sompolinsky 2003, 10.1523/JNEUROSCI.23-09-03697.2003). mu = 0 is exactly additive, mu = 1 multiplicative.

Song, Miller, Abbott 2000 (10.1038/78829), who give the window; Morrison, Diesmann, Gerstner 2008
(10.1007/s00422-008-0233-1) for the pairing schemes.
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.plasticity import base
from memjax.plasticity.base import Outer, Rule, Signals


@struct.dataclass
class Params:
    """Window of pair STDP: A+ = A- = 0.01, tau = 20 ms (Song et al. 2000: A+ 0.005, A- = 1.05 A+, tau = 20 ms).

    a_plus, a_minus: weight change of a pair at zero distance; tau_plus, tau_minus [s]; mu: exponent of the soft
    bounds. mu=None, no bounds, is additive like mu=0 and keeps the weight change in factors (`Outer`).
    """

    a_plus: float = 0.01
    a_minus: float = 0.01
    tau_plus: float = 0.02
    tau_minus: float = 0.02
    mu: float | None = None


@struct.dataclass
class State:
    """Traces x [n_pre] of the pre and y [n_post] of the post spikes."""

    x: Array
    y: Array


def check(params: Params) -> None:
    """Raise ValueError unless the time constants are positive and mu is not negative."""
    base.require(params, positive=("tau_plus", "tau_minus"), non_negative=("mu",))


def init(params: Params, n_pre: int, n_post: int) -> State:
    """Return silent traces."""
    return State(x=base.zeros(params, n_pre), y=base.zeros(params, n_post))


def step(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Pair each spike with all earlier ones of the other side."""
    return _pair(params, state, pre, post, w, dt, base.all_to_all)


def step_nearest(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Pair each spike with the latest one of the other side."""
    return _pair(params, state, pre, post, w, dt, base.nearest)


def _pair(params: Params, state: State, pre: Signals, post: Signals, w: Array, dt: Array | float, add: Callable):
    x, y = base.decay(state.x, params.tau_plus, dt), base.decay(state.y, params.tau_minus, dt)
    pre_spike, post_spike = pre.spike.astype(x.dtype), post.spike.astype(y.dtype)
    a = jnp.stack([params.a_plus * x, pre_spike])
    b = jnp.stack([post_spike, -params.a_minus * y])
    dw = Outer(a, b)
    if params.mu is not None:
        up, down = a[0, :, None] * b[0, None, :], a[1, :, None] * b[1, None, :]
        dw = up * _soft(1.0 - w, params.mu) + down * _soft(w, params.mu)
    return dw, State(x=add(x, pre_spike), y=add(y, post_spike))


def _soft(room: Array, mu: Array | float) -> Array:
    """Return room^mu, at and beyond the bound 0^mu (1 where mu = 0), with a gradient that is finite there too."""
    inside = room > 0
    return jnp.where(inside, jnp.where(inside, room, 1.0) ** mu, jnp.where(mu == 0, 1.0, 0.0))


RULE = Rule(name="stdp", Params=Params, init=init, step=step, check=check)
NEAREST = Rule(name="stdp_nearest", Params=Params, init=init, step=step_nearest, check=check)
RULES = (RULE, NEAREST)
