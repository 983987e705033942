"""Conditional prompts exported as their first order."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_models import NEAR, class_probabilities_of, random_features, run_code

import cocoop
from cocoop import InputError, PromptClassifier, RunError
from cocoop.bench import Shape, class_names, random_clip
from cocoop.features import encode_pictures
from cocoop.methods import expansions
from cocoop.serving import export
from cocoop.serving.export import Learned
from cocoop.serving.exported import TangentHead


@pytest.fixture(scope="module")
def conditional(learned, shallow) -> Learned:
    """A CoCoOp whose Meta-Net is scaled up until images move the prompts: it has learned for a moment only."""
    classifier = PromptClassifier(clip=shallow, shots=2, epochs=1, device="cpu", seed=3)
    classifier.fit(learned.paths, [Path(path).parent.name for path in learned.paths])
    with torch.no_grad():
        classifier.model_.meta_net[2].weight.mul_(30)
    return Learned("cocoop", classifier.model_, classifier.classes_.tolist(), "apply", sample=classifier.sample_)


@pytest.mark.parametrize(("to", "features"), [("onnx", False), ("torch-export", True), ("safetensors-head", True)])
def test_a_conditional_prompt_as_its_tangent(conditional, learned, tmp_path, monkeypatch, to, features):
    made = export(conditional, to, tmp_path / "model", features)
    encoded = encode_pictures(conditional.model.clip, learned.paths)
    exact = conditional.model.probabilities(encoded)
    assert (exact - conditional.model.probabilities(encoded.roll(1, 0))).abs().max() > 1e-3
    constant = (encoded @ conditional.model.shared_text_features()[0].T * conditional.model.clip.logit_scale).softmax(1)
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
        np.save(made.folder / "features.npy", encoded.numpy())
        monkeypatch.chdir(made.folder)
        assert np.allclose(run_code(Path("README.md").read_text())["probabilities"], mine, **NEAR)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("anchors", [1, 2])
def test_a_tangent_head_is_the_nearest_expansion(tiny, similarity, anchors):
    """Beside `Expansion`, which is tested against exact inference, and on the card's formula."""
    torch.manual_seed(0)
    model = cocoop.CoCoOp(tiny, ["seven", "one", "three"], similarity=similarity, meta_nets="per-token")
    sample, features = random_features(tiny, 40), random_features(tiny, 50)
    with torch.no_grad():
        made = next(islice(expansions(model, model.code(sample)), anchors - 1, None))
        head = TangentHead.of(model, made, 1.5)
        codes = model.code(features)
        nearest = torch.stack([one.distances(model, codes) for one in made]).argmin(dim=0)
        logits = torch.stack([one.logits(model, features, codes) for one in made], dim=1)
        expected = (logits[torch.arange(50), nearest] / 1.5).softmax(dim=1)
        weight, bias = model.code_layer()
        assert torch.allclose((features @ weight.T + bias).relu(), codes, atol=1e-6)
    assert nearest.unique().tolist() == list(range(anchors))
    assert torch.allclose(head(features), expected, **NEAR)


def test_a_head_of_ten_classes_is_small(tmp_path):
    """At ViT-B/16's joint width, E = 512, with 32 hidden numbers; the towers' depth does not matter."""
    clip = random_clip(Shape(512, 64, 1, 32, 16, 64, 1, vocabulary=2125))
    model = cocoop.CoCoOp(clip, class_names(10))
    learned = Learned("cocoop", model, model.class_names, "apply", sample=random_features(clip, 16))
    sizes = {to: export(learned, to, tmp_path / to, features=True).size for to in ("onnx", "safetensors-head")}
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
