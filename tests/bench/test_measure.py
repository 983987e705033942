"""Turns, scaling and memory."""

import os
import subprocess
import sys
from functools import cached_property

import pytest
import torch

from cocoop.bench import (
    CELL_HEADER,
    SHAPES,
    Bench,
    Cell,
    ImageFloor,
    TrainingImage,
    cell_rows,
    image_rows,
    images,
    measure,
    memory,
    random_clip,
    remarks,
    suffix_lengths,
    training,
)
from cocoop.bench.clock import best_seconds
from cocoop.bench.encoding import Encoding
from cocoop.bench.memory import peak_megabytes
from cocoop.clip import Prompts
from cocoop.errors import RunError


def test_works_take_turns_and_the_best_counts():
    order, times = [], {"a": iter([9.0, 3.0, 2.0, 4.0]), "b": iter([1.0, 5.0, 5.0, 5.0])}

    def work(name):
        order.append(name)
        return next(times[name])

    best = best_seconds({name: lambda name=name: work(name) for name in times}, rounds=3)
    assert best == {"a": 2.0, "b": 1.0}
    assert order == ["a", "b"] * 4


def test_without_patience_there_is_one_round_after_the_warm_up():
    calls = []
    best_seconds({"a": lambda: calls.append(0) or 1.0}, rounds=50, patience=0.0)
    assert len(calls) == 2


def end(work, connection):
    os._exit(9)


@pytest.fixture
def clip():
    return random_clip("tiny", "cpu")


def test_the_plain_path_is_measured_once_on_few_classes_and_scaled(clip, monkeypatch):
    """Every work takes a fixed time here, so that only the arithmetic is left."""
    measured = []

    def fixed(works, rounds):
        measured.append(sorted(works))
        return {name: {"plain": 0.5, "ours": 0.08, "floor": 0.04}[name] for name in works}

    monkeypatch.setattr(measure, "best_seconds", fixed)
    cells = list(measure.measure_classes(clip, 250, [2, 8], 1, lambda: None))
    assert [(cell.images, cell.passes) for cell in cells] == [
        (2, "forward"),
        (2, "forward+backward"),
        (8, "forward"),
        (8, "forward+backward"),
    ]
    assert measured == [["floor", "ours", "plain"]] * 2 + [["floor", "ours"]] * 2
    assert {cell.plain_measured_classes for cell in cells} == {100}
    assert [cell.plain_ms for cell in cells] == [1250.0] * 4  # 500 ms x 250 / 100
    assert [cell.ours_ms for cell in cells] == [40.0, 40.0, 10.0, 10.0]
    assert [cell.floor_ms for cell in cells] == [20.0, 20.0, 5.0, 5.0]
    assert {cell.tokens for cell in cells} == {sum(suffix_lengths(250))}
    assert cells[1].floor_multiply_adds == 2 * cells[0].floor_multiply_adds
    assert cells[0].times_faster == 31.25 and cells[0].times_floor == 2.0


def test_memory_of_the_plain_path_is_scaled_too(clip, monkeypatch):
    asked = []

    def fixed(clip, shape, dtype, classes, images, plain):
        asked.append((classes, images, plain))
        return {"forward": 10.0 * images, "forward+backward": 20.0 * images}

    monkeypatch.setattr(measure, "peak_megabytes", fixed)
    timed = [Cell(250, images, name, 1, 100, 1.0, 1.0, 1.0, 1) for images in (1, 8) for name in measure.PASSES]
    cells = measure.with_memory(clip, SHAPES["tiny"], "float32", timed, lambda: None)
    assert asked == [(100, 1, True), (250, 1, False), (250, 8, False)]
    assert [(cell.plain_peak_mb, cell.ours_peak_mb) for cell in cells] == [(25, 10), (50, 20), (25, 80), (50, 160)]
    assert cells[0].times_less_memory == 2.5


