"""What the papers' methods are beyond the contract of all, and their equations written out slowly."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_clip import FACTS, VALUES

from cocoop import CLIP, METHODS, CoCoOp, CoOp, InputError, ZeroShot
from cocoop.methods.zero_shot_ensemble import TEMPLATES

NAMES = FACTS["class_names"]
IMAGES = VALUES["image_features"]


def test_a_failed_swap_changes_nothing(golden, monkeypatch):
    model = CoCoOp(golden, NAMES)
    before = model(IMAGES)
    monkeypatch.setattr(golden.text, "context_length", 8)
    with pytest.raises(InputError, match="black-footed ferret"):
        model.set_classes(["tench", "black-footed ferret"])
    assert model.class_names == NAMES
    assert torch.equal(model(IMAGES), before)


@pytest.mark.parametrize("method", [ZeroShot, CoOp, CoCoOp])
def test_an_interrupted_swap_changes_nothing(golden, monkeypatch, method):
    model = method(golden, NAMES)
    before = model(IMAGES)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(golden.tokenizer, "encode", interrupt)
        model.set_classes(["tench", "goldfish"])
    assert model.class_names == NAMES and torch.equal(model(IMAGES), before)


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_too_long_a_name_is_named_with_its_tokens_and_the_limit(golden, monkeypatch):
    monkeypatch.setattr(golden.text, "context_length", 12)
    for method in (ZeroShot, CoOp, CoCoOp):
        # SOS, 4 context tokens, 7 of "2012 Acura RL Sedan", ".", EOT
        with pytest.raises(InputError, match=r"2012 Acura RL Sedan.*at most 12 tokens.*got 14"):
            method(golden, NAMES)


def test_cocoop_at_the_papers_size_has_35360_parameters():
    """ctx 4 x 512 and a Meta-Net of 33,312 (reference/original_protocol.md 1.1)."""
    ctx, hidden = 4 * 512, 512 // 16
    assert ctx + (512 * hidden + hidden) + (hidden * 512 + 512) == 35_360


def test_random_contexts_have_the_papers_spread(golden):
    torch.manual_seed(0)
    ctx = CoOp(golden, NAMES, context=None, context_length=64).ctx.detach()
    assert float(ctx.std()) == pytest.approx(0.02, rel=0.05)  # 8,192 values: standard error 0.8 %
    specific = CoOp(golden, NAMES, context=None, context_length=4, class_specific=True).ctx
    assert not torch.equal(specific[0], specific[1])


def test_class_specific_words_start_from_the_words(golden):
    """The original silently falls back to one shared context here (coop.py); this keeps its promise."""
    ctx = CoOp(golden, NAMES, class_specific=True).ctx
    assert all(torch.equal(ctx[k], CoOp(golden, NAMES).ctx) for k in range(len(NAMES)))


def test_class_specific_prompts_do_not_fit_other_classes(golden):
    model = CoOp(golden, NAMES, class_specific=True)
    with pytest.raises(InputError, match="context of its own"):
        model.set_classes(FACTS["new_class_names"])
    assert model.set_classes(NAMES).class_names == NAMES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context": None}, "context_length: expected a number of random context vectors"),
        ({"context": None, "context_length": 0}, "at least 1"),
        ({"context": None, "context_length": True}, "at least 1 and at most 77, .*; got True"),
        ({"context": None, "context_length": 78}, "at least 1 and at most 77, .*; got 78"),
        ({"context_length": 3}, "expected 4, the number of tokens"),
        ({"context_length": [4, 4]}, r"expected 4, the number of tokens.*; got \[4, 4\]"),
    ],
)
def test_contexts_that_cannot_work(golden, arguments, message):
    for method in (CoOp, CoCoOp):
        with pytest.raises(InputError, match=message):
            method(golden, NAMES, **arguments)


def test_context_length_counts_tokens_not_words(tiny):
    model = CoOp(tiny, ["cat", "dog"], context="a caf\u00e9-photo, of_x")
    assert len(model.ctx) == len(tiny.token_ids("a caf\u00e9-photo, of x")) > 4


def test_unknown_positions(golden):
    with pytest.raises(InputError, match="class_position: expected one of end, middle, front; got 'centre'"):
        CoOp(golden, NAMES, class_position="centre")


@pytest.mark.parametrize(
    "templates",
    [
        *(["a photo."], [], "a photo.", 5, None, [1], ["{}", None], {"a {}.", "the {}."}, {"a {}.": 1}),
        *(np.array(["a {}.", "the {}."]), (text for text in ("a {}.", "the {}."))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_templates_are_texts_in_an_order(golden, templates):
    with pytest.raises(InputError, match=r"templates: expected one or a list of texts with \{\}") as refused:
        ZeroShot(golden, NAMES, templates)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("given", ["False", "no", 0, 1, None, [True]])
def test_class_specific_is_true_or_false(golden, given):
    """ "False" counted as true."""
    with pytest.raises(InputError, match="class_specific: expected True or False; got"):
        CoOp(golden, NAMES, class_specific=given)


def test_class_specific_may_be_numpys(golden):
    model = CoOp(golden, NAMES, class_specific=np.bool_(True))
    assert model.settings["class_specific"] is True and model.ctx.ndim == 3


def test_the_docs_list_every_setting_with_its_default():
    page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?`) \| `(\w+)` \| `(.+?)` \|", page, re.MULTILINE)
    documented = {
        (method, name): default for methods, name, default in rows for method in re.findall("`(.+?)`", methods)
    }
    shown = {"('a photo of a {}.',)": "a photo of a {}.", "None": "none", "False": "false"}
    shown[str((*TEMPLATES, "a photo of a {}."))] = "seven and a photo of a {}."
    defaults = {
        (method, name): shown.get(str(default), str(default))
        for method, kind in METHODS.items()
        for name, default in kind.setting_defaults().items()
    }
    assert documented == defaults


def test_names_with_braces_are_only_names(tiny):
    model = ZeroShot(tiny, ["{}", "{0} {x}"])
    expected = tiny.encode_texts(["a photo of a {}.", "a photo of a {0} {x}."])
    torch.testing.assert_close(model.text_features(torch.empty(0))[0], expected, rtol=0, atol=1e-6)


def test_equal_names_get_equal_probabilities(tiny):
    """ImageNet's published list has two classes called sunglasses."""
    probabilities = CoCoOp(tiny, ["sunglasses", "sunglass", "sunglasses"]).probabilities(
        torch.nn.functional.normalize(torch.randn(4, tiny.embed_dim, generator=torch.Generator().manual_seed(0)))
    )
    torch.testing.assert_close(probabilities[:, 0], probabilities[:, 2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("meta_nets", ["shared", "per-token"])
def test_cocoop_equations_written_out(meta_nets, similarity):
    """Section 3.3 of the paper, its costly variant of 3.2 and the similarities, one image and one class at a time."""
    clip = CLIP.load("tiny", device="cpu", dtype="float64")
    names = ["seven", "wild_goose", "a big red kite"]
    torch.manual_seed(0)
    model = CoCoOp(clip, names, meta_nets=meta_nets, similarity=similarity)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("linear2.weight"):
                parameter.mul_(10)  # a shift large enough to matter
    weights, embedding = model.state_dict(), clip.text.token_embedding.weight
    images = torch.randn(3, clip.embed_dim, dtype=torch.float64)
    images /= images.norm(dim=1, keepdim=True)
    typical = slow_text_feature(clip, embedding[ids(clip, "a photo of a .")]).norm()

    def token(x, net):
        hidden = (weights[f"{net}.linear1.weight"] @ x + weights[f"{net}.linear1.bias"]).clamp(min=0)
        return weights[f"{net}.linear2.weight"] @ hidden + weights[f"{net}.linear2.bias"]

    logits = model(images).detach()
    for b, x in enumerate(images):
        context = []
        for m in range(4):
            net = "meta_net" if meta_nets == "shared" else f"meta_nets.{m}"
            context.append(weights["ctx"][m] + token(x, net))
        for i, name in enumerate(names):
            start, *rest = ids(clip, name.replace("_", " ") + ".")
            g = slow_text_feature(clip, torch.cat([embedding[[start]], torch.stack(context), embedding[rest]]))
            if similarity == "cosine":
                similar = x @ (g / g.norm())
            elif similarity == "dot":
                similar = x @ (g / typical)
            else:
                similar = -((x - g / typical) ** 2).sum() / 2
            assert float(logits[b, i]) == pytest.approx(float(clip.logit_scale * similar), abs=1e-9)


def ids(clip, text):
    """Start token, the text's own, end token."""
    words = clip.tokenizer
    return [words.bos_token_id, *words.encode(text, add_special_tokens=False), words.eos_token_id]


def slow_text_feature(clip, prompt):
    """g of one prompt's embeddings [S, D], before the unit norm, over full attention as in transformers."""
    tower = clip.text.state_dict()
    x = prompt + tower["positions"][: len(prompt)]
    for layer, block in enumerate(clip.text.layers):
        w = {name.removeprefix(f"blocks.{layer}."): t for name, t in tower.items()}
        q, k, v = (layer_norm(x, w, "ln_1") @ w["qkv.weight"].T + w["qkv.bias"]).chunk(3, dim=1)
        rows = []
        for i in range(len(x)):
            parts = []
            for h in range(block.heads):
                c = slice(h * x.shape[1] // block.heads, (h + 1) * x.shape[1] // block.heads)
                scores = torch.stack([q[i, c] @ k[j, c] for j in range(i + 1)]) / (c.stop - c.start) ** 0.5
                parts.append(scores.softmax(0) @ v[: i + 1, c])
            rows.append(torch.cat(parts))
        x = x + torch.stack(rows) @ w["out.weight"].T + w["out.bias"]
        hidden = layer_norm(x, w, "ln_2") @ w["fc.weight"].T + w["fc.bias"]
        x = x + (hidden * torch.sigmoid(1.702 * hidden)) @ w["proj.weight"].T + w["proj.bias"]
    return layer_norm(x[-1], tower, "ln_final") @ tower["projection.weight"].T


def layer_norm(x, w, name):
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]
