"""Soft winner-take-all Hebbian learning: neurons share one softmax, and learn towards their inputs as they win.

    u_j = sum_i w_ij x_i,    y = softmax(u / temperature),    dw_ij = eta_j s_j y_j (x_i - u_j w_ij)
    eta_j = eta | ||w_j|| - 1 |^adapt

u is the potential post.v where it is given (a read of the array), else worked out. The decay u_j w_ij keeps each weight
vector at length 1, and eta_j slows a neuron down as it arrives there (adapt = 0: a constant rate). The sign s_j:

`wta_hebb`       SoftHebb with anti-Hebbian losers: +1 for the neuron with the largest u, -1 for all others.
`wta_hebb_soft`  +1 for all: plain SoftHebb.
`wta_hebb_hard`  1 for the winner, 0 for all others, and y = 1.

`wta_hebb_means` is the older rule, whose weights become means of the inputs that they win (online k-means):

    dw_ij = eta (x_i - w_ij)    for the winner j, where any x_i is not zero

No traces, so no order within a step; the post side's spikes are not used.

Moraitis et al. 2022 (10.1088/2634-4386/aca710); anti-Hebbian losers and the adaptive rate: Journe et al. 2023
(arXiv:2209.11883). Means: MacQueen 1967; as competitive learning, Rumelhart, Zipser 1985 (10.1207/s15516709cog0901_5).
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.plasticity import base
from memjax.plasticity.base import Outer, Rule, Signals


@struct.dataclass
class Params:
    """Learning rate eta, temperature of the softmax (in units of u), and exponent of the adaptive rate."""

    eta: float = 0.03
    temperature: float = 1.0
    adapt: float = 0.5


def check(params: Params) -> None:
    """Raise ValueError unless the temperature is positive and eta and adapt are not negative."""
    base.require(params, positive=("temperature",), non_negative=("eta", "adapt"))


def init(params: Params, n_pre: int, n_post: int) -> tuple[()]:
    """Return the empty state: the rule remembers nothing."""
    return ()


def step(
    params: Params, state: tuple[()], pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Turn the winner towards the input and all others away from it."""
    u, y = _softmax(params, pre, post, w)
    return _learn(params, pre, w, u, jnp.where(_won(u), y, -y)), state


def step_soft(
    params: Params, state: tuple[()], pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Turn each neuron towards the input by its share of the softmax."""
    u, y = _softmax(params, pre, post, w)
    return _learn(params, pre, w, u, y), state


def step_hard(
    params: Params, state: tuple[()], pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Turn the winner alone towards the input."""
    u, _ = _softmax(params, pre, post, w)
    return _learn(params, pre, w, u, _won(u).astype(w.dtype)), state


def step_means(
    params: Params, state: tuple[()], pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Move the winner alone towards the input."""
    u, _ = _softmax(params, pre, post, w)
    winner = jnp.argmax(u)[None]
    return means(params.eta, pre.spike.astype(w.dtype)[None, :], winner, w[:, winner].T, w.shape[1]), state


def means(eta: Array | float, x: Array, winner: Array, w: Array, n_post: int) -> Outer:
    """Return the change of `wta_hebb_means` by k inputs at once, in factors: none of them sees another's change.

    x [k, n_pre] are the inputs, winner [k] who won, and w [k, n_pre] the winners' weights, of n_post neurons.
    """
    some = jnp.any(x != 0, axis=1, keepdims=True)
    won = (winner[:, None] == jnp.arange(n_post, dtype=winner.dtype)[None, :]) & some
    return Outer(jnp.where(some, x - w, jnp.zeros_like(w)), eta * won.astype(w.dtype))


def _softmax(params: Params, pre: Signals, post: Signals, w: Array) -> tuple[Array, Array]:
    x = pre.spike.astype(w.dtype)
    u = jnp.matmul(x, w, precision="highest") if post.v is None else post.v.astype(w.dtype)
    return u, jax.nn.softmax(u / params.temperature)


def _won(u: Array) -> Array:
    return jnp.arange(u.shape[0]) == jnp.argmax(u)


def _learn(params: Params, pre: Signals, w: Array, u: Array, share: Array) -> Array:
    away = jnp.abs(jnp.sqrt(jnp.maximum(jnp.sum(w**2, axis=0), jnp.finfo(w.dtype).tiny)) - 1.0)
    there = away == 0  # 0^adapt has no finite gradient
    eta = params.eta * jnp.where(
        there, jnp.where(params.adapt == 0, 1.0, 0.0), jnp.where(there, 1.0, away) ** params.adapt
    )
    return (eta * share)[None, :] * (pre.spike.astype(w.dtype)[:, None] - u[None, :] * w)


RULE = Rule(name="wta_hebb", Params=Params, init=init, step=step, check=check)
SOFT = Rule(name="wta_hebb_soft", Params=Params, init=init, step=step_soft, check=check)
HARD = Rule(name="wta_hebb_hard", Params=Params, init=init, step=step_hard, check=check)
MEANS = Rule(name="wta_hebb_means", Params=Params, init=init, step=step_means, check=check)
RULES = (RULE, SOFT, HARD, MEANS)
