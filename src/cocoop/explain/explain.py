"""All that is said of a run and of how it classifies some images, found out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from cocoop.classifier import Classifier
from cocoop.errors import InputError
from cocoop.evaluation import predict_logits
from cocoop.explain.condition import Moved, Shares, mean_token, moved, prompted, shares
from cocoop.explain.evidence import ABOUT, evidence, strongest
from cocoop.explain.explanation import Explained, Explanation, Prompt, Unread
from cocoop.explain.given import Given
from cocoop.explain.pictures import Seen, pixels_of, seen
from cocoop.explain.words import Words, nearest_words
from cocoop.methods import ConditionalPrompts, Method, images_at_once
from cocoop.progress import progress
from cocoop.serving import Named, encode

SHOWN = 24
"""Of so many images at most the evidence is looked for: those that the condition moves most, else the first."""

KEPT = "the training images that the run keeps"

_AT_ONCE = 16  # pictures whose evidence is looked for at once


class _Read(NamedTuple):
    """The pictures that could be read, their classes if known, and their features [n, E]. of: which these are."""

    pictures: list[Named]
    labels: list[int] | None
    features: Tensor
    unread: list[Unread]
    of: str


class _Classified(NamedTuple):
    """The images, the number of the class that each is called, and the prompts beside each other."""

    images: list[Explained]
    classes: list[int]
    prompts: tuple[Prompt, ...]


def explain(
    classifier: Classifier, run: str, given: Given | None, notes: Sequence[str] = ()
) -> tuple[Explanation, list[Seen]]:
    """Explain a fitted classifier, set to the classes to choose from, and what it makes of images.

    Args:
        classifier: of any method. Probabilities are calibrated, if it is.
        run: what it is called.
        given: the images; with None there is only what the run itself tells.
        notes: what else to know beside it, a line each.

    Returns:
        The explanation, and the pictures of its `shown` images.

    Raises:
        InputError: no image could be read. RunError: a logit is not finite.
    """
    model = classifier.model_
    read = None if given is None else _read(classifier, given)
    sample, mean_of = _sample(classifier, read)
    images, classes, prompts = _Classified([], [], ()) if read is None else _classified(classifier, read, sample)
    shown = sorted(range(len(images)), key=lambda i: -_way(images[i]))[:SHOWN]
    pictures: list[Seen] = []
    for i, pixels, cells in _evidence(classifier, read, classes, shown):
        images[i] = replace(images[i], evidence=cells.tolist(), strongest=strongest(cells))
        pictures.append(seen(model.clip.preprocess, pixels, cells))
    explanation = Explanation(
        run=run,
        method=classifier.method,
        clip=model.clip.name,
        class_names=list(model.class_names),
        words=_words(model, sample),
        shares=tuple(_shares(classifier, read)),
        mean_of=mean_of,
        prompts=prompts,
        of=None if read is None else read.of,
        images=tuple(images),
        shown=tuple(shown),
        evidence=ABOUT,
        unread=() if read is None else tuple(read.unread),
        notes=(*_lacking(classifier, sample, read), *(() if given is None else given.notes), *notes),
    )
    return explanation, pictures


def _read(classifier: Classifier, given: Given) -> _Read:
    rows = [row for part in encode(classifier.clip_, given.pictures, exif=classifier.exif) for row in part]
    features = {i: row.feature for i, row in enumerate(rows) if row.feature is not None}
    unread = [Unread(row.key, str(row.error)) for row in rows if row.feature is None]
    if not features:
        raise InputError(f"images: expected some that can be read; got none. The first: {unread[0].error}")
    labels = None if given.labels is None else [given.labels[i] for i in features]
    return _Read([given.pictures[i] for i in features], labels, torch.stack([*features.values()]), unread, given.of)


def _sample(classifier: Classifier, read: _Read | None) -> tuple[Tensor | None, str | None]:
    """Images over which pi has its mean, and which these are: training images that the run keeps, or those given."""
    if not isinstance(classifier.model_, ConditionalPrompts):
        return None, None
    if classifier.sample_ is not None:
        return classifier.sample_, KEPT
    return (None, None) if read is None or len(read.features) < 2 else (read.features, read.of)


def _classified(classifier: Classifier, read: _Read, sample: Tensor | None) -> _Classified:
    model, temperature, names = classifier.model_, classifier.temperature or 1.0, classifier.model_.class_names
    if isinstance(model, ConditionalPrompts) and sample is not None:
        parts = list(prompted(model, read.features, sample))
        of_images: list[Moved | None] = [one for part in parts for one in moved(part, names, temperature)]
        logits = [torch.cat(tensors) for tensors in zip(*(part[:3] for part in parts), strict=True)]
        prompts = tuple(_prompts(logits, read.labels))
    else:
        logits, of_images, prompts = [predict_logits(model, read.features).double()], [None] * len(read.features), ()
    best, classes = (logits[0] / temperature).softmax(dim=1).max(dim=1)
    labels = [None] * len(best) if read.labels is None else [names[label] for label in read.labels]
    rows = zip(read.pictures, labels, classes.tolist(), best.tolist(), of_images, strict=True)
    images = [Explained(named.key, label, names[k], p, of_image) for named, label, k, p, of_image in rows]
    return _Classified(images, classes.tolist(), prompts)


def _prompts(logits: Sequence[Tensor], labels: list[int] | None) -> Iterator[Prompt]:
    own = logits[0].argmax(dim=1)
    for name, by_prompt in zip(("with pi", "with its mean", "without pi"), logits, strict=True):
        classes = by_prompt.argmax(dim=1)
        accuracy = None if labels is None else _percent(classes == torch.tensor(labels))
        yield Prompt(name, accuracy, _percent(classes == own))


def _percent(hits: Tensor) -> float:
    return 100 * float(hits.double().mean())


def _way(image: Explained) -> float:
    return 0.0 if image.moved is None else image.moved.own


def _evidence(
    classifier: Classifier, read: _Read | None, classes: Sequence[int], shown: Sequence[int]
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Of each image that is shown its number, pixels [3, N, N] and the evidence [G, G] for its class."""
    if read is None:
        return
    at_once = min(_AT_ONCE, images_at_once(classifier.model_))
    parts = [shown[start : start + at_once] for start in range(0, len(shown), at_once)]
    for part in progress(parts, "looking for evidence", unit=" parts"):
        pixels = torch.stack([pixels_of(classifier.clip_, read.pictures[i], classifier.exif) for i in part])
        cells = evidence(classifier.model_, pixels, [classes[i] for i in part])
        yield from zip(part, pixels, cells, strict=True)


