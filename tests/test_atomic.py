"""Whole files and folders: what a reader meets, what a failure leaves, and what is cleared afterwards."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cocoop.atomic import clear_leftovers, hidden_beside, is_unfinished, remove_folder, whole_folder, write_whole
from cocoop.errors import RunError


def make_folder(path: Path) -> None:
    with whole_folder(path, "a test") as made:
        (made / "inner").mkdir()
        (made / "inner" / "file").write_text("new")


def make_file(path: Path) -> None:
    write_whole(path, b"new", "a test")


@pytest.mark.parametrize("make", [make_file, make_folder])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(tmp_path, monkeypatch, make, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises((RunError, KeyboardInterrupt)) as raised:
        make(tmp_path / "target")
    if isinstance(error, OSError):
        assert str(raised.value) == (
            f"{tmp_path / 'target'}: expected to write a test; got No space left on device. Check the "
            "folder's rights and free space, or choose another folder."
        )
    assert list(tmp_path.iterdir()) == []


def test_what_the_body_raises_is_told_and_leaves_nothing(tmp_path):
    for error, expected in ((ValueError("a bug"), ValueError), (OSError("full"), RunError)):
        with pytest.raises(expected), whole_folder(tmp_path / "target", "a test") as made:
            (made / "file").touch()
            raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("make", "path"), [(make_file, "file"), (make_folder, "folder/inner/file")])
def test_it_is_hidden_and_whole_before_it_takes_its_name(tmp_path, monkeypatch, make, path):
    replace, seen = os.replace, []

    def watched(source, target):
        assert is_unfinished(source.name) and source.parent == target.parent
        content = source if source.is_file() else source / "inner" / "file"
        seen.append((content.read_text(), target.exists()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    make(tmp_path / Path(path).parts[0])
    assert seen == [("new", False)]
    assert (tmp_path / path).read_text() == "new" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_rights_are_those_of_any_new_file_and_folder(tmp_path):
    make_file(tmp_path / "file"), make_folder(tmp_path / "folder")
    (tmp_path / "usual-file").touch(), (tmp_path / "usual-folder").mkdir()
    for name in ("file", "folder"):
        modes = {stat.S_IMODE((tmp_path / place).stat().st_mode) for place in (name, f"usual-{name}")}
        assert len(modes) == 1


def test_too_many_open_files_have_an_advice_of_their_own(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunError, match=r"raise their limit \(ulimit -n\)\.$"):
        make_file(tmp_path / "target")


def test_a_folder_is_gone_at_once(tmp_path, monkeypatch):
    make_folder(tmp_path / "target")
    gone = []
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: gone.append((path, (tmp_path / "target").exists())))
    remove_folder(tmp_path / "target")
    ((path, still_there),) = gone
    assert not still_there and is_unfinished(path.name)
    remove_folder(tmp_path / "target")  # there is none


def left_by(process: int, name: str, folder: Path) -> Path:
    """What a process of this machine that is being killed leaves of a file or folder."""
    mine = hidden_beside(folder / name).name
    return folder / mine.replace(f"-{os.getpid()}-", f"-{process}-")


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_leftovers_of_dead_processes_are_cleared_and_others_stay(tmp_path, dead):
    """Whatever the clock says: the files are of the future, or of 1970."""
    file, folder, other = (left_by(dead, name, tmp_path) for name in ("run", "run", "run-2"))
    living, foreign = left_by(os.getppid(), "run", tmp_path), tmp_path / ".run.0badcafe-1-ff.tmp"
    mine = tmp_path / ".run.txt"
    for path in (file, other, living, foreign, mine):
        path.touch()
    (folder / "inner").mkdir(parents=True)
    os.utime(file, (time.time() + 1e6,) * 2)
    os.utime(living, (0, 0))
    clear_leftovers(tmp_path, "run")
    assert set(tmp_path.iterdir()) == {other, living, foreign, mine}
    os.utime(foreign, (time.time() - 90_000,) * 2)  # by age where nothing else is known
    clear_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == {living, mine}
    clear_leftovers(tmp_path, "run", alone=True)
    assert set(tmp_path.iterdir()) == {mine}
    clear_leftovers(tmp_path / "nowhere")


@pytest.mark.parametrize("make", [make_file, make_folder])
def test_whoever_writes_first_in_a_folder_clears_it(tmp_path, dead, make):
    left_by(dead, "anything", tmp_path).mkdir()
    living = left_by(os.getppid(), "target", tmp_path)
    living.touch()
    make(tmp_path / "target")
    assert set(tmp_path.iterdir()) == {living, tmp_path / "target"}


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_process_killed_in_the_write_leaves_nothing_after_the_next_start(tmp_path):
    """A real one: it is killed when its files are half written."""
    program = (
        "import os, signal, sys; from pathlib import Path; from cocoop.atomic import whole_folder\n"
        "with whole_folder(Path(sys.argv[1]), 'a test') as made:\n"
        "    (made / 'half').write_text('of it'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "target")])
    (left,) = tmp_path.iterdir()
    assert ended.returncode == -signal.SIGKILL and is_unfinished(left.name) and (left / "half").exists()
    make_folder(tmp_path / "other")
    assert list(tmp_path.iterdir()) == [tmp_path / "other"]


def test_a_leftover_goes_by_another_name_before_it_is_half_removed(tmp_path, monkeypatch):
    """Its writer, about to die, must not rename what is half removed."""
    left = tmp_path / ".run.1.tmp"
    left.mkdir()
    removed = []
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: removed.append(path))
    clear_leftovers(tmp_path, "run", alone=True)
    assert removed != [left] and not left.exists() and removed[0].name.startswith(".run.")
