"""A committee: n networks on arrays of their own answer together, by the mean of their outputs or by votes.

    y = (1/n) sum_m y_m        or        y_c = (members whose largest output is c) / n

The errors of members are averaged behind the neurons, where in `redundancy` they are before: a member that is right on
its own keeps its margin, but what the neurons cut off or let through wrongly stays. Costs n times the devices, reads,
pulses and neurons.
Source: Joksas et al., Nat. Commun. 11, 4273 (2020), doi:10.1038/s41467-020-18098-0 (committees of memristive networks).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from memjax.mitigation._reader import Reader, respond

WAYS = ("mean", "vote")


def answer(
    read: Callable[[Any], tuple[Reader, Reader]],
    members: Any,
    x: Array,
    key: Array,
    *,
    by: str = "mean",
    **settings: Any,
) -> Array:
    """Return the outputs y [..., classes] of a committee for inputs x [..., rows] in [0, 1].

    members   a pytree with a leading axis of members on every leaf, as of pairs of arrays made by `jax.vmap`
    read      the two readers of one of them
    by        "mean" of the outputs, or "vote"
    settings  of `respond`

    Every member has read noise of its own. Raises ValueError for another way to decide.
    """
    if by not in WAYS:
        raise ValueError(f"mitigation: by = {by!r}: accepted is one of {', '.join(WAYS)}")
    n = len(jax.tree.leaves(members)[0])
    y = jax.vmap(lambda one, own: respond(*read(one), x, own, **settings))(members, jax.random.split(key, n))
    if by == "vote":
        y = jax.nn.one_hot(jnp.argmax(y, axis=-1), y.shape[-1], dtype=y.dtype)
    return jnp.tensordot(jnp.full(n, 1 / n, y.dtype), y, 1)  # not a mean: see `redundancy`