def _words(model: Method, sample: Tensor | None) -> Words | None:
    vectors = model.context_vectors()
    if vectors is None:
        return None
    names = [f"v{m + 1}" for m in range(vectors.shape[-2])]
    if vectors.dim() == 3:
        names, vectors = [f"{v} of {name}" for name in model.class_names for v in names], vectors.flatten(0, 1)
    if isinstance(model, ConditionalPrompts) and sample is not None:
        names += [f"{name} + mean of pi" for name in names]
        vectors = vectors.detach().cpu().double()
        vectors = torch.cat([vectors, vectors + mean_token(model, sample)])
    return nearest_words(model.clip, names, vectors)


def _shares(classifier: Classifier, read: _Read | None) -> Iterator[Shares]:
    model = classifier.model_
    if not isinstance(model, ConditionalPrompts):
        return
    if classifier.sample_ is not None and len(classifier.sample_) > 1:
        yield shares(model, classifier.sample_, KEPT)
    if read is not None and len(read.features) > 1:
        yield shares(model, read.features, read.of)


def _lacking(classifier: Classifier, sample: Tensor | None, read: _Read | None) -> Iterator[str]:
    """What does not apply to this method, or cannot be told."""
    model, name = classifier.model_, classifier.method
    if model.context_vectors() is None:
        yield f"{name} learns no context vectors, so there are no words near them"
    if not model.conditional:
        yield f"with {name} nothing of a prompt depends on the image, so there is no pi to explain"
    elif not isinstance(model, ConditionalPrompts):
        yield f"{name} does not say what its context is, so what an image adds to it cannot be told"
    elif sample is None:
        yield "the run keeps no features of training images to take the mean of pi over: give two images or more"
    if read is None and model.context_vectors() is None and sample is None:
        yield "so there is nothing to tell of the run alone: name images, to see where the evidence in them lies"
