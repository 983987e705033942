"""From labelled images to a learned prompt: what is picked, encoded, trained, and kept of it."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray

from cocoop.arguments import check_parameters, check_pictures, feature_store, load_clip
from cocoop.clip import CLIP
from cocoop.data import few_shot_indices, picked_hash
from cocoop.errors import InputError
from cocoop.features import AugmentedFeatures, FeatureStore, FixedFeatures, Picture, fingerprints, read_pictures
from cocoop.labels import number_classes
from cocoop.methods import METHODS, Method
from cocoop.saved import Fit, Learning, frozen_parameters
from cocoop.training import Epoch, prepare, train


class BeforeTraining(NamedTuple):
    """What a fit has settled before it trains.

    clip: the loaded CLIP. store: where image features are kept, if anywhere. picked: positions of the images to learn
    from. trained_on: the `fingerprint` of each of them that is a file.
    """

    clip: CLIP
    store: FeatureStore | None
    picked: list[int]
    trained_on: frozenset[str]


class Fitted(NamedTuple):
    """The learned method on its CLIP, its classes [K] as the labels spell them, and what the fit was."""

    model: Method
    classes: NDArray[Any]
    fit: Fit


def fit(
    parameters: Mapping[str, Any],
    images: Sequence[Picture],
    labels: Sequence[Any],
    class_names: Sequence[str] | None = None,
    before_training: Callable[[BeforeTraining], object] | None = None,
) -> Fitted:
    """Pick images and learn from them; arguments and errors as of `Classifier.fit`, with its parameters by name."""
    started = time.perf_counter()
    check_parameters(parameters)
    check_pictures(images, labels)
    images = list(images)  # by position: a column of pandas looks up row numbers
    classes, targets = number_classes(labels, class_names)
    names = [str(name) for name in classes.tolist()]
    with torch.inference_mode(False), torch.enable_grad():  # learned tensors need gradients, whoever calls
        clip = load_clip(parameters["clip"], parameters)
        model = _new_model(parameters, clip, names)
        picked = _pick(parameters, targets) if model.learns() else []
        pictures, targets = [images[i] for i in picked], [targets[i] for i in picked]
        learning = _learning(parameters, model)
        source = _source(parameters, model, learning, pictures) if picked else None
        trained_on = fingerprints(pictures, source.contents) if source else []
        if before_training is not None:
            began = time.perf_counter()
            store = feature_store(parameters, clip)
            before_training(BeforeTraining(clip, store, picked, frozenset(trained_on)))
            started += time.perf_counter() - began
        history = _learn(parameters, model, learning, source, targets) if source else []
    fitted = Fit(
        parameters=frozen_parameters(parameters, clip),
        learning=learning,
        history=history,
        picked=picked,
        trained_on=trained_on,
        split_hash=picked_hash(images, picked, targets, names),
        seconds=time.perf_counter() - started,
    )
    return Fitted(model, classes, fitted)


def _new_model(parameters: Mapping[str, Any], clip: CLIP, names: Sequence[str]) -> Method:
    """The method before training. Its random start comes from the seed; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(operator.index(parameters["seed"]))
        return METHODS[parameters["method"]](clip, names, **(parameters["settings"] or {}))


def _pick(parameters: Mapping[str, Any], targets: Sequence[int]) -> list[int]:
    shots, seed = parameters["shots"], operator.index(parameters["seed"])
    return list(range(len(targets))) if shots is None else few_shot_indices(targets, shots, seed)


def _learning(parameters: Mapping[str, Any], model: Method) -> Learning | None:
    """The numbers that were given, or else those of the method's recipe; None without a recipe."""
    recipe = model.recipe
    if recipe is None:
        return None
    epochs, batch_size, lr, augment, views = (
        parameters[name] for name in ("epochs", "batch_size", "lr", "augment", "views")
    )
    augment = bool(model.clip.augment if augment == "auto" else augment)
    if views is not None and not augment:
        raise InputError(
            f"views: expected nothing, because the files of the CLIP {model.clip.name} say that its images are "
            f"learned as they are; got {views!r}. Leave it out, or add augment=True (--augment)."
        )
    return Learning(
        epochs=operator.index(recipe.epochs if epochs is None else epochs),
        batch_size=operator.index(recipe.batch_size if batch_size is None else batch_size),
        lr=float(recipe.lr if lr is None else lr),
        augment=augment,
        views=None if views is None else operator.index(views),
    )


def _source(
    parameters: Mapping[str, Any], model: Method, learning: Learning | None, pictures: Sequence[Picture]
) -> AugmentedFeatures | FixedFeatures:
    """Features to learn from. Either way an image that does not decode is found before any training."""
    store = feature_store(parameters, model.clip)
    if learning is None or not learning.augment:
        encoded = read_pictures(model.clip, pictures, store, fill=True)
        return FixedFeatures(encoded.features, encoded.contents)
    seed, view_seed = parameters["seed"], parameters["view_seed"]
    view_seed = operator.index(seed if view_seed is None else view_seed)
    return AugmentedFeatures(model.clip, pictures, view_seed, learning.epochs, learning.views, store)


def _learn(
    parameters: Mapping[str, Any],
    model: Method,
    learning: Learning | None,
    source: AugmentedFeatures | FixedFeatures,
    targets: Sequence[int],
) -> list[Epoch]:
    prepare(model, source, targets)
    if learning is None or model.recipe is None:
        return []
    return train(
        model,
        source,
        targets,
        seed=operator.index(parameters["seed"]),
        epochs=learning.epochs,
        batch_size=learning.batch_size,
        lr=learning.lr,
        momentum=model.recipe.momentum,
        weight_decay=model.recipe.weight_decay,
        cuda_graph=parameters["cuda_graph"],
    )
