"""A training that is stopped after any epoch goes on to the bits of one that nobody disturbed; or is refused."""

import itertools
import json
from functools import cache
from itertools import pairwise

import golden_clip
import pytest
import torch
from golden_clip import FACTS, VALUES
from safetensors import safe_open
from safetensors.torch import load, save_file

from cocoop import METHODS, InputError
from cocoop.features import FixedFeatures
from cocoop.training import Cadence, Checkpoint, DivergedError, Identity, Validation, prepare, train
from cocoop.training.tally import Tally

NAMES, FEATURES, LABELS = FACTS["class_names"], VALUES["image_features"], FACTS["labels"]
HELD_OUT = torch.nn.functional.normalize(FEATURES + FEATURES.flip(0) / 3, dim=1)
EPOCHS = 5
PLAIN, BEST = Validation(HELD_OUT, LABELS), Validation(HELD_OUT, LABELS, "best", patience=2)
PAPERS = list(itertools.product(["coop", "cocoop"], ["float32", "bfloat16", "float16"], [None, BEST, PLAIN]))
OTHERS = [(name, "float16", BEST) for name in METHODS if METHODS[name].recipe and name not in ("coop", "cocoop")]
ADAM = [case for case in OTHERS if METHODS[case[0]].recipe.optimizer != "sgd"]
THIS = Identity({"seed": 1, "lr": 0.1}, {"training images": "a" * 64})


class Killed(Exception):
    pass


@cache
def clip_in(dtype):
    return golden_clip.load(dtype=dtype)


