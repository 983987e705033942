"""Estimates: counts exactly, times by arithmetic on stand-ins for the clock, and that nothing is written."""

from dataclasses import replace
from importlib import import_module
from inspect import signature

import pytest
import torch
from own_photos import listing
from small_data import make_trial, write_datasets

from cocoop import CLIP, PromptClassifier
from cocoop.methods import METHODS
from cocoop.protocols import Benchmark, Estimator, Runner, estimate
from cocoop.training import Step


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    return write_datasets(tmp_path_factory.mktemp("data"))


class Priced(Estimator):
    """Every step costs 100 s, every image 1 s to encode (10 s augmented), every classified image 0.1 s."""

    def __init__(self, runner):
        super().__init__(runner)
        cost = super()._cost(lambda: None)
        self._step = lambda prompt, batch_size: cost._replace(seconds=100.0, memory_mb=3.0)
        self._image = lambda dataset, augment: cost._replace(seconds=10.0 if augment else 1.0, memory_mb=2.0)
        self._classified = lambda prompt: cost._replace(seconds=0.1, memory_mb=5.0)


@pytest.fixture
def priced(tiny, datasets, tmp_path):
    return Priced(Runner(tiny, datasets, tmp_path))


def test_steps_images_and_seconds(priced):
    # 3 shots of 4 classes: 12 images, 3 batches of 4, 2 epochs.
    estimated = priced.of(make_trial("few-shot", "coop"))
    assert (estimated.images, estimated.classes, estimated.steps) == (12, 4, 6)
    assert estimated.seconds == pytest.approx(6 * 100 + 12 * 0.1)
    assert estimated.memory_mb == 5
    assert priced.of(make_trial("few-shot", "coop", augment=True)).seconds == estimated.seconds
    # A last, smaller batch is dropped, unless it is the only one.
    assert priced.of(make_trial("few-shot", "coop", batch_size=5)).steps == 2 * 2
    assert priced.of(make_trial("few-shot", "coop", batch_size=32)).steps == 2 * 1
    # What a trial does not set is the paper's: 10 epochs of one image a step, 200 of 32.
    assert priced.of(replace(make_trial("few-shot", "cocoop"), settings={})).steps == 10 * 12
    assert priced.of(replace(make_trial("few-shot", "coop"), settings={})).steps == 200
    # Half the classes; tests on both halves, and on both together.
    estimated = priced.of(make_trial("base-to-new", "cocoop", batch_size=1))
    assert (estimated.images, estimated.classes, estimated.steps) == (6, 2, 12)
    assert estimated.seconds == pytest.approx(12 * 100 + 2 * 12 * 0.1)
    estimated = priced.of(make_trial("cross-dataset", "zero-shot"))
    assert (estimated.images, estimated.steps) == (0, 0)
    assert estimated.seconds == pytest.approx((12 + 9) * 0.1)


def test_test_images_are_counted_once(priced):
    trials = [make_trial("cross-dataset", method) for method in ("coop", "cocoop")]
    assert priced.test_seconds(trials) == 12 + 9
    assert priced.test_seconds(trials, done=[make_trial("few-shot", "coop")]) == 9
    assert priced.test_seconds(trials, done=trials[:1]) == 0


def test_each_view_of_an_image_is_counted_once(priced):
    def seconds(*trials, done=()):
        return priced.view_seconds(trials, done)

    def trial(method, seed=1, **settings):
        return make_trial("few-shot", method, seed=seed, **{"augment": True, "view_seed": 1} | settings)

    picked = [{e.path for e in priced.runner.data.training_set(trial("coop", seed)).train} for seed in (1, 2)]
    both, new = len(picked[0] | picked[1]), len(picked[1] - picked[0])
    assert 12 < both < 24
    assert seconds(trial("coop")) == 10 * 2 * 12  # a view per epoch
    assert seconds(trial("coop"), trial("cocoop")) == 10 * 2 * 12
    assert seconds(trial("coop", epochs=5), trial("cocoop")) == 10 * 5 * 12
    assert seconds(trial("coop", epochs=5, views=3)) == seconds(trial("coop", epochs=3, views=9)) == 10 * 3 * 12
    assert seconds(trial("coop"), trial("coop", 2)) == 10 * 2 * both
    assert seconds(trial("coop", 2), done=[trial("coop")]) == 10 * 2 * new
    assert seconds(trial("coop", epochs=5), done=[trial("cocoop")]) == 10 * 3 * 12
    assert seconds(trial("coop"), trial("coop", view_seed=2)) == 2 * 10 * 2 * 12
    assert seconds(trial("coop", augment=False), trial("cocoop", augment=False)) == 12
    assert seconds(make_trial("few-shot", "zero-shot")) == 0


