"""Output is whole or not there at all, and nothing is written over."""

import json
import os
import stat

import pytest

from memjax import files
from memjax.errors import UserError


def test_text_and_json_are_written(tmp_path):
    files.write_text(tmp_path / "a.txt", "µS\n")
    files.write_json(tmp_path / "b.json", {"x": [1, 2.5, None]})
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "µS\n"
    assert json.loads((tmp_path / "b.json").read_text()) == {"x": [1, 2.5, None]}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "b.json"]


def test_bytes_are_written(tmp_path):
    with files.atomic_write(tmp_path / "a", "wb") as file:
        file.write(b"\x00\xff")
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"


def test_the_old_content_stays_until_the_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with files.atomic_write(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_an_error_leaves_the_old_content_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with files.atomic_write(path) as file:
            file.write("half of it")
            raise RuntimeError("half")

    with pytest.raises(RuntimeError, match="half"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_name_keeps_the_suffix(tmp_path):
    with files.atomic_path(tmp_path / "figure.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"png")
    assert (tmp_path / "figure.png").read_bytes() == b"png"


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    (tmp_path / "plain").write_text("")
    files.write_text(tmp_path / "atomic", "")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_json_refuses_what_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_and_a_folder_in_the_way_are_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*missing"):
        files.write_text(tmp_path / "missing" / "a.txt", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*folder"):
        files.write_text(tmp_path / "folder", "")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'w' or 'wb', got 'a'"), files.atomic_write(tmp_path / "a", "a"):
        pass


def test_a_new_folder_is_made_with_its_parents_and_an_empty_one_is_taken(tmp_path):
    path = files.new_folder(tmp_path / "runs" / "1")
    assert path.is_dir()
    assert files.new_folder(path) == path
    assert list(path.iterdir()) == []


def test_a_folder_with_content_is_refused_unless_resumed(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0")
    with pytest.raises(UserError, match=r"is not empty, and nothing is written over"):
        files.new_folder(tmp_path)
    assert files.new_folder(tmp_path, resume=True) == tmp_path
    assert (tmp_path / "config.yaml").read_text() == "seed: 0"


@pytest.mark.parametrize("name", ["file", "file/below"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_file_in_the_way_is_refused(tmp_path, name, resume):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UserError, match="a file is in the way"):
        files.new_folder(tmp_path / name, resume=resume)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def refuse(**_):  # permissions do not stop a test that runs as root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"cannot write in the output folder .*: Permission denied"):
        files.new_folder(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions stop")
def test_a_folder_without_write_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"):
        files.new_folder(tmp_path / "run")
