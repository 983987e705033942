"""The page as text: whole, escaped, and with nothing in it that a browser would have to fetch."""

import json
import re

import numpy as np
import pytest
import records
import report_pages as pages
from PIL import Image

from cocoop.errors import InputError
from cocoop.reports import html_report
from cocoop.reports.page.gallery import gallery, thumbnail
from cocoop.results import Mistake, read_records


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return html_report(read_records([pages.write_runs(tmp_path_factory.mktemp("runs") / "runs")]), "cocoop report <x>")


def test_the_page_has_every_part(text):
    page = pages.Page(text)
    anchors = [link["href"] for link in page.named("a")]
    assert sorted(anchors) == sorted(f"#{name}" for name in (*pages.TESTS, "runs", "environment"))
    assert {section["id"] for section in page.named("section")} == {anchor[1:] for anchor in anchors}
    assert len(page.named("table")) == 5 + 2 + 1  # of protocols, of two of them the comparison, and of runs
    # Tests with a part of their own: 2 + 1 + 3 + 3, and the five runs of own images; two more of runs.
    assert len(page.named("details")) == 9 + 5 + 2
    assert len(page.named("svg")) == 4 + 3 * 9 + 2 * 5  # own images: the baseline is right on the same, so no gains
    assert "A processor" in page.words and "cocoop report <x>" in page.words
    assert {image.get("alt") for image in page.named("img")} == {"runs/there.png"}
    assert text.count("the file is no longer there") == text.count("cannot be read as an image") == 14


def test_names_are_escaped(text):
    assert "<script" not in text and "<b>bold" not in text
    assert text.count("&lt;script&gt;") > 10
    assert "Sea $or$ Lake" in text


def test_nothing_is_fetched(text):
    addresses = re.findall(r"""(?:src|href|url|action)\s*[=(]\s*["']?([^"'\s>)]+)""", text)
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)
    assert "default-src 'none'" in text and "@import" not in text
    assert re.findall(r"https?:", text) == []


def test_the_page_is_the_same_each_time(tmp_path):
    runs = read_records([pages.write_runs(tmp_path / "runs")])
    assert html_report(runs) == html_report(runs)


@pytest.mark.parametrize(("classes", "pictures"), [(2_000, 4), (2_001, 3)])
def test_the_confusions_of_too_many_classes_have_no_picture_and_the_page_says_so(tmp_path, classes, pictures):
    label = np.arange(classes)
    predicted = np.where(label == 3, 7, label)
    accuracy = {f"kind {k}": 100.0 for k in range(classes)}
    figures = records.test_figures(99, n=classes, per_class_accuracy=accuracy)
    arrays = {"test/label": label, "test/predicted": predicted, "test/confidence": np.full(classes, 0.5)}
    records.write(tmp_path, records.record("few-shot", "many", "coop", {"test": figures}), arrays)
    before = figures | {"per_class_accuracy": dict.fromkeys(accuracy, 99.0)}
    records.write(tmp_path, records.record("few-shot", "many", "zero-shot", {"test": before}))
    text = html_report(read_records([tmp_path]))
    assert text.count("<svg") == pictures  # the curves, the gains, the reliability
    told = f"No picture of the confusions, because {classes:,} classes are more than 2,000."
    assert (told in text) is (pictures == 3)
    assert "kind 3 called kind 7 (1 image, 100 %)" in text


def test_runs_without_predictions_and_without_zero_shot(tmp_path):
    records.write(tmp_path, records.record("few-shot", "dtd", "coop", {"test": 50}))
    text = html_report(read_records([tmp_path]))
    assert text.count("<svg") == 1  # the curves
    records.write(tmp_path, records.record("few-shot", "dtd", "zero-shot", {"test": 40}))
    assert html_report(read_records([tmp_path])).count("<svg") == 2  # and the gains


def test_a_run_that_was_never_scored(tmp_path):
    content = records.record("own-images", "photos", "coop", {})
    (tmp_path / "record.json").write_text(json.dumps(content))
    assert "-: no run has this figure." in html_report(read_records([tmp_path]))


