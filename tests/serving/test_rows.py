"""Rows of results: read back by csv, json and pyarrow; and a file cut off at any byte is gone on with."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet
import pytest
import torch

from cocoop import CLIP, InputError, RunError
from cocoop.serving import Prediction, check_results, format_of, open_results

KEYS = ["a.png", 'quo"te, comma.png', "line\nbreak\r.png", "ü\udcff.png", "a.png", "bad.png", "", '""\n"', "z.png"]
"""Of files that can be: one twice, one whose name's bytes are no UTF-8."""


def row(number: int, key: str) -> Prediction:
    if key == "bad.png":
        return Prediction(key, None, [], 'bad.png: expected "an image", got\nnone', None)
    top = [("seven, eight", 0.1 + 0.8 / (number + 1)), ("one", 0.1 / 3)]
    return Prediction(key, None if number == 2 else top[0][0], top, None, torch.tensor([0.25, number]))


ROWS = [row(number, key) for number, key in enumerate(KEYS)]


@pytest.fixture(scope="module")
def clip():
    return CLIP.load("tiny", device="cpu")


def write(clip, out, rows=ROWS, resume=False, embeddings=False, form=None, top=2):
    form = form or format_of(None, out)
    check_results(form, out, embeddings, resume)
    with open_results(form, out, top, embeddings, resume, clip) as results:
        for prediction in rows:
            if results.lacks(prediction.key):
                results.write(prediction)
    return results.errors, results.count


def stored(key: str) -> str:
    return key.replace("\udcff", "\\udcff")


