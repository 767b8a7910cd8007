"""Triplet spike-timing-dependent plasticity: pairs, and triplets of two pre and a post spike or two post and a pre.

    post spike:  dw = +r1 (A2_plus  + A3_plus  o2)      pre traces  r1 (tau_plus),  r2 (tau_x)
    pre spike:   dw = -o1 (A2_minus + A3_minus r2)      post traces o1 (tau_minus), o2 (tau_y)

Order in a step: decay the traces, read them, then add this step's spikes: o2 at a post spike and r2 at a pre spike
are the values just before it, as the source has it.

`triplet`          all-to-all: a spike adds 1 to its traces.
`triplet_nearest`  nearest-spike: a spike sets its traces to 1.

With independent Poisson spikes the minimal all-to-all rule (A2_plus = A3_minus = 0) is a BCM rule: linear in the pre
rate, with a threshold of the post rate theta = A2_minus tau_minus / (A3_plus tau_plus tau_y) (`drift`, `threshold`). It
slides where rho_0 is given, as BCM needs to be stable: A2_minus is scaled by (rho / rho_0)^2, rho the filtered rate.

Pfister, Gerstner 2006 (10.1523/JNEUROSCI.1425-06.2006), tables 3 and 4.
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
    """Amplitudes and time constants [s]; the defaults are visual cortex, full, all-to-all (`PARAMETER_SETS`).

    a2_plus, a2_minus: change by a pair; a3_plus, a3_minus: by a triplet. tau_plus, tau_x of the pre traces r1, r2;
    tau_minus, tau_y of the post traces o1, o2. rho_0 [Hz]: post rate at which the pair depression is a2_minus, where it
    slides with the rate over tau_rho [s]; None: it does not.
    """

    a2_plus: float = 5e-10
    a3_plus: float = 6.2e-3
    a2_minus: float = 7e-3
    a3_minus: float = 2.3e-4
    tau_plus: float = 16.8e-3
    tau_x: float = 101e-3
    tau_minus: float = 33.7e-3
    tau_y: float = 125e-3
    rho_0: float | None = None
    tau_rho: float = 10.0


# The published fits. A minimal set leaves amplitudes out (0); its tau_x, then without effect, is that of the full one.
PARAMETER_SETS = {
    "visual_full": Params(),
    "visual_minimal": Params(a2_plus=0.0, a3_plus=6.5e-3, a2_minus=7.1e-3, a3_minus=0.0, tau_y=114e-3),
    "visual_full_nearest": Params(8.8e-11, 5.3e-2, 6.6e-3, 3.1e-3, tau_x=714e-3, tau_y=40e-3),
    "visual_minimal_nearest": Params(0.0, 5e-2, 8e-3, 0.0, tau_x=714e-3, tau_y=40e-3),
    "hippocampal_full": Params(6.1e-3, 6.7e-3, 1.6e-3, 1.4e-3, tau_x=946e-3, tau_y=27e-3),
    "hippocampal_minimal": Params(5.3e-3, 8e-3, 3.5e-3, 0.0, tau_x=946e-3, tau_y=40e-3),
    "hippocampal_full_nearest": Params(4.6e-3, 9.1e-3, 3e-3, 7.5e-9, tau_x=575e-3, tau_y=47e-3),
    "hippocampal_minimal_nearest": Params(4.6e-3, 9.1e-3, 3e-3, 0.0, tau_x=575e-3, tau_y=48e-3),
}


@struct.dataclass
class State:
    """Fast and slow traces r1, r2 [n_pre] of the pre and o1, o2 [n_post] of the post spikes; post rate rho [n_post]."""

    r1: Array
    r2: Array
    o1: Array
    o2: Array
    rho: Array | None = None  # Hz; None where A2_minus does not slide


def check(params: Params) -> None:
    """Raise ValueError unless the time constants are positive and the amplitudes are not negative."""
    base.require(
        params,
        positive=("tau_plus", "tau_x", "tau_minus", "tau_y", "rho_0", "tau_rho"),
        non_negative=("a2_plus", "a3_plus", "a2_minus", "a3_minus"),
    )


def init(params: Params, n_pre: int, n_post: int) -> State:
    """Return silent traces, and post rates that have long been rho_0."""
    pre, post = base.zeros(params, n_pre), base.zeros(params, n_post)
    return State(r1=pre, r2=pre, o1=post, o2=post, rho=None if params.rho_0 is None else post + params.rho_0)


def taus(params: Params) -> State:
    """Return the time constants of the traces and of the post rate [s]."""
    p = params
    r1, r2, o1, o2 = (jnp.asarray(tau) for tau in (p.tau_plus, p.tau_x, p.tau_minus, p.tau_y))
    return State(r1, r2, o1, o2, rho=None if p.rho_0 is None else jnp.asarray(p.tau_rho))


def step(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Let each spike see all earlier ones."""
    return _triplet(params, state, pre, post, dt, base.all_to_all)


