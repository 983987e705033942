"""The offline data sets on a disk: whole or absent, whatever happens while they are written."""

import json
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np
import pytest
from filelock import FileLock, Timeout
from PIL import Image
from sklearn.datasets import load_digits

import cocoop.data.drawn.offline as offline
from cocoop.data import OFFLINE, OFFLINE_VARIANTS, SHIFTS, open_image, read_folder, read_offline_dataset
from cocoop.errors import InputError, RunError


@pytest.fixture
def few(monkeypatch):
    """Drawn data sets with one picture per class and split, for speed."""
    monkeypatch.setattr(offline, "PICTURES_PER_CLASS", dict.fromkeys(("train", "val", "test"), 1))


def everything(dataset):
    return [*dataset.train, *dataset.val, *dataset.test]


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_names():
    assert OFFLINE == ("digits", "pictographs", "shapes")
    assert SHIFTS == ("sketch", "noise", "blur", "inverted", "texture")
    assert len(OFFLINE_VARIANTS) == 10
    assert {name.split("_")[0] for name in OFFLINE_VARIANTS} == {"pictographs", "shapes"}


@pytest.mark.parametrize(("name", "classes"), [("pictographs", 220), ("shapes", 175)])
def test_a_drawn_data_set(name, classes, tmp_path, few):
    dataset = read_offline_dataset(name, tmp_path)
    assert (dataset.name, dataset.template, dataset.image_root) == (name, "a photo of a {}.", tmp_path / name)
    assert len(set(dataset.class_names)) == classes
    assert not dataset.split_made
    for split in ("train", "val", "test"):
        examples = getattr(dataset, split)
        by_others = read_folder(tmp_path / name / split)  # as a user's folder of class folders
        assert [(e.path, e.label) for e in examples] == [(e.path, e.label) for e in by_others]
        assert [e.class_name for e in examples] == dataset.class_names
    assert {open_image(e.path).size for e in dataset.test} == {(32, 32)}
    shifted = read_offline_dataset(f"{name}_noise", tmp_path)
    assert (shifted.train, shifted.val, shifted.class_names) == ([], [], dataset.class_names)
    assert [e[1:] for e in shifted.test] == [e[1:] for e in dataset.test]
    for variant, original in zip(shifted.test[:9], dataset.test, strict=False):
        difference = np.subtract(open_image(variant.path), open_image(original.path), dtype=np.float64)
        assert 10 < difference.std() < 60  # sigma 45, cut off at black and white


def test_numbers_of_pictures():
    assert offline.PICTURES_PER_CLASS == {"train": 20, "val": 4, "test": 10}
    dataset = offline.list_offline_dataset("pictographs", Path("anywhere"))
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [4400, 880, 2200]
    assert set(Counter(e.label for e in dataset.train).values()) == {20}
    assert len({e.path for e in everything(dataset)}) == 7480


def test_digits_are_scikit_learns_in_the_demos_split(tmp_path):
    dataset = read_offline_dataset("digits", tmp_path)
    assert dataset.class_names == ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    assert dataset.select("new").class_names == ["five", "six", "seven", "eight", "nine"]
    digits = load_digits()
    stream, parts = Random(0), {"train": [], "val": [], "test": []}
    for label in range(10):  # the rule of the original code for data without a split, written out
        members = list(np.flatnonzero(digits.target == label))
        a, b = round(0.2 * len(members)), round(0.1 * len(members))
        stream.shuffle(members)
        for part, chosen in zip(parts, (members[:a], members[a : a + b], members[a + b :]), strict=True):
            parts[part] += chosen
    for part, members in parts.items():
        examples = getattr(dataset, part)
        assert [e.label for e in examples] == digits.target[members].tolist()
        for example, values in zip(examples, digits.images[members], strict=True):
            with Image.open(example.path) as image:
                assert image.mode == "L"
                # x * 255 / 16 has the tie 127.5 at x = 8 only, which goes to 128, the even one.
                assert np.array_equal(image, np.rint(values * 255 / 16))


def test_later_calls_only_list(tmp_path):
    first = read_offline_dataset("digits", tmp_path)
    before = times(tmp_path)
    assert read_offline_dataset("digits", str(tmp_path)) == first
    assert times(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".digits.lock", "digits"]


def test_a_missing_file_is_made_again(tmp_path):
    gone = read_offline_dataset("digits", tmp_path).test[500].path
    content = gone.read_bytes()
    gone.unlink()
    read_offline_dataset("digits", tmp_path)
    assert gone.read_bytes() == content


def test_what_another_version_drew_is_drawn_again(tmp_path, monkeypatch):
    path = read_offline_dataset("digits", tmp_path).test[0].path
    before = times(tmp_path)
    monkeypatch.setattr(offline, "_VERSION", offline._VERSION + 1)
    assert path == read_offline_dataset("digits", tmp_path).test[0].path
    assert times(tmp_path)[path] > before[path]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".digits.lock", "digits"]


@pytest.mark.parametrize("marker", [None, "{", "[1]", '{"data set": "shapes"}'])
def test_a_folder_of_the_users_is_left_alone(tmp_path, marker):
    mine = tmp_path / "digits" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    if marker:
        (tmp_path / "digits" / offline._MARKER).write_text(marker)
    with pytest.raises(InputError, match="expected the data set digits as cocoop wrote it, or nothing; got something"):
        read_offline_dataset("digits", tmp_path)
    assert mine.read_text() == "mine"


def test_errors(tmp_path):
    with pytest.raises(InputError, match="data set: expected one of digits, pictographs, shapes, pictographs_sketch, "):
        read_offline_dataset("digits_sketch", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="expected to write small images"):
        read_offline_dataset("digits", tmp_path / "file")


