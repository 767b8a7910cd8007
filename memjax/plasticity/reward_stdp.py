"""Reward-modulated STDP: pairs of spikes leave an eligibility, and dopamine turns it into a change of weight.

    c' = -c / tau_c + pair STDP        c [n_pre, n_post]
    d' = -d / tau_d + dopamine         d [n_post]; the modulator is what is released in this step
    w' = rate (tonic + d) c

A synapse is found that was active seconds before the reward: the eligibility outlives the spikes, and pairs that come
by chance cancel. Order in a step: decay all traces, read x and y for both sides, add the pairs to c and the dopamine
to d, let w follow c and d over the step, in closed form, and last add this step's spikes to x and y.
One pair with eligibility c0 and, s seconds later, a reward d0 change the weight by
rate c0 [tonic tau_c + d0 exp(-s / tau_c) tau_c tau_d / (tau_c + tau_d)], whatever the step.

`reward_stdp`          all-to-all pairs.
`reward_stdp_nearest`  nearest-spike pairs, as in the program published with the paper.

Izhikevich 2007 (10.1093/cercor/bhl152).
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.plasticity import base
from memjax.plasticity.base import Rule, Signals


@struct.dataclass
class Params:
    """Window of the pairs, time constants [s] and dopamine; the defaults are those of the source's program.

    a_plus, a_minus: eligibility by a pair at zero distance; tau_plus, tau_minus of the window, tau_c of the
    eligibility, tau_d of dopamine; tonic: dopamine that is always there (the source adds .5 a reward); rate [1/s].
    """

    a_plus: float = 0.1
    a_minus: float = 0.15
    tau_plus: float = 0.02
    tau_minus: float = 0.02
    tau_c: float = 1.0
    tau_d: float = 0.2
    tonic: float = 0.002
    rate: float = 100.0


@struct.dataclass
class State:
    """Traces x [n_pre] and y [n_post] of the spikes, eligibility c [n_pre, n_post], dopamine d [n_post]."""

    x: Array
    y: Array
    c: Array
    d: Array


def check(params: Params) -> None:
    """Raise ValueError unless the time constants are positive and the rate is not negative."""
    base.require(params, positive=("tau_plus", "tau_minus", "tau_c", "tau_d"), non_negative=("rate",))


def init(params: Params, n_pre: int, n_post: int) -> State:
    """Return silent traces, no eligibility and no phasic dopamine."""
    c = base.zeros(params, n_pre * n_post).reshape(n_pre, n_post)
    return State(x=base.zeros(params, n_pre), y=base.zeros(params, n_post), c=c, d=base.zeros(params, n_post))


def step(params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array, dt: Array | float):
    """Mark all pairs and move the marked weights by the dopamine; needs modulator = dopamine released [n_post]."""
    return _step("reward_stdp", params, state, pre, post, modulator, dt, base.all_to_all)


def step_nearest(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array, dt: Array | float
):
    """Mark pairs with the latest spike of the other side; needs modulator = dopamine released [n_post]."""
    return _step("reward_stdp_nearest", params, state, pre, post, modulator, dt, base.nearest)


def _step(name: str, params: Params, state: State, pre: Signals, post: Signals, modulator, dt, add: Callable):
    p = params
    x, y = base.decay(state.x, p.tau_plus, dt), base.decay(state.y, p.tau_minus, dt)
    pre_spike, post_spike = pre.spike.astype(x.dtype), post.spike.astype(y.dtype)
    pairs = p.a_plus * x[:, None] * post_spike[None, :] - p.a_minus * pre_spike[:, None] * y[None, :]
    c = base.decay(state.c, p.tau_c, dt) + pairs
    d = base.decay(state.d, p.tau_d, dt) + base.third_factor(name, modulator, y)
    # Over the step c and d decay: the integrals of c and of c d.
    both = 1.0 / p.tau_c + 1.0 / p.tau_d
    by_tonic, by_phasic = -p.tau_c * jnp.expm1(-dt / p.tau_c), -jnp.expm1(-dt * both) / both
    dw = p.rate * c * (p.tonic * by_tonic + d[None, :] * by_phasic)
    return dw, State(x=add(x, pre_spike), y=add(y, post_spike), c=c, d=d)


RULE = Rule(name="reward_stdp", Params=Params, init=init, step=step, check=check)
NEAREST = Rule(name="reward_stdp_nearest", Params=Params, init=init, step=step_nearest, check=check)
RULES = (RULE, NEAREST)
