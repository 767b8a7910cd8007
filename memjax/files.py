"""Output that is never lost or half-written: files appear whole under their name, and no folder is written over."""

import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memjax.errors import UserError


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; it takes the name `path` when the block ends without an error.

    For writers that want a file name (netCDF, figures). A reader sees the old content or the new one, whole, even after
    SIGKILL or a power cut; after an error the old content stays. The temporary name keeps the suffix of `path`,
    because writers choose the format by it. Raises UserError where the folder is missing or cannot be written.
    """
    path = Path(path)
    # Not tempfile.mkstemp: it makes private files, and this one keeps its permissions when it is renamed.
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}.tmp{path.suffix}")
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise UserError(f"cannot write {path}: {_reason(error)}") from error
    try:
        yield temporary
        _sync(temporary)
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {_reason(error)}") from error
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "w") -> Iterator[Any]:
    """Open `path` for writing ("w": UTF-8 text, "wb": bytes); the content appears, whole, when the block ends.

    Raises ValueError for another mode and UserError as `atomic_path` does.
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"mode must be 'w' or 'wb', got {mode!r}")
    with atomic_path(path) as temporary, open(temporary, mode, encoding="utf-8" if mode == "w" else None) as file:
        yield file


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file (UTF-8) that appears whole or not at all."""
    with atomic_write(path) as file:
        file.write(text)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write `value` as strict JSON, indented; the file appears whole or not at all.

    Raises ValueError for nan and infinity, which JSON does not have, and TypeError for what is no JSON type.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def new_folder(path: str | os.PathLike, *, resume: bool = False) -> Path:
    """Make the output folder `path` (with its parents) and return it; an empty folder that exists is taken.

    resume: take a folder with content too, to go on in it. Raises UserError for a folder with content otherwise, for
    a path that is no folder, and for one that cannot be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        full = any(path.iterdir())
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"cannot make the output folder {path}: a file is in the way") from error
    except OSError as error:
        raise UserError(f"cannot make the output folder {path}: {_reason(error)}") from error
    if full and not resume:
        raise UserError(
            f"the output folder {path} is not empty, and nothing is written over: give another one, or resume that run"
        )
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"cannot write in the output folder {path}: {_reason(error)}") from error
    return path


def _sync(path: Path) -> None:
    """Wait until `path` is on the disk, so that a rename is never older than the content it names."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
