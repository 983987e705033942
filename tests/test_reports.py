"""Tables and pictures, from records made up by hand."""

import numpy as np
import pytest
import records
from own_photos import write_photos
from PIL import Image

from cocoop.data import base_to_new, read_folder
from cocoop.reports import Rate, base_to_new_figure, base_to_new_table, text_table
from cocoop.results.formats import record_from_json


def record(base: float, new: float, seconds: float, parameters: int = 7):
    content = records.record("base-to-new", "digits", "coop", {"base": base, "new": new})
    return record_from_json(content | {"seconds": seconds, "trainable_parameters": parameters})


def test_a_table_is_aligned_markdown():
    table = text_table(["name", "%"], [["a", "100.00"], ["longer name", "5.00"]])
    assert table == (
        "| name        |      % |\n|-------------|-------:|\n| a           | 100.00 |\n| longer name |   5.00 |"
    )


def test_a_table_without_rows_has_a_header():
    # A column of words lines up to the left.
    assert text_table(["a", "b", "c"], [["1", "-", "x"], ["2", "10.5 +- 1", "-"]]).splitlines()[1:3] == [
        "|---|----------:|---|",
        "| 1 |         - | x |",
    ]
    assert text_table(["a", "bc"], []) == "| a | bc |\n|---|---:|"


def test_a_bar_in_a_class_name_does_not_break_the_table():
    # GitHub's Markdown: a column ends at any "|" that is not escaped.
    assert text_table(["class", "n"], [["a|b", "1"]]).splitlines()[2] == r"| a\|b  | 1 |"


def test_numbers_are_written_as_in_every_other_table():
    # The same cells as in the tables of protocols: "-" for a missing one, groups of three digits, a spread.
    rows = [["a", 1234, None, Rate(50.0, 0.126, 3)], ["b", 5, 6, Rate(5.0)]]
    assert text_table(["n", "x", "y", "z"], rows).splitlines()[2:] == [
        "| a | 1,234 | - | 50.00 +- 0.13 |",
        "| b |     5 | 6 |          5.00 |",
    ]


def test_rows_by_hand():
    table = base_to_new_table(
        {
            "zero-shot": [record(60, 40, 0.5, 0)] * 2,
            "cocoop": [record(80, 70, 1, 1007), record(90, 50, 3, 1007)],
        }
    )
    assert table.header == ("method", "base", "new", "H", "seconds per run", "trainable parameters")
    assert table.rows == [
        # H = 2 60 40 / 100
        ("zero-shot", Rate(60, 0, 2), Rate(40, 0, 2), Rate(pytest.approx(48), None, 2), "0.5", 0),
        # The spread is divided by n, not n - 1. H is that of the means 85 and 60, as in the paper: 10200 / 145; not the
        # mean of 74.67 and 64.29.
        ("cocoop", Rate(85, 5, 2), Rate(60, 10, 2), Rate(pytest.approx(10200 / 145), None, 2), "2.0", 1007),
    ]


def test_the_figure_is_a_png_with_bars_as_high_as_the_values(tmp_path):
    examples = read_folder(write_photos(tmp_path / "photos", 2, ["four", "one", "seven", "three"]))
    halves = {half: base_to_new(examples, half=half)[0] for half in ("base", "new")}
    table = base_to_new_table({"zero-shot": [record(20, 80, 1)], "cocoop": [record(90, 70, 1), record(80, 70, 1)]})
    path = tmp_path / "figure.png"
    base_to_new_figure(path, table, halves)
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert 500 < pixels.shape[0] < pixels.shape[1] < 3000
    # Pixels of a colour, in the lower part, where the bars are: base 20 + 85, new 80 + 70.
    lower = pixels[pixels.shape[0] * 2 // 5 :]
    blue, orange = (
        int((np.abs(lower - np.array(color)).sum(axis=-1) < 12).sum()) for color in ((76, 114, 176), (221, 132, 82))
    )
    assert blue / orange == pytest.approx(105 / 150, rel=0.06)


def test_the_figure_shows_at_most_five_classes_of_a_half(tmp_path):
    from cocoop.data import Example

    path = tmp_path / "1.png"
    Image.new("L", (4, 4)).save(path)
    halves = {half: [Example(path, label, rf"$\frac$ {label}") for label in range(60)] for half in ("base", "new")}
    base_to_new_figure(tmp_path / "figure.png", base_to_new_table({"coop": [record(1, 1, 1)]}), halves)
    with Image.open(tmp_path / "figure.png") as image:
        first_row_of_pictures = np.asarray(image.convert("L"))[: image.height // 4].min(axis=0)
    # Ten black pictures between white gaps.
    black = first_row_of_pictures < 30
    assert int((black[1:] & ~black[:-1]).sum()) + int(black[0]) == 10
