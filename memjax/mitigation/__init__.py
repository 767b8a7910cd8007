"""Remedies for what is not ideal about a chip: pure functions over Crossbar, one remedy a file.

A remedy acts at one of four moments, and those of different moments compose:

    before programming   what is asked of the devices changes (compensation, spares, wire-aware and inverse mapping)
    programming          how devices are brought there (write-verify, `programming`)
    at rest              what keeps them there (refresh)
    at a read            what is made of the currents (calibration, drift compensation, checksums, committees)

The last are `Reader`s: functions of the inputs, made of an array or of other readers. `respond` is a two-layer spiking
network that is read through any two of them.
"""

from memjax.mitigation import calibration, fault_map, pairs, spares
from memjax.mitigation._reader import Reader, Seen, reader, respond
from memjax.mitigation.calibration import Calibration, calibrate, calibrated, calibration_events, patterns
from memjax.mitigation.inverse import Asked, Inverse, map_inverse
from memjax.mitigation.wire_aware import WireMap, map_wires, one_of_a_pair

__all__ = [
    "Asked",
    "Calibration",
    "Inverse",
    "Reader",
    "Seen",
    "WireMap",
    "calibrate",
    "calibration",
    "calibrated",
    "calibration_events",
    "fault_map",
    "map_inverse",
    "pairs",
    "map_wires",
    "one_of_a_pair",
    "patterns",
    "reader",
    "respond",
    "spares",
]
