"""What an image adds to its prompts, against the equations and against prompts that are written out."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from cocoop import CLIP, CoCoOp, CoOp
from cocoop.explain.condition import CHANGED, mean_token, moved, prompted, shares, tokens_of

NAMES = ["seven", "wild_goose", "one", "red circle"]


def features(clip, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, clip.embed_dim, generator=generator), dim=1)


def cocoop(clip, meta_nets="shared"):
    """With a Meta-Net that says much: at its start pi is as short as the context."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = CoCoOp(clip, NAMES, meta_nets=meta_nets)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
    return model


def literal_token(net, x):
    """W2 ReLU(W1 x + b1) + b2 of one image, a number at a time, in float64."""
    (w1, b1), (w2, b2) = [(layer.weight.tolist(), layer.bias.tolist()) for layer in (net.linear1, net.linear2)]
    hidden = [max(0.0, sum(w * v for w, v in zip(row, x, strict=True)) + b) for row, b in zip(w1, b1, strict=True)]
    return [sum(w * h for w, h in zip(row, hidden, strict=True)) + b for row, b in zip(w2, b2, strict=True)]


@pytest.mark.parametrize("meta_nets", ["shared", "per-token"])
def test_pi_and_its_shares_are_those_of_the_equation(tiny, meta_nets):
    model, images = cocoop(tiny, meta_nets), features(tiny, 6)
    nets = [model.meta_net] * 4 if meta_nets == "shared" else list(model.meta_nets)
    pi = torch.tensor([[literal_token(net, x) for net in nets] for x in images.tolist()], dtype=torch.float64)
    assert (tokens_of(model, images) - pi).abs().max() < 1e-6
    found = shares(model, images, "these")
    mean = sum(pi) / 6
    square = lambda of: sum(float(v.norm()) ** 2 for v in of.reshape(-1, tiny.text.width))  # noqa: E731
    assert found.images == 6 and found.of == "these"
    assert found.context == pytest.approx((square(model.ctx.detach()) / 4) ** 0.5, rel=1e-6)
    assert found.token == pytest.approx((square(pi) / 24) ** 0.5, rel=1e-6)
    assert found.mean == pytest.approx((square(mean) / 4) ** 0.5, rel=1e-6)
    assert found.own == pytest.approx((square(pi - mean) / 24) ** 0.5, rel=1e-6)  # and so Pythagoras holds
    assert found.shared == pytest.approx(100 * found.mean**2 / found.token**2)
    assert 5 < found.shared < 95
    assert (mean_token(model, images) - mean).abs().max() < 1e-6


def test_parts_of_the_images_make_no_difference(tiny, monkeypatch):
    model, images = cocoop(tiny), features(tiny, 7)
    whole = vars(shares(model, images, "")) | {"of": 0}
    monkeypatch.setattr("cocoop.explain.condition._TOKENS_AT_ONCE", 3)
    assert vars(shares(model, images, "")) | {"of": 0} == pytest.approx(whole, rel=1e-6)


def test_a_pi_that_is_the_same_for_all_is_shared_whole(tiny):
    model = cocoop(tiny)
    with torch.no_grad():
        model.meta_net.linear2.weight.zero_()
    found = shares(model, features(tiny, 5), "")
    assert found.shared == pytest.approx(100) and found.own < 1e-6 * found.token


def test_a_sample_of_less_precision_than_the_clip(tiny):
    model = CoCoOp(CLIP.load("tiny", device="cpu", dtype="float64"), NAMES)
    [part] = list(prompted(model, features(tiny, 2).double(), features(tiny, 3)))
    assert part.logits.shape == (2, 4) and shares(model, features(tiny, 3), "").images == 3


def with_context(model, context):
    """CoOp with these context vectors [M, D]: a prompt that is the same for all images."""
    written = CoOp(model.clip, model.class_names)
    with torch.no_grad():
        written.ctx.copy_(context)
    return written


def test_the_three_prompts_are_those_written_out(tiny):
    model, images, sample = cocoop(tiny), features(tiny, 5), features(tiny, 8, seed=1)
    [part] = list(prompted(model, images, sample))
    mean = model.conditional_token(sample).mean(dim=0)
    by_mean, without = with_context(model, model.ctx + mean), with_context(model, model.ctx)
    with torch.no_grad():
        own = torch.cat([with_context(model, model.context(x[None])[0])(x[None]) for x in images])
        for ours, theirs in zip(part[:3], (own, by_mean(images), without(images)), strict=True):
            assert (ours - theirs).abs().max() < 2e-4  # logits reach 20
        pi = model.conditional_token(images)
        lengths = (pi - mean).norm(dim=1) / (model.ctx + mean).square().sum(dim=1).mean().sqrt()
        assert part.own.tolist() == pytest.approx((100 * lengths).tolist(), rel=1e-5)
        features_by_mean = normalize(by_mean.text_features(images)[0].double(), dim=-1)
        for i, own_features in enumerate(normalize(model.text_features(images).double(), dim=-1)):
            angles = [
                math.degrees(math.acos(float(a @ b))) for a, b in zip(own_features, features_by_mean, strict=True)
            ]
            assert float(part.turned[i]) == pytest.approx(sum(angles) / len(angles), rel=1e-3)


def test_what_changed_is_what_the_probabilities_say(tiny):
    model, images = cocoop(tiny), features(tiny, 5)
    [part] = list(prompted(model, images, images))
    for temperature in (1.0, 2.5):
        for i, of_image in enumerate(moved(part, NAMES, temperature)):
            own, by_mean = (
                [math.exp(z / temperature) for z in logits[i].tolist()] for logits in (part.logits, part.by_mean)
            )
            own, by_mean = ([p / sum(of) for p in of] for of in (own, by_mean))
            differences = [abs(p - q) for p, q in zip(own, by_mean, strict=True)]
            assert of_image.probability == pytest.approx(sum(differences) / 2)
            assert of_image.by_mean == NAMES[by_mean.index(max(by_mean))]
            most = sorted(range(len(NAMES)), key=lambda k: -differences[k])[:CHANGED]
            assert [change.label for change in of_image.changed] == [NAMES[k] for k in most]
            assert [change.own for change in of_image.changed] == pytest.approx([own[k] for k in most])
            assert [change.by_mean for change in of_image.changed] == pytest.approx([by_mean[k] for k in most])
    assert moved(part, NAMES, 1.0)[0].probability > 0.001
