"""Energy and time of an array: the ledger of events with its price lists, and the work of v and i beside it.

An event is something the array does that costs energy. Counts are small integers per step on the device; `total` sums
them on the host in Python integers, since an epoch has more MACs than int32 or float32 can count.

Convention: a MAC is the read of one device by one delivered (non-zero) input; a weight made of two devices costs two,
an inactive tile and a zero input cost none. A read is one sensed column read-out (columns x polarities x input
vectors). Then

    E_min = e_mac N_mac + e_verify N_verify + e_write (N_pulse + N_refresh) + e_adc N_adc + e_dac N_dac
    E_max = E_min + e_read N_read + e_write N_accumulate
    CMOS  = e_mac N_mac / devices_per_weight + e_write N_update

with CMOS prices in the last line: one MAC a weight, one write a weight update. N_accumulate counts the increments of
the volatile accumulators beside the devices, and N_update is N_accumulate where a programmer accumulates, else
N_pulse / devices_per_weight. Converters are ideal, and no event, unless an array is given some (`periphery`); the
framework's list has no price for them. Neurons, buses and control are in none of the sums.

What a price stands for is v i t (`work`): the second half of this module integrates it from conductances, over the
read time and the write time, which are parameters of their own and not the simulation's dt.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

# --- the ledger ---------------------------------------------------------------------------------------------------


@struct.dataclass
class Events:
    """Counts of what an array did in one step; integer scalars, or arrays with leading step and chip axes."""

    mac: Array | int = 0  # devices read by a delivered input
    read: Array | int = 0  # column read-outs sensed
    pulse: Array | int = 0  # programming pulses delivered to a device
    verify: Array | int = 0  # devices read to verify a write
    refresh: Array | int = 0  # pulses of a refresh
    accumulate: Array | int = 0  # increments of a volatile accumulator
    adc: Array | int = 0  # analogue to digital conversions
    dac: Array | int = 0  # digital to analogue conversions

    def __add__(self, other: "Events") -> "Events":
        return Events(**{name: getattr(self, name) + getattr(other, name) for name in FIELDS})


FIELDS = tuple(field.name for field in dataclasses.fields(Events))
LOWER = ("mac", "verify", "pulse", "refresh", "adc", "dac")  # the classes of E_min; E_max has all


class PriceList(NamedTuple):
    """Energy [J] and duration [s] of one event of each class; None: the list does not say.

    A verify is priced as a read; a pulse, a refresh and an accumulation as a write. read_time and write_time are what
    the prices of reads and writes stand for.
    """

    mac: float | None
    read: float | None
    write: float | None
    read_time: float | None = 20e-9
    write_time: float | None = 10e-9
    adc: float | None = None
    dac: float | None = None
    adc_time: float | None = None
    dac_time: float | None = None

    @property
    def verify(self) -> float | None:
        return self.read

    def price(self, event: str) -> float | None:
        """Return the energy of one event of that class [J]."""
        return getattr(self, _PRICED_AS[event])

    def duration(self, event: str) -> float | None:
        """Return the time that one event of that class takes [s]; a MAC takes none beside the read that it is in."""
        return 0.0 if event == "mac" else getattr(self, f"{_PRICED_AS[event]}_time")


_PRICED_AS = {name: name for name in FIELDS} | {"verify": "read"}
_PRICED_AS |= dict.fromkeys(("pulse", "refresh", "accumulate"), "write")

# The modular framework's table: statements of a design note, not measurements.
MEMRISTOR = PriceList(mac=0.1e-12, read=0.5e-12, write=5e-12)
CMOS = PriceList(mac=1e-12, read=10e-12, write=100e-12)


def count(x: Array) -> Array:
    """Count the non-zero elements of x, as int32."""
    return jnp.sum(x != 0, dtype=jnp.int32)


def total(events: Events, axis: int | tuple[int, ...] | None = None) -> dict[str, Any]:
    """Sum counts on the host: Python integers over everything, or int64 arrays over the given axis.

    Raises ValueError for a count below zero: one part of a ledger, as one call of `crossbar.read_events`, holds no more
    than an int32 does, and what exceeds that comes round.
    """
    counts = {name: np.asarray(getattr(events, name), np.int64) for name in FIELDS}
    for name, number in counts.items():
        if np.any(number < 0):
            raise ValueError(
                f"energy: {name} = {np.min(number)}: accepted is 0 to {2**31 - 1} a part: count fewer samples in each"
            )
    if axis is None:
        return {name: int(np.sum(number)) for name, number in counts.items()}
    # A class that never happens may be the scalar 0 beside arrays.
    return {name: np.sum(number, axis=axis) if number.ndim else number for name, number in counts.items()}


def breakdown(counts: Mapping[str, float], prices: PriceList = MEMRISTOR) -> dict[str, float | None]:
    """Price every class of events [J]: their sum is E_max. None: the list has no price for that class.

    A class that `counts` leaves out (a run from before it existed) has not happened.
    """
    each = {name: prices.price(name) for name in FIELDS}
    return {name: None if price is None else price * counts.get(name, 0) for name, price in each.items()}


def cmos_breakdown(
    counts: Mapping[str, float], *, devices_per_weight: int = 2, cmos: PriceList = CMOS
) -> dict[str, float]:
    """Price the same work done digitally [J]: one MAC a weight, and one write a weight update.

    The update stands in the class that asked for it: accumulate where there are accumulators, else pulse. A class that
    `counts` leaves out has not happened.
    """
    updates = {"accumulate": counts["accumulate"]} if counts.get("accumulate", 0) else {}
    updates = updates or {"pulse": counts.get("pulse", 0) / devices_per_weight}
    mac = {"mac": (cmos.mac or 0.0) * counts.get("mac", 0) / devices_per_weight}
    return mac | {name: (cmos.write or 0.0) * number for name, number in updates.items()}


def joules(
    counts: Mapping[str, float],
    *,
    devices_per_weight: int = 2,
    memristor: PriceList = MEMRISTOR,
    cmos: PriceList = CMOS,
) -> dict[str, float]:
    """Price counts: {e_min, e_max, cmos} [J], by the convention of this module; what has no price adds nothing."""
    each = {name: joule or 0.0 for name, joule in breakdown(counts, memristor).items()}
    digital = cmos_breakdown(counts, devices_per_weight=devices_per_weight, cmos=cmos)
    e_min = sum(each[name] for name in LOWER)
    return {
        "e_min": e_min,
        "e_max": e_min + sum(each[name] for name in FIELDS if name not in LOWER),
        "cmos": sum(digital.values()),
    }


def priced(events: Events, prices: PriceList = MEMRISTOR) -> Array:
    """Price counts where they are, under a trace too: E_max [J], in the counts' shape; on the host `joules`."""
    dtype, total = jnp.result_type(float), 0.0
    for name in FIELDS:
        total = total + (prices.price(name) or 0.0) * jnp.asarray(getattr(events, name), dtype)
    return jnp.asarray(total)


