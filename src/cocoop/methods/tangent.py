"""Conditional prompts at the price of unconditional ones: a first-order expansion, verified and refined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from cocoop.errors import InputError
from cocoop.methods.at_once import images_at_once
from cocoop.methods.base import Method
from cocoop.methods.expansion import Expansion
from cocoop.methods.prompt_method import ConditionalPrompts
from cocoop.progress import progress

ANCHORS = (1, 2, 4)
"""How many codes the text features are expanded around: each number is tried where the one before does not do."""

AGREEMENT, DIFFERENCE, ENCODED = 99.9, 0.05, 10.0
"""What is asked of a tangent prompt: percent of images with the same top class as by exact inference, at least; the
largest difference of a probability, 0..1, and percent of the prompts that are encoded after all, at most."""

_CLASSIFIED = 64  # images of the sample that are classified exactly, too: as dear as J with H = 32
_FARTHER = 1.5  # than the sample's farthest image: there the expansion is not trusted
_STILL = 1e-3  # a context that moves by less of its own length has only its rounding moved


@dataclass(frozen=True)
class TangentCheck:
    """A tangent prompt beside exact inference, on images that its margin was not taken from.

    images: how many. anchors: codes that the text features are expanded around.
    agreement: percent with the same top class. unrefined: the same of the expansion alone.
    largest_difference, mean_difference: of a class's probability over images and classes, and of that of the top class,
        0..1.
    refined: percent of the images of which some prompts are encoded. encoded: percent of all prompts of all images.
    """

    images: int
    anchors: int
    agreement: float
    unrefined: float
    largest_difference: float
    mean_difference: float
    refined: float
    encoded: float

    @property
    def passed(self) -> bool:
        """Whether the tangent prompt is used: as right as `AGREEMENT`, as close as `DIFFERENCE`, and cheap."""
        return self.agreement >= AGREEMENT and self.largest_difference <= DIFFERENCE and self.encoded <= ENCODED

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict of plain numbers, ready for JSON."""
        return asdict(self)


