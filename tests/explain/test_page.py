"""The page and the tables of an explanation: what strangers named is escaped, and pictures are what the model saw."""

import io
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import report_pages as pages
import torch
from own_photos import write_photos
from PIL import Image

from cocoop import PromptClassifier
from cocoop.explain import Given, explain, explanation_page, explanation_tables, pictures_given
from cocoop.explain.explain import SHOWN
from cocoop.explain.pictures import seen
from cocoop.reports import format_tables
from cocoop.serving import Named


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return sorted(write_photos(tmp_path_factory.mktemp("photos"), 10).glob("*/*"))


def fitted(clip, photos, method="cocoop", names=("one", "seven", "three")):
    labels = [names[["one", "seven", "three"].index(photo.parent.name)] for photo in photos]
    training = {} if method == "zero-shot" else {"shots": 2, "epochs": 2, "lr": 0.1}
    return PromptClassifier(method, clip, **training).fit(photos, labels)


@pytest.fixture(scope="module")
def conditional(tiny, photos):
    return fitted(tiny, photos)


def named(photos):
    return [Named(str(photo), photo) for photo in photos]


@pytest.fixture(scope="module")
def explained(tiny, photos):
    """With names that would run, or end an element, if they were not escaped."""
    given = Given(
        [Named(f"<b>{photo}", photo) for photo in photos], [0, 1, 2] * 10, "images of <x>", ("a note with <tag>",)
    )
    return explain(fitted(tiny, photos, names=(pages.HOSTILE, "b<i>", "猫")), "my<run>", given)


def test_the_page_has_every_part_escaped_and_loads_nothing(explained):
    explanation, pictures = explained
    text = explanation_page(explanation, pictures, "cocoop explain <x>")
    page = pages.Page(text)
    anchors = [link["href"][1:] for link in page.named("a")]
    assert anchors == ["words", "pi", "prompts", "images", "figures"]
    assert [section["id"] for section in page.named("section")] == anchors
    assert "<script" not in text and "<tag>" not in text and "<b>/" not in text
    assert "cocoop explain <x>" in page.words and "a note with <tag>" in page.words
    assert len(page.named("table")) == len(page.named("caption")) == 4
    assert len(page.named("img")) == 2 * SHOWN == 2 * len(pictures)
    assert all(image["alt"] and image["src"].startswith("data:image/jpeg;base64,") for image in page.named("img"))
    assert "default-src 'none'" in text and not re.search(r"https?:|@import", text)
    assert "arXiv 2011.08891" in text and "prefers-color-scheme: dark" in text


def test_the_images_that_are_moved_most_come_first(explained):
    explanation, _ = explained
    ways = [image.moved.own for image in explanation.images]
    assert len(ways) == 30 and len(explanation.shown) == SHOWN
    assert [ways[i] for i in explanation.shown] == sorted(ways, reverse=True)[:SHOWN]
    for number, image in enumerate(explanation.images):
        assert (image.evidence is not None) is (number in explanation.shown)
    tables = explanation_tables(explanation)
    assert tables[-1].rows[0][0] == explanation.images[explanation.shown[0]].image
    text = format_tables(tables, "table")
    assert "24 of 30 images, those that pi moves most" in text
    assert "Of images of <x>: 30. The mean is over the training images that the run keeps." in text


def test_probabilities_are_those_of_a_prediction(conditional, photos):
    explanation, _ = explain(conditional, "run", Given(named(photos), None, "these"))
    probabilities = conditional.predict_proba(photos)
    assert [image.probability for image in explanation.images] == pytest.approx(probabilities.max(axis=1), abs=1e-5)
    assert [image.predicted for image in explanation.images] == conditional.predict(photos).tolist()
    assert [prompt.accuracy for prompt in explanation.prompts] == [None] * 3
    assert [shares.images for shares in explanation.shares] == [6, 30]


def test_a_run_without_a_sample_has_the_mean_of_the_images_given(conditional, photos, monkeypatch):
    monkeypatch.setattr(conditional, "fit_", replace(conditional.fit_, sample=None))
    explanation, _ = explain(conditional, "run", Given(named(photos[:4]), None, "these"))
    assert explanation.mean_of == "these" and [shares.images for shares in explanation.shares] == [4]
    alone, _ = explain(conditional, "run", Given(named(photos[:1]), None, "these"))
    assert alone.mean_of is None and alone.prompts == () and alone.images[0].moved is None
    assert "two images or more" in alone.notes[0] and len(alone.words.vectors) == 4


@pytest.mark.parametrize(("method", "words"), [("coop", True), ("zs-lp", False), ("zero-shot", False)])
def test_what_does_not_apply_is_said(tiny, photos, method, words):
    given = Given(named(photos[:3]), [0, 0, 0], "these")
    explanation, pictures = explain(fitted(tiny, photos, method), "run", given)
    assert (explanation.words is not None) is words
    assert explanation.shares == explanation.prompts == () and explanation.mean_of is None
    assert sum("no pi to explain" in text for text in explanation.notes) == 1
    assert sum("no words near them" in text for text in explanation.notes) == (not words)
    assert explanation.shown == (0, 1, 2) and len(pictures) == 3
    text = explanation_page(explanation, pictures)
    assert ("The method learns no context vectors." in text) is not words
    assert len(explanation_tables(explanation)) == 1 + words
    alone, _ = explain(fitted(tiny, photos, method), "run", None)
    assert len(explanation_tables(alone)) == words
    assert sum("nothing to tell of the run alone" in text for text in alone.notes) == (not words)


def test_class_specific_vectors_have_their_class(tiny):
    from cocoop import CoOp
    from cocoop.explain.explain import _words

    words = _words(CoOp(tiny, ["x", "y"], context="a photo", class_specific=True), None)
    assert [vector.name for vector in words.vectors] == ["v1 of x", "v2 of x", "v1 of y", "v2 of y"]


def test_the_picture_is_what_the_model_sees(tiny, tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    back = tiny.preprocess.restored(tiny.preprocess(picture))
    assert np.array_equal(np.array(back), np.array(picture))
    cells = torch.zeros(4, 4, dtype=torch.float64)
    cells[0, 3] = 1
    made = seen(tiny.preprocess, tiny.preprocess(Image.new("RGB", (32, 32), "white")), cells)
    plain, marked = (np.array(Image.open(io.BytesIO(file))).astype(int) for file in made)
    assert plain.shape == marked.shape == (160, 160, 3)
    blue = marked[..., 2]
    assert blue[20, 140] < 80 and blue[140, 20] > 245 and plain.min() > 245


def test_sources_of_pictures(conditional, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "b.txt").write_text("")
    picked = conditional.picked_
    others = [number for number in range(len(photos)) if number not in picked]
    for number, of in ((others[0], ""), (picked[0], ", 1 of which the run learned from or was validated on")):
        shutil.copy(photos[number], tmp_path / "some" / "a.png")
        given = pictures_given(conditional, ["some"])
        assert [picture.key for picture in given.pictures] == ["some/a.png"] and given.labels is None
        assert "1 .txt" in given.notes[0] and given.of == f"the images given{of}"
