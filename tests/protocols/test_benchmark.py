"""Benchmarks that are killed, that fail in part, and that meet others in their folder."""

from __future__ import annotations

import glob
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from small_data import Dying, make_trial, write_datasets

from cocoop import CLIP, InputError
from cocoop.clip.sources.load import BUNDLED
from cocoop.protocols import Benchmark, Runner
from cocoop.results import read_json

TRIALS = [
    make_trial("base-to-new", "zero-shot", seed=1),
    *(make_trial("base-to-new", method, seed=seed) for method in ("coop", "cocoop") for seed in (1, 2, 3)),
]
UNEQUAL = ("seconds", "peak_memory_mb")
"""What differs from run to run in a record."""


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    return write_datasets(tmp_path_factory.mktemp("data"))


@pytest.fixture
def quick(tiny, monkeypatch):
    """Benchmarks in this process take the CLIP that is loaded."""
    monkeypatch.setattr(CLIP, "load", lambda *_, **__: tiny)


def facts(out: Path) -> dict[str, object]:
    """All that runs leave, by place: files' bytes, records without times, and nothing hidden."""
    contents: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        # Features lie in blocks as they came to be computed.
        if name == ".lock" or name.startswith("features") or (path.is_dir() and not path.name.startswith(".")):
            continue
        if path.name == "record.json":
            contents[name] = {key: value for key, value in read_json(path).items() if key not in UNEQUAL}
        elif path.name not in ("README.md", "metrics.jsonl"):  # the card and the history tell seconds
            contents[name] = path.read_bytes() if path.is_file() else "a folder"
    return contents


def test_runs_all_then_nothing(quick, datasets, tmp_path, monkeypatch):
    benchmark = Benchmark(TRIALS, tmp_path, "tiny", datasets)
    assert benchmark.open_trials() == TRIALS
    assert benchmark.run() == []
    assert benchmark.open_trials() == []
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.json")}
    assert len(before) == len(TRIALS)
    monkeypatch.setattr(CLIP, "load", lambda *_, **__: pytest.fail("loaded a CLIP for nothing"))
    assert benchmark.run() == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.json")} == before


def test_only_looking_writes_nothing(datasets, tmp_path):
    Benchmark(TRIALS, tmp_path / "out", "tiny", datasets).open_trials()
    assert not (tmp_path / "out").exists()


def test_killed_at_random_moments_and_finished(quick, datasets, tmp_path):
    started = time.perf_counter()
    Benchmark(TRIALS, tmp_path / "whole", "tiny", datasets).run()
    duration = time.perf_counter() - started
    benchmark = Benchmark(TRIALS, tmp_path / "killed", "tiny", datasets)
    stream = random.Random(1)
    seen: dict[Path, int] = {}
    for _ in range(3):
        # Forked, so that it is at work at once: one thread, no GPU.
        process = multiprocessing.get_context("fork").Process(target=benchmark.run)
        process.start()
        time.sleep(stream.uniform(0, duration / 2))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for path in (tmp_path / "killed").rglob("seed-?/record.json"):
            assert seen.setdefault(path, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
    assert benchmark.run() == []
    assert facts(tmp_path / "killed") == facts(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in seen} == seen


def test_what_a_killed_run_left_is_cleared(quick, datasets, tmp_path):
    folder = tmp_path / TRIALS[0].folder
    above = tmp_path / TRIALS[0].folder.parts[0]  # where `check_new` tries
    left = [path.with_name(f".{path.name}.{number * 32}.tmp") for path in (folder, above) for number in "01"]
    others = [folder.with_name(".mine.tmp"), tmp_path / ".mine.tmp"]
    for path in (*left, *others):
        path.mkdir(parents=True)
        (path / "config.json").write_text("{")
    Benchmark(TRIALS[:1], tmp_path, "tiny", datasets).run()
    assert (folder / "record.json").is_file()
    assert not any(path.exists() for path in left)
    assert all((path / "config.json").is_file() for path in others)


def test_a_trial_that_fails_does_not_stop_the_others(quick, tmp_path):
    datasets = write_datasets(tmp_path / "data")
    damaged = datasets["other"].test[0].path
    damaged.write_bytes(b"no image")
    trials = [make_trial("cross-dataset", "coop"), make_trial("few-shot", "coop", seed=6)]
    (failure,) = Benchmark(trials, tmp_path / "out", "tiny", datasets).run()
    assert failure.task == trials[0]
    assert failure.reason.startswith(f"{damaged}: expected an image") and "\n" not in failure.reason
    assert [path.parent.name for path in (tmp_path / "out").rglob("record.json")] == ["seed-6"]


def test_a_fault_of_the_program_is_told_with_its_place(quick, datasets, tmp_path, monkeypatch):
    def run(self, trial):
        raise KeyError("surprise")

    monkeypatch.setattr(Runner, "run", run)
    (failure,) = Benchmark(TRIALS[:1], tmp_path, "tiny", datasets).run()
    assert failure.reason.startswith("KeyError: 'surprise' (test_benchmark.py, line ")


def test_processes_give_what_one_gives_and_one_that_dies_takes_only_its_trial_along(
    quick, datasets, tmp_path, own_processes
):
    dies = make_trial("base-to-new", "coop", seed=13)
    trials = [TRIALS[0], dies, *TRIALS[1:4]]
    failures = Dying(trials, tmp_path / "two", "tiny", datasets, device="cpu").run(jobs=2)
    assert [failure.task for failure in failures] == [dies]
    assert "its process was killed (exit code 7)" in failures[0].reason
    assert not own_processes()
    Benchmark([TRIALS[0], *TRIALS[1:4]], tmp_path / "one", "tiny", datasets, device="cpu").run()
    assert facts(tmp_path / "two") == facts(tmp_path / "one")


def test_a_clip_that_does_not_load_is_told_at_once(datasets, tmp_path, own_processes):
    for jobs in (1, 2):
        with pytest.raises(InputError, match="got no such folder"):
            Benchmark(TRIALS, tmp_path, "no/such/clip", datasets).run(jobs)
    assert not own_processes()


def test_two_benchmarks_in_one_folder(quick, datasets, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(InputError, match="another one is at work in it"):
        Benchmark(TRIALS, tmp_path, "tiny", datasets).run()


def test_a_folder_that_is_a_file(quick, datasets, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: expected a folder to write results into"):
        Benchmark(TRIALS, tmp_path / "file", "tiny", datasets).run()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: replace(b, clip="other"), "expected a run with clip 'other'; got 'tiny'"),
        (lambda b: replace(b, tokenizer="words"), "expected a run with tokenizer 'words'; got None"),
        (lambda b: replace(b, dtype="float64"), "expected a run with dtype 'float64'; got 'float32'"),
        (
            lambda b: replace(b, trials=[replace(t, settings={"epochs": 9}) for t in b.trials]),
            "expected a run with settings {'epochs': 9}; got {'epochs': 2,",
        ),
    ],
)
def test_other_settings_in_the_same_folder(quick, datasets, tmp_path, change, message):
    benchmark = Benchmark([make_trial("few-shot", "coop")], tmp_path, "tiny", datasets)
    benchmark.run()
    with pytest.raises(InputError, match=message):
        change(benchmark).run()


