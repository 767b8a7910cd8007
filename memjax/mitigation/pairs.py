"""Compensation of stuck devices by their healthy partners, and of what these cannot reach by the rest of the column.

A weight is w = x+ - x-, each x in [0, 1]. Where one device is stuck at l, its partner takes up the rest,

    x- = x+ - w  (+ stuck at l)        x+ = x- + w  (- stuck at l)

as far as it goes: the weight then lies in [l - 1, l] (+ stuck) or [-l, 1 - l] (- stuck), and a pair of two stuck ones
stays where it is. A device that is stuck at an end leaves one sign of weights out of reach. `spread_rest` makes up for
these by the other weights of the column: of all w within reach it finds those whose outputs differ least from those of
the wanted W in the mean over inputs of second moment C = <x x^T>,

    min_w sum_j (w_j - W_j)^T C (w_j - W_j),   low <= w <= high,

a box-constrained least-squares problem a column, by accelerated projected gradients. Neighbouring inputs that are alike
(pixels of an image) stand in for each other.

No more devices; a measured fault map (`fault_map.measure`), and for `spread_rest` a few hundred inputs, once for all
chips. For a single-ended array w = 2 x - 1, and nothing but `spread_rest` helps.
Sources: remapping to the healthy device of a pair as in Liu et al., DAC 2017, doi:10.1145/3061639.3062310; the least
squares are those of optimal brain surgeon (Hassibi and Stork, NIPS 1992) with bounds; acceleration: Beck and Teboulle,
SIAM J. Imaging Sci. 2, 183 (2009), doi:10.1137/080716542.
"""

import jax
import jax.numpy as jnp
from jax import Array

from memjax.mitigation.fault_map import FaultMap


def reach(faults: FaultMap) -> tuple[Array, Array]:
    """Return the lowest and the highest weight that every pair can take [rows, cols], given its stuck devices."""
    low = jnp.where(faults.stuck, faults.level, 0.0)
    high = jnp.where(faults.stuck, faults.level, 1.0)
    if low.shape[0] == 1:
        return 2 * low[0] - 1, 2 * high[0] - 1
    return low[0] - high[1], high[0] - low[1]


def states(target: Array, faults: FaultMap) -> Array:
    """Return the states x [P, rows, cols] that bring the weights [rows, cols] as near to target as they can be.

    Healthy pairs share the weight, (1 + w) / 2 and (1 - w) / 2; the partner of a stuck device takes up all of it.
    Raises ValueError for a target of another shape.
    """
    p, *shape = faults.stuck.shape
    if target.shape != tuple(shape):
        raise ValueError(f"mitigation: target has shape {target.shape}: accepted is {tuple(shape)} (rows, cols)")
    x = 0.5 + 0.5 * jnp.stack([target, -target][:p])
    if p == 2:
        other = jnp.where(faults.stuck[::-1], faults.level[::-1] + jnp.stack([target, -target]), x)
        x = jnp.where(faults.stuck.any(0)[None], other, x)
    return jnp.clip(jnp.where(faults.stuck, faults.level, x), 0.0, 1.0)


def spread_rest(target: Array, low: Array, high: Array, moment: Array, *, steps: int = 100) -> Array:
    """Return the weights [rows, cols] within [low, high] whose outputs come nearest to those of target.

    moment [rows, rows]: the mean of x_i x_k over inputs, as of training samples. The residual falls at least as
    1 / steps^2, and to rounding where the problem is well conditioned. Raises ValueError for a moment of another shape.
    """
    if moment.shape != (target.shape[0],) * 2:
        raise ValueError(
            f"mitigation: moment has shape {moment.shape}: accepted is {(target.shape[0],) * 2} (rows, rows)"
        )
    rate = 1.0 / jnp.max(jnp.sum(jnp.abs(moment), axis=1))  # no row sum is below the largest eigenvalue

    def descend(_, state):
        w, ahead, t = state
        new = jnp.clip(ahead - rate * (moment @ (ahead - target)), low, high)
        later = 0.5 + jnp.sqrt(0.25 + t * t)
        return new, new + (t - 1) / later * (new - w), later

    start = jnp.clip(target, low, high)
    return jax.lax.fori_loop(0, steps, descend, (start, start, jnp.ones((), start.dtype)))[0]
