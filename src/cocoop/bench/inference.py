"""An image's way to its class, part by part: the image tower, and the ways to CoCoOp's logits beside it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from cocoop.bench.clock import best_seconds, timed
from cocoop.bench.encoding import class_names
from cocoop.bench.measure import PLAIN_AT_MOST
from cocoop.clip import CLIP
from cocoop.clip.text.typical import CONTEXT_LENGTH
from cocoop.methods import CoCoOp, Expansion, Shortlist

SHORTLIST = 20
"""The classes on a shortlist."""

REFINED = 0.05
"""The share of images that tangent prompts are taken to refine; prompts and names decide: 0 to 44 % were seen."""

_SAMPLE = 64  # images that tangent prompts are compared with exact inference on when they are made
_TOWER_IMAGES = 8  # at a time, as predictions take them
_REFINED_CLASSES = 3  # of an image whose first classes are too close for the expansion


@dataclass(frozen=True)
class InferenceCell:
    """What an image of K classes takes in inference. Times are milliseconds per image.

    Attributes:
        classes: K.
        tower_ms: the image tower, eight images at a time.
        exact_ms: image features to probabilities, all prompts encoded.
        shortlist_ms: the same with the prompts of `SHORTLIST` classes.
        expansion_ms: the same by the expansion of tangent prompts, 64 images at a time.
        refining_ms: beside it, what an image takes whose first three classes get exact logits.
        making_s: seconds in which tangent prompts are made and compared with exact inference, once for a class list.
        made_of_classes: on how many the expansion was made; its time is scaled from them to K.
        kept_mb: what it keeps, MB of 10^6 bytes.
    """

    classes: int
    tower_ms: float
    exact_ms: float
    shortlist_ms: float
    expansion_ms: float
    refining_ms: float
    making_s: float
    made_of_classes: int
    kept_mb: float

    @property
    def tangent_ms(self) -> float:
        """Image features to probabilities by tangent prompts, which refine `REFINED` of the images."""
        return self.expansion_ms + REFINED * self.refining_ms

    @property
    def tangent_of_tower(self) -> float:
        """The tangent prompts' time as a share of the image tower's."""
        return self.tangent_ms / self.tower_ms

    @property
    def pays_from(self) -> float | None:
        """From how many images on making tangent prompts is cheaper than exact inference; None if never."""
        saved = self.exact_ms - self.tangent_ms
        return 1000 * self.making_s / saved if saved > 0 else None


@torch.no_grad()
def measure_inference(clip: CLIP, classes: int, rounds: int, exact_images: int = 1) -> InferenceCell:
    """Measure `InferenceCell` for K classes; all but the making take turns.

    Args:
        clip: what to measure.
        classes: K.
        rounds: of `best_seconds`.
        exact_images: how many are classified in one turn exactly, and by shortlists.
    """
    generator = torch.Generator().manual_seed(0)
    size = clip.preprocess.size
    pixels = torch.randn(_TOWER_IMAGES, 3, size, size, generator=generator).to(clip.device, clip.dtype)
    features = F.normalize(torch.randn(_SAMPLE, clip.embed_dim, generator=generator), dim=-1).to(clip.device)
    model = _model(clip, classes)
    codes = model.code(features)
    few = min(classes, PLAIN_AT_MOST)
    started = time.perf_counter()
    expansion = Expansion(_model(clip, few), codes.mean(dim=0), float(codes.std()))
    making = (time.perf_counter() - started) * classes / few
    _repeat(expansion, classes)
    shortlist = Shortlist(model, min(SHORTLIST, classes), features)
    works = {  # name -> the work, and how many images it is of
        "tower": (partial(clip.encode_images, pixels), len(pixels)),
        "exact": (partial(model.probabilities, features[:exact_images]), exact_images),
        "shortlist": (partial(shortlist.probabilities, features[:exact_images]), exact_images),
        "expansion": (partial(expansion.logits, model, features, codes), len(features)),
        "refining": (partial(model.text_features_of, features[:1], list(range(min(classes, _REFINED_CLASSES)))), 1),
    }
    with clip.products():
        seconds = best_seconds({name: timed(work, clip.device) for name, (work, _) in works.items()}, rounds)
    ms = {f"{name}_ms": 1000 * seconds[name] / images for name, (_, images) in works.items()}
    kept = sum(value.nbytes for value in vars(expansion).values() if isinstance(value, Tensor)) / 1e6
    making += _SAMPLE * ms["exact_ms"] / 1000
    return InferenceCell(classes, **ms, making_s=making, made_of_classes=few, kept_mb=kept)


def _model(clip: CLIP, classes: int) -> CoCoOp:
    return CoCoOp(clip, class_names(classes), context=None, context_length=CONTEXT_LENGTH).requires_grad_(False)


def _repeat(expansion: Expansion, classes: int) -> None:
    """Repeat the classes of an expansion, which come last in all its tensors, up to this many: times do not see it."""
    few = expansion.squares.shape[-1]
    numbers = torch.arange(classes, device=expansion.squares.device) % few
    slopes = expansion.slopes.unflatten(1, (few, -1))
    expansion.slopes = slopes[:, numbers].flatten(1)
    for name in ("features", "squares", "lines", "curves"):
        setattr(expansion, name, getattr(expansion, name)[..., numbers])
