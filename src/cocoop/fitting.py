"""From labelled images to a learned prompt: what is picked, encoded, trained, and kept of it."""

from __future__ import annotations

import operator
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, cast

import torch
from numpy.typing import NDArray

from cocoop.arguments import OF_A_TRAINING, check_parameters, check_pictures
from cocoop.clip import CLIP
from cocoop.clip.sources.hub import SHORT_NAMES
from cocoop.clip.sources.load import BUNDLED
from cocoop.data import few_shot_indices, picked_hash
from cocoop.errors import InputError
from cocoop.features import AugmentedFeatures, FeatureStore, FixedFeatures, Picture, fingerprints, read_pictures
from cocoop.labels import number_classes
from cocoop.methods import METHODS, Method, Recipe, expect_rebuildable
from cocoop.results import Calibration, Environment, Epoch, Learning, Parameters, environment, peak_memory_mb
from cocoop.results.plain import plain
from cocoop.rgb import Exif
from cocoop.training import prepare, threads_for, torch_threads, train, warm_up_only

OF_THE_CLIP = ("tokenizer", "device", "dtype", "memory_budget")
"""Those of a classifier's parameters that say how its CLIP is loaded."""

OF_THE_MACHINE = ("device", "dtype", "memory_budget", "feature_cache", "cuda_graph")
"""Those of a classifier's parameters that are this machine's matter: no run folder keeps them."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a fit leaves beside the model, as it was then; nothing that is set later changes it.

    `calibration` alone comes later; see `Classifier.calibrate`.

    parameters: the classifier's, without the machine's. history: one `Epoch` per epoch.
    clip_fingerprint: of the CLIP that it was learned on; None is the model's own.
    All others are as in `RunRecord`, under the same names.
    """

    parameters: Parameters
    history: list[Epoch]
    clip_fingerprint: str | None = None
    shots: int | None
    learning: Learning | None
    picked: list[int]
    split_hash: str | None
    trained_on: list[str]
    protocol: str = "own-images"
    dataset: str | None = None
    device: str | None
    dtype: str | None
    seconds: float
    peak_memory_mb: float | None
    peak_gpu_memory_mb: float | None
    calibration: Calibration | None = None
    environment: Environment


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
    seed, shots, view_seed = operator.index(parameters["seed"]), parameters["shots"], parameters["view_seed"]
    with torch.inference_mode(False), torch.enable_grad():  # learned tensors need gradients, whoever calls
        clip = load_clip(parameters["clip"], **{name: parameters[name] for name in OF_THE_CLIP})
        store = feature_store(parameters["feature_cache"], clip)
        model = _new_model(METHODS[parameters["method"]], clip, names, parameters["settings"] or {}, seed)
        kept = {field.name: parameters[field.name] for field in fields(Parameters)} | places_of(clip)
        frozen = Parameters(**plain(kept))
        expect_rebuildable(model)  # what no run folder can keep is refused before hours of training
        plain(model.settings)
        learning = _learning(model, parameters["augment"], **{name: parameters[name] for name in OF_A_TRAINING})
        picked = _pick(targets, shots, seed) if model.learns() else []
        pictures, targets = [images[i] for i in picked], [targets[i] for i in picked]
        view_seed = seed if view_seed is None else view_seed
        source = _source(clip, pictures, learning, view_seed, store, parameters["exif"]) if picked else None
        trained_on = fingerprints(pictures, source.contents) if source else []
        if before_training is not None:
            began = time.perf_counter()
            before_training(BeforeTraining(clip, store, picked, frozenset(trained_on)))
            started += time.perf_counter() - began
        with torch_threads(threads_for(clip.name)):
            history = _learn(model, source, targets, learning, seed, parameters["cuda_graph"]) if source else []
    done = Fit(
        parameters=frozen,
        history=history,
        shots=frozen.shots if picked else 0,
        learning=learning,
        picked=picked,
        split_hash=picked_hash(images, picked, targets, names),
        trained_on=trained_on,
        seconds=time.perf_counter() - started,
        **_circumstances(clip),
    )
    return Fitted(model, classes, done)


