"""A stream of pictures: the features of `encode_pictures` to the bit, by threads and processes, and one error each."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process

import numpy as np
import pytest
import torch
from PIL import Image

from cocoop import CLIP, RunError
from cocoop.data import ImageError, read_bytes
from cocoop.features import encode_pictures, encode_stream, stream
from cocoop.features.stream import ahead


@pytest.fixture(scope="module")
def clip():
    return CLIP.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(generator.integers(0, 256, (40, 30 + number, 3), dtype=np.uint8)).save(
            folder / f"{number:02}.png"
        )
    return sorted(map(str, folder.iterdir()))


def rows_of(clip, pictures, **more):
    parts = encode_stream(clip, [(str(n), picture) for n, picture in enumerate(pictures)], read_bytes, 2, **more)
    return [row for part in parts for row in part]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 33, 40])
def test_features_are_those_of_all_at_once(clip, paths, count):
    rows = rows_of(clip, paths[:count])
    assert [row.key for row in rows] == [str(n) for n in range(count)]
    features = [row.feature for row in rows]
    assert torch.equal(torch.stack(features) if features else torch.empty(0, 128), encode_pictures(clip, paths[:count]))


@pytest.mark.parametrize("bad", [{0}, {15, 16, 17}, set(range(20)), set(range(0, 60, 2))])
def test_damaged_ones_leave_the_others_as_they_are(clip, paths, bad, tmp_path):
    rest = iter(paths)
    pictures = ["nowhere" if n in bad else next(rest) for n in range(min(60, len(bad) + len(paths)))]
    rows = rows_of(clip, pictures)
    assert [row.feature is None for row in rows] == [n in bad for n in range(len(pictures))]
    assert all(isinstance(row.error, ImageError) and "nowhere" in str(row.error) for row in rows if row.feature is None)
    good = [picture for picture in pictures if picture != "nowhere"]
    assert torch.equal(torch.stack([row.feature for row in rows if row.error is None]), encode_pictures(clip, good))


def test_many_errors_in_a_row_come_without_waiting_for_pictures(clip):
    parts = encode_stream(clip, ((n, "nowhere") for n in range(10**9)), read_bytes, 2)
    assert len(next(parts)) == 256
    parts.close()


def test_processes_take_over_and_change_nothing(clip, paths, monkeypatch):
    monkeypatch.setattr(stream, "_BY_THREADS", 10)
    pictures = [*paths[:20], "nowhere", *paths[20:]]
    threads, processes = rows_of(clip, pictures), rows_of(clip, pictures, processes=2)
    assert [row.key for row in threads] == [row.key for row in processes]
    assert [str(row.error) for row in threads] == [str(row.error) for row in processes]
    assert all(a.error or torch.equal(a.feature, b.feature) for a, b in zip(threads, processes, strict=True))


def die(item):
    if item == 30 and parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_process_that_is_killed_is_an_error(monkeypatch):
    monkeypatch.setattr(stream, "_BY_THREADS", 10)
    with pytest.raises(RunError, match="expected 2 processes to decode them; one is gone"):
        list(ahead(die, range(100), 4, 1, 2))
    assert list(ahead(die, range(10), 4, 1, 2)) == list(range(10))  # no process for none


def test_threads_end_with_the_stream(paths, clip):
    before = set(threading.enumerate())
    parts = encode_stream(clip, ((n, paths[n % 40]) for n in range(10**9)), read_bytes, 5)
    next(parts)
    started = set(threading.enumerate()) - before
    assert started
    parts.close()
    for thread in started:
        thread.join(60)
    assert not any(thread.is_alive() for thread in started)
