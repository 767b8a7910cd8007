"""What a run leaves: its counts, metrics, results and figures."""

import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from memjax import config as configs
from memjax import crossbar, energy, plot, results, statistics
from memjax.config import Config
from memjax.errors import UserError
from memjax.training._build import System
from memjax.training._data import Samples
from memjax.training._plan import Plan

# The metrics that a clock and the machine decide; all others are bits of the config.
WALL_CLOCK = ("seconds", "samples_per_second", "memory")
MANY = 10  # chips from which on their distribution is drawn

CONVENTION = (
    "J a sample, mean over all chips and training samples. A MAC is the read of one device by one delivered (non-zero) "
    "input; a weight is two devices; inactive tiles and zero inputs cost nothing. "
    "E_min = e_mac N_mac + e_verify N_verify + e_write (N_pulse + N_refresh); "
    "E_max = E_min + e_read N_read + e_write N_accumulate, with N_read sensed column read-outs and N_accumulate "
    "increments of the volatile accumulators; memristor prices: MAC 0.1 pJ, read and verify 0.5 pJ, write 5 pJ. "
    "CMOS: one MAC a weight at 1 pJ and one write a weight update at 100 pJ. "
    "inference is the forward pass; training is all that a training sample costs: the forward pass, then feedback, "
    "accumulation and pulses. Where filters of a patch layer have learned before, what that cost is in it, spread over "
    "the training samples (filters: by itself); a forward pass has the reads of every position then. "
    "Peripherals (drivers, converters, neurons, buses) are in none of them."
)


def check_threshold(threshold: float | None, given: str = "") -> None:
    """Raise UserError for a threshold of accuracies that is none; given: how it was asked for, for the message."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise UserError(f"{given or f'--threshold {threshold:g}'}: accepted is an accuracy from 0 to 1, as 0.95")


def start(plan: Plan, chips: int, filters: bool = False) -> dict[str, Any]:
    """Return the counts of a run that has not begun: what a checkpoint holds beside the chips.

    filters: whether those of a patch layer learn before all else.
    """
    kinds = ("inference", "training", "filters") if filters else ("inference", "training")
    return {
        "done": 0,
        "accuracy": np.full((len(plan.evaluate), chips), np.nan),
        "correct": np.zeros((len(plan.stops) - 1, chips), np.int64),
        "events": {kind: dict.fromkeys(energy.FIELDS, 0) for kind in kinds},
        "seconds": 0.0,
        "timed_samples": 0,
        "timed_seconds": 0.0,
        "peak": 0,  # bytes
    }


def versions() -> dict[str, str]:
    """Return the versions of what decides a run's bits."""
    return {"python": platform.python_version()} | {name: version(name) for name in ("memjax", "jax", "flax", "numpy")}


def header(config: Config) -> str:
    """Return the first lines of a run's config.yaml."""
    listed = ", ".join(f"{name} {number}" for name, number in versions().items())
    return (
        f"Settings of a run, complete: memjax train reads this file.\n{listed}; seed {config.seed}\n"
        f"digest {configs.digest(config)}\n"
    )


def metrics(
    config: Config,
    counts: dict,
    plan: Plan,
    samples: Samples,
    chip_bytes: int,
    threshold: float | None = None,
    *,
    interrupted: bool,
) -> dict:
    """Return what metrics.json holds; test_accuracy is null where the chips have not been evaluated yet."""
    done, chips = counts["done"], config.chips
    evaluated = [row for stop, row in zip(plan.evaluate, counts["accuracy"], strict=True) if stop <= done]
    seen = max(1, done * chips)
    timed = counts["timed_seconds"]
    return {
        "test_accuracy": _summary(evaluated[-1]) if evaluated else None,
        "yield": _yield(evaluated[-1], threshold) if evaluated and threshold is not None else None,
        "evaluated_on": f"{len(samples.test_y)} {samples.what} samples of {config.data.dataset}",
        "energy_per_sample": {
            kind: {name: joule / seen for name, joule in energy.joules(events).items()}
            for kind, events in _events(counts).items()
        }
        | {"convention": CONVENTION},
        "events": _events(counts),
        "learning_curve": {
            "samples": [stop for stop in plan.evaluate if stop <= done],
            "accuracy": [[float(x) for x in row] for row in evaluated],
        },
        "n_chips": chips,
        "samples": done,
        "epochs": done / len(samples.train_y),
        "interrupted": interrupted,
        "seed": config.seed,
        "config_digest": configs.digest(config),
        "versions": versions(),
        # Of each chip, all chips side by side, without compilation; with a single chunk there is nothing else to time.
        "samples_per_second": counts["timed_samples"] / timed if timed else done / counts["seconds"],
        "seconds": counts["seconds"],
        "memory": {"chip": chip_bytes, "peak": counts["peak"]},  # bytes of a chip's state; the most that was in use
    }


