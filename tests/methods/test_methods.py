"""One contract suite over every registered method, and the equations of CoCoOp written out slowly."""

import math

import pytest
import torch
from golden_clip import FACTS, VALUES

from cocoop import METHODS, CoCoOp, CoOp, InputError, ZeroShot

NAMES = FACTS["class_names"]
NEW = FACTS["new_class_names"]
IMAGES = VALUES["image_features"]


@pytest.fixture(params=METHODS)
def model(request, golden):
    torch.manual_seed(0)
    return METHODS[request.param](golden, NAMES)


def test_logits_and_probabilities(model):
    logits = model(IMAGES)
    assert logits.shape == (len(IMAGES), len(NAMES))
    features = model.text_features(IMAGES)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(features.shape[:-1]), rtol=0, atol=1e-5)
    cosines = torch.stack([features.expand(len(IMAGES), -1, -1)[b] @ IMAGES[b] for b in range(len(IMAGES))])
    torch.testing.assert_close(logits, model.clip.logit_scale * cosines, rtol=0, atol=1e-4)
    probabilities = model.probabilities(IMAGES)
    torch.testing.assert_close(probabilities, logits.softmax(1), rtol=0, atol=1e-6)
    assert not probabilities.requires_grad


def test_an_image_does_not_depend_on_its_batch(model):
    together = model(IMAGES)
    for b in range(len(IMAGES)):
        torch.testing.assert_close(model(IMAGES[b : b + 1]), together[b : b + 1], rtol=0, atol=1e-4)


def test_a_class_does_not_depend_on_the_others(model):
    logits = model(IMAGES)
    order = [4, 0, 7]
    model.set_classes([NAMES[k] for k in order])
    torch.testing.assert_close(model(IMAGES), logits[:, order], rtol=0, atol=1e-4)


def test_set_classes_swaps_and_returns_the_model(model):
    before = model(IMAGES)
    assert model.set_classes(NEW) is model
    assert model.class_names == NEW
    assert model(IMAGES).shape == (len(IMAGES), len(NEW))
    torch.testing.assert_close(model.set_classes(NAMES)(IMAGES), before, rtol=0, atol=0)


def test_settings_build_the_same_method_again(model):
    again = type(model)(model.clip, NAMES, **model.settings)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(IMAGES), model(IMAGES))


def test_wrong_input_is_named(model):
    with pytest.raises(InputError, match=r"image_features: expected shape \[B, E=32\]; got \[6, 31\]"):
        model(IMAGES[:, :31])
    with pytest.raises(InputError, match="at least one"):
        model.set_classes([])
    with pytest.raises(InputError, match="expected words"):
        model.set_classes(["tench", "_ "])
    assert model.class_names == NAMES


def test_a_failed_swap_changes_nothing(golden, monkeypatch):
    model = CoCoOp(golden, NAMES)
    before = model(IMAGES)
    monkeypatch.setattr(golden.text, "context_length", 8)
    with pytest.raises(InputError, match="black-footed ferret"):
        model.set_classes(["tench", "black-footed ferret"])
    assert model.class_names == NAMES
    assert torch.equal(model(IMAGES), before)


def test_too_long_a_name_is_named_with_its_tokens_and_the_limit(golden, monkeypatch):
    monkeypatch.setattr(golden.text, "context_length", 12)
    for method in METHODS.values():
        # SOS, 4 context tokens, 7 of "2012 Acura RL Sedan", ".", EOT
        with pytest.raises(InputError, match=r"2012 Acura RL Sedan.*at most 12 tokens.*got 14"):
            method(golden, NAMES)


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        (ZeroShot, {}, {}),
        (CoOp, {}, {"ctx": (4, 128)}),
        (CoOp, {"context": None, "context_length": 16}, {"ctx": (16, 128)}),
        (CoOp, {"class_specific": True}, {"ctx": (9, 4, 128)}),
        (
            CoCoOp,
            {},
            {
                "ctx": (4, 128),
                "meta_net.linear1.weight": (2, 32),
                "meta_net.linear1.bias": (2,),
                "meta_net.linear2.weight": (128, 2),
                "meta_net.linear2.bias": (128,),
            },
        ),
    ],
)
def test_exactly_what_is_trainable_and_saved(golden, method, arguments, expected):
    model = method(golden, NAMES, **arguments)
    assert {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad} == expected
    assert set(model.state_dict()) == set(expected)
    assert model.trainable_parameters == sum(math.prod(shape) for shape in expected.values())


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
        model.set_classes(NEW)
    assert model.set_classes(NAMES).class_names == NAMES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context": None}, "context_length: expected a number of random context vectors"),
        ({"context": None, "context_length": 0}, "at least 1"),
        ({"context_length": 3}, "expected 4, the number of tokens"),
    ],
)
def test_contexts_that_cannot_work(golden, arguments, message):
    for method in (CoOp, CoCoOp):
        with pytest.raises(InputError, match=message):
            method(golden, NAMES, **arguments)


