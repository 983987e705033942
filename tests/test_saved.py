"""A run folder says how it was learned, whatever was set on the classifier afterwards."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from own_photos import labelled

from cocoop import PromptClassifier

IMAGES, LABELS = labelled(4)


def make(clip, **parameters) -> PromptClassifier:
    quick = {"method": "coop", "clip": clip, "shots": 2, "epochs": 2, "batch_size": 4, "seed": 5, "lr": 0.1}
    return PromptClassifier(**quick | parameters)


def written(classifier: PromptClassifier) -> str:
    """All of a run, but what it says of the moment it is asked."""
    run = classifier.as_run()
    record = replace(run.record, peak_memory_mb=None)
    return json.dumps([asdict(run.config), asdict(record), run.history], sort_keys=True)


CHANGES = {
    "seed": lambda c: c.set_params(seed=77),
    "method": lambda c: c.set_params(method="cocoop", settings=None),
    "zero-shot": lambda c: c.set_params(method="zero-shot", settings={"templates": ["{}"]}),
    "shots": lambda c: c.set_params(shots=None, epochs=9, batch_size=1, lr=0.5, augment=False, views=None),
    "views": lambda c: c.set_params(views=3, view_seed=4),
    "settings": lambda c: c.settings.update(context_length=9, class_position="front"),
    "a list in the settings": lambda c: c.settings.setdefault("class_position", []),
    "clip": lambda c: c.set_params(clip="elsewhere"),
    "cannot work": lambda c: c.set_params(seed="x", shots=-1, method="none"),
    "an attribute": lambda c: setattr(c, "seed", 77),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("loaded", [False, True], ids=["fitted", "loaded"])
def test_what_is_set_after_the_fit_is_not_what_was_learned(tiny, tmp_path, change, loaded):
    classifier = make(tiny, settings={"context": None, "context_length": 2}).fit(IMAGES, LABELS)
    if loaded:
        classifier = PromptClassifier.load(classifier.save(tmp_path / "first"), tiny)
    before, probabilities = written(classifier), classifier.predict_proba(IMAGES)
    CHANGES[change](classifier)
    assert written(classifier) == before
    again = PromptClassifier.load(classifier.save(tmp_path / "run"), tiny)
    assert written(again) == before
    assert np.array_equal(again.predict_proba(IMAGES), probabilities)


def test_lists_that_the_user_changes_later(tiny, tmp_path):
    settings = {"templates": ["a {}."]}
    classifier = make(tiny, method="zero-shot", settings=settings).fit(IMAGES, LABELS)
    before, probabilities = written(classifier), classifier.predict_proba(IMAGES)
    settings["templates"].append("no {}.")
    settings["templates"][0] = "never {}"
    assert written(classifier) == before
    again = PromptClassifier.load(classifier.save(tmp_path / "run"), tiny)
    assert written(again) == before and np.array_equal(again.predict_proba(IMAGES), probabilities)


def test_a_run_in_memory_can_be_changed_without_the_fit(tiny):
    """As the protocols do, which put their own figures into it."""
    classifier = make(tiny).fit(IMAGES, LABELS)
    before = written(classifier)
    run = classifier.as_run()
    run.config.settings["context"] = "another"
    run.record.picked.clear()
    run.record.trained_on.append("another")
    run.config.class_names.append("another")
    assert written(classifier) == before


def test_new_classes_change_the_classes_alone(tiny, tmp_path):
    classifier = make(tiny).fit(IMAGES, LABELS)
    before = classifier.as_run()
    after = classifier.set_classes(["four", "five"]).set_params(seed=77).as_run()
    assert after.config.classes == after.config.class_names == ["four", "five"]
    assert after.config.parameters == before.config.parameters
    differing = {name for name, value in asdict(after.record).items() if asdict(before.record)[name] != value}
    assert differing <= {"classes", "class_tokens", "peak_memory_mb"}
    assert PromptClassifier.load(classifier.save(tmp_path / "run"), tiny).classes_.tolist() == ["four", "five"]


def test_a_second_fit_is_what_is_written_then(tiny):
    classifier = make(tiny).fit(IMAGES, LABELS)
    classifier.set_params(seed=77).fit(IMAGES, LABELS)
    run = classifier.as_run()
    assert run.record.seed == run.config.parameters.seed == 77
