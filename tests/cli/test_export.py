"""`cocoop export`, and `cocoop predict` of what it wrote."""

from __future__ import annotations

import json
import shutil

import pytest


def test_an_exported_model_predicts_as_its_run(cocoop, trained):
    exported = cocoop("export", "run", "--to", "torch-export", "--out", "model")
    assert exported.code == 0
    file, classes, size, differs = exported.out.split()
    assert file == "model/model.pt2" and classes == "3" and int(size) > 1_000_000 and float(differs) < 1e-4
    assert "% of 9 training images have the same class as by exact inference" in exported.err
    run, model = (cocoop("predict", name, "photos", "--json", "--device", "cpu") for name in ("run", "model"))
    assert model.code == run.code == 0 and len(json.loads(model.out)) == 18
    for mine, expected in zip(json.loads(model.out), json.loads(run.out), strict=True):
        assert mine == expected | {"probability": pytest.approx(expected["probability"], abs=0.05)}  # first order
    refused = cocoop("predict", "model", "photos", "--classes", "a,b", "--clip", "tiny")
    assert refused.code == 2 and "classes: expected nothing beside an exported model" in refused.err
    embeddings = cocoop("predict", "model", "photos", "--format", "jsonl", "--embeddings")
    assert embeddings.code == 2 and "expected a model with image features" in embeddings.err
    assert cocoop("embed", "photos", "--clip", "tiny", "--out", "features.npy").code == 0
    features = cocoop("predict", "model", "features.npy")
    assert features.code == 2 and "expected a model with image features" in features.err
    rows = cocoop("predict", "model", "photos", "--out", "rows.parquet")
    assert rows.out == "18 rows, 0 of them errors: rows.parquet\n"


def test_heads_take_pictures_and_features(cocoop, trained):
    arguments = "run --to safetensors-head --classes one,four --out head --json"
    described = json.loads(cocoop("export", *arguments.split()).out)
    assert described["classes"] == 2 and described["input"] == "image_features" and described["method"] == "cocoop"
    assert described["tangent"]["images"] == 9 and described["verification"]["largest_difference"] < 1e-4
    assert cocoop("embed", "photos", "--clip", "tiny", "--out", "features.npy").code == 0
    of_pictures, of_features = (cocoop("predict", "head", source) for source in ("photos", "features.npy"))
    assert of_pictures.code == 0 and of_pictures.out == of_features.out
    assert {line.split("\t")[1] for line in of_pictures.out.splitlines()} <= {"one", "four"}
    with_embeddings = cocoop("predict", "head", "photos", "--format", "jsonl", "--embeddings")
    assert len(json.loads(with_embeddings.out.splitlines()[0])["embedding"]) == 128


def test_zero_shot_without_a_run(cocoop, photos):
    arguments = ["--to", "safetensors-head", "--clip", "tiny", "--classes", "one,seven,three"]
    exported = cocoop("export", *arguments, "--out", "model")
    assert exported.code == 0 and "zero-shot, with the prompt 'a photo of a {}.'" in exported.err
    expected = cocoop("predict", "--clip", "tiny", "--classes", "one,seven,three", "photos", "--device", "cpu")
    assert cocoop("predict", "model", "photos").out == expected.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "run --to tflite --out model",
            "--to: expected one of onnx, torch-export, safetensors-head, official; got 'tflite'",
        ),
        ("run --to onnx --out run", "run: expected a new or empty folder for the exported model; it exists"),
        ("photos --to onnx --out model", "photos: expected a finished run folder"),
        ("--to onnx --out model", "export: expected a run folder, or a CLIP and classes"),
        ("old --to onnx --out model", "expected a sample of the training images"),
    ],
)
def test_what_cannot_be_exported(cocoop, trained, arguments, message):
    shutil.copytree("run", "old")
    (trained.parent / "old" / "sample.safetensors").unlink()
    refused = cocoop("export", *arguments.split())
    assert refused.code == 2 and message in refused.err and not refused.out
    assert not (trained.parent / "model").exists()
