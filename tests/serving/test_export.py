"""`export`: the files run in onnxruntime and torch alone and give the probabilities of the prompt they were made of."""

from __future__ import annotations

import json
import pickle
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from own_photos import write_photos
from PIL import Image
from random_states import random_resnet_state, random_text_state
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

import cocoop
from cocoop import CLIP, InputError, Predictor, PromptClassifier, RunError
from cocoop.bench import Shape, class_names, random_clip
from cocoop.methods import expansions
from cocoop.rgb import as_rgb
from cocoop.serving import FORMS, Named, export, load_learned
from cocoop.serving.export import Learned
from cocoop.serving.exported import TangentHead, Transform, export_card, read_exported

NEAR = {"rtol": 0, "atol": 1e-4}
"""What is promised. Float32 rounds by 2e-7 here (measured), and other CPUs sum in another order."""

THOUSAND = class_names(1000)


class Prompt(NamedTuple):
    run: Path
    classifier: PromptClassifier
    paths: list[str]


@pytest.fixture(scope="session")
def coop(tmp_path_factory) -> Prompt:
    """A CoOp of three digits that has learned, and pictures of them."""
    root = tmp_path_factory.mktemp("coop")
    paths = sorted(map(str, write_photos(root / "photos", 12).glob("*/*")))
    classifier = PromptClassifier("coop", shots=2, epochs=2, lr=0.1, augment=False, device="cpu", seed=3)
    classifier.fit(paths, [Path(path).parent.name for path in paths])
    return Prompt(classifier.save(root / "run"), classifier, paths)


@pytest.fixture(scope="session")
def exported(coop, tmp_path_factory):
    """`exported("onnx")` -> the folder, made once; with 1,000 classes instead of three, or from image features on."""
    root, made = tmp_path_factory.mktemp("exported"), {}

    def folder(to: str, classes: int = 3, features: bool = False) -> Path:
        key = f"{to}-{classes}-{features}"
        if key not in made:
            learned = load_learned(coop.run, None if classes == 3 else THOUSAND)
            made[key] = export(learned, to, root / key, features).folder
        return made[key]

    return folder


def run_alone(folder: Path, batch: torch.Tensor) -> np.ndarray:
    """What the file gives without anything of this package."""
    if (folder / "model.pt2").exists():
        return torch.export.load(folder / "model.pt2").module()(batch).numpy()
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch.numpy()})[0]


def random_pixels(clip: CLIP, count: int) -> torch.Tensor:
    size = clip.preprocess.size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def random_features(clip: CLIP, count: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, clip.embed_dim, generator=torch.Generator().manual_seed(2)), dim=1)


@pytest.mark.parametrize("classes", [3, 1000])
@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_pixels_give_the_probabilities_of_the_prompt(coop, exported, to, classes):
    folder = exported(to, classes)
    classifier = PromptClassifier.load(coop.run, device="cpu")
    if classes == 1000:
        classifier.set_classes(THOUSAND)
    assert json.loads((folder / "classes.json").read_text()) == classifier.classes_.tolist()
    for count in (1, 32):
        pixels = random_pixels(classifier.clip_, count)
        expected = classifier.model_.probabilities(classifier.clip_.encode_images(pixels))
        assert torch.allclose(torch.from_numpy(run_alone(folder, pixels)), expected, **NEAR)
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


def test_a_predictor_of_tensors_takes_the_clip_that_they_are_of(coop, exported, tiny, golden):
    head = exported("safetensors-head")
    assert np.allclose(
        class_probabilities_of(head, coop.paths, tiny), coop.classifier.predict_proba(coop.paths), **NEAR
    )
    with pytest.raises(InputError, match=r"expected the CLIP of its image features \(tiny, .*Say where that"):
        Predictor.load(head, clip=golden)


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


