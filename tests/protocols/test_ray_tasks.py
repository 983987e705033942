"""Trials as tasks of Ray where Ray is not installed; `tests/shards/test_runners.py` has them at work."""

import sys

import pytest

from cocoop import InputError
from cocoop.protocols import Benchmark


def test_without_ray_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"expected Ray Data; .*pip install 'cocoop\[cluster\]'"):
        Benchmark([], tmp_path, "tiny", {}).run_on_ray()
