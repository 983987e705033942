"""Trials as tasks of Ray, on this machine: one whose worker dies is lost alone."""

import os
import sys

import pytest
from small_data import Dying, make_trial, write_datasets

from cocoop import InputError
from cocoop.protocols import Benchmark


@pytest.fixture
def by_ray(monkeypatch):
    """Ray's workers find the tests' modules, as a cluster's find a user's."""
    pytest.importorskip("ray")
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


def test_a_worker_that_dies_loses_its_trial_alone_and_the_same_again_does_it(by_ray, tmp_path):
    datasets = write_datasets(tmp_path / "data")
    trials = [make_trial("base-to-new", "coop", seed=seed) for seed in (1, 13)]
    (failure,) = Dying(trials, tmp_path / "out", "tiny", datasets, device="cpu").run_on_ray(at_once=1)
    assert failure.task == trials[1] and failure.reason.startswith("its worker is gone (")
    again = Benchmark(trials, tmp_path / "out", "tiny", datasets, device="cpu")
    assert again.open_trials() == [trials[1]]
    assert again.run() == [] == again.open_trials()


def test_without_ray_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"expected Ray Data; .*pip install 'cocoop\[cluster\]'"):
        Benchmark([], tmp_path, "tiny", {}).run_on_ray()