def _events(counts: dict) -> dict[str, dict[str, int]]:
    """Return the event counts in the ledger's order (checkpoints sort them).

    Training has its forward passes in it, and what the filters of a patch layer cost, which stands by itself too.
    """
    forward, learned = (counts["events"][kind] for kind in ("inference", "training"))
    filters = counts["events"].get("filters")
    first = {} if filters is None else {"filters": {name: filters[name] for name in energy.FIELDS}}
    return {
        "inference": {name: forward[name] for name in energy.FIELDS},
        "training": {name: forward[name] + learned[name] + (filters or {}).get(name, 0) for name in energy.FIELDS},
    } | first


def _summary(accuracy: np.ndarray) -> dict:
    """Mean, sample standard deviation (0 for one chip), quartiles, the worst chip's number, and every value."""
    spread = float(np.std(accuracy, ddof=1)) if len(accuracy) > 1 else 0.0
    return {
        "mean": float(np.mean(accuracy)),
        "std": spread,
        "quartiles": [float(x) for x in np.quantile(accuracy, [0.25, 0.5, 0.75])],
        "worst_chip": int(np.argmin(accuracy)),
        "per_chip": [float(x) for x in accuracy],
    }


def _yield(accuracy: np.ndarray, threshold: float) -> dict:
    made = statistics.yield_interval(accuracy, threshold)
    return {"threshold": threshold, "estimate": made.estimate, "low": made.low, "high": made.high}


def write(folder: Path, config: Config, found: dict, counts: dict, plan: Plan, system: System, first: Callable) -> None:
    """Write results.nc and the figures of a finished run; first(n) -> the first n chips before and after it."""

    def look(state):
        hidden, output = system.arrays(state)
        return crossbar.conductance(hidden), crossbar.conductance(output), crossbar.weights(hidden)

    look = jax.jit(jax.vmap(look))
    before, after = first(min(config.chips, _kept(config)))
    (hidden_0, output_0, _), (hidden, output, weights) = (jax.tree.map(np.asarray, look(x)) for x in (before, after))
    results.write(
        folder / "results.nc",
        results.training(
            accuracy=counts["accuracy"].T,
            samples=plan.evaluate,
            online=(counts["correct"] / np.diff(plan.stops)[:, None]).T,
            chunk_ends=plan.stops[1:],
            conductances={"hidden": hidden, "output": output},
            events=_events(counts),
            attrs={"config": configs.dump(config), "energy_convention": CONVENTION}
            | {f"{k}_version": v for k, v in versions().items()},
        ),
    )
    shape, fields = _fields(config, weights[0])
    what = f"{config.data.dataset}, {config.device.name} devices"
    figures = {
        "learning_curve": plot.learning_curve(plan.evaluate, counts["accuracy"].T, title=what),
        "conductance_maps_output": plot.conductance_maps(output_0[0], output[0], title="output array of chip 0"),
        "conductance_histogram_hidden": plot.conductance_histogram(
            hidden_0[0], hidden[0], title="hidden array of chip 0"
        ),
        "conductance_histogram_output": plot.conductance_histogram(
            output_0[0], output[0], title="output array of chip 0"
        ),
        "receptive_fields": plot.receptive_fields(fields, shape=shape),
        "energy": _energy(found),
    }
    if config.chips >= MANY:
        part = found["yield"]
        at = None if part is None else 100 * part["threshold"]
        y = 100 * counts["accuracy"][-1]
        figures["distribution"] = plot.chip_distribution(y, "accuracy (%)", threshold=at, title=what)
    for name, figure in figures.items():
        plot.save(figure, folder / "figures" / f"{name}.png")


def _fields(config: Config, w: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """Return the first array's weights as images, colours side by side: (rows, columns), [pixels, columns]."""
    height, width, channels = config.image
    if config.patches is not None:
        height = width = config.patches.size
    planes = w.reshape(height, width, channels, -1).transpose(0, 2, 1, 3)
    return (height, channels * width), planes.reshape(w.shape)


def _kept(config: Config) -> int:
    """Return of how many chips results.nc has room for the conductances, at least one."""
    a = config.array
    devices = 2 * (a.n_inputs * a.n_outputs + a.n_outputs * a.n_classes)
    return max(1, results.LARGEST // (devices * np.dtype(jax.numpy.result_type(float)).itemsize))


def _energy(found: dict) -> Any:
    seen = found["samples"] * found["n_chips"]
    prices = {name: price for name in energy.FIELDS if (price := energy.MEMRISTOR.price(name)) is not None}
    counts = {name: count / seen for name, count in found["events"]["training"].items() if count and name in prices}
    return plot.energy_breakdown(counts, prices, title=r"$E_\mathrm{max}$ of a training sample")
