"""What makes real devices differ from the nominal one: samplers, fault maps, and the block that names them all.

sample_params, factor      device-to-device (D2D) spread: three distributions; die to die, in patches, white
correlated_field           a Gaussian field over the array with a correlation length
sample_stuck, sample_lines, one_line_a_tile, merge_faults        fault maps
sample_lives               writes until failure, by Weibull's law
Nonidealities              all of them and those of the device wrappers, each with a severity that 0 switches off
dress, sample              the device with its wrappers; one array's Params and faults
severities, settings       none, each alone, all but one, all
field_of, with_field       a parameter of a dressed device, wherever it is
named_key, require_different                                     keys of purposes; chips that are no copies
"""

from memjax.variation._faults import merge_faults, one_line_a_tile, sample_lines, sample_lives, sample_stuck
from memjax.variation._field import COVARIANCES, correlated_field
from memjax.variation._keys import named_key, require_different
from memjax.variation._nonidealities import (
    AT_REST,
    NAMES,
    Breakdown,
    DeadLines,
    Drift,
    Endurance,
    Flicker,
    Heat,
    Nonidealities,
    Retention,
    Sampled,
    Stuck,
    Telegraph,
    dress,
    field_of,
    sample,
    settings,
    severities,
    with_field,
)
from memjax.variation._spread import DISTRIBUTIONS, Spread, deviate, factor, sample_params

__all__ = [
    "AT_REST",
    "COVARIANCES",
    "DISTRIBUTIONS",
    "NAMES",
    "Breakdown",
    "DeadLines",
    "Drift",
    "Endurance",
    "Flicker",
    "Heat",
    "Nonidealities",
    "Retention",
    "Sampled",
    "Spread",
    "Stuck",
    "Telegraph",
    "correlated_field",
    "deviate",
    "dress",
    "factor",
    "field_of",
    "merge_faults",
    "named_key",
    "one_line_a_tile",
    "require_different",
    "sample",
    "sample_lines",
    "sample_lives",
    "sample_params",
    "sample_stuck",
    "settings",
    "severities",
    "with_field",
]
