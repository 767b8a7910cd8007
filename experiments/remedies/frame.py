"""What the studies of remedies have in common: a trained network, sampled chips of it, and how curves are judged."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax import config as configs
from memjax import (
    crossbar,
    devices,
    energy,
    learning,
    mitigation,
    monte_carlo,
    noise,
    programming,
    statistics,
    studies,
    training,
    variation,
)
from memjax.crossbar import Crossbar
from memjax.variation import Nonidealities, named_key

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "mc_deployed.yaml"
LAYERS = ("hidden", "output")
SIZES = ((784, 256), (256, 10))
CHIPS = 20
IMAGES = 2000
WIDTH = 1e-8  # s, of a pulse
ERROR = 0.02  # sd of what open-loop programming sets, relative to g_max - g_min


class Task(NamedTuple):
    """A trained network, what it is tested on, and where finished chips are kept: a pytree but for the folder."""

    weights: tuple[Array, Array]  # [784, 256], [256, 10], in [-1, 1]
    images: Array  # [n, 784] of bytes
    labels: Array
    train_images: Array  # for remedies that need data: never the test images
    train_labels: Array
    work: Path
    chips: int
    more: Any = None  # what a study adds for its chips, a pytree


def load(work: Path, network: Path | None, *, quick: bool = False) -> Task:
    """Load the network of a `memjax train` run, or train it on ideal devices first; and the embedded digits."""
    config = configs.load(CONFIG)
    folder = network or work / "network"
    if not (folder / "results.nc").exists():
        training.train(studies.ideal(config), folder, resume=folder.exists())
    samples, weights = training.load(config, None), studies.weights(config, folder)
    n = 200 if quick else IMAGES
    hidden, output = (jnp.asarray(w, jnp.result_type(float)) for w in weights)
    return Task(
        (hidden, output),
        *map(jnp.asarray, (samples.test_x[:n], samples.test_y[:n], samples.train_x, samples.train_y)),
        work=work,
        chips=3 if quick else CHIPS,
    )


def layers(
    chip: Nonidealities,
    key: Array,
    *,
    polarity: int = 2,
    tile: int | tuple[int, int] = 64,
    faults: Any = None,
    plans: Sequence[mitigation.spares.Plan] | None = None,
    **settings: Any,
) -> tuple[Crossbar, Crossbar]:
    """Sample the two arrays of a chip, every device in the middle of its range.

    tile    (word lines, bit lines), no more than the array has; one number for a square
    faults  (shape [P, rows, cols], tile, key) -> fault map, laid over the chip's own
    plans   of arrays that are built with spare lines
    settings  further arguments of `crossbar.create`
    """
    config = configs.load(CONFIG)
    inner, nominal = devices.get(config.device.name), configs.device_params(config)
    device, made = variation.dress(chip, inner), []
    lines = (tile, tile) if isinstance(tile, int) else tile
    sizes = [((rows, cols), (min(lines[0], rows), min(lines[1], cols))) for rows, cols in SIZES]
    if plans is not None:
        sizes = [(plan.physical_shape, plan.physical_tile) for plan in plans]
    for name, ((rows, cols), size) in zip(LAYERS, sizes, strict=True):
        shape, own = (polarity, rows, cols), named_key(key, name)
        params, drawn = variation.sample(chip, inner, nominal, shape, size, own, die=key)
        if faults is not None:
            drawn = variation.merge_faults(drawn, faults(shape, size, named_key(own, "faults")))
        made.append(
            crossbar.create(
                device,
                (rows, cols),
                size,
                polarity=polarity,
                params=params,
                faults=drawn,
                half_select=chip.scaled("half_select"),
                **settings,
            )
        )
    return made[0], made[1]


def ideal_layers(task: Task) -> tuple[Crossbar, Crossbar]:
    """Return the arrays of a chip without faults, spread, noise and errors of programming."""
    key = jax.random.key(0)
    first, second = layers(Nonidealities(), key)
    return open_loop(first, task.weights[0], key, 0.0), open_loop(second, task.weights[1], key, 0.0)


def ideal(task: Task) -> float:
    """Return the accuracy of the network on ideal devices [%]."""
    return 100 * float(accuracy(task, *map(mitigation.reader, ideal_layers(task)), jax.random.key(0)))


def open_loop(xbar: Crossbar, target: Array, key: Array, error: float = ERROR) -> Crossbar:
    """Set every device once to what its nominal range needs for the weights [rows, cols], as well as it can be."""
    return place(xbar, 0.5 + 0.5 * jnp.stack([target, -target][: xbar.polarity]), key, error)


def place(xbar: Crossbar, x: Array, key: Array, error: float = ERROR) -> Crossbar:
    """Set every device once to a state x [P, rows, cols], as well as it can be."""
    return crossbar.set_state(xbar, jnp.clip(x + error * noise.normal(key, x.shape, x.dtype), 0.0, 1.0))


def step() -> Any:
    """Return the nominal change of a weight by one pulse on one device, for programmers."""
    return programming.weight_step(*_nominal())


def stairs() -> programming.Staircase:
    """Return the nominal device's staircases, for trains of pulses without a look."""
    return programming.staircase(*_nominal())


