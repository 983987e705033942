"""Held-out images beside a training, weights of classes in it, and Ctrl-C in the middle of it."""

import math
import pickle

import numpy as np
import pytest
import torch
from golden_clip import FACTS, VALUES
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from cocoop import CoCoOp, CoOp, InputError, ZeroShot
from cocoop.features import FixedFeatures
from cocoop.learning import balanced
from cocoop.results import Epoch
from cocoop.training import Step, TrainingInterrupted, Validation, kept_epoch, train
from cocoop.training.loop import _order
from cocoop.training.validation import Watch

NAMES = FACTS["class_names"]
FEATURES = VALUES["image_features"]
LABELS = FACTS["labels"]
HELD_OUT = torch.nn.functional.normalize(FEATURES + FEATURES.flip(0) / 3, dim=1)


def make(clip, method=CoCoOp):
    torch.manual_seed(0)
    return method(clip, NAMES)


def learn(model, epochs=3, **more):
    return train(model, FixedFeatures(FEATURES), LABELS, epochs=epochs, batch_size=2, seed=1, **more)


def copies(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(ours, theirs):
    return all(torch.equal(ours[name], theirs[name]) for name in ours.keys() | theirs.keys())


@pytest.mark.parametrize("method", [CoCoOp, CoOp])
def test_validation_changes_no_bit_of_what_is_learned(golden, method):
    plain, watched, seen = make(golden, method), make(golden, method), []

    def by_hand(epoch):
        with torch.no_grad():
            hits = [int(watched(image[None]).argmax()) == label for image, label in zip(HELD_OUT, LABELS, strict=True)]
        seen.append(100 * sum(hits) / len(hits))

    before = learn(plain)
    after = learn(watched, validation=Validation(HELD_OUT, LABELS), on_epoch_end=[by_hand])
    assert same(copies(plain), copies(watched))
    assert [(e.loss, e.accuracy) for e in before] == [(e.loss, e.accuracy) for e in after]
    assert [e.validation_accuracy for e in before] == [None] * 3
    assert [e.validation_accuracy for e in after] == pytest.approx(seen)


def scripted(monkeypatch, accuracies):
    left = iter(accuracies)
    monkeypatch.setattr(Watch, "_measured", lambda self, features: next(left))


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [([50, 70, 70, 60], 1), ([0, 0, 0, 0], 0), ([1, 2, 3, 4], 3), ([9, 2, 3, 4], 0)],
)
def test_the_best_epoch_is_kept_and_of_equals_the_earliest(golden, monkeypatch, accuracies, best):
    for keep, expected in (("best", best), ("last", 3)):
        scripted(monkeypatch, accuracies)
        model, states = make(golden), []
        history = learn(
            model,
            epochs=4,
            validation=Validation(HELD_OUT, LABELS, keep),
            on_epoch_end=[lambda epoch, model=model, states=states: states.append(copies(model))],
        )
        assert [epoch.validation_accuracy for epoch in history] == accuracies
        assert kept_epoch(history, keep) == expected
        assert [same(copies(model), state) for state in states] == [number == expected for number in range(4)]


@pytest.mark.parametrize(
    ("accuracies", "patience", "epochs"),
    [([5, 6, 6, 5, 7], 2, 4), ([5, 6, 6, 5, 7], 1, 3), ([5, 6, 6, 5, 7], 3, 5), ([5, 4, 9, 8, 7], 2, 5)],
)
def test_patience_ends_it(golden, monkeypatch, accuracies, patience, epochs):
    scripted(monkeypatch, accuracies)
    history = learn(make(golden), epochs=5, validation=Validation(HELD_OUT, LABELS, patience=patience))
    assert [epoch.validation_accuracy for epoch in history] == accuracies[:epochs]


def test_nothing_trained_nothing_kept():
    assert kept_epoch([], "last") is kept_epoch([], "best") is None
    assert kept_epoch([Epoch(0, 1e-5, 1.0, 50.0, 0.1)], "last") == 0


def test_what_is_not_finite_is_not_right(golden):
    """And no error of its own: the training ends by its next loss, with the tensors before."""
    bad = HELD_OUT * math.nan  # whose largest logit is that of class 0, as argmax has it
    assert learn(make(golden), epochs=1, validation=Validation(bad, [0] * 6))[0].validation_accuracy == 0


@pytest.mark.parametrize(("features", "labels"), [(HELD_OUT, LABELS[1:]), (HELD_OUT, [99] * 6)])
def test_labels_that_are_none(golden, features, labels):
    with pytest.raises(InputError, match=r"training: expected (one label for each of 6|labels 0\.\.)"):
        learn(make(golden), validation=Validation(features, labels))


@pytest.mark.parametrize(
    ("validation", "said"),
    [
        (Validation(HELD_OUT[:0], []), "validation: expected at least one image; got none"),
        (Validation(HELD_OUT, LABELS, keep="first"), "keep: expected one of last, best"),
        (Validation(HELD_OUT, LABELS, patience=0), "training: expected patience to be an integer of 1 or more; got 0"),
    ],
)
def test_what_no_epoch_can_be_chosen_by(golden, validation, said):
    with pytest.raises(InputError) as caught:
        learn(make(golden), validation=validation)
    assert str(caught.value).startswith(said)


