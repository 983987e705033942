"""`Shortlist` against CoCoOp itself, and its ranking against a CoCoOp whose Meta-Net says nothing."""

import copy
import math

import pytest
import torch
from golden_clip import FACTS, VALUES
from hypothesis import given, settings
from hypothesis import strategies as st

from cocoop import CoCoOp, CoOp, InputError, ZeroShot
from cocoop.clip import Prompts
from cocoop.methods import Shortlist

NAMES = FACTS["class_names"]
IMAGES = VALUES["image_features"]
K = len(NAMES)
# Logits are cosines times logit_scale (up to 100); both ways round in float32, in another order.
TOLERANCE = {"rtol": 0, "atol": 1e-3}


def make(clip, seed=0, strength=20.0):
    """A CoCoOp whose pi is as large as its context, so that the ranking without pi differs from its own."""
    torch.manual_seed(seed)
    model = CoCoOp(clip, NAMES, context=None, context_length=3)
    with torch.no_grad():
        model.ctx.mul_(10)
        model.meta_net.linear2.weight.mul_(strength)
        model.meta_net.linear2.bias.mul_(strength)
    return model


def without_pi(model):
    """The logits [B, K] of the same context with a Meta-Net of zeros."""
    silent = copy.copy(model)
    silent._modules = dict(model._modules, meta_net=copy.deepcopy(model.meta_net))
    with torch.no_grad():
        for parameter in silent.meta_net.parameters():
            parameter.zero_()
        return silent(IMAGES)


def test_the_cases_are_not_trivial(golden):
    model = make(golden)
    assert not torch.equal(model(IMAGES).argmax(1), without_pi(model).argmax(1))


@pytest.mark.parametrize("size", [K, K + 1, 1000])
def test_a_shortlist_of_all_classes_is_the_model_bit_for_bit(golden, size):
    model = make(golden)
    shortlist = Shortlist(model, size)
    assert shortlist.exact and shortlist.size == K
    with torch.no_grad():
        assert torch.equal(shortlist.logits(IMAGES), model(IMAGES))
    assert torch.equal(shortlist.probabilities(IMAGES), model.probabilities(IMAGES))


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, K - 1), seed=st.integers(0, 2**16), strength=st.sampled_from([1.0, 20.0]))
def test_logits_on_the_shortlist_are_the_full_ones_and_the_others_minus_infinity(golden, size, seed, strength):
    model = make(golden, seed, strength)
    shortlist = Shortlist(model, size)
    full, found, classes = model(IMAGES).detach(), shortlist.logits(IMAGES), shortlist.classes(IMAGES)
    assert classes.shape == (len(IMAGES), size) and not found.requires_grad
    kept = torch.zeros_like(full, dtype=torch.bool).scatter(1, classes, True)
    assert kept.sum(1).tolist() == [size] * len(IMAGES)
    assert (found[~kept] == -math.inf).all()
    torch.testing.assert_close(found[kept], full[kept], **TOLERANCE)
    # Ranked by the unconditional logits: none that was left out is above one that was kept, and best first.
    ranking = without_pi(model)
    worst_kept = ranking.where(kept, math.inf).min(1).values
    assert (ranking.where(~kept, -math.inf).max(1).values <= worst_kept + 1e-3).all()
    ranked = ranking.gather(1, classes)
    assert (ranked[:, 1:] <= ranked[:, :-1] + 1e-3).all()
    # The softmax over the shortlist alone, by hand in float64.
    for row, columns, probabilities in zip(full.double(), classes, shortlist.probabilities(IMAGES), strict=True):
        weights = [math.exp(row[k] - row[columns].max()) for k in columns]
        expected = torch.zeros(K, dtype=torch.float64)
        expected[columns] = torch.tensor(weights, dtype=torch.float64) / sum(weights)
        torch.testing.assert_close(probabilities.double(), expected, rtol=0, atol=1e-4)


def test_a_sample_ranks_by_its_mean_context(golden):
    model = make(golden)
    with torch.no_grad():
        features = model._prompts.encode(model.context(IMAGES[:4]).mean(dim=0)[None])[0]
    expected = (IMAGES @ features.T).argsort(dim=1, descending=True)[:, :3]
    assert torch.equal(Shortlist(model, 3, IMAGES[:4]).classes(IMAGES), expected)
    assert not torch.equal(Shortlist(model, 3).classes(IMAGES), expected)


def test_on_both_text_paths(both_paths):
    model = make(both_paths)
    shortlist = Shortlist(model, 3)
    classes = shortlist.classes(IMAGES)
    torch.testing.assert_close(
        shortlist.logits(IMAGES).gather(1, classes), model(IMAGES).detach().gather(1, classes), **TOLERANCE
    )


def test_only_the_classes_of_the_shortlist_are_encoded(golden, monkeypatch):
    """What it saves: K prompts once, then `size` per image, where the model encodes K per image."""
    encoded = []
    encode = Prompts.encode

    def counting(prompts, context, **how):
        features = encode(prompts, context)
        encoded.append(features.shape[0] * features.shape[1])
        return features

    model = make(golden)
    monkeypatch.setattr(Prompts, "encode", counting)
    shortlist = Shortlist(model, 2)
    shortlist.logits(IMAGES)
    assert encoded == [K] + [2] * len(IMAGES)
    shortlist.logits(IMAGES[:3])
    assert encoded[1 + len(IMAGES) :] == [2] * 3  # the ranking's features are kept


def test_no_images_and_wrong_shapes(golden):
    shortlist = Shortlist(make(golden), 2)
    assert shortlist.logits(IMAGES[:0]).shape == (0, K)
    for size in (2, K):
        with pytest.raises(InputError, match=r"image_features: expected shape \[B, E=32\]; got \[6, 31\]"):
            Shortlist(make(golden), size).probabilities(IMAGES[:, :31])


@pytest.mark.parametrize("size", [0, -3, 2.5, "20", None])
def test_a_size_that_is_no_number_of_classes(golden, size):
    with pytest.raises(InputError, match=r"shortlist: expected a number of classes, at least 1.*got") as refused:
        Shortlist(make(golden), size)
    assert repr(size) in str(refused.value)


@pytest.mark.parametrize("method", [CoOp, ZeroShot])
def test_a_method_without_a_conditional_prompt(golden, method):
    with pytest.raises(InputError, match=f"expected a conditional prompt.*got {method.__name__}.*Leave it out"):
        Shortlist(method(golden, NAMES), 2)


def test_other_classes_take_another_shortlist(golden):
    model = make(golden).set_classes(FACTS["new_class_names"])
    shortlist = Shortlist(model, 2)
    classes = shortlist.classes(IMAGES)
    assert shortlist.class_names == FACTS["new_class_names"]
    torch.testing.assert_close(
        shortlist.logits(IMAGES).gather(1, classes), model(IMAGES).detach().gather(1, classes), **TOLERANCE
    )