def _nominal() -> tuple[Any, ...]:
    """Return the nominal device, its Params, and what reads and writes it: voltages [V], width of a pulse [s]."""
    config = configs.load(CONFIG)
    d = config.device
    return devices.get(d.name), configs.device_params(config), d.read_voltage, d.write_voltage, d.write_time


def set_low(xbar: Crossbar) -> Crossbar:
    """Return the array with every device at the low end of its own range, as a reset of all would leave it."""
    return crossbar.set_state(xbar, 0.0)


def missed(xbar: Crossbar, target: Array) -> Array:
    """Return the mean square error of the weights."""
    return jnp.mean(jnp.square(crossbar.weights(xbar) - target))


def costs(name: str, spent: Sequence[Any], wrong: Sequence[Array]) -> dict[str, Array]:
    """Return what programming both layers took, and the rms error of their weights, as values of a chip."""
    events, dtype = spent[0] + spent[1], wrong[0].dtype
    return {
        f"joule, {name}": joules(events),
        f"pulses, {name}": jnp.asarray(events.pulse, dtype),
        f"verifies, {name}": jnp.asarray(events.verify, dtype),
        f"error, {name}": jnp.sqrt(wrong[0]),  # of the first layer, which has nearly all the weights
    }


def accuracy(task: Task, first: mitigation.Reader, second: mitigation.Reader, key: Array) -> Array:
    """Return the share of test images that a network read through two readers classifies correctly."""
    return share(task, outputs(task, first, second, key))


def outputs(task: Task, first: mitigation.Reader, second: mitigation.Reader, key: Array) -> Array:
    """Return what a network read through two readers says of the test images [images, classes]."""
    return mitigation.respond(first, second, learning.scale(task.images), key)


def share(task: Task, y: Array) -> Array:
    """Return the share of test images that outputs y classify correctly."""
    return jnp.mean(learning.hits(y, task.labels).astype(y.dtype))


def joules(events: Any) -> Array:
    """Return the energy of counted events by the framework's price list [J]."""
    return energy.priced(events)


def run(
    task: Task, name: str, chip: Callable[..., dict[str, Array]], severities: Sequence[float], seed: int = 0
) -> dict[str, np.ndarray]:
    """Evaluate chip(task, key, severity) -> {value: []} on the same chips at every severity -> [severities, chips].

    Finished batches are kept in the task's folder under `name`: change the name with the function.
    """
    points, n, key = len(severities), task.chips, jax.random.key(seed)
    inputs = (
        monte_carlo.chip_keys(key, n)[np.tile(np.arange(n), points)],
        np.repeat(np.asarray(severities, np.float32), n),
    )
    args = task._replace(work=None, chips=None)

    def evaluate(_, given, arrays):
        return chip(arrays, *given)

    folder = task.work / name
    values = monte_carlo.run(
        evaluate, points * n, key, args=(args,), inputs=inputs, batch_size=1, checkpoint_dir=folder,
        resume=folder.exists(), config={"severities": list(severities), "chips": n},
    )  # fmt: skip
    return {name: np.asarray(value, np.float64).reshape(points, n) for name, value in values.items()}


def curve(values: dict[str, np.ndarray], **costs: Any) -> dict[str, Any]:
    """Return what a curve's chips say at every severity: mean, sd and the chips' own accuracies (in percent).

    Every other value becomes its mean over chips; costs (devices relative to the bare array, J) stand beside it.
    """
    y = 100 * values["accuracy"]
    means = {name: x.mean(axis=1).tolist() for name, x in values.items() if name != "accuracy"}
    return {
        "mean": y.mean(axis=1).tolist(), "sd": y.std(axis=1, ddof=1).tolist(), "chips": y.round(3).tolist(),
        **means, **costs,
    }  # fmt: skip


def gain(before: Sequence[float], after: Sequence[float]) -> dict[str, float]:
    """Return what the same chips gain, in points, with Student's 95 % interval of the paired difference."""
    made = statistics.paired_difference(before, after)
    return {"mean": made.difference, "low": made.low, "high": made.high, "pairs": made.n}


def judge(ideal: float, curves: dict[str, Any], bare: str, remedy: str, at: int, target: str, met: bool) -> dict:
    """Return what one severity says of a remedy: lost without it, left with it (points of the ideal), and its gain."""
    before, after = curves[bare]["chips"][at], curves[remedy]["chips"][at]
    return {
        "bare": bare, "remedy": remedy, "at": at, "lost": ideal - float(np.mean(before)),
        "left": ideal - float(np.mean(after)), "gain": gain(before, after), "target": target, "met": bool(met),
    }  # fmt: skip
