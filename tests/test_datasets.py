"""Data files are read exactly, refused when damaged, found where documented, and drawn without overlap."""

import functools
import gzip
import hashlib
import http.server
import struct
import threading
import time

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memjax import datasets
from memjax.datasets import DataError
from memjax.errors import UserError

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Publish a tiny set "tiny" as four idx.gz files in tmp_path/published/tiny; nothing else is to be found."""
    arrays = [IMAGES, np.array([1, 0], np.uint8), IMAGES[:1] + np.uint8(100), np.array([1], np.uint8)]
    published = tmp_path / "published" / "tiny"
    published.mkdir(parents=True)
    files = []
    for name, array in zip([f.name for f in datasets._SOURCES["mnist"].files], arrays, strict=True):
        packed = gzip.compress(idx(array))
        (published / f"{name}.gz").write_bytes(packed)
        sums = [hashlib.sha256(content).hexdigest() for content in (idx(array), packed)]
        files.append(datasets._File(name, array.shape, *sums))
    source = datasets._Source(("tiny", "TINY/raw"), ("http://127.0.0.1:9/",), ("zero", "one"), tuple(files))
    monkeypatch.setitem(datasets._SOURCES, "tiny", source)
    monkeypatch.delenv("MEMJAX_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    return published


def same(dataset):
    assert dataset.train_x.tolist() == IMAGES.tolist()
    assert dataset.train_y.tolist() == [1, 0]
    assert dataset.test_x.tolist() == (IMAGES[:1] + np.uint8(100)).tolist()
    assert dataset.test_y.tolist() == [1]
    return True


# --- the idx reader ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", [IMAGES, np.array([7, 0, 255], np.uint8), np.zeros((0, 28), np.uint8)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_round_trip(tmp_path, array, pack):
    (tmp_path / "a").write_bytes(pack(idx(array)))
    read = datasets.read_idx(tmp_path / "a")
    assert read.dtype == np.uint8
    assert read.shape == array.shape
    assert (read == array).all()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_truncation_is_refused(tmp_path, pack):
    whole, path = pack(idx(IMAGES)), tmp_path / "cut"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="cut"):
            datasets.read_idx(path)


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"", "begins with nothing"),
        (b"PNG\r" + bytes(20), "begins with 50 4e 47 0d, not with 00 00"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]), r"idx type 0x0d; only 0x08"),
        (bytes([0, 0, 8, 3, 0, 0]), "its header needs 16 bytes, and it has 6"),
        (idx(IMAGES) + b"x", "too long: shape .2, 3, 4. needs 40 bytes, and it has 41"),
        (bytes([0, 0, 8, 4]) + b"\xff" * 16 + bytes(9), "is truncated"),  # a size that overflows 64 bits
        (gzip.compress(idx(IMAGES), mtime=0)[:-1] + b"\xff", "truncated or damaged: gzip says"),
    ],
)
def test_damage_is_named(tmp_path, content, complaint):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        datasets.read_idx(tmp_path / "a")


@given(content=st.binary(max_size=64))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_an_array_or_a_data_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    try:
        array = datasets.read_idx(path)
    except DataError:
        return
    assert idx(array) == content or content.startswith(b"\x1f\x8b")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*nowhere.*No such file"):
        datasets.read_idx(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot read"):
        datasets.read_idx(tmp_path)
    assert issubclass(DataError, UserError)
    assert issubclass(DataError, ValueError)


# --- the embedded digits ------------------------------------------------------------------------------------------


def test_digits_are_stratified_and_typed(digits):
    assert digits.train_x.shape == (10000, 28, 28)
    assert digits.test_x.shape == (2000, 28, 28)
    assert digits.train_x.dtype == digits.test_x.dtype == np.uint8
    assert digits.train_y.dtype == digits.test_y.dtype == np.int32
    assert np.bincount(digits.train_y).tolist() == [1000] * 10
    assert np.bincount(digits.test_y).tolist() == [200] * 10
    assert digits.name == "digits"
    assert digits.classes == tuple("0123456789")


def test_digits_are_shuffled_so_that_the_first_samples_hold_every_class(digits):
    assert np.bincount(digits.train_y[:500], minlength=10).min() > 25
    few = datasets.load("digits", n_train=500, n_test=100)
    assert (few.train_x == digits.train_x[:500]).all()
    assert (few.test_y == digits.test_y[:100]).all()


def test_digits_are_small_and_load_fast():
    folder = datasets.Path(datasets.__file__).parent.parent / "data"
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 4e6
    start = time.perf_counter()
    datasets.load("digits")
    assert time.perf_counter() - start < 1.0


def test_digits_are_all_different_and_test_shares_none_with_train(digits):
    train = {image.tobytes() for image in digits.train_x}
    test = {image.tobytes() for image in digits.test_x}
    assert len(train) == 10000
    assert len(test) == 2000
    assert not train & test


def test_digits_are_digits(digits):
    """The nearest class mean gets about 82 % right on MNIST; with labels out of order it would be 10 %."""
    x = digits.train_x.reshape(-1, 784).astype(np.float32)
    means = np.stack([x[digits.train_y == c].mean(0) for c in range(10)])
    test = digits.test_x.reshape(-1, 784).astype(np.float32)
    distance = (means**2).sum(1) - 2 * test @ means.T
    assert 0.78 < (distance.argmin(1) == digits.test_y).mean() < 0.86


def test_digits_come_from_mnist_each_part_from_its_own(data_dir, digits):
    mnist = datasets.load("mnist", data_dir)
    for part in ("train", "test"):
        whole = {(x.tobytes(), int(y)) for x, y in zip(*(getattr(mnist, f"{part}_{a}") for a in "xy"), strict=True)}
        ours = {(x.tobytes(), int(y)) for x, y in zip(*(getattr(digits, f"{part}_{a}") for a in "xy"), strict=True)}
        assert ours < whole


@pytest.mark.parametrize(
    "name, classes, counts",
    [
        ("mnist", "0", [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
        ("fashion_mnist", "T-shirt/top", [1000] * 10),
    ],
)
def test_the_full_sets_load(data_dir, name, classes, counts):
    dataset = datasets.load(name, data_dir)
    assert dataset.train_x.shape == (60000, 28, 28)
    assert np.bincount(dataset.test_y).tolist() == counts
    assert dataset.classes[0] == classes
    assert len(dataset.classes) == 10


# --- where files are looked for -------------------------------------------------------------------------------------


def test_a_folder_of_the_set_or_of_all_sets_is_accepted(tiny):
    assert same(datasets.load("tiny", tiny))
    assert same(datasets.load("tiny", tiny.parent))
    assert same(datasets.load("tiny", str(tiny)))


def test_plain_files_and_torchvisions_folders_are_accepted(tiny, tmp_path):
    raw = tmp_path / "elsewhere" / "TINY" / "raw"
    raw.mkdir(parents=True)
    for path in tiny.iterdir():
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    assert same(datasets.load("tiny", tmp_path / "elsewhere"))


def test_the_compression_does_not_matter(tiny):
    for path in tiny.iterdir():
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0))
    assert same(datasets.load("tiny", tiny))


def test_the_order_is_argument_then_environment_then_cache(tiny, tmp_path, monkeypatch):
    cache = tmp_path / "cache" / "memjax" / "tiny"
    cache.mkdir(parents=True)
    for path in tiny.iterdir():
        (cache / path.name).write_bytes(path.read_bytes())
    assert same(datasets.load("tiny"))  # the cache

    broken = tmp_path / "broken"
    broken.mkdir()
    for path in tiny.iterdir():
        (broken / path.name).write_bytes(b"junk")
    monkeypatch.setenv("MEMJAX_DATA", str(broken))
    with pytest.raises(DataError, match="broken"):  # the environment goes before the cache
        datasets.load("tiny")
    assert same(datasets.load("tiny", tiny))  # the argument before the environment

    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("MEMJAX_DATA", str(empty))
    assert same(datasets.load("tiny"))  # an environment folder without this set does not hide the cache
    with pytest.raises(DataError, match=r"empty has no train-images-idx3-ubyte.gz or .* folders tiny, TINY/raw"):
        datasets.load("tiny", empty)
    with pytest.raises(DataError, match="does not exist"):
        datasets.load("tiny", tmp_path / "nowhere")


def test_the_wrong_file_is_refused_and_recognised(tiny):
    path = tiny / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.array([0], np.uint8))))
    with pytest.raises(DataError, match=r"is not the published file: the SHA-256 of its idx content is \w{64}, not"):
        datasets.load("tiny", tiny)
    path.write_bytes((tiny / "train-labels-idx1-ubyte.gz").read_bytes())
    with pytest.raises(DataError, match=r"has shape \(2,\); \(1,\) is expected \(it is train-labels.* of tiny\)"):
        datasets.load("tiny", tiny)


@pytest.mark.parametrize("n", [0, -1, 3])
def test_more_samples_than_there_are_or_none_are_refused(tiny, n):
    with pytest.raises(DataError, match=rf"n_train must be in \[1, 2\] for this data set, got {n}"):
        datasets.load("tiny", tiny, n_train=n)


def test_an_unknown_set_is_refused_with_the_known_ones():
    with pytest.raises(DataError, match=r"unknown data set 'cifar' \(known: digits, mnist, fashion_mnist, cifar10\)"):
        datasets.load("cifar")
    assert datasets.names() == ["digits", "mnist", "fashion_mnist", "cifar10"]


# --- download -------------------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(tiny, monkeypatch):
    """Serve the published files over HTTP as the second of two mirrors; the first one is dead."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tiny))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = datasets._SOURCES["tiny"]
    urls = (*source.urls, f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setitem(datasets._SOURCES, "tiny", source._replace(urls=urls))
    yield tiny
    server.shutdown()
    server.server_close()


def test_download_goes_on_to_the_next_mirror_and_fills_the_cache(mirror, tmp_path):
    assert same(datasets.load("tiny"))
    cached = sorted(path.name for path in (tmp_path / "cache" / "memjax" / "tiny").iterdir())
    assert cached == sorted(path.name for path in mirror.iterdir())
    for path in mirror.iterdir():
        path.unlink()
    assert same(datasets.load("tiny"))  # from the cache


def test_a_download_with_a_wrong_hash_is_refused_and_not_kept(mirror, tmp_path):
    (mirror / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES + np.uint8(1))))
    with pytest.raises(DataError, match=r"(?s)cannot download train-images.*hash.*--data-dir or MEMJAX_DATA"):
        datasets.load("tiny")
    assert list((tmp_path / "cache" / "memjax" / "tiny").iterdir()) == []


