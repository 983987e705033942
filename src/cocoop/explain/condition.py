"""What an image adds to a conditional prompt: how much of it is the same for all images, and what it changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cocoop.evaluation import expect_finite
from cocoop.features import Features
from cocoop.methods import ConditionalPrompts, images_at_once
from cocoop.progress import progress

CHANGED = 3
"""How many classes each image has, of those whose probabilities the condition changes most."""

_TOKENS_AT_ONCE = 1024  # images whose context vectors are computed at once: 8 MB a vector at D = 512, in float64


@dataclass(frozen=True)
class Shares:
    """How much of pi is the same for some images, and how much is an image's own.

    All lengths are of one context vector: the root of the mean square over the M of a prompt and, where it differs
    between them, over the images.

    images: how many. of: which. context: the length of v_m. token: of pi. mean: of the mean of pi over these images.
    own: of pi minus that mean. So token^2 = mean^2 + own^2. shared: mean^2 of token^2, percent.
    """

    images: int
    of: str
    context: float
    token: float
    mean: float
    own: float
    shared: float


@dataclass(frozen=True)
class Change:
    """A class, and its probability, 0..1, by the prompt with the mean of pi and by the image's own."""

    label: str
    by_mean: float
    own: float


@dataclass(frozen=True)
class Moved:
    """What the condition does to one image's prompts, beside those with the mean of pi.

    own: the length of pi(x) minus the mean, in percent of that of the context vectors v_m + mean. turned: the angle
    between a class's text features by both, degrees, on average over the classes. by_mean: the class by the mean.
    probability: half of the sum of what all probabilities differ by, 0..1. changed: the classes that differ most.
    """

    own: float
    turned: float
    by_mean: str
    probability: float
    changed: tuple[Change, ...]


class Prompted(NamedTuple):
    """Logits [n, K] float64 of n images by their own prompts, by that with the mean of pi, and by that without pi.

    own: percent, and turned: degrees, both [n] and as in `Moved`.
    """

    logits: Tensor
    by_mean: Tensor
    without: Tensor
    own: Tensor
    turned: Tensor


@torch.no_grad()
def tokens_of(model: ConditionalPrompts, image_features: Tensor) -> Tensor:
    """Pi: what images [B, E] add to each context vector, [B, M, D] float64 on the CPU; a shared pi M times."""
    given = image_features.to(model.ctx.device, model.ctx.dtype)
    return _double(model.context(given)) - _double(model.ctx)


def shares(model: ConditionalPrompts, image_features: Features, of: str) -> Shares:
    """`Shares` of two images or more; `of` says which these are."""
    total, squares = torch.zeros(model.ctx.shape, dtype=torch.float64), 0.0
    for part in _parts(image_features, _TOKENS_AT_ONCE):
        tokens = tokens_of(model, part)
        total += tokens.sum(dim=0)
        squares += float(tokens.square().sum())
    images, length = len(image_features), len(model.ctx)
    mean = total / images
    token, shared = squares / images / length, float(mean.square().sum()) / length
    # By Pythagoras; of pi that is the same for all, rounding may leave a little less than nothing.
    own = max(token - shared, 0.0)
    return Shares(
        images=images,
        of=of,
        context=float(_double(model.ctx).square().sum() / length) ** 0.5,
        token=token**0.5,
        mean=shared**0.5,
        own=own**0.5,
        shared=100 * shared / token if token else 100.0,
    )


def mean_token(model: ConditionalPrompts, image_features: Features) -> Tensor:
    """The mean of pi over images [N, E], [M, D] float64 on the CPU."""
    parts = [tokens_of(model, part).sum(dim=0) for part in _parts(image_features, _TOKENS_AT_ONCE)]
    return torch.stack(parts).sum(dim=0) / len(image_features)


@torch.no_grad()
def prompted(model: ConditionalPrompts, image_features: Features, sample: Features) -> Iterator[Prompted]:
    """What images [N, E] are classified as by the three prompts, some images at a time, with a progress bar.

    The image's own logits are the method's. The mean of pi is that of the images `sample` [S, E].
    """
    mean = mean_token(model, sample)
    length = (_double(model.ctx) + mean).square().sum(dim=1).mean().sqrt()
    with model.clip.products():
        by_mean = model.shared_text_features(sample[:])
        without = model.shared_text_features()
    parts = list(_parts(image_features, images_at_once(model)))
    for part in progress(parts, "classifying", unit=" parts"):
        with model.clip.products():
            own = model.text_features(part)
        logits = torch.stack([_double(model.logits(part, features)) for features in (own, by_mean, without)])
        expect_finite(logits, model)
        ways = (tokens_of(model, part) - mean).square().sum(dim=2).mean(dim=1).sqrt()
        turned = _double(_angles(own, by_mean)).mean(dim=1)
        yield Prompted(logits[0], logits[1], logits[2], 100 * ways / length, turned)


def moved(part: Prompted, names: Sequence[str], temperature: float) -> list[Moved]:
    """Of each image what the condition does; its probabilities are those of logits divided by the temperature."""
    own, by_mean = ((logits / temperature).softmax(dim=1) for logits in (part.logits, part.by_mean))
    differences = (own - by_mean).abs()
    most = differences.sort(dim=1, descending=True, stable=True).indices[:, :CHANGED].tolist()
    return [
        Moved(
            own=float(part.own[i]),
            turned=float(part.turned[i]),
            by_mean=names[int(by_mean[i].argmax())],
            probability=float(differences[i].sum() / 2),
            changed=tuple(Change(names[k], float(by_mean[i, k]), float(own[i, k])) for k in most[i]),
        )
        for i in range(len(own))
    ]


def _angles(features: Tensor, others: Tensor) -> Tensor:
    """Degrees between vectors [n, K, E] and [1, K, E]: by the chord of unit vectors, exact for small angles, too."""
    chords = F.normalize(features, dim=-1) - F.normalize(others, dim=-1)
    angles: Tensor = 2 * (chords.norm(dim=-1) / 2).clamp(max=1).asin().rad2deg()
    return angles


def _double(tensor: Tensor) -> Tensor:
    """In float64 on the CPU: not every device has it."""
    return tensor.detach().cpu().double()


def _parts(image_features: Features, at_once: int) -> Iterator[Tensor]:
    return (image_features[start : start + at_once] for start in range(0, len(image_features), at_once))
