"""What `memjax mc`, `ablate` and `sensitivity` do: a config -> a function of one chip for `monte_carlo.run`.

    study = studies.build(config, weights=weights)
    values = monte_carlo.run(study.chip, 1000, key, args=study.args)

`ideal(config)` is what the weights to deploy are trained on, and `weights(config, folder)` reads them from that run.
Every source of chance has a key of its own, so that one can be changed while the others stay (`statistics`).
"""

import os
from collections.abc import Callable
from typing import Any

from memjax.config import Config
from memjax.studies import _ablate, _drive, _remedied, _sensitivity, arrays, deployed, learning
from memjax.studies._drive import ideal, idle, weights, yield_rule
from memjax.studies._study import Study
from memjax.training import Samples

__all__ = ["Study", "ablate", "build", "ideal", "idle", "mc", "sensitivity", "weights", "yield_rule"]

_BUILD: dict[str, Callable[..., Study]] = {
    "deployed": deployed.study,
    "learning": learning.study,
    "arrays": arrays.study,
}


def build(config: Config, samples: Samples | None = None, weights: tuple[Any, Any] | None = None) -> Study:
    """Return the study of a config (`config.monte_carlo.study`).

    samples are the data that networks need; weights [n_in, n_hidden] and [n_hidden, n_out], in [-1, 1], are what is
    deployed. Raises ValueError where they are missing, as `training.parts` does, and ConfigError for remedies that do
    not go with the rest.
    """
    _remedied.check(config)
    return _BUILD[config.monte_carlo.study](config, samples, weights)


def mc(config: Config, out: str | os.PathLike, data_dir: str | os.PathLike | None = None, **options: Any) -> dict:
    """Run the study of a config, write the folder `out`, and return the metrics: `_drive.mc` says what the options are.

    OUT/config.yaml      every setting
    OUT/chips/           finished batches (`monte_carlo.run`); OUT/sobol/ those of the variance decomposition
    OUT/network/         the run that trained the deployed network
    OUT/metrics.json     summaries, yield, variance decomposition, chips per second
    OUT/results.nc       every value of every chip, and the factors it drew
    OUT/figures/*.png    distribution, yield against threshold, Sobol indices
    """
    return _drive.mc(config, build, out, data_dir, **options)


def ablate(config: Config, out: str | os.PathLike, data_dir: str | os.PathLike | None = None, **options: Any) -> dict:
    """Say which non-ideality costs how much, with and without remedies; write `out`, return the metrics (`_ablate`).

    OUT/config.yaml, chips/, network/   as of `mc`; OUT/chips-<remedy>/ with that remedy
    OUT/metrics.json                    every setting's summary; what each non-ideality costs, what each remedy gains
    OUT/results.nc                      every value of every chip [remedy, setting, chip]
    OUT/figures/ablation.png            lost by each alone, and recovered without it
    OUT/figures/remedies.png            accuracy with each remedy (rows) in each setting
    """
    return _ablate.ablate(config, build, out, data_dir, **options)


def sensitivity(
    config: Config, out: str | os.PathLike, data_dir: str | os.PathLike | None = None, **options: Any
) -> dict:
    """Say how fast the loss rises with each non-ideality, write `out`, and return the metrics (`_sensitivity`).

    OUT/config.yaml, chips/, network/   as of `mc`
    OUT/metrics.json                    slopes with their intervals, the steepest first
    OUT/results.nc                      every value of every chip at every severity [setting, chip]
    OUT/figures/sensitivity.png         the slopes as bars
    """
    return _sensitivity.sensitivity(config, build, out, data_dir, **options)
