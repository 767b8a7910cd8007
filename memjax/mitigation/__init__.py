"""Remedies for what is not ideal about a chip: pure functions over Crossbar, one remedy a file.

A remedy acts at one of four moments, and those of different moments compose:

    before programming   what is asked of the devices changes (compensation, spares, wire-aware and inverse mapping,
                         training for the devices)
    programming          how devices are brought there (write-verify, `programming`; own steps while learning)
    at rest              what keeps them there (refresh)
    at a read            what is made of the currents (calibration, drift compensation, checksums, committees)

The last are `Reader`s: functions of the inputs, made of an array or of other readers. `respond` is a two-layer spiking
network that is read through any two of them.
"""

from memjax.mitigation import adaptive_rate, drift_compensation, refresh, training_aware
from memjax.mitigation._reader import Reader, Seen, reader, respond

__all__ = ["Reader", "Seen", "adaptive_rate", "drift_compensation", "reader", "refresh", "respond", "training_aware"]
