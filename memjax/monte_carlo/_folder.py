"""A study's folder: a manifest of what it is, and finished batches in netCDF files that are there whole or not at all.

    study.json                    key, hashes of config, arguments and inputs, names and types of the values, chips
    part-000000-000064.nc         the values of chips 0 .. 63
    values.nc                     all values, where they are too large for the memory

A part's name says which chips it holds, so finding what is missing needs no file to be opened, and parts that processes
write side by side never meet.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from memjax import files, results
from memjax.errors import UserError

Range = tuple[int, int]  # chips first .. stop - 1

_MANIFEST, _JOINED = "study.json", "values.nc"
_PART = re.compile(r"part-(\d+)-(\d+)\.nc")
_WORDS = {
    "format": "written by another version of memjax",
    "key": "another random key",
    "config": "another config",
    "args": "other arguments",
    "inputs": "other inputs",
    "values": "values of other names, types or shapes",
}


def identity(key: Array, config: Any, args: Any, inputs: Any, like: Any) -> dict[str, Any]:
    """Describe a study by all that decides its values, but for the function itself; `like` is one chip's values."""
    return {
        "format": 1,
        "key": {"impl": str(jax.random.key_impl(key)), "words": np.asarray(jax.random.key_data(key)).tolist()},
        "config": None if config is None else _sha(json.dumps(config, sort_keys=True, default=str).encode()),
        "args": _fingerprint(args),
        "inputs": None if inputs is None else _fingerprint(inputs),
        "values": {
            name: [str(leaf.dtype), list(leaf.shape)]
            for name, leaf in zip(names(like), jax.tree.leaves(like), strict=True)
        },
    }


def names(tree: Any) -> list[str]:
    """Return a name for every leaf: its path, joined by dots; "value" of a tree that is a single leaf."""
    made: list[str] = []
    for path, _ in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator=".").replace("/", "_") or "value"
        while name in made or name in results.CHIP_NAMES:
            name += "_"
        made.append(name)
    return made


