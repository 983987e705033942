"""The pictures of a run folder: what they show, at any number of classes, whatever these are called."""

import io
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import records
from matplotlib.text import Text
from PIL import Image
from sklearn.metrics import confusion_matrix

from cocoop.results import Epoch, pictures, run_pictures

HOSTILE = ["Sea $or$ Lake", "a very long name " * 20, "мышь", "猫", "\U0001f600", "two\nlines", "caf\udce9", "\\frac{"]


def scored_run(names, accuracy=0.8, n=20, epochs=3):
    generator, classes = np.random.default_rng(len(names)), len(names)
    label = np.repeat(np.arange(classes), n).astype(np.int32)
    right = generator.random(len(label)) < accuracy
    predicted = np.where(right, label, (label + 1) % classes).astype(np.int32)
    arrays = {"label": label, "predicted": predicted, "confidence": np.ones(len(label), np.float32)}
    return records.RUN._replace(
        config=replace(records.RUN.config, class_names=names, classes=names),
        history=[Epoch(epoch, 0.002, 1 / (epoch + 1), 50.0 + epoch / 10, 0.1) for epoch in range(epochs)],
        predictions={f"test/{name}": values for name, values in arrays.items()},
    )


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, in order."""
    drawn, png = [], pictures._png
    monkeypatch.setattr(pictures, "_png", lambda figure: drawn.append(figure) or png(figure))
    return drawn


def words(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
def test_they_can_be_read_and_are_small_at_any_number_of_classes_and_whatever_these_are_called(classes):
    names = [*HOSTILE, *(f"class_{k}" for k in range(classes))][:classes]
    made = run_pictures(scored_run(names))
    assert list(made) == ["training.png", "confusion.png"]
    for content in made.values():
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.format == "PNG" and 250 < picture.width <= 900 and 250 < picture.height <= 900
        assert len(content) < 40_000


def test_the_matrix_has_the_images_of_each_pair(figures):
    run = scored_run(["a_b", "c", "d"])
    run_pictures(run)
    label, predicted = run.predictions["test/label"], run.predictions["test/predicted"]
    counts = confusion_matrix(label, predicted)
    axes = figures[1].axes[0]
    written = {text.get_position(): int(text.get_text()) for text in axes.texts}
    assert written == {(j, i): counts[i, j] for i, j in zip(*np.nonzero(counts), strict=True)}
    np.testing.assert_allclose(axes.images[0].get_array(), confusion_matrix(label, predicted, normalize="true"))
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a b", "c", "d"]
    assert f"{(label == predicted).sum()} of 60 images right" in words(figures[1])


def test_of_many_classes_the_pairs_that_cost_the_most_images(figures):
    run = scored_run([f"class_{k}" for k in range(40)], accuracy=1.0)
    predicted = run.predictions["test/predicted"]
    predicted[60:67], predicted[100:103] = 9, 8  # classes 3 and 5, with 20 images each
    run_pictures(run)
    axes = figures[1].axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["class 3 → class 9", "class 5 → class 8"]
    assert [bar.get_width() for bar in axes.patches] == [7, 3]
    assert [text.get_text() for text in axes.texts] == ["7 (35 %)", "3 (15 %)"]


def test_names_that_no_font_has_are_numbers_and_long_ones_keep_both_ends(figures):
    run_pictures(scored_run(["мышь", "\U000f1234", "caf\udce9", "a very long name of a class, the first"]))
    names = [tick.get_text() for tick in figures[1].axes[0].get_yticklabels()]
    assert names == ["мышь", "class 1", "class 2", "a very long …, the first"]


@pytest.mark.parametrize("epochs", [1, 3, 200])
def test_the_curves_are_the_history(figures, epochs):
    run = scored_run(["a", "b"], epochs=epochs)
    run_pictures(run)
    loss, accuracy = figures[0].axes
    assert loss.lines[0].get_xydata().tolist() == [[of.epoch, of.loss] for of in run.history]
    assert accuracy.lines[0].get_xydata().tolist() == [[of.epoch, of.accuracy] for of in run.history]
    shown = [tick for tick in loss.get_xticks() if 0 <= tick <= epochs - 1]
    assert shown and all(tick == round(tick) for tick in shown)


def test_the_accuracy_of_validation_images_is_a_second_curve_with_a_legend(figures):
    run = scored_run(["a", "b"])
    run_pictures(run._replace(history=[replace(of, validation_accuracy=70.0 - of.epoch) for of in run.history]))
    accuracy = figures[0].axes[1]
    assert [line.get_xydata().tolist() for line in accuracy.lines][1] == [[0, 70], [1, 69], [2, 68]]
    assert [text.get_text() for text in accuracy.get_legend().get_texts()] == ["training images", "validation"]


@pytest.mark.parametrize("rate", [0.0, 99.0, 100.0])
def test_no_axis_has_rates_that_cannot_be(figures, rate):
    run = scored_run(["a", "b"])
    run_pictures(run._replace(history=[replace(of, accuracy=rate) for of in run.history]))
    low, high = figures[0].axes[1].get_ylim()
    assert 0 <= low <= rate <= high <= 100 and low < high


def test_nothing_is_drawn_of_what_was_not_done():
    run = scored_run(["a", "b"])
    assert list(run_pictures(run._replace(history=[]))) == ["confusion.png"]
    assert list(run_pictures(run._replace(predictions={}))) == ["training.png"]
    assert list(run_pictures(run._replace(record=replace(run.record, results={})))) == ["training.png"]
    many = [f"class {k}" for k in range(40)]
    assert list(run_pictures(scored_run(many, accuracy=1.0))) == ["training.png"]  # no confusions


def test_matplotlib_is_imported_for_drawing_alone_and_its_global_state_left_alone():
    code = (
        "import sys, json, records\n"
        "from cocoop.results import run_pictures\n"
        "before = 'matplotlib' in sys.modules\n"
        "made = run_pictures(records.RUN)\n"
        "print(json.dumps([before, list(made), 'matplotlib.pyplot' in sys.modules]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=records.__file__[:-11])
    assert json.loads(ran.stdout) == [False, ["training.png"], False], ran.stderr
