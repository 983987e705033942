"""--inference of evaluate and predict: its figures against Python, what it says, and what it refuses."""

import json

import numpy as np
import pytest
from own_photos import CLASSES

from cocoop import PromptClassifier
from cocoop.data import fingerprint


@pytest.fixture
def run(cocoop, trained):
    return lambda *arguments: cocoop(*arguments, "--device", "cpu")


def test_predict_and_evaluate(run, trained):
    classifier = PromptClassifier.load("run", device="cpu")
    paths = sorted((trained.parent / "photos").rglob("*.png"))
    paths = [path for path in paths if fingerprint(path) not in classifier.trained_on]
    tangent, exact = (classifier.predict_proba(paths, inference=way) for way in ("tangent", "exact"))
    assert 0 < np.abs(tangent - exact).max() < 0.05
    assert (tangent.argmax(axis=1) == exact.argmax(axis=1)).all()
    assert classifier.inference(inference="tangent").counts["images"] == len(paths)
    ran = run("predict", "run", *paths, "--inference", "tangent", "--json")
    assert ran.code == 0 and ran.err.startswith("note: tangent inference (checked on 5 training images: 100 % have")
    assert f": {len(paths)} images, " in ran.err
    assert [entry["probability"] for entry in json.loads(ran.out)] == pytest.approx(tangent.max(axis=1), abs=1e-5)
    assert run("predict", "run", paths[0]).err == "note: exact inference\n"

    ran = run("evaluate", "run", "photos", "--inference", "tangent", "--verify", "--json")
    scored = json.loads(ran.out)
    assert (ran.code, scored["inference"], scored["approximate"]) == (0, "tangent", True)
    assert scored["tangent"]["check"]["images"] == 5 and scored["tangent"]["classified"]["images"] == len(paths)
    assert scored["agreement"]["same_top_class"] == 100 and scored["agreement"]["exact"]["n"] == len(paths)
    assert scored["agreement"]["largest_difference"] == pytest.approx(
        np.abs(tangent.max(axis=1) - exact.max(axis=1)).max(), abs=1e-5
    )
    ran = run("evaluate", "run", "photos", "--inference", "tangent", "--classes", ",".join(reversed(CLASSES)))
    assert ran.out.splitlines()[0].split("|")[1:3] != [] and "tangent (approximate)" in ran.out.splitlines()[0]
    assert "note: tangent inference" in ran.err


def test_what_is_refused(run, cocoop, trained):
    for command in (("evaluate", "run", "photos"), ("predict", "run", "photos/one/0.png")):
        for options, said in (
            (["best"], "inference: expected one of exact, tangent; got 'best'"),
            (["tangent", "--shortlist", 2], "inference: expected exact beside a shortlist; got 'tangent'"),
        ):
            ran = run(*command, "--inference", *options)
            assert (ran.code, ran.out) == (2, "") and said in ran.err
    (trained / "sample.safetensors").unlink()
    ran = run("predict", "run", "photos/one/0.png", "--inference", "tangent")
    assert (ran.code, ran.out) == (2, "") and "sample.safetensors" in ran.err and "Train it again" in ran.err
    assert run("predict", "run", "photos/one/0.png").code == 0
    assert cocoop("train", "photos", "--method", "zero-shot", "--out", "zero").code == 0
    ran = run("evaluate", "zero", "photos", "--inference", "tangent")
    assert (ran.code, ran.out) == (2, "") and "expected a conditional prompt" in ran.err
    assert run("predict", "zero", "photos/one/0.png").err == ""
