"""What a fit refuses, says and leaves alone."""

import warnings

import pytest
import torch
from own_photos import labelled

from cocoop import METHODS, CoOp, InputError, PromptClassifier

IMAGES, LABELS = labelled(4)


def make(clip, **parameters) -> PromptClassifier:
    return PromptClassifier("coop", clip, **{"shots": 2, "epochs": 2, "batch_size": 4} | parameters)


def test_the_states_of_gpus_are_left_alone(tiny, monkeypatch):
    """`torch.manual_seed` seeds them, and forking the state of the CPU does not put them back."""
    torch.manual_seed(0)  # imports parts of torch that could not be imported with the stand-ins below
    seeded = []
    for place in ("cuda.manual_seed_all", "mps.manual_seed", "xpu.manual_seed_all"):
        monkeypatch.setattr(f"torch.{place}", seeded.append)
    monkeypatch.setattr("cocoop.fitting.train", lambda *args, **options: [])
    random_start = {"context": None, "context_length": 2}
    start = make(tiny, seed=3, settings=random_start).fit(IMAGES, LABELS).model_
    assert seeded == []
    torch.manual_seed(3)
    assert seeded
    assert torch.equal(start.ctx, CoOp(tiny, start.class_names, **random_start).ctx)


def test_a_training_of_the_warm_up_alone_warns_its_caller(tiny):
    with pytest.warns(UserWarning, match="^cocoop: the only epoch is the warm-up, .* take 2 epochs or more") as caught:
        make(tiny, epochs=1).fit(IMAGES, LABELS)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(tiny).fit(IMAGES, LABELS)
        PromptClassifier("zero-shot", tiny).fit(IMAGES, LABELS)


class Unsavable(CoOp):
    """Turns its setting into what JSON has no word for."""

    @property
    def settings(self):
        return super().settings | {"context": {"a", "set"}}


def test_what_cannot_be_saved_is_refused_before_any_training(tiny, monkeypatch):
    monkeypatch.setitem(METHODS, "mine", Unsavable)
    monkeypatch.setattr("cocoop.fitting.train", lambda *args, **options: pytest.fail("it trained"))
    with pytest.raises(InputError, match=r"context: expected what a run folder can keep: .*; got set\."):
        PromptClassifier("mine", tiny, epochs=2, shots=2).fit(IMAGES, LABELS)


class TakesLess(CoOp):
    def __init__(self, clip, class_names, context="a photo of a", weight=8.0):
        super().__init__(clip, class_names, context)
        self.weight = weight


class Forgets(CoOp):
    def __init__(self, clip, class_names, weight=8.0, **others):
        super().__init__(clip, class_names, **others)
        self.weight = weight


@pytest.mark.parametrize(
    ("method", "got"), [(TakesLess, "got context, context_length"), (Forgets, r"weight\); got context, ")]
)
def test_settings_that_do_not_build_a_method_again_are_refused_before_any_training(tiny, monkeypatch, method, got):
    monkeypatch.setitem(METHODS, "mine", method)
    monkeypatch.setattr("cocoop.fitting.train", lambda *args, **options: pytest.fail("trained"))
    with pytest.raises(InputError, match=rf"^{method.__name__}.settings: expected the keywords of its .*{got}"):
        PromptClassifier("mine", tiny, epochs=2, shots=2).fit(IMAGES, LABELS)
