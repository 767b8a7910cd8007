"""Image data sets: MNIST, Fashion-MNIST, CIFAR-10 and an embedded set of real digits, each checked by SHA-256.

The first two and the digits are four idx files each (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten
digits"), CIFAR-10 is its binary batches (`_cifar`); plain or compressed. They are looked for in the folder given, in
the folder named by the environment variable MEMJAX_DATA, in the user's cache folder, and are else downloaded into that
cache folder.
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from memjax.datasets import _cifar
from memjax.datasets._files import DataError, content, download, places

__all__ = ["DataError", "Dataset", "load", "names", "read_idx", "split"]


class Dataset(NamedTuple):
    """Images and labels of a set.

    train_x [n, h, w] or in colour [n, h, w, 3] uint8, train_y [n] int32, test_x and test_y the same [m, ...]. A flat
    colour image has its channels last.
    """

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    name: str
    classes: tuple[str, ...]


class _File(NamedTuple):
    name: str  # without .gz
    shape: tuple[int, ...]
    sha256: str  # of the idx content: holds for the plain file and for the gzipped one, whoever compressed it
    sha256_gz: str = ""  # of the published .gz, for the download


class _Source(NamedTuple):
    folders: tuple[str, ...]  # below a data folder, where the files may lie; the first is the cache's
    urls: tuple[str, ...]
    classes: tuple[str, ...]
    files: tuple[_File, _File, _File, _File]  # train images, train labels, test images, test labels


_DIGITS = tuple(str(digit) for digit in range(10))
_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip
_TRAIN_X, _TRAIN_Y = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_TEST_X, _TEST_Y = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

_SOURCES = {
    "digits": _Source(
        folders=("digits",),
        urls=(),
        classes=_DIGITS,
        files=(
            _File(_TRAIN_X, (10000, 28, 28), "1a19139b1b6625434e0933a7f0974f0dbdb07254f26a6b9328304bd572ec168e"),
            _File(_TRAIN_Y, (10000,), "b34f65f51e1eec36fe689a5c128fe9e22728c168f86b47bc387188691070563f"),
            _File(_TEST_X, (2000, 28, 28), "2fa1b3b55a4e5921535fbccbeaca88684cb42180d179bef2170c6601c64a94dd"),
            _File(_TEST_Y, (2000,), "248e4713092ffc6ea0ce68bdf36aa1036f87ed6132955d38b6f68ac18794e502"),
        ),
    ),
    "mnist": _Source(
        folders=("mnist", "MNIST/raw"),  # the second is torchvision's
        urls=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        classes=_DIGITS,
        files=(
            _File(
                _TRAIN_X,
                (60000, 28, 28),
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            _File(
                _TRAIN_Y,
                (60000,),
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            _File(
                _TEST_X,
                (10000, 28, 28),
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            _File(
                _TEST_Y,
                (10000,),
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    ),
    "fashion_mnist": _Source(
        folders=("fashion-mnist", "fashion_mnist", "FashionMNIST/raw"),
        urls=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        classes=_CLOTHES,
        files=(
            _File(
                _TRAIN_X,
                (60000, 28, 28),
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            _File(
                _TRAIN_Y,
                (60000,),
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            _File(
                _TEST_X,
                (10000, 28, 28),
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            _File(
                _TEST_Y,
                (10000,),
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
    ),
}


def names() -> list[str]:
    """List the data sets that `load` knows."""
    return [*_SOURCES, _cifar.NAME]


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    n_train: int | None = None,
    n_test: int | None = None,
) -> Dataset:
    """Load the data set `name`.

    "digits" (embedded, 10,000 + 2,000), "mnist", "fashion_mnist" (60,000 + 10,000) or "cifar10" (50,000 + 10,000).

    data_dir: the folder that holds the files (four idx files, or six binary batches or their archive), plain or
    compressed, or a folder of that set ("mnist") with them; with it nothing is looked for elsewhere. n_train, n_test:
    keep the first so many samples; None keeps all. "digits" is stratified and shuffled, and needs no folder. Raises
    DataError for an unknown name, a set that is not found and cannot be downloaded, and a file that is truncated or not
    the published one.
    """
    if name not in names():
        raise DataError(f"unknown data set {name!r} (known: {', '.join(names())})")
    if name == _cifar.NAME:
        train_x, train_y, test_x, test_y = _cifar.load(data_dir)
        classes = _cifar.CLASSES
    else:
        source = _SOURCES[name]
        train_x, train_y, test_x, test_y = (_read(_find(name, file, data_dir), file) for file in source.files)
        classes = source.classes
    train, test = _first("n_train", n_train, len(train_y)), _first("n_test", n_test, len(test_y))
    return Dataset(
        train_x[train], train_y[train].astype(np.int32), test_x[test], test_y[test].astype(np.int32), name, classes
    )  # fmt: skip


def split(dataset: Dataset, held_out: float = 0.1, *, key) -> Dataset:
    """Hold out a share of the training set in place of the test set, so that settings are chosen without the latter.

    The share is taken from every class (at least one sample of each), at random by `key`; both parts keep the order of
    the samples. Raises ValueError where held_out is not in (0, 1) or a class is too small to be cut in two.
    """
    import jax  # only here: reading files needs no accelerator library

    if not 0 < held_out < 1:
        raise ValueError(f"held_out must be in (0, 1), got {held_out}")
    out = np.zeros(len(dataset.train_y), bool)
    for label in np.unique(dataset.train_y):
        members = np.flatnonzero(dataset.train_y == label)
        n = max(1, round(held_out * len(members)))
        if n >= len(members):
            raise ValueError(f"class {label} has {len(members)} sample(s): too few to hold out {held_out} of them")
        out[members[np.asarray(jax.random.permutation(jax.random.fold_in(key, int(label)), len(members)))[:n]]] = True
    x, y = dataset.train_x, dataset.train_y
    return dataset._replace(train_x=x[~out], train_y=y[~out], test_x=x[out], test_y=y[out])


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Read an idx file of unsigned bytes, plain or gzipped (by its first bytes, whatever its name) -> uint8 array.

    Raises DataError where it cannot be read, is truncated or too long, or is no idx file of unsigned bytes.
    """
    return _parse(content(Path(path)), Path(path))


