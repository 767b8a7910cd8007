"""Devices and crossbars as SPICE netlists, from the same Params; ngspice runs them where it is installed.

text = spice.netlist(device, params, waveform=spice.sine(1.0, 50.0), stop=0.04)
out = spice.run_ngspice(text)                                  # {"time": [T], "v(in)": [T], ...}
"""

from memjax.spice._crossbar import crossbar_netlist
from memjax.spice._device import netlist, piecewise, sine, subcircuit, triangle
from memjax.spice._ngspice import NgspiceError, NgspiceMissing, run_ngspice
from memjax.spice.models import names

__all__ = [
    "NgspiceError",
    "NgspiceMissing",
    "crossbar_netlist",
    "names",
    "netlist",
    "piecewise",
    "run_ngspice",
    "sine",
    "subcircuit",
    "triangle",
]
