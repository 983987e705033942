"""The same outputs whoever works the shards: this process, others, Ray; some of them killed meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shard_cases import PREDICT, deadly, deaths, outputs, work
from small_data import Dying, make_trial, write_datasets

from cocoop.data import LeftOut
from cocoop.protocols import Benchmark
from cocoop.shards import Job, Processes, output_folder, shards_of
from cocoop.shards.run import ATTEMPTS


def listed(out: Path) -> list:
    return shards_of(["tars/*.tar"], output_folder(str(out)), None, LeftOut())


@pytest.fixture(scope="module")
def here(pictures_once, tmp_path_factory) -> dict[str, bytes]:
    """The outputs of this process."""
    out = tmp_path_factory.mktemp("here") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(pictures_once.root)
        tally = work(Job(PREDICT, str(out)), listed(out))
    assert (tally.done, tally.rows, tally.errors) == (5, 50, 1)
    return outputs(out)


def check_killed(runner, here, tmp_path, attempts: int = ATTEMPTS) -> None:
    """The shard that kills every process is set aside after so many; all else is as it was without a kill."""
    tally = work(Job(deadly(tmp_path), str(tmp_path / "out")), listed(tmp_path), runner)
    [(shard, reason)] = tally.failed
    assert (tally.done, tally.rows, tally.errors, shard.stem) == (4, 40, 1, "s-2")
    assert any(died in reason for died in ("its process was killed (exit code -9)", "its worker died"))
    assert deaths(tmp_path) == ["s-1", *["s-2"] * attempts]
    assert outputs(tmp_path / "out") == {name: output for name, output in here.items() if name != "s-2.parquet"}


def test_in_processes_of_which_some_are_killed(here, pictures, tmp_path):
    check_killed(Processes(["cpu", "cpu"], 1), here, tmp_path)


@pytest.fixture(scope="module")
def on_ray() -> Iterator[None]:
    """A cluster of this machine, whose workers find the tests' modules where this process does."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'cocoop[cluster]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        yield
        ray.shutdown()


def test_trials_on_ray_lose_a_worker_that_dies_and_the_same_again_does_it(on_ray, tmp_path):
    datasets = write_datasets(tmp_path / "data")
    trials = [make_trial("base-to-new", "coop", seed=seed) for seed in (1, 13)]
    (failure,) = Dying(trials, tmp_path / "out", "tiny", datasets, device="cpu").run_on_ray(at_once=1)
    assert failure.task == trials[1] and failure.reason.startswith("its worker is gone (")
    again = Benchmark(trials, tmp_path / "out", "tiny", datasets, device="cpu")
    assert again.open_trials() == [trials[1]]
    assert again.run() == [] == again.open_trials()


def test_shards_on_ray_of_which_some_kill_their_workers(on_ray, here, pictures, tmp_path, monkeypatch):
    from cocoop.shards.on_ray import OnRay

    monkeypatch.setattr("cocoop.shards.run.ATTEMPTS", 2)  # each starts a pool of actors, in seconds
    runner = OnRay(1, 2, 1, "cpu")
    assert runner.told == "1 to 2 actors of Ray, each with 1 CPUs"
    check_killed(runner, here, tmp_path, attempts=2)
