"""A `Predictor` of an exported model: the rows of the run, what it refuses, and folders that are damaged."""

from __future__ import annotations

import json
import pickle
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_models import NEAR, class_probabilities_of
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from cocoop import InputError, Predictor, PromptClassifier
from cocoop.serving import FORMS, Named, export, load_learned


@pytest.mark.parametrize(("to", "features"), [("onnx", False), ("torch-export", False), ("onnx", True)])
def test_a_predictor_gives_the_rows_of_the_run(coop, exported, to, features):
    predictor = Predictor.load(exported(to, features=features), top=3)
    run = Predictor.load(coop.run, device="cpu", top=3)
    batch = {"image": [*coop.paths, "missing.png"]}
    mine, expected = predictor(batch), run(batch)
    assert mine["class"] == expected["class"] and mine["error"] == expected["error"]
    assert np.allclose(mine["probability"][:-1], expected["probability"][:-1], **NEAR)
    assert predictor.classes_ == run.classes_
    assert pickle.loads(pickle.dumps(predictor))({"image": coop.paths[:1]})["class"] == mine["class"][:1]
    named = [Named(path, path) for path in coop.paths]
    assert [row.label for row in predictor.stream(named)] == mine["class"][:-1]
    assert all((row.feature is not None) == features for row in predictor.stream(named[:1]))


def test_a_predictor_of_tensors_takes_the_clip_that_they_are_of(coop, exported, golden):
    head, clip = exported("safetensors-head"), coop.classifier.clip_
    assert np.allclose(
        class_probabilities_of(head, coop.paths, clip), coop.classifier.predict_proba(coop.paths), **NEAR
    )
    name = re.escape(clip.name)
    with pytest.raises(InputError, match=rf"expected the CLIP of its image features \({name}, .*Say where that"):
        Predictor.load(head, clip=golden)


def test_a_calibrated_run_is_calibrated_as_a_file_too(coop, tmp_path):
    classifier = PromptClassifier.load(coop.run, clip=coop.classifier.clip_)
    plain = classifier.predict_proba(coop.paths)
    classifier.calibrate(coop.paths, [Path(path).parent.name for path in coop.paths])
    made = export(load_learned(classifier.save(tmp_path / "run")), "safetensors-head", tmp_path / "head")
    calibrated = class_probabilities_of(made.folder, coop.paths, classifier.clip_)
    assert np.allclose(calibrated, classifier.predict_proba(coop.paths), **NEAR)
    assert np.abs(calibrated - plain).max() > 10 * NEAR["atol"]


@pytest.mark.parametrize(
    "options",
    [{"classes": ["a", "b"]}, {"shortlist": 2}, {"clip": "tiny"}, {"dtype": "float16"}, {"feature_cache": "cache"}],
    ids=str,
)
def test_a_predictor_refuses_what_a_file_cannot_do(exported, options):
    [name] = options
    with pytest.raises(InputError, match=f"{name}: expected nothing beside an exported model"):
        Predictor.load(exported("onnx"), **options)


def test_pixels_have_no_image_features(exported):
    predictor = Predictor.load(exported("onnx"))
    assert "3 classes, cpu" in repr(predictor)
    with pytest.raises(InputError, match=r"expected a model with image features; .* --features"):
        _ = predictor.clip_


def test_reading_needs_the_runtime_alone(exported, monkeypatch):
    for name in ("onnx", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    assert Predictor.load(exported("onnx")).classes_
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'cocoop\[onnx\]'"):
        Predictor.load(exported("onnx"))


def test_damaged_folders(exported, tmp_path):
    for to, form in FORMS.items():
        folder = tmp_path / to
        folder.mkdir()
        (folder / form.file).write_bytes(b"no model")
        with pytest.raises(InputError, match=f"{form.file}: expected .* Export it anew"):
            Predictor.load(folder)
    fine = exported("onnx", features=True)
    (tmp_path / "onnx/model.onnx").write_bytes((fine / "model.onnx").read_bytes().replace(b'{"', b"{\xff", 1))
    with pytest.raises(InputError, match=r"model\.onnx: expected .*UTF-8.* Export it anew"):
        Predictor.load(tmp_path / "onnx")
    folder = tmp_path / "changed"
    folder.mkdir()
    (folder / "model.onnx").symlink_to(fine / "model.onnx")
    with pytest.raises(InputError, match=r"classes\.json: expected a file"):
        Predictor.load(folder)
    (folder / "classes.json").write_text('["one"]')
    (folder / "preprocess.json").write_text("{}")
    with pytest.raises(InputError, match=r"classes\.json: expected a list of 3 classes"):
        Predictor.load(folder)
    (folder / "classes.json").write_text('["one", "two", "three"]')
    with pytest.raises(InputError, match=r"preprocess\.json: expected a transform as cocoop writes it"):
        Predictor.load(folder)


@pytest.mark.parametrize(("name", "value"), [("format", 2), ("classes", "3"), ("head", "round")])
def test_a_description_that_was_changed(exported, tmp_path, name, value):
    with safe_open(exported("safetensors-head") / "head.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in ("weight", "bias")}
        description = json.loads(file.metadata()["cocoop"])
    save_file(tensors, tmp_path / "head.safetensors", {"cocoop": json.dumps(description | {name: value})})
    with pytest.raises(
        InputError, match=rf"expected a model that `cocoop export` wrote, .*its '{name}' is .*Export it anew"
    ):
        Predictor.load(tmp_path)


def test_a_model_of_somebody_else(tmp_path):
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(2, 2),)), tmp_path / "model.pt2")
    with pytest.raises(InputError, match="expected a model that `cocoop export` wrote"):
        Predictor.load(tmp_path)


class Bomb:
    def __reduce__(self):
        return (open, ("boom", "w"))


def test_nothing_that_a_program_holds_is_executed(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        zipfile.ZipFile(exported("torch-export", features=True) / "model.pt2") as archive,
        zipfile.ZipFile(tmp_path / "model.pt2", "w") as changed,
    ):
        for name in archive.namelist():
            content = archive.read(name)
            if "sample_inputs" in name:
                torch.save(Bomb(), tmp_path / "bomb")
                content = (tmp_path / "bomb").read_bytes()
            changed.writestr(name, content)
    with pytest.raises(InputError, match=r"model\.pt2: expected a model that `cocoop export` wrote"):
        Predictor.load(tmp_path)
    assert not (tmp_path / "boom").exists()
