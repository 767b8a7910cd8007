"""Figures and animations: plain arrays in, a matplotlib `Figure` out.

Matplotlib is imported when the first figure is made, never with `import memjax`, and pyplot not at all: a figure
belongs to its caller, needs no display, is safe in threads, and shows itself as the result of a notebook cell.
"""

from memjax.plot.chips import (
    ablation_bars,
    chip_distribution,
    remedy_map,
    sensitivity_bars,
    sobol_bars,
    yield_curve,
)
from memjax.plot.energy import energy_breakdown, energy_by_list
from memjax.plot.fits import fit_overview
from memjax.plot.learning import learning_curve, stdp_window
from memjax.plot.loops import hysteresis, waveforms
from memjax.plot.network import network_animation, network_frame, network_grid, network_trajectories
from memjax.plot.style import OKABE_ITO, figure, save
from memjax.plot.synapses import conductance_histogram, conductance_maps, receptive_fields

__all__ = [
    "OKABE_ITO",
    "ablation_bars",
    "chip_distribution",
    "conductance_histogram",
    "conductance_maps",
    "energy_breakdown",
    "energy_by_list",
    "figure",
    "fit_overview",
    "hysteresis",
    "learning_curve",
    "network_animation",
    "network_frame",
    "network_grid",
    "network_trajectories",
    "receptive_fields",
    "remedy_map",
    "save",
    "sensitivity_bars",
    "sobol_bars",
    "stdp_window",
    "waveforms",
    "yield_curve",
]
