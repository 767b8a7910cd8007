"""Pair STDP in the order of the modular framework, which is not the field's.

    x <- x exp(-dt / tau_plus) + pre,   y <- y exp(-dt / tau_minus) + post
    dw = -A_minus y if pre, else +A_plus x if post, else 0

Order in a step: the traces are decayed AND incremented first, then read. A pre spike therefore sees the post
spike of its own step and depresses by at least A_minus where `stdp` does nothing, and it hides the potentiation
of that post spike. Between spikes of different steps both rules agree. All-to-all pairing. Order and
defaults are those of the framework's design note, which `experiments/framework` reproduces.
"""

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.plasticity import base
from memjax.plasticity.base import Outer, Rule, Signals


@struct.dataclass
class Params:
    """Window of the framework's STDP: a_plus, a_minus (change of a pair at zero distance), tau_plus, tau_minus [s]."""

    a_plus: float = 0.01
    a_minus: float = 0.01
    tau_plus: float = 0.02
    tau_minus: float = 0.02


@struct.dataclass
class State:
    """Traces x [n_pre] of the pre and y [n_post] of the post spikes."""

    x: Array
    y: Array


def check(params: Params) -> None:
    """Raise ValueError unless the time constants are positive."""
    base.require(params, positive=("tau_plus", "tau_minus"))


def init(params: Params, n_pre: int, n_post: int) -> State:
    """Return silent traces."""
    return State(x=base.zeros(params, n_pre), y=base.zeros(params, n_post))


def step(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Depress the synapses of spiking pre neurons, potentiate those of silent pre and spiking post neurons."""
    x = base.all_to_all(base.decay(state.x, params.tau_plus, dt), pre.spike)
    y = base.all_to_all(base.decay(state.y, params.tau_minus, dt), post.spike)
    fired_pre, fired_post = (pre.spike > 0).astype(x.dtype), (post.spike > 0).astype(y.dtype)
    # The pre side alone decides between the two cases, so the change still is a sum of two outer products.
    a = jnp.stack([fired_pre, params.a_plus * x * (1.0 - fired_pre)])
    b = jnp.stack([-params.a_minus * y, fired_post])
    return Outer(a, b), State(x=x, y=y)


RULE = Rule(name="stdp_framework", Params=Params, init=init, step=step, check=check)
