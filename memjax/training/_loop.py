"""The loop: chunks of samples on the device; counts, clock, checkpoints and signals on the host between them."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memjax import checkpoint, energy, files, learning, variation
from memjax import config as configs
from memjax.config import Config
from memjax.errors import UserError
from memjax.training import _data, _groups, _patches, _plan, _report
from memjax.training._build import System, build, idle

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
    batch_size: int | Literal["auto"] | None = None,
    threshold: float | None = None,
    resume: bool = False,
    progress: Callable[[Progress], Any] | None = None,
) -> dict:
    """Train `config.chips` chips online, write the folder `out` (see the package), and return the metrics.

    batch_size  chips in one compiled program, the devices sharing such groups out (`_groups`); None: all of them;
                "auto": as many as fit an accelerator, one on a processor. Draws are the same for every value; sums
                may differ by rounding
    threshold   accuracy that a chip must reach to count in the yield
    resume      go on from the newest checkpoint in `out`; with none there, from the start
    progress    called after every chunk

    SIGINT and SIGTERM end the run after the running chunk, saved, with Interrupted; a second one ends it at once.

    Raises UserError (ConfigError, DataError, CheckpointError) and ValueError for settings, data, folders or checkpoints
    that are not accepted, before anything is written.
    """
    _report.check_threshold(threshold)
    with _signals() as asked:
        began = time.perf_counter()
        samples = _data.load(config, data_dir)
        system = build(config)
        _groups.size(batch_size, (), config.chips)
        folder = _claim(out, config, resume)
        run = _Run(config, folder, samples, system, progress, began, batch_size)
        note = run.restore() if resume else ""
        if names := idle(config):
            still = f"no array ever rests (variation.sample_period = 0 s): nothing comes of {', '.join(names)}"
            note = f"{note}\n{still}" if note else still
        run.tell(note)
        run.go(asked)
        metrics = _report.metrics(
            config,
            run.counts,
            run.plan,
            samples,
            _groups.nbytes(run.state),
            threshold,
            interrupted=run.done < run.plan.stops[-1],
        )
        files.write_json(folder / "metrics.json", metrics)
        if run.done < run.plan.stops[-1]:
            raise Interrupted(asked[0], run.done, run.plan.stops[-1], folder)
        _report.write(folder, config, metrics, run.counts, run.plan, system, run.first)
        return metrics


class _Run:
    """What moves while a run goes: the chips, and the counts that a checkpoint holds beside them."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        samples: _data.Samples,
        system: System,
        progress: Any,
        began: float,
        batch_size: Any,
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
        self.init = jax.jit(jax.vmap(system.init))
        self.teach = None if system.teach is None else jax.jit(jax.vmap(system.teach, in_axes=(0, 0, None, None)))
        self.state = jax.eval_shape(system.init, system.keys[0])  # of one chip
        self.groups = _groups.Groups(system.keys, _groups.size(batch_size, self.state, config.chips))
        # Reads while testing draw noise of their own: no sample's key is used twice.
        self.test_keys = self.groups.split(jax.vmap(lambda key: variation.named_key(key, "evaluate"))(system.keys))
        self.chips: list[Any] = []  # the state of every group
        self.counts = _report.start(self.plan, config.chips, config.patches is not None)
        self.data = self.groups.everywhere((jnp.asarray(samples.train_x), jnp.asarray(samples.train_y)))
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
        self.chips, self.counts = self.groups.split(found.tree["chips"]), found.tree["counts"]
        self.before, self.saved = self.counts["seconds"], found.step
        return found.note or f"going on after {found.step:,} samples"

    def go(self, asked: list[int]) -> None:
        """Learn and evaluate until the end, or until a signal has come."""
        if not self.chips:
            self.chips = self.groups.map(self.init, self.groups.keys)
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
        count = self.n if wanted.images is None else min(wanted.images, self.n)
        rates = learning.schedule(count, wanted.learning_rate, wanted.decay_at, wanted.decay_factor)
        self.tell(f"{self.config.array.n_outputs} filters learn from {count:,} images")
        rates = rates.astype(np.dtype(jnp.result_type(float)))

        def taught(chips, keys, data):
            return teach(chips, keys, data[0][:count], rates)

        made = self.groups.map(taught, self.chips, self.groups.keys, self.data)
        self.chips = [chips for chips, _ in made]
        for _, spent in made:
            for name, number in _patches.total(spent).items():
                self.counts["events"]["filters"][name] += number

    def _chunk(self, k: int, start: int, stop: int) -> None:
        clock = time.perf_counter()
        epoch, first = divmod(start, self.n)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, _data.order(self.config, self.n, epoch)
        order = self.order[first : first + stop - start]
        rates = tuple(rate[start:stop] for rate in self.rates)

        def learn(chips, keys, data):
            return self.step(chips, keys, *data, order, rates, np.int32(start))

        made = self.groups.map(learn, self.chips, self.groups.keys, self.data)
        self.chips = [chips for chips, _ in made]
        counts = self.counts
        counts["correct"][k] = np.concatenate([np.sum(np.asarray(record.correct), axis=1) for _, record in made])
        for _, record in made:
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
            test = self.samples.test_x, self.samples.test_y
            found = self.groups.map(lambda chips, keys: self.accuracy(chips, keys, *test), self.chips, self.test_keys)
            counts["accuracy"][at] = np.concatenate(found)

    def _save(self) -> None:
        self.counts["seconds"] = self.before + time.perf_counter() - self.began
        self.counts["peak"] = max(self.counts["peak"], _groups.peak(self.groups.used))
        if self.saved != self.done:
            tree = {"chips": self.groups.join(self.chips), "counts": self.counts}
            checkpoint.save(self.folder, self.done, tree, configs.identity(self.config), keep=2)
        self.saved, self.saved_at = self.done, time.perf_counter()

    def first(self, n: int) -> tuple[Any, Any]:
        """Return the first n chips as they began, and as they are."""
        size = self.groups.bounds[0][1]
        few = -(-n // size)
        now = self.groups.join(self.chips[:few])
        return self.init(self.system.keys[:n]), jax.tree.map(lambda x: x[:n], now)

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
            changed = ", ".join(configs.differences(was, now))
            raise UserError(f"{given} is of a run with other settings ({changed}): go on with the same ones")
    elif resume and path.is_dir() and any(path.iterdir()):
        raise UserError(f"{path} has no config.yaml: it is no folder of a run, and nothing in it is written over")
    folder = files.new_folder(path, resume=resume)
    if not given.exists():
        files.write_text(given, configs.dump(config, _report.header(config)))
    (folder / "figures").mkdir(exist_ok=True)
    return folder


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
