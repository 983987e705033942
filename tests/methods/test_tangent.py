"""`Expansion` against autograd's Jacobian; `TangentPrompts` against the method itself, also where it must say no."""

import copy
import json
from itertools import pairwise

import pytest
import torch
from golden_clip import FACTS, VALUES, load, state_dict
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.functional import jacobian
from torch.nn import functional as F

from cocoop import CLIP, CoCoOp, ConditionalPrompts, CoOp, InputError, ZeroShot
from cocoop.bench.words import WordTokenizer
from cocoop.methods import TangentPrompts, inference_of
from cocoop.methods.expansion import Expansion

NAMES = FACTS["class_names"]
IMAGES = VALUES["image_features"]
K = len(NAMES)


@pytest.fixture(scope="module")
def exact_clip() -> CLIP:
    """The golden CLIP in float64, with a tokenizer that knows every text."""
    return load(WordTokenizer(len(state_dict()["token_embedding.weight"])), dtype="float64")


def make(clip, seed=0, strength=1.0, names=NAMES, **settings):
    """A CoCoOp with random tensors, whose pi is `strength` times as large as at first."""
    torch.manual_seed(seed)
    model = CoCoOp(clip, names, context=None, context_length=3, **settings)
    with torch.no_grad():
        model.ctx.mul_(10)
        for net in model._nets:
            net[2].weight.mul_(strength)
    return model