def test_a_training_image_of_coop_is_a_share_of_its_batch_and_scaled(clip, monkeypatch):
    monkeypatch.setattr(training, "best_seconds", lambda works, rounds: {"cocoop": 0.4, "coop": 3.2, "floor": 0.05})
    image = training.measure_training(clip, 200, 1)
    assert (image.cocoop_ms, image.coop_ms, image.coop_measured_classes) == (100.0, 200.0, 100)
    assert image.times_coop == 0.5 and image.times_floor == 2.0 and image.imagenet_hours is None


def test_an_image_is_a_share_of_its_batch(clip, monkeypatch):
    asked = []
    monkeypatch.setattr(clip, "encode_images", lambda pixels: asked.append(tuple(pixels.shape)))
    taken = {"ours": 0.08, "floor": 0.04}
    monkeypatch.setattr(
        images, "best_seconds", lambda works, rounds: {name: run() and taken[name] for name, run in works.items()}
    )
    cell = images.measure_images(clip, 4, 1)
    assert asked == [(4, 3, 32, 32)]
    assert (cell.images, cell.ours_ms, cell.floor_ms) == (4, 20.0, 10.0)
    assert cell.images_per_second == 50.0 and cell.times_floor == 2.0
    assert cell.floor_multiply_adds == ImageFloor(clip, 1).multiply_adds
    assert image_rows([cell]) == [["4", "20.0", "50.0", "2.00", f"{cell.floor_gflops:.2f}"]]


def test_the_time_of_imagenet():
    assert TrainingImage(1000, 45.0, 1.0, 100, 1.0, 1).imagenet_hours == 2.0  # 160,000 steps of 45 ms are 7,200 s


def test_the_remarks_tell_what_imagenet_would_take():
    image = TrainingImage(1000, 3.6, 1.0, 100, 1.8, 1, cocoop_peak_mb=1234.5)
    (*_, last) = remarks(Bench("ViT-B/16", "cuda", "bfloat16", 1, 5, [], [image], [], []))
    assert last == (
        "16-shot ImageNet, CoCoOp, 160,000 steps of 3.60 ms: 9.6 minutes, at 50% of the matrix rate, with 1,234 MB "
        "beside the model"
    )


def test_training_really_steps_on_the_path_it_says(clip, monkeypatch):
    """CoOp's share is measured on the full-length path with all 32 images in one step, CoCoOp's on the packed one."""
    seen = []
    monkeypatch.setattr(training, "best_seconds", lambda works, rounds: {name: run() for name, run in works.items()})
    real = training.train

    def spy(model, source, labels, **arguments):
        path = clip.text.plain, arguments["cuda_graph"]
        seen.append((type(model).__name__, *path, arguments["batch_size"], len(labels)))
        return real(model, source, labels, **arguments)

    monkeypatch.setattr(training, "train", spy)
    image = training.measure_training(clip, 5, 1)
    assert seen == [("CoCoOp", False, "auto", 1, 4), ("CoOp", True, "off", 32, 32)]
    assert min(image.cocoop_ms, image.coop_ms, image.floor_ms) > 0


@pytest.mark.parametrize(
    ("plain", "classes", "one_mlp"),
    [
        (True, 60, 60 * 77 * 512 * 4 / 1e6),  # all 77 positions of every prompt
        (False, 1000, 4170 * 512 * 4 / 1e6),  # the suffix tokens of all
    ],
)
def test_memory_holds_at_least_the_activations_of_the_mlps(clip, plain, classes, one_mlp):
    """Hidden states of an MLP, 512 float32 of each row, exist at once; for gradients those of two layers and more.

    Autograd keeps 6 to 7 times as much of each of the three plain layers (four values of the MLP's width, 3 D of
    queries, keys and values, six of width D, attention weights twice); resident memory scatters by a tenth around it.
    """
    peaks = peak_megabytes(clip, SHAPES["tiny"], "float32", classes, 1, plain)
    assert one_mlp < peaks["forward"] < 10 * one_mlp
    assert 2 * one_mlp < peaks["forward+backward"] < 25 * one_mlp


