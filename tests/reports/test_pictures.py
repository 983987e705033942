"""Pictures are well-formed, and their marks and bars stand where the numbers say."""

import io
import re
from base64 import b64decode
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import records
from markupsafe import escape
from PIL import Image

from cocoop.reports import protocol_tables
from cocoop.reports.groups import group_records
from cocoop.reports.page.comparison_figures import base_versus_new_figure, few_shot_figure, transfer_figure
from cocoop.reports.page.diagnosis import Reliability
from cocoop.reports.page.diagnosis_figures import confusion_figure, gain_figure, reliability_figure
from cocoop.reports.page.style import OTHER_COLORS, looks
from cocoop.reports.page.svg import Look, Panel, Picture, round_ticks
from cocoop.results.confusions import Confusions


def parsed(picture):
    return ElementTree.fromstring(escape(picture))


def hints(root, words):
    """The elements whose hint begins with these words."""
    return [element for element in root.iter() if element.findtext("title", "").startswith(words)]


def made(*contents):
    return [records.read(Path(f"run-{i}"), content) for i, content in enumerate(contents)]


def drawn(figure, runs):
    groups = group_records(runs)
    return figure(groups, looks(group.label for group in groups))


def test_a_panel_puts_data_where_they_belong():
    panel = Panel(Picture(100, 100, ""), 10, 20, 80, 60, (0, 4), (-1, 1))
    assert panel.place(0, -1) == (10, 80)
    assert panel.place(4, 1) == (90, 20)
    assert panel.place(1, 0) == (30, 50)


def test_bars_reach_from_zero_to_their_values():
    root = parsed(gain_figure([("a_b", 10.0), ("c", 5.0), ("<d>", -10.0)]))
    up, half, down = (hints(root, name)[0] for name in ("a b: +10.0", "c: +5.0", "<d>: -10.0"))
    assert float(up.get("height")) == pytest.approx(2 * float(half.get("height")), abs=0.11)
    assert float(up.get("height")) == pytest.approx(float(down.get("height")), abs=0.11)
    zero = float(up.get("y")) + float(up.get("height"))
    assert float(down.get("y")) == pytest.approx(zero, abs=0.11)
    assert up.get("style") == half.get("style") != down.get("style")
    assert float(up.get("x")) < float(half.get("x")) < float(down.get("x"))


def test_gains_that_are_all_zero_and_gains_of_many_classes():
    assert not hints(parsed(gain_figure([("a", 0.0), ("b", 0.0)])), "a")
    root = parsed(gain_figure([(f"class {k}", 50.0 - k) for k in range(100)]))
    assert "100 classes, sorted" in root.itertext()
    assert "class 3" not in [text.text for text in root.iter("text")]


def test_reliability_leaves_empty_bins_out():
    counts = np.array([0] * 13 + [30, 10])
    means = np.array([np.nan] * 13 + [0.9, 1.0])
    picture = reliability_figure({"coop": (Reliability(counts, means, means), looks(["coop"])["coop"])})
    assert len(hints(parsed(picture), "coop: ")) == 2
    assert "nan" not in escape(picture)


def made_of(shares, names):
    rows, columns = np.nonzero(shares)
    return Confusions(rows, columns, 4 * shares[rows, columns], names, np.full(len(names), 4))


def test_the_confusion_image_has_a_pixel_per_field():
    shares = np.array([[0.25, 0.75], [0.0, 1.0]])
    picture = confusion_figure(made_of(shares, ["a", "b"]))
    (image,) = parsed(picture).iter("image")
    pixels = np.asarray(Image.open(io.BytesIO(b64decode(image.get("href").partition(",")[2]))))
    np.testing.assert_allclose((pixels[..., 3] / 255) ** 2, shares, atol=0.005)  # 8 bits of the root
    assert len(re.findall(">a<", escape(picture))) == 2  # a name at either axis
    assert ">true class<" in escape(picture) and ">predicted<" in escape(picture)
    many = confusion_figure(made_of(np.eye(40), [f"class {k}" for k in range(40)]))
    assert (
        "class 3" not in escape(many)
        and ">predicted, of 40 classes<" in escape(many)
        and ">true class<" in escape(many)
    )


def test_few_shot_curves_have_a_panel_per_data_set_and_one_for_the_average():
    runs = [
        records.record("few-shot", name, method, {"test": value + shots}, shots=shots, seed=seed)
        for name, value in (("dtd", 40), ("eurosat", 60))
        for method in ("coop", "zero-shot")
        for shots in ((1, 16) if method == "coop" else (0,))
        for seed in ((1, 2) if method == "coop" else (1,))
    ]
    root = parsed(drawn(few_shot_figure, made(*runs)))
    titles = [text.text for text in root.iter("text") if text.get("class") == "title"]
    assert titles == ["average of 2", "dtd", "eurosat"]
    assert [len(hints(root, f"coop: {value:.2f}")) for value in (41, 56, 61, 76, 51, 66)] == [1] * 6
    assert len(hints(root, "zero-shot: ")) == 3
    low, high = hints(root, "coop: 51.00") + hints(root, "coop: 66.00")
    assert float(low.get("points").split(",")[0]) < float(high.get("points").split(",")[0])