def test_csv_is_read_back(clip, tmp_path):
    assert write(clip, tmp_path / "new" / "rows.csv") == (1, len(ROWS))
    with open(tmp_path / "new" / "rows.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert [r["image"] for r in rows] == [stored(key) for key in KEYS]
    for read, wrote in zip(rows, ROWS, strict=True):
        assert list(read) == ["image", "class", "probability", "error", "class_2", "probability_2"]
        if wrote.error:
            assert read == dict.fromkeys(read, "") | {"image": "bad.png", "error": wrote.error}
        else:
            assert (float(read["probability"]), float(read["probability_2"])) == (wrote.probability, wrote.top[1][1])
            assert (read["class"], read["class_2"]) == (wrote.label or "", "one")


@pytest.mark.parametrize("embeddings", [False, True])
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_jsonl_and_parquet_are_read_back(clip, tmp_path, ending, embeddings):
    out = tmp_path / f"rows.{ending}"
    assert write(clip, out, embeddings=embeddings) == (1, len(ROWS))
    if ending == "jsonl":
        rows = [json.loads(line) for line in out.read_bytes().splitlines()]
        names = [r["image"] for r in rows]
        assert names == KEYS  # JSON can tell those bytes
    else:
        rows = pyarrow.parquet.read_table(out).to_pylist()
        assert [r["image"] for r in rows] == [stored(key) for key in KEYS]
    for read, wrote in zip(rows, ROWS, strict=True):
        assert list(read) == ["image", "class", "probability", "top", "error", *["embedding"] * embeddings]
        assert (read["class"], read["probability"], read["error"]) == (wrote.label, wrote.probability, wrote.error)
        assert [(entry["class"], entry["probability"]) for entry in read["top"]] == wrote.top
        if embeddings:
            assert read["embedding"] == (None if wrote.feature is None else wrote.feature.tolist())
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_the_table_and_the_json_list(clip, capsys):
    rows = [ROWS[0], ROWS[2]._replace(key="none"), ROWS[5]._replace(error="no")]
    write(clip, None, rows)
    assert capsys.readouterr().out == (
        "a.png\tseven, eight\t90.0\na.png\tone\t3.3\nnone\t(none of these)\t36.7\nnone\tone\t3.3\nbad.png\t\t\tno\n"
    )
    write(clip, None, rows, form="json")
    entries = [{"image": r.key, "class": name, "probability": p} for r in rows for name, p in r.top]
    entries[2]["class"] = None
    text = capsys.readouterr().out
    assert text == json.dumps([*entries, {"image": "bad.png", "error": "no"}], indent=2) + "\n"
    write(clip, None, [], form="json")
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_file_cut_off_at_any_byte_has_every_row_once_after_resume(clip, tmp_path, ending):
    """A kill leaves some beginning of the file, whichever."""
    write(clip, tmp_path / f"whole.{ending}")
    whole = (tmp_path / f"whole.{ending}").read_bytes()
    out = tmp_path / f"rows.{ending}"
    for length in range(len(whole) + 1):
        out.write_bytes(whole[:length])
        assert write(clip, out, resume=True) == (1, len(ROWS)), length
        assert out.read_bytes() == whole, length
    out.unlink()
    write(clip, out, resume=True)  # nothing was written yet
    assert out.read_bytes() == whole


def test_what_is_there_is_not_asked_for_again_even_in_another_order(clip, tmp_path):
    out = tmp_path / "rows.csv"
    write(clip, out, ROWS[3:6])
    more = [*reversed(ROWS), ROWS[0]]  # "a.png" three times now, and once in the file
    assert write(clip, out, more, resume=True) == (1, len(ROWS) + 1)
    with open(out, newline="", encoding="utf-8") as file:
        names = Counter(r["image"] for r in csv.DictReader(file))
    assert names == Counter(map(stored, KEYS)) + Counter(["a.png"])


@pytest.mark.parametrize(
    ("content", "name", "more"),
    [
        (b"path,label\na.png,cat\n", "rows.csv", {}),
        (b"my notes", "rows.csv", {}),
        (b"my notes", "rows.jsonl", {}),
        (b'{"image": "a.png"}\n', "rows.jsonl", {}),
        (b'{"image": broken\n', "rows.jsonl", {}),
        (b'{"image": ["a"], "class": "cat", "probability": 1.0, "top": [], "error": null}\n', "rows.jsonl", {}),
        (b"image,class,probability,error,class_2,probability_2\na.png,cat\n", "rows.csv", {}),
        (b"image,class,probability,error,class_2,probability_2\n", "rows.csv", {"top": 1}),
    ],
)
def test_another_file_is_left_as_it_is(clip, tmp_path, content, name, more):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: expected rows that the same command wrote before"):
        write(clip, tmp_path / name, resume=True, **more)
    assert (tmp_path / name).read_bytes() == content
    with pytest.raises(InputError, match=f"{name}: expected a new file for the results; it is there"):
        write(clip, tmp_path / name)
    assert (tmp_path / name).read_bytes() == content


def test_what_cannot_be_asked_for(tmp_path):
    with pytest.raises(InputError, match=r"--out: expected a file that ends in \.csv, \.jsonl, \.parquet"):
        format_of(None, Path("rows.xls"))
    with pytest.raises(InputError, match="--format: expected one of table, csv, jsonl, parquet; got 'xls'"):
        format_of("xls", None)
    assert [format_of("csv", Path("rows.xls")), format_of(None, None), format_of(None, Path("A.CSV"))] == [
        "csv",
        "table",
        "csv",
    ]
    for form, out, embeddings, resume, message in [
        ("parquet", None, False, False, "expected --out FILE.parquet"),
        ("csv", None, True, False, "--embeddings: expected --format jsonl or parquet; got csv"),
        ("csv", None, False, True, "--resume: expected --out"),
        ("parquet", tmp_path / "x.parquet", False, True, "only when it is whole"),
    ]:
        with pytest.raises(InputError, match=message):
            check_results(form, out, embeddings, resume)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_what_fails_midway(clip, tmp_path, name):
    """A Parquet file is whole or not there; a CSV file keeps its rows."""

    def rows():
        yield ROWS[0]
        raise RunError("a disk is full")

    with pytest.raises(RunError, match="a disk is full"):
        write(clip, tmp_path / name, rows())
    left = [path.name for path in tmp_path.iterdir()]
    assert left == ([] if name == "rows.parquet" else ["rows.csv"])


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_a_place_that_cannot_be_written(clip, tmp_path, name):
    (tmp_path / "file").touch()
    told = f"{name}: expected to write the results; got (File exists|Not a directory)\\. Check "  # no number, no path
    with pytest.raises(RunError, match=told):
        write(clip, tmp_path / "file" / name)
