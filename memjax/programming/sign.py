"""One push-pull pulse of dw's sign wherever |dw| exceeds a threshold: the Manhattan rule.

Source: Zamanidoost, Bayat, Strukov, Kataeva, IEEE WISP (2015); on devices, Prezioso et al., Nature 521, 61 (2015).
"""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import Array

from memjax.plasticity.base import dense
from memjax.programming.base import Programmer, deliver, nothing


@struct.dataclass
class SignParams:
    """Manhattan rule: one pulse wherever |dw| > threshold [w]."""

    threshold: Array | float = 0.0


def step(params: SignParams, state: Any, dw, xbar, dt, key, turn):
    dw = dense(dw)
    signed = jnp.where(jnp.abs(dw) > params.threshold, jnp.sign(dw), jnp.zeros_like(dw))
    xbar, events = deliver(xbar, signed, dt, key)
    return xbar, (), events


PROGRAMMER = Programmer("sign", SignParams, nothing, step)
