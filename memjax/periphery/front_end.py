"""The analogue ends of an array: drivers of its word lines, sense amplifiers of its bit lines, and who converts what.

Driver            a source of resistance r_out with a current limit i_max, on a line whose devices draw v G in all:
                  v = v_wanted / (1 + r_out G), and where |v| G would exceed i_max, v = +-i_max / G.
                  Linear devices, ideal wires, bit lines at virtual ground. With resistive wires the driver's resistance
                  belongs to the solution of the wires, and r_out is 0 here: not both.
SenseAmplifier    input-referred white noise of density s [A/sqrt(Hz)], one-sided, averaged over the read time t: an
                  integrator's noise bandwidth is 1 / (2 t), so sd = s / sqrt(2 t). Drawn at every read-out (not D2D).
"""

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jax.core import Tracer

from memjax import noise
from memjax.devices.base import accept
from memjax.energy import Events
from memjax.periphery._lines import fit
from memjax.periphery.converters import ADC, adc


@struct.dataclass
class Driver:
    """A word-line driver: output resistance [ohm] and largest current [A]; leaves are scalars or [rows]."""

    r_out: Array | float = 0.0
    i_max: Array | float = jnp.inf


@struct.dataclass
class SenseAmplifier:
    """Sensing of a bit line; leaves are scalars or [cols]."""

    density: Array | float = 0.0  # A/sqrt(Hz), input-referred white noise
    time: Array | float = 20e-9  # s, over which a read-out integrates
    offset: Array | float = 0.0  # A, input-referred


def drive(driver: Driver, v: Array, load: Array) -> Array:
    """Return the voltages that reach the word lines, v [..., rows] [V] -> [..., rows] [V].

    load [rows] [S] is the sum of the conductances on each line, of both polarities. Raises ValueError for an r_out, an
    i_max or a load that is negative.
    """
    for name, value in (("r_out", driver.r_out), ("i_max", driver.i_max), ("load", load)):
        if not isinstance(value, Tracer):
            accept(f"Driver: {name}", value, np.asarray(value) >= 0, "0 or more")
    load = jnp.broadcast_to(fit(load, v), v.shape)
    v = v / (1 + fit(driver.r_out, v) * load)
    limited = jnp.abs(v) * load > fit(driver.i_max, v)
    # 0 / 1 where nothing is limited: no limit is infinite, and an empty line has a load of zero.
    most = jnp.where(limited, fit(driver.i_max, v), 0.0) / jnp.where(limited, load, 1.0)
    return jnp.where(limited, jnp.sign(v) * most, v)


def sense_sd(amplifier: SenseAmplifier) -> Array | float:
    """Return the standard deviation of a read-out's noise, density / sqrt(2 time) [A]."""
    return amplifier.density / (2 * amplifier.time) ** 0.5


def sense(amplifier: SenseAmplifier, i: Array, key: Array | None = None) -> Array:
    """Read out the currents i [..., cols] [A], with offset and the noise of this read-out.

    Without a key there is no noise. Raises ValueError for a negative density or a time that is not positive.
    """
    for name, value, ok, accepted in (
        ("density", amplifier.density, lambda x: x >= 0, "0 or more"),
        ("time", amplifier.time, lambda x: x > 0, "more than 0 s"),
    ):
        if not isinstance(value, Tracer):
            accept(f"SenseAmplifier: {name}", value, ok(np.asarray(value)), accepted)
    i = i + fit(amplifier.offset, i)
    return i if key is None else i + fit(sense_sd(amplifier), i) * noise.normal(key, i.shape, i.dtype)


def sum_tiles(converter: ADC | None, partial: Array, *, per_tile: bool = True, active: Array | None = None) -> Array:
    """Add the partial currents of the tiles above each other, partial [..., R, cols] -> [..., cols] [A].

    active [R, cols] bool: where there is a tile that converts. One that is off adds nothing, not the offset of its ADC
    nor what its grid makes of 0 A, and nor does a column without any tile that is on (None: all are).

    per_tile: every tile's current is converted, and the codes are added digitally: R conversions a column, each with
    its own quantisation error, in a range of one tile's current. Otherwise the currents are added on the line, and the
    sum is converted once, in R times the range for the same safety against clipping.
    """
    if converter is None:
        return jnp.sum(partial, axis=-2)
    i = adc(converter, partial if per_tile else jnp.sum(partial, axis=-2))
    if active is not None:
        on = active if per_tile else jnp.any(active, axis=0)
        i = jnp.where(jnp.broadcast_to(on, i.shape), i, jnp.zeros_like(i))
    return jnp.sum(i, axis=-2) if per_tile else i


def conversions(
    active: Array,
    shape: tuple[int, int],
    tile: tuple[int, int],
    delivered: Array,
    vectors: int = 1,
    *,
    per_tile: bool = True,
) -> Events:
    """Count the conversions of reading an array: Events with adc and dac alone.

    active [R, C] bool, shape and tile are the array's; delivered [rows] are the non-zero inputs of each line over
    `vectors` input vectors (with bit-serial inputs a plane is a vector). A zero input is not converted: its line rests.

    per_tile: every active tile has DACs on its word lines and ADCs on its bit lines. Otherwise a word line and a bit
    line that cross any active tile have one each. A differential pair is subtracted before its ADC.
    """
    (rows, cols), (m, n) = shape, tile
    active = active.astype(jnp.int32)
    inputs = jnp.pad(delivered.astype(jnp.int32), (0, active.shape[0] * m - rows)).reshape(active.shape[0], m)
    # Counts stay int32 where 64-bit types are enabled too: a sum of integers would widen them.
    inputs = jnp.sum(inputs, axis=1, dtype=jnp.int32)
    columns = jnp.clip(cols - n * jnp.arange(active.shape[1], dtype=jnp.int32), 0, n)
    by_row, by_column = (
        jnp.sum(active, axis=axis, dtype=jnp.int32) if per_tile else jnp.max(active, axis=axis) for axis in (1, 0)
    )
    return Events(
        adc=vectors * jnp.sum(columns * by_column, dtype=jnp.int32), dac=jnp.sum(inputs * by_row, dtype=jnp.int32)
    )