def test_without_a_network_the_error_says_what_to_do(tiny):
    with pytest.raises(DataError, match=r"cannot download .* of tiny .*127\.0\.0\.1.*--data-dir or MEMJAX_DATA"):
        datasets.load("tiny")


# --- holding out ----------------------------------------------------------------------------------------------------


def test_split_is_stratified_disjoint_and_complete(digits):
    held = datasets.split(digits, 0.1, key=jax.random.key(0))
    assert np.bincount(held.train_y).tolist() == [900] * 10
    assert np.bincount(held.test_y).tolist() == [100] * 10
    train, test = ({image.tobytes() for image in part} for part in (held.train_x, held.test_x))
    assert not train & test
    assert train | test == {image.tobytes() for image in digits.train_x}
    labels = {image.tobytes(): label for image, label in zip(digits.train_x, digits.train_y, strict=True)}
    assert all(labels[image.tobytes()] == label for image, label in zip(held.test_x, held.test_y, strict=True))
    assert (held.name, held.classes) == (digits.name, digits.classes)


def test_split_follows_the_key_alone(digits):
    first, again, other = (datasets.split(digits, 0.2, key=jax.random.key(seed)) for seed in (0, 0, 1))
    assert (first.test_x == again.test_x).all()
    assert not np.array_equal(first.test_x, other.test_x)


def test_split_takes_at_least_one_of_each_class_and_refuses_the_impossible(digits):
    few = digits._replace(train_x=digits.train_x[:40], train_y=np.repeat(np.arange(10, dtype=np.int32), 4))
    assert np.bincount(datasets.split(few, 0.01, key=jax.random.key(0)).test_y).tolist() == [1] * 10
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"held_out must be in \(0, 1\)"):
            datasets.split(few, share, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"class 0 has 4 sample\(s\): too few"):
        datasets.split(few, 0.99, key=jax.random.key(0))
