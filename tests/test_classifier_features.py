"""`PromptClassifier` with views and features that are kept."""

from dataclasses import replace

import torch
from own_photos import labelled

from cocoop import PromptClassifier
from cocoop.features import View

IMAGES, LABELS = labelled()


def make(clip, **parameters) -> PromptClassifier:
    return PromptClassifier(
        **{"clip": clip, "shots": 3, "epochs": 2, "batch_size": 4, "lr": 0.1, "augment": True} | parameters
    )


def assert_same_bits(one: PromptClassifier, other: PromptClassifier) -> None:
    learned = [classifier.model_.state_dict() for classifier in (one, other)]
    assert all(torch.equal(learned[0][name], learned[1][name]) for name in learned[0])


def test_views_come_from_the_seed_or_from_a_seed_of_their_own(tiny, monkeypatch):
    drawn = set()
    generator = View.generator
    monkeypatch.setattr(View, "generator", lambda view, image: drawn.add(view) or generator(view, image))
    expected = make(tiny, seed=4).fit(IMAGES, LABELS)
    assert drawn == {View(4, 0), View(4, 1)}
    assert_same_bits(expected, make(tiny, seed=4, view_seed=4).fit(IMAGES, LABELS))
    drawn.clear()
    other = make(tiny, seed=4, view_seed=0, views=1).fit(IMAGES, LABELS)
    assert drawn == {View(0, 0)} and other.picked_ == expected.picked_
    assert not torch.equal(other.model_.ctx, expected.model_.ctx)
    learning = [classifier.fit_.learning for classifier in (expected, other)]
    assert learning[1] == replace(learning[0], views=1)


def test_features_are_this_machines_matter(tiny, tmp_path):
    classifier = make(tiny, feature_cache=tmp_path / "kept").fit(IMAGES, LABELS)
    loaded = PromptClassifier.load(classifier.save(tmp_path / "run"), tiny)
    assert loaded.feature_cache is None and list((tmp_path / "kept").rglob("*.features"))
    assert_same_bits(classifier, make(tiny).fit(IMAGES, LABELS))
