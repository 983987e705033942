"""Settings chosen on validation images: which, on which images, what the record says, and what is refused."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from own_photos import labelled

from cocoop import InputError, PromptClassifier
from cocoop.methods.heads.tip_adapter import GRID
from cocoop.results import read_record


@pytest.fixture(scope="module")
def photos():
    images, labels = labelled(8)
    fit = [number for number in range(len(labels)) if number % 2]
    others = [number for number in range(len(labels)) if not number % 2]
    return tuple(([images[n] for n in part], [labels[n] for n in part]) for part in (fit, others))


def test_the_first_best_of_the_grid_on_the_validation_images_alone(tiny, photos, tmp_path):
    (images, labels), (others, theirs) = photos
    given = PromptClassifier("tip-adapter", tiny, shots=2).fit(images, labels)
    classifier = PromptClassifier("tip-adapter", tiny, shots=2, search=True)
    classifier.fit(images, labels, validation=(others, theirs))
    features, classes = classifier.encode(others)[:], classifier.classes_.tolist()
    targets = torch.tensor([classes.index(label) for label in theirs])
    model, rates = given.model_, {}
    choices = [(model.beta, model.alpha), *((beta, alpha) for beta in GRID for alpha in GRID)]
    for model.beta, model.alpha in choices:
        rates[model.beta, model.alpha] = float((model(features).argmax(dim=1) == targets).double().mean())
    best = max(choices, key=rates.__getitem__)  # the first of equal ones
    assert (classifier.model_.beta, classifier.model_.alpha) == best
    search = read_record(classifier.save(tmp_path / "run")).search
    assert asdict(search) == {
        "images": len(others),
        "tried": len(GRID) ** 2,
        "settings": {"alpha": best[1], "beta": best[0]},
        "accuracy": pytest.approx(100 * rates[best]),
        "before": pytest.approx(100 * rates[choices[0]]),
    }
    assert "chosen on the validation images" in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    loaded = PromptClassifier.load(tmp_path / "run", tiny)
    np.testing.assert_array_equal(loaded.predict_proba(others), classifier.predict_proba(others))


def test_copies_of_what_is_learned_from_are_no_validation_images(tiny, photos):
    (images, labels), (others, theirs) = photos
    classifier = PromptClassifier("tip-adapter-f", tiny, shots=None, epochs=1, search=True)
    with pytest.warns(UserWarning):
        classifier.fit(images, labels, validation=([*others, *images], [*theirs, *labels]))
    assert classifier.fit_.search.images == len(others)


def test_what_is_refused(tiny, photos):
    (images, labels), validation = photos
    for method, given, said in (
        ("tip-adapter", None, "search: expected validation images beside search=True; got none"),
        ("coop", validation, r"search: expected a method that has settings to choose .*\(tip-adapter, tip-adapter-f\)"),
        ("zero-shot", validation, "search: expected a method that has settings to choose"),
    ):
        with pytest.raises(InputError, match=said):
            PromptClassifier(method, tiny, shots=2, search=True).fit(images, labels, validation=given)
    with pytest.raises(InputError, match="search: expected True or False; got 'yes'"):
        PromptClassifier("tip-adapter", tiny, search="yes").fit(images, labels)
    with pytest.raises(InputError, match=r"is not trained; got images.*have its settings chosen on them"):
        PromptClassifier("tip-adapter", tiny).fit(images, labels, validation=validation)
