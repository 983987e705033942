"""`export`: the files run in onnxruntime and torch alone and give the probabilities of the prompt they were made of."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from exported_models import NEAR, THOUSAND, random_features, random_pixels, run_alone, run_code
from PIL import Image
from random_states import random_resnet_state, random_text_state
from safetensors import safe_open

import cocoop
from cocoop import CLIP, InputError, Predictor, PromptClassifier, RunError
from cocoop.rgb import as_rgb
from cocoop.serving import FORMS, export, load_learned
from cocoop.serving.export import Learned
from cocoop.serving.exported import Transform, export_card, read_exported


@pytest.mark.parametrize(("classes", "features"), [(3, False), (1000, True)])
@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_pixels_and_features_give_the_probabilities_of_the_prompt(coop, exported, to, classes, features):
    folder = exported(to, classes, features)
    classifier = PromptClassifier.load(coop.run, device="cpu")
    if classes == 1000:
        classifier.set_classes(THOUSAND)
    assert json.loads((folder / "classes.json").read_text()) == classifier.classes_.tolist()
    for count in (1, 32):
        pixels = random_pixels(classifier.clip_, count)
        encoded = classifier.clip_.encode_images(pixels)
        expected = classifier.model_.probabilities(encoded)
        assert torch.allclose(torch.from_numpy(run_alone(folder, encoded if features else pixels)), expected, **NEAR)
    assert expected.max() > 2 / classes  # not all the same


@pytest.mark.parametrize(
    ("to", "similarity"),
    [
        ("onnx", "cosine"),
        ("torch-export", "euclidean"),
        ("safetensors-head", "cosine"),
        ("safetensors-head", "dot"),
        ("safetensors-head", "euclidean"),
    ],
)
def test_heads_take_image_features(tiny, tmp_path, to, similarity):
    torch.manual_seed(0)
    model = cocoop.CoOp(tiny, ["seven", "one", "three"], None, 4, similarity=similarity)
    made = export(Learned("coop", model, model.class_names, "apply", 1.0), to, tmp_path / "head", features=True)
    features, expected = random_features(tiny, 32), model.probabilities(random_features(tiny, 32))
    if to == "safetensors-head":
        with safe_open(made.file, "pt") as file:
            weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
            assert json.loads(file.metadata()["cocoop"])["verification"]["images"] == 8
        assert torch.allclose((features @ weight.T + bias).softmax(dim=1), expected, **NEAR)
        assert bias.any() == (similarity == "euclidean")
    else:
        assert torch.allclose(torch.from_numpy(run_alone(made.folder, features)), expected, **NEAR)
    assert made.size == made.file.stat().st_size < 50_000


def test_a_temperature_is_in_the_probabilities(tiny, tmp_path):
    model = cocoop.ZeroShot(tiny, ["seven", "one", "three"])
    made = export(Learned("zero-shot", model, model.class_names, "apply", 2.5), "onnx", tmp_path / "head", True)
    features = random_features(tiny, 5)
    expected = (model(features) / 2.5).softmax(dim=1)
    assert torch.allclose(torch.from_numpy(run_alone(made.folder, features)), expected, **NEAR)
    assert made.description.temperature == 2.5


@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_a_resnet(tmp_path, tiny, to):
    clip = CLIP.load(random_text_state() | random_resnet_state(), tokenizer=tiny.tokenizer, device="cpu")
    model = cocoop.ZeroShot(clip, ["seven", "one", "three"])
    made = export(Learned("zero-shot", model, model.class_names, "apply", 1.0), to, tmp_path / "model")
    pixels = random_pixels(clip, 5)
    expected = model.probabilities(clip.encode_images(pixels))
    assert torch.allclose(torch.from_numpy(run_alone(made.folder, pixels)), expected, **NEAR)


def test_the_file_says_what_it_is_and_no_place_of_this_machine(coop, exported):
    folder, extra = exported("onnx"), {"cocoop.json": ""}
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    description = json.loads(session.get_modelmeta().custom_metadata_map["cocoop"])
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("pixels", ["batch", 3, 32, 32], "tensor(float)")
    ]
    assert [(o.name, o.shape[1]) for o in session.get_outputs()] == [("probabilities", 3)]
    assert description["clip_fingerprint"] == coop.classifier.clip_.fingerprint
    assert description["verification"]["largest_difference"] < 1e-4
    torch.export.load(exported("torch-export") / "model.pt2", extra_files=extra)
    other = json.loads(extra["cocoop.json"])
    assert other | {"verification": None} == description | {"verification": None}
    here = str(Path(cocoop.__file__).parent).encode()
    assert here not in (folder / "model.onnx").read_bytes()
    with zipfile.ZipFile(exported("torch-export") / "model.pt2") as archive:
        assert not [name for name in archive.namelist() if here in archive.read(name)]


@pytest.mark.parametrize(
    ("to", "mode", "size"),
    [
        ("onnx", "shortest", (45, 62)),
        ("onnx", "shortest", (100, 33)),
        ("onnx", "squash", (62, 45)),
        ("torch-export", "shortest", (32, 32)),
    ],
)
def test_the_code_on_the_card_runs(coop, exported, tmp_path, monkeypatch, capsys, to, mode, size):
    """Also where margins are odd, and lying on its side as phones store photos."""
    folder = exported(to)
    read = read_exported(folder)
    transform = Transform(**{**vars(read.transform), "resize_mode": mode})
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save(tmp_path / "image.jpg", exif=exif)
    card = export_card(FORMS[to], read.description, read.classes, transform, 128)
    if mode == "shortest":
        assert card == (folder / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    names = run_code(card)
    upright = as_rgb(Image.open("image.jpg"))
    # The card divides in float64.
    assert np.allclose(names["batch"][0], transform.preprocess(upright).numpy(), rtol=0, atol=1e-6)
    if mode == "shortest":
        best = Predictor.load(coop.run, device="cpu")({"image": ["image.jpg"]})
        printed = capsys.readouterr().out.split()
        assert printed[0] == best["class"][0]
        assert float(printed[1]) == pytest.approx(best["probability"][0], abs=1e-4)


@pytest.mark.parametrize(("to", "features"), [("onnx", True), ("torch-export", True), ("safetensors-head", False)])
def test_the_code_on_a_head_s_card_runs(coop, exported, tmp_path, monkeypatch, to, features):
    folder = exported(to, features=features)
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    np.save(tmp_path / "features.npy", coop.classifier.encode(coop.paths).numpy())
    monkeypatch.chdir(tmp_path)
    probabilities = run_code((folder / "README.md").read_text())["probabilities"]
    assert np.allclose(probabilities, coop.classifier.predict_proba(coop.paths), **NEAR)


class Squared(cocoop.ZeroShot):
    """Logits that are no linear function."""

    def forward(self, image_features):
        return super().forward(image_features).square()


def test_a_method_that_is_not_linear_is_refused(tiny, tmp_path):
    model = Squared(tiny, ["seven", "one", "three"])
    with pytest.raises(InputError, match=r"expected a method whose logits are a linear function .* got squared"):
        export(Learned("squared", model, model.class_names, "apply", 1.0), "onnx", tmp_path / "model")


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_the_extra_is_named_where_it_is_missing(coop, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=r"pip install 'cocoop\[onnx\]'"):
        export(load_learned(coop.run), "onnx", tmp_path / "model")


def test_a_folder_that_is_taken_and_an_unknown_form(coop, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    learned = load_learned(coop.run)
    with pytest.raises(InputError, match="expected a new or empty folder for the exported model"):
        export(learned, "onnx", tmp_path / "taken")
    with pytest.raises(InputError, match="expected one of onnx, torch-export, safetensors-head; got 'tflite'"):
        export(learned, "tflite", tmp_path / "model")


def test_a_file_that_gives_something_else_is_not_written(coop, tmp_path, monkeypatch):
    form = FORMS["safetensors-head"]
    other = form._replace(read=lambda path: form.read(path)._replace(run=lambda batch: torch.zeros(len(batch), 3)))
    monkeypatch.setitem(FORMS, "safetensors-head", other)
    with pytest.raises(RunError, match="expected the tensors of a head with the probabilities of the prompt"):
        export(load_learned(coop.run), "safetensors-head", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
