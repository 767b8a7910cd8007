"""One study from a config to a folder of results: what `memjax mc` does, for programs and notebooks."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from memjax import config as configs
from memjax import designs, devices, files, monte_carlo, plot, results, statistics, training, variation
from memjax.config import Config
from memjax.errors import ConfigError, UserError
from memjax.studies import _remedied
from memjax.studies._study import Study

RULE = "accepted is yield:THRESHOLD:HALF_WIDTH, as yield:0.95:0.01"


def yield_rule(text: str) -> statistics.Until:
    """Read a rule to stop by, "yield:THRESHOLD:HALF_WIDTH"; raises UserError for anything else."""
    kind, *numbers = text.split(":")
    try:
        threshold, half_width = map(float, numbers)
    except ValueError:
        raise UserError(f"--until {text}: {RULE}") from None
    rule = statistics.Until(threshold, half_width)
    try:
        rule.check()
    except ValueError as error:
        raise UserError(f"--until {text}: {error}") from None
    if kind != "yield":
        raise UserError(f"--until {text}: {RULE}")
    training.check_threshold(threshold, f"--until {text}")
    return rule


def idle(config: Config) -> list[str]:
    """Return the non-idealities that change a chip only while it rests, where no chip of the study ever does."""
    wanted = config.monte_carlo
    rests = wanted.age > 0 or (wanted.study == "learning" and config.variation.sample_period > 0)
    return training.idle(config, rests)


def mc(
    config: Config,
    build: Callable[..., Study],
    out: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    *,
    batch_size: int | Literal["auto"] | None = "auto",
    until: statistics.Until | None = None,
    threshold: float | None = None,
    sobol: int = 0,
    network: str | os.PathLike | None = None,
    resume: bool = False,
    progress: Callable[[monte_carlo.Progress], Any] | None = None,
    training_progress: Callable[[training.Progress], Any] | None = None,
) -> dict:
    """Run the study of `config.monte_carlo`, write the folder `out`, and return the metrics.

    until      stop when the yield is known well enough; config.monte_carlo.chips is then the most
    threshold  what a chip must reach to count in the yield (`until` has its own)
    sobol      base samples of a variance decomposition over the sources of chance, after the chips; a power of 2
    network    folder of a `memjax train` run to deploy (its first chip); None: one is trained on ideal devices
    resume     go on in `out`

    Every process of `monte_carlo.start_hosts` calls it; the first one writes. Raises UserError for folders, data and
    settings that are not accepted, before anything is written.
    """
    began, wanted, out = time.perf_counter(), config.monte_carlo, Path(out)
    training.check_threshold(threshold)
    rule = until or (None if threshold is None else statistics.Until(threshold, 0.01))
    if until is not None and wanted.quantities and wanted.design != "independent":
        raise UserError(f"--until needs independent chips: the first rows of a {wanted.design} design are none")
    if rule is not None and wanted.study == "arrays":
        raise UserError(f"the yield of a study of {wanted.study} is not defined: its chips have no accuracy")
    if sobol < 0 or sobol == 1 or (wanted.quantities and sobol & (sobol - 1)):
        accepted = "a power of 2" if wanted.quantities else "at least 2 base samples"
        raise UserError(f"--sobol {sobol}: accepted is {accepted}, or 0 for no variance decomposition")
    key, n = jax.random.key(config.seed), wanted.chips
    inputs = _inputs(config, n, key)
    study = begin(config, build, out, data_dir, network, resume, training_progress)(config)
    settings = run_settings(config, study, batch_size, resume, progress)
    started = time.perf_counter()
    values = monte_carlo.run(
        study.chip if inputs is None else study.severe_chip,
        n,
        key,
        inputs=inputs,
        checkpoint_dir=out / "chips",
        until=None if until is None else lambda values: until.met(values[study.metric]),
        **settings,
    )
    seconds = time.perf_counter() - started
    n = len(values[study.metric])
    indices = None
    if sobol:
        own = variation.named_key(key, "sobol")
        indices = _decompose(study, _ranges(config), sobol, own, out / "sobol", settings)
    found = _metrics(config, study, values, rule, indices) | {
        "chips_per_second": n / seconds,
        "seconds": time.perf_counter() - began,
    }
    if jax.process_index() == 0:
        drawn = {} if inputs is None else {name: x[:n] for name, x in inputs.items()}
        _write(out, config, study, values, drawn, found, rule, indices)
    monte_carlo.wait("written")
    return found


def begin(
    config: Config,
    build: Callable[..., Study],
    out: Path,
    data_dir: str | os.PathLike | None,
    network: str | os.PathLike | None,
    resume: bool,
    progress: Callable[[training.Progress], Any] | None,
) -> Callable[[Config], Study]:
    """Make the folder `out`, or go on in it, with all settings and the network to deploy.

    Returns what builds the study of this config, or of the same with other remedies. What is refused is refused before
    anything is written.
    """
    _remedied.check(config)
    first, kind = jax.process_index() == 0, config.monte_carlo.study
    if first and resume:
        _same_study(config, out)
    samples = None if kind == "arrays" else training.load(config, data_dir)
    trained = None
    if kind == "arrays":
        build(config, samples, trained)
    else:
        training.parts(config)
    if kind == "deployed":
        if network is None:
            training.build(ideal(config))
        else:
            trained = weights(config, network)
    if first:
        files.new_folder(out, resume=resume)
        if not (out / "config.yaml").exists():  # another number of chips may be refused yet: `mc` writes it at its end
            _keep(config, out)
    if kind == "deployed" and trained is None:
        trained = _trained(config, out / "network", data_dir, first, resume, progress)
    return lambda changed: build(changed, samples, trained)


def _keep(config: Config, out: Path) -> None:
    text = configs.dump(config, f"Settings of a study of {config.monte_carlo.study} chips")
    files.write_text(out / "config.yaml", text)


def _same_study(config: Config, out: Path) -> None:
    """Raise UserError for a folder with content that is not of this study: its config.yaml is what a resume reads."""
    given = out / "config.yaml"
    if given.exists():
        was, now = configs.study_identity(configs.load(given)), configs.study_identity(config)
        if was != now:
            changed = ", ".join(configs.differences(was, now))
            raise UserError(f"{given} is of a study with other settings ({changed}): go on with the same ones")
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} has no config.yaml: it is no folder of a study, and nothing in it is written over")


def run_settings(config: Config, study: Study, batch_size: Any, resume: bool, progress: Any) -> dict[str, Any]:
    """Return what every `monte_carlo.run` of a study's folder is told."""
    return {
        "batch_size": batch_size,
        "args": study.args,
        "resume": resume,
        "progress": progress,
        "config": configs.study_identity(config),
    }


