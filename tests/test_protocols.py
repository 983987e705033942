"""Protocols against slow literal transcriptions of their definitions."""

import random
from collections import defaultdict

import pytest
import torch
from own_photos import write_photos

from cocoop import CLIP, InputError, PromptClassifier
from cocoop.data import Example, open_image
from cocoop.protocols import BaseToNew

NAMES = ["seven", "four", "three", "one"]
"""In the order of the labels: not the order of the alphabet, which a folder's would be."""


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    root = write_photos(tmp_path_factory.mktemp("photos"), 8, NAMES)
    return [Example(root / name / f"{n}.png", label, name) for label, name in enumerate(NAMES) for n in range(8)]


@pytest.fixture(scope="module")
def halves(examples):
    train = [example for number, example in enumerate(examples) if number % 8 < 5]
    return train, [example for example in examples if example not in train]


def make(clip: CLIP, method: str = "cocoop", **parameters) -> PromptClassifier:
    return PromptClassifier(method, clip, **{"shots": None, "epochs": 2, "batch_size": 4, "lr": 0.1} | parameters)


def one_by_one(model, examples: list[Example], names: list[str]) -> float:
    """Accuracy in percent, an image at a time, with nothing but the model and its CLIP."""
    hits = 0
    for example in examples:
        features = model.clip.encode_images(model.clip.preprocess(open_image(example.path))[None])
        hits += names[int(model(features)[0].argmax())] == example.class_name
    return 100 * hits / len(examples)


@pytest.mark.parametrize("method", ["zero-shot", "coop", "cocoop"])
def test_base_to_new_step_by_step(tiny, halves, method):
    train, test = halves
    seed, shots = 5, 3
    protocol_classifier = make(tiny, method, seed=seed)
    found = BaseToNew(tiny, train, test).run(protocol_classifier, shots)

    # The original: one stream over all classes, then the first half of the labels.
    groups = defaultdict(list)
    for example in train:
        groups[example.label].append(example)
    stream = random.Random(seed)
    picked = [example for label in range(4) for example in stream.sample(groups[label], shots)]
    base = [example for example in picked if example.label in (0, 1)]
    classifier = make(tiny, method, seed=seed).fit([e.path for e in base], [e.class_name for e in base])
    learned, expected = protocol_classifier.model_.state_dict(), classifier.model_.state_dict()
    assert learned.keys() == expected.keys() and all(torch.equal(learned[name], expected[name]) for name in expected)
    accuracies = {}
    for half, names in (("base", NAMES[:2]), ("new", NAMES[2:])):
        model = classifier.set_classes(names).model_
        accuracies[half] = one_by_one(model, [e for e in test if e.class_name in names], names)
    assert {half: found[half] for half in ("base", "new")} == accuracies
    base_accuracy, new_accuracy = accuracies.values()
    total = base_accuracy + new_accuracy
    assert found["harmonic_mean"] == pytest.approx(2 * base_accuracy * new_accuracy / total if total else 0)
    assert {half: found["details"][half]["n"] for half in ("base", "new")} == {"base": 6, "new": 6}


def test_base_to_new_encodes_test_images_once_and_leaves_the_base_classes(tiny, halves, monkeypatch):
    train, test = halves
    encoded = []
    encode = CLIP.encode_images
    monkeypatch.setattr(CLIP, "encode_images", lambda self, pixels: encoded.append(len(pixels)) or encode(self, pixels))
    protocol = BaseToNew(tiny, train, test)
    assert sum(encoded) == len(test)
    for seed in (1, 2):
        encoded.clear()
        classifier = make(tiny, "coop", seed=seed, augment=False)
        protocol.run(classifier, 2)
        assert sum(encoded) == 2 * 2  # the shots of two base classes
        assert classifier.classes_.tolist() == NAMES[:2]


def test_base_to_new_is_the_same_for_the_same_seed(tiny, halves):
    protocol = BaseToNew(tiny, *halves)
    runs = []
    for _ in range(2):
        classifier = make(tiny, seed=0)
        runs.append((protocol.run(classifier, 3), classifier.model_.state_dict()))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(runs[0][1][name], runs[1][1][name]) for name in runs[0][1])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"class_specific": True}, "class_specific=True.*Use the unified context"),
        ({"shots": 16}, "shots=None, because the protocol picks the images; got 16"),
        ({"clip": "tiny"}, "got clip='tiny'. Give both the same CLIP object"),
    ],
)
def test_base_to_new_refuses_before_any_training(tiny, halves, parameters, message):
    classifier = make(tiny, "coop").set_params(**parameters)
    with pytest.raises(InputError, match=message):
        BaseToNew(tiny, *halves).run(classifier, 2)
    assert not hasattr(classifier, "model_")
