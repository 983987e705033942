"""A trial of a benchmark that was stopped in its training."""

import pytest
from small_data import make_trial, write_datasets

from cocoop.protocols import Runner
from cocoop.training.tally import Tally


def test_a_trial_that_was_stopped_goes_on_inside_its_training(tiny, monkeypatch, tmp_path, capfd):
    runner = Runner(tiny, write_datasets(tmp_path / "data"), tmp_path / "whole")
    trial = make_trial("few-shot", "cocoop", augment=True)
    whole = runner.run(trial)
    runner.out = tmp_path / "again"
    add, steps = Tally.add, []

    def interrupted(self, facts):
        add(self, facts)
        steps.append(facts)
        if len(steps) == 4:  # of 3 an epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Tally, "add", interrupted)
        runner.run(trial)
    place = (runner.out / trial.folder).parent
    assert [path.name for path in place.iterdir()] == [".seed-5.state"]
    folder = runner.run(trial)
    assert "note: the training goes on after epoch 1 of 2\n" in capfd.readouterr().err
    assert [path.name for path in place.iterdir()] == ["seed-5"]
    for name in ("prompt.safetensors", "predictions.safetensors", "config.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