class Folder:
    """The files of one study."""

    def __init__(self, path: Path, what: Mapping[str, Any]):
        self.path, self.what = path, what

    @staticmethod
    def create(path: str | os.PathLike, what: dict[str, Any], n: int, *, resume: bool) -> "Folder":
        """Make a new folder, or with `resume` go on in the folder of the same study.

        Raises UserError for a folder that cannot be written, one with content that is not to be resumed, and one of
        another study.
        """
        folder = files.new_folder(path, resume=resume)
        if resume and any(folder.iterdir()):
            found = Folder.open(folder)
            other = [words for name, words in _WORDS.items() if found.what.get(name) != what[name]]
            if other:
                raise UserError(
                    f"the folder {folder} holds a study with {' and '.join(other)}: it is left as it is; accepted is "
                    "the same study, or another folder"
                )
            n = max(n, found.n)
        made = Folder(folder, what | {"chips": n})
        made._write()
        return made

    @staticmethod
    def open(path: str | os.PathLike) -> "Folder":
        """Open the folder of a study. Raises UserError where there is none or its manifest cannot be read."""
        manifest = Path(path) / _MANIFEST
        try:
            what = json.loads(manifest.read_text(encoding="utf-8"))
            made = Folder(Path(path), what)
            _ = made.n, made.names  # what the rest relies on
        except OSError as error:
            raise UserError(f"{path} holds no Monte Carlo study: cannot read {manifest}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{manifest} is damaged ({error}): the parts beside it are as they were") from error
        return made

    def end(self) -> None:
        """End the study at the chips that are there, from the first one on: it has been stopped before its most."""
        self.what = {**self.what, "chips": self.finished()[0][1]}
        self._write()

    def _write(self) -> None:
        try:
            files.write_json(self.path / _MANIFEST, self.what)
        except OSError as error:
            raise UserError(f"cannot write {self.path / _MANIFEST}: {error.strerror or error}") from error

    @property
    def n(self) -> int:
        """Chips of the whole study."""
        return self.what["chips"]

    @property
    def names(self) -> list[str]:
        """Names of a chip's values."""
        return list(self.what["values"])

    def finished(self) -> list[Range]:
        """Return the chips that are there, as ranges in order that do not touch."""
        merged: list[Range] = []
        for first, stop in sorted(self._parts()):
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
            else:
                merged.append((first, stop))
        return merged

    def write(self, first: int, values: list[np.ndarray], bad: np.ndarray) -> None:
        """Keep the values, leaves [chips, ...], of the chips from `first` on.

        Raises UserError where the disk is full or cannot be written; what was there stays.
        """
        path = self.path / f"part-{first:06d}-{first + len(bad):06d}.nc"
        content = results.chips(dict(zip(self.names, values, strict=True)), bad, first)
        try:
            with files.atomic_write(path, "wb") as file:
                file.write(content)
        except (OSError, UserError) as error:
            reason = getattr(error, "strerror", None) or error
            done = sum(stop - start for start, stop in self.finished())
            raise UserError(
                f"cannot write {path}: {reason}. {done} of {self.n} chips are finished and kept in "
                f"{self.path}: make room there, then resume"
            ) from error

    def read(self, n: int, in_memory: int, *, join: bool = True) -> list[np.ndarray]:
        """Return the values of chips 0 .. n - 1, leaves [n, ...]: in memory, or as maps of a file on the disk.

        join: this process may write that file. Raises UserError for chips that are missing and parts that cannot be
        read.
        """
        absent = missing(self.finished(), 0, n)
        if absent:
            raise UserError(
                f"the study in {self.path} lacks chips {_listed(absent)} of {n}: resume it to have them worked out "
                "(and where several hosts take part, give a folder that all of them see)"
            )
        like = {name: (np.dtype(kind), tuple(shape)) for name, (kind, shape) in self.what["values"].items()}
        parts = [
            (first, min(stop, n), self.path / f"part-{first:06d}-{stop:06d}.nc")
            for first, stop in sorted(self._parts())
            if first < n
        ]
        size = sum(n * dtype.itemsize * int(np.prod(shape)) for dtype, shape in like.values())
        if size <= in_memory:
            return results.read_chips(parts, like, n)
        path = self.path / _JOINED
        if join:
            try:
                results.join_chips(path, parts, like, n)
            except OSError as error:
                raise UserError(
                    f"cannot write {path}: {error.strerror or error}. All parts are kept in {self.path}: make room "
                    "there, then resume"
                ) from error
        return results.map_chips(path, like)

    def _parts(self) -> list[Range]:
        found = (_PART.fullmatch(name) for name in os.listdir(self.path))
        return [(int(match[1]), int(match[2])) for match in found if match]


def load(path: str | os.PathLike, *, in_memory: int = 2**30) -> dict[str, np.ndarray]:
    """Read a finished study's values, {name: [n, ...]}; what takes more than `in_memory` bytes stays on the disk.

    Raises UserError where there is no study, chips are missing or a part cannot be read.
    """
    folder = Folder.open(path)
    return dict(zip(folder.names, folder.read(folder.n, in_memory), strict=True))


def missing(finished: list[Range], first: int, stop: int) -> list[Range]:
    """Return what the ranges, in order, leave of first .. stop - 1."""
    left, at = [], first
    for a, b in finished:
        if a > at:
            left.append((at, min(a, stop)))
        at = max(at, b)
        if at >= stop:
            break
    return [(a, b) for a, b in [*left, (at, stop)] if a < b]


def _listed(ranges: list[Range]) -> str:
    shown = ", ".join(f"{a} to {b - 1}" if b - a > 1 else f"{a}" for a, b in ranges[:5])
    return shown + (f" and {len(ranges) - 5} further ranges" if len(ranges) > 5 else "")


def _fingerprint(tree: Any) -> str:
    """Hash the leaves of a pytree and how they hang together."""
    leaves, structure = jax.tree.flatten(tree)
    digest = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
