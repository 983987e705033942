"""A `PromptClassifier` on a CLIP that has no tokenizer of its own: the one that is named is kept, and found again."""

import json

import numpy as np
import pytest
from own_photos import digit_images, labelled
from sklearn.base import clone

from cocoop import CLIP, InputError, PromptClassifier

IMAGES, LABELS = labelled(6)
OTHERS = digit_images("four", 3)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Relative paths are below `tmp_path`."""
    monkeypatch.chdir(tmp_path)


def zero_shot(**parameters):
    return PromptClassifier(method="zero-shot", shots=1, **parameters)


def kept_tokenizer(folder):
    return json.loads((folder / "config.json").read_text())["parameters"]["tokenizer"]


def test_a_named_tokenizer_is_kept_and_found_from_elsewhere(apart, here, tiny, monkeypatch):
    classifier = zero_shot(clip="model", tokenizer="words", device="cpu").fit(IMAGES, LABELS)
    folder = classifier.save("run")
    assert kept_tokenizer(folder) == str(apart / "words") and "and the tokenizer" in (folder / "README.md").read_text()
    (apart / "away").mkdir()
    monkeypatch.chdir(apart / "away")
    again = PromptClassifier.load("../run", device="cpu")
    expected = zero_shot(clip=tiny).fit(IMAGES, LABELS).predict_proba(OTHERS)
    assert np.array_equal(again.predict_proba(OTHERS), expected)
    assert kept_tokenizer(again.save("copy")) == str(apart / "words")
    # A CLIP that is loaded stands for both.
    assert kept_tokenizer(PromptClassifier.load("../run", tiny).save("on-tiny")) is None


def test_a_tokenizer_that_moved(apart, here):
    zero_shot(clip="model", tokenizer="words", device="cpu").fit(IMAGES, LABELS).save("run")
    (apart / "words").rename(apart / "moved")
    with pytest.raises(
        InputError, match=r"run was trained on the clip .*model with the tokenizer .*words: .*--tokeniz"
    ):
        PromptClassifier.load("run", device="cpu")
    with pytest.raises(
        InputError, match=r"run was trained on the tokenizer .*words: .* \(--tokenizer; tokenizer=\.\.\."
    ):
        PromptClassifier.load("run", clip="model", device="cpu")
    with pytest.raises(InputError) as caught:
        PromptClassifier.load("run", clip="model", tokenizer="nowhere", device="cpu")
    assert "was trained on" not in str(caught.value)
    again = PromptClassifier.load("run", tokenizer="moved", device="cpu")
    assert again.clip_.tokenizer_source == "moved"


@pytest.mark.parametrize("machine", [{"device": "abacus"}, {"dtype": "int4"}, {"memory_budget": "much"}])
def test_what_is_wrong_with_the_machine_is_not_said_of_the_clips_place(apart, here, machine):
    zero_shot(clip="model", tokenizer="words", device="cpu").fit(IMAGES, LABELS).save("run")
    with pytest.raises(InputError, match=f"^{next(iter(machine))}: expected ") as caught:
        PromptClassifier.load("run", **machine)
    assert "was trained on" not in str(caught.value)


def test_a_tokenizer_object_has_no_name_to_keep(apart, here, tiny):
    classifier = zero_shot(clip="model", tokenizer=tiny.tokenizer, device="cpu").fit(IMAGES, LABELS)
    assert clone(classifier).get_params()["tokenizer"] is tiny.tokenizer
    assert kept_tokenizer(classifier.save("run")) is None
    with pytest.raises(InputError, match="--tokenizer"):
        PromptClassifier.load("run", device="cpu")
    assert PromptClassifier.load("run", tokenizer=tiny.tokenizer, device="cpu").clip_.tokenizer_source is None


def test_a_loaded_clip_brings_its_tokenizer(apart, here):
    clip = CLIP.load("model", tokenizer="words", device="cpu")
    assert kept_tokenizer(zero_shot(clip=clip).fit(IMAGES, LABELS).save("run")) == str(apart / "words")
    with pytest.raises(InputError, match=r"tokenizer: expected None beside a CLIP that is loaded .*got 'words'"):
        zero_shot(clip=clip, tokenizer="words").fit(IMAGES, LABELS)
    with pytest.raises(InputError, match="tokenizer: expected None beside a CLIP"):
        PromptClassifier.load("run", clip, "words")