def photos(count, seed, spread=0.5, dtype=torch.float32):
    """Unit features of one data set: around the first golden image, as those of real photographs lie in a cone."""
    noise = torch.randn(count, IMAGES.shape[1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    around = IMAGES[0].double() + spread * F.normalize(noise, dim=1)
    return F.normalize(around, dim=1).to(dtype)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("meta_nets", ["shared", "per-token"])
def test_an_expansion_is_that_of_autograd(exact_clip, meta_nets, similarity):
    model = make(exact_clip, names=["one", "a red panda"], meta_nets=meta_nets, similarity=similarity)
    images = photos(5, 1, dtype=torch.float64)
    with torch.no_grad():
        codes = model.code(images)
        code = codes.mean(dim=0)
        # Step 6e-6 of the spread: errors of some eps^(2/3) = 4e-11, times 100 in a logit.
        expansion = Expansion(model, code, spread=float((codes - code).norm(dim=1).max()))
        found, distances = expansion.logits(model, images, codes), expansion.distances(model, codes)
    slopes = jacobian(lambda a: model.raw_text_features(a[None])[0], code)
    features = model.raw_text_features(code[None])[0] + torch.einsum("keh,bh->bke", slopes, codes - code)
    features = F.normalize(features, dim=-1) if similarity == "cosine" else features / model._length
    torch.testing.assert_close(found, model.logits(images, features).detach(), rtol=0, atol=1e-7)
    moved = (model.context(images) - model.context_of(code[None])).flatten(1).norm(dim=1)
    torch.testing.assert_close(distances, moved.detach(), rtol=1e-6, atol=0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_the_error_falls_as_the_square_of_the_distance(exact_clip, seed):
    """That is what first order means: half as far, a quarter of the error; a half would be order zero."""
    model = make(exact_clip, seed)
    with torch.no_grad():
        code = model.code(photos(20, seed, dtype=torch.float64)).mean(dim=0)
        way = torch.randn(len(code), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        way /= way.norm()
        expansion = Expansion(model, code, spread=1e-2)
        image = photos(1, seed + 1, dtype=torch.float64)
        errors = []
        for distance in (4e-3, 2e-3, 1e-3):
            there = (code + distance * way)[None]
            exact = model.logits(image, model.encode(model._prompts, model.context_of(there)))
            errors.append(float((expansion.logits(model, image, there) - exact).norm()))
    assert errors[2] > 1e-9  # far above rounding
    for larger, smaller in pairwise(errors):
        assert 3.6 < larger / smaller < 4.4


@pytest.mark.parametrize("meta_nets", ["shared", "per-token"])
def test_it_agrees_with_the_model_and_counts(golden, meta_nets):
    model = make(golden, meta_nets=meta_nets)
    tangent = TangentPrompts(model, photos(200, 0))
    check = tangent.check
    assert (check.images, check.anchors, check.agreement, tangent.exact) == (32, 1, 100, False)
    assert json.loads(json.dumps(check.as_dict()))["agreement"] == 100
    images = photos(300, 1)
    found, exact = tangent.probabilities(images), model.probabilities(images)
    assert torch.equal(found.argmax(1), exact.argmax(1)) and not found.requires_grad
    assert 0 < float((found - exact).abs().max()) < 0.05
    torch.testing.assert_close(found.sum(dim=1), torch.ones(300))
    assert tangent.counts["images"] == 300 and tangent.counts["exact"] < 30
    assert "tangent inference" in tangent.describe() and "300 images" in tangent.describe()
    assert tangent.logits(images[:0]).shape == (0, K)
    with pytest.raises(InputError, match=r"image_features: expected shape"):
        tangent.logits(images[:, 1:])


def test_what_is_within_the_margin_is_exact(golden):
    """A margin without end makes all classes exact; one that takes in some makes those exact, above the others."""
    model, images = make(golden, strength=3).requires_grad_(False), photos(8, 1)
    tangent, exact = TangentPrompts(model, photos(200, 0)), model(images)
    (expanded, _), half = tangent._expanded(images), 0
    gaps = expanded.max(dim=1, keepdim=True).values - expanded
    for margin in (float(gaps.median()), float(gaps.max()) + 1):
        tangent._near, tangent._curvature = 1e3, margin / 1e6
        found, encoded = tangent._refined(images)
        kept = gaps <= margin
        assert encoded.tolist() == [n if n > 1 else 0 for n in kept.sum(dim=1).tolist()]
        kept &= (encoded > 1)[:, None]
        torch.testing.assert_close(found[kept], exact[kept], rtol=0, atol=1e-3)
        half += int(0 < kept.sum() < kept.numel())
        for b in (encoded > 1).nonzero().flatten().tolist():
            others, offset = ~kept[b], (exact[b] - expanded[b])[kept[b]].mean()
            torch.testing.assert_close(found[b, others], expanded[b, others] + offset, rtol=0, atol=1e-3)
    assert half == 1 and encoded.tolist() == [K] * 8


@pytest.mark.parametrize("strength", [1, 5, 25, 125, 1000])
def test_a_meta_net_too_strong_is_noticed(golden, strength):
    """Whatever the strength the answer is right; where one expansion fails, others are tried, and in the end none."""
    model, images = make(golden, strength=strength), photos(200, 1)
    tangent = TangentPrompts(model, photos(200, 0))
    found, exact = tangent.probabilities(images), model.probabilities(images)
    same = found.argmax(1) == exact.argmax(1)
    assert float(same.double().mean()) >= 0.995
    check = tangent.check
    assert tangent.exact == (not check.passed)
    if strength == 1:
        assert check.anchors == 1 and not tangent.exact
    if strength == 1000:
        assert check.anchors == 4 and tangent.exact
        assert torch.equal(found, exact) and tangent.counts["exact"] == 200
        assert tangent.describe().startswith("exact inference, since tangent inference was not good enough")


def test_images_of_another_data_set_are_classified_exactly(golden):
    model = make(golden)
    tangent = TangentPrompts(model, photos(200, 0, spread=0.1))
    others = photos(200, 1, spread=10)
    with torch.no_grad():
        moved = model.context(others) - model.context(photos(200, 0, spread=0.1)).mean(dim=0)
        exact = model(others)
    far = moved.flatten(1).norm(dim=1) > tangent._limit
    assert not tangent.exact and 50 < far.sum() < 200  # a code has two numbers here: those of some are near by chance
    torch.testing.assert_close(tangent.logits(others[far]), exact[far], rtol=0, atol=1e-3)
    assert tangent.counts == {"images": int(far.sum()), "refined": 0, "exact": int(far.sum())}
    assert torch.equal(tangent.logits(others).argmax(dim=1), exact.argmax(dim=1))


def test_prompts_that_do_not_follow_from_the_code_are_noticed(golden):
    """A text feature that another step changes is none of the expansion's: the check must fail, and all be exact."""

    class Mixed(CoCoOp):
        def text_features(self, image_features):
            return F.normalize(super().text_features(image_features) + image_features[:, None].roll(1, dims=2), dim=-1)

    torch.manual_seed(0)
    model = Mixed(golden, NAMES, context=None, context_length=3)
    tangent = TangentPrompts(model, photos(100, 0))
    assert tangent.exact and torch.equal(tangent.logits(photos(9, 1)), model(photos(9, 1)).detach())


class Uncoded(ConditionalPrompts):
    def context(self, image_features):
        return self.ctx.expand(len(image_features), -1, -1)


class Stale(CoCoOp):
    def context(self, image_features):
        return super().context(image_features) + 1


def test_what_is_refused(golden):
    sample = photos(9, 0)
    for method in (CoOp, ZeroShot):
        with pytest.raises(InputError, match=f"expected a conditional prompt.*got {method.__name__}.*Take exact"):
            TangentPrompts(method(golden, NAMES), sample)
    with pytest.raises(
        InputError, match=r"^Uncoded: expected a method that says through which few numbers.*Take exact"
    ):
        TangentPrompts(Uncoded(golden, NAMES, context=None, context_length=2), sample)
    with pytest.raises(InputError, match=r"^Stale: expected context_of\(code\(x\)\) to be context\(x\)"):
        TangentPrompts(Stale(golden, NAMES, context=None, context_length=2), sample)
    model = make(golden)
    with pytest.raises(InputError, match=r"expected a sample of images.*sample\.safetensors.*got none"):
        TangentPrompts(model, None)
    with pytest.raises(InputError, match=r"expected two images or more.*got 1"):
        TangentPrompts(model, sample[:1])
    with pytest.raises(InputError, match="inference: expected one of exact, tangent; got 'best'"):
        inference_of(model, "best")
    with pytest.raises(InputError, match="expected exact beside a shortlist; got 'tangent'"):
        inference_of(model, "tangent", 3, sample)
    golden.text.memory_budget = 1000
    try:
        with pytest.raises(InputError, match="memory_budget: expected at least"):
            Expansion(model, model.code(sample)[0].detach(), 1.0)
    finally:
        golden.text.memory_budget = None


def test_it_holds_until_classes_or_tensors_change(golden):
    model = make(golden)
    tangent = TangentPrompts(model, photos(20, 0))
    assert tangent.holds(model) and not tangent.holds(copy.copy(model))
    with torch.no_grad():
        model.meta_net[0].bias.add_(1e-3)
    assert not tangent.holds(model)
    tangent = TangentPrompts(model, photos(20, 0))
    assert tangent.holds(model) and not tangent.holds(model.set_classes(FACTS["new_class_names"]))


def test_damaged_weights_are_no_traceback(golden):
    """They give what they give exactly, and evaluation refuses that."""
    model = make(golden).requires_grad_(False)
    model.meta_net[2].weight[0, 0] = float("nan")
    tangent = TangentPrompts(model, photos(20, 0))
    assert tangent.exact and tangent.logits(photos(3, 1)).isnan().any()


def test_a_sample_of_equal_images(golden):
    """No spread to measure steps by, and every other image is far: exact, without a division by zero."""
    model, images = make(golden), photos(20, 1)
    tangent = TangentPrompts(model, images[:1].expand(10, -1))
    found = tangent.logits(images)
    torch.testing.assert_close(found, model(images).detach(), rtol=0, atol=1e-2)
    assert tangent.counts["exact"] >= 19