# Weights of classes


def test_weights_against_numpy_in_float64(golden):
    model, labels = make(golden), np.array(LABELS)
    weights = np.linspace(0.5, 4, len(NAMES))
    logits = model(FEATURES).detach()
    exact = logits.double().numpy()
    losses = (
        np.log(np.exp(exact - exact.max(1, keepdims=True)).sum(1))
        - (exact - exact.max(1, keepdims=True))[np.arange(6), labels]
    )
    with model.weighing(weights.tolist()):
        weighted, again = model.cross_entropy(logits, torch.tensor(labels)), model.loss(FEATURES, torch.tensor(labels))
        alone = model.cross_entropy(logits[:1], torch.tensor(labels[:1]))
    assert float(weighted) == pytest.approx((weights[labels] * losses).mean(), rel=1e-5)
    assert again[0].item() == pytest.approx(float(weighted), rel=1e-6)
    assert float(alone) == pytest.approx(weights[labels[0]] * losses[0], rel=1e-5)
    assert model.cross_entropy(logits, torch.tensor(labels)).item() == cross_entropy(logits, torch.tensor(labels))


def test_a_weighted_training_step_by_step(golden):
    """Against torch's own SGD on the weighted losses, one image a step, where torch's weighted mean has none."""
    weights, model, slow = [1.0 + 2 * k for k in range(len(NAMES))], make(golden, CoOp), make(golden, CoOp)
    train(model, FixedFeatures(FEATURES), LABELS, epochs=1, batch_size=1, seed=1, class_weights=weights)
    optimizer = torch.optim.SGD(slow.parameters(), lr=1e-5, momentum=0.9, weight_decay=5e-4)
    for number in _order(6, 0, 1, seed=1):
        optimizer.zero_grad()
        loss = cross_entropy(slow(FEATURES[number : number + 1]), torch.tensor(LABELS)[number : number + 1])
        (weights[LABELS[number]] * loss).backward()
        optimizer.step()
    torch.testing.assert_close(model.ctx, slow.ctx, rtol=0, atol=1e-8)
    assert model.class_weights is None
    unweighted = make(golden, CoOp)
    train(unweighted, FixedFeatures(FEATURES), LABELS, epochs=1, batch_size=1, seed=1)
    assert not torch.equal(unweighted.ctx, model.ctx)


def test_balanced_is_scikit_learns():
    targets = [0, 0, 0, 1, 3, 3]
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=np.array(targets))
    weights = balanced(targets, 5)
    assert [weights[k] for k in (0, 1, 3)] == pytest.approx(expected) and weights[2] == weights[4] == 0
    assert sum(weights[k] for k in targets) == pytest.approx(len(targets))


@pytest.mark.parametrize("weights", [[1.0], [1.0] * (len(NAMES) - 1) + [-1.0], [math.nan] * len(NAMES)])
def test_weights_that_are_none(golden, weights):
    model = make(golden)
    with pytest.raises(InputError, match=rf"class_weights: expected a number of 0 or more for each of {len(NAMES)} "):
        learn(model, class_weights=weights)
    assert model.class_weights is None


# Ctrl-C


def interrupt(*_):
    raise KeyboardInterrupt


def test_ctrl_c_keeps_the_tensors_of_the_last_finite_loss(golden):
    """Against torch's SGD, stopped by hand before the last update of the epoch."""
    model, slow = make(golden), make(golden)
    with pytest.raises(KeyboardInterrupt) as caught:
        learn(model, on_epoch_end=[interrupt])
    optimizer = torch.optim.SGD(slow.parameters(), lr=1e-5, momentum=0.9, weight_decay=5e-4)
    for batch in torch.tensor(_order(6, 0, 2, seed=1)).split(2)[:-1]:
        optimizer.zero_grad()
        cross_entropy(slow(FEATURES[batch]), torch.tensor(LABELS)[batch]).backward()
        optimizer.step()
    error = caught.value
    assert isinstance(error, TrainingInterrupted)
    assert str(error) == "training: interrupted after 1 of 3 epochs."
    assert [epoch.epoch for epoch in error.history] == [0]
    assert same(copies(slow), error.tensors) and same(copies(model), error.tensors)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.history) == (str(error), error.history) and same(again.tensors, error.tensors)


@pytest.mark.parametrize("call", range(1, 6))
def test_ctrl_c_in_the_middle_of_a_step_leaves_no_mixture(golden, monkeypatch, call):
    """It comes at any of the calls that look through the five tensors of a CoCoOp; all stay those of one step."""
    model = make(golden)
    step = Step(model, lr=0.1)
    step(FEATURES, torch.tensor(LABELS))
    before, where, calls = copies(model), torch.where, []

    def interrupted(*arguments):
        calls.append(1)
        return interrupt() if len(calls) == call else where(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch, "where", interrupted)
        step(FEATURES, torch.tensor(LABELS))
    step.restore()
    assert same(copies(model), before)


def test_other_errors_of_a_callback_pass_as_they_are(golden):
    class Mine(Exception):
        pass

    def fail(epoch):
        raise Mine

    with pytest.raises(Mine):
        learn(make(golden), on_epoch_end=[fail])
    assert learn(ZeroShot(golden, NAMES), on_epoch_end=[fail]) == []
