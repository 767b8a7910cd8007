"""Numbers as an array can take them: inputs as bit planes or pulse widths, weights as slices over several devices.

Bit planes      x = sum_k 2^k b_k, b_k in {0, 1}, one read a plane, added digitally: y = sum_k 2^k convert(read(b_k)).
                Signed inputs are in two's complement: the highest plane counts -2^(bits - 1).
Pulse widths    the voltage is the same for all inputs and tau_i = |x_i| t_max, in whole ticks of a clock; the charge
                q_j = sum_i sign(x_i) v g_ij tau_i is read. Every device sees one voltage, so of a nonlinear I-V its
                chord conductance at that voltage is all that enters.
Slices          an integer weight as digits of cell_bits bits over several devices, w = sum_s 2^(s cell_bits) d_s:
                differential   the digits of |w| on the positive or the negative device of a pair
                offset         the digits of w + 2^(bits - 1), never negative, on single devices; a further column holds
                               those of w = 0, and what it reads is subtracted digitally: the bias and g_min cancel

After Shafiee et al. 2016 (ISAAC, 10.1109/ISCA.2016.12): bit-serial inputs, sliced weights, the column of the bias.
Sums are exact in float32 up to 2^24.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from memjax.devices.base import accept
from memjax.periphery.converters import DAC, dac

ENCODINGS = ("differential", "offset")
MOST_BITS = 24  # float32 counts no further


class Slicing(NamedTuple):
    """How integer weights of `bits` bits, sign included, lie on devices of 2^cell_bits levels."""

    bits: int = 8
    cell_bits: int = 2
    encoding: str = "differential"

    @property
    def slices(self) -> int:
        digits = self.bits - 1 if self.encoding == "differential" else self.bits
        return -(-digits // self.cell_bits)

    @property
    def polarity(self) -> int:
        return 2 if self.encoding == "differential" else 1

    @property
    def top(self) -> int:
        """The largest digit: state x = digit / top."""
        return 2**self.cell_bits - 1

    @property
    def bounds(self) -> tuple[int, int]:
        high = 2 ** (self.bits - 1) - 1
        return (-high, high) if self.encoding == "differential" else (-high - 1, high)


def bit_planes(x: Array, bits: int, *, signed: bool = False) -> Array:
    """Cut integers x [...] into bit planes [bits, ...], int32 of 0 and 1, the lowest first.

    Raises ValueError for bits outside 1 to 24 (2 to 24 if signed), x of another type, or (where concrete) an x that
    the bits do not hold.
    """
    _whole("bits", bits, 2 if signed else 1)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    x = _integers("x", x, low, high)
    place = jnp.arange(bits, dtype=jnp.int32).reshape((bits,) + (1,) * x.ndim)
    return (x[None] >> place) & 1  # of a negative integer: its two's complement


def bit_serial(
    read: Callable[[Array], Array],
    x: Array,
    bits: int,
    *,
    v_bit: Any = 1.0,
    signed: bool = False,
    convert: Callable[[Array], Array] | None = None,
) -> Array:
    """Apply integers one bit plane at a time and add digitally: y = sum_k 2^k convert(read(v_bit b_k)) [..., cols].

    read takes [bits, ..., rows] [V] and returns [bits, ..., cols] [A], as `crossbar.read` does; x [..., rows] holds
    integers, v_bit [V] is the voltage of a one (its type is that of the planes), and convert an `adc` for example. With
    ideal converters y is read(v_bit x). Integers have no gradient. Raises ValueError as `bit_planes`.
    """
    planes = bit_planes(x, bits, signed=signed)
    currents = read(v_bit * planes.astype(jnp.result_type(float, v_bit)))
    if convert is not None:
        currents = convert(currents)
    place = 2.0 ** np.arange(bits)
    if signed:
        place[-1] = -place[-1]
    return jnp.tensordot(jnp.asarray(place, currents.dtype), currents, 1, precision="highest")


def lossless_bits(rows: int, input_bits: int, cell_bits: int) -> int:
    """Return how many bits an ADC needs to tell every sum of a column apart, at one LSB a digit.

    The largest sum is rows (2^input_bits - 1) (2^cell_bits - 1). Where rows is a power of two this is the law of
    Shafiee et al. 2016, equations 1 and 2: log2(rows) + input_bits + cell_bits, one less where either is 1. Raises
    ValueError for a number below 1.
    """
    for name, value in (("rows", rows), ("input_bits", input_bits), ("cell_bits", cell_bits)):
        _whole(name, value, 1, 2**31)
    return (rows * (2**input_bits - 1) * (2**cell_bits - 1)).bit_length()


def pulse_widths(x: Array, t_max: Any, bits: int) -> Array:
    """Encode x in [-1, 1] as pulse widths, sign(x) tau with tau <= t_max [s] in ticks of t_max / (2^bits - 1).

    The charge of a read at v is then `crossbar.read(xbar, v * widths)` [C]. Beyond the range x is clipped; gradients
    are straight-through, as a DAC's. Raises ValueError for bits outside 1 to 23.
    """
    _whole("bits", bits, 1, MOST_BITS - 1)
    # A DAC whose output is a time: one code more than 2^bits each side of zero, less one.
    return dac(DAC(low=-t_max, high=t_max, bits=bits + 1, grid="symmetric"), x * t_max)


def slice_weights(w: Array, slicing: Slicing) -> Array:
    """Cut integer weights [rows, cols] into digits, int32 [polarity, rows, slices, columns], the lowest slice first.

    columns is cols, with one more behind them in the offset encoding. A device's state is digit / slicing.top; as one
    array, reshape to [polarity, rows, slices * columns]. Raises ValueError for bits or cell_bits below 1 (bits below 2
    for pairs), an unknown encoding, w of another type, or (where concrete) a weight outside slicing.bounds.
    """
    _check(slicing)
    w = _integers("w", w, *slicing.bounds)
    if slicing.encoding == "differential":
        unsigned = jnp.stack([jnp.maximum(w, 0), jnp.maximum(-w, 0)])
    else:
        unsigned = jnp.pad(w, ((0, 0), (0, 1)))[None] + 2 ** (slicing.bits - 1)
    place = slicing.cell_bits * jnp.arange(slicing.slices, dtype=jnp.int32).reshape(1, 1, -1, 1)
    return (unsigned[:, :, None, :] >> place) & slicing.top


def assemble(digits: Array, slicing: Slicing) -> Array:
    """Return the integer weights [rows, cols] that digits [polarity, rows, slices, columns] stand for, exactly."""
    _check(slicing)
    place = 2 ** (slicing.cell_bits * jnp.arange(slicing.slices, dtype=jnp.int32))
    each = jnp.sum(digits * place.reshape(1, 1, -1, 1), axis=2, dtype=jnp.int32)
    return each[0] - each[1] if slicing.encoding == "differential" else each[0, :, :-1] - each[0, :, -1:]


def recombine(y: Array, slicing: Slicing) -> Array:
    """Add the slices' read-outs digitally, y [..., slices, columns] -> [..., cols]: sum_s 2^(s cell_bits) y_s.

    In the offset encoding the last column's read-out is subtracted from the others. y is in any unit: currents divided
    by v (g(x = 1) - g(x = 0)) / top are in units of the weights.
    """
    _check(slicing)
    place = 2.0 ** (slicing.cell_bits * np.arange(slicing.slices))
    whole = jnp.einsum("s,...sc->...c", jnp.asarray(place, y.dtype), y, precision="highest")
    return whole if slicing.encoding == "differential" else whole[..., :-1] - whole[..., -1:]


def _check(slicing: Slicing) -> None:
    if slicing.encoding not in ENCODINGS:
        raise ValueError(f"Slicing: encoding = {slicing.encoding!r}: accepted is one of {', '.join(ENCODINGS)}")
    _whole("bits", slicing.bits, slicing.polarity)
    _whole("cell_bits", slicing.cell_bits, 1)


def _whole(name: str, value: Any, least: int, most: int = MOST_BITS) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"codes: {name} = {value!r}: accepted is a whole number, {least} to {most}")


def _integers(name: str, x: Any, low: int, high: int) -> Array:
    if not jnp.issubdtype(jnp.result_type(x), jnp.integer):
        raise ValueError(f"codes: {name} has type {jnp.result_type(x)}: accepted are integers, {low} to {high}")
    if not isinstance(x, Tracer):
        accept(f"codes: {name}", x, (np.asarray(x) >= low) & (np.asarray(x) <= high), f"{low} to {high}")
    return jnp.asarray(x, jnp.int32)