def test_a_page_of_two_tests_shows_them_and_one_of_more_folds_them(tmp_path):
    """And one of anything is singular."""
    records.write(tmp_path, records.record("base-to-new", "dtd", "coop", {"base": 50, "new": 60}, shots=1))
    text = html_report(read_records([tmp_path]))
    assert text.count("<details open><summary>dtd, ") == 2
    assert "1 run, 1 data set." in text and "<h3>1 run</h3>" in text and "<caption>1 run</caption>" in text
    assert "Base against new classes, 1 shot: grey lines" in text
    assert re.findall(r"\b1 (?:run|shot|image|data set)s\b", text) == []
    records.write(tmp_path, records.record("base-to-new", "eurosat", "coop", {"base": 50, "new": 60}, shots=1))
    text = html_report(read_records([tmp_path]))
    assert "<details open>" not in text and "<details><summary>dtd, " in text
    assert "1 shot: small marks are data sets, large marks their average; grey lines" in text


def test_damaged_predictions_are_named_together(tmp_path):
    for name in ("dtd", "eurosat"):
        folder = records.write(tmp_path, records.record("few-shot", name, "coop", {"test": 50}))
        (folder / "predictions.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"2 of 2 are damaged: .*/dtd/.*; .*/eurosat/.*Remove these run folders"):
        html_report(read_records([tmp_path]))


def test_predictions_that_do_not_fit_are_named(tmp_path):
    content = records.record("few-shot", "dtd", "coop", {"test": 50})
    records.write(tmp_path, content, {"test/label": [1]})
    with pytest.raises(InputError, match=r"predictions\.safetensors: expected one label, prediction and confidence"):
        html_report(read_records([tmp_path]))


def test_thumbnails_are_small_and_show_what_the_model_saw(tmp_path):
    image = Image.new("RGB", (800, 400), (250, 0, 0))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save(tmp_path / "a.jpg", exif=exif)
    for seen, size in (("apply", (80, 160)), ("ignore", (160, 80)), ("original", (160, 80))):
        (tmp_path / "b.jpg").write_bytes(thumbnail(tmp_path / "a.jpg", seen))
        with Image.open(tmp_path / "b.jpg") as small:
            assert (small.size, small.format) == (size, "JPEG")
            assert small.getpixel((40, 79))[0] > 240


def test_a_gallery_shows_the_most_confident(tmp_path):
    mistakes = [Mistake(image=f"{i}.png", label="a_b", predicted="c", confidence=0.9) for i in range(12)]
    text = gallery(mistakes, "apply")
    assert re.findall(r"(\d+)\.png", text) == list("01234567")
    assert "called <b>c</b> (90 %), is <b>a b</b>" in text


def test_the_command_that_makes_such_runs(tmp_path):
    for seed in (1, 2):
        for shots in (4, 16):
            content = records.record("few-shot", "dtd", "coop", {"test": 50}, shots=shots, seed=seed)
            records.write(tmp_path, content)
    records.write(
        tmp_path, records.record("cross-dataset", "shapes", "zero-shot", {"shapes": 1, "my data": 2}, clip="tiny")
    )
    text = html_report(read_records([tmp_path]))
    assert (
        "<pre>cocoop benchmark few-shot --data-root $DATA --clip openai/clip-vit-base-patch16 --datasets dtd "
        "--methods coop --shots 4,16 --seeds 1,2</pre>"
    ) in text
    command = (
        "cocoop benchmark cross-dataset --clip tiny --datasets shapes --methods zero-shot --targets &#39;my data&#39;"
    )
    assert f"<pre>{command}</pre>" in text


def test_the_data_root_is_needed_for_a_target_of_the_papers_too(tmp_path):
    records.write(tmp_path, records.record("cross-dataset", "shapes", "zero-shot", {"shapes": 1, "dtd": 2}))
    text = html_report(read_records([tmp_path]))
    assert "<pre>cocoop benchmark cross-dataset --data-root $DATA --clip " in text
