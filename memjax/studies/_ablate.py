"""Which non-ideality costs how much: the same chips with each alone, with all but one, with all and with none.

    lost by one       = accuracy with none    - accuracy with it alone
    recovered of one  = accuracy without it   - accuracy with all

chip by chip: chip i has the same key in every setting, so that what differs is the non-ideality and not the draw. The
two differ where non-idealities interact: what one has spoilt, another cannot spoil again.

Where the config describes remedies (`mitigation`), all of this is done without any, with each alone, and with all:

    gained by one     = accuracy with it  - accuracy without any      in every setting
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from memjax import config as configs
from memjax import files, monte_carlo, plot, results, statistics, training, variation
from memjax.config import Config
from memjax.errors import ConfigError
from memjax.studies import _drive
from memjax.studies._study import Study

BARE, EVERY = "bare", "all remedies"


def ablate(
    config: Config,
    build: Callable[..., Study],
    out: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    *,
    batch_size: int | Literal["auto"] | None = "auto",
    network: str | os.PathLike | None = None,
    resume: bool = False,
    progress: Callable[[monte_carlo.Progress], Any] | None = None,
    training_progress: Callable[[training.Progress], Any] | None = None,
) -> dict:
    """Run `config.monte_carlo.chips` chips in every setting of `variation.severities`; `_drive.mc` says what is what.

    Raises ConfigError for a study whose chips have no accuracy, fewer than two chips, nothing to switch or nothing that
    it could change, and quantities of the config's own; UserError as `_drive.mc` does.
    """
    began, out, n = time.perf_counter(), Path(out), config.monte_carlo.chips
    check(config, "an ablation")
    labels, table = variation.severities(training.nonidealities(config))
    make = _drive.begin(config, build, out, data_dir, network, resume, training_progress)
    key = jax.random.key(config.seed)
    # All settings of a chip after each other: of a study that was stopped, whole chips are there.
    chips, rows = np.repeat(np.arange(n), len(labels)), np.tile(np.arange(len(labels)), n)
    inputs = (monte_carlo.chip_keys(key, n)[chips], {name: np.asarray(s)[rows] for name, s in table.items()})
    started, values = time.perf_counter(), {}
    for remedy, changed in variants(config).items():
        study, folder = make(changed), out / ("chips" if remedy == BARE else f"chips-{remedy.replace(' ', '-')}")
        flat = monte_carlo.run(
            study.same_chip,
            len(rows),
            key,
            inputs=inputs,
            checkpoint_dir=folder,
            **_drive.run_settings(changed, study, batch_size, resume and folder.exists(), progress),
        )
        values[remedy] = {name: x.reshape(n, len(labels)).T for name, x in flat.items()}
    seconds = time.perf_counter() - started
    found = _metrics(config, study, labels, list(table), values) | {
        "chips_per_second": len(values) * len(rows) / seconds,
        "seconds": time.perf_counter() - began,
    }
    if jax.process_index() == 0:
        _write(out, config, study, labels, table, values, found)
    monte_carlo.wait("written")
    return found


def variants(config: Config) -> dict[str, Config]:
    """Return the configs without remedies, with each that is described alone, and with all of them."""
    wanted, made = config.mitigation, {BARE: config.mitigation.only()}
    made |= {name: wanted.only(name) for name in wanted.names}
    if len(wanted.names) > 1:
        made[EVERY] = wanted
    return {name: config.model_copy(update={"mitigation": chosen}) for name, chosen in made.items()}


def labels_of(name: str, names: Sequence[str]) -> tuple[str, str]:
    """Return the settings with `name` alone and with all but it, as `variation.severities` calls them."""
    if len(names) == 1:
        return "all", "none"
    if len(names) == 2:  # all but the one is the other alone
        return name, next(other for other in names if other != name)
    return name, f"all but {name}"


def check(config: Config, what: str) -> None:
    """Raise ConfigError where `what` (an ablation) has no accuracy, chips or severities to go by."""
    wanted, chip = config.monte_carlo, training.nonidealities(config)
    if wanted.study == "arrays":
        raise ConfigError("monte_carlo.study = arrays: its chips have no accuracy; accepted is deployed or learning")
    if wanted.chips < 2:
        raise ConfigError(f"monte_carlo.chips = {wanted.chips}: accepted is at least 2, for the spread over chips")
    if wanted.quantities:
        raise ConfigError(
            f"monte_carlo.quantities ({', '.join(wanted.quantities)}): {what} sets all severities; accepted is none"
        )
    if not chip.names:
        raise ConfigError(
            "the section variation describes nothing that could be switched off: accepted is at least one of "
            f"{', '.join(variation.NAMES)}"
        )
    if idle := _drive.idle(config):
        raise ConfigError(
            f"monte_carlo.age = 0 s: {', '.join(idle)} would cost nothing, for no chip ever rests; accepted is a time "
            "above 0, or a section variation without"
        )


def _metrics(config: Config, study: Study, labels: list[str], names: list[str], values: dict[str, dict]) -> dict:
    y = dict(zip(labels, values[BARE][study.metric], strict=True))

    def settings(remedy: str) -> dict[str, Any]:
        parts = [{name: x[i] for name, x in values[remedy].items()} for i in range(len(labels))]
        return {
            label: {
                "failed": np.flatnonzero(monte_carlo.failed(part)).tolist(),
                "values": _drive.summaries(part, study),
            }
            for label, part in zip(labels, parts, strict=True)
        }

    def difference(before: Any, after: Any) -> dict[str, Any]:
        made = statistics.paired_difference(before, after)
        return {"mean": made.difference, "low": made.low, "high": made.high, "sd": made.sd, "pairs": made.n}

    def gain(before: str, after: str) -> dict[str, Any]:
        return difference(y[before], y[after])

    return {
        "study": config.monte_carlo.study,
        "metric": study.metric,
        "chips": config.monte_carlo.chips,
        "settings": settings(BARE),
        "nonidealities": {
            name: {
                "alone": alone,
                "without": without,
                "lost": gain(alone, "none"),
                "recovered": gain("all", without),
            }
            for name in names
            for alone, without in [labels_of(name, names)]
        },
        "lost": gain("all", "none"),
        "remedies": {
            remedy: {
                "settings": settings(remedy),
                "gained": {
                    label: difference(y[label], after) for label, after in zip(labels, own[study.metric], strict=True)
                },
            }
            for remedy, own in values.items()
            if remedy != BARE
        },
        "seed": config.seed,
        "config_digest": configs.study_digest(config),
        "versions": training.versions(),
    }


def _write(out: Path, config: Config, study: Study, labels: list, table: Mapping, values: dict, found: dict) -> None:
    files.write_json(out / "metrics.json", found)
    data = results.ablation(values, labels, table, study.units, attrs={"config": configs.dump(config)})
    results.write(out / "results.nc", data)
    folder, y = out / "figures", dict(zip(labels, np.asarray(values[BARE][study.metric], np.float64), strict=True))
    folder.mkdir(exist_ok=True)
    lost = {name: y["none"] - y[row["alone"]] for name, row in found["nonidealities"].items()}
    recovered = {name: y[row["without"]] - y["all"] for name, row in found["nonidealities"].items()}
    fig = plot.ablation_bars(lost, recovered, y["none"] - y["all"], study.metric)
    plot.save(fig, folder / "ablation.png")
    if found["remedies"]:
        means = {name: np.asarray(own[study.metric], np.float64).mean(axis=1) for name, own in values.items()}
        plot.save(plot.remedy_map(means, labels, study.metric), folder / "remedies.png")