def run_code(card: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(card.split("```python\n")[1].split("```")[0], names)
    return names


@pytest.fixture(scope="session")
def conditional(learned, tmp_path_factory) -> Learned:
    """A CoCoOp whose Meta-Net is scaled up until images move the prompts: it has learned for a moment only."""
    return learned_of(cocoop.PromptClassifier.load(learned.run, device="cpu"), 30.0)


def learned_of(classifier: PromptClassifier, scale: float) -> Learned:
    with torch.no_grad():
        classifier.model_.meta_net[2].weight.mul_(scale)
    return Learned("cocoop", classifier.model_, classifier.classes_.tolist(), "apply", sample=classifier.sample)


@pytest.mark.parametrize("to", ["onnx", "torch-export", "safetensors-head"])
def test_a_conditional_prompt_as_its_tangent(conditional, learned, tmp_path, monkeypatch, to):
    made = export(conditional, to, tmp_path / "model")
    features = learned.classifier.encode(learned.paths)
    exact = conditional.model.probabilities(features)
    assert (exact - conditional.model.probabilities(features.roll(1, 0))).abs().max() > 1e-3
    constant = (features @ conditional.model.shared_text_features()[0].T * conditional.model.clip.logit_scale).softmax(
        1
    )
    mine = class_probabilities_of(made.folder, learned.paths, conditional.model.clip)
    # First order is far nearer than the prompt that images share.
    assert np.abs(mine - exact.numpy()).max() < 0.2 * (constant - exact).abs().max()
    tangent = made.description.tangent
    assert tangent.images == 6 and tangent.agreement == 100 and tangent.largest_difference < 0.05
    assert (
        "| the same class as by exact inference | 100 % of 6 training images |"
        in (made.folder / "README.md").read_text()
    )
    if to == "safetensors-head":
        np.save(made.folder / "features.npy", features.numpy())
        monkeypatch.chdir(made.folder)
        assert np.allclose(run_code(Path("README.md").read_text())["probabilities"], mine, **NEAR)


def class_probabilities_of(folder: Path, paths: list[str], clip: CLIP) -> np.ndarray:
    """[N, K] by the predictor."""
    predictor = Predictor.load(folder, top=3, **({"clip": clip} if (folder / "head.safetensors").exists() else {}))
    rows = [{entry["class"]: entry["probability"] for entry in top} for top in predictor({"image": paths})["top"]]
    return np.array([[row[name] for name in predictor.classes_] for row in rows])


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("anchors", [1, 2])
def test_a_tangent_head_is_the_nearest_expansion(tiny, similarity, anchors):
    """Beside `Expansion`, which is tested against exact inference, and on the card's formula."""
    torch.manual_seed(0)
    model = cocoop.CoCoOp(tiny, ["seven", "one", "three"], similarity=similarity, meta_nets="per-token")
    sample, features = random_features(tiny, 40), random_features(tiny, 50)
    with torch.no_grad():
        made = expansions(model, model.code(sample), anchors)
        head = TangentHead.of(model, made, 1.5)
        codes = model.code(features)
        nearest = torch.stack([one.distances(model, codes) for one in made]).argmin(dim=0)
        logits = torch.stack([one.logits(model, features, codes) for one in made], dim=1)
        expected = (logits[torch.arange(50), nearest] / 1.5).softmax(dim=1)
    assert nearest.unique().tolist() == list(range(anchors))
    assert torch.allclose(head(features), expected, **NEAR)


def test_a_head_of_ten_classes_is_small(tmp_path):
    """At ViT-B/16's joint width, E = 512, with 32 hidden numbers; the towers' depth does not matter."""
    clip = random_clip(Shape(512, 64, 1, 32, 16, 64, 1))
    model = cocoop.CoCoOp(clip, class_names(10))
    learned = Learned("cocoop", model, model.class_names, "apply", sample=random_features(clip, 16))
    sizes = {to: export(learned, to, tmp_path / to, features=True).size for to in FORMS}
    assert all(500_000 < size < 1_000_000 for size in sizes.values()), sizes


class Wild(cocoop.CoCoOp):
    """Prompts that swing to and fro while the code moves a little."""

    def context(self, image_features):
        return self.context_of(self.code(image_features))

    def context_of(self, code):
        return super().context_of(torch.sin(1000 * code))


def test_a_prompt_that_no_expansion_follows_is_not_exported(tiny, tmp_path):
    torch.manual_seed(0)
    wild = Wild(tiny, class_names(100))
    with torch.no_grad():
        wild.meta_net[2].weight.mul_(30)
    learned = Learned("wild", wild, wild.class_names, "apply", sample=random_features(tiny, 8))
    with pytest.raises(RunError, match=r"expected an expansion of the prompts .* got .* % of 8\. Predict with the run"):
        export(learned, "onnx", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_what_an_expansion_needs(conditional, tmp_path):
    with pytest.raises(InputError, match=r"expected a sample of the training images, .* Train it again"):
        export(conditional._replace(sample=None), "onnx", tmp_path / "model")
    coded = Uncoded(conditional.model.clip, ["seven", "one"])
    with pytest.raises(InputError, match="Uncoded: expected a method that says through which few numbers"):
        export(conditional._replace(model=coded), "onnx", tmp_path / "model")
    layered = Unlayered(conditional.model.clip, ["seven", "one"])
    with pytest.raises(InputError, match=r"Unlayered: expected a method whose code is one layer"):
        export(conditional._replace(model=layered), "onnx", tmp_path / "model")
    assert not (tmp_path / "model").exists()


class Uncoded(cocoop.CoCoOp):
    """Says no code."""

    code = cocoop.ConditionalPrompts.code

    def context(self, image_features):
        return self.ctx.expand(len(image_features), -1, -1)


class Unlayered(cocoop.CoCoOp):
    """Its code is no single layer."""

    code_layer = cocoop.ConditionalPrompts.code_layer


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


def test_reading_needs_the_runtime_alone(exported, monkeypatch):
    for name in ("onnx", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    assert Predictor.load(exported("onnx")).classes_
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'cocoop\[onnx\]'"):
        Predictor.load(exported("onnx"))


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


def test_damaged_folders(exported, tmp_path):
    for to, form in FORMS.items():
        folder = tmp_path / to
        folder.mkdir()
        (folder / form.file).write_bytes(b"no model")
        with pytest.raises(InputError, match=f"{form.file}: expected .* Export it anew"):
            Predictor.load(folder)
    fine = exported("onnx", features=True)
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
    with pytest.raises(InputError, match=r"model\.pt2: expected a program of torch\.export"):
        Predictor.load(tmp_path)
    assert not (tmp_path / "boom").exists()