def step_nearest(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Let each spike see the latest one of each side."""
    return _triplet(params, state, pre, post, dt, base.nearest)


def _triplet(params: Params, state: State, pre: Signals, post: Signals, dt: Array | float, add: Callable):
    r1, r2 = base.decay(state.r1, params.tau_plus, dt), base.decay(state.r2, params.tau_x, dt)
    o1, o2 = base.decay(state.o1, params.tau_minus, dt), base.decay(state.o2, params.tau_y, dt)
    pre_spike, post_spike = pre.spike.astype(r1.dtype), post.spike.astype(o1.dtype)
    up = (params.a2_plus + params.a3_plus * o2) * post_spike
    traces = add(r1, pre_spike), add(r2, pre_spike), add(o1, post_spike), add(o2, post_spike)
    if state.rho is None or params.rho_0 is None:
        a = jnp.stack([r1, -(params.a2_minus + params.a3_minus * r2) * pre_spike])
        return Outer(a, jnp.stack([up, o1])), State(*traces)
    rho = base.decay(state.rho, params.tau_rho, dt)
    a = jnp.stack([r1, -params.a2_minus * pre_spike, -params.a3_minus * r2 * pre_spike])
    b = jnp.stack([up, (rho / params.rho_0) ** 2 * o1, o1])
    return Outer(a, b), State(*traces, rho=rho + post_spike / params.tau_rho)


def drift(params: Params, pre_rate: ArrayLike, post_rate: ArrayLike) -> Array:
    """Return the mean change of the all-to-all rule with independent Poisson spikes, dw/dt [1/s], at rates [Hz].

    rho_x rho_y [tau_plus (A2_plus + A3_plus tau_y rho_y) - tau_minus (A2_minus + A3_minus tau_x rho_x)].
    """
    p = params
    up = p.tau_plus * (p.a2_plus + p.a3_plus * p.tau_y * post_rate)
    down = p.tau_minus * (p.a2_minus + p.a3_minus * p.tau_x * pre_rate)
    return jnp.asarray(pre_rate * post_rate * (up - down))


def threshold(params: Params, pre_rate: ArrayLike = 0.0) -> Array:
    """Return the post rate [Hz] at which the drift of the all-to-all rule changes sign, the theta of BCM.

    Only where A3_minus > 0 does it depend on the pre rate [Hz].
    """
    p = params
    down = p.tau_minus * (p.a2_minus + p.a3_minus * p.tau_x * pre_rate)
    return jnp.asarray((down - p.tau_plus * p.a2_plus) / (p.tau_plus * p.a3_plus * p.tau_y))


RULE = Rule(name="triplet", Params=Params, init=init, step=step, check=check, taus=taus)
NEAREST = Rule(name="triplet_nearest", Params=Params, init=init, step=step_nearest, check=check, taus=taus)
RULES = (RULE, NEAREST)
