"""Make the embedded digits from MNIST: python tools/make_digits.py FOLDER_WITH_THE_FOUR_IDX_FILES

Draws 1,000 training images of each class from MNIST's training set and 200 of each class from its test set, without
replacement, shuffles both, and writes four idx.gz files into memjax/data/digits/. Prints the SHA-256 that
memjax/datasets.py lists. The idx content is the same wherever this runs; the gzip bytes depend on the zlib version.
"""

import gzip
import hashlib
import struct
import sys
from pathlib import Path

import numpy as np

from memjax import datasets

SEED = 20240517
PER_CLASS = {"train": 1000, "t10k": 200}
OUT = Path(__file__).resolve().parent.parent / "memjax" / "data" / "digits"


def stratified(labels: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Return shuffled indices with `per_class` samples of each class."""
    chosen = [rng.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in range(10)]
    return rng.permutation(np.concatenate(chosen))


def idx(array: np.ndarray) -> bytes:
    """Encode a uint8 array as an idx file."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def main(folder: str) -> None:
    mnist = datasets.load("mnist", folder)
    parts = {"train": (mnist.train_x, mnist.train_y), "t10k": (mnist.test_x, mnist.test_y)}
    rng = np.random.default_rng(SEED)
    OUT.mkdir(parents=True, exist_ok=True)
    for part, (images, labels) in parts.items():
        chosen = stratified(labels, PER_CLASS[part], rng)
        arrays = {"images-idx3": images[chosen], "labels-idx1": labels[chosen].astype(np.uint8)}
        for kind, array in arrays.items():
            data = idx(array)
            path = OUT / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(data, compresslevel=9, mtime=0))
            print(f"{path.name}: {array.shape}, {path.stat().st_size} bytes, idx {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
