"""Every learner beside the baselines, from records and predictions of made-up runs."""

import csv
import io
import json

import numpy as np
import pytest
import records

from cocoop.reports import Difference, Interval, format_tables, protocol_tables
from cocoop.results import Paired, average, harmonic, paired_difference, read_records

IMAGES = 40


def predictions(rng, tests, rate, images=IMAGES):
    """About `rate` of the images of each test right; label and prediction are of two classes."""
    arrays = {}
    for test in tests:
        label = np.arange(images) % 2
        right = rng.random(images) < rate
        arrays |= {f"{test}/label": label, f"{test}/predicted": np.where(right, label, 1 - label)}
        arrays[f"{test}/confidence"] = np.full(images, 0.5, np.float32)
    return arrays


def right(arrays, test):
    return arrays[f"{test}/label"] == arrays[f"{test}/predicted"]


def accuracies(arrays, tests):
    return {test: 100 * float(right(arrays, test).mean()) for test in tests}


def write(root, protocol, method, rate, seeds=(1, 2, 3), datasets=("digits", "shapes"), tests=("base", "new"), **more):
    """Runs of a method; (data set, seed) -> their predictions."""
    written = {}
    for dataset in datasets:
        for seed in seeds:
            rng = np.random.default_rng([len(method), len(dataset), seed])
            arrays = predictions(rng, tests, rate)
            content = records.record(protocol, dataset, method, accuracies(arrays, tests), seed=seed, **more)
            records.write(root, content, arrays)
            written[dataset, seed] = arrays
    return written


def compared(root):
    """(method, against, figure) -> the other cells by the name of their column."""
    table = protocol_tables(read_records([root]))[-1]
    return {row[:3]: dict(zip(table.header[3:], row[3:], strict=True)) for row in table.rows}


@pytest.fixture(scope="module")
def base_to_new(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    runs = {
        "zero-shot": write(root, "base-to-new", "zero-shot", 0.5, seeds=(1,)),
        "clap": write(root, "base-to-new", "clap", 0.6, tests=("base",)),
        "coop": write(root, "base-to-new", "coop", 0.95),
        "cocoop": write(root, "base-to-new", "cocoop", 0.6, seeds=(2, 3, 4)),
    }
    return root, runs


def test_rows_are_the_paired_differences_of_the_runs(base_to_new):
    root, runs = base_to_new
    rows = compared(root)
    assert list(rows) == [
        (method, against, figure)
        for method in ("coop", "cocoop")
        for against, figures in (("zero-shot", ("base", "new", "H")), ("clap", ("base",)))
        for figure in figures
    ]
    for (method, against, figure), row in rows.items():
        seeds = (1, 2, 3) if method == "coop" else (2, 3, 4) if against == "zero-shot" else (2, 3)
        halves = ("base", "new") if figure == "H" else (figure,)
        tests = [
            Paired(
                np.array([right(runs[method][name, seed], half) for seed in seeds]),
                np.array([right(runs[against][name, seed if against == "clap" else 1], half) for seed in seeds]),
            )
            for half in halves
            for name in ("digits", "shapes")
        ]
        expected = paired_difference(tests, harmonic if figure == "H" else average)
        assert (row["data sets"], row["seeds"]) == (2, len(seeds))
        assert row["difference"].value == pytest.approx(expected.value)
        assert row["95 % interval"] == Interval(pytest.approx(expected.low), pytest.approx(expected.high))
        assert row["verdict"] == expected.verdict
    assert {rows["coop", "zero-shot", figure]["verdict"] for figure in ("base", "new", "H")} == {"better"}
    assert "not told apart" in {row["verdict"] for (method, *_), row in rows.items() if method == "cocoop"}


def test_the_difference_is_that_of_the_table_s_averages(base_to_new):
    root, _ = base_to_new
    table = protocol_tables(read_records([root]))[0]
    averages = {row[1]: row for row in table.rows if row[0] == "average of 2"}
    column = {name: table.header.index(name) for name in ("base", "new", "H")}
    for name, i in column.items():
        ours, theirs = (averages[method][i].mean for method in ("coop", "zero-shot"))
        assert compared(root)["coop", "zero-shot", name]["difference"] == Difference(pytest.approx(ours - theirs))
    assert averages["clap"][column["new"]] == averages["clap"][column["H"]] == ""
    assert "Tested on base classes alone, because they take no others: clap." in table.notes


def test_for_machines_the_bounds_have_names_of_their_own(base_to_new):
    tables = protocol_tables(read_records([base_to_new[0]]))[-1:]
    (content,) = json.loads(format_tables(tables, "json"))
    told = [row["95 % interval"] for row in content["rows"]]
    assert all(of["low"] < of["high"] for of in told)
    rows = csv.DictReader(io.StringIO(format_tables(tables, "csv")))
    assert [{end: float(row[f"95 % interval {end}"]) for end in ("low", "high")} for row in rows] == told


def test_few_shot_has_a_row_for_each_number_of_shots(tmp_path):
    one = {"datasets": ("digits",), "tests": ("test",)}
    write(tmp_path, "few-shot", "zero-shot", 0.5, seeds=(1,), **one)
    for shots in (1, 4):
        write(tmp_path, "few-shot", "coop", 0.9, shots=shots, **one)
    write(tmp_path, "few-shot", "zs-lp", 0.9, shots=4, **one)
    assert list(compared(tmp_path)) == [
        ("coop", "zero-shot", "1 shot"),
        ("coop", "zero-shot", "4 shots"),
        ("coop", "zs-lp", "4 shots"),
    ]


def test_one_seed_is_not_judged(tmp_path):
    write(tmp_path, "base-to-new", "zero-shot", 0.1, seeds=(1,))
    write(tmp_path, "base-to-new", "coop", 0.99, seeds=(1,))
    row = compared(tmp_path)["coop", "zero-shot", "H"]
    assert row["difference"].value > 80 and (row["95 % interval"], row["verdict"]) == ("", "one seed")


def test_a_method_without_seeds_is_judged_by_the_images(tmp_path):
    write(tmp_path, "base-to-new", "zero-shot", 0.1, seeds=(1,))
    write(tmp_path, "base-to-new", "mine", 0.95, seeds=(1,), shots=0)
    row = compared(tmp_path)["mine", "zero-shot", "H"]
    assert (row["seeds"], row["verdict"]) == ("", "better")


@pytest.mark.parametrize("change", ["other images", "no predictions", "other seeds"])
def test_what_does_not_pair_is_not_compared(tmp_path, change):
    one = {"datasets": ("digits",), "tests": ("test",), "shots": 4}
    write(tmp_path, "few-shot", "clap", 0.5, **one)
    written = write(tmp_path, "few-shot", "coop", 0.9, **one | ({"seeds": (4, 5)} if change == "other seeds" else {}))
    for seed in {seed for _, seed in written}:
        place = tmp_path / f"few-shot/digits/coop/4-shots/seed-{seed}"
        if change == "no predictions":
            (place / "predictions.safetensors").unlink()
        if change == "other images":
            content = json.loads((place / "record.json").read_text())
            content["results"]["test"]["test_hash"] = "another"
            (place / "record.json").write_text(json.dumps(content))
    assert len(protocol_tables(read_records([tmp_path]))) == 1
