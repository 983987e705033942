"""From labelled images to a learned prompt: what is picked, encoded, trained, and kept of it."""

from __future__ import annotations

import operator
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cocoop.arguments import Pictures, check_parameters, check_validation, labelled_pictures
from cocoop.callbacks import check_callbacks, tell
from cocoop.clip import CLIP
from cocoop.clip.sources.hub import SHORT_NAMES
from cocoop.clip.sources.load import BUNDLED
from cocoop.data import few_shot_indices, picked_hash
from cocoop.errors import InputError
from cocoop.features import FeatureStore, Picture, fingerprints
from cocoop.features.sources import FeatureSource
from cocoop.identity import check_same, identity_of
from cocoop.labels import number_classes
from cocoop.learning import hold_out, learn, learning_of, searched, source_of
from cocoop.methods import METHODS, Method, expect_rebuildable
from cocoop.ranks import Ranks, join
from cocoop.results import (
    Calibration,
    Environment,
    Epoch,
    Imported,
    Learning,
    Parameters,
    Search,
    environment,
    peak_memory_mb,
)
from cocoop.results.plain import plain
from cocoop.training import EVERY, Cadence, Checkpoint, Identity, check_divides, kept_epoch

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
    sample: features [n, E] float16 of some of the images as the last epoch saw them; None unless it is conditional.
    All others are as in `RunRecord`, under the same names.
    """

    parameters: Parameters
    history: list[Epoch]
    clip_fingerprint: str | None = None
    sample: NDArray[np.float16] | None = field(default=None, compare=False)
    shots: int | None
    imported: Imported | None = None
    learning: Learning | None
    kept_epoch: int | None = None
    picked: list[int]
    validation_images: int = 0
    split_hash: str | None
    trained_on: list[str]
    validated_on: list[str] = field(default_factory=list)
    search: Search | None = None
    protocol: str = "own-images"
    dataset: str | None = None
    device: str | None
    dtype: str | None
    seconds: float | None
    peak_memory_mb: float | None
    peak_gpu_memory_mb: float | None
    processes: int = 1
    calibration: Calibration | None = None
    environment: Environment

    @property
    def figures(self) -> dict[str, float]:
        """What `Callback.on_fit_end` is told: seconds, and the figures of the epoch that was kept, if there is one."""
        kept = next((epoch for epoch in self.history if epoch.epoch == self.kept_epoch), None)
        of_it = (
            {name: getattr(kept, name) for name in ("epoch", "loss", "accuracy", "validation_accuracy")} if kept else {}
        )
        figures = {"seconds": self.seconds} | of_it
        return {name: value for name, value in figures.items() if value is not None}


_SAMPLE = 256
"""Images of which a fit keeps the features: 256 KB at E = 512."""


class BeforeTraining(NamedTuple):
    """What a fit has settled before it trains.

    clip: the loaded CLIP. store: where image features are kept, if anywhere. picked: positions of the images to learn
    from. trained_on: the `fingerprint` of each of them that is a file. validated_on: of each validation image. ranks:
    that share the work.
    """

    clip: CLIP
    ranks: Ranks
    store: FeatureStore | None
    picked: list[int]
    trained_on: frozenset[str]
    validated_on: frozenset[str] = frozenset()


class Fitted(NamedTuple):
    """The learned method on its CLIP, its classes [K] as the labels spell them, and what the fit was."""

    model: Method
    classes: NDArray[Any]
    fit: Fit


def fit(
    parameters: Mapping[str, Any],
    images: Pictures,
    labels: Sequence[Any],
    class_names: Sequence[str] | None = None,
    before_training: Callable[[BeforeTraining], object] | None = None,
    validation: tuple[Pictures, Sequence[Any]] | None = None,
    callbacks: Sequence[Any] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | str = EVERY,
) -> Fitted:
    """Pick images and learn from them; arguments and errors as of `Classifier.fit`, with its parameters by name."""
    started = time.perf_counter()
    images = _checked(parameters, images, labels, validation is not None, callbacks)
    cadence = Cadence(checkpoint_every)
    classes, targets = number_classes(labels, class_names)
    names = [str(name) for name in classes.tolist()]
    seed, shots, exif, ranks = operator.index(parameters["seed"]), parameters["shots"], parameters["exif"], join()
    with torch.inference_mode(False), torch.enable_grad():  # learned tensors need gradients, whoever calls
        clip, store, model, frozen = _built(parameters, names, seed)
        if class_names is None and model.reads_names:
            _doubt_numbers(classes)
        learning = learning_of(model, parameters)
        picked = _pick(targets, shots, seed) if model.learns() else []
        pictures, targets = [images[i] for i in picked], [targets[i] for i in picked]
        view_seed = seed if parameters["view_seed"] is None else parameters["view_seed"]
        source = source_of(clip, pictures, learning, view_seed, store, exif, ranks) if picked else None
        trained_on = fingerprints(pictures, source.contents) if source else []
        held_out = hold_out(clip, validation, classes, class_names, source, parameters, store, ranks)
        validated_on = held_out.fingerprints if held_out else []
        told = partial(identity_of, model, frozen, learning, source, targets, held_out, ranks)
        state = _state(checkpoint, cadence, ranks, told)
        settled = BeforeTraining(clip, ranks, store, picked, frozenset(trained_on), frozenset(validated_on))
        started += _seconds_of(before_training, settled)
        sizes = {"training_images": len(picked), "validation_images": len(held_out.contents) if held_out else 0}
        ranks.first(lambda: tell(callbacks, "on_fit_begin", _facts(frozen, model, learning) | sizes))
        given = seed, parameters["cuda_graph"], held_out, state, callbacks, ranks
        history = learn(model, source, targets, learning, *given)
        search = searched(model, held_out) if parameters["search"] and held_out else None
    done = Fit(
        parameters=frozen,
        history=history,
        kept_epoch=kept_epoch(history, parameters["keep"]),
        sample=_sample(source, history) if source and model.conditional else None,
        shots=frozen.shots if picked else 0,
        learning=learning,
        picked=picked,
        validation_images=sizes["validation_images"],
        split_hash=picked_hash(images, picked, targets, names),
        trained_on=trained_on,
        validated_on=validated_on,
        search=search,
        seconds=time.perf_counter() - started + (state.seconds if state else 0),
        **_circumstances(clip, ranks),
    )
    ranks.first(lambda: tell(callbacks, "on_fit_end", done.figures))
    return Fitted(model, classes, done)


def _checked(
    parameters: Mapping[str, Any], images: Pictures, labels: Sequence[Any], validated: bool, callbacks: Sequence[Any]
) -> list[Picture]:
    """The pictures as a list. What cannot work is refused before anything is loaded."""
    check_parameters(parameters)
    pictures = labelled_pictures(images, labels)
    check_validation(parameters, validated)
    check_callbacks(callbacks)
    return pictures


def _doubt_numbers(classes: NDArray[Any]) -> None:
    """Warn of classes [K] that are whole numbers: their names may have been lost on the way here."""
    if classes.dtype.kind in "iu":
        warnings.warn(
            f"cocoop: labels are numbers, so that a class is called {str(classes[0])!r} in prompts. If they stand for "
            "names, give these to fit (class_names), as to cross_val_predict (params={'class_names': ...}), which "
            "makes numbers of labels",
            stacklevel=4,
        )


def _state(
    checkpoint: str | os.PathLike[str] | None, cadence: Cadence, ranks: Ranks, told: Callable[[], Identity]
) -> Checkpoint | None:
    """Where the training keeps its state, if anywhere. Ranks that are to learn something else are refused."""
    if checkpoint is None and ranks.size == 1:
        return None
    identity = told()
    check_same(ranks, identity)
    return None if checkpoint is None else ranks.first(lambda: Checkpoint(Path(checkpoint), identity, cadence))


def _seconds_of(before_training: Callable[[BeforeTraining], object] | None, settled: BeforeTraining) -> float:
    """Call it, and give the seconds that it took."""
    began = time.perf_counter()
    if before_training is not None:
        before_training(settled)
    return time.perf_counter() - began


def _built(
    parameters: Mapping[str, Any], names: Sequence[str], seed: int
) -> tuple[CLIP, FeatureStore | None, Method, Parameters]:
    """The CLIP, where its features are kept, the method before training, and the parameters as a run keeps them."""
    clip = load_clip(parameters["clip"], **{name: parameters[name] for name in OF_THE_CLIP})
    store = feature_store(parameters["feature_cache"], clip)
    model = _new_model(METHODS[parameters["method"]], clip, names, parameters["settings"] or {}, seed)
    check_divides(join(), model)
    kept = {field.name: parameters[field.name] for field in fields(Parameters)} | places_of(clip)
    frozen = Parameters(**plain(kept))
    expect_rebuildable(model)  # what no run folder can keep is refused before hours of training
    plain(model.settings)
    return clip, store, model, frozen


def _facts(parameters: Parameters, model: Method, learning: Learning | None) -> dict[str, Any]:
    """What `Callback.on_fit_begin` is told, beside numbers of images."""
    own = {f"settings.{name}": value for name, value in model.settings.items()}
    facts = {name: value for name, value in vars(parameters).items() if name != "settings"}
    sizes = {"classes": len(model.class_names), "trainable_parameters": model.trainable_parameters}
    return facts | own | (vars(learning) if learning else {}) | sizes


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


def _sample(source: FeatureSource, history: Sequence[Epoch]) -> NDArray[np.float16]:
    """Features of `_SAMPLE` of the images at most, evenly from their list.

    Random views are as good as whole images for what they are kept for, to see how far the context moves: it moves
    farther in them, if anything. And those of the last epoch are encoded already.
    """
    count = min(len(source), _SAMPLE)
    chosen = [number * len(source) // count for number in range(count)]
    (features,) = source.batches(history[-1].epoch if history else 0, chosen, count)
    return features.cpu().numpy().astype(np.float16)


def _circumstances(clip: CLIP, ranks: Ranks) -> dict[str, Any]:
    """On what, with how many others, and with how much memory so far, this process has learned."""
    on_gpu = clip.device.type == "cuda"
    return {
        "device": str(clip.device),
        "dtype": clip.precision.name,
        "peak_memory_mb": peak_memory_mb(),
        "peak_gpu_memory_mb": torch.cuda.max_memory_allocated(clip.device) / 1e6 if on_gpu else None,
        "processes": ranks.size,
        "environment": environment(),
    }