def test_context_length_counts_tokens_not_words(tiny):
    model = CoOp(tiny, ["cat", "dog"], context="a caf\u00e9-photo, of_x")
    assert len(model.ctx) == len(tiny.token_ids("a caf\u00e9-photo, of x")) > 4


def test_unknown_positions_and_templates_without_a_place_for_the_name(golden):
    with pytest.raises(InputError, match="class_position: expected one of end, middle, front; got 'centre'"):
        CoOp(golden, NAMES, class_position="centre")
    for templates in (["a photo."], [], "a photo."):
        with pytest.raises(InputError, match="templates: expected"):
            ZeroShot(golden, NAMES, templates)


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


def test_cocoop_equations_written_out_in_float64(golden):
    """Section 3.3 of the paper, one image and one class at a time, over transformers' style full attention."""
    torch.manual_seed(0)
    model = CoCoOp(golden, NAMES)
    with torch.no_grad():
        model.meta_net.linear2.weight.mul_(30)  # a shift large enough to matter
    weights = {name: tensor.double() for name, tensor in model.state_dict().items()}
    tower = {name: tensor.double() for name, tensor in golden.text.state_dict().items()}
    heads = golden.text.layers[0].heads

    def text_feature(prompt):
        x = prompt + tower["positions"][: len(prompt)]
        for layer in range(len(golden.text.layers)):
            w = {name.removeprefix(f"blocks.{layer}."): t for name, t in tower.items()}
            q, k, v = (norm(x, w, "ln_1") @ w["qkv.weight"].T + w["qkv.bias"]).chunk(3, dim=1)
            rows = []
            for i in range(len(x)):
                parts = []
                for h in range(heads):
                    c = slice(h * x.shape[1] // heads, (h + 1) * x.shape[1] // heads)
                    scores = torch.stack([q[i, c] @ k[j, c] for j in range(i + 1)]) / (c.stop - c.start) ** 0.5
                    parts.append(scores.softmax(0) @ v[: i + 1, c])
                rows.append(torch.cat(parts))
            x = x + torch.stack(rows) @ w["out.weight"].T + w["out.bias"]
            hidden = norm(x, w, "ln_2") @ w["fc.weight"].T + w["fc.bias"]
            x = x + (hidden * torch.sigmoid(1.702 * hidden)) @ w["proj.weight"].T + w["proj.bias"]
        g = norm(x[-1], tower, "ln_final") @ tower["projection.weight"].T
        return g / g.norm()

    def norm(x, w, name):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    embedding = tower["token_embedding.weight"]
    logits = model(IMAGES[:2]).detach()
    for b, x in enumerate(IMAGES[:2].double()):
        hidden = (weights["meta_net.linear1.weight"] @ x + weights["meta_net.linear1.bias"]).clamp(min=0)
        pi = weights["meta_net.linear2.weight"] @ hidden + weights["meta_net.linear2.bias"]
        for i in (0, 2, 7):
            name = [*FACTS["tokens"][NAMES[i].replace("_", " ") + "."], 49407]
            prompt = torch.cat([embedding[[49406]], weights["ctx"] + pi, embedding[name]])
            expected = 100 * x @ text_feature(prompt)
            assert float(logits[b, i]) == pytest.approx(float(expected), abs=2e-4)
