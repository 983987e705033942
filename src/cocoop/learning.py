"""What a method learns with, from and beside: numbers, features, held-out images, weights of classes."""

from __future__ import annotations

import operator
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from reprlib import repr as shortened
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from cocoop.arguments import Pictures, labelled_pictures
from cocoop.clip import CLIP
from cocoop.errors import InputError
from cocoop.features import (
    AugmentedFeatures,
    FeatureStore,
    FixedFeatures,
    Picture,
    SharedViews,
    fingerprints,
    read_together,
)
from cocoop.labels import number_labels
from cocoop.methods import Method, Recipe
from cocoop.ranks import Ranks
from cocoop.results import Epoch, Learning, Search
from cocoop.rgb import Exif
from cocoop.training import (
    Checkpoint,
    Validation,
    check_divisible,
    prepare,
    threads_for,
    torch_threads,
    train,
    warm_up_only,
)

Source = AugmentedFeatures | SharedViews | FixedFeatures


class HeldOut(NamedTuple):
    """The validation images of a fit.

    validation: what the training is given. contents: [V] their content hashes. fingerprints: of those that are files.
    """

    validation: Validation
    contents: NDArray[np.bytes_]
    fingerprints: list[str]


def learning_of(model: Method, parameters: Mapping[str, Any]) -> Learning | None:
    """The numbers that a classifier's parameters give, or else those of the method's recipe; None without a recipe."""
    recipe, augment, views = model.recipe, parameters["augment"], parameters["views"]
    if recipe is None:
        return None
    epochs, batch_size, lr, patience = (parameters[name] for name in ("epochs", "batch_size", "lr", "patience"))
    augmented = bool(model.clip.augment if augment == "auto" else augment)
    if augmented:
        views = recipe.views if views is None else views
    else:
        _check_no_views(augment, model.clip, views, parameters["view_seed"])
    return Learning(
        epochs=operator.index(recipe.epochs if epochs is None else epochs),
        batch_size=operator.index(recipe.batch_size if batch_size is None else batch_size),
        lr=float(recipe.lr if lr is None else lr),
        augment=augmented,
        views=None if views is None else operator.index(views),
        keep=parameters["keep"],
        patience=None if patience is None else operator.index(patience),
        class_weight=parameters["class_weight"],
    )


def _check_no_views(augment: bool | str, clip: CLIP, views: int | None, view_seed: int | None) -> None:
    """Raise `InputError` for views that will not be, or for a seed of theirs where the user wants none."""
    by_files = augment == "auto"
    why = f"the files of the CLIP {clip.name} say" if by_files else "augment=False says"
    for name, value in (("views", views), ("view_seed", None if by_files else view_seed)):
        if value is not None:
            raise InputError(
                f"{name}: expected nothing, because {why} that the images are learned as they are; got {value!r}. "
                "Leave it out, or set augment=True (--augment)."
            )


def source_of(
    clip: CLIP,
    pictures: Sequence[Picture],
    learning: Learning | None,
    view_seed: int,
    store: FeatureStore | None,
    exif: Exif,
    ranks: Ranks,
) -> Source:
    """Features to learn from. An image that does not decode, or too few for `ranks`, are found before any training."""
    if learning is not None:
        check_divisible(ranks, learning.batch_size, len(pictures))
    if learning is None or not learning.augment:
        encoded = read_together(ranks, clip, pictures, store, fill=True, exif=exif)
        return FixedFeatures(encoded.features, encoded.contents)
    mine = pictures[ranks.part(len(pictures))]
    views = AugmentedFeatures(clip, mine, operator.index(view_seed), learning.epochs, learning.views, store, exif)
    return views if ranks.size == 1 else SharedViews(ranks, views)


def hold_out(
    clip: CLIP,
    given: tuple[Pictures, Sequence[Any]] | None,
    classes: NDArray[Any],
    class_names: Sequence[str] | None,
    source: Source | None,
    parameters: Mapping[str, Any],
    store: FeatureStore | None,
    ranks: Ranks,
) -> HeldOut | None:
    """The validation images of a fit; None where none are given, or there is nothing to learn from.

    Copies of images in `source`, which are learned from, are left out, with a warning.

    Raises:
        InputError: no pictures with a label each, a label that is none of the `classes` [K], an image that does not
            decode, or only images that are learned from.
    """
    if given is None or source is None:
        return None
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError(f"validation: expected a pair (images, labels); got {shortened(given)}.")
    images, labels = given
    try:
        pictures = labelled_pictures(images, labels)
        numbers = number_labels(classes, labels, class_names)
    except InputError as error:
        raise InputError(f"validation: {error}") from error
    encoded = read_together(ranks, clip, pictures, store, source.contents.tolist(), exif=parameters["exif"])
    left_out = len(pictures) - len(encoded.kept)
    if not encoded.kept:
        raise InputError(
            f"validation: expected images that are not learned from; got {left_out:,} copies of such. Give others."
        )
    if left_out:
        warnings.warn(
            f"cocoop: {left_out:,} of the {len(pictures):,} validation images are learned from, and are left out",
            stacklevel=4,
        )
    kept, contents = [pictures[number] for number in encoded.kept], encoded.contents[encoded.kept]
    labels_kept = [numbers[number] for number in encoded.kept]
    validation = Validation(encoded.features, labels_kept, parameters["keep"], parameters["patience"])
    return HeldOut(validation, contents, fingerprints(kept, contents))


def learn(
    model: Method,
    source: Source | None,
    targets: Sequence[int],
    learning: Learning | None,
    seed: int,
    cuda_graph: str,
    held_out: HeldOut | None,
    checkpoint: Checkpoint | None,
    callbacks: Sequence[Any],
    ranks: Ranks,
) -> list[Epoch]:
    """Prepare the method and train it, as far as it has images to look at and a recipe to learn by."""
    if source is None:
        return []
    with torch_threads(threads_for(model.clip.name)):
        prepare(model, source, targets)
        if learning is None:
            return []
        recipe = cast(Recipe, model.recipe)  # without which there is no `Learning`
        caution = warm_up_only(learning.epochs, recipe.schedule)
        if caution is not None:
            warnings.warn(f"cocoop: {caution}", stacklevel=4)
        return train(
            model,
            source,
            targets,
            seed=seed,
            epochs=learning.epochs,
            batch_size=learning.batch_size,
            lr=learning.lr,
            schedule=recipe.schedule,
            cuda_graph=cuda_graph,
            class_weights=balanced(targets, len(model.class_names)) if learning.class_weight == "balanced" else None,
            validation=held_out.validation if held_out else None,
            checkpoint=checkpoint,
            on_epoch_end=[callback.on_epoch_end for callback in callbacks],
            ranks=ranks,
            **recipe.optimizer_settings,
        )


def searched(model: Method, held_out: HeldOut) -> Search:
    """Have the method choose its settings on the validation images."""
    features, labels, *_ = held_out.validation
    with torch_threads(threads_for(model.clip.name)):
        found = model.search(features[:], torch.tensor(labels, device=model.clip.device))
    return Search(images=len(labels), **found._asdict())


def balanced(targets: Sequence[int], classes: int) -> list[float]:
    """Weights [K] by which all classes count alike: n / (K' count_k), of n images in K' classes that have some.

    scikit-learn's `compute_class_weight("balanced", ...)`. A class without an image has 0, which no loss asks for.
    """
    counts = Counter(targets)
    return [len(targets) / (len(counts) * counts[k]) if counts[k] else 0.0 for k in range(classes)]