def start(patch: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Another process that reads the digits below its first argument, with `drawn.offline` patched before."""
    code = f"import os, signal, sys, time\nimport cocoop.data.drawn.offline as offline\n{patch}\n"
    code += "offline.read_offline_dataset('digits', sys.argv[1])"
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])


DIE = """
left = iter(range(int(sys.argv[2])))
def dying(function):
    def wrapped(*arguments):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return wrapped
offline._image, offline.remove_folder = dying(offline._image), dying(offline.remove_folder)
"""


@pytest.mark.parametrize("files", [0, 900, 1797])
def test_killed_while_writing(tmp_path, files):
    """Before the first file, half-way, and when all files are written but not in place."""
    assert start(DIE, tmp_path, files).wait() == -signal.SIGKILL
    (left,) = tmp_path.glob(".digits.*.tmp")
    assert sum(1 for _ in left.rglob("*.png")) == files
    dataset = read_offline_dataset("digits", tmp_path)
    assert all(open_image(e.path).size == (8, 8) for e in everything(dataset))
    assert not left.exists()


def test_a_folder_that_another_process_finishes_while_it_is_looked_for(tmp_path, monkeypatch):
    """Its marker was not there when it was opened; the folder is, a moment later."""
    read_text = Path.read_text

    def finished_meanwhile(path, **options):
        monkeypatch.undo()
        try:
            return read_text(path, **options)
        finally:
            assert start("", tmp_path).wait() == 0

    monkeypatch.setattr(Path, "read_text", finished_meanwhile)
    assert len(everything(read_offline_dataset("digits", tmp_path))) == 1797


def make_stale(root: Path) -> None:
    read_offline_dataset("digits", root)
    marker = root / "digits" / offline._MARKER
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"version": 0}))


# Before a process takes a stale folder away it waits until the other one has finished, or can do nothing but wait.
SLOW = """
ready = sys.argv[2]
def after_the_other(function):
    def wrapped(source, target, **options):
        if str(source) == f"{sys.argv[1]}/digits":
            open(f"{ready}/judged", "w").close()
            while not os.path.exists(f"{ready}/done") and not os.path.exists(f"{ready}/waiting"):
                time.sleep(0.001)
        return function(source, target, **options)
    return wrapped
os.rename, os.replace = after_the_other(os.rename), after_the_other(os.replace)
"""
FAST = """
import filelock
acquire, ready = filelock.FileLock.acquire, sys.argv[2]
def noted(*arguments, **options):
    open(f"{ready}/waiting", "w").close()
    return acquire(*arguments, **options)
filelock.FileLock.acquire = noted
while not os.path.exists(f"{ready}/judged"):
    time.sleep(0.001)
"""
NOTE = f"""
import atexit, pathlib
def note_which_folder():
    marker = pathlib.Path(sys.argv[1]) / "digits" / "{offline._MARKER}"
    (pathlib.Path(ready) / sys.argv[3]).write_text(str(marker.stat().st_ino))
atexit.register(note_which_folder)
"""


def test_a_whole_folder_is_never_removed(tmp_path):
    """One process finds a stale folder; before it takes it away, another one makes it anew, if it can."""
    root, ready = tmp_path / "root", tmp_path / "ready"
    ready.mkdir()
    make_stale(root)
    processes = [start(SLOW + NOTE, root, ready, "slow"), start(FAST + NOTE, root, ready, "done")]
    assert [process.wait() for process in processes] == [0, 0]
    in_place = (root / "digits" / offline._MARKER).stat().st_ino
    assert [(ready / name).read_text() for name in ("slow", "done")] == [str(in_place)] * 2


# Each looks for the folder, waits for the other, and goes on.
MEET = """
is_whole, ready = offline._is_whole, sys.argv[2]
def wait_for_the_other(dataset):
    whole = is_whole(dataset)
    offline._is_whole = is_whole
    open(f"{ready}/{os.getpid()}", "w").close()
    while len(os.listdir(ready)) < 2:
        time.sleep(0.001)
    return whole
offline._is_whole = wait_for_the_other
"""


@pytest.mark.parametrize("stale", [False, True])
def test_two_processes_at_once(tmp_path, stale):
    root, ready = tmp_path / "root", tmp_path / "ready"
    ready.mkdir()
    if stale:
        make_stale(root)
    processes = [start(MEET, root, ready) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    before = times(root)
    dataset = read_offline_dataset("digits", root)
    assert times(root) == before
    assert len(everything(dataset)) == 1797
    assert sorted(path.name for path in root.iterdir()) == [".digits.lock", "digits"]


def test_a_process_that_waits_for_another_says_so(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    other, said = FileLock(tmp_path / ".digits.lock"), []

    @contextmanager
    def counter(what, total, unit):
        said.append(what)
        other.release()
        yield

    monkeypatch.setattr(offline, "_PATIENCE", 0)
    monkeypatch.setattr(offline, "counter", counter)
    with other, offline._alone(tmp_path / "digits"), pytest.raises(Timeout):
        other.acquire(timeout=0)
    assert said == ["waiting for another process that writes digits"]
    with offline._alone(tmp_path / "digits"):  # which the first one has given back
        assert len(said) == 1


def test_listing_imports_nothing_heavy(tmp_path):
    """No torch ever, and what draws only for drawing."""
    heavy = ("torch", "transformers", "sklearn", "matplotlib")
    code = f"import sys; found = [m for m in {heavy} if m in sys.modules]\nassert not found, found"
    listing = "[offline.list_offline_dataset(name, __import__('pathlib').Path()) for name in offline.OFFLINE]"
    assert start(f"import cocoop.data, cocoop.results\n{listing}\n{code}", tmp_path).wait() == 0
