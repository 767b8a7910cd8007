"""A local rule for hidden layers: filtered pre trace x surrogate derivative x broadcast error.

    dw_ij = -eta L_j psi(v_j - threshold) x_i,    x <- x exp(-dt / tau_pre) + pre

The modulator L_j is the error that reaches post neuron j, L_j = sum_k B_jk (y_k - t_k) (output minus target,
the other sign than in `delta`); B is the transposed weights of the next layer (exact feedback) or fixed random
numbers. For a layer of leaky integrators v <- v exp(-dt / tau_pre) + w^T pre (any reset being left out of the
derivative) x_i = dv_j / dw_ij, and with exact feedback the rule is the surrogate gradient of the summed loss,
computed online and locally.

Order in a step: decay the trace, add this step's input, then read: the input of a step moves the membrane in
that step. Only the pre side has a trace. tau_pre = 0 filters nothing, x = pre. Without a potential (post.v is
None) psi = 1: a readout's rule.

Bellec et al. 2020, e-prop (10.1038/s41467-020-17236-y), equation 1 with the LIF eligibility trace.
"""

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax import neurons
from memjax.plasticity import base
from memjax.plasticity.base import Outer, Rule, Signals


@struct.dataclass
class Params:
    """Learning rate eta, time constant of the pre trace tau_pre [s] (0: no filter), threshold and width of psi [v].

    tau_pre is the membrane's time constant; 20 ms, threshold 1 and width = threshold after Bellec et al. 2020.
    """

    eta: float = 0.05
    tau_pre: float = 0.02
    threshold: float = 1.0
    width: float = 1.0


@struct.dataclass
class State:
    """Filtered pre activity x [n_pre]."""

    x: Array


def check(params: Params) -> None:
    """Raise ValueError unless width is positive and eta and tau_pre are not negative."""
    base.require(params, positive=("width",), non_negative=("eta", "tau_pre"))


def init(params: Params, n_pre: int, n_post: int) -> State:
    """Return a silent trace."""
    return State(x=base.zeros(params, n_pre))


def factors(params: Params, xbar: Array, psi: Array, modulator: Array) -> Outer:
    """Form the rank-1 change a = -eta xbar [1, n_pre], b = modulator psi [1, n_post].

    For callers who average xbar and psi over the time steps of a sample themselves and update once a sample.
    """
    return Outer((-params.eta * xbar)[None, :], (modulator * psi)[None, :])


def step(params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array, dt: Array | float):
    """Descend the error that reaches each post neuron; needs modulator = output minus target, fed back [n_post]."""
    filtered = params.tau_pre > 0
    # Divide by a number that is never 0, so that neither branch nor its gradient is NaN where tau_pre = 0.
    tau = jnp.where(filtered, params.tau_pre, 1.0)
    x = jnp.where(filtered, base.decay(state.x, tau, dt), 0.0)
    x = base.all_to_all(x, pre.spike)
    if post.v is None:
        psi = jnp.ones(post.spike.shape, x.dtype)
    else:
        psi = neurons.psi(post.v - params.threshold, params.width)
    return factors(params, x, psi, base.third_factor("three_factor", modulator, psi)), State(x=x)


RULE = Rule(name="three_factor", Params=Params, init=init, step=step, check=check)
