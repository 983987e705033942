"""What no image changes is encoded once for a class list, however many batches of images there are."""

import pytest
import torch
from own_photos import labelled
from small_data import make_trial, write_datasets

from cocoop import METHODS, PromptClassifier
from cocoop.clip import Prompts
from cocoop.evaluation import evaluate, predict_probabilities
from cocoop.methods import at_once, images_at_once
from cocoop.protocols import Runner

IMAGES, LABELS = labelled(5)
UNCONDITIONAL = [name for name, method in METHODS.items() if not method.conditional]
OF_TEXT_THAT_IS_LEARNED = {"coop", "kgcoop", "prograd", "tcp"}
OF_A_CLASS_LIST = {"tcp": 2, "zero-shot-ensemble": 8}  # the teacher beside the learned; a pass for each template
AT_ONCE = 2


@pytest.fixture
def passes(monkeypatch):
    """A list that grows by the number of classes of each text pass without gradients."""
    sizes = []
    encode = Prompts.encode

    def counted(self, *arguments, **others):
        features = encode(self, *arguments, **others)
        if not torch.is_grad_enabled():
            sizes.append(features.shape[1])
        return features

    monkeypatch.setattr(Prompts, "encode", counted)
    return sizes


def few_images_at_once(monkeypatch, classes: int) -> None:
    monkeypatch.setattr(at_once, "_PAIRS_AT_ONCE", AT_ONCE * classes)


@pytest.mark.parametrize("method", [name for name in UNCONDITIONAL if METHODS[name].bound is None])
def test_the_classifier(tiny, monkeypatch, passes, method):
    few_images_at_once(monkeypatch, 3)
    epochs = 2 if METHODS[method].recipe else None
    classifier = PromptClassifier(method=method, clip=tiny, shots=2, epochs=epochs).fit(IMAGES, LABELS)
    assert images_at_once(classifier.model_) == AT_ONCE < len(IMAGES)
    expected = [3] if method in OF_TEXT_THAT_IS_LEARNED else []  # of others they are part of the model
    passes.clear()
    first = classifier.predict_proba(IMAGES)
    assert passes == expected
    assert (classifier.predict_proba(IMAGES) == first).all() and classifier.evaluate(IMAGES, LABELS).n == len(IMAGES)
    assert passes == expected
    few_images_at_once(monkeypatch, 2)
    passes.clear()
    classifier.set_classes(["four", "five"]).predict_proba(IMAGES)
    assert passes == [2] * OF_A_CLASS_LIST.get(method, 1)


def test_what_is_kept_is_not_kept_too_long(tiny, monkeypatch):
    """Learned further, the prompt is another; and for other classes, and on the plain path."""
    classifier = PromptClassifier(method="coop", clip=tiny, shots=2, epochs=2).fit(IMAGES, LABELS)
    model, features = classifier.model_, classifier.encode(IMAGES)
    first = predict_probabilities(model, features)
    with torch.no_grad():
        model.ctx.copy_(model.ctx.flip(0))
    moved = predict_probabilities(model, features)
    assert not torch.allclose(first, moved)
    with torch.enable_grad():
        torch.testing.assert_close(model(features).softmax(dim=1).detach(), moved, rtol=0, atol=1e-6)
    swapped = predict_probabilities(model.set_classes(["one", "two", "six"]), features)
    assert not torch.allclose(swapped, moved)
    assert torch.equal(predict_probabilities(model.set_classes(["one", "seven", "three"]), features), moved)


@pytest.mark.parametrize("method", UNCONDITIONAL)
def test_evaluation_of_a_method(tiny, monkeypatch, passes, method):
    few_images_at_once(monkeypatch, 3)
    model = METHODS[method](tiny, ["one", "seven", "three"])
    features = tiny.encode_images(torch.stack([tiny.preprocess(image) for image in IMAGES]))
    passes.clear()
    evaluate(model, features, [0] * len(IMAGES))
    assert len(passes) <= (2 if method == "tcp" else 1)


def test_the_runner_once_for_each_test(tiny, monkeypatch, passes, tmp_path):
    few_images_at_once(monkeypatch, 2)
    runner = Runner(tiny, write_datasets(tmp_path), tmp_path / "runs")
    runner.run(make_trial("base-to-new", "coop"))
    assert passes == [2, 2, 4]  # base and new, of two classes each, and both together
