"""A local rule for hidden layers: filtered pre trace x surrogate derivative x broadcast error.

    dw_ij = -eta L_j psi(v_j - threshold) x_i,    x <- x exp(-dt / tau_pre) + pre

The modulator L_j is the error that reaches post neuron j, L_j = sum_k B_jk (y_k - t_k) (output minus target,
the other sign than in `delta`), by `feed_back`. B [n_post, n_out] is the next layer's weights (symmetric, the exact
feedback), fixed random numbers (`random_feedback`; direct feedback alignment, where there are more layers) or learned
(`learn_feedback`). For a layer of leaky integrators v <- v exp(-dt / tau_pre) + w^T pre (any reset being left out of
the derivative) x_i = dv_j / dw_ij, and with exact feedback the rule is the surrogate gradient of the summed loss,
computed online and locally.

Order in a step: decay the trace, add this step's input, then read: the input of a step moves the membrane in
that step. Only the pre side has a trace. tau_pre = 0 filters nothing, x = pre. Without a potential (post.v is
None) psi = 1: a readout's rule.

Bellec et al. 2020, e-prop (10.1038/s41467-020-17236-y), equation 1 with the LIF eligibility trace. Random feedback:
Lillicrap et al. 2016 (10.1038/ncomms13276), Nokland 2016 (arXiv:1609.01596). Learned: Kolen, Pollack 1994
(10.1109/ICNN.1994.374486), Akrout et al. 2019 (arXiv:1904.05391).
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.typing import ArrayLike

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


def feed_back(b: Array, error: Array) -> Array:
    """Return the error [n_post] that reaches each post neuron, L = B e, from that of the outputs [n_out]."""
    return jnp.matmul(b, error, precision="highest")


def random_feedback(key: Array, n_post: int, n_out: int, scale: ArrayLike | None = None) -> Array:
    """Draw fixed feedback [n_post, n_out], normal with the standard deviation scale (1 / sqrt(n_out) unless given)."""
    scale = jnp.asarray(n_out**-0.5 if scale is None else scale, jnp.result_type(float))
    return scale * jax.random.normal(key, (n_post, n_out), jnp.result_type(float))


def learn_feedback(b: Array, w: Array, dw: Array | Outer, decay: ArrayLike) -> tuple[Array, Array]:
    """Apply one change to the next layer's weights w and to the feedback b, both [n_post, n_out]; returns (b, w).

    b <- (1 - decay) b + dw and w <- (1 - decay) w + dw: their difference shrinks by 1 - decay an update, whatever dw
    is, so that the feedback becomes the exact one although no weight is ever copied.
    """
    change, keep = base.dense(dw), jnp.asarray(1.0 - decay, w.dtype)
    return keep * b + change, keep * w + change


RULE = Rule(name="three_factor", Params=Params, init=init, step=step, check=check)
