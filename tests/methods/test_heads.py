"""What the contract cannot know of the heads: their equations, and classes without images."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from cocoop import CLIP, InputError, PromptClassifier, Recipe
from cocoop.methods import CLAP, CLIPAdapter, LinearProbe, TaskRes, TipAdapter, TipAdapterF
from cocoop.training import learning_rate, warm_up_only

NAMES = ["one", "two", "three", "four"]


@pytest.fixture(scope="module")
def exact() -> CLIP:
    return CLIP.load("tiny", device="cpu", dtype="float64")


def images(clip: CLIP, labels: Tensor, seed: int = 0) -> Tensor:
    """Unit features [N, E], those of a class around a direction of its own."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(int(labels.max()) + 1, clip.embed_dim, generator=generator, dtype=torch.float64)
    noise = torch.randn(len(labels), clip.embed_dim, generator=generator, dtype=torch.float64)
    return F.normalize(directions[labels] + noise, dim=1)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3] * 4, [0, 2] * 6, [3, 3, 1] * 4], ids=["four", "two", "others"])
def test_the_linear_probe_is_the_minimum_of_its_formula(exact, labels):
    """Where the gradient is zero; and with two classes, too, for which scikit-learn has another form."""
    targets = torch.tensor(labels)
    features, present = images(exact, targets), targets.unique()
    model = LinearProbe(exact, NAMES, C=3.0)
    model.prepare(features, targets)
    weight, bias = (tensor[present].clone().requires_grad_() for tensor in (model.weight, model.bias))
    losses = F.cross_entropy(features @ weight.T + bias, torch.searchsorted(present, targets), reduction="sum")
    for gradient in torch.autograd.grad(3.0 * losses + weight.square().sum() / 2, [weight, bias]):
        assert gradient.abs().max() < 1.1e-4 * 3.0 * len(targets)  # where it stops: at 1e-4 of this over C N
    probabilities = model.probabilities(features)
    assert (probabilities.argmax(dim=1) == targets).all()
    absent = [k for k in range(4) if k not in labels]
    assert (probabilities[:, absent] == 0).all()


def test_the_linear_probe_is_scikit_learns(exact):
    targets = torch.tensor([0, 1, 2, 3] * 5)
    features = images(exact, targets)
    model = LinearProbe(exact, NAMES)
    model.prepare(features, targets)
    expected = LogisticRegression(C=31.6, max_iter=1000).fit(features.numpy(), targets.numpy())
    others = images(exact, targets, seed=1)
    torch.testing.assert_close(
        model.probabilities(others), torch.from_numpy(expected.predict_proba(others.numpy())), rtol=0, atol=1e-12
    )


def test_a_linear_probe_of_one_class_knows_no_other(exact):
    targets = torch.tensor([2, 2])
    model = LinearProbe(exact, NAMES)
    model.prepare(images(exact, targets), targets)
    assert model.probabilities(images(exact, targets, 1)).tolist() == [[0, 0, 1, 0]] * 2


def test_clap_holds_a_class_without_images_firmly(exact):
    """The mean over no image would be no number."""
    targets = torch.tensor([0, 0, 3])
    features = images(exact, targets)
    for constraint in ("l2", "corrected", "constant"):
        model = CLAP(exact, NAMES, constraint=constraint)
        model.prepare(features, targets)
        sure = exact.logit_scale * features @ F.normalize(model.prototypes, dim=1).T
        sure = sure.softmax(dim=1)
        means = torch.stack([sure[:2, 0].mean(), *torch.ones(2, dtype=torch.float64), sure[2, 3]])
        by_hand = {"l2": means, "corrected": 4 * means / means.sum(), "constant": means.mean().expand(4)}
        torch.testing.assert_close(model.multipliers, by_hand[constraint], rtol=1e-12, atol=0)


def test_a_vote_falls_with_the_distance(exact):
    targets = torch.tensor([0, 1, 1])
    keys = images(exact, targets)
    model = TipAdapter(exact, NAMES, alpha=2.0, beta=3.0)
    plain = model(keys)
    model.prepare(keys, targets)
    for b, image in enumerate(keys):
        votes = [math.exp(-3 * (1 - float(image @ key))) for key in keys]
        expected = plain[b] + 2 * torch.tensor([votes[0], votes[1] + votes[2], 0, 0], dtype=torch.float64)
        torch.testing.assert_close(model(image[None])[0], expected, rtol=0, atol=1e-9)
    assert model.settings["images"] == 3 and model.trainable_parameters == 0
    assert TipAdapterF(exact, NAMES, images=3).trainable_parameters == 3 * exact.embed_dim


def test_a_cache_is_filled_anew_by_another_fit(tiny):
    from own_photos import labelled

    classifier = PromptClassifier("tip-adapter-f", tiny, shots=2, epochs=2, augment=False)
    for count in (4, 3):
        photos, labels = labelled(count)
        classifier.fit(photos, labels)
        assert classifier.model_.settings["images"] == len(classifier.picked_) == 2 * len(classifier.classes_)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda clip: TaskRes(clip, NAMES, alpha=-1), "alpha: expected a number of 0 or more; got -1"),
        (lambda clip: TaskRes(clip, NAMES, alpha=math.inf), "alpha: expected a number of 0 or more; got inf"),
        (lambda clip: TaskRes(clip, NAMES, alpha=True), "alpha: expected a number of 0 or more; got True"),
        (lambda clip: TaskRes(clip, NAMES, "a photo"), "template: expected a text with {} where.*got 'a photo'"),
        (lambda clip: CLIPAdapter(clip, NAMES, ratio=1.5), "ratio: expected a number from 0 to 1; got 1.5"),
        (lambda clip: TipAdapter(clip, NAMES, images=-1), "images: expected a number of images, 0 or more; got -1"),
        (lambda clip: TipAdapter(clip, NAMES, beta="5"), "beta: expected a number of 0 or more; got '5'"),
        (lambda clip: LinearProbe(clip, NAMES, C=0), "C: expected a number above 0; got 0"),
        (lambda clip: CLAP(clip, NAMES, constraint="l1"), "constraint: expected one of l2, balanced, corrected, const"),
        (lambda clip: Recipe(1, 1, optimizer="lion"), "optimizer: expected one of sgd, adam, adamw; got 'lion'"),
        (lambda clip: Recipe(1, 1, schedule="steps"), "schedule: expected one of warm-up, cosine; got 'steps'"),
    ],
)
def test_settings_that_cannot_be(tiny, build, message):
    with pytest.raises(InputError, match=message) as refusal:
        build(tiny)
    assert "\n" not in str(refusal.value)


def test_a_cosine_without_warm_up_begins_at_the_top():
    assert [learning_rate(epoch, 4, 0.1, "cosine") for epoch in range(4)] == pytest.approx(
        [0.1, 0.05 * (1 + 2**-0.5), 0.05, 0.05 * (1 - 2**-0.5)]
    )
    assert warm_up_only(1, "cosine") is None
