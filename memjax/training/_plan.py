"""How a run is cut, by its config alone: compiled chunks of samples, and the samples after which it is evaluated."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from memjax import learning
from memjax.config import Config


class Plan(NamedTuple):
    """stops: chunk boundaries, rising, from 0 to all samples; evaluate: those at which the chips are evaluated."""

    stops: tuple[int, ...]
    evaluate: tuple[int, ...]


def plan(n: int, epochs: int, chunk: int, evaluate_every: float) -> Plan:
    """Cut `epochs` passes over n samples into chunks of at most `chunk`, that end at every epoch and every evaluation.

    A chunk's length fixes its program, so a length that divides is preferred where it costs at most half of `chunk`;
    else the rest of a stretch is a second program.
    """
    total = n * epochs
    every = max(1, round(evaluate_every * n))
    evaluate = sorted({*range(every, total, every), total})
    ends = sorted({*range(n, total, n), *evaluate})
    stops = [0]
    for end in ends:
        length = end - stops[-1]
        size = next((d for d in range(min(chunk, length), 0, -1) if length % d == 0 and 2 * d >= chunk), chunk)
        stops += [*range(stops[-1] + size, end, size), end]
    return Plan(tuple(stops), tuple(evaluate))


def rates(config: Config, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the learning rates of the hidden and of the output layer at every one of `total` samples [total]."""
    wanted, dtype = config.learning, np.dtype(jnp.result_type(float))
    hidden = wanted.learning_rate if wanted.learning_rate_hidden is None else wanted.learning_rate_hidden
    first, second = (
        learning.schedule(total, rate, wanted.decay_at, wanted.decay_factor).astype(dtype)
        for rate in (hidden, wanted.learning_rate)
    )
    return first, second
