"""Faults: stuck devices, dead lines of tiles, and the lives of devices. A map is int8: 1 on, -1 off, 0 healthy."""

import math
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.core import Tracer

from memjax import noise
from memjax.variation._keys import named_key

LINES = ("word", "bit", "driver")


def sample_stuck(shape: tuple[int, ...], on: float | Array, off: float | Array, key: Array) -> Array:
    """Draw stuck devices [shape], int8: 1 stuck on (probability `on`), -1 stuck off (probability `off`), 0 healthy.

    On is the low-resistance state (LRS, x = 1), off the high-resistance state (HRS, x = 0).
    Raises ValueError for probabilities outside [0, 1] or that add up to more than 1.
    """
    if not any(isinstance(p, Tracer) for p in (on, off)) and not (on >= 0 and off >= 0 and on + off <= 1):
        raise ValueError(
            f"variation: stuck on = {on}, stuck off = {off}: accepted are shares of at least 0 that add up to at most 1"
        )
    u = noise.uniform(named_key(key, "stuck"), shape)
    on, either = jnp.asarray(on, u.dtype), jnp.asarray(on + off, u.dtype)
    return jnp.where(u < on, 1, jnp.where(u < either, -1, 0)).astype(jnp.int8)


def sample_lines(
    shape: tuple[int, int, int], tile: tuple[int, int], word: Any, bit: Any, driver: Any, key: Array
) -> Array:
    """Draw dead lines of an array [P, rows, cols] cut into tiles: the devices on them read as stuck off, int8 -1.

    word    probability that a word line of a tile is dead: a row of the tile, both devices of its pairs
    bit     probability that a bit line of a tile is dead: a column of the tile, one polarity (each has its own)
    driver  probability that the driver of a word line is dead: that row of all tiles beside each other

    A line without voltage carries no current at all; stuck off leaves g_min, which a pair on a word line cancels.
    Raises ValueError for probabilities outside [0, 1].
    """
    (p, rows, cols), (m, n) = shape, tile
    for name, value in zip(LINES, (word, bit, driver), strict=True):
        if not isinstance(value, Tracer) and not 0 <= value <= 1:
            raise ValueError(f"variation: share of dead lines, {name} = {value}: accepted is 0 to 1")
    r, c = math.ceil(rows / m), math.ceil(cols / n)
    sizes = {"word": (rows, c), "bit": (p, r, cols), "driver": (rows,)}
    words, bits, drivers = (
        noise.uniform(named_key(key, f"dead {name}"), sizes[name]) < jnp.asarray(value, jnp.float32)
        for name, value in zip(LINES, (word, bit, driver), strict=True)
    )
    dead = (drivers[:, None] | jnp.repeat(words, n, axis=1)[:, :cols])[None] | jnp.repeat(bits, m, axis=1)[:, :rows]
    return -dead.astype(jnp.int8)


def one_line_a_tile(shape: tuple[int, int, int], tile: tuple[int, int], kind: str, key: Array) -> Array:
    """Draw exactly one dead line of a kind in every tile [P, rows, cols], int8: what spares are measured on.

    kind "word": one row of every tile; "bit": one column of every tile, of one polarity; "driver": one row of every
    row of tiles. Raises ValueError for another kind.
    """
    if kind not in LINES:
        raise ValueError(f"variation: line {kind!r}: accepted is one of {', '.join(LINES)}")
    (p, rows, cols), (m, n) = shape, tile
    r, c = math.ceil(rows / m), math.ceil(cols / n)
    u = noise.uniform(named_key(key, f"one {kind}"), (r, 1 if kind == "driver" else c))
    i, j, side = (jnp.arange(size, dtype=jnp.int32) for size in shape[1:] + shape[:1])
    u = u[i // m][:, j // n if kind != "driver" else jnp.zeros_like(j)]
    # The tiles at the end hold fewer lines: the draw is among those that exist.
    if kind == "bit":
        here = jnp.minimum(n, cols - j // n * n)[None] * p
        at = jnp.floor(u * here.astype(u.dtype)).astype(jnp.int32)
        dead = at[None] == (side[:, None, None] * (here[None] // p) + (j % n)[None, None])
    else:
        here = jnp.minimum(m, rows - i // m * m)[:, None]
        dead = (jnp.floor(u * here.astype(u.dtype)).astype(jnp.int32) == (i % m)[:, None])[None]
    return -jnp.broadcast_to(dead, shape).astype(jnp.int8)


def merge_faults(first: Array | None, *others: Array | None) -> Array | None:
    """Lay fault maps over each other: where an earlier map has a fault it stays; None is no map."""
    merged = first
    for other in others:
        merged = other if merged is None else merged if other is None else jnp.where(merged != 0, merged, other)
    return merged


def sample_lives(shape: tuple[int, ...], scale: Any, exponent: Any, key: Array) -> Array:
    """Draw the writes [shape] that devices live for, by Weibull's law: P(life < n) = 1 - exp(-(n / scale)^exponent).

    scale [writes]: by then 1 - 1/e of the devices have failed; inf: none does. Raises ValueError for values <= 0.
    Source: Weibull, J. Appl. Mech. 18, 293 (1951), doi:10.1115/1.4010337.
    """
    for name, value in (("scale", scale), ("exponent", exponent)):
        if not isinstance(value, Tracer) and not value > 0:
            raise ValueError(f"variation: {name} of lives = {value}: accepted is more than 0")
    u = noise.uniform(named_key(key, "lives"), shape, jnp.result_type(float))
    return scale * (-jnp.log(u)) ** (1.0 / exponent)
