"""The loop: chunks of samples on the device; counts, clock, checkpoints and signals on the host between them."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memjax import checkpoint, energy, files, learning, variation
from memjax import config as configs
from memjax.config import Config
from memjax.errors import UserError
from memjax.training import _data, _patches, _plan, _report
from memjax.training._build import System, build

RECENT = 2000  # samples over which the online accuracy shown while training is taken


class Interrupted(Exception):
    """A run was asked to stop, and has saved what it had: `signum`, the signal; `done` of `total` samples; `folder`."""

    def __init__(self, signum: int, done: int, total: int, folder: Path):
        super().__init__(f"stopped by signal {signum} after {done} of {total} samples; saved in {folder}")
        self.signum, self.done, self.total, self.folder = signum, done, total, folder


class Progress(NamedTuple):
    """How far a run is: samples done of total, samples a second, shares of correct answers (None: not known yet)."""

    done: int
    total: int
    epoch: int
    epochs: int
    rate: float | None
    online: float | None  # over the latest samples, before learning them, mean of the chips
    test: np.ndarray | None  # [chips], of the latest evaluation
    note: str = ""  # something to tell once


def train(
    config: Config,
    out: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    *,
    resume: bool = False,
    progress: Callable[[Progress], Any] | None = None,
) -> dict:
    """Train `config.chips` chips online, write the folder `out` (see the package), and return the metrics.

    resume: go on from the newest checkpoint in `out`; with none there, from the start. progress is called after every
    chunk. SIGINT and SIGTERM end the run after the running chunk, saved, with Interrupted; a second one ends it at
    once.

    Raises UserError (ConfigError, DataError, CheckpointError) and ValueError for settings, data, folders or checkpoints
    that are not accepted, before anything is written.
    """
    with _signals() as asked:
        began = time.perf_counter()
        samples = _data.load(config, data_dir)
        system = build(config)
        folder = _claim(out, config, resume)
        run = _Run(config, folder, samples, system, progress, began)
        note = run.restore() if resume else ""
        run.tell(note)
        run.go(asked)
        metrics = _report.metrics(config, run.counts, run.plan, samples, interrupted=run.done < run.plan.stops[-1])
        files.write_json(folder / "metrics.json", metrics)
        if run.done < run.plan.stops[-1]:
            raise Interrupted(asked[0], run.done, run.plan.stops[-1], folder)
        before = run.init(system.keys)
        _report.write(folder, config, metrics, run.counts, run.plan, before, run.chips, system)
        return metrics


class _Run:
    """What moves while a run goes: the chips, and the counts that a checkpoint holds beside them."""

    def __init__(
        self, config: Config, folder: Path, samples: _data.Samples, system: System, progress: Any, began: float
    ):
        self.config, self.folder, self.system, self.progress = config, folder, system, progress
        self.n, self.samples = len(samples.train_y), samples
        wanted = config.learning
        self.plan = _plan.plan(self.n, wanted.epochs, config.run.chunk, config.run.evaluate_every)
        self.rates = _plan.rates(config, self.plan.stops[-1])
        self.step, self.accuracy = (
            learning.online(system.learner, _data.augment(config)),
            learning.evaluate(system.learner, config.run.eval_batch),
        )
        # Reads while testing draw noise of their own: no sample's key is used twice.
        self.test_keys = jax.vmap(lambda key: variation.named_key(key, "evaluate"))(system.keys)
        self.init = jax.jit(jax.vmap(system.init))
        self.teach = None if system.teach is None else jax.jit(jax.vmap(system.teach, in_axes=(0, 0, None, None)))
        self.chips: Any = None
        self.counts = _report.start(self.plan, config.chips, config.patches is not None)
        self.images, self.labels = jnp.asarray(samples.train_x), jnp.asarray(samples.train_y)
        self.began, self.before = began, 0.0
        self.saved, self.saved_at = -1, began
        self.epoch, self.order = -1, np.zeros(0, np.int32)
        self.compiled: set[int] = set()

    @property
    def done(self) -> int:
        return self.counts["done"]

    def restore(self) -> str:
        """Take up the newest checkpoint, if there is one; return what a person should be told."""
        if checkpoint.latest(self.folder) is None:
            return "no checkpoint yet: starting from the beginning"
        like = {"chips": jax.eval_shape(self.init, self.system.keys), "counts": self.counts}
        found = checkpoint.restore(self.folder, like, configs.identity(self.config))
        self.chips, self.counts = found.tree["chips"], found.tree["counts"]
        self.before, self.saved = self.counts["seconds"], found.step
        return found.note or f"going on after {found.step:,} samples"

    def go(self, asked: list[int]) -> None:
        """Learn and evaluate until the end, or until a signal has come."""
        if self.chips is None:
            self.chips = self.init(self.system.keys)
            if self.teach is not None:
                self._teach(self.teach)
        stops = self.plan.stops
        for k in range(stops.index(self.done), len(stops) - 1):
            self._chunk(k, stops[k], stops[k + 1])
            self.tell()
            due = time.perf_counter() - self.saved_at >= self.config.run.checkpoint_every_s
            if due or asked or self.done % self.n == 0 or self.done == stops[-1]:
                self._save()
            if asked:
                return

    def _teach(self, teach: Callable) -> None:
        """Let the filters of a patch layer learn, before anything else does."""
        wanted = self.config.patches
        assert wanted is not None
        images = self.images[: wanted.images]
        rates = learning.schedule(len(images), wanted.learning_rate, wanted.decay_at, wanted.decay_factor)
        self.tell(f"{self.config.array.n_outputs} filters learn from {len(images):,} images")
        rates = rates.astype(np.dtype(jnp.result_type(float)))
        self.chips, spent = teach(self.chips, self.system.keys, images, rates)
        for name, number in _patches.total(spent).items():
            self.counts["events"]["filters"][name] += number

    def _chunk(self, k: int, start: int, stop: int) -> None:
        clock = time.perf_counter()
        epoch, first = divmod(start, self.n)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, _data.order(self.config, self.n, epoch)
        order = self.order[first : first + stop - start]
        rates = tuple(rate[start:stop] for rate in self.rates)
        self.chips, record = self.step(
            self.chips, self.system.keys, self.images, self.labels, order, rates, np.int32(start)
        )
        counts = self.counts
        counts["correct"][k] = np.sum(np.asarray(record.correct), axis=1)
        for kind, events in (("inference", record.inference), ("training", record.training)):
            for name, number in energy.total(events).items():
                counts["events"][kind][name] += number
        counts["done"] = stop
        if stop - start in self.compiled:  # the first chunk of a length waits for the compiler
            counts["timed_samples"] += stop - start
            counts["timed_seconds"] += time.perf_counter() - clock
        self.compiled.add(stop - start)
        if stop in self.plan.evaluate:
            at = self.plan.evaluate.index(stop)
            counts["accuracy"][at] = self.accuracy(self.chips, self.test_keys, self.samples.test_x, self.samples.test_y)

    def _save(self) -> None:
        self.counts["seconds"] = self.before + time.perf_counter() - self.began
        if self.saved != self.done:
            tree = {"chips": self.chips, "counts": self.counts}
            checkpoint.save(self.folder, self.done, tree, configs.identity(self.config), keep=2)
        self.saved, self.saved_at = self.done, time.perf_counter()

    def tell(self, note: str = "") -> None:
        """Report how far the run is."""
        if self.progress is None:
            return
        counts, stops = self.counts, self.plan.stops
        rate = counts["timed_samples"] / counts["timed_seconds"] if counts["timed_samples"] else None
        at = stops.index(self.done)
        first = next((k for k in range(at) if stops[k] >= self.done - RECENT), at)
        online = None
        if at > first:
            online = float(counts["correct"][first:at].mean(axis=1).sum() / (self.done - stops[first]))
        evaluated = sum(stop <= self.done for stop in self.plan.evaluate)
        epoch = min(self.done // self.n + 1, self.config.learning.epochs)
        test = counts["accuracy"][evaluated - 1] if evaluated else None
        self.progress(Progress(self.done, stops[-1], epoch, self.config.learning.epochs, rate, online, test, note))


def _claim(out: str | os.PathLike, config: Config, resume: bool) -> Path:
    """Make the run's folder, or take the one to go on in; its config.yaml must be of this run."""
    path = Path(out)
    given = path / "config.yaml"
    if resume and given.exists():
        was, now = configs.identity(configs.load(given)), configs.identity(config)
        if was != now:
            changed = [f"{a}.{b}" if b else a for a, b in _differences(was, now)]
            raise UserError(f"{given} is of a run with other settings ({', '.join(changed)}): go on with the same ones")
    elif resume and path.is_dir() and any(path.iterdir()):
        raise UserError(f"{path} has no config.yaml: it is no folder of a run, and nothing in it is written over")
    folder = files.new_folder(path, resume=resume)
    if not given.exists():
        files.write_text(given, configs.dump(config, _report.header(config)))
    (folder / "figures").mkdir(exist_ok=True)
    return folder


def _differences(was: dict, now: dict) -> list[tuple[str, str]]:
    found = []
    for name in was:
        if isinstance(was[name], dict):
            found += [(name, key) for key in was[name] if was[name][key] != now[name].get(key)]
        elif was[name] != now[name]:
            found.append((name, ""))
    return found


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of dying of them; a second one has its usual effect."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python hands signals to the main thread only
        yield asked
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number, frame):
        asked.append(number)
        for each, handler in usual.items():
            signal.signal(each, handler)

    for number in usual:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
