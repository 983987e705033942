"""Pixels: the same whoever decodes them, in order, with errors that name the image."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from cocoop import InputError, RunError
from cocoop.clip import Preprocess, augment
from cocoop.data import ImageError
from cocoop.features import AugmentedFeatures, FeatureStore, View, encode_pictures, read_pictures
from cocoop.features.ahead import processes_for, read_pixels
from cocoop.features.pixels import ImageToRead, MissingViews

PREPROCESS = Preprocess(16)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Nine files of several kinds and sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for number in range(9):
        image = Image.fromarray(generator.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8))
        image.convert(["RGB", "L", "P"][number % 3]).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


VIEWS = (None, View(1, 0), View(1, 1))


def to_read(pictures):
    return [ImageToRead(picture) for picture in pictures]


def pixels_of(pictures, processes=0, batch_size=4):
    read = read_pixels(to_read(pictures), PREPROCESS, MissingViews(VIEWS), batch_size, processes)
    return torch.cat([part.pixels for part in read])


def in_process(pictures, views=VIEWS):
    """One by one, with nothing but the transforms."""
    pixels = []
    for picture in pictures:
        image = (picture if isinstance(picture, Image.Image) else Image.open(picture)).convert("RGB")
        for view in views:
            pixels.append(PREPROCESS(image) if view is None else augment(image, PREPROCESS, view.generator(image)))
    return torch.stack(pixels)


def content_hashes(pictures):
    """The SHA-256 of each file."""
    return [sha256(path.read_bytes()).digest() for path in pictures]


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize("batch_size", [2, 4, 7])
def test_threads_and_processes_give_the_same_pixels_in_order(pictures, processes, batch_size):
    state = torch.random.get_rng_state()
    assert torch.equal(pixels_of(pictures, processes, batch_size=batch_size), in_process(pictures))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("processes", [0, 2])
def test_views_that_are_there_are_not_made(pictures, processes):
    """Nor is an image decoded of which no view is missing."""
    known = content_hashes(pictures)
    there = [np.array(sorted(known[start:]), dtype="S32") for start in (4, 0, 2)]
    read = list(read_pixels(to_read(pictures), PREPROCESS, MissingViews(VIEWS, tuple(there)), 4, processes))
    assert [content for part in read for content in part.contents] == known
    expected = [in_process([path], [view for view, until in zip(VIEWS, (4, 0, 2), strict=True) if number < until])
                for number, path in enumerate(pictures[:4])]  # fmt: skip
    assert torch.equal(torch.cat([part.pixels for part in read]), torch.cat(expected))


@pytest.mark.parametrize("kept", [False, True])
def test_open_images_are_loaded_before_threads_see_them(golden, pictures, tmp_path, monkeypatch, kept):
    """Two threads that load one image take turns in its file."""
    loaded_by = []
    load = ImageFile.ImageFile.load

    def noting(image):
        if image.tile:
            loaded_by.append(threading.current_thread())
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", noting)
    store = FeatureStore(tmp_path, golden) if kept else None
    lazy = [Image.open(picture) for picture in pictures[:6]]
    encode_pictures(golden, lazy[:3] * 4, store)
    list(AugmentedFeatures(golden, lazy[3:] * 4, 1, epochs=2, store=store).batches(0, range(12), 3))
    assert loaded_by == [threading.main_thread()] * 6


def test_an_open_image_that_does_not_decode_is_named(golden, pictures, tmp_path):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(pictures[0].read_bytes()[:-300])
    for image, name in (
        (lambda: Image.open(damaged), f"{damaged}: "),
        (lambda: Image.open(BytesIO(damaged.read_bytes())), "image 3 of 3: "),
        (lambda: Image.new("La", (5, 5)), "image 3 of 3: "),
    ):
        for store in (None, FeatureStore(tmp_path / "f", golden)):
            given = [pictures[0], Image.open(pictures[1]), image()]
            for encode in (
                lambda given, store: encode_pictures(golden, given, store),
                lambda given, store: AugmentedFeatures(golden, given, 1, 1, store=store),
            ):
                with pytest.raises(InputError) as caught:
                    encode(given, store)
                assert str(caught.value).startswith(f"{name}expected an open image that Pillow can decode; got ")


def test_an_open_image_shows_the_same_views_as_its_file(pictures):
    opened = [Image.open(picture).copy() for picture in pictures]
    assert torch.equal(pixels_of(opened), in_process(pictures))


def test_views_differ_by_seed_number_and_image(pictures):
    keys = [View(seed, number).generator(Image.open(p).convert("RGB")).random() for p in pictures for seed in (0, 1)
            for number in (0, 1)]  # fmt: skip
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("processes", [0, 2])
def test_an_image_that_does_not_decode_is_named(pictures, tmp_path, processes):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(pictures[0].read_bytes()[:60])
    with pytest.raises(ImageError) as caught:
        pixels_of([*pictures[:5], damaged, *pictures[5:]], processes)
    assert str(caught.value).startswith(f"{damaged}: expected an image that Pillow can decode; got ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("processes", [0, 2])
def test_a_file_of_another_content_is_refused(pictures, processes, own_processes):
    known, missing = content_hashes(pictures), MissingViews(there=(np.empty(0, dtype="S32"),))
    expected = [ImageToRead(picture, content) for picture, content in zip(pictures, known, strict=True)]
    read = list(read_pixels(expected, PREPROCESS, missing, 4, processes))
    assert torch.equal(torch.cat([part.pixels for part in read]), in_process(pictures, [None]))
    expected[5] = expected[5]._replace(content=known[4])
    with pytest.raises(RunError, match=r"5\.png: expected the image file that was there when this began") as caught:
        list(read_pixels(expected, PREPROCESS, missing, 4, processes))
    assert not own_processes()  # though the error holds the frames of what it ended
    assert caught.value.__traceback__ is not None


def test_a_process_that_is_killed_is_said(pictures, own_processes):
    endless = (ImageToRead(pictures[0]) for _ in iter(int, 1))
    batches = read_pixels(endless, PREPROCESS, MissingViews(), 2, processes=2)
    next(batches)
    os.kill(own_processes().pop().pid, signal.SIGKILL)
    with pytest.raises(
        RunError, match=r"images: expected 2 processes to decode them; one is gone .*run the same again"
    ):
        for _ in batches:
            pass


def test_images_are_taken_a_few_batches_ahead_only(pictures):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield ImageToRead(pictures[0])

    batches = read_pixels(endless(), PREPROCESS, MissingViews(), 2)
    next(batches)
    assert len(taken) <= 1 + max(2 * 2, len(os.sched_getaffinity(0)))
    batches.close()


def test_contents_tell_files_by_bytes_and_open_images_by_pixels(golden, pictures, tmp_path):
    copy = tmp_path / "copy.png"
    copy.write_bytes(pictures[0].read_bytes())
    known = read_pictures(golden, [*pictures, copy]).contents
    assert len(set(known[:-1].tolist())) == 9 and known[-1] == known[0]
    image = Image.open(pictures[2])  # a palette
    black = image.copy()
    black.putpalette([0] * 768)
    one, same, other, turned = read_pictures(
        golden, [image, image.convert("RGB"), black, image.transpose(Image.Transpose.ROTATE_90)]
    ).contents
    assert one == same and len({one, other, turned}) == 3
    with pytest.raises(ImageError, match=r"gone\.png: expected an image .*no such file"):
        read_pictures(golden, [tmp_path / "gone.png"])


@pytest.mark.parametrize("kept", [False, True])
def test_what_is_left_out_is_hashed_and_not_encoded(golden, pictures, tmp_path, kept):
    store = FeatureStore(tmp_path, golden) if kept else None
    known = content_hashes(pictures)
    encoded = read_pictures(golden, pictures, store, leave_out=[known[3], known[0]], fill=True)
    assert encoded.contents.tolist() == np.array(known, dtype="S32").tolist()
    assert encoded.kept == [1, 2, 4, 5, 6, 7, 8]
    assert torch.equal(encoded.features[:], read_pictures(golden, pictures, fill=True).features[encoded.kept])
    nothing = read_pictures(golden, pictures, store, leave_out=known)
    assert (nothing.kept, len(nothing.features)) == ([], 0)


@pytest.fixture
def machine(monkeypatch):
    """Sets the processors and the free shared memory."""

    from cocoop.features import ahead

    def change(processors: int, free: int) -> None:
        monkeypatch.setattr(ahead, "usable_cpus", lambda: processors)
        monkeypatch.setattr(ahead.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    monkeypatch.setattr(ahead.Path, "is_dir", lambda _: True)
    change(8, 2**40)
    return change


def started(count, pictures):
    """With batches of 64 at 224 pixels, as on a GPU: 38.5 MB."""
    return processes_for(count, pictures, Preprocess(224), 64)


def test_when_processes_are_started(machine):
    files = [Path("a.png"), "b.png"]
    assert [started(count, files) for count in (10, 3000, 5000, 10**6)] == [0, 0, 4, 8]
    assert started(10**6, [*files, Image.new("L", (1, 1))]) == 0
    machine(2, 2**40)
    assert started(10**6, files) == 0


def test_no_more_processes_than_shared_memory_has_room_for(machine):
    """Two batches of each, and two more on their way."""
    for free, expected in ((0, 0), (64 * 10**6, 0), (8 * 38_535_168 - 1, 0), (8 * 38_535_168, 3), (10**9, 11)):
        machine(16, free)
        assert started(10**6, ["a.png"]) == expected
        assert processes_for(10**6, ["a.png"], Preprocess(112), 64) >= min(16, 4 * expected)


def test_not_within_a_process_of_a_benchmark(machine, monkeypatch):
    class Worker:
        daemon = True

    monkeypatch.setattr(multiprocessing, "current_process", Worker)
    assert started(10**6, ["a.png"]) == 0


def test_a_script_without_a_guard_works_and_its_processes_end_with_it(pictures, tmp_path):
    """A process that imported the script would start processes of its own; one left behind would go on."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import multiprocessing, os, sys
        from cocoop.clip import Preprocess
        from cocoop.features.ahead import read_pixels
        from cocoop.features.pixels import ImageToRead, MissingViews
        print("imported")
        endless = (ImageToRead({str(pictures[0])!r}) for _ in iter(int, 1))
        batches = read_pixels(endless, Preprocess(16), MissingViews(), 2, processes=2)
        print(len(next(batches).contents), *[child.pid for child in multiprocessing.active_children()])
        sys.stdout.flush()
        os.kill(os.getpid(), 9)
        """)
    )
    ran = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    first, second = ran.stdout.splitlines()
    images, *children = map(int, second.split())
    assert (first, images, len(children)) == ("imported", 2, 2)
    for _ in range(300):
        if not any(_is_running(child) for child in children):
            return
        time.sleep(0.1)
    pytest.fail("processes outlive the one that started them")


def test_a_stream_that_is_left_waits_for_none_of_its_threads():
    """Left after an error, it ends in the garbage collector, within whatever locks the thread of that moment has."""
    script = """
        import gc, threading
        from cocoop.features.ahead import from_threads

        first, go_on = threading.Event(), threading.Event()
        rows = from_threads(lambda n: go_on.wait() if n else first.set(), range(99), 2, 2)
        assert next(rows) is None and first.is_set()
        cycle = [rows]
        cycle.append(cycle)
        del rows, cycle
        gc.collect()
        assert threading.active_count() > 1  # they work on
        go_on.set()
        for thread in threading.enumerate()[1:]:
            thread.join(30)
        assert threading.active_count() == 1
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr


def _is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
