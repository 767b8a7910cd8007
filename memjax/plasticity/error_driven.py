"""The framework's error-driven step: a change in proportion to weight, input and error.

    dw_ij = lr w_ij h_i e_j,    w <- w (1 + lr e_j h_i),    e = target - output

h_i is the pre side's spike (or graded input), e_j the modulator. A weight of 0 stays 0. On conductances the
caller clips to [g_min, g_max] (`run`: w_min, w_max). No traces, so no order within a step. The modular
framework's design note, which `experiments/framework` reproduces, trains its output layer so.
"""

from flax import struct
from jax import Array

from memjax.plasticity import base
from memjax.plasticity.base import Rule, Signals


@struct.dataclass
class Params:
    """Learning rate lr of the error-driven step (per unit of input and error)."""

    lr: float = 0.01


def check(params: Params) -> None:
    """Raise ValueError unless the learning rate is a finite number >= 0."""
    base.require(params, non_negative=("lr",))


def init(params: Params, n_pre: int, n_post: int) -> tuple[()]:
    """Return the empty state: the rule remembers nothing."""
    return ()


def step(params: Params, state: tuple[()], pre: Signals, post: Signals, w: Array, modulator: Array, dt: Array | float):
    """Scale every weight by its input times its output's error; needs modulator = target - output [n_post]."""
    error = base.third_factor("error_driven", modulator, w[0])
    return params.lr * w * pre.spike.astype(w.dtype)[:, None] * error[None, :], state


RULE = Rule(name="error_driven", Params=Params, init=init, step=step, check=check)
