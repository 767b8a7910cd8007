"""Conductances and weights of an array, and the net conductance that it may keep."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from jax import Array

from memjax.crossbar._array import Crossbar, Lines
from memjax.crossbar._layout import active_lines, to_logical
from memjax.devices.base import conductance as device_conductance


def conductance(xbar: Crossbar) -> Array:
    """Return the conductances at the read voltage g [P, rows, cols] [S]; inactive tiles read as zero."""
    return to_logical(xbar, tiled_conductance(xbar))


def net_conductance(xbar: Crossbar) -> Array:
    """Return the net conductance of every weight, g+ - g- of a differential pair or g itself [rows, cols] [S].

    Without the wires: of the devices alone.
    """
    net = net_lines(xbar)
    return net.reshape(-1, net.shape[-1])[: xbar.shape[0]]


def conductance_range(xbar: Crossbar) -> Array:
    """Return the mean range g(x = 1) - g(x = 0) of the array's devices [] [S], or what is kept as that."""
    if xbar.span is not None:
        return xbar.span
    return _mean(xbar, _end(xbar, 1.0) - _end(xbar, 0.0))


def weights(xbar: Crossbar, w_max: Any = 1.0) -> Array:
    """Return the weights w = w_max (g+ - g-) / (g_max - g_min) [rows, cols].

    Single-ended: w_max (g - g_min) / (g_max - g_min). g_min and g_max are means over the array's devices. Inactive
    tiles have weight zero.
    """
    net, span = net_conductance(xbar), conductance_range(xbar)
    if xbar.polarity == 1:
        low = _mean(xbar, _end(xbar, 0.0))
        on = active_lines(xbar, Lines(0, xbar.tile[0]))[0, : xbar.shape[0], : xbar.shape[1]]
        net = net - jnp.where(on, low, jnp.zeros_like(low))
    return w_max * net / span


def uncache(xbar: Crossbar) -> Crossbar:
    """Drop the cached net conductance."""
    return replace(xbar, net=None)


def changed(xbar: Crossbar, state: Any) -> Crossbar:
    """Return the array with a new state; what it kept is brought up to date, or where wires are solved, dropped."""
    stale = replace(xbar, state=state, net=None)
    return stale if xbar.net is None or solves(xbar) else replace(stale, net=lossy_lines(stale))


def solves(xbar: Crossbar) -> bool:
    """Say whether the array's reads and writes ask for the solution of its wires."""
    return xbar.wires is not None and xbar.losses is None


def _end(xbar: Crossbar, x: float) -> Array:
    """Conductance at the end x of the range, [] or [P, R, m, C, n]."""
    return device_conductance(xbar.device, xbar.params, xbar.device.init(xbar.params, x), xbar.v_read)


def _mean(xbar: Crossbar, g: Array) -> Array:
    """Mean over the devices that exist: with the padded ones it would depend on the tile."""
    return jnp.mean(to_logical(xbar, g) if g.ndim else g)


def tiled_conductance(xbar: Crossbar) -> Array:
    g = device_conductance(xbar.device, xbar.params, xbar.state, xbar.v_read)
    return jnp.where(xbar.active[None, :, None, :, None], g, jnp.zeros_like(g))


def net_lines(xbar: Crossbar) -> Array:
    """Net conductance of the devices of all word lines, the padded ones too [R, m, cols]: `net` where it is cached."""
    if xbar.net is not None and xbar.wires is None and xbar.losses is None:
        return xbar.net
    return _flat(xbar, tiled_conductance(xbar))


def lossy_lines(xbar: Crossbar) -> Array:
    """Net conductance [R, m, cols] that reads see, with the losses that the array keeps."""
    if xbar.losses is None:
        return net_lines(xbar)
    return _flat(xbar, tiled_conductance(xbar) * xbar.losses.read)


def _flat(xbar: Crossbar, g: Array) -> Array:
    net = net_of(g)
    return net.reshape(*net.shape[:2], -1)[..., : xbar.shape[1]]


def net_of(g: Array) -> Array:
    return g[0] - g[1] if g.shape[0] == 2 else g[0]
