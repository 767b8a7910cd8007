"""Statistics of many chips: summaries, yield, paired comparisons, slopes, rare failures, variance decomposition.

Host-side functions of metrics, one value a chip; they know nothing of how the chips were run. A method with its own
equations and sources is a file of this folder.
"""

from memjax.statistics.rare import Proposal, Rare, draw, failure_rate, find_proposal, importance_sampling
from memjax.statistics.sensitivity import Indices, SobolDesign, sobol_design, sobol_indices, split
from memjax.statistics.slopes import Slope, slope
from memjax.statistics.summary import Paired, Summary, paired_difference, summarise
from memjax.statistics.yields import Until, Yield, chips_needed, interval, yield_interval

__all__ = [
    "Indices",
    "Paired",
    "Proposal",
    "Rare",
    "Slope",
    "SobolDesign",
    "Summary",
    "Until",
    "Yield",
    "chips_needed",
    "draw",
    "failure_rate",
    "find_proposal",
    "importance_sampling",
    "interval",
    "paired_difference",
    "slope",
    "sobol_design",
    "sobol_indices",
    "split",
    "summarise",
    "yield_interval",
]
