"""What makes real devices differ from the nominal one: samplers and fault maps.

sample_params, factor      device-to-device (D2D) spread: three distributions; die to die, in patches, white
correlated_field           a Gaussian field over the array with a correlation length
sample_stuck, sample_lines, one_line_a_tile, merge_faults        fault maps
sample_lives               writes until failure, by Weibull's law
named_key, require_different                                     keys of purposes; chips that are no copies
"""

from memjax.variation._faults import merge_faults, one_line_a_tile, sample_lines, sample_lives, sample_stuck
from memjax.variation._field import COVARIANCES, correlated_field
from memjax.variation._keys import named_key, require_different
from memjax.variation._spread import DISTRIBUTIONS, Spread, deviate, factor, sample_params

__all__ = [
    "COVARIANCES",
    "DISTRIBUTIONS",
    "Spread",
    "correlated_field",
    "deviate",
    "factor",
    "merge_faults",
    "named_key",
    "one_line_a_tile",
    "require_different",
    "sample_lines",
    "sample_lives",
    "sample_params",
    "sample_stuck",
]
