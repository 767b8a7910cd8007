"""One training run from a config to a folder of results: what `memjax train` does, for programs and notebooks.

    metrics = train(config.load("configs/edge_mnist.yaml"), "runs/first")

    OUT/config.yaml      every setting, with versions and seed
    OUT/metrics.json     accuracy, energy, events, rate (`_report.metrics`)
    OUT/results.nc       learning curve, conductances, events (`memjax.results`)
    OUT/figures/*.png    learning curve, conductances, receptive fields, energy
    OUT/checkpoints/     what `resume` goes on from

A run is a function of its config alone: killed and resumed it ends with the same bits, except for what a clock says
(WALL_CLOCK).
"""

from memjax.training._build import Parts, System, build, idle, nonidealities, parts
from memjax.training._data import Samples, augment, load, order
from memjax.training._loop import Interrupted, Progress, train
from memjax.training._plan import rates
from memjax.training._report import WALL_CLOCK, check_threshold, versions

__all__ = [
    "WALL_CLOCK",
    "Interrupted",
    "Parts",
    "Progress",
    "Samples",
    "System",
    "augment",
    "build",
    "check_threshold",
    "idle",
    "load",
    "nonidealities",
    "order",
    "parts",
    "rates",
    "train",
    "versions",
]
