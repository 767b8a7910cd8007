"""Whether a fixed step is short enough for an explicit solver, from the fastest decay that the model has there."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memjax.devices._solvers import SOLVERS
from memjax.devices.base import Device, accept

# Where the stability region ends on the negative real axis: dt |d rate / d state| of a decay.
LIMITS = {"euler": 2.0, "heun": 2.0, "rk4": 2.785}


def check_step(device: Device, params: Any, state: Any, v, dt, solver: str = "rk4") -> None:
    """Refuse a time step at which an explicit solver diverges, at given states and voltages.

    The solver is stable where dt |d rate / d state| of every decay (d rate / d state < 0) is below its limit: euler
    and heun 2, rk4 2.785.  Beyond it an error grows from step to step, and the state jumps between its bounds.
    state: any shape; v [] or [...] in V: give the states and the extreme voltages that the run will see (`simulate`
    looks by itself at those that it came to, outside jit); dt [] or [T] in s: the longest counts.  Models whose own
    step is rk4 (`yakopcic`, windowed `linear_ion_drift`) keep to the same limit.

    Raises ValueError naming the device, dt, the limit and what to use instead, and where the device has no rate.
    """
    if solver not in LIMITS:
        raise ValueError(f"solver = {solver!r}: accepted are {', '.join(map(repr, SOLVERS))}")
    if device.rate is None:
        raise ValueError(f"device {device.name!r} has no rate: accepted is a model that is an ODE")
    accept("dt", dt, np.asarray(dt) >= 0, "0 s or more")
    v = jnp.asarray(v, dtype=jnp.result_type(float, *jax.tree.leaves(state)))
    refuse_unstable(device, solver, dt, np.max(dt) * fastest_decay(device, params, state, v))


def fastest_decay(device: Device, params, state, v) -> jax.Array:
    """Bound the rate [1/s] of the fastest decay in d state / dt at a state and voltage, over all devices.

    -d rate / d state for one variable; for several, Gershgorin's bound max_i (-J_ii + sum_j |J_ij|, j != i).  Negative
    where everything grows, which no step makes unstable.
    """
    leaves, treedef = jax.tree.flatten(state)

    def rates(*leaves):
        out = jax.tree.leaves(device.rate(params, treedef.unflatten(leaves), v))  # type: ignore[misc]
        return [r + jnp.zeros_like(leaf) for r, leaf in zip(out, leaves, strict=True)]

    discs: list = [0.0] * len(leaves)
    for j in range(len(leaves)):
        direction = [jnp.full_like(leaf, float(j == k)) for k, leaf in enumerate(leaves)]
        _, column = jax.jvp(rates, leaves, direction)
        discs = [disc + (-d if i == j else jnp.abs(d)) for i, (disc, d) in enumerate(zip(discs, column, strict=True))]
    return jnp.max(jnp.stack([jnp.max(disc) for disc in discs]))


def refuse_unstable(device: Device, solver: str, dt, product) -> None:
    """Raise ValueError unless product = max of dt |d rate / d state| is within the solver's limit."""
    limit, product, longest = LIMITS[solver], float(product), float(np.max(dt))
    if not product <= limit:
        stable = 0.99 * longest * limit / product
        raise ValueError(
            f"device {device.name!r}, solver {solver!r}: dt = {longest:g} s is unstable, dt |d rate / d state| reaches"
            f" {product:.3g} where at most {limit:g} is stable; accepted is dt <= {stable:.3g} s,"
            " or the model's own step (solver=None), or simulate_adaptive"
        )
