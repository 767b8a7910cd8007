"""Pair-based spike-timing-dependent plasticity (STDP) with exponential windows.

    dw = +A_plus  exp(-dt / tau_plus)     dt = t_post - t_pre > 0
    dw = -A_minus exp(+dt / tau_minus)    dt < 0

online, with a pre trace x (tau_plus) and a post trace y (tau_minus): a post spike adds A_plus x, a pre spike
takes A_minus y. Order in a step: decay both traces, read them, then add this step's spikes: coincident spikes
do not see each other.

`stdp`              all-to-all: a spike adds 1 to its trace, every pair of spikes counts.
`stdp_nearest`      nearest-spike, symmetric: a spike sets its trace to 1, only the latest one of the other side counts.
`stdp_pre_centred`  each pre spike pairs with the latest post spike before it and with the first one after it: x [n_pre,
                    n_post] counts the pre spikes that still wait for a post spike, which clears them.
`stdp_reduced`      reduced symmetric: only pairs without a spike of either side between them, so that a spike also
                    clears the other side's trace; both are [n_pre, n_post].

Soft bounds (mu): potentiation is scaled by (1 - w)^mu and depression by w^mu, w in [0, 1] (Guetig, Aharonov,
Rotter, Sompolinsky 2003, 10.1523/JNEUROSCI.23-09-03697.2003). mu = 0 is exactly additive, mu = 1 multiplicative.

Song, Miller, Abbott 2000 (10.1038/78829), who give the window; Morrison, Diesmann, Gerstner 2008
(10.1007/s00422-008-0233-1, figure 7) for the pairing schemes.
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.typing import ArrayLike

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
    """Traces x [n_pre] of the pre and y [n_post] of the post spikes, [n_pre, n_post] where they get cleared."""

    x: Array
    y: Array


def check(params: Params) -> None:
    """Raise ValueError unless the time constants are positive and mu is not negative."""
    base.require(params, positive=("tau_plus", "tau_minus"), non_negative=("mu",))


def init(params: Params, n_pre: int, n_post: int) -> State:
    """Return silent traces."""
    return State(x=base.zeros(params, n_pre), y=base.zeros(params, n_post))


def init_pre_centred(params: Params, n_pre: int, n_post: int) -> State:
    """Return silent traces, the pre one for each synapse."""
    return State(x=_silent(params, n_pre, n_post), y=base.zeros(params, n_post))


def init_reduced(params: Params, n_pre: int, n_post: int) -> State:
    """Return silent traces for each synapse."""
    return State(x=_silent(params, n_pre, n_post), y=_silent(params, n_pre, n_post))


def taus(params: Params) -> State:
    """Return the time constants of the traces [s]."""
    return State(x=jnp.asarray(params.tau_plus), y=jnp.asarray(params.tau_minus))


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


def step_pre_centred(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Pair each pre spike with the latest post spike before it and the first one after it."""
    x, y = base.decay(state.x, params.tau_plus, dt), base.decay(state.y, params.tau_minus, dt)
    pre_spike, post_spike = pre.spike.astype(x.dtype)[:, None], post.spike.astype(y.dtype)[None, :]
    dw = _bounded(params, params.a_plus * x * post_spike, -params.a_minus * pre_spike * y[None, :], w)
    return dw, State(x=jnp.where(post_spike > 0, 0.0, x) + pre_spike, y=base.nearest(y, post_spike[0]))


def step_reduced(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Pair each spike with the latest one of the other side, unless another spike of its own side was later."""
    x, y = base.decay(state.x, params.tau_plus, dt), base.decay(state.y, params.tau_minus, dt)
    pre_spike, post_spike = pre.spike.astype(x.dtype)[:, None], post.spike.astype(y.dtype)[None, :]
    dw = _bounded(params, params.a_plus * x * post_spike, -params.a_minus * pre_spike * y, w)
    x = base.nearest(jnp.where(post_spike > 0, 0.0, x), pre_spike)
    return dw, State(x=x, y=base.nearest(jnp.where(pre_spike > 0, 0.0, y), post_spike))


def drift(params: Params, pre_rate: ArrayLike, post_rate: ArrayLike, w: ArrayLike = 0.5) -> Array:
    """Return the mean change of the all-to-all rule with independent Poisson spikes, dw/dt [1/s], at rates [Hz].

    rho_x rho_y [A_plus tau_plus (1 - w)^mu - A_minus tau_minus w^mu]; without soft bounds the same at every weight w.
    """
    up, down = params.a_plus * params.tau_plus, params.a_minus * params.tau_minus
    if params.mu is not None:
        w = jnp.asarray(w)
        up, down = up * _soft(1.0 - w, params.mu), down * _soft(w, params.mu)
    return jnp.asarray(pre_rate * post_rate * (up - down))


def _silent(params: Params, n_pre: int, n_post: int) -> Array:
    return base.zeros(params, n_pre * n_post).reshape(n_pre, n_post)


def _pair(params: Params, state: State, pre: Signals, post: Signals, w: Array, dt: Array | float, add: Callable):
    x, y = base.decay(state.x, params.tau_plus, dt), base.decay(state.y, params.tau_minus, dt)
    pre_spike, post_spike = pre.spike.astype(x.dtype), post.spike.astype(y.dtype)
    a = jnp.stack([params.a_plus * x, pre_spike])
    b = jnp.stack([post_spike, -params.a_minus * y])
    dw = Outer(a, b)
    if params.mu is not None:
        dw = _bounded(params, a[0, :, None] * b[0, None, :], a[1, :, None] * b[1, None, :], w)
    return dw, State(x=add(x, pre_spike), y=add(y, post_spike))


def _bounded(params: Params, up: Array, down: Array, w: Array) -> Array:
    """Scale the changes up and down [n_pre, n_post] by the room that is left, where there are soft bounds."""
    if params.mu is None:
        return up + down
    return up * _soft(1.0 - w, params.mu) + down * _soft(w, params.mu)


def _soft(room: Array, mu: Array | float) -> Array:
    """Return room^mu, at and beyond the bound 0^mu (1 where mu = 0), with a gradient that is finite there too."""
    inside = room > 0
    return jnp.where(inside, jnp.where(inside, room, 1.0) ** mu, jnp.where(mu == 0, 1.0, 0.0))


RULE = Rule(name="stdp", Params=Params, init=init, step=step, check=check, taus=taus)
NEAREST = Rule(name="stdp_nearest", Params=Params, init=init, step=step_nearest, check=check, taus=taus)
PRE_CENTRED = Rule(
    name="stdp_pre_centred", Params=Params, init=init_pre_centred, step=step_pre_centred, check=check, taus=taus
)
REDUCED = Rule(name="stdp_reduced", Params=Params, init=init_reduced, step=step_reduced, check=check, taus=taus)
RULES = (RULE, NEAREST, PRE_CENTRED, REDUCED)