def test_an_average_curve_has_only_what_all_data_sets_have():
    runs = [
        records.record("few-shot", "dtd", "coop", {"test": 41}, shots=1),
        records.record("few-shot", "dtd", "coop", {"test": 56}, shots=4),
        records.record("few-shot", "eurosat", "coop", {"test": 61}, shots=1),
        records.record("few-shot", "eurosat", "cocoop", {"test": 61}, shots=1),
    ]
    root = parsed(drawn(few_shot_figure, made(*runs)))
    assert len(hints(root, "coop: 51.00")) == 1
    assert len(hints(root, "coop: ")) == 4 and len(hints(root, "cocoop: ")) == 1


def test_base_versus_new_marks_data_sets_and_their_average():
    runs = [
        records.record("base-to-new", name, method, {"base": base, "new": 60})
        for name, base in (("dtd", 40), ("eurosat", 80))
        for method in ("coop", "cocoop")
    ]
    root = parsed(drawn(base_versus_new_figure, made(*runs)))
    assert len(hints(root, "coop, dtd: base 40.00, new 60.00")) == 1
    assert len(hints(root, "cocoop, average of 2: base 60.00, new 60.00")) == 1


@pytest.mark.parametrize("values", [{"base": 0, "new": 0}, {"base": 100, "new": 100}, {"base": 0.5, "new": 99}])
def test_base_versus_new_at_the_ends(values):
    root = parsed(drawn(base_versus_new_figure, made(records.record("base-to-new", "dtd", "coop", values))))
    assert len(hints(root, "coop, dtd")) == 1


def test_transfer_has_a_line_per_test():
    (table,) = protocol_tables(
        made(records.record("cross-dataset", "shapes", "coop", {"shapes": 90, "digits": 50, "dtd": 70}))
    )
    root = parsed(transfer_figure(table, looks(["coop"])))
    at = {name: hints(root, f"coop, {name}")[0] for name in ("shapes (source)", "dtd", "digits", "average")}
    left, top = zip(*(map(float, mark.get("points").split()[0].split(",")) for mark in at.values()), strict=True)
    assert left[0] > left[1] > left[3] > left[2]  # 90, 70, 60, 50
    assert list(top) == sorted(top)


def test_every_label_has_a_look_of_its_own():
    labels = ["zero-shot", "coop", "coop, epochs 10", "cocoop", "mine", "other"]
    styles = looks(labels)
    assert len(set(styles.values())) == len(labels)
    assert styles["coop"].color == styles["coop, epochs 10"].color
    assert len({styles[label].color for label in labels}) == 5
    # More methods than colours differ in marks and lines.
    many = looks([*labels, *(f"method {k}" for k in range(3 * len(OTHER_COLORS)))])
    assert len(set(many.values())) == len(many) == 18


def test_a_look_does_not_depend_on_the_order_of_labels():
    labels = ["cocoop", "b", "zero-shot", "a", "coop"]
    assert list(looks(labels).items()) == list(looks(labels[::-1]).items())
    assert list(looks(labels)) == ["zero-shot", "coop", "cocoop", "a", "b"]
    # The colours of the page, by number: three of the papers', then the others'.
    assert [look.color for look in looks(labels).values()] == [f"var(--c{k})" for k in range(5)]


def test_a_picture_grows_with_its_legend():
    picture = Picture(100, 10, "")
    picture.legend(10, 5, looks(["a"]))
    assert picture.width == 100
    picture.legend(10, 5, looks(["a method with a name of forty letters...", "b"]))
    last = [text for text in parsed(picture).iter("text")][-1]
    assert last.text == "b" and 100 < float(last.get("x")) < picture.width


def test_hostile_names_are_escaped():
    picture = Picture(10, 10, '"><script>')
    picture.text(0, 0, "</text><script>")
    panel = Panel(picture, 0, 0, 10, 10, (0, 1), (0, 1))
    panel.marks([(0, 0, "</title><script>")], Look("red", "square", "none"))
    root = parsed(picture)
    assert not list(root.iter("script"))
    assert root.get("aria-label") == '"><script>'


@pytest.mark.parametrize(
    ("low", "high"), [(0, 100), (50, 50), (49.9, 50.1), (12.3, 87.6), (99, 100), (0, 0), (100, 100)]
)
def test_ticks_enclose_the_values(low, high):
    values = [value for value, _ in round_ticks(low, high)]
    assert values[0] <= low and high <= values[-1] and values[0] < values[-1]
    assert values[0] >= 0 and values[-1] <= 100  # no rate lies outside
    assert 2 <= len(values) <= 6
