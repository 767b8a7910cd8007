"""The delta rule of a linear or softmax readout: input times error.

    dw_ij = eta (t_j - y_j) x_i

x_i is the pre side's spike (or graded input), the modulator is the error t - y (target minus output: the
descending sign of the squared error of a linear readout and of the cross-entropy of a softmax). No traces, so
no order within a step.

Widrow, Hoff 1960, Adaptive switching circuits (least mean squares).
"""

from flax import struct
from jax import Array

from memjax.plasticity import base
from memjax.plasticity.base import Outer, Rule, Signals


@struct.dataclass
class Params:
    """Learning rate eta of the delta rule (per unit of input and error)."""

    eta: float = 0.003


def check(params: Params) -> None:
    """Raise ValueError unless the learning rate is a finite number >= 0."""
    base.require(params, non_negative=("eta",))


def init(params: Params, n_pre: int, n_post: int) -> tuple[()]:
    """Return the empty state: the rule remembers nothing."""
    return ()


def step(params: Params, state: tuple[()], pre: Signals, post: Signals, w: Array, modulator: Array, dt: Array | float):
    """Correct each output in proportion to its inputs; needs modulator = target - output [n_post]."""
    error = base.third_factor("delta", modulator, w[0])
    return Outer(pre.spike.astype(w.dtype)[None, :], params.eta * error[None, :]), state


RULE = Rule(name="delta", Params=Params, init=init, step=step, check=check)
