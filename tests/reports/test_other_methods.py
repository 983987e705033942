"""Methods that are not the papers', whatever they are called, in every table, picture and page."""

import re
from pathlib import Path

import pytest
import records
import report_pages as pages

from cocoop.data import TRAINABLE
from cocoop.reports import FORMATS, Difference, Published, format_table, format_tables, html_report, protocol_tables
from cocoop.reports.groups import group_records
from cocoop.reports.page.details import diagnoses
from cocoop.results import read_records

TESTS = {
    "base-to-new": ("dtd", ("base", "new")),
    "cross-dataset": ("imagenet", ("imagenet", "dtd")),
    "domain-generalization": ("imagenet", ("imagenet", "imagenet_a")),
    "few-shot": ("dtd", ("test",)),
    "own-images": ("photos", ("test",)),
}
NAMES = ["mine", "<script>'&nbsp;\"|$\\\\ x", "later, with a comma"]
UNTRAINED = {"shots": 0, "training_images": 0, "trainable_parameters": 0}


def write_runs(root, methods):
    """The papers' three and `methods` on every protocol, each with predictions."""
    for protocol, (dataset, tests) in TESTS.items():
        arrays = {
            f"{test}/{name}": values
            for test in tests
            for name, values in (("label", [0, 1]), ("predicted", [0, 0]), ("confidence", [0.9, 0.8]))
        }
        for method in ("zero-shot", "coop", "cocoop", *methods):
            records.write(root, records.record(protocol, dataset, method, dict.fromkeys(tests, 50)), arrays)
    return read_records([root])


@pytest.mark.parametrize("name", NAMES)
def test_every_table_has_it_after_the_papers_and_without_a_published_figure(tmp_path, name):
    made = protocol_tables(write_runs(tmp_path, [name]))
    tables = [table for table in made if table.header[1] == "method"]
    assert [table.protocol for table in tables] == list(TESTS)
    compared = [table for table in made if table not in tables]
    assert [table.protocol for table in compared] == ["base-to-new", "few-shot"]
    for table in compared:
        assert list(dict.fromkeys(row[:2] for row in table.rows)) == [
            (method, "zero-shot") for method in ("coop", "cocoop", name)
        ]
    for table in tables:
        methods = [row[1] for row in table.rows]
        assert list(dict.fromkeys(methods)) == ["zero-shot", "coop", "cocoop", name]
        for row in table.rows:
            beside = dict(zip(table.header, row, strict=True))
            compared = [beside[column] for column in table.header if column.endswith((" paper", " diff"))]
            if row[1] == name:
                assert set(compared) <= {""}
    assert "base paper" in tables[0].header  # the papers' methods are compared all the same
    assert all(format_tables(made, form) for form in FORMATS)


def test_the_page_has_them_as_text_with_one_color_each(tmp_path):
    text = html_report(write_runs(tmp_path, NAMES))
    assert "<script" not in text
    page = pages.Page(text)
    for name in NAMES:
        assert page.words.count(name) > 10  # in the table and the legend of every protocol
    for name, number in (("mine", 5), ("coop", 1)):
        # Marks say whose they are when they are pointed at: "mine: 43.00", "mine, dtd: base ...", "mine: confidence".
        styles = re.findall(rf'style="([^"]*)"><title>{name}[:,]', text)
        assert len(styles) > 4
        assert {re.match(r"fill:var\(--c(\d)\)", style)[1] for style in styles} == {str(number)}


def test_averages_of_later_methods_stand_beside_ours_with_their_source():
    """Over all eleven data sets with 16 shots, and nowhere else; those that others ran again have a star."""

    def runs(names, shots=16):
        tests = {"base": 80, "new": 70}
        methods = ("coop", "kgcoop", "prograd", "tcp", "mine")
        return [
            records.read(Path(f"{of}-{method}"), records.record("base-to-new", of, method, tests, shots))
            for of in names
            for method in methods
        ]

    (table,) = protocol_tables(runs(TRAINABLE))
    averages = {row[1]: dict(zip(table.header, row, strict=True)) for row in table.rows if row[0] == "average of 11"}
    printed = {"kgcoop": (80.73, 73.60, 77.00), "prograd": (82.48, 70.75, 76.16), "tcp": (84.13, 75.36, 79.51)}
    for method, values in printed.items():
        cells = [averages[method][f"{name} paper"] for name in ("base", "new", "H")]
        assert cells == [Published(value, rerun=method == "prograd") for value in values]
        assert averages[method]["base diff"] == Difference(pytest.approx(80 - values[0]))
    assert averages["mine"]["base paper"] == "" and round(averages["coop"]["H paper"].value, 2) == 71.66
    sources = [note for note in table.notes if note.startswith("paper, average of ")]
    assert [note.split()[3].rstrip(":") for note in sources] == ["kgcoop", "prograd", "tcp"]
    assert ["(*)" in note for note in sources] == [False, True, False]
    assert "82.48*" in format_table(table, "table")
    for fewer in (runs(TRAINABLE[:10]), runs(TRAINABLE, shots=4)):
        (table,) = protocol_tables(fewer)
        later = [row for row in table.rows if row[1] in printed]
        assert not any(isinstance(cell, Published) for row in later for cell in row)
        assert not any(note.startswith("paper, average of ") for note in table.notes)


def test_only_others(tmp_path):
    """No zero-shot CLIP and none of the papers' methods: tables, but nothing to gain over."""
    for protocol, (dataset, tests) in TESTS.items():
        records.write(tmp_path, records.record(protocol, dataset, "mine", dict.fromkeys(tests, 50)))
    runs = read_records([tmp_path])
    assert all("accuracy paper" not in table.header for table in protocol_tables(runs))
    text = html_report(runs)
    assert text.count("<svg") == 4  # the overview of every protocol but own images
    assert "over zero-shot" not in text


def test_what_learned_from_no_image_is_the_baseline_whatever_it_is_called(tmp_path):
    content = records.record("few-shot", "dtd", "my-ensemble", {"test": 40}, **UNTRAINED)
    runs = [
        records.read(tmp_path / "a", content),
        records.read(tmp_path / "b", records.record("few-shot", "dtd", "mine", {"test": 60})),
        # Learned from images without a trained parameter: not a baseline.
        records.read(tmp_path / "c", records.record("few-shot", "dtd", "cache", {"test": 50}, trainable_parameters=0)),
    ]
    (diagnosis,) = diagnoses(group_records(runs))
    assert (diagnosis.run.method, diagnosis.baseline.method) == ("mine", "my-ensemble")
    (table,) = protocol_tables([records.read(tmp_path / "d", content | {"protocol": "own-images"})])
    assert table.rows[0][-1].mean == 40  # its accuracy is that of a zero-shot CLIP
    assert diagnosis.baseline_figures.accuracy == 40