def summaries(values: Mapping[str, np.ndarray], study: Study) -> dict[str, Any]:
    """Return mean, sd and quantiles of all values [chips] over the chips that did not fail, for a file."""
    summary = monte_carlo.summary(values)
    return {
        name: {
            "mean": float(summary.mean[name]),
            "sd": float(summary.sd[name]),
            "quantiles": {f"{q:g}": float(at[name]) for q, at in summary.quantiles.items()},
            "unit": study.units[name][0],
        }
        for name in values
    }


def ideal(config: Config) -> Config:
    """Return the config of one chip of ideal devices, on which a network is trained before it is deployed."""
    array = config.array.model_copy(update={"wires": None})
    return config.model_copy(update={"variation": type(config.variation)(), "chips": 1, "array": array})


def _trained(config, folder, data_dir, first, resume, progress) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights [n_in, n_hidden], [n_hidden, n_out] to deploy, in [-1, 1], of the network trained there."""
    if first and not (folder / "results.nc").exists():
        going_on = resume and folder.exists()
        training.train(ideal(config), folder, data_dir, resume=going_on, progress=progress)
    monte_carlo.wait("trained")
    return weights(config, folder)


def weights(config: Config, folder: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights [n_in, n_hidden], [n_hidden, n_out] of the first chip of a `memjax train` run, in [-1, 1].

    w = (g+ - g-) / (g_max - g_min) with the nominal range of its devices, as the network was trained: its own, narrower
    spread of conductances would make every hidden neuron's input larger. Raises ConfigError for a network of other
    sizes than the config's.
    """
    g = results.read_conductances(Path(folder) / "results.nc")
    run = configs.load(Path(folder) / "config.yaml")
    device, params = devices.get(run.device.name), configs.device_params(run)
    high, low = (
        devices.conductance(device, params, device.init(params, x), run.device.read_voltage) for x in (1.0, 0.0)
    )
    sizes = (config.array.n_inputs, config.array.n_outputs, config.array.n_classes)
    made = []
    for name, shape in (("hidden", sizes[:2]), ("output", sizes[1:])):
        if name not in g or g[name].shape != (2, *shape):
            given = g[name].shape if name in g else "none"
            raise ConfigError(f"{folder} holds a network of {name} conductances {given}: accepted is (2, {shape})")
        net = g[name][0] - g[name][1]
        made.append(np.clip(net / float(high - low), -1.0, 1.0))
    return made[0], made[1]


def _inputs(config: Config, n: int, key: jax.Array) -> dict[str, np.ndarray] | None:
    wanted = config.monte_carlo
    if not wanted.quantities:
        return None
    drawn = designs.design(_ranges(config), n, variation.named_key(key, "design"), wanted.design)
    return _severities(drawn)