def load_clip(source: Any, **options: Any) -> CLIP:
    """`CLIP.load(source, **options)` with `OF_THE_CLIP`; a CLIP that is loaded as it is.

    Raises:
        InputError: as `CLIP.load`; or one of the options is given beside a CLIP that is loaded, which has its own.
    """
    if not isinstance(source, CLIP):
        return CLIP.load(source, **options)
    for name, value in options.items():
        default = None if name == "tokenizer" else "auto"
        if value != default:
            raise InputError(
                f"{name}: expected {default} beside a CLIP that is loaded and has its own; got {value!r}. "
                "Give it to CLIP.load, or give the CLIP's name instead."
            )
    return source


def feature_store(folder: str | os.PathLike[str] | None, clip: CLIP) -> FeatureStore | None:
    """Where a classifier with this `feature_cache` keeps image features, if anywhere."""
    return None if folder is None else FeatureStore(folder, clip)


def places_of(clip: CLIP) -> dict[str, Any]:
    """The "clip" and its "tokenizer" as a run folder keeps them: by name, or by a path that holds anywhere.

    A tokenizer that was given as an object has no name, and is None.
    """
    name, tokenizer = clip.name, clip.tokenizer_source
    return {
        "clip": name if name in BUNDLED or name in SHORT_NAMES else _absolute(name),
        "tokenizer": None if tokenizer is None else _absolute(tokenizer),
    }


def _absolute(place: str) -> str:
    """A file or folder by its absolute path, which holds in another working directory; anything else as it is."""
    return os.path.abspath(place) if os.path.exists(place) else place


def _new_model(
    method: type[Method], clip: CLIP, names: Sequence[str], settings: Mapping[str, Any], seed: int
) -> Method:
    """The method before training. Its random start comes from the seed; the global random states are left as they were.

    Methods draw on the CPU. `torch.manual_seed` would seed every GPU, too, whose states are not put back here.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return method(clip, names, **settings)


def _pick(targets: Sequence[int], shots: int | None, seed: int) -> list[int]:
    return list(range(len(targets))) if shots is None else few_shot_indices(targets, shots, seed)


def _learning(
    model: Method,
    augment: bool | str,
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    views: int | None,
    view_seed: int | None,
) -> Learning | None:
    """The numbers that were given, or else those of the method's recipe; None without a recipe."""
    recipe = model.recipe
    if recipe is None:
        return None
    augmented = bool(model.clip.augment if augment == "auto" else augment)
    if not augmented:
        _check_no_views(augment, model.clip, views, view_seed)
    return Learning(
        epochs=operator.index(recipe.epochs if epochs is None else epochs),
        batch_size=operator.index(recipe.batch_size if batch_size is None else batch_size),
        lr=float(recipe.lr if lr is None else lr),
        augment=augmented,
        views=None if views is None else operator.index(views),
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


def _source(
    clip: CLIP,
    pictures: Sequence[Picture],
    learning: Learning | None,
    view_seed: int,
    store: FeatureStore | None,
    exif: Exif,
) -> AugmentedFeatures | FixedFeatures:
    """Features to learn from. Either way an image that does not decode is found before any training."""
    if learning is None or not learning.augment:
        encoded = read_pictures(clip, pictures, store, fill=True, exif=exif)
        return FixedFeatures(encoded.features, encoded.contents)
    return AugmentedFeatures(clip, pictures, operator.index(view_seed), learning.epochs, learning.views, store, exif)


def _learn(
    model: Method,
    source: AugmentedFeatures | FixedFeatures,
    targets: Sequence[int],
    learning: Learning | None,
    seed: int,
    cuda_graph: str,
) -> list[Epoch]:
    prepare(model, source, targets)
    if learning is None:
        return []
    recipe = cast(Recipe, model.recipe)  # without which there is no `Learning`
    caution = warm_up_only(learning.epochs)
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
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        cuda_graph=cuda_graph,
    )


def _circumstances(clip: CLIP) -> dict[str, Any]:
    """On what, and with how much memory so far, this process has learned."""
    on_gpu = clip.device.type == "cuda"
    return {
        "device": str(clip.device),
        "dtype": clip.precision.name,
        "peak_memory_mb": peak_memory_mb(),
        "peak_gpu_memory_mb": torch.cuda.max_memory_allocated(clip.device) / 1e6 if on_gpu else None,
        "environment": environment(),
    }