def latency(
    counts: Mapping[str, float], prices: PriceList = MEMRISTOR, at_once: Mapping[str, float] | None = None
) -> dict[str, float | None]:
    """Return the time that every class of events takes [s]: t = N duration / at_once; None: the list does not say.

    at_once is how many events of a class the hardware does side by side, 1 where it is left out. With None every event
    waits for the one before, whatever its class: the sum is an upper bound. With all the columns that are sensed and
    the devices that are written together it is the lower bound that this parallelism allows; phases of different
    classes follow one another, they do not overlap.

    Raises ValueError for an unknown class or a number below 1.
    """
    at_once = at_once or {}
    for name, number in at_once.items():
        if name not in FIELDS or not number >= 1:
            raise ValueError(f"energy: at_once {name} = {number}: accepted is 1 or more for {', '.join(FIELDS)}")
    each = {name: prices.duration(name) for name in FIELDS}
    return {name: None if t is None else t * counts.get(name, 0) / at_once.get(name, 1) for name, t in each.items()}


# --- work: the integral of v i ------------------------------------------------------------------------------------


def work(v: Array, i: Array, time: Any) -> Array:
    """Return v i t, elementwise [J]: of a source or a device at voltage v [V] and current i [A], held for time [s]."""
    return v * i * time


def read_work(g: Array, v: Array, time: Any) -> Array:
    """Return what the devices of an array dissipate in a read, sum_pij v_i^2 g_pij t, v [..., rows] [V] -> [...] [J].

    g [P, rows, cols] [S] as `crossbar.conductance` gives it (inactive tiles are zero): linear devices between driven
    word lines and bit lines at virtual ground. time is the read time [s], or the pulse width of each input [..., rows].
    """
    return jnp.tensordot(v * v * time, jnp.sum(g, axis=(0, 2)), 1, precision="highest")


def write_work(g_before: Array, g_after: Array, v: Array, time: Any) -> Array:
    """Return what the devices dissipate in one pulse, sum v^2 (g_before + g_after) / 2 t [] [J].

    g [P, rows, cols] [S] before and after the pulse, v [P, rows, cols] [V] across each device (0: no pulse), time its
    width [s]: exact for a conductance that changes linearly in time. Of a train, add its pulses. For a nonlinear device
    use `work` with its current at the write voltage.
    """
    return jnp.sum(work(v, v * (g_before + g_after) / 2, time))
