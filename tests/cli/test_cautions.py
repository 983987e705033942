"""What train, evaluate and benchmark say before their figures: on stderr, and as "notes" of --json."""

import json
import shutil
import sys

import pytest
from own_photos import CLASSES, write_photos

from cocoop.protocols.cautions import other_classes
from cocoop.results import read_record


def said(ran) -> list[str]:
    return [line.removeprefix("note: ") for line in ran.err.splitlines() if line.startswith("note: ")]


def first_words(notes: list[str]) -> list[str]:
    return [note[:24] for note in notes]


def test_evaluate(cocoop, trained, tmp_path):
    write_photos(tmp_path / "one-class/test", 6, ["one"])
    write_photos(tmp_path / "one-class/train", 1, CLASSES)
    ran = cocoop("evaluate", "run", "one-class", "--json")
    content = json.loads(ran.out)
    assert content["notes"] == said(ran)
    count = content["n"]
    assert (
        f"all {count} scored images are of one class, one: the figures do not say how often others are taken for it"
        in content["notes"]
    )
    assert (
        "the bundled CLIP 'tiny' is for trials; for photographs train with --clip openai/clip-vit-base-patch16"
        in content["notes"]
    )  # the prompt is of this CLIP: `evaluate --clip` with another would be refused

    shutil.rmtree(tmp_path / "one-class/test")
    write_photos(tmp_path / "one-class/test", 6, ["one", "three"])
    shutil.copyfile(tmp_path / "one-class/test/one/5.png", tmp_path / "one-class/test/three/again.png")
    notes = said(cocoop("evaluate", "run", "one-class", "--include-training"))
    assert "no scored image of seven" in notes
    [twice] = [note for note in notes if note.startswith("the same picture is in two classes (1 of them)")]
    assert "one/5.png (one)" in twice and "three/again.png (three)" in twice


def test_a_name_with_a_comma_has_quotes_in_a_note():
    [note] = other_classes(["house, green", "red fish"], ["a", "b"])
    assert '2 classes are not among the 2 to choose from here: "house, green", red fish. With' in note


def test_cautions_come_before_the_figures(cocoop, trained, monkeypatch):
    monkeypatch.setattr(sys, "stderr", sys.stdout)  # both in the order in which they are written
    lines = cocoop("evaluate", "run", "photos").out.splitlines()
    figures = next(number for number, line in enumerate(lines) if line.startswith("| figure"))
    notes = [number for number, line in enumerate(lines) if line.startswith("note: ")]
    assert notes and max(notes) < figures
    lines = cocoop("train", "photos", "--out", "new", "--shots", 2, "--epochs", 2, "--lr", 5).out.splitlines()
    notes = [number for number, line in enumerate(lines) if line.startswith("note: ")]
    assert len(notes) > 1 and max(notes) < lines.index("learned from 6 images, 3 classes: new")


def test_zero_shot_that_does_better(cocoop, photos, tmp_path):
    write_photos(tmp_path / "more", 16)
    ran = cocoop("train", "photos", "--out", "bad", "--shots", 1, "--epochs", 3, "--lr", 50, "--method", "coop")
    assert ran.code == 0, ran.err
    content = json.loads(cocoop("evaluate", "bad", "more", "--json").out)
    zero = json.loads(cocoop("train", "more", "--out", "zero", "--method", "zero-shot", "--json").out)
    assert content["accuracy"] < zero["results"]["test"]["accuracy"], "the case is what it should be"
    [worse] = [note for note in content["notes"] if "did worse than the hand-written prompt" in note]
    assert f"{content['accuracy']:.2f} % to its " in worse
    assert "worse" not in cocoop("evaluate", "zero", "more").err


def test_train(cocoop, tmp_path):
    write_photos(tmp_path / "parts/train", 3, CLASSES)
    write_photos(tmp_path / "parts/test", 6, ["one", "three"])
    ran = cocoop("train", "parts", "--out", "run", "--shots", 4, "--epochs", 2, "--json")
    notes = json.loads(ran.out)["notes"]
    assert notes == said(ran)
    assert "no scored image of seven" in notes
    assert "fewer than 4 images to learn from of one, seven, three" in notes
    assert read_record("run").dataset == "parts"


def test_what_is_drawn_here_is_what_tiny_is_for(cocoop):
    options = ("--method", "zero-shot", "--data-root", "data", "--json")
    assert json.loads(cocoop("train", "digits", "--out", "run", *options).out)["notes"] == []


@pytest.mark.parametrize(
    "command",
    [
        ["train", "photos", "--out", "photos/run"],
        ["train", "photos", "--out", "photos/one/deep/run"],
        ["train", ".", "--out", "run"],
        ["benchmark", "few-shot", "--datasets", "photos", "--out", "photos/runs", "--dry-run"],
    ],
)
def test_results_do_not_go_into_the_images(cocoop, photos, tmp_path, command):
    if command[1] == ".":
        write_photos(tmp_path)
        shutil.rmtree(photos)
    before = sorted(tmp_path.rglob("*"))
    ran = cocoop(*command)
    assert (ran.code, ran.out) == (2, "") and sorted(tmp_path.rglob("*")) == before
    assert ran.err.startswith("cocoop: --out: expected a folder outside ") and ran.err.count("\n") == 1