def _ranges(config: Config) -> dict[str, designs.Distribution]:
    """Return what every chip draws its own severities from."""
    wanted = config.monte_carlo
    there = training.nonidealities(config).names
    absent = [name for name in wanted.quantities if name not in there]
    if absent:
        raise ConfigError(
            f"monte_carlo.quantities: {', '.join(absent)}: accepted is what the section variation describes "
            f"({', '.join(there) or 'nothing'})"
        )
    for name, q in wanted.quantities.items():
        check_severity(config, name, q.high)
    return {name: designs.Uniform(q.low, q.high) for name, q in wanted.quantities.items()}


def check_severity(config: Config, name: str, severity: float) -> None:
    """Raise ConfigError where the section variation would not accept what it describes at that severity.

    So shares of stuck devices stay at or below 1; a chip's own severity is traced, and cannot be looked at.
    """
    plain = config.model_dump(mode="json")
    own, made = plain["variation"], training.nonidealities(config).with_severity({name: severity}).scaled(name)
    if name == "stuck":
        changed: dict[str, Any] = {"stuck_on": made.on, "stuck_off": made.off}
    elif name == "d2d":
        changed = {name: {field: own[name][field] | {"sigma": spread.sigma} for field, spread in made.items()}}
    elif name == "heat":
        changed = {name: own[name] | {"ambient": made.network.ambient, "duty": made.duty}}
    elif name in ("lines", "telegraph", "half_select"):
        changed = {name: {field: getattr(made, field) for field in own[name]}}
    else:  # has no upper bound
        return
    configs.from_dict(plain | {"variation": own | changed}, f"{name} at severity {severity:g}")


def _severities(drawn: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(x, jnp.result_type(float)) for name, x in drawn.items()}


def _decompose(
    study: Study, ranges: Mapping[str, Any], base: int, key: jax.Array, folder: Path, settings: dict
) -> statistics.Indices:
    """Tell the sources of chance apart, and the severities that chips draw, by base (d + 2) further chips."""
    groups = dict.fromkeys(study.sources) | {f"{name} severity": each for name, each in ranges.items()}
    design = statistics.sobol_design(groups, base, key)
    chip, inputs = study.keyed_chip, {name: design.inputs[name] for name in study.sources}
    if ranges:
        severity = _severities({name: design.inputs[f"{name} severity"] for name in ranges})
        chip, inputs = study.drawn_chip, (inputs, severity)
    settings = settings | {"inputs": inputs, "checkpoint_dir": folder, "resume": folder.exists()}
    values = monte_carlo.run(chip, base * (len(groups) + 2), key, **settings)
    parts = statistics.split(values[study.metric], design.names)
    return statistics.sobol_indices(*parts, design.names, variation.named_key(key, "bootstrap"))


def _metrics(config: Config, study: Study, values: dict, rule: Any, indices: Any) -> dict:
    failed = np.flatnonzero(monte_carlo.failed(values))
    found: dict[str, Any] = {
        "study": config.monte_carlo.study,
        "metric": study.metric,
        "chips": len(values[study.metric]),
        "failed": failed.tolist(),
        "values": summaries(values, study),
        "yield": None,
        "sobol": None,
        "seed": config.seed,
        "config_digest": configs.study_digest(config),
        "versions": training.versions(),
    }
    if rule is not None:
        made = statistics.yield_interval(values[study.metric], rule.threshold)
        found["yield"] = {"threshold": rule.threshold, "estimate": made.estimate, "low": made.low, "high": made.high}
    if indices is not None:
        found["sobol"] = {
            name: {
                "first": [_number(x[i]) for x in (indices.first, indices.first_low, indices.first_high)],
                "total": [_number(x[i]) for x in (indices.total, indices.total_low, indices.total_high)],
            }
            for i, name in enumerate(indices.names)
        }
    return found


def _number(x: float) -> float | None:
    """Return x for JSON, which has no nan: too few base samples, or all alike, give no interval."""
    return float(x) if np.isfinite(x) else None


def _write(out, config, study, values, drawn, found, rule, indices) -> None:
    _keep(config, out)
    files.write_json(out / "metrics.json", found)
    results.write(
        out / "results.nc",
        results.study(values, drawn, monte_carlo.failed(values), study.units, attrs={"config": configs.dump(config)}),
    )
    share = study.units[study.metric][0] == "1"
    label = f"{study.metric} (%)" if share else f"{study.metric} ({study.units[study.metric][0]})"
    y = np.asarray(values[study.metric], np.float64) * (100.0 if share else 1.0)
    threshold = None if rule is None else rule.threshold * (100.0 if share else 1.0)
    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    plot.save(plot.chip_distribution(y, label, threshold=threshold), folder / "distribution.png")
    if study.metric == "accuracy":
        plot.save(plot.yield_curve(y, f"threshold of the {label}", at=threshold), folder / "yield.png")
    if indices is not None and np.isfinite([indices.first, indices.total]).all():
        plot.save(plot.sobol_bars(indices), folder / "sobol.png")
