"""The loop over batches: each process works its share, keeps what is finished, and all put their values together."""

import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from memjax.monte_carlo import _batch, _folder, _hosts
from memjax.monte_carlo._folder import Folder, Range
from memjax.monte_carlo._summary import failed

_LARGEST = 256 * 2**20  # bytes that wait for a part to be written
_TELL = 0.2  # s between two looks at what the other processes have finished


class Progress(NamedTuple):
    """How far a study is: finished chips of all processes, of n; rate in chips per second of this run, once known."""

    done: int
    n: int
    rate: float | None


def run(
    chip: Callable,
    n: int,
    key: Array,
    *,
    args: tuple = (),
    inputs: Any = None,
    batch_size: int | Literal["auto"] | None = None,
    mesh: Mesh | None = None,
    memory: int | None = None,
    block: int | None = None,
    checkpoint_dir: str | os.PathLike | None = None,
    resume: bool = False,
    config: Any = None,
    save_every: float = 5.0,
    in_memory: int = 2**30,
    until: Callable[[Any], bool] | None = None,
    check_every: int = 100,
    progress: Callable[[Progress], Any] | None = None,
) -> Any:
    """Evaluate chip(key, *args) -> pytree for n sampled chips; returns the pytree with NumPy leaves [n, ...].

    args            shared by all chips
    inputs          pytree, leaves [n, ...] (typed keys too): chip i is called as chip(key, inputs[i], *args), for
                    designed quantities
    batch_size      chips a device at once, in one compiled program whatever n, so that memory stays flat in n; None:
                    all of them; "auto": as many as fit in `memory` bytes a device (None: a share of what there is).
                    Draws are the same for every batch size; sums in a chip may differ by rounding, since a compiler
                    orders them by the shape of the batch
    block           work a batch in blocks of so many chips, each by the same program: values are then the same to the
                    bit for every batch size, number of devices of one kind, and number of hosts
    mesh            devices of this process, one axis; None: all of them. In several processes (`start_hosts`) each
                    works a share of the chips, and every one returns all values
    checkpoint_dir  folder for finished batches: parts are written whole, at most every `save_every` seconds. With
                    `resume` a study that was stopped anywhere goes on from them, with any batch size, devices, hosts
                    or larger n. `config` is anything that JSON can hold: its hash is kept, and a folder of another one
                    is refused. Values of more than `in_memory` bytes are joined in a file there, and the leaves are
                    maps of it
    until           until(values so far) -> bool: stop when it says so. It is asked after every `check_every` chips, so
                    the answer depends on neither the batch size nor the hosts; n is then the most chips
    progress        called on the first process with what all have finished

    A chip with values that are not finite is kept (`failed` finds it) and warned of. Raises ValueError for n,
    batch_size or check_every below 1, inputs of another length, an untyped key, and a mesh that is not accepted;
    UserError for a folder or a disk that cannot be used: finished batches are kept.
    """
    inputs = jax.tree.map(lambda x: x if _is_key(x) else np.asarray(x), inputs)
    _check(n, batch_size, block, key, inputs, check_every)
    mesh = _batch.mesh_of(mesh)
    rows = (
        ()
        if inputs is None
        else (jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], jnp.result_type(x)), inputs),)
    )
    like = jax.eval_shape(chip, key, *rows, *args)
    _check_values(like)
    rank, processes = jax.process_index(), jax.process_count()
    folder = None
    if checkpoint_dir is not None:
        what = _folder.identity(key, config, args, inputs, like)
        if rank == 0:
            folder = Folder.create(checkpoint_dir, what, n, resume=resume)
        _hosts.wait("folder")
        folder = folder or Folder.open(checkpoint_dir)
    study = _Study(folder, like, n, save_every, progress, rank, processes)

    batch = None
    stops = [n] if until is None else [*range(check_every, n, check_every), n]
    for first, stop in zip([0, *stops], stops, strict=False):
        todo = study.missing(first, stop)
        _hosts.wait("shared out")  # nobody writes before all have seen what is there
        mine = share(todo, rank, processes)
        if mine and batch is None:
            # This round may lack a few chips only: its program is for the shares of the rounds to come too.
            later = min(check_every, n - stop)
            most = max(-(-later // processes), *(b - a for a, b in mine))
            batch = _batch.compiled(chip, key, args, inputs, mesh, most, batch_size, memory, block)
        if batch is not None:
            study.work(mine, batch, inputs)
        study.meet(first, stop)
        if until is not None and stop < n and until(study.values(stop, in_memory)):
            n = stop
            if folder is not None and rank == 0:
                folder.end()
            break
    values = study.values(n, in_memory)
    bad = np.flatnonzero(failed(values))
    if len(bad) and rank == 0:
        shown = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
        warnings.warn(f"{len(bad)} of {n} chips have values that are not finite ({shown})", stacklevel=2)
    return values


def share(ranges: list[Range], rank: int, processes: int) -> list[Range]:
    """Return the part of the chips in `ranges` that process `rank` works: an equal number each, in order."""
    total = sum(b - a for a, b in ranges)
    each = -(-total // processes)
    skip, take, mine = rank * each, each, []
    for a, b in ranges:
        a, skip = min(b, a + skip), max(0, skip - (b - a))
        end = min(b, a + take)
        if end > a:
            mine.append((a, end))
            take -= end - a
    return mine


class _Study:
    """What is finished, here or in the folder."""

    def __init__(self, folder, like, n, save_every, progress, rank, processes):
        self.folder, self.n, self.save_every, self.progress = folder, n, save_every, progress
        self.leaves, self.tree = jax.tree.flatten(like)
        self.rank, self.processes = rank, processes
        self.parts: list[list[np.ndarray]] = []  # of this round and process, where there is no folder
        self.rounds: list[list[np.ndarray]] = []
        self.done, self.began, self.at_first, self.told = 0, time.monotonic(), 0, -1.0

    def missing(self, first: int, stop: int) -> list[Range]:
        finished = [] if self.folder is None else self.folder.finished()
        if first == 0:
            self.done = self.at_first = self._number(finished)
        return _folder.missing(finished, first, stop)

    def _number(self, finished: list[Range]) -> int:
        """Count the finished chips of this study: its folder may hold more."""
        return sum(min(b, self.n) - a for a, b in finished if a < self.n)

    def work(self, mine: list[Range], batch: _batch.Batch, inputs: Any) -> None:
        for first, stop in mine:
            waiting, since, start = [], time.monotonic(), first
            try:
                for values, bad in _batches(first, stop, batch, inputs):
                    waiting.append((values, bad))
                    self.done += len(bad)
                    size = sum(leaf.nbytes for part, _ in waiting for leaf in part)
                    if self.folder is not None and (time.monotonic() - since > self.save_every or size > _LARGEST):
                        start, waiting, since = self._keep(start, waiting), [], time.monotonic()
                    self._tell()
            finally:  # Ctrl-C in the next batch costs nothing of those before it
                self._keep(start, waiting)

    def _keep(self, start: int, waiting: list) -> int:
        if not waiting:
            return start
        values = [np.concatenate(leaves) for leaves in zip(*(part for part, _ in waiting), strict=True)]
        bad = np.concatenate([part for _, part in waiting])
        if self.folder is None:
            self.parts.append(values)
        else:
            self.folder.write(start, values, bad)
        return start + len(bad)

    def meet(self, first: int, stop: int) -> None:
        """Wait for the other processes; without a folder, hand the values round."""
        if self.folder is None:
            each = -(-(stop - first) // self.processes)
            filled = []
            for i, leaf in enumerate(self.leaves):
                mine = np.zeros((each, *leaf.shape), leaf.dtype)
                at = 0
                for part in self.parts:
                    mine[at : at + len(part[i])] = part[i]
                    at += len(part[i])
                filled.append(mine)
            self.rounds.append([leaf[: stop - first] for leaf in _hosts.gather(filled)])
            self.parts = []
        _hosts.wait("finished")
        self.done = max(self.done, stop)
        self._tell(now=True)

    def values(self, n: int, in_memory: int) -> Any:
        if self.folder is None:
            made = [np.concatenate(leaves)[:n] for leaves in zip(*self.rounds, strict=True)]
        else:
            made = self.folder.read(n, in_memory, join=self.rank == 0)
            _hosts.wait("read")
        return jax.tree.unflatten(self.tree, made)

    def _tell(self, now: bool = False) -> None:
        if self.progress is None or self.rank:
            return
        if self.processes > 1 and not now:
            if time.monotonic() - self.told < _TELL:
                return
            # The others' finished batches are seen in the folder; without one they are taken to go at this one's pace.
            if self.folder is None:
                done = min(self.n, self.at_first + self.processes * (self.done - self.at_first))
            else:
                done = max(self.done, self._number(self.folder.finished()))
        else:
            done = self.done
        self.told = time.monotonic()
        seconds = self.told - self.began
        fresh = done - self.at_first
        self.progress(Progress(done, self.n, fresh / seconds if fresh and seconds > 0 else None))


def _batches(first: int, stop: int, batch: _batch.Batch, inputs: Any) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    """Work chips first .. stop - 1 batch by batch -> (leaves [chips, ...], failed [chips]); one batch ahead."""

    def begin(start: int):
        # The last batch is filled up with further chips that are then dropped: another length would compile again.
        numbers = np.arange(start, start + batch.size, dtype=np.uint32)
        rows = jax.tree.map(lambda x: x[np.minimum(numbers, len(x) - 1)], inputs)
        return min(batch.size, stop - start), batch.call(numbers, rows)

    def finish(length: int, made: tuple[Any, Array]):
        values, bad = made
        return [np.asarray(leaf)[:length] for leaf in jax.tree.leaves(values)], np.asarray(bad)[:length]

    ahead = None
    for start in range(first, stop, batch.size):
        begun = begin(start)
        if ahead is not None:
            yield finish(*ahead)
        ahead = begun
    if ahead is not None:
        yield finish(*ahead)


def _check(n: int, batch_size: Any, block: int | None, key: Array, inputs: Any, check_every: int) -> None:
    if n < 1:
        raise ValueError(f"monte_carlo: n = {n} chips: accepted is at least 1")
    if not (batch_size is None or batch_size == _batch.AUTO or (isinstance(batch_size, int) and batch_size >= 1)):
        raise ValueError(
            f'monte_carlo: batch_size = {batch_size!r}: accepted is at least 1, "auto", or None for all at once'
        )
    for name, value in (("check_every", check_every), ("block", 1 if block is None else block)):
        if value < 1:
            raise ValueError(f"monte_carlo: {name} = {value} chips: accepted is at least 1")
    if not _is_key(key) or key.ndim:
        raise ValueError(
            f"monte_carlo: key of type {key.dtype} and shape {key.shape}: accepted is one typed key, as "
            "jax.random.key(0)"
        )
    for leaf in jax.tree.leaves(inputs):
        if np.ndim(leaf) == 0 or len(leaf) != n:
            raise ValueError(
                f"monte_carlo: inputs with a leaf of shape {np.shape(leaf)}: accepted is [{n}, ...], one a chip"
            )


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _check_values(like: Any) -> None:
    for name, leaf in zip(_folder.names(like), jax.tree.leaves(like), strict=True):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) or np.dtype(leaf.dtype).kind not in "biuf":
            raise ValueError(
                f"monte_carlo: the chip returns {name} of type {leaf.dtype}: accepted are NumPy's numbers and bool (of "
                "a key its jax.random.key_data, of a complex number its parts, of a bfloat16 a float32)"
            )
