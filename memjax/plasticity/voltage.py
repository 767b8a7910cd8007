"""Voltage-based STDP: plasticity from the post neuron's potential instead of its spikes.

    dw = -A_LTD pre [u_minus - theta_minus]+  +  A_LTP x [u - theta_plus]+ [u_plus - theta_minus]+ dt

u is the potential of the post neuron (post.v), u_minus and u_plus are its low-pass filtered values (tau_minus,
tau_plus), and x that of the pre spikes, x' = -x / tau_x + sum of deltas / tau_x, so that its mean is their rate [Hz].
Order in a step: u_minus and u_plus are read as the steps before have left them, then follow u; x is decayed and
read, then the spike is added. Clamped at u, with pre spikes at the rate rho, the weight drifts (`drift`) by
    rho (-A_LTD [u - theta_minus]+ + A_LTP [u - theta_plus]+ [u - theta_minus]+):
depression from theta_minus on, potentiation above theta_plus + A_LTD / A_LTP = -43.55 mV.

Clopath, Buesing, Vasilaki, Gerstner 2010 (10.1038/nn.2479), visual cortex; its homeostatic A_LTD is the caller's to
slide (a_ltd is traced).
"""

import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.typing import ArrayLike

from memjax.plasticity import base
from memjax.plasticity.base import Outer, Rule, Signals


@struct.dataclass
class Params:
    """Amplitudes A_LTD [1/V] and A_LTP [1/V^2], thresholds [V] and time constants [s], for visual cortex."""

    a_ltd: float = 0.14
    a_ltp: float = 80.0
    theta_minus: float = -70.6e-3
    theta_plus: float = -45.3e-3
    tau_x: float = 15e-3
    tau_minus: float = 10e-3
    tau_plus: float = 7e-3


@struct.dataclass
class State:
    """Filtered pre spikes x [n_pre] [Hz], and filtered potentials [n_post] [V]."""

    x: Array
    u_minus: Array
    u_plus: Array


def check(params: Params) -> None:
    """Raise ValueError unless the time constants are positive and the amplitudes are not negative."""
    base.require(params, positive=("tau_x", "tau_minus", "tau_plus"), non_negative=("a_ltd", "a_ltp"))


def init(params: Params, n_pre: int, n_post: int) -> State:
    """Return a silent trace, and potentials that have long been at theta_minus: the resting potential of the source."""
    rest = base.zeros(params, n_post) + params.theta_minus
    return State(x=base.zeros(params, n_pre), u_minus=rest, u_plus=rest)


def step(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Depress at pre spikes, potentiate where pre spikes were and the potential is high.

    Raises ValueError where post.v is None.
    """
    if post.v is None:
        raise ValueError(
            f"voltage needs the potential of the post neurons, post.v of shape {post.spike.shape}, got None"
        )
    p, u = params, post.v.astype(state.u_minus.dtype)
    x, pre_spike = base.decay(state.x, p.tau_x, dt), pre.spike.astype(state.x.dtype)
    low, high = jnp.maximum(state.u_minus - p.theta_minus, 0.0), jnp.maximum(state.u_plus - p.theta_minus, 0.0)
    now = jnp.maximum(u - p.theta_plus, 0.0)
    dw = Outer(jnp.stack([-p.a_ltd * pre_spike, x]), jnp.stack([low, p.a_ltp * dt * now * high]))
    after = State(
        x=x + pre_spike / p.tau_x,
        u_minus=u + base.decay(state.u_minus - u, p.tau_minus, dt),
        u_plus=u + base.decay(state.u_plus - u, p.tau_plus, dt),
    )
    return dw, after


def drift(params: Params, pre_rate: ArrayLike, u: ArrayLike) -> Array:
    """Return the mean change dw/dt [1/s] with pre spikes at pre_rate [Hz] and the post neuron clamped at u [V]."""
    above = jnp.maximum(u - params.theta_minus, 0.0)
    return jnp.asarray(pre_rate * above * (params.a_ltp * jnp.maximum(u - params.theta_plus, 0.0) - params.a_ltd))


@struct.dataclass
class Late:
    """State of the rule, and the filtered potentials of the last steps [steps, 2, n_post], newest first."""

    now: State
    queue: Array


def late(steps: int) -> Rule:
    """Return the rule with u_minus and u_plus as they were `steps` time steps ago.

    A spike of finite width must not raise u_plus while it still lasts, or it potentiates by itself; published programs
    hold the filtered potentials back by a few milliseconds. Raises ValueError unless steps is a whole number >= 1.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"voltage.late: steps must be a whole number >= 1, got {steps}")

    def init_late(params, n_pre, n_post):
        now = init(params, n_pre, n_post)
        return Late(now, jnp.broadcast_to(jnp.stack([now.u_minus, now.u_plus]), (steps, 2, n_post)))

    def step_late(params, state, pre, post, w, modulator, dt):
        low, high = state.queue[-1]
        dw, _ = step(params, State(state.now.x, low, high), pre, post, w, modulator, dt)
        _, now = step(params, state.now, pre, post, w, modulator, dt)
        newest = jnp.stack([state.now.u_minus, state.now.u_plus])[None]
        return dw, Late(now, jnp.concatenate([newest, state.queue[:-1]]))

    return Rule(name=f"voltage+late{steps}", Params=Params, init=init_late, step=step_late, check=check)


RULE = Rule(name="voltage", Params=Params, init=init, step=step, check=check)
