"""The event ledger of an array and its price list.

An event is something the array does that costs energy. Counts are small integers per step on the device; `total` sums
them on the host in Python integers, since an epoch has more MACs than int32 or float32 can count.

Convention: a MAC is the read of one device by one delivered (non-zero) input; a weight made of two devices costs two,
an inactive tile and a zero input cost none. A read is one sensed column read-out (columns x polarities x input
vectors). Then

    E_min = e_mac N_mac + e_verify N_verify + e_write (N_pulse + N_refresh)
    E_max = E_min + e_read N_read + e_write N_accumulate
    CMOS  = e_mac N_mac / devices_per_weight + e_write N_update

with CMOS prices in the last line: one MAC a weight, one write a weight update. N_accumulate counts the increments of
the volatile accumulators beside the devices, and N_update is N_accumulate where a programmer accumulates, else
N_pulse / devices_per_weight. Peripherals (drivers, converters, neurons, buses) are in none of them.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array


@struct.dataclass
class Events:
    """Counts of what an array did in one step; integer scalars, or arrays with leading step and chip axes."""

    mac: Array | int = 0  # devices read by a delivered input
    read: Array | int = 0  # column read-outs sensed
    pulse: Array | int = 0  # programming pulses delivered to a device
    verify: Array | int = 0  # devices read to verify a write
    refresh: Array | int = 0  # pulses of a refresh
    accumulate: Array | int = 0  # increments of a volatile accumulator

    def __add__(self, other: "Events") -> "Events":
        return Events(**{name: getattr(self, name) + getattr(other, name) for name in FIELDS})


FIELDS = tuple(field.name for field in dataclasses.fields(Events))


class PriceList(NamedTuple):
    """Energy [J] of one event of each class, and the read and write times [s] these prices stand for."""

    mac: float
    read: float
    write: float
    read_time: float = 20e-9
    write_time: float = 10e-9

    @property
    def verify(self) -> float:
        return self.read


# The modular framework's table: statements of a design note, not measurements.
MEMRISTOR = PriceList(mac=0.1e-12, read=0.5e-12, write=5e-12)
CMOS = PriceList(mac=1e-12, read=10e-12, write=100e-12)


def count(x: Array) -> Array:
    """Count the non-zero elements of x, as int32."""
    return jnp.sum(x != 0, dtype=jnp.int32)


def total(events: Events, axis: int | tuple[int, ...] | None = None) -> dict[str, Any]:
    """Sum counts on the host: Python integers over everything, or int64 arrays over the given axis."""
    sums = {name: np.sum(np.asarray(getattr(events, name), np.int64), axis=axis) for name in FIELDS}
    return {name: int(value) for name, value in sums.items()} if axis is None else sums


def joules(
    counts: dict, *, devices_per_weight: int = 2, memristor: PriceList = MEMRISTOR, cmos: PriceList = CMOS
) -> dict[str, float]:
    """Price counts: {e_min, e_max, cmos} [J], by the convention of this module."""
    e_min = (
        memristor.mac * counts["mac"]
        + memristor.verify * counts["verify"]
        + memristor.write * (counts["pulse"] + counts["refresh"])
    )
    e_max = e_min + memristor.read * counts["read"] + memristor.write * counts["accumulate"]
    updates = counts["accumulate"] or counts["pulse"] / devices_per_weight
    return {
        "e_min": e_min,
        "e_max": e_max,
        "cmos": cmos.mac * counts["mac"] / devices_per_weight + cmos.write * updates,
    }
