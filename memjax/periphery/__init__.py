"""What stands around an array: converters, drivers, sense amplifiers, and the digital codes that go through them.

    converters   DAC, ADC: quantisation with clipping, offset, gain error, INL; straight-through gradients
    front_end    the word-line driver's limits, the sense amplifier's noise, converters per tile or per column
    codes        inputs as bit planes or pulse widths, weights as slices over several devices, digital recombination

Pure functions on voltages and currents: none of them knows an array. `conversions` counts what they do as events.
"""

from memjax.periphery.codes import (
    Slicing,
    assemble,
    bit_planes,
    bit_serial,
    lossless_bits,
    pulse_widths,
    recombine,
    slice_weights,
)
from memjax.periphery.converters import (
    ADC,
    DAC,
    GRIDS,
    adc,
    check,
    codes_of,
    dac,
    levels,
    lsb,
    sample,
    sample_inl,
)
from memjax.periphery.front_end import (
    Driver,
    SenseAmplifier,
    conversions,
    drive,
    sense,
    sense_sd,
    sum_tiles,
)

__all__ = [
    "ADC", "DAC", "GRIDS", "Driver", "SenseAmplifier", "Slicing", "adc", "assemble", "bit_planes", "bit_serial",
    "check", "codes_of", "conversions", "dac", "drive", "levels", "lossless_bits", "lsb", "pulse_widths", "recombine",
    "sample", "sample_inl", "sense", "sense_sd", "slice_weights", "sum_tiles",
]  # fmt: skip
