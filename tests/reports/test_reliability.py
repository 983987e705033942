"""Tables and pictures of calibration and conformal sets, from literal records."""

from pathlib import Path

import numpy as np
import pytest
import records

from cocoop.reports import Rate, format_tables, html_report, protocol_tables
from cocoop.results import read_records


def figures(error, accuracy=80.0):
    names = ("accuracy", "expected_calibration_error", "classwise_calibration_error", "negative_log_likelihood")
    return dict(zip(names, (accuracy, error, error / 10, 0.5), strict=True))


def fits(plain, temperature=None, dac=None, sets=None):
    ways = {"plain": plain, "temperature": temperature, "dac": dac}
    made = {way: None if error is None else figures(error) for way, error in ways.items()}
    return made | {"sets": None if sets is None else {"covered": sets[0], "size": sets[1]}}


TOGETHER = {
    **{"base_images": 2, "new_images": 2, "accuracy": 60.0, "base_called_new": 5.0, "new_called_base": 6.0},
    **{"auroc": 90.0, "open_world_auc": 55.0},
}


def run(seed, shift, **more):
    """Of coop, calibrated by both ways and with sets of 90 %."""
    tests = {
        "base": fits(4.0 + shift, 2.0, 2.0, (91.0 + shift, 1.5)),
        "new": fits(8.0, 7.0, 5.0 + shift, (80.0, 2.5)),
        "together": fits(6.0, 5.0, 4.0, (78.0, 3.5)),
    }
    fit = {"images": 40, "part": "val", "temperature": 1.3, "interval": [1.1, 1.5], "coverage": 0.9, "threshold": 0.2}
    trial = {
        **{"protocol": "base-to-new", "method": "coop", "dataset": "dtd", "classes": "base", "tests": [], "shots": 16},
        **{"seed": seed, "settings": {}, "names": "own", "template": None, "draw": "even"},
        **{"calibration": "dac", "coverage": 0.9},
    }
    reliability = {"tests": tests, "fit": fit | more}
    given = {"seed": seed, "reliability": reliability, "together": TOGETHER, "trial": trial}
    return records.record("base-to-new", "dtd", "coop", {"base": 80, "new": 70}, **given)


def made(*contents):
    return [records.read(Path(f"run-{i}"), content) for i, content in enumerate(contents)]


def table_of(tables, start):
    (table,) = (table for table in tables if table.title.startswith(start))
    return table


def test_a_row_for_each_way():
    table = table_of(protocol_tables(made(run(1, 0), run(2, 1))), "Calibration")
    assert table.title == "Calibration, base to new, 16 shots, openai/clip-vit-base-patch16"
    header = ("data set", "method", "probabilities", "base", "new", "together")
    assert table.header == (*header, "base class-wise", "new class-wise", "together class-wise")
    assert table.rows[0] == (
        *("dtd", "coop", "plain", Rate(4.5, 0.5, 2), Rate(8.0, 0.0, 2), Rate(6.0, 0.0, 2)),
        *(Rate(pytest.approx(of), pytest.approx(std, abs=1e-9), 2) for of, std in ((0.45, 0.05), (0.8, 0), (0.6, 0))),
    )
    assert [row[2] for row in table.rows] == ["plain", "temperature", "dac"]
    assert [row[4] for row in table.rows] == [Rate(8.0, 0.0, 2), Rate(7.0, 0.0, 2), Rate(5.5, 0.5, 2)]
    assert any("none of them learned from or scored" in note for note in table.notes)


def test_sets_say_for_whom_they_are_guaranteed():
    table = table_of(protocol_tables(made(run(1, 0), run(2, 1))), "Conformal sets of 90 %")
    others = (Rate(of, 0.0, 2) for of in (1.5, 80.0, 2.5, 78.0, 3.5))
    assert table.rows == (("dtd", "coop", Rate(91.5, 0.5, 2), *others),)
    assert any("guaranteed for base classes alone" in note and "exchangeable" in note for note in table.notes)
    assert "guaranteed for base classes alone" in format_tables([table], "md")


def test_a_run_that_could_not_be_calibrated_is_named():
    content = run(1, 0, temperature=None, interval=[])
    for of in content["reliability"]["tests"].values():
        of |= {"temperature": None, "dac": None}
    table = table_of(protocol_tables(made(content)), "Calibration")
    assert [row[2] for row in table.rows] == ["plain"]
    assert any("No temperature fits best" in note and "coop on dtd, seed 1 (40 images)" in note for note in table.notes)


def test_runs_without_such_figures_have_no_such_tables():
    tables = protocol_tables(made(records.record("base-to-new", "dtd", "coop", {"base": 80, "new": 70})))
    assert not [table for table in tables if table.title.startswith(("Calibration", "Conformal"))]


def test_the_page_draws_base_new_and_both_calibrated_beside_plain(tmp_path):
    predictions = {}
    for test in ("base", "new", "together"):
        named = {"label": np.array([0, 1, 0, 1]), "predicted": np.array([0, 1, 1, 1])}
        named |= {name: np.array(of, np.float32) for name, of in (("confidence", [0.9] * 4), ("calibrated", [0.7] * 4))}
        predictions |= {f"{test}/{name}": values for name, values in named.items()}
    records.write(tmp_path, run(1, 0), predictions)
    page = html_report(read_records([tmp_path]))
    for words in ("base classes", "new classes", "base and new classes together"):
        assert page.count(f"dtd, {words}") == 1
    assert page.count("calibrated: confidence 0.70, correct 0.75, 4 images") == 3
    assert page.count("coop: confidence 0.90, correct 0.75, 4 images") == 3
    assert page.count("91.00 % covered, 1.50 classes on average") == 1
    assert "the stated coverage is guaranteed for base classes alone" in page
