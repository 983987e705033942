"""What the contract cannot know of the methods that learn beside hand-written prompts."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from cocoop import CLIP, InputError
from cocoop.methods import METHODS, TCP, CoOp, KgCoOp, ProGrad

NAMES = ["one", "wild_goose", "a big red kite"]


@pytest.fixture(scope="module")
def exact() -> CLIP:
    return CLIP.load("tiny", device="cpu", dtype="float64")


def batch(clip: CLIP, count: int = 5):
    features = torch.randn(count, clip.embed_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return F.normalize(features, dim=1), torch.arange(count) % len(NAMES)


def test_the_distance_is_half_of_the_papers(exact):
    model = KgCoOp(exact, NAMES, weight=3.0)
    features, labels = batch(exact)
    text, teacher = (
        model.text_features(features)[0],
        exact.encode_texts(["a photo of a " + n + "." for n in ("one", "wild goose", "a big red kite")]),
    )
    squares = (text - teacher).square().sum(dim=1).mean()
    cross_entropy = F.cross_entropy(model(features), labels)
    torch.testing.assert_close(model.loss(features, labels)[0], cross_entropy + 3.0 / 2 * squares)


def test_only_the_teacher_has_the_data_sets_template(exact):
    one, other = (KgCoOp(exact, NAMES, template=text) for text in ("a photo of a {}.", "the sign {}."))
    features, _ = batch(exact)
    assert torch.equal(one(features), other(features)) and not torch.equal(one.teacher, other.teacher)


def test_prograd_takes_away_what_is_against_the_teacher(exact):
    """Of all labels that two images can have: of some the gradients conflict, of some they do not."""
    torch.manual_seed(0)
    model = ProGrad(exact, NAMES, context=None, context_length=3, strength=0.5)
    features, _ = batch(exact, 2)
    soft = F.cross_entropy(model(features), model.teacher_logits(features).softmax(dim=1))
    of_teacher = torch.autograd.grad(soft, model.ctx)[0]
    conflicts = set()
    for labels in torch.cartesian_prod(torch.arange(3), torch.arange(3)):
        loss, logits, (gradient,) = model.gradients(features, labels)
        of_classes = torch.autograd.grad(F.cross_entropy(model(features), labels), model.ctx)[0]
        product = (of_classes * of_teacher).sum()
        conflicts.add(bool(product < 0))
        expected = of_classes - 0.5 * product / of_teacher.square().sum() * of_teacher if product < 0 else of_classes
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(loss, F.cross_entropy(logits, labels))
    assert conflicts == {True, False}


def test_prograd_follows_the_labels_where_the_teacher_says_nothing(exact, monkeypatch):
    """A gradient of zero has no direction: 0 / 0."""
    model = ProGrad(exact, NAMES)
    features, labels = batch(exact)
    monkeypatch.setattr(ProGrad, "divergence", lambda self, features, logits: 0 * logits.sum())
    expected = torch.autograd.grad(F.cross_entropy(model(features), labels), model.ctx)[0]
    torch.testing.assert_close(model.gradients(features, labels)[2][0], expected)


def test_prograds_words_stand_behind_zeros(exact):
    model = ProGrad(exact, NAMES, context="a photo of a", context_length=7)
    assert torch.equal(model.ctx[:3], torch.zeros_like(model.ctx[:3]))
    assert torch.equal(model.ctx[3:], CoOp(exact, NAMES).ctx)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            "a photo of a {}, a type of pet.",
            {"template": "a type of pet, a photo of a {}.", "context": "a type of pet, a photo of a"},
        ),
        ("a centered photo of {}.", {"template": "a centered photo of {}.", "context": "a centered photo of"}),
        ("{} texture.", {"template": "{} texture."}),
    ],
)
def test_prograds_templates_have_the_tail_in_front(template, expected):
    assert ProGrad.template_settings(template) == expected


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (ProGrad, {"context_length": 3}, "context_length: expected 4, the number of tokens of 'a photo of a', to 77"),
        (ProGrad, {"context_length": None}, "context_length: expected 4, the number of tokens"),
        (ProGrad, {"strength": -0.5}, "strength: expected a number of 0 or more; got -0.5"),
        (KgCoOp, {"weight": float("nan")}, "weight: expected a number of 0 or more; got nan"),
        (KgCoOp, {"template": "a photo"}, "template: expected a text with {}"),
        (TCP, {"block": 0}, "block: expected a text block of this CLIP behind the first, 1 to 2; got 0"),
        (TCP, {"block": 3}, "block: expected a text block of this CLIP behind the first, 1 to 2; got 3"),
        (TCP, {"block": 1.5}, "block: expected a text block"),
    ],
)
def test_settings_that_cannot_be(tiny, method, settings, message):
    with pytest.raises(InputError, match=message) as refusal:
        method(tiny, NAMES, **settings)
    assert "\n" not in str(refusal.value)


# TCP


def tcp(clip: CLIP, names: list[str], template: str = "a photo of a {}.", **settings) -> TCP:
    torch.manual_seed(0)
    return TCP(clip, names, template=template, **settings)


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize(
    "names", [NAMES, ["one"], ["one", "one", "kite", "One"], ["big dog", "big cat"]], ids=lambda names: names[-1]
)
def test_tcps_packed_path_is_the_plain_one(exact, names, block):
    """Also where the names share their first words, which see class tokens, and where prompts are equal."""
    model = tcp(exact, names, "a photo of a nice {}, a type of pet.", block=block)
    features, labels = batch(exact)
    labels = labels % len(names)
    packed = model.gradients(features, labels)
    try:
        exact.text.plain = True
        plain = model.gradients(features, labels)
    finally:
        exact.text.plain = False
    for ours, theirs in zip([packed[0], packed[1], *packed[2]], [plain[0], plain[1], *plain[2]], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        assert ours.abs().max() > 0


def test_tcp_in_little_memory_learns_the_same():
    """Classes in parts, whose activations are computed again."""
    whole = CLIP.load("tiny", device="cpu", dtype="float64")
    little = CLIP.load("tiny", device="cpu", dtype="float64", memory_budget="8MB")
    names = [f"{thing} {number}" for thing in ("kite", "goose", "dog") for number in ("one", "two", "three", "four")]
    both = [tcp(clip, names).gradients(batch(clip)[0], batch(clip)[1]) for clip in (whole, little)]
    for ours, theirs in zip(both[0][2], both[1][2], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_tcps_class_tokens_enter_after_two_thirds(tiny):
    assert tcp(tiny, NAMES).settings["block"] == 2
    assert (METHODS["tcp"].setting_defaults()["block"], len(tiny.text.blocks)) == (None, 3)


@pytest.mark.parametrize(
    ("template", "between", "tail"),
    [
        ("a photo of a {}.", "", "."),
        ("a photo of a {}, a type of pet.", "", ", a type of pet."),
        ("a photo of a person doing {}.", "person doing", "."),
        ("{} texture.", "", " texture."),
    ],
)
def test_tcps_prompts_keep_the_rest_of_the_template(tiny, template, between, tail):
    model = tcp(tiny, NAMES, template)
    expected = [-1, -2, -3, -4, *tiny.token_ids(between), *tiny.token_ids("wild goose" + tail)]
    assert model._symbols(1, "wild_goose") == expected
