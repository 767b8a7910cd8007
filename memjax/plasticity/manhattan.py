"""The Manhattan rule: steps of one size, in the direction of the error's descent.

    dw_ij = eta sgn(sum_n x_i e_j)

x_i is the pre side's spike (or graded input), the modulator is the error e = target - output, as in `delta`. One
programming pulse an update whatever the size of the error suits devices whose step cannot be set.

`manhattan`        updates with every sample, n = 1, and is kept in factors: sgn(x_i) sgn(e_j).
`manhattan_batch`  sums the products over `batch` samples, then takes one step.

Zamanidoost, Bayat, Strukov, Kataeva 2015, IEEE WISP, Manhattan rule training; Prezioso et al. 2015
(10.1038/nature14441), who trained a crossbar of memristors with the batch form.
"""

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.plasticity import base
from memjax.plasticity.base import Outer, Rule, Signals


@struct.dataclass
class Params:
    """Step eta, and the number of samples a step of `manhattan_batch` (30 patterns in Prezioso et al. 2015)."""

    eta: float = 0.01
    batch: float = 30.0


@struct.dataclass
class Sums:
    """Products of input and error since the last step [n_pre, n_post], and how many there are."""

    total: Array
    count: Array


def check(params: Params) -> None:
    """Raise ValueError unless the batch is positive and the step is not negative."""
    base.require(params, positive=("batch",), non_negative=("eta",))


def init(params: Params, n_pre: int, n_post: int) -> tuple[()]:
    """Return the empty state: the rule remembers nothing."""
    return ()


def init_batch(params: Params, n_pre: int, n_post: int) -> Sums:
    """Return empty sums."""
    total = base.zeros(params, n_pre * n_post).reshape(n_pre, n_post)
    return Sums(total=total, count=base.zeros(params, 1)[0])


def step(params: Params, state: tuple[()], pre: Signals, post: Signals, w: Array, modulator: Array, dt: Array | float):
    """Step against every error's sign; needs modulator = target - output [n_post]."""
    error = base.third_factor("manhattan", modulator, w[0])
    return Outer(jnp.sign(pre.spike.astype(w.dtype))[None, :], params.eta * jnp.sign(error)[None, :]), state


def step_batch(params: Params, state: Sums, pre: Signals, post: Signals, w: Array, modulator: Array, dt: Array | float):
    """Collect, and step against the sum's sign after a batch; needs modulator = target - output [n_post]."""
    error = base.third_factor("manhattan_batch", modulator, w[0])
    total = state.total + pre.spike.astype(w.dtype)[:, None] * error[None, :]
    count = state.count + 1.0
    full = count > params.batch - 0.5
    dw = jnp.where(full, params.eta * jnp.sign(total), 0.0)
    return dw, Sums(total=jnp.where(full, 0.0, total), count=jnp.where(full, 0.0, count))


RULE = Rule(name="manhattan", Params=Params, init=init, step=step, check=check)
BATCH = Rule(name="manhattan_batch", Params=Params, init=init_batch, step=step_batch, check=check)
RULES = (RULE, BATCH)
