"""Places for results are tried before the work, and what was learned outlives them."""

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import records
from safetensors.numpy import load_file

from cocoop import InputError, RunError
from cocoop.results import check_file, check_new, keeping, write_run

LEARNED = {"ctx": np.arange(6, dtype=np.float32).reshape(2, 3).T}


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refuse(name: str, error: OSError, monkeypatch) -> None:
    def refusing(*args, **options):
        raise error

    monkeypatch.setattr(name, refusing)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file", "it exists"),
        ("full", "it exists"),
        ("file/run", "file is a file"),
        ("n" * 250, "File name too long"),
        ("n" * 230, "File name too long"),  # while it is written the folder has a longer name
        ("n" * 260 + "/run", "File name too long"),
        ("/dev/null", "it exists"),
        ("/proc/run", "below /proc"),
        ("to-proc", "below /proc"),
        ("/proc", "it exists"),
    ],
)
def test_a_folder_that_cannot_be_is_known_before_the_work(tmp_path, monkeypatch, place, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "full" / "inner").mkdir(parents=True)
    (tmp_path / "to-proc").symlink_to("/proc/run")
    before = everything(tmp_path)
    with pytest.raises(InputError) as caught:
        check_new(place)
    assert str(caught.value).startswith(f"{place}: expected a ") and reason in str(caught.value)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("call", ["pathlib.Path.mkdir", "pathlib.Path.write_bytes", "os.replace"])
def test_a_disk_that_refuses_is_known_before_the_work(tmp_path, monkeypatch, call):
    """As a file system that may only be read does, whose folders look like any other."""
    refuse(call, OSError(errno.EROFS, "Read-only file system"), monkeypatch)
    with pytest.raises(InputError, match=r"place to write the run folder; got Read-only file system below .*Choose"):
        check_new(tmp_path / "a" / "run")
    assert everything(tmp_path) == []


@pytest.mark.parametrize("name", ["new", "a/b/new", "empty", "link-to-empty", "link-to-nothing", "n" * 200])
def test_what_is_allowed_works_and_leaves_nothing(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link-to-empty").symlink_to(tmp_path / "empty")
    (tmp_path / "link-to-nothing").symlink_to(tmp_path / "nothing")
    before = everything(tmp_path)
    check_new(tmp_path / name)
    assert everything(tmp_path) == before
    assert write_run(tmp_path / name, records.RUN, "") == tmp_path / name
    assert (tmp_path / name / "record.json").is_file()


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (".", "is a folder"),
        ("none/x.md", "lies in a folder that is not there"),
        ("file/x.md", "lies in a folder that is not there"),
        ("/dev/null", "is no file that can be replaced"),  # a rename would put a file there
        ("to-nothing", "is no file that can be replaced"),
        ("n" * 250, r"cannot be written (File name too long)"),
        ("/proc/x.md", "cannot be written"),
    ],
)
def test_a_file_that_cannot_be_is_known_before_the_work(tmp_path, monkeypatch, place, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "to-nothing").symlink_to("nothing")
    before = everything(tmp_path)
    with pytest.raises(InputError) as caught:
        check_file(place)
    assert reason in str(caught.value) and everything(tmp_path) == before


def test_a_file_that_can_be_is_left_alone(tmp_path):
    (tmp_path / "old.md").write_text("old")
    check_file(tmp_path / "old.md")
    check_file(tmp_path / "new.md")
    assert everything(tmp_path) == ["old.md"] and (tmp_path / "old.md").read_text() == "old"


@pytest.mark.parametrize("error", [RunError("disk: full."), InputError("it: exists."), MemoryError("none left")])
def test_what_was_learned_is_kept_beside_and_told(tmp_path, error):
    for name in ("run.learned.safetensors", "run.learned-2.safetensors"):
        with pytest.raises(RunError) as caught, keeping(tmp_path / "run", lambda _: LEARNED):
            raise error
        shown = f"{type(error).__name__}: {error}." if isinstance(error, MemoryError) else str(error)
        assert str(caught.value) == f"{shown} No run was written; the learned tensors are in {tmp_path / name}."
        assert np.array_equal(load_file(tmp_path / name)["ctx"], LEARNED["ctx"])


def test_an_interruption_keeps_nothing_more(tmp_path):
    """A training's own state is there already, to go on from."""
    with pytest.raises(KeyboardInterrupt), keeping(tmp_path / "run", lambda _: LEARNED):
        raise KeyboardInterrupt
    assert everything(tmp_path) == []


def test_nothing_learned_nothing_kept(tmp_path):
    with pytest.raises(InputError, match=r"^bad$"), keeping(tmp_path / "run", lambda _: {}):
        raise InputError("bad")
    assert everything(tmp_path) == []


def test_where_the_place_itself_fails_the_folder_for_temporary_files_is_taken(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    with pytest.raises(RunError) as caught, keeping(tmp_path / "file" / "run", lambda _: LEARNED):
        raise RunError("full.")
    (kept,) = (tmp_path / "t").rglob("*.safetensors")
    assert str(caught.value).endswith(f"the learned tensors are in {kept}.")
    assert np.array_equal(load_file(kept)["ctx"], LEARNED["ctx"])


def test_where_everything_fails_that_is_told(tmp_path, monkeypatch):
    refuse("cocoop.results.tensors.write_whole", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), monkeypatch)
    told = r"^full\. No run .* could not be kept either \(.*No space left"
    with pytest.raises(RunError, match=told), keeping(tmp_path / "run", lambda _: LEARNED):
        raise RunError("full.")
