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

from memjax.training._build import System, build
from memjax.training._loop import Interrupted, Progress, train
from memjax.training._report import WALL_CLOCK

__all__ = ["WALL_CLOCK", "Interrupted", "Progress", "System", "build", "train"]
