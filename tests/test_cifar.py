"""CIFAR-10 is read in every form that it comes in, whatever the order of its training images, and refused otherwise."""

import gzip
import hashlib
import io
import lzma
import tarfile

import numpy as np
import pytest

from memjax import datasets
from memjax.datasets import DataError, _cifar

NAMES = (*_cifar.TRAIN, _cifar.TEST)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Publish six batches of three records; returns them [6, 3, 3073], and a folder for them."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (6, 3, _cifar.RECORD)).astype(np.uint8)
    records[..., 0] %= 10
    everything = packed(records)
    published = _cifar.Published(
        records=3,
        train=_cifar.unordered(records[:5].reshape(15, -1)),
        test=hashlib.sha256(records[5].tobytes()).hexdigest(),
        archive=hashlib.sha256(everything).hexdigest(),
        urls=("http://127.0.0.1:9/cifar-10-binary.tar.gz",),
    )
    monkeypatch.setattr(_cifar, "SET", published)
    monkeypatch.delenv("MEMJAX_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    folder = tmp_path / "sets" / "cifar-10"
    folder.mkdir(parents=True)
    return records, folder


def packed(records):
    """Return an archive as the published one is made."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, batch in zip(NAMES, records, strict=True):
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = batch.nbytes
            archive.addfile(info, io.BytesIO(batch.tobytes()))
    return out.getvalue()


def put(folder, records, end="", pack=bytes):
    for name, batch in zip(NAMES, records, strict=True):
        (folder / f"{name}{end}").write_bytes(pack(batch.tobytes()))


def same(found, records):
    """Compare with loops over records: planes of red, green and blue become the last axis."""
    for images, labels, part in (
        (found.train_x, found.train_y, records[:5].reshape(15, -1)),
        (found.test_x, found.test_y, records[5]),
    ):
        assert images.shape == (len(part), 32, 32, 3)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
        for image, label, record in zip(images, labels, part, strict=True):
            assert label == record[0]
            for channel in range(3):
                plane = record[1 + 1024 * channel : 1 + 1024 * (channel + 1)]
                np.testing.assert_array_equal(image[:, :, channel].reshape(-1), plane)
    assert found.classes[3] == "cat"
    return True


@pytest.mark.parametrize("end, pack", [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_batches_in_every_form(tiny, end, pack):
    records, folder = tiny
    put(folder, records, end, pack)
    assert same(datasets.load("cifar10", folder.parent), records)
    assert same(datasets.load("cifar10", folder), records)


def test_the_archive(tiny, tmp_path, monkeypatch):
    records, folder = tiny
    (folder / _cifar.ARCHIVE).write_bytes(packed(records))
    assert same(datasets.load("cifar10", folder.parent), records)
    monkeypatch.setenv("MEMJAX_DATA", str(folder.parent))
    assert same(datasets.load("cifar10"), records)
    # Packed again it is another file with the same content: then its records are checked.
    (folder / _cifar.ARCHIVE).write_bytes(gzip.compress(gzip.decompress(packed(records)), 1))
    assert same(datasets.load("cifar10", folder), records)


def test_the_first_samples_alone(tiny):
    records, folder = tiny
    put(folder, records)
    few = datasets.load("cifar10", folder, n_train=4, n_test=2)
    assert (len(few.train_x), len(few.test_y)) == (4, 2)


def test_training_images_may_come_in_another_order(tiny):
    records, folder = tiny
    order = np.random.default_rng(1).permutation(15)
    mixed = np.concatenate([records[:5].reshape(15, -1)[order].reshape(5, 3, -1), records[5:]])
    put(folder, mixed)
    assert same(datasets.load("cifar10", folder), mixed)


@pytest.mark.parametrize("batch, byte", [(0, 0), (3, 2000), (5, 0), (5, 3072)])
def test_one_wrong_byte_is_refused(tiny, batch, byte):
    records, folder = tiny
    wrong = records.copy()
    wrong[batch, 1, byte] ^= 1
    put(folder, wrong)
    what = "test_batch.bin" if batch == 5 else "training batches"
    with pytest.raises(DataError, match=rf"{what} are not the published ones: their SHA-256 is \w{{64}}, not"):
        datasets.load("cifar10", folder)


def test_test_images_in_another_order_are_refused(tiny):
    records, folder = tiny
    put(folder, np.concatenate([records[:5], records[5:, ::-1]]))
    with pytest.raises(DataError, match=r"test_batch.bin are not the published ones"):
        datasets.load("cifar10", folder)


def test_damage_is_named(tiny):
    records, folder = tiny
    put(folder, records, ".xz", lzma.compress)
    path = folder / "data_batch_2.bin.xz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"data_batch_2.bin.xz is truncated or damaged: xz says"):
        datasets.load("cifar10", folder)
    path.write_bytes(lzma.compress(records[1].tobytes()[:-1]))
    with pytest.raises(DataError, match=r"data_batch_2.bin.xz has 9218 bytes: a batch of 3 records of 3073 bytes"):
        datasets.load("cifar10", folder)
    path.unlink()
    archive = packed(records)
    (folder / _cifar.ARCHIVE).write_bytes(archive[: len(archive) // 2])
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz is truncated or damaged"):
        datasets.load("cifar10", folder)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz"):
        pass
    (folder / _cifar.ARCHIVE).write_bytes(out.getvalue())
    with pytest.raises(DataError, match=r"has no data_batch_1.bin, .*: it is not the published archive"):
        datasets.load("cifar10", folder)


def test_a_missing_set_says_where_to_get_it(tiny):
    _, folder = tiny
    with pytest.raises(
        DataError, match=r"neither cifar-10-binary.tar.gz nor the six batches .*; the archive is at http"
    ):
        datasets.load("cifar10", folder)
    with pytest.raises(DataError, match="does not exist"):
        datasets.load("cifar10", folder / "nowhere")
    with pytest.raises(
        DataError, match=r"cannot download cifar-10-binary.tar.gz of cifar10 .*--data-dir or MEMJAX_DATA"
    ):
        datasets.load("cifar10")


@pytest.mark.slow
def test_the_full_set_loads(data_dir):
    found = datasets.load("cifar10", data_dir)
    assert found.train_x.shape == (50_000, 32, 32, 3)
    assert np.bincount(found.train_y).tolist() == [5000] * 10
    assert np.bincount(found.test_y).tolist() == [1000] * 10
    # The mean of each channel that is commonly quoted.
    mean = found.train_x.mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(mean, [0.49139968, 0.48215841, 0.44653091], rtol=0, atol=1e-6)
