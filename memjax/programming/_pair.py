"""Re-balancing of differential pairs that are written on one side."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from memjax import crossbar
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.programming import write_verify
from memjax.programming.base import none_yet, number_of, reached


def rebalance(
    params: write_verify.Params, xbar: Crossbar, full: Any, dt: Any, key: Array | None
) -> tuple[Crossbar, Events]:
    """Reset every pair that is full, and rewrite its difference on one side.

    A pair is full where one device is above the share `full` of its range and the other above 1 - full, so that the
    rewriting leaves both below `full`. params are those of the write-verify that rewrites (sides "one"). A reset is one
    strong pulse a device and leaves it at x = 0; stuck devices stay as they are, and inactive tiles are left alone. In
    the ledger the resets and every pulse of the rewriting are `refresh`, the look at every pair and the reads of the
    rewriting `verify`. Raises ValueError for an array without pairs. Source: the occasional RESET of Burr et al., IEEE
    T. Electron Dev. 62, 3498 (2015).
    """
    if xbar.polarity != 2:
        raise ValueError("programming: rebalance takes differential pairs (polarity 2); this array has single devices")
    on, wanted = reached(xbar), crossbar.weights(xbar)
    empty = replace(xbar, state=xbar.device.init(xbar.params, jnp.zeros_like(_example(xbar))), net=None)
    low = jnp.mean(crossbar.conductance(replace(empty, active=jnp.ones_like(xbar.active))))
    share = (crossbar.conductance(xbar) - low) / crossbar.conductance_range(xbar)
    again = on & (jnp.max(share, axis=0) > full) & (jnp.min(share, axis=0) > 1 - full)
    tiled = _tiled(xbar, again)
    if xbar.faults is not None:
        tiled = tiled & (xbar.faults == 0)
    state = jax.tree.map(
        lambda new, old: jnp.where(tiled.reshape(tiled.shape + (1,) * (old.ndim - tiled.ndim)), new, old),
        empty.state,
        xbar.state,
    )
    after = replace(xbar, state=state, net=None)
    after = after if xbar.net is None else crossbar.cache(after)
    after, _, spent = write_verify.program_to(params, after, wanted, dt, key, where=again)
    refresh = 2 * number_of(again) + spent.pulse
    return after, none_yet() + Events(refresh=refresh, verify=spent.verify + 2 * number_of(on))


def _example(xbar: Crossbar) -> Array:
    """Return an array of the devices' shape and float type [P, R, m, C, n]."""
    g = jax.eval_shape(lambda: xbar.device.current(xbar.params, xbar.state, xbar.v_read))
    return jnp.zeros(g.shape, g.dtype)


def _tiled(xbar: Crossbar, mask: Array) -> Array:
    """[rows, cols] -> [1, R, m, C, n]."""
    (r, c), (m, n), (rows, cols) = xbar.active.shape, xbar.tile, xbar.shape
    return jnp.pad(mask, ((0, r * m - rows), (0, c * n - cols))).reshape(1, r, m, c, n)
