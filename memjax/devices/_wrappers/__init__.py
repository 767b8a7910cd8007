"""Wrappers: take a Device and return a Device with one non-ideality more.  One idea a file.

They combine in any order.  What a wrapper adds to the state is a record (bounds -inf and inf), so the others leave it
alone; each draws from a stream of its own; each has a value of its parameters that gives the inner device exactly.
"""

from memjax.devices._wrappers.breakdown import with_breakdown
from memjax.devices._wrappers.c2c_noise import with_c2c_noise
from memjax.devices._wrappers.drift import with_drift
from memjax.devices._wrappers.endurance import end_pulse, with_endurance
from memjax.devices._wrappers.levels import with_levels
from memjax.devices._wrappers.range_noise import with_range_noise
from memjax.devices._wrappers.read_noise import with_read_noise
from memjax.devices._wrappers.relaxation import relaxation_sd, with_relaxation
from memjax.devices._wrappers.temperature import arrhenius, with_temperature

__all__ = [
    "arrhenius",
    "end_pulse",
    "relaxation_sd",
    "with_breakdown",
    "with_c2c_noise",
    "with_drift",
    "with_endurance",
    "with_levels",
    "with_range_noise",
    "with_read_noise",
    "with_relaxation",
    "with_temperature",
]
