"""Arrays whose lines have resistance: every tile is a circuit of its own, with its own drivers and sense amplifiers.

A tile's lines are as long as the tile: in one that the array fills in part, the current still passes the cells that are
missing, which conduct nothing.  Devices are linear, with their conductance at the read voltage.
"""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from memjax.crossbar._array import Crossbar, Lines, Losses
from memjax.crossbar._conductance import net_of, tiled_conductance
from memjax.crossbar._layout import to_logical
from memjax.wires import Wires, effective, solve

SIDE_BY_SIDE = 8  # unit inputs solved together: more do not fit the cache


def effective_conductance(xbar: Crossbar, wires: Wires | None = None) -> Array:
    """Return what every device adds to a read of its column through the wires, g_eff [P, rows, cols] [S].

    i = v g_eff, exactly, but a device's number depends on all the others of its tile. wires: in place of the array's
    own. Raises ValueError where there are none.
    """
    wires = xbar.wires if wires is None else wires
    if wires is None:
        raise ValueError("crossbar: effective_conductance without wires: accepted are those of `create`, or some here")
    return to_logical(xbar, _effective(xbar, wires))


def effective_lines(xbar: Crossbar, wires: Wires) -> Array:
    """Return the net conductance that reads see through the wires, of all word lines [R, m, cols] [S]."""
    net = net_of(_effective(xbar, wires))
    return net.reshape(*net.shape[:2], -1)[..., : xbar.shape[1]]


def _effective(xbar: Crossbar, wires: Wires) -> Array:
    return jnp.moveaxis(effective(_tiles(xbar), wires), 3, 2)  # [P, R, m, C, n]


def tile_currents(xbar: Crossbar, v: Array, wires: Wires) -> Array:
    """Return the net currents out of every tile's bit lines for v [..., R, m] [V]: [..., R, cols] [A]."""
    found = solve(_tiles(xbar), v[..., None, :, None, :], **_arguments(wires))
    net = net_of(jnp.moveaxis(found.i, -4, 0))  # [..., R, C, n]
    return net.reshape(*net.shape[:-2], -1)[..., : xbar.shape[1]]


def tile_currents_back(xbar: Crossbar, v: Array, wires: Wires) -> Array:
    """Return the net currents out of every tile's word lines, v [..., C, n] [V] on bit lines -> [..., R, m, C] [A]."""
    m = xbar.tile[0]
    v = v[..., None, None, :, :]
    found = solve(_tiles(xbar), jnp.zeros((*v.shape[:-1], m), v.dtype), v_bit=v, **_arguments(wires))
    return jnp.moveaxis(net_of(jnp.moveaxis(-found.i_word, -4, 0)), -2, -1)


def keep_losses(xbar: Crossbar) -> Crossbar:
    """Return the array with `Losses` at its present conductances, which its reads and writes then use.

    For loops that write often and little: a solution of the wires at every read and write costs hundreds of times the
    rest. Between two calls a read misses what the writes since have changed of the *losses*, and a write what pulses
    on other bit lines, at the same time, take from it: both of second order in the wires' resistance. Those of a tile
    that is off are kept too, for when it is switched on. `cache` and an explicit `wires` stay exact. Raises ValueError
    for an array without wires.
    """
    if xbar.wires is None:
        raise ValueError("crossbar: keep_losses of an array without wires: give `create` its wires")
    g = _tiles(replace(xbar, active=jnp.ones_like(xbar.active)))  # [P, R, C, m, n]
    arguments, (m, n) = _arguments(xbar.wires), xbar.tile

    def driven(count, at_words, at_bits):
        """Solve for every line driven alone: the voltages of its own devices, and the bit lines' currents."""

        def some(lines):
            unit = (lines[:, None] == jnp.arange(count)[None]).astype(g.dtype)  # [few, count]
            unit = unit.reshape(-1, 1, 1, 1, count)
            found = solve(g, unit if at_words else jnp.zeros(m, g.dtype), v_bit=unit if at_bits else None, **arguments)
            u = found.v_word - found.v_bit
            own = lines.reshape(-1, *(1,) * 5)
            taken = jnp.take_along_axis(u, own, axis=-2 if at_words else -1)
            return jnp.squeeze(taken, -2 if at_words else -1), found.i

        size = math.ceil(count / SIDE_BY_SIDE)
        lines = jnp.minimum(jnp.arange(size * SIDE_BY_SIDE), count - 1).reshape(size, SIDE_BY_SIDE)
        taken, i = (x.reshape(-1, *x.shape[2:])[:count] for x in jax.lax.map(some, lines))
        return jnp.moveaxis(taken, 0, 3), jnp.moveaxis(i, 0, 3)  # [P, R, C, count, n or m]

    from_words, seen = driven(m, True, False)
    from_bits, _ = driven(n, False, True)
    read = jnp.where(g > 0, seen / jnp.where(g > 0, g, 1), 1)
    write = (from_words - jnp.swapaxes(from_bits, -1, -2)) / 2
    losses = Losses(*(jnp.moveaxis(x, 3, 2) for x in (read, write)))
    return replace(xbar, losses=losses, net=None)


