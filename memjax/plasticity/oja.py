"""Oja's rule: Hebbian growth with a decay that keeps the weight vector at length 1.

    dw_ij = eta y_j (x_i - y_j w_ij)

x is the graded pre and y the graded post activity (of a linear neuron, y = x w). Averaged over inputs of zero mean and
covariance C, dw/dt = eta (C w - (w^T C w) w) for each neuron: its stable fixed points are the two unit vectors along
the first principal component. No traces, so no order within a step.

Oja 1982 (10.1007/BF00275687).
"""

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.plasticity import base
from memjax.plasticity.base import Rule, Signals


@struct.dataclass
class Params:
    """Learning rate eta of Oja's rule (per squared activity)."""

    eta: float = 0.01


def check(params: Params) -> None:
    """Raise ValueError unless the learning rate is a finite number >= 0."""
    base.require(params, non_negative=("eta",))


def init(params: Params, n_pre: int, n_post: int) -> tuple[()]:
    """Return the empty state: the rule remembers nothing."""
    return ()


def step(
    params: Params, state: tuple[()], pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Grow along the input in proportion to the output, and shrink with the output's square."""
    x, y = pre.spike.astype(w.dtype)[:, None], post.spike.astype(w.dtype)[None, :]
    return params.eta * y * (x - y * w), state


def drift(params: Params, covariance: Array, w: Array) -> Array:
    """Return the mean change of w [n_pre, n_post] a step: linear neurons, inputs of covariance [n_pre, n_pre]."""
    along = jnp.matmul(covariance, w, precision="highest")
    return params.eta * (along - jnp.sum(w * along, axis=0)[None, :] * w)


RULE = Rule(name="oja", Params=Params, init=init, step=step, check=check)
