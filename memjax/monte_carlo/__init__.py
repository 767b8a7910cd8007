"""Monte Carlo over sampled chips: one call, chip i always drawn from fold_in(key, i), from one core to many hosts.

    values = monte_carlo.run(chip, 10_000, key, args=(...), batch_size="auto", checkpoint_dir="study")

`chip(key, *args)` is a pure function of one chip. It is vmapped over a batch, sharded over the devices of this host,
and the chips are shared out among the hosts. The draws of a chip depend on its number alone: not on the batch size, the
devices, the hosts or on how often a study was interrupted. A folder holds finished batches, each written whole; a study
that was killed goes on from them.

A chip whose values are not all finite is kept apart (`failed`): it ends nothing, and `summary` leaves it out.
"""

from memjax.monte_carlo._batch import AUTO
from memjax.monte_carlo._folder import load
from memjax.monte_carlo._hosts import start as start_hosts
from memjax.monte_carlo._hosts import wait
from memjax.monte_carlo._keys import chip_keys
from memjax.monte_carlo._run import Progress, run
from memjax.monte_carlo._summary import QUANTILES, Summary, failed, summary

__all__ = [
    "AUTO",
    "QUANTILES",
    "Progress",
    "Summary",
    "chip_keys",
    "failed",
    "load",
    "run",
    "start_hosts",
    "summary",
    "wait",
]
