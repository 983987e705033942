"""`cocoop train` watched on held-out images."""

import json
import re

import pytest

from cocoop.results import read_run

QUICK = ("--lr", "0.1", "--device", "cpu")
SHOWN = "keep best|patience 2|class weight balanced"


def test_the_best_epoch_by_validation(cocoop, photos):
    options = (
        "--shots",
        2,
        "--epochs",
        3,
        "--validate",
        "--keep",
        "best",
        "--patience",
        2,
        "--class-weight",
        "balanced",
    )
    ran = cocoop("train", photos, "--out", "run", *options, *QUICK)
    assert ran.code == 0, ran.err
    record, history = read_run("run").record, read_run("run").history
    accuracies = [epoch.validation_accuracy for epoch in history]
    kept = accuracies.index(max(accuracies))
    assert (record.kept_epoch, record.validation_images, record.results["test"].n) == (kept, 6, 6)
    assert (record.learning.keep, record.learning.patience, record.learning.class_weight) == ("best", 2, "balanced")
    said = f"kept epoch {kept} of 0..{len(history) - 1}: {max(accuracies):.2f} % of the 6 validation images"
    assert said in ran.out.splitlines()
    card = (photos.parent / "run/README.md").read_text()
    for row in ("| validation images | 6 |", "| patience | 2 epochs |", "| class weight | balanced |"):
        assert row in card
    assert f"| kept epoch | {kept}, counted from 0: the best on the validation images |" in card
    assert cocoop("report", "run", "--out", "page.html").code == 0
    text = re.sub("<[^>]*>", " ", (photos.parent / "page.html").read_text(encoding="utf-8"))
    assert {"keep best", "patience 2", "class weight balanced"} <= set(re.findall(SHOWN, " ".join(text.split())))
    told = cocoop("evaluate", "run", photos, "--device", "cpu")
    assert "note: left out 12 images that the run was trained or validated on" in told.err


def test_all_images_but_those_held_out(cocoop, photos):
    ran = cocoop("train", photos, "--out", "run", "--shots", "all", "--epochs", 2, "--validate", "--json", *QUICK)
    told = json.loads(ran.out)
    assert (told["training_images"], told["validation_images"], told["kept_epoch"], told["results"]) == (15, 3, 1, {})
    assert read_run("run").record.shots is None
    card = (photos.parent / "run/README.md").read_text()
    assert "| validation images | 3 |" in card and "kept epoch" not in card and "class weight" not in card


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keep", "best"], r"keep: expected validation images beside keep='best'; got none. Add them: --validate"),
        (["--patience", 2], r"patience: expected validation images beside patience=2; got none. Add them: --validate"),
        (["--keep", "first", "--validate"], "keep: expected one of last, best; got 'first'"),
        (["--patience", 0, "--validate"], "patience: expected an integer of 1 or more; got 0"),
        (["--class-weight", "heavy"], "class_weight: expected one of balanced; got 'heavy'"),
        (["--shots", "some"], "--shots: expected a whole number of 1 or more, or all; got 'some'"),
        (["--shots", 9, "--validate"], "validation: expected images that are not learned from; photos has none left"),
        (["--method", "zero-shot", "--validate"], "validation: expected nothing, because the method zero-shot is not"),
        (["--report-to", "wandb,tensorbord"], "report_to: expected one of tensorboard, wandb, mlflow, trackio; got"),
        (["--report-to", ","], "--report-to: expected names, comma-separated"),
    ],
)
def test_what_cannot_be(cocoop, photos, options, message):
    shots = () if "--shots" in options else ("--shots", 2)
    quick = () if "zero-shot" in options else QUICK
    ran = cocoop("train", "photos", "--out", "run", *shots, *options, *quick)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1) and message in ran.err
    assert not (photos.parent / "run").exists()
