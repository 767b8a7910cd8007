"""k devices a weight: k arrays of the same weights whose columns are read together, and their mean taken.

Currents of parallel devices add up by themselves, so a weight of k pairs is w = (1/k) sum_m w_m. Errors that the
devices have apart (D2D spread, C2C noise, programming, read noise) fall to 1 / sqrt(k) of one device's; one stuck
device of k counts a k-th. With measured fault maps more is possible: `divide` gives every pair what it can hold, so
that the sum is right as long as the healthy ones can make up for the stuck ones,

    w_m = clip(c, low_m, high_m),   c such that sum_m w_m = k w

which is the division of smallest largest part. It takes the place of a target before programming (`pairs.states`).
Costs k times the devices, pulses and reads.
Source: Boybat et al., Nat. Commun. 9, 2514 (2018), doi:10.1038/s41467-018-04933-y (several devices a synapse).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from memjax.mitigation._reader import Reader, Seen

_HALVINGS = 30  # of an interval of 4: to rounding in float32, and beyond what any device holds


def parallel(read: Callable[[Any], Reader], members: Any) -> Reader:
    """Return the reader of members in parallel: the mean of what they see, and the sd of their mean.

    members  a pytree with a leading axis of members on every leaf, as of arrays made by `jax.vmap`
    read     the reader of one of them, as `mitigation.reader`
    """

    def together(x: Array, power: Array) -> Seen:
        value, sd = jax.vmap(lambda one: read(one)(x, power))(members)
        # Products in place of means: XLA 0.10 on a CPU fuses a reduction over members with what it reduces into a
        # kernel of its own ("ynn"), which for six of them and more returns NaN.
        share = jnp.full(len(value), 1 / len(value), value.dtype)
        if sd is not None:
            sd = jnp.sqrt(jnp.tensordot(share * share, sd * sd, 1, precision="highest"))
        return Seen(jnp.tensordot(share, value, 1, precision="highest"), sd)

    return together


def together(readers: Sequence[Reader]) -> Reader:
    """Return the mean of readers of any kind, as of arrays calibrated apart; `parallel` compiles one for all alike."""
    if len(readers) == 1:
        return readers[0]

    def read(x: Array, power: Array) -> Seen:
        seen = [one(x, power) for one in readers]
        # Term by term, and not a mean over stacked arrays: see `parallel`.
        value = sum((one.value for one in seen[1:]), seen[0].value) / len(seen)
        variances = [one.sd**2 for one in seen if one.sd is not None]
        return Seen(value, jnp.sqrt(sum(variances[1:], variances[0])) / len(seen) if variances else None)

    return read


def divide(target: Array, low: Array, high: Array) -> Array:
    """Return the weight of each of k members [k, rows, cols], within low and high, whose mean is target [rows, cols].

    low, high [k, rows, cols]: what every pair reaches (`pairs.reach`). Where the members together do not reach it, they
    all stand at the end that is nearest. Raises ValueError for a target of another shape.
    """
    if target.shape != low.shape[1:]:
        raise ValueError(f"mitigation: target has shape {target.shape}: accepted is {low.shape[1:]} (rows, cols)")

    def halve(_, ends):
        below, above = ends
        c = (below + above) / 2
        small = jnp.mean(jnp.clip(c[None], low, high), axis=0) < target
        return jnp.where(small, c, below), jnp.where(small, above, c)

    ends = jnp.min(low, axis=0), jnp.max(high, axis=0)
    below, above = jax.lax.fori_loop(0, _HALVINGS, halve, ends)
    return jnp.clip(((below + above) / 2)[None], low, high)
