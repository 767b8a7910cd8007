"""The modular array: devices at every crossing of word lines (rows) and bit lines (columns), cut into tiles.

Leaves of params and state are [P, R, m, C, n] (polarity, tile row, word line, tile column, bit line), followed by the
inner axes that a device model declares. This order reshapes for free to [P, rows, cols]. A tile is an index, not a
class; any size works, padded inside: a padded device is never driven, read or counted. What users pass in and get back
is in logical [P, rows, cols].

An inactive tile contributes no current, reads as zero and gets no pulses; its volatile state still decays, or with
`frozen` stays as it was (the modular framework's mode).
"""

from memjax.crossbar._array import SCHEMES, Crossbar, HalfSelect, Lines, Losses
from memjax.crossbar._conductance import conductance, conductance_range, net_conductance, uncache, weights
from memjax.crossbar._create import create
from memjax.crossbar._read import cache, noise_sd, read, read_back, read_events
from memjax.crossbar._wired import effective_conductance, keep_losses, no_losses
from memjax.crossbar._write import relax, set_active, set_state, spike, write

__all__ = [
    "SCHEMES",
    "Crossbar",
    "HalfSelect",
    "Lines",
    "Losses",
    "cache",
    "conductance",
    "conductance_range",
    "create",
    "effective_conductance",
    "keep_losses",
    "net_conductance",
    "no_losses",
    "noise_sd",
    "read",
    "read_back",
    "read_events",
    "relax",
    "set_active",
    "set_state",
    "spike",
    "uncache",
    "weights",
    "write",
]
