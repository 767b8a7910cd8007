"""STDP modulated by reward, derived from reinforcement learning: pairs of spikes times reward, at once or over a trace.

    zeta_ij = A_plus x_i post_j - A_minus pre_i y_j          pair STDP of this step, all-to-all traces x, y
    MSTDP:    dw_ij = gamma r_j zeta_ij
    MSTDPET:  z_ij <- z_ij exp(-dt / tau_z) + zeta_ij,    dw_ij = gamma r_j z_ij dt / tau_z

The modulator r is the reward of this step: a number for all, or one for each post neuron. The source rewards the
pairs of a step with the reward that follows it, r(t + dt) zeta(t): a caller gives it with the step that earned it.
The source's z is this one over tau_z, and its rate dw/dt is summed here: under a constant reward both rules come to
gamma r for each pair of spikes, whatever dt is.
Coincident spikes do not see each other; in the source they do, which at A_plus = A_minus is the same, for they cancel.

`mstdp`    reward acts on the pairs of its own step, and is kept in factors.
`mstdpet`  with an eligibility trace.

Florian 2007 (10.1162/neco.2007.19.6.1468).
"""

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.plasticity import base
from memjax.plasticity.base import Outer, Rule, Signals


@struct.dataclass
class Params:
    """Learning rate gamma (per reward), window of the pairs, tau_z of the eligibility [s] (`mstdpet` alone).

    A+ = A- = 1, tau 20 ms and tau_z 25 ms as in the source; gamma = .1 (mV).  The reward of `mstdpet` is held over a
    step and counts by its length: one that comes at a moment is its size times tau_z / dt, if it is to count as much.
    """

    gamma: float = 0.1
    a_plus: float = 1.0
    a_minus: float = 1.0
    tau_plus: float = 0.02
    tau_minus: float = 0.02
    tau_z: float = 0.025


@struct.dataclass
class State:
    """Traces x [n_pre] and y [n_post] of the spikes, and the eligibility z [n_pre, n_post], None without one."""

    x: Array
    y: Array
    z: Array | None = None


def check(params: Params) -> None:
    """Raise ValueError unless the time constants are positive and gamma is not negative."""
    base.require(params, positive=("tau_plus", "tau_minus", "tau_z"), non_negative=("gamma",))


def init(params: Params, n_pre: int, n_post: int) -> State:
    """Return silent traces."""
    return State(x=base.zeros(params, n_pre), y=base.zeros(params, n_post))


def init_trace(params: Params, n_pre: int, n_post: int) -> State:
    """Return silent traces and no eligibility."""
    z = base.zeros(params, n_pre * n_post).reshape(n_pre, n_post)
    return State(x=base.zeros(params, n_pre), y=base.zeros(params, n_post), z=z)


def step(params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array, dt: Array | float):
    """Let the reward of this step scale its pairs; needs modulator = reward [n_post]."""
    zeta, after = _pairs(params, state, pre, post, dt)
    reward = base.third_factor("mstdp", modulator, after.y)
    return Outer(zeta.a, params.gamma * reward[None, :] * zeta.b), after


def step_trace(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array, dt: Array | float
):
    """Let the reward of this step scale all earlier pairs too, as far as they are remembered; needs modulator."""
    zeta, after = _pairs(params, state, pre, post, dt)
    reward = base.third_factor("mstdpet", modulator, after.y)
    z = base.decay(jnp.asarray(state.z), params.tau_z, dt) + base.dense(zeta)
    return params.gamma * (dt / params.tau_z) * reward[None, :] * z, State(x=after.x, y=after.y, z=z)


def _pairs(params: Params, state: State, pre: Signals, post: Signals, dt: Array | float) -> tuple[Outer, State]:
    x, y = base.decay(state.x, params.tau_plus, dt), base.decay(state.y, params.tau_minus, dt)
    pre_spike, post_spike = pre.spike.astype(x.dtype), post.spike.astype(y.dtype)
    zeta = Outer(jnp.stack([params.a_plus * x, pre_spike]), jnp.stack([post_spike, -params.a_minus * y]))
    return zeta, State(x=base.all_to_all(x, pre_spike), y=base.all_to_all(y, post_spike))


RULE = Rule(name="mstdp", Params=Params, init=init, step=step, check=check)
TRACE = Rule(name="mstdpet", Params=Params, init=init_trace, step=step_trace, check=check)
RULES = (RULE, TRACE)
