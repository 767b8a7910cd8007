"""Homeostasis: what keeps neurons active and their weights bounded while other rules learn.

`synaptic_scaling`  dw_ij = beta w_ij (r_target - r_j) dt, r_j the rate of post neuron j [Hz], filtered with tau_r: all
                    weights of a neuron by the same factor, so that their ratios stay.
`column_norm`       dw_ij = w_ij (norm / sum_i w_ij - 1): the weights onto each neuron sum to `norm` after every step.
`adapt`             not a change of weight, but of the threshold that the neuron adds to its own:
                    theta <- theta exp(-dt / tau_theta) + theta_plus post.

Order in a step: r is decayed and read, then this step's spikes are added. Where the rate is proportional to
the weights, r = k w, scaling is logistic: w' = beta w (r_target - k w) ends at the target from any w > 0.

Turrigiano et al. 1998 (10.1038/36103) and van Rossum, Bi, Turrigiano 2000 (10.1523/JNEUROSCI.20-23-08812.2000) for
scaling; Diehl, Cook 2015 (10.3389/fncom.2015.00099) for the norm of 78 and the threshold.
"""

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.plasticity import base
from memjax.plasticity.base import Rule, Signals


@struct.dataclass
class Params:
    """Strength beta of scaling [1], target [Hz] and filter tau_r [s] of the rate; norm of a column; threshold.

    The norm, the threshold's step of 50 uV [V] and its tau_theta of 1e4 s are those of Diehl and Cook 2015.
    """

    beta: float = 0.01
    target: float = 5.0
    tau_r: float = 1.0
    norm: float = 78.0
    theta_plus: float = 5e-5
    tau_theta: float = 1e4


@struct.dataclass
class State:
    """Filtered rate r [n_post] [Hz] of the post neurons."""

    r: Array


def check(params: Params) -> None:
    """Raise ValueError unless time constants and norm are positive and the other numbers are not negative."""
    base.require(params, positive=("tau_r", "tau_theta", "norm"), non_negative=("beta", "target", "theta_plus"))


def init(params: Params, n_pre: int, n_post: int) -> State:
    """Return neurons that were silent."""
    return State(r=base.zeros(params, n_post))


def init_norm(params: Params, n_pre: int, n_post: int) -> tuple[()]:
    """Return the empty state: the norm remembers nothing."""
    return ()


def step(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Scale the weights of each post neuron towards its target rate."""
    r = base.decay(state.r, params.tau_r, dt)
    dw = params.beta * dt * (params.target - r)[None, :] * w
    return dw, State(r=r + post.spike.astype(r.dtype) / params.tau_r)


def step_norm(
    params: Params, state: tuple[()], pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Scale the weights of each post neuron to sum to the norm; a column that sums to 0 or less stays."""
    total = jnp.sum(w, axis=0)
    positive = total > 0
    factor = jnp.where(positive, params.norm / jnp.where(positive, total, 1.0), 1.0)
    return w * (factor - 1.0)[None, :], state


def adapt(params: Params, theta: Array, post: Signals, dt: Array | float) -> Array:
    """Return the threshold's surplus theta [n_post] [V] after a step: it decays, and rises with a spike."""
    return base.decay(theta, params.tau_theta, dt) + params.theta_plus * post.spike.astype(theta.dtype)


RULE = Rule(name="synaptic_scaling", Params=Params, init=init, step=step, check=check)
NORM = Rule(name="column_norm", Params=Params, init=init_norm, step=step_norm, check=check)
RULES = (RULE, NORM)