def learn(
    name, dtype, path=None, stop_after=None, validation=None, identity=THIS, epochs=EPOCHS, every="10min", **more
):
    """One process of a training: its learned tensors and its history."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = METHODS[name](clip_in(dtype), NAMES)

    def kill(epoch):
        if epoch.epoch == stop_after:
            raise Killed

    source = FixedFeatures(FEATURES)
    prepare(model, source, LABELS)
    history = train(
        model,
        source,
        LABELS,
        epochs=epochs,
        seed=1,
        validation=validation,
        checkpoint=None if path is None else Checkpoint(path, identity, Cadence(every)),
        on_epoch_end=[kill],
        **{"lr": 0.1, "batch_size": 2, **model.recipe.optimizer_settings, **more},
    )
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}, history


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def figures(history):
    return [(e.epoch, e.learning_rate, e.loss, e.accuracy, e.validation_accuracy) for e in history]


@pytest.mark.parametrize(("name", "dtype", "validation"), [*PAPERS, *OTHERS])
def test_killed_after_every_epoch_it_learns_the_same_bits(tmp_path, capfd, name, dtype, validation):
    weights = {"class_weights": [1.0 + k for k in range(len(NAMES))]} if validation is PLAIN else {}
    whole, history = learn(name, dtype, validation=validation, **weights)
    path = tmp_path / "state"
    for number in range(len(history)):
        with pytest.raises(Killed):
            learn(name, dtype, path, number, validation, **weights)
    said = capfd.readouterr().err.splitlines()
    assert said == [f"note: the training goes on after epoch {n} of {EPOCHS}" for n in range(1, len(history))]
    learned, again = learn(name, dtype, path, None, validation, **weights)  # nothing is left to do but to take it
    assert same(learned, whole) and figures(again) == figures(history)
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def die_after(steps, monkeypatch):
    """From now on a process dies in the step after so many of its own."""
    add, own = Tally.add, []

    def counted(self, facts):
        own.append(facts)
        if len(own) > steps:
            raise Killed
        add(self, facts)

    monkeypatch.setattr(Tally, "add", counted)


@pytest.mark.parametrize(("name", "dtype", "validation"), [*(case for case in PAPERS if case[2] is BEST), *OTHERS])
def test_killed_inside_every_epoch_it_learns_the_same_bits(tmp_path, monkeypatch, capfd, name, dtype, validation):
    """Each process has one step, of three an epoch, before it is killed."""
    watched = {"validation": validation, "epochs": 3}
    whole, history = learn(name, dtype, **watched)
    path, processes = tmp_path / "state", 0
    while True:
        processes += 1
        with monkeypatch.context() as patch:
            die_after(1, patch)
            try:
                learned, again = learn(name, dtype, path, every=1, **watched)
                break
            except Killed:
                pass
    assert processes == 3 * len(history)
    assert same(learned, whole) and figures(again) == figures(history)
    said = capfd.readouterr().err.splitlines()
    assert said[:4] == [
        "note: the training goes on after epoch 0 of 3 and 1 of 3 steps of the next",
        "note: the training goes on after epoch 0 of 3 and 2 of 3 steps of the next",
        "note: the training goes on after epoch 1 of 3",
        "note: the training goes on after epoch 1 of 3 and 1 of 3 steps of the next",
    ]


def test_minutes_count_by_a_clock_that_nobody_sets(tmp_path, monkeypatch):
    """With minutes a state is kept at the first step after them; the wall clock may jump as it likes."""
    now, kept, keep = [0.0], [], Checkpoint.keep

    def counted(self, step, watch, history, so_far=None):
        kept.append((len(history), None if so_far is None else len(so_far.losses)))
        keep(self, step, watch, history, so_far)

    add = Tally.add
    monkeypatch.setattr(Checkpoint, "keep", counted)
    monkeypatch.setattr(Tally, "add", lambda self, facts: (now.append(now.pop() + 50), add(self, facts)))
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.time", lambda: -1e9 * now[0])
    learn("coop", "float32", tmp_path / "state", every="2min", epochs=2, batch_size=1)
    assert kept == [(0, 3), (1, None), (1, 3), (2, None)]


@pytest.mark.parametrize("every", [0, -1, "10 minutes", "min", "1e3", True, None, 2.5, "9" * 40])
def test_what_is_no_cadence_is_refused(every):
    with pytest.raises(InputError, match=r"^checkpoint_every: expected a number of steps, such as 500, or of minutes"):
        Cadence(every)


def test_each_epoch_changes_what_is_kept(tmp_path):
    """Else the test above would pass with a training that does nothing."""
    states = []
    for number in range(EPOCHS):
        with pytest.raises(Killed):
            learn("coop", "float32", tmp_path / "state", number)
        states.append(read(tmp_path / "state"))
    assert states[0].keys() == {"learned.ctx", "momentum.ctx", "good.ctx"}
    assert not any(torch.equal(before[name], after[name]) for before, after in pairwise(states) for name in before)


def test_a_scale_that_was_halved_stays_so(tmp_path, monkeypatch):
    """It starts so high that its first steps overflow: who began with it again would skip some."""
    monkeypatch.setattr("cocoop.training.loss_scale._START", 2.0**40)
    whole, history = learn("coop", "float16")
    with pytest.raises(Killed):
        learn("coop", "float16", tmp_path / "state", 2)
    assert float(read(tmp_path / "state")["scale"]) < 2.0**40
    learned, again = learn("coop", "float16", tmp_path / "state")
    assert same(learned, whole) and figures(again) == figures(history)


def test_a_training_that_diverges_leaves_no_state_and_the_same_tensors(tmp_path, monkeypatch):
    """The tensors are those of the last finite loss, which the state has, too."""
    errors = []
    for path in (None, tmp_path / "state"):
        if path:
            with pytest.raises(Killed):
                learn("coop", "float32", path, 1)
        monkeypatch.setattr(FixedFeatures, "batches", spoiled(FixedFeatures.batches, after=2))
        with pytest.raises(DivergedError) as caught:
            learn("coop", "float32", path)
        monkeypatch.undo()
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1]) and same(errors[0].tensors, errors[1].tensors)
    assert figures(errors[0].history) == figures(errors[1].history) and len(errors[0].history) == 2
    assert list(tmp_path.iterdir()) == []


def spoiled(batches, after):
    def changed(self, epoch, order, batch_size):
        for features in batches(self, epoch, order, batch_size):
            yield features * torch.nan if epoch >= after else features

    return changed


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        (Identity({"seed": 2, "lr": 0.1}, THIS.contents), "got one with seed 1, where it is 2 now."),
        (Identity({"seed": 1}, THIS.contents), "got one with 'lr', which it has not now."),
        (Identity({"seed": 1, "lr": 0.1, "views": 3}, THIS.contents), "got one with views None, where it is 3 now."),
        (Identity({"lr": 0.1}, THIS.contents), "got one with 'seed', which it has not now."),
        (Identity(THIS.parameters, {"training images": "b" * 64}), "got one with other training images."),
        (Identity(THIS.parameters, {**THIS.contents, "class names": "c" * 64}), "got one with other class names."),
    ],
)
def test_another_training_is_refused_by_the_name_of_what_differs(tmp_path, identity, told):
    path = tmp_path / "state"
    with pytest.raises(Killed):
        learn("coop", "float32", path, 0)
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        Checkpoint(path, identity)
    assert str(caught.value).startswith(f"{path}: expected the state of this training") and told in str(caught.value)
    assert "(--out), or remove that file" in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == before


def read(path):
    """The tensors, not mapped: the file is written over."""
    return load(path.read_bytes())


def header_of(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["training"])


def rewritten(path, header=None, **tensors):
    """The file with another header, or with some other tensors; None takes one out."""
    kept = {**read(path), **{name.replace("_", "."): tensor for name, tensor in tensors.items()}}
    kept = {name: tensor for name, tensor in kept.items() if tensor is not None}
    text = header if isinstance(header, str) else json.dumps(header or header_of(path))
    save_file(kept, path, {"training": text})


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def begun(steps):
    return {"steps": steps, "hits": 0, "seconds": 0.0}


def with_history(change):
    def write(path):
        header = header_of(path)
        change(header["history"])
        rewritten(path, header)

    return write


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, "damaged file"),
        (lambda path: path.write_bytes(b""), "damaged file"),
        (lambda path: path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR."), "damaged file"),
        (lambda path: (path.unlink(), path.mkdir()), "damaged file"),
        (lambda path: save_file(read(path), path), "it holds a NoneType, not an object"),
        (lambda path: rewritten(path, "[" * 5000), "too deep"),
        (lambda path: rewritten(path, "{}"), "it lacks 'format'"),
        (lambda path: rewritten(path, {**header_of(path), "format": 9}), "one of format 9"),
        (with_history(lambda history: history[0].update(loss="low")), "'loss'"),
        (with_history(lambda history: history.pop(0)), "epochs [1], not the first ones of 5"),
        (with_history(lambda history: history.extend([dict(history[1], epoch=k) for k in range(2, 9)])), "of 5"),
        (
            lambda path: rewritten(path, {**header_of(path), "begun": begun(9)}),
            "9 steps of an epoch of 3, after 2 of 5",
        ),
        (
            lambda path: rewritten(path, {**header_of(path), "begun": begun(2)}),
            "'losses'",
        ),
        (with_history(lambda history: history[0].update(validation_accuracy=50.0)), "accuracies on validation images"),
        (lambda path: rewritten(path, learned_ctx=None), "tensors with and without 'learned.ctx'"),
        (lambda path: rewritten(path, more=torch.zeros(3)), "tensors with and without 'more'"),
        (lambda path: rewritten(path, learned_ctx=torch.zeros(9)), "a learned.ctx that is not of shape"),
        (lambda path: rewritten(path, learned_ctx=read(path)["learned.ctx"].half()), "of torch.float16, not"),
    ],
)
def test_a_damaged_or_hostile_file_is_refused_in_one_line(tmp_path, damage, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Killed):
        learn("coop", "float32", tmp_path / "state", 1)
    damage(tmp_path / "state")
    with pytest.raises(InputError) as caught:
        learn("coop", "float32", tmp_path / "state")
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def test_a_disk_that_refuses_does_not_end_the_training(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="goes on, but its state is not kept") as warned:
        learned, _ = learn("coop", "float32", tmp_path / "file" / "state")
    assert len(warned) == 1 and same(learned, learn("coop", "float32")[0])