@pytest.mark.parametrize("says", [True, False])
def test_views_that_the_clip_decides_on_are_counted_as_it_does(priced, monkeypatch, says):
    monkeypatch.setattr(priced.runner.clip, "augment", says)
    for method in ("coop", "cocoop"):
        trial = make_trial("few-shot", method, augment="auto")
        assert priced.view_seconds([trial]) == (10 * 2 * 12 if says else 12)
        assert priced.of(trial) == priced.of(make_trial("few-shot", method, augment=says))


def test_a_prompt_that_is_there_costs_no_training(priced):
    priced.runner.run(make_trial("cross-dataset", "coop"))
    estimated = priced.of(make_trial("few-shot", "coop"))
    assert (estimated.images, estimated.steps, estimated.seconds) == (12, 0, pytest.approx(1.2))


def test_steps_as_training_counts_them(priced, monkeypatch):
    steps = []
    original = Step.__call__
    monkeypatch.setattr(Step, "__call__", lambda *args: steps.append(1) or original(*args))
    for trial in (make_trial("base-to-new", "coop", batch_size=5), make_trial("few-shot", "cocoop", batch_size=1)):
        steps.clear()
        expected = priced.of(trial).steps
        priced.runner.run(trial)
        assert len(steps) == expected


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_every_dtype_is_timed(datasets, tmp_path, dtype):
    estimator = Estimator(Runner(CLIP.load("tiny", device="cpu", dtype=dtype), datasets, tmp_path))
    for method in METHODS:
        assert estimator.of(make_trial("few-shot", method)).seconds > 0


def test_the_step_that_is_timed_is_the_one_that_a_run_takes(tiny, datasets, tmp_path, monkeypatch):
    """Recorded where a run's is, with a stand-in for what records."""
    asked, calls = [], []

    def record(step, cuda_graph):
        asked.append(cuda_graph)
        return lambda *batch: calls.append(len(batch[0])) or step(*batch)

    monkeypatch.setattr(import_module("cocoop.protocols.estimate"), "recorded", record)  # not the function of that name
    Estimator(Runner(tiny, datasets, tmp_path)).of(make_trial("few-shot", "coop"))
    default = signature(PromptClassifier).parameters["cuda_graph"].default
    assert asked == [default] and calls == [4] * 3


def test_a_whole_benchmark_is_measured_and_nothing_written(tiny, datasets, tmp_path, monkeypatch):
    monkeypatch.setattr(CLIP, "load", lambda *_, **__: tiny)
    out = tmp_path / "out"
    done = make_trial("few-shot", "zero-shot")
    Benchmark([done], out, "tiny", datasets).run()
    before = listing(out)
    trials = [done, *(make_trial("few-shot", method, seed=s) for method in ("coop", "cocoop") for s in (1, 2))]
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    total, each = estimate(Benchmark(trials, out, "tiny", datasets), jobs=2)
    assert listing(out) == before
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)
    assert all(one.seconds > 0 and one.memory_mb > 50 for one in each)
    assert total.seconds > sum(one.seconds for one in each[1:]) / 2
    assert total.memory_mb == 2 * max(one.memory_mb for one in each[1:])
    # Trials that differ in the seed alone cost the same.
    assert each[1].seconds == each[2].seconds


def test_no_shorter_than_the_longest_run(tiny, datasets, tmp_path, monkeypatch):
    monkeypatch.setattr(CLIP, "load", lambda *_, **__: tiny)
    trials = [make_trial("few-shot", "cocoop", batch_size=1), make_trial("few-shot", "zero-shot")]
    total, each = estimate(Benchmark(trials, tmp_path, "tiny", datasets), jobs=8)
    assert total.seconds >= max(one.seconds for one in each)
    assert total.memory_mb == 2 * max(one.memory_mb for one in each)


def test_nothing_left_to_do(tiny, datasets, tmp_path, monkeypatch):
    monkeypatch.setattr(CLIP, "load", lambda *_, **__: tiny)
    benchmark = Benchmark([make_trial("few-shot", "zero-shot")], tmp_path, "tiny", datasets)
    benchmark.run()
    assert estimate(benchmark)[0] == (0, 0)
