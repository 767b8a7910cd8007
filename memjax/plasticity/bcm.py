"""Bienenstock, Cooper and Munro: depression below and potentiation above a threshold that slides with the output.

    dw_ij = eta x_i y_j (y_j - theta_j),    theta_j' = (y_j^2 / y_0 - theta_j) / tau_theta

x and y are graded activities (rates). The threshold follows the mean square of the output, faster than the weights
move: an output that is always high raises it until potentiation ends. At constant activity y settles at y_0; where one
of n patterns of orthogonal inputs comes at a time, a neuron becomes selective, with y = n y_0 for one pattern and 0
for the others. For spikes, see `triplet`, whose mean is this rule. Order in a step: theta is read, then it follows y.

Bienenstock, Cooper, Munro 1982 (10.1523/JNEUROSCI.02-01-00032.1982); the quadratic form: Intrator, Cooper 1992
(10.1016/S0893-6080(05)80003-6).
"""

import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.typing import ArrayLike

from memjax.plasticity import base
from memjax.plasticity.base import Outer, Rule, Signals


@struct.dataclass
class Params:
    """Learning rate eta, output y_0 that the threshold defends (in units of y), and its time constant tau_theta [s]."""

    eta: float = 0.001
    y_0: float = 1.0
    tau_theta: float = 0.1


@struct.dataclass
class State:
    """Threshold theta [n_post], in units of y."""

    theta: Array


def check(params: Params) -> None:
    """Raise ValueError unless y_0 and the time constant are positive and eta is not negative."""
    base.require(params, positive=("y_0", "tau_theta"), non_negative=("eta",))


def init(params: Params, n_pre: int, n_post: int) -> State:
    """Return thresholds at y_0, where constant activity settles."""
    return State(theta=base.zeros(params, n_post) + params.y_0)


def step(
    params: Params, state: State, pre: Signals, post: Signals, w: Array, modulator: Array | None, dt: Array | float
):
    """Potentiate active inputs of outputs above their threshold, depress those of outputs below."""
    x, y, theta = pre.spike.astype(w.dtype), post.spike.astype(w.dtype), state.theta
    target = y**2 / params.y_0
    change = Outer(x[None, :], (params.eta * y * (y - theta))[None, :])
    return change, State(theta=target + base.decay(theta - target, params.tau_theta, dt))


def drift(params: Params, pre_rate: ArrayLike, post_rate: ArrayLike) -> Array:
    """Return the change a step at constant activity, with the threshold settled: eta x y^2 (1 - y / y_0)."""
    return jnp.asarray(params.eta * pre_rate * post_rate**2 * (1.0 - post_rate / params.y_0))


RULE = Rule(name="bcm", Params=Params, init=init, step=step, check=check)
