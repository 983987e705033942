"""A benchmark's folder: one process has all of it, or several have a trial each."""

import pytest

from cocoop import InputError
from cocoop.protocols.locks import alone_in, alone_with

AT_WORK = "another one is at work in it"


def test_trials_beside_each_other_but_no_trial_twice(tmp_path):
    with alone_with(tmp_path / "out", 1), alone_with(tmp_path / "out", 2):
        with pytest.raises(InputError, match=AT_WORK), alone_with(tmp_path / "out", 2):
            pass
        with pytest.raises(InputError, match=AT_WORK), alone_in(tmp_path / "out"):
            pass
    with alone_in(tmp_path / "out"), pytest.raises(InputError, match=AT_WORK), alone_in(tmp_path / "out"):
        pass


def test_no_trial_beside_a_process_that_has_all(tmp_path, monkeypatch):
    monkeypatch.setattr("cocoop.protocols.locks._OTHERS_TAKE", 0.1)
    with alone_in(tmp_path), pytest.raises(InputError, match=AT_WORK), alone_with(tmp_path, 0):
        pass
    with alone_with(tmp_path, 0):
        pass
