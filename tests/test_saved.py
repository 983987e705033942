"""A run folder says how it was learned, whatever was set on the classifier afterwards."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from own_photos import labelled

from cocoop import METHODS, CoOp, PromptClassifier
from cocoop.results import read_records

IMAGES, LABELS = labelled(4)


def make(clip, method="coop", **parameters) -> PromptClassifier:
    quick = {"epochs": 2, "batch_size": 4, "lr": 0.1} if METHODS[method].recipe else {}
    return PromptClassifier(method, clip, **{"shots": 2, "seed": 5} | quick | parameters)


def written(classifier: PromptClassifier) -> str:
    """All that a run folder holds beside its tensors."""
    run = classifier.as_run()
    return json.dumps([asdict(run.config), asdict(run.record), [asdict(epoch) for epoch in run.history]])


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
    classifier = make(tiny, settings={"context_length": 4}).fit(IMAGES, LABELS)
    before = written(classifier)
    run = classifier.as_run()
    run.config.settings["context"] = "another"
    run.config.parameters.settings["context_length"] = 9
    run.history.clear()
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
    assert differing == {"classes", "class_tokens"}
    assert PromptClassifier.load(classifier.save(tmp_path / "run"), tiny).classes_.tolist() == ["four", "five"]


def test_a_second_fit_is_what_is_written_then(tiny):
    classifier = make(tiny).fit(IMAGES, LABELS)
    classifier.set_params(seed=77).fit(IMAGES, LABELS)
    run = classifier.as_run()
    assert run.record.seed == run.config.parameters.seed == 77


def test_a_run_that_is_loaded_and_saved_says_the_same_of_its_fit(tiny, tmp_path, monkeypatch):
    """On whatever machine, in whatever numbers: only what is scored is a matter of each save."""
    first = make(tiny).fit(IMAGES, LABELS).save(tmp_path / "first")
    record = json.loads((first / "record.json").read_text())
    elsewhere = {"device": "cuda:3", "dtype": "bfloat16", "clip_fingerprint": "ab" * 32, "peak_gpu_memory_mb": 7.5}
    elsewhere |= {"protocol": "few-shot", "dataset": "dtd", "split_hash": "cd" * 32, "shots": 7, "peak_memory_mb": 1.5}
    elsewhere["processes"] = 2
    elsewhere["environment"] = record["environment"] | {"python": "3.99", "processor": "another"}
    (first / "record.json").write_text(json.dumps(record | elsewhere))
    monkeypatch.setattr("cocoop.fitting.environment", lambda: pytest.fail("this machine has not trained it"))
    second = PromptClassifier.load(first, tiny).save(tmp_path / "second")
    assert json.loads((second / "record.json").read_text()) == record | elsewhere
    assert (second / "config.json").read_text() == (first / "config.json").read_text()
    assert (second / "metrics.jsonl").read_text() == (first / "metrics.jsonl").read_text()


def test_settings_and_training_of_one_name_are_kept_apart(tiny, tmp_path, monkeypatch):
    class OwnRate(CoOp):
        def __init__(self, clip, class_names, lr=5.0):
            super().__init__(clip, class_names)
            self.lr = lr

        @property
        def settings(self):
            return {"lr": self.lr}

    monkeypatch.setitem(METHODS, "mine", OwnRate)
    folder = make(tiny, method="mine").fit(IMAGES, LABELS).save(tmp_path / "run")
    again = PromptClassifier.load(folder, tiny)
    assert (again.model_.lr, again.fit_.learning.lr) == (5.0, 0.1)
    (record,) = read_records([folder])
    assert (record.settings["lr"], record.settings["training lr"], record.settings["epochs"]) == (5.0, 0.1, 2)