def _first(what: str, n: int | None, available: int) -> slice:
    if n is not None and not 1 <= n <= available:
        raise DataError(f"{what} must be in [1, {available}] for this data set, got {n}")
    return slice(n)


def _parse(data: bytes, path: Path) -> np.ndarray:
    if len(data) < 4 or data[:2] != b"\0\0":
        raise DataError(f"{path} is no idx file: it begins with {data[:4].hex(' ') or 'nothing'}, not with 00 00")
    kind, rank = data[2], data[3]
    if kind != 8:
        raise DataError(f"{path} holds idx type 0x{kind:02x}; only 0x08 (unsigned byte) is accepted")
    header = 4 + 4 * rank
    if len(data) < header:
        raise DataError(f"{path} is truncated: its header needs {header} bytes, and it has {len(data)}")
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, header, 4))
    size = header + int(np.prod(shape, dtype=object))  # object: a damaged header must not overflow
    if len(data) != size:
        what = "truncated" if len(data) < size else "too long"
        raise DataError(f"{path} is {what}: shape {shape} needs {size} bytes, and it has {len(data)}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _read(path: Path, file: _File) -> np.ndarray:
    data = content(path)
    array = _parse(data, path)
    if array.shape != file.shape:
        raise DataError(f"{path} has shape {array.shape}; {file.shape} is expected{_belongs(data)}")
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise DataError(
            f"{path} is not the published file: the SHA-256 of its idx content is {found}, not {file.sha256}"
            f"{_belongs(data)}"
        )
    return array


def _belongs(data: bytes) -> str:
    found = hashlib.sha256(data).hexdigest()
    for name, source in _SOURCES.items():
        for file in source.files:
            if found == file.sha256:
                return f" (it is {file.name} of {name})"
    return ""


def _find(name: str, file: _File, data_dir: str | os.PathLike | None) -> Path:
    """Return the path of a file of the set `name`, after a download where it is nowhere."""
    source = _SOURCES[name]
    if not source.urls:
        return Path(__file__).parent.parent / "data" / source.folders[0] / f"{file.name}.gz"
    for folder in places(data_dir):
        if path := _look(folder, source, file):
            return path
    if data_dir is not None:
        raise DataError(
            f"{data_dir} has no {file.name}.gz or {file.name}: looked in it and in its folders "
            f"{', '.join(source.folders)}"
        )
    urls = tuple(f"{url}{file.name}.gz" for url in source.urls)
    return download(f"{file.name}.gz", name, urls, file.sha256_gz, source.folders[0], "the four files of the set")


def _look(folder: Path, source: _Source, file: _File) -> Path | None:
    for below in (*source.folders, "."):
        for name in (f"{file.name}.gz", file.name):
            if (path := folder / below / name).is_file():
                return path
    return None