def test_another_tokenizer_in_the_same_folder(datasets, tmp_path):
    words = str(BUNDLED["tiny"])
    trials = [make_trial("few-shot", "zero-shot"), make_trial("few-shot", "coop")]
    benchmark = Benchmark(trials[:1], tmp_path, "tiny", datasets, device="cpu", tokenizer=words)
    assert benchmark.run() == []
    for other in (None, "words"):
        with pytest.raises(InputError) as caught:
            replace(benchmark, trials=trials, tokenizer=other).run()
        assert f"expected a run with tokenizer {other!r}; got {words!r}" in str(caught.value)
    assert replace(benchmark, trials=trials).open_trials() == trials[1:]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda d: replace(d, test=d.test[::2]), "the test images of source as they are now"),
        (lambda d: replace(d, class_names=["7", *d.class_names[1:]]), "the test images of source"),
        (lambda d: replace(d, train=d.train[5:] + d.train[:5]), "the training images of source"),
    ],
    ids=["fewer to test", "another name", "others to learn from"],
)
def test_other_data_in_the_same_folder(quick, datasets, tmp_path, changed, message):
    """Miniatures before the data themselves, or photos that came in between."""
    benchmark = Benchmark([make_trial("few-shot", m) for m in ("zero-shot", "coop")], tmp_path, "tiny", datasets)
    assert benchmark.run() == [] == benchmark.open_trials()
    with pytest.raises(InputError, match=message):
        replace(benchmark, datasets={"source": changed(datasets["source"])}).run()


@pytest.mark.parametrize("text", ["[]", '{"trial": 1}', "{", ""])
def test_a_damaged_record_in_the_folder(quick, datasets, tmp_path, text):
    benchmark = Benchmark([make_trial("few-shot", "zero-shot")], tmp_path, "tiny", datasets)
    benchmark.run()
    (tmp_path / benchmark.trials[0].folder / "record.json").write_text(text)
    message = (
        r"few-shot.*: expected a run as cocoop writes it; .*Remove that folder, and start the same command again\.$"
    )
    with pytest.raises(InputError, match=message):
        replace(benchmark).open_trials()


def test_two_data_sets_of_one_name(datasets, tmp_path):
    trials = [replace(make_trial("few-shot", "coop"), dataset=name) for name in ("a/source", "b/source")]
    with pytest.raises(InputError, match="got 2, of a/source and b/source"):
        Benchmark(trials, tmp_path, "tiny", {}).open_trials()


def test_ctrl_c_leaves_no_process_and_no_half_run(datasets, tmp_path, monkeypatch, own_processes):
    """As a terminal does it: to all processes of the group, while two are at work."""
    trials = [make_trial("few-shot", "cocoop", seed=seed, epochs=1 if seed == 1 else 500) for seed in range(1, 5)]
    benchmark = Benchmark(trials, tmp_path, "tiny", datasets, device="cpu")
    from cocoop import workers

    waited = workers.wait

    def interrupted(objects, timeout=None):
        children = own_processes()
        assert len(children) == 2
        # Whole, so that one run is done and both have long started. `rglob` fails on folders that are renamed.
        if glob.glob(f"{tmp_path}/**/seed-?/record.json", recursive=True):
            for child in children:
                os.kill(child.pid, signal.SIGINT)
            time.sleep(0.3)
            assert all(child.is_alive() for child in children)
            raise KeyboardInterrupt
        return waited(objects, timeout)

    monkeypatch.setattr(workers, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        benchmark.run(jobs=2)
    assert not own_processes()
    assert 1 <= len(list(tmp_path.rglob("seed-?/record.json"))) < len(trials)