def no_losses(xbar: Crossbar) -> Losses:
    """Return the losses of ideal wires, in the shape that an array's have."""
    one = jnp.ones_like(tiled_conductance(xbar))
    return Losses(one, one)


def few(xbar: Crossbar, v: Array) -> bool:
    """Say whether v [..., lines] holds fewer inputs than a tile has lines: then solving for each of them costs less."""
    return v.size // max(v.shape[-1], 1) < min(xbar.tile)


def reached(xbar: Crossbar, pulses: Array, rows: Array | Lines, wires: Wires) -> Array:
    """Return the voltages at the selected word lines' devices for pulses [P, k, C n] of these amplitudes [V].

    One word line of a tile is selected at a time, in the V/2 scheme and in two phases: its terminal is at half the
    write voltage, the bit lines of the devices to be potentiated at minus half, all other lines at 0; then all with the
    other sign, to depress.  A device without a pulse gets none: that half-selected ones are disturbed is left out.
    """
    (tile_rows, tile_cols), (m, n) = xbar.active.shape, xbar.tile
    g = _tiles(xbar)  # [P, R, C, m, n]
    polarity = pulses.shape[0]
    half = jnp.asarray(xbar.v_write / 2, pulses.dtype)

    def phases(g, amplitude, line):
        """Voltages [..., n] of the devices of word line `line` of tiles g [..., m, n] for amplitudes [..., n]."""
        signs = jnp.asarray([1, -1], pulses.dtype).reshape(2, *(1,) * amplitude.ndim)
        wanted = jnp.maximum(signs * amplitude[None], 0)
        # Bit lines share the voltage of a pulse with the word line: an amplitude a asks for a v in all.
        at_bits = signs * jnp.where(wanted > 0, half * (1 - 2 * wanted), 0)
        busy = jnp.any(wanted > 0, axis=-1, keepdims=True)
        selected = (jnp.arange(m) == line).reshape(*(1,) * amplitude.ndim, m)
        at_words = jnp.where(selected & busy, signs * half, 0)
        found = solve(g, at_words, v_bit=at_bits, **_arguments(wires))
        u = jnp.take(found.v_word - found.v_bit, line, axis=-2)
        return jnp.sum(jnp.where(wanted > 0, u, 0), axis=0)

    if isinstance(rows, Lines):
        each = pulses.reshape(polarity, tile_rows, rows.count, tile_cols, n)

        def one(inputs):
            amplitude, line = inputs
            return phases(g, amplitude, line)

        u = jax.lax.map(one, (jnp.moveaxis(each, 2, 0), rows.start + jnp.arange(rows.count)))
        return jnp.moveaxis(u, 0, 2).reshape(pulses.shape)
    each = pulses.reshape(polarity, -1, tile_cols, n)
    u = jax.lax.map(lambda one: phases(g[:, one[1] // m], one[0], one[1] % m), (jnp.moveaxis(each, 1, 0), rows))
    return jnp.moveaxis(u, 0, 1).reshape(pulses.shape)


def _tiles(xbar: Crossbar) -> Array:
    """Conductances tile by tile [P, R, C, m, n] [S]; 0 where a tile is inactive or the array has no device."""
    g = tiled_conductance(xbar)
    (rows, cols), (_, r, m, c, n) = xbar.shape, g.shape
    row = (jnp.arange(r * m) < rows).reshape(1, r, m, 1, 1)
    col = (jnp.arange(c * n) < cols).reshape(1, 1, 1, c, n)
    return jnp.moveaxis(jnp.where(row & col, g, jnp.zeros_like(g)), 2, 3)


def _arguments(wires: Wires) -> dict[str, Any]:
    names = ("r_word", "r_bit", "topology", "r_source", "r_sense", "precision", "limit")
    return {name: getattr(wires, name) for name in names}
