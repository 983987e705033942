"""`--exif`, kept in the run and followed by evaluate, predict and the report; deep scans; what is no regular file."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from own_photos import CLASSES
from PIL import Image

from cocoop.results import read_config, read_record, read_run

TRAIN = ("--method", "zero-shot", "--device", "cpu")


@pytest.fixture
def turned(photos, tmp_path):
    """The same photos as a phone that was held sideways stores them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for path in photos.rglob("*.png"):
        place = tmp_path / "turned" / path.relative_to(photos)
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rot90(np.asarray(Image.open(path))).copy()).save(place, exif=exif)
    return tmp_path / "turned"


def confidences(run):
    return read_run(run).predictions["test/confidence"]


def test_photos_are_seen_upright_unless_told_otherwise(cocoop, photos, turned):
    for source, out, options in (
        ("photos", "plain", ()),
        ("turned", "upright", ()),
        ("turned", "stored", ("--exif", "ignore")),
    ):
        assert cocoop("train", source, "--out", out, *TRAIN, *options).code == 0
    assert np.array_equal(confidences("upright"), confidences("plain"))
    assert np.abs(confidences("stored") - confidences("plain")).max() > 0.01
    for run, exif in (("plain", "apply"), ("upright", "apply"), ("stored", "ignore")):
        assert read_config(run).parameters.exif == exif
        record = read_record(run)
        assert record.results["test"].exif == record.zero_shot["test"].exif == exif


def test_a_run_is_followed(cocoop, photos, turned):
    cocoop("train", "turned", "--out", "stored", *TRAIN, "--exif", "ignore")

    def probabilities(*options):
        ran = cocoop("predict", "stored", turned / "one/0.png", "--json", "--top", 3, *options)
        return {entry["class"]: entry["probability"] for entry in json.loads(ran.out)}

    assert max(probabilities().values()) == pytest.approx(confidences("stored")[0])
    assert probabilities("--exif", "ignore") == probabilities() != probabilities("--exif", "apply")

    def accuracy(source, *options):
        ran = cocoop("evaluate", "stored", source, "--json", "--device", "cpu", *options)
        return json.loads(ran.out)["expected_calibration_error"]

    assert accuracy("turned") == read_record("stored").results["test"].expected_calibration_error
    assert accuracy("turned", "--exif", "apply") == pytest.approx(accuracy("photos")) != accuracy("turned")


@pytest.mark.parametrize("command", [("train", "photos", "--out", "new"), ("predict", "run", "photos")])
def test_another_way_is_refused_in_a_line(cocoop, trained, command):
    ran = cocoop(*command, "--exif", "upright")
    assert (ran.code, ran.err) == (2, "cocoop: exif: expected one of apply, ignore, original; got 'upright'.\n")


def test_the_papers_data_are_learned_as_the_original_opens_them(cocoop):
    cocoop("datasets", "sample", "dtd", "--data-root", "data")
    assert cocoop("train", "dtd", "--data-root", "data", "--out", "run", *TRAIN).code == 0
    assert read_config("run").parameters.exif == read_record("run").results["test"].exif == "original"


def test_a_deep_scan_is_classified_as_the_same_at_8_bits(cocoop, trained, photos):
    paths = [photos / f"{name}/{number}.png" for name in CLASSES for number in range(6)]
    for path in paths:
        Image.fromarray(np.asarray(Image.open(path)).astype(np.uint16) * 257).save(path.with_suffix(".tif"))
    at_8, at_16 = (
        json.loads(cocoop("predict", "run", *[path.with_suffix(suffix) for path in paths], "--json").out)
        for suffix in (".png", ".tif")
    )
    assert [(row["class"], row["probability"]) for row in at_16] == [(row["class"], row["probability"]) for row in at_8]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize(
    ("command", "code"),
    [("predict run photos/one/pipe.png", 1), ("train a.csv --out a", 2), ("train photos --out a --epochs 1", 0)],
)
def test_no_command_waits_for_a_named_pipe(trained, photos, tmp_path, command, code):
    """In a process of its own, because one that waits never ends."""
    os.mkfifo(photos / "one/pipe.png")
    (tmp_path / "a.csv").write_text("path,label\nphotos/one/pipe.png,one\nphotos/one/0.png,two\n")
    script = f"import sys; sys.argv = ['cocoop', *{command.split()!r}]; from cocoop.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == code and "Traceback" not in ran.stderr, ran.stderr
    assert "pipe.png" in ran.stdout + ran.stderr
