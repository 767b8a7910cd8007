"""Axonal and dendritic delays: a rule that sees spikes as they arrive at the synapse."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from memjax.plasticity import base
from memjax.plasticity.base import Rule, Signals


@struct.dataclass
class Delayed:
    """State of a delayed rule: that of the rule, and the spikes that are under way, newest first [delay, n]."""

    rule: Any
    pre: Array
    post: Array


def delayed(rule: Rule, axonal: Any = 0, dendritic: Any = 0) -> Rule:
    """Return the rule with spikes that arrive later: pre ones by `axonal`, post ones by `dendritic` time steps.

    Each is one number of steps or one for each neuron, [n_pre] and [n_post]; they are concrete, since the longest sets
    the size of the state. It is exactly as if the trains had been shifted: a window W(t_post - t_pre) becomes
    W(t_post - t_pre + dendritic - axonal). Potentials (`Signals.v`) are those at the synapse and are not delayed.
    Raises ValueError for delays that are negative or not whole.
    """
    pre_delay, post_delay = _steps("axonal", axonal), _steps("dendritic", dendritic)

    def init(params, n_pre, n_post):
        inner = rule.init(params, n_pre, n_post)
        waiting = [_waiting(params, delay, n) for delay, n in ((pre_delay, n_pre), (post_delay, n_post))]
        return Delayed(inner, *waiting)

    def step(params, state, pre, post, w, modulator, dt):
        pre_spike, pre_queue = _shift(state.pre, pre.spike, pre_delay)
        post_spike, post_queue = _shift(state.post, post.spike, post_delay)
        dw, inner = rule.step(
            params, state.rule, Signals(pre_spike, pre.v), Signals(post_spike, post.v), w, modulator, dt
        )
        return dw, Delayed(inner, pre_queue, post_queue)

    # No `taus`: weights change when spikes arrive, which is not when they are seen.
    return rule._replace(name=f"{rule.name}+delays", init=init, step=step, taus=None)


def _steps(name: str, delay: Any) -> np.ndarray:
    steps = np.asarray(delay)
    if steps.ndim > 1 or not np.issubdtype(steps.dtype, np.integer) or np.any(steps < 0):
        raise ValueError(f"delayed: {name} must be whole numbers of steps >= 0, one or one a neuron, got {delay}")
    return steps


def _waiting(params: Any, delay: np.ndarray, n: int) -> Array:
    longest = int(delay.max(initial=0))
    return base.zeros(params, longest * n).reshape(longest, n)


def _shift(queue: Array, spike: Array, delay: np.ndarray) -> tuple[Array, Array]:
    """Return (the spikes that arrive now [n], the queue after this step)."""
    every = jnp.concatenate([spike.astype(queue.dtype)[None, :], queue])
    arrives = every[np.broadcast_to(delay, spike.shape), np.arange(spike.shape[0])]
    return arrives, every[: len(queue)]
