"""CIFAR-10: 60,000 colour images of 32 x 32 pixels in ten classes, as its binary batches.

A batch is 10,000 records of 3073 bytes: a label, then 32 x 32 red, green and blue values. Accepted are the six batches
(`data_batch_1.bin` ... `data_batch_5.bin`, `test_batch.bin`), plain, gzipped or xz-compressed, and the published
archive of them all. The training set is checked as a set: the SHA-256 over the sorted SHA-256 of its records. So copies
whose training images come in another order are accepted, and the order is theirs: what is keyed by the number of a
training image (published splits, lists of noisy labels) needs the published order. The test set is checked as it is.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

import hashlib
import io
import os
import tarfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from memjax.datasets._files import DataError, content, download, places

NAME = "cifar10"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = "cifar-10-binary.tar.gz"
FOLDERS = ("cifar-10", "cifar10", "cifar-10-batches-bin")  # below a data folder; the first is the cache's
TRAIN = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
TEST = "test_batch.bin"
RECORD = 1 + 3 * 32 * 32


class Published(NamedTuple):
    """What the published files are: records of a batch, digests of the training set, the test set and the archive."""

    records: int
    train: str
    test: str
    archive: str
    urls: tuple[str, ...]


SET = Published(
    records=10_000,
    train="55a61f79a40ece2ceda9fb5f9f7078f6ea2fc4952489cef56682bcf92cfcc260",
    test="8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    archive="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    urls=(f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",),
)


def load(data_dir: str | os.PathLike | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return train_x [50000, 32, 32, 3] uint8, train_y, test_x [10000, 32, 32, 3], test_y; raises DataError."""
    found = next((folder for place in places(data_dir) for folder in _folders(place) if _has(folder)), None)
    if found is None and data_dir is not None:
        raise DataError(
            f"{data_dir} has neither {ARCHIVE} nor the six batches {TRAIN[0]} ... {TEST} (plain, .gz or .xz): looked "
            f"in it and in its folders {', '.join(FOLDERS)}; the archive is at {SET.urls[0]}"
        )
    if found is None:
        found = download(ARCHIVE, NAME, SET.urls, SET.archive, FOLDERS[0], f"{ARCHIVE} or its six batches").parent
    batches, trusted = _batches(found)
    train, test = np.concatenate([_records(*batch) for batch in batches[:-1]]), _records(*batches[-1])
    if not trusted:
        _check(train, test, found)
    return *_images(train), *_images(test)


def _folders(place: Path) -> list[Path]:
    return [*(place / name for name in FOLDERS), place]


def _has(folder: Path) -> bool:
    return (folder / ARCHIVE).is_file() or all(_look(folder, name) for name in (*TRAIN, TEST))


def _look(folder: Path, name: str) -> Path | None:
    return next((path for end in ("", ".xz", ".gz") if (path := folder / f"{name}{end}").is_file()), None)


def _batches(folder: Path) -> tuple[list[tuple[bytes, str]], bool]:
    """Return each batch's bytes and where they are from, and whether the published archive vouches for them."""
    paths = [_look(folder, name) for name in (*TRAIN, TEST)]
    if all(paths):
        return [(content(path), str(path)) for path in paths if path], False
    path = folder / ARCHIVE
    try:
        data = path.read_bytes()
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            members = {Path(member.name).name: member for member in archive if member.isfile()}
            if missing := [name for name in (*TRAIN, TEST) if name not in members]:
                raise DataError(f"{path} has no {', '.join(missing)}: it is not the published archive")
            read = [(archive.extractfile(members[name]), name) for name in (*TRAIN, TEST)]
            parts = [(file.read(), f"{name} in {path}") for file, name in read if file]
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path} is truncated or damaged: {str(error).rstrip('.')!r}") from error
    return parts, hashlib.sha256(data).hexdigest() == SET.archive


def _records(data: bytes, where: str) -> np.ndarray:
    """Return the records of a batch [n, 3073] uint8."""
    if len(data) != SET.records * RECORD:
        raise DataError(
            f"{where} has {len(data)} bytes: a batch of {SET.records} records of {RECORD} bytes has "
            f"{SET.records * RECORD}"
        )
    return np.frombuffer(data, np.uint8).reshape(-1, RECORD)


def _check(train: np.ndarray, test: np.ndarray, where: Path) -> None:
    for what, found, wanted in (
        ("training batches", unordered(train), SET.train),
        (TEST, hashlib.sha256(test.tobytes()).hexdigest(), SET.test),
    ):
        if found != wanted:
            raise DataError(f"{where}: {what} are not the published ones: their SHA-256 is {found}, not {wanted}")


def unordered(records: np.ndarray) -> str:
    """Return the SHA-256 over the sorted SHA-256 of records [n, bytes]: the same in any order."""
    return hashlib.sha256(b"".join(sorted(hashlib.sha256(record.tobytes()).digest() for record in records))).hexdigest()


def _images(records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return images [n, 32, 32, 3], channels last, and labels [n]."""
    return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), records[:, 0]