class TangentPrompts:
    """A conditional method's probabilities from an expansion of its text features, refined where it may be wrong.

    A code a = code(x) is near the mean a_0 of those of the training images, and the text features are smooth in it: see
    `Expansion`. What is left of an error grows as the square of d(x), the way from a_0 in terms of the context. So an
    image's logits are compared within a margin of c d(x)^2:

    1. Classes whose logit is within the margin of the best get exact logits, if there is more than one of them. The
       others keep theirs, moved by the mean of what the exact ones changed.
    2. An image that is half as far again as the farthest of the sample, such as one of another data set, gets exact
       logits of all classes.

    c is 1.5 times the largest ratio that was seen on half of the sample's images that are classified exactly, of
    (largest - smallest error of a logit of the image) to d^2; so an error of third order is covered as far as 2 lets
    one go. The other half says whether it holds (`check`). If not, more anchors are tried; if the last does not do
    either, every image is classified exactly (`exact`).

    Made for the classes and the tensors that `model` has now: make another after `set_classes` or training.

    Args:
        model: a `CoCoOp`, or another method with conditional prompts that declares its code.
        sample: unit-norm features [N, E] of images such as those to come, N >= 2, of those that it was trained on.

    Attributes:
        check: the `TangentCheck` of what is used, or of the last that was tried.
        exact: whether no expansion was good enough.
        counts: "images" that were classified since; of those "refined", in some classes, and "exact", in all.

    Raises:
        InputError: a method without conditional prompts, or that does not declare its code, or declares another than it
            uses; fewer than two images; or a memory budget that is too small.
    """

    conditional: ClassVar[bool] = True

    @torch.no_grad()
    def __init__(self, model: Method, sample: Tensor | None) -> None:
        if not isinstance(model, ConditionalPrompts):
            raise InputError(
                f"inference: expected a conditional prompt for tangent inference; got {type(model).__name__}, whose "
                "text features are the same for all images, so that it would save nothing. Take exact inference."
            )
        if sample is None:
            raise InputError(
                "inference: expected a sample of images that tangent prompts are verified on, which a run keeps of "
                "those it was trained on (sample.safetensors); got none. Train it again, or take exact inference."
            )
        model.expect_features(sample)
        self.model, self.clip = model, model.clip
        self._learned = [parameter.detach().clone() for parameter in model.parameters()]
        self.class_names = list(model.class_names)
        self.counts = Counter(images=0, refined=0, exact=0)
        sample = sample.to(model.ctx.device, model.ctx.dtype)
        with self.clip.products():
            codes = codes_of(model, sample)
            tried = tried_of(sample)
            self._verify(codes, tried, self._exact_logits(tried))

    def _verify(self, codes: Tensor, tried: Tensor, exact: Tensor) -> None:
        """Expand around more and more anchors until the check is passed."""
        half = len(tried) // 2
        for expanded in expansions(self.model, codes):
            self._expansions = expanded
            self._take_margin(codes, tried[:half], exact[:half])
            self.check = self._check(tried[half:], exact[half:])
            self.exact = not self.check.passed
            if not self.exact:
                return
            expanded.clear()  # they make room for the next

    def _take_margin(self, codes: Tensor, tried: Tensor, exact: Tensor) -> None:
        far = self._nearest(codes)[0]
        still = _STILL * float(self.model.context_of(codes.mean(dim=0, keepdim=True)).norm())
        self._near = max(float(far.median()), still)
        self._limit = _FARTHER * max(float(far.max()), still)
        logits, distances = self._expanded(tried)
        errors = logits - exact
        ranges = errors.max(dim=1).values - errors.min(dim=1).values
        self._curvature = _FARTHER * float((ranges / distances.clamp(min=self._near).square()).max())

    def _check(self, tried: Tensor, exact: Tensor) -> TangentCheck:
        (unrefined, _), (refined, encoded) = self._expanded(tried), self._refined(tried)
        top, before = exact.argmax(dim=1), exact.softmax(dim=1)
        differences = (refined.softmax(dim=1) - before).abs()
        return TangentCheck(
            images=len(tried),
            anchors=len(self._expansions),
            agreement=_percent(refined.argmax(dim=1) == top),
            unrefined=_percent(unrefined.argmax(dim=1) == top),
            largest_difference=float(differences.max()),
            mean_difference=float(differences.gather(1, top[:, None]).mean()),
            refined=_percent(encoded > 0),
            encoded=_percent(encoded / len(self.class_names)),
        )

    def holds(self, model: Method) -> bool:
        """Whether this was made of the classes and the tensors that `model` has now."""
        return (
            model is self.model
            and model.class_names == self.class_names
            and all(torch.equal(own, now) for own, now in zip(self._learned, model.parameters(), strict=True))
        )

    def describe(self) -> str:
        """What was verified, and what was done since, in one line."""
        check, counts = self.check, self.counts
        found = (
            f"checked on {check.images:,} training images: {check.agreement:.4g} % have the same class as by exact "
            f"inference, and no probability differs by more than {check.largest_difference:.2g}"
        )
        if self.exact:
            return f"exact inference, since tangent inference was not good enough ({found})"
        done = f"{counts['images']:,} images, {counts['refined']:,} with exact logits of some classes, "
        return f"tangent inference ({found}): {done}{counts['exact']:,} of all"

    @torch.no_grad()
    def logits(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> logits [B, K]."""
        self.model.expect_features(image_features)
        with self.clip.products():
            if self.exact:
                logits = self._exact_logits(image_features)
                encoded = torch.full((len(logits),), len(self.class_names))
            else:
                logits, encoded = self._refined(image_features)
        whole = int((encoded == len(self.class_names)).sum())
        self.counts.update(images=len(logits), refined=int((encoded > 0).sum()) - whole, exact=whole)
        return logits

    def probabilities(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> class probabilities [B, K]; rows sum to 1."""
        return self.logits(image_features).softmax(dim=-1)

    def _exact_logits(self, image_features: Tensor) -> Tensor:
        parts = image_features.split(images_at_once(self))
        return torch.cat([self.model(part) for part in progress(parts, "classifying exactly", unit=" parts")])

    def _nearest(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The distance [B] of each code to its nearest anchor, and that anchor's number [B]."""
        return torch.stack([expansion.distances(self.model, codes) for expansion in self._expansions]).min(dim=0)

    def _expanded(self, image_features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, K] by the nearest anchor's expansion alone, and the distance [B] to it."""
        codes = self.model.code(image_features)
        distances, nearest = self._nearest(codes)
        logits = image_features.new_empty(len(codes), len(self.class_names))
        for number, expansion in enumerate(self._expansions):
            mine = nearest == number
            logits[mine] = expansion.logits(self.model, image_features[mine], codes[mine])
        return logits, distances

    def _refined(self, image_features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, K], and how many of each image's prompts were encoded for them, [B]."""
        logits, distances = self._expanded(image_features)
        margins = self._curvature * distances.clamp(min=self._near).square()
        kept = logits >= logits.max(dim=1, keepdim=True).values - margins[:, None]
        kept |= ~(distances <= self._limit)[:, None]
        encoded = kept.sum(dim=1)
        encoded[encoded == 1] = 0  # nothing comes near the best
        whole = encoded == len(self.class_names)
        if whole.any():
            logits[whole] = self._exact_logits(image_features[whole])
        for b in ((encoded > 0) & ~whole).nonzero().flatten().tolist():
            classes = kept[b].nonzero().flatten()
            image = image_features[b : b + 1]
            features = self.model.text_features_of(image, classes.tolist())
            exact = self.model.logits(image, features)[0]
            # An error that all classes share is no error, until some of them have none.
            logits[b] += (exact - logits[b, classes]).mean()
            logits[b, classes] = exact
        return logits, encoded.cpu()


def codes_of(model: ConditionalPrompts, sample: Tensor) -> Tensor:
    """The codes [N, H] of the sample. `InputError` unless they are what the context follows from."""
    if len(sample) < 2:
        raise InputError(f"inference: expected two images or more to verify tangent prompts on; got {len(sample)}.")
    codes = model.code(sample)
    if not torch.allclose(model.context(sample), model.context_of(codes), rtol=1e-3, atol=1e-5, equal_nan=True):
        raise InputError(
            f"{type(model).__name__}: expected context_of(code(x)) to be context(x); they differ. Say them anew where "
            "a subclass says another context."
        )
    return codes


def expansions(model: ConditionalPrompts, codes: Tensor) -> Iterator[list[Expansion]]:
    """The text features around the mean of codes [N, H]; then around more anchors, as far as the contexts differ.

    Clear the list before the next is asked for: it may take much memory. Errors as `Expansion`.
    """
    spread = float((codes - codes.mean(dim=0)).norm(dim=1).square().mean().sqrt())
    spread = spread or float(codes.norm(dim=1).mean()) or 1.0
    contexts = model.context_of(codes).flatten(1)
    most = len(contexts.unique(dim=0)) // 2 if contexts.isfinite().all() else 1
    for number in (number for number in ANCHORS if number == 1 or number <= most):
        yield [Expansion(model, anchor, spread) for anchor in _anchors(codes, contexts, number)]


def _anchors(codes: Tensor, contexts: Tensor, number: int) -> list[Tensor]:
    """The means of `number` clusters of codes [N, H], by k-means of their contexts [N, M * D]."""
    if number == 1:
        return [codes.mean(dim=0)]
    from sklearn.cluster import KMeans

    means = KMeans(number, n_init=4, random_state=0).fit(contexts.cpu().double().numpy())
    labels = torch.from_numpy(means.labels_).to(codes.device)
    return [codes[labels == label].mean(dim=0) for label in labels.unique()]


def tried_of(sample: Tensor) -> Tensor:
    """Those of a sample [N, E] on which an expansion is compared with exact inference: 64 at most, always the same."""
    order = torch.randperm(len(sample), generator=torch.Generator().manual_seed(0))[:_CLASSIFIED]
    return sample[order.to(sample.device)]


def _percent(share: Tensor) -> float:
    return 100 * float(share.double().mean())
