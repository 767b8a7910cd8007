"""Where data files lie, what is in them whatever they are packed with, and their download."""

import gzip
import lzma
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from memjax.errors import UserError


class DataError(UserError, ValueError):
    """A data file or set is missing, unreadable or not what its name says."""


def content(path: Path) -> bytes:
    """Return what a file holds, unpacked where its first bytes, whatever its name, are those of gzip or xz."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    for first, name, unpack in ((b"\x1f\x8b", "gzip", gzip.decompress), (b"\xfd7zXZ\0", "xz", lzma.decompress)):
        if data.startswith(first):
            try:
                return unpack(data)
            except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
                said = str(error).rstrip(".")
                raise DataError(f"{path} is truncated or damaged: {name} says {said!r}") from error
    return data


def places(data_dir: str | os.PathLike | None) -> Iterator[Path]:
    """Yield the folders to look in: the one given and no other, or that of MEMJAX_DATA and the cache.

    Raises DataError where the one given is none.
    """
    if data_dir is not None:
        if not Path(data_dir).is_dir():
            raise DataError(f"the data folder {data_dir} does not exist or is no folder")
        yield Path(data_dir)
        return
    if named := os.environ.get("MEMJAX_DATA"):
        yield Path(named)
    yield _cache()


def download(file: str, name: str, urls: tuple[str, ...], sha256: str, folder: str, without: str) -> Path:
    """Download a file of the set `name` into the cache's folder, from the first of urls that has it; return its path.

    Raises DataError that says what to put in a folder by hand (`without`) where all fail.
    """
    import pooch

    target, failures = _cache() / folder, []
    for url in urls:
        try:
            # pooch writes to a temporary name and renames: a broken download leaves nothing in the cache.
            return Path(
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{sha256}",
                    fname=file,
                    path=target,
                    downloader=pooch.HTTPDownloader(timeout=30),  # type: ignore[reportArgumentType]
                )
            )
        except (OSError, ValueError) as error:  # every error of requests is an OSError; ValueError: wrong hash
            failures.append(f"{url}: {error}")
    raise DataError(
        f"cannot download {file} of {name} into {target}: {'; '.join(failures)}. Without a network, put {without} in a "
        f"folder and name it by --data-dir or MEMJAX_DATA"
    )


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("memjax"))