@pytest.mark.parametrize(("plain", "made"), [(True, "before"), (False, "during")])
def test_what_a_path_holds_for_good_is_its_memory_if_it_uses_it(clip, monkeypatch, plain, made):
    """When the prompts are made ready, on the way of a GPU and on that of a CPU, with stand-ins for their counters."""
    events = []
    of = Encoding.prompts.func
    counted = cached_property(lambda self: events.append("made") or of(self))
    counted.__set_name__(Encoding, "prompts")
    monkeypatch.setattr(Encoding, "prompts", counted)
    expected = {"before": ["made", "count"], "during": ["count", "made"]}[made]

    monkeypatch.setattr(memory, "allocated_megabytes", lambda device, work: events.append("count") or work())
    memory._allocated(clip, 5, 1, plain)
    assert events == expected * 2  # each pass by itself

    monkeypatch.setattr(memory, "reset_peak_memory", lambda: events.append("count") or True)
    del events[:]
    memory._grown(SHAPES["tiny"], "float32", torch.get_num_threads(), 5, 1, plain)
    assert events == ["made", *expected]  # the first pass of all, and then one encoding for both


def test_the_memory_of_a_training_has_what_it_holds_for_good(clip, monkeypatch):
    counting = []
    original = Prompts.__init__

    def spy(self, tower, names, prompts):
        original(self, tower, names, prompts)
        counting.extend(["made"] if counting else [])

    monkeypatch.setattr(Prompts, "__init__", spy)
    monkeypatch.setattr(training, "best_seconds", lambda works, rounds: dict.fromkeys(works, 1.0))
    monkeypatch.setattr(training, "allocated_megabytes", lambda device, work: counting.append("count") or work())
    training.measure_training(clip, 5, 1)
    assert counting == ["count", "made"]


def test_memory_is_unknown_where_the_peak_cannot_be_reset(clip, monkeypatch):
    monkeypatch.setattr(memory, "reset_peak_memory", lambda: False)
    peaks = memory._grown(SHAPES["tiny"], "float32", torch.get_num_threads(), 5, 1, False)
    assert peaks == {"forward": None, "forward+backward": None}


def test_a_process_that_dies_is_an_error_that_says_what_to_do(clip, monkeypatch):
    monkeypatch.setattr(memory, "_tell", end)
    with pytest.raises(
        RunError, match=r"exit code 9\. Most likely memory ran out: give smaller --class-counts or --batch-sizes"
    ):
        peak_megabytes(clip, SHAPES["tiny"], "float32", 5, 1, plain=False)


def test_an_error_in_the_process_is_told(clip):
    with pytest.raises(RunError, match=r"got InputError dtype: expected one of .* If memory ran out, give smaller"):
        peak_megabytes(clip, SHAPES["tiny"], "float3", 5, 1, plain=False)


def test_a_script_without_a_guard_is_measured(tmp_path):
    """The process must not import the script, which would begin to measure there, too."""
    script = tmp_path / "script.py"
    script.write_text(
        "from cocoop.bench import SHAPES, random_clip\n"
        "from cocoop.bench.memory import peak_megabytes\n"
        "print(*peak_megabytes(random_clip('tiny', 'cpu'), SHAPES['tiny'], 'float32', 5, 1, False))\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "forward forward+backward\n"), ran.stderr


def test_rows_show_what_is_unknown_as_a_dash():
    row = cell_rows([Cell(1000, 1, "forward", 4170, 100, 61234.5, 2345.6, 2041.0, 10**11)])[0]
    assert dict(zip(CELL_HEADER, row, strict=False))["GFLOP/s"] == "98.0"
    assert row == ["1,000", "1", "forward", "61,234", "2,346", "26.1", "1.15", "98.0", "-", "-", "-"]
