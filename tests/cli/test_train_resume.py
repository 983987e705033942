"""`cocoop train` stopped by hand or killed: the same command goes on, to the same bits; another one is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from own_photos import digit_images
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cocoop.results import read_run
from cocoop.training.tally import Tally

TRAIN = ("train", "photos", "--shots", 2, "--epochs", 4, "--lr", "0.1", "--device", "cpu")
WATCHED = ("--augment", "--views", 2, "--validate", "--keep", "best", "--patience", 3, "--class-weight", "balanced")
ON = "note: the training goes on after epoch 2 of 4 and 2 of 6 steps of the next"


def stop_in_the_third_epoch(monkeypatch, how):
    """`how` is called after a few of the steps of every epoch but the first two of this process."""
    add, steps = Tally.add, []

    def counted(self, facts):
        add(self, facts)
        steps.append(facts)
        if len(steps) == 14:  # of 6 an epoch
            how()

    monkeypatch.setattr(Tally, "add", counted)


def stopped(cocoop, monkeypatch, *options, by=signal.SIGINT):
    with monkeypatch.context() as patch:
        stop_in_the_third_epoch(patch, lambda: signal.raise_signal(by))
        return cocoop(*TRAIN, "--out", "run", *options)


def learned(folder):
    """What must be equal of two runs: tensors, figures of epochs and tests, predictions."""
    run = read_run(folder)
    tensors = {name: tensor.tobytes() for name, tensor in [*run.tensors.items(), *run.predictions.items()]}
    record = run.record
    results = record.results, record.zero_shot, record.kept_epoch, record.picked, record.validated_on
    return tensors, [replace(epoch, seconds=0.0) for epoch in run.history], results


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_hand_the_same_command_goes_on(cocoop, photos, monkeypatch, by, code):
    """Real signals. A run that is stopped and one that is not are equal but for their clocks."""
    before, handler = set(os.listdir()), signal.getsignal(signal.SIGTERM)
    ran = stopped(cocoop, monkeypatch, *WATCHED, by=by)
    told = (
        "note: training: interrupted after 2 of 4 epochs and 2 steps of the next; the same command goes on from here\n"
    )
    assert (ran.code, ran.out, ran.err) == (code, "", told)
    assert set(os.listdir()) - before == {".run.state"} and signal.getsignal(signal.SIGTERM) is handler
    again = cocoop(*TRAIN, "--out", "run", *WATCHED)
    assert again.code == 0 and again.err.splitlines().count(ON) == 1
    assert set(os.listdir()) - before == {"run"}
    assert cocoop(*TRAIN, "--out", "whole", *WATCHED).code == 0
    assert learned("run") == learned("whole")
    assert cocoop("report", ".", "--out", "page.html").code == 0


def test_a_second_ctrl_c_does_not_wait_for_the_step(cocoop, photos, monkeypatch):
    """In a step that takes long: the state of the last epoch is there, and nothing of the step."""
    added = []

    def long_step(self, facts):
        added.append(facts)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it waits")

    with monkeypatch.context() as patch:
        patch.setattr(Tally, "add", long_step)
        ran = cocoop(*TRAIN, "--out", "run")
    assert len(added) == 1 and ran.code == 130 and "after 0 of 4 epochs; nothing is kept" in ran.err


def test_stopped_before_the_first_step_nothing_is_kept(cocoop, photos, monkeypatch):
    before = set(os.listdir())
    with monkeypatch.context() as patch:
        patch.setattr("cocoop.training.loop._epochs", lambda *_: signal.raise_signal(signal.SIGINT) or iter(()))
        ran = cocoop(*TRAIN, "--out", "run")
    told = "note: training: interrupted after 0 of 4 epochs; nothing is kept; the same command begins anew\n"
    assert (ran.code, ran.err, set(os.listdir())) == (130, told, before)


def test_a_run_that_cannot_be_written_is_not_trained_again(cocoop, photos, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("cocoop.results.run_folder.write_jsonl", full)
        assert cocoop(*TRAIN, "--out", "run").code == 1
    monkeypatch.setattr(Tally, "add", lambda *_: pytest.fail("trained again"))
    ran = cocoop(*TRAIN, "--out", "run")
    assert ran.code == 0 and "goes on after epoch 4 of 4" in ran.err and len(read_run("run").history) == 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--seed", 2), "got one with seed 1, where it is 2 now"),
        (("--method", "coop"), "got one with method 'cocoop', where it is 'coop' now"),
        (("--method", "zero-shot", "--epochs", "none"), "got one with method 'cocoop', where it is 'zero-shot' now"),
        (("--epochs", 5), "got one with epochs 4, where it is 5 now"),
        (("--dtype", "bfloat16"), "got one with dtype 'float32', where it is 'bfloat16' now"),
        (("--set", "context_length=2", "--set", "context=none"), "got one with setting context"),
        (("--validate",), "got one with other validation images"),
        (("--clip", "model"), "got one with other weights of the CLIP"),
        (("image",), "got one with other training images"),
        (("class",), "got one with other class names"),
    ],
)
def test_another_training_is_refused(cocoop, photos, other_clip, stopped_once, options, told):
    command = [*TRAIN, "--out", "run", *options]
    if options == ("image",):
        command.pop()
        for number, image in enumerate(digit_images("four", 6)):
            image.save(photos / "one" / f"{number}.png")
    if options == ("class",):
        command.pop()
        (photos / "one").rename(photos / "a one")
    if "zero-shot" in options:
        command = [*TRAIN[:4], "--out", "run", *options[:2]]
    ran = cocoop(*command)
    assert (ran.code, ran.out) == (2, "") and ".run.state: expected the state of this training" in ran.err
    assert told in ran.err and ran.err.rstrip().endswith("(cocoop train --restart).")
    assert os.path.exists(".run.state") and not os.path.exists("run")


@pytest.fixture
def other_clip(apart):
    """Another CLIP in `model` of the working directory: one weight differs."""
    for file in (apart / "words").iterdir():
        file.rename(apart / "model" / file.name)
    path = apart / "model" / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    tensors["text_projection.weight"][0, 0] += 1
    save_file(tensors, path)


@pytest.fixture(scope="module")
def state_of_one() -> list[bytes]:
    """What `stopped_once` has made."""
    return []


@pytest.fixture
def stopped_once(cocoop, photos, monkeypatch, state_of_one):
    """The state of a training that was stopped is there, beside `run`; it was stopped in another folder once."""
    if not state_of_one:
        assert stopped(cocoop, monkeypatch).code == 130
        state_of_one.append(Path(".run.state").read_bytes())
    Path(".run.state").write_bytes(state_of_one[0])


def test_restart_begins_anew(cocoop, photos, stopped_once):
    ran = cocoop(*TRAIN, "--out", "run", "--seed", 2, "--restart", "--json")
    assert ran.code == 0 and ON not in ran.err and json.loads(ran.out)["run"] == "run"
    assert not os.path.exists(".run.state") and read_run("run").record.seed == 2


def test_a_process_that_is_killed(photos, tmp_path, cocoop):
    """By SIGKILL, as soon as some epochs are kept."""
    options = [*map(str, TRAIN), "--epochs", "30", "--out", "run", "--method", "coop"]
    command = [sys.executable, "-c", "from cocoop.cli import main; main()", *options]
    # As many threads as in this process: other numbers of them may add up in another order.
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"})
    while not os.path.exists(".run.state") and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    kept = len(json.loads(metadata(tmp_path / ".run.state"))["history"])
    ran = cocoop(*options)
    assert ran.code == 0 and f"goes on after epoch {kept} of 30" in ran.err
    assert cocoop(*options[:-3], "whole", *options[-2:]).code == 0
    assert learned("run") == learned("whole")


def metadata(path):
    with safe_open(path, "pt") as file:
        return file.metadata()["training"]
