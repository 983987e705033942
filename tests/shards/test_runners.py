"""The same outputs whoever works the shards: this process, others, a job array, Ray; some of them killed meanwhile."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from shard_cases import MACHINE, PREDICT, Naming, outputs, work

from cocoop.data import LeftOut
from cocoop.shards import Job, Processes, output_folder, shards_of


def listed(out: Path) -> list:
    return shards_of(["tars/*.tar"], output_folder(str(out)), None, LeftOut())


@pytest.fixture
def here(pictures, tmp_path) -> dict[str, bytes]:
    """The outputs of this process."""
    work(Job(PREDICT, str(tmp_path / "here")), listed(tmp_path))
    return outputs(tmp_path / "here")


def test_in_processes(here, tmp_path):
    tally = work(Job(PREDICT, str(tmp_path / "out")), listed(tmp_path), Processes(["cpu", "cpu"], 1))
    assert (tally.done, tally.rows, tally.errors) == (5, 50, 1)
    assert outputs(tmp_path / "out") == here


def test_a_worker_that_is_killed_costs_its_shard_one_attempt(pictures, tmp_path):
    """The shard s-1 kills its process the first time, s-2 always."""
    deadly = Naming(1, MACHINE, {"s-1": 1, "s-2": 9}, str(tmp_path / "died"))
    tally = work(Job(deadly, str(tmp_path / "out")), listed(tmp_path), Processes(["cpu", "cpu"], 1))
    [(shard, reason)] = tally.failed
    assert (tally.done, shard.stem) == (4, "s-2") and "its process was killed (exit code -9)" in reason
    assert sorted(path.name for path in tmp_path.glob("died-*")) == ["died-s-1-0", *(f"died-s-2-{n}" for n in range(3))]
    work(Job(Naming(1, MACHINE), str(tmp_path / "here")), listed(tmp_path))
    expected = outputs(tmp_path / "here")
    del expected["s-2.parquet"]
    assert outputs(tmp_path / "out") == expected


def test_ray(here, tmp_path):
    """A cluster of this machine, whose workers find `shard_cases` where this process does."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'cocoop[cluster]'")
    from cocoop.shards.on_ray import OnRay

    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": env})
    try:
        runner = OnRay(1, 2, 1, "cpu")
        assert runner.told == "1 to 2 actors of Ray, each with 1 CPUs"
        tally = work(Job(PREDICT, str(tmp_path / "out")), listed(tmp_path), runner)
        assert (tally.done, tally.rows, tally.errors) == (5, 50, 1)
        assert outputs(tmp_path / "out") == here
        deadly = Naming(1, MACHINE, {"s-1": 1, "s-2": 9}, str(tmp_path / "died"))
        tally = work(Job(deadly, str(tmp_path / "deadly")), listed(tmp_path), runner)
        assert [failure.task.stem for failure in tally.failed] == ["s-2"] and tally.done == 4
        assert len([*tmp_path.glob("died-*")]) == 4
    finally:
        ray.shutdown()
