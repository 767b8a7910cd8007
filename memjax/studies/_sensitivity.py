"""What to fix first: how fast the loss of the same chips rises with each non-ideality, all others being as described.

    d loss / d ln sigma  =  (loss(sigma (1 + h)) - loss(sigma (1 - h))) / 2 h        (`statistics.slope`)

chip by chip, with the same draws at every severity. The loss is the cross entropy of the softmax output: accuracy moves
in steps of an image, and a sensible change of sigma may move it by none. An ablation asks what a non-ideality costs in
all; this asks what a little less of it would save.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from memjax import config as configs
from memjax import files, monte_carlo, plot, results, statistics, training
from memjax.config import Config
from memjax.errors import UserError
from memjax.studies import _ablate, _drive
from memjax.studies._study import Study

LOSS = "cross_entropy"
# What a severity scales, in the section variation: name -> fields, whose sum is what is reported; falling ones as 1/x.
_SCALES = {
    "stuck": ("stuck_on", "stuck_off"),
    "c2c": ("c2c",),
    "read_noise": ("read_noise",),
    "relaxation": ("relaxation",),
}
_INNER = {"flicker": "sigma", "telegraph": "amplitude", "drift": "nu", "half_select": "share"}
_FALLING = {"retention": "tau", "endurance": "n_wear", "breakdown": "life"}


def sensitivity(
    config: Config,
    build: Callable[..., Study],
    out: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    *,
    step: float = 0.25,
    batch_size: int | Literal["auto"] | None = "auto",
    network: str | os.PathLike | None = None,
    resume: bool = False,
    progress: Callable[[monte_carlo.Progress], Any] | None = None,
    training_progress: Callable[[training.Progress], Any] | None = None,
) -> dict:
    """Run `config.monte_carlo.chips` chips with every non-ideality at 1 - step and 1 + step times what is described.

    `_drive.mc` says what the rest is. Evaluate on held-out data (`data.held_out`) where the answer decides what is
    built. Raises what `_ablate.ablate` raises, and UserError for a step outside (0, 1].
    """
    began, out, n = time.perf_counter(), Path(out), config.monte_carlo.chips
    if not 0 < step <= 1:
        raise UserError(f"--step {step}: accepted is above 0 and at most 1, for severities 1 - step and 1 + step")
    _ablate.check(config, "a sensitivity")
    names = list(training.nonidealities(config).names)
    for name in names:
        _drive.check_severity(config, name, 1 + step)
    labels, table = settings(names, step)
    study = _drive.begin(config, build, out, data_dir, network, resume, training_progress)(config)
    key = jax.random.key(config.seed)
    chips, rows = np.repeat(np.arange(n), len(labels)), np.tile(np.arange(len(labels)), n)
    inputs = (monte_carlo.chip_keys(key, n)[chips], {name: s[rows] for name, s in table.items()})
    started = time.perf_counter()
    flat = monte_carlo.run(
        study.same_chip,
        len(rows),
        key,
        inputs=inputs,
        checkpoint_dir=out / "chips",
        **_drive.run_settings(config, study, batch_size, resume, progress),
    )
    seconds = time.perf_counter() - started
    values = {name: x.reshape(n, len(labels)).T for name, x in flat.items()}
    found = {
        "study": config.monte_carlo.study,
        "metric": LOSS,
        "step": step,
        "chips": n,
        "value": float(np.nanmean(values[LOSS][0])),
        "accuracy": float(np.nanmean(values["accuracy"][0])),
        "nonidealities": _slopes(config, names, values, step),
        "seed": config.seed,
        "config_digest": configs.study_digest(config),
        "versions": training.versions(),
        "chips_per_second": len(rows) / seconds,
        "seconds": time.perf_counter() - began,
    }
    if jax.process_index() == 0:
        _write(out, config, study, labels, table, values, found)
    monte_carlo.wait("written")
    return found


def settings(names: list[str], step: float) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return labels ("all", then "c2c -" and "c2c +" for each name) and every severity [1 + 2 names]."""
    labels = ["all", *(f"{name} {sign}" for name in names for sign in "-+")]
    table = {name: np.ones(len(labels), jnp.result_type(float)) for name in names}
    for k, name in enumerate(names):
        table[name][1 + 2 * k : 3 + 2 * k] = 1 - step, 1 + step
    return labels, table


def scale(config: Config, name: str) -> float | None:
    """Return what a severity of 1 stands for: a sigma, share or exponent, or the inverse of a time or a number.

    None where it is several numbers that differ (D2D of several parameters) or none (heat).
    """
    v = config.variation
    if name == "d2d":
        sigmas = {spread.sigma for spread in v.d2d.values()}
        return sigmas.pop() if len(sigmas) == 1 else None
    if name == "lines" and v.lines is not None:
        return v.lines.word + v.lines.bit + v.lines.driver
    if name in _SCALES:
        return sum(getattr(v, field) for field in _SCALES[name])
    if name in _INNER:
        return getattr(getattr(v, name), _INNER[name])
    return 1 / getattr(getattr(v, name), _FALLING[name]) if name in _FALLING else None


def _slopes(config: Config, names: list[str], values: dict, step: float) -> dict[str, dict]:
    """Return every non-ideality's slopes, the steepest rise of the loss first."""
    made = {}
    for k, name in enumerate(names):
        at, below, above = (np.asarray(values[LOSS][i]) for i in (0, 1 + 2 * k, 2 + 2 * k))
        found = statistics.slope(below, at, above, step)
        hit, fewer, more = (np.asarray(values["accuracy"][i]) for i in (0, 1 + 2 * k, 2 + 2 * k))
        missed = statistics.slope(fewer, hit, more, step)
        one = scale(config, name)
        made[name] = {
            "described": one,
            "per_relative_change": {"mean": found.slope, "low": found.low, "high": found.high},
            "per_sigma": None if not one else {
                "mean": found.slope / one, "low": found.low / one, "high": found.high / one,
            },
            "elasticity": found.elasticity if np.isfinite(found.elasticity) else None,
            "accuracy_per_relative_change": {"mean": missed.slope, "low": missed.low, "high": missed.high},
            "chips": found.n,
        }  # fmt: skip
    return dict(sorted(made.items(), key=lambda item: -item[1]["per_relative_change"]["mean"]))


def _write(out: Path, config: Config, study: Study, labels: list, table: dict, values: dict, found: dict) -> None:
    files.write_json(out / "metrics.json", found)
    bare = {_ablate.BARE: values}
    data = results.ablation(bare, labels, table, study.units, attrs={"config": configs.dump(config)})
    results.write(out / "results.nc", data.sel(remedy=_ablate.BARE, drop=True))
    folder, rows = out / "figures", found["nonidealities"]
    folder.mkdir(exist_ok=True)
    slopes = {name: tuple(row["per_relative_change"][f] for f in ("mean", "low", "high")) for name, row in rows.items()}
    plot.save(plot.sensitivity_bars(slopes, found["value"], "cross entropy", "nat"), folder / "sensitivity.png")
