"""`evaluate --calibrate`: what it prints, keeps and takes out again, and that `predict` follows."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from own_photos import CLASSES, write_photos

from cocoop import Predictor, PromptClassifier
from cocoop.results import read_record, read_run

FORMAT_2 = Path(__file__).parents[1] / "format_2"


@pytest.fixture
def run(cocoop, trained, tmp_path):
    """The run of nine photos, which half of the rest of `many`, 48 photos of the same classes, can calibrate."""
    write_photos(tmp_path / "many", 16)
    return lambda *arguments: cocoop(*arguments, "--device", "cpu")


def test_calibrated_from_then_on_and_no_more(run, trained, tmp_path):
    before = read_record("run")
    pictures = sorted(Path("photos").rglob("*.png"))
    plain = PromptClassifier.load("run", device="cpu").predict_proba(pictures)
    ran = run("evaluate", "run", "many", "--calibrate", "--json")
    assert ran.code == 0, ran.err
    record = read_record("run")
    calibration = record.calibration
    assert json.loads(ran.out) == {
        "run": "run",
        "calibration": json.loads(json.dumps(asdict(calibration))),
        "notes": [line.removeprefix("note: ") for line in ran.err.splitlines()],
    }
    assert replace(record, calibration=None) == before and before.calibration is None
    assert calibration.part == "half" and calibration.images + calibration.others == 48 - 9
    assert f"| temperature (calibrated) | {calibration.temperature:.2f} |" in (trained / "README.md").read_text()

    calibrated = PromptClassifier.load("run", device="cpu").predict_proba(pictures)
    assert np.abs(calibrated - plain).max() > 1e-3
    entries = json.loads(run("predict", "run", *pictures, "--json").out)
    assert [entry["probability"] for entry in entries] == pytest.approx(calibrated.max(axis=1).tolist())
    assert [entry["class"] for entry in entries] == [CLASSES[k] for k in plain.argmax(axis=1)]
    rows = Predictor.load("run", device="cpu", shortlist=3)({"image": [str(path) for path in pictures]})
    assert rows["probability"] == pytest.approx(calibrated.max(axis=1).tolist(), abs=1e-5)
    scored = run("evaluate", "run", "many", "--json")
    assert json.loads(scored.out)["temperature"] == calibration.temperature
    assert f"the temperature was fitted on {calibration.images} images of this data" in scored.err
    lines = run("evaluate", "run", "many").out.splitlines()
    assert [line for line in lines if f"{calibration.temperature:.2f} (calibrated)" in line]

    again = run("evaluate", "run", "many", "--calibrate")
    assert read_record("run") == record  # the same images, and the temperature is of the plain logits
    low, high = calibration.interval
    assert again.out.splitlines()[:3] == [
        f"temperature {calibration.temperature:.2f} (95 % interval {low:.2f} to {high:.2f})",
        f"fitted on {calibration.images} images of one half that it did not learn from",
        f"scored on {calibration.others} others:",
    ]
    assert f"| {calibration.after.negative_log_likelihood:.4f} |".replace("| ", "") in again.out
    without = run("evaluate", "run", "many", "--no-calibrate", "--json")
    assert "temperature" not in json.loads(without.out) and read_record("run") == before
    np.testing.assert_array_equal(PromptClassifier.load("run", device="cpu").predict_proba(pictures), plain)


def test_what_is_refused_leaves_the_run_as_it_was(run, trained):
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    for options, said in (
        (
            ["photos"],
            "expected 10 labelled images or more to fit on, a half of those that were not learned from; got 5 of ",
        ),
        (["many", "--shortlist", 2], "--shortlist: expected nothing beside --calibrate"),
        (["many", "--include-training"], "--include-training: expected nothing beside --calibrate"),
        (["many", "--classes", "cat,dog"], "labels: expected classes of this model"),
    ):
        ran = run("evaluate", "run", *options, "--calibrate")
        assert (ran.code, ran.out) == (2, "") and said in ran.err and ran.err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def test_a_run_of_an_older_format(cocoop, tmp_path):
    shutil.copytree(FORMAT_2 / "zero-shot", tmp_path / "old")
    classes = read_run("old").config.class_names
    write_photos(tmp_path / "photos", 12, CLASSES)
    for name, folder in zip(classes, CLASSES, strict=False):
        if name != folder:
            (tmp_path / "photos" / folder).rename(tmp_path / "photos" / name)
    ran = cocoop("evaluate", "old", "photos", "--folder-classes", "--calibrate")
    assert ran.code == 0, ran.err
    assert read_run("old").record.calibration.classes == 3
    assert cocoop("evaluate", "old", "photos", "--folder-classes", "--no-calibrate").code == 0
