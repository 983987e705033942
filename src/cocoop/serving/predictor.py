"""`Predictor`: a learned prompt, or zero-shot CLIP, at work on any number of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cocoop.classifier import Classifier
from cocoop.clip import CLIP
from cocoop.errors import InputError
from cocoop.evaluation import class_probabilities
from cocoop.features import EncodedRow, FeatureStore, usable_cpus
from cocoop.fitting import feature_store, load_clip
from cocoop.labels import new_classes
from cocoop.methods import Inference, Method, ZeroShot, described, inference_of
from cocoop.rgb import Exif, chosen_exif
from cocoop.serving.encode import encode
from cocoop.serving.exported import HeadModel, PixelModel, is_exported, load_exported
from cocoop.serving.tables import Named
from cocoop.sharing import found_run

TEMPLATE = "a photo of a {}."
"""The template of zero-shot, CLIP's own."""


class Prediction(NamedTuple):
    """What came of one picture.

    key: its name. label: the class, as in `Predictor.classes_`; None where none is probable enough, or of an error.
    top: the most probable classes with their probabilities, best first. error: why it could not be read, or None.
    feature: the image feature [E], unit norm; None of an exported model that takes pixels.
    """

    key: str
    label: Any
    top: list[tuple[Any, float]]
    error: str | None
    feature: Tensor | None

    @property
    def probability(self) -> float | None:
        """Of the most probable class, 0..1, also where that is below the threshold; None of an error."""
        return self.top[0][1] if self.top else None


class _Ready(NamedTuple):
    clip: CLIP | PixelModel
    model: Inference | PixelModel | HeadModel
    classes: NDArray[Any]
    store: FeatureStore | None
    exif: Exif

    def probabilities(self, image_features: Tensor) -> NDArray[np.float64]:
        if isinstance(self.model, PixelModel | HeadModel):
            return self.model.probabilities(image_features)
        return class_probabilities(self.model, image_features)


@dataclass(frozen=True, eq=False, repr=False)
class Predictor:
    """Classifies pictures in batches, in this process or in many: Ray's and `datasets`' `map` take it as it is.

    `Predictor.load` and `Predictor.zero_shot` make one. It cannot be changed. It is pickled by what it was made of, the
    run's path and the CLIP's name, and reads both again where it is unpickled, at the first batch. It starts no
    process for a batch; up to `workers` threads decode pictures, beside those of torch.

    Args:
        run: a run folder, as `PromptClassifier.save` or `cocoop train` wrote it; or what `cocoop export` wrote, which
            has its own classes, and computes on the CPU; None is zero-shot.
        classes: [K] other classes than the run's.
        device, dtype, memory_budget, tokenizer: as in `CLIP.load`.
        workers: how many threads may decode pictures; None is as many as there are CPUs.
        clip: what `CLIP.load` takes, if the one of the run lies elsewhere now, or without a run; or a loaded `CLIP`,
            with which the predictor cannot be pickled.
        feature_cache: a folder where image features are kept and looked for.
        top: how many classes `top` has of a picture.
        threshold: 0..1; a picture whose best class is less probable has None for a class.
        shortlist, inference: as in `PromptClassifier.predict_proba`; tangent prompts are made when it is loaded.
        templates: of zero-shot, as in `ZeroShot`.
        exif: how pictures become RGB, see `cocoop.rgb.as_rgb`; None is as the run was learned, or "apply".

    Raises:
        InputError: as `PromptClassifier.load`, `CLIP.load` and `ZeroShot`, or a number that cannot work.
    """

    run: str | None = None
    classes: tuple[Any, ...] | None = None
    device: str = "auto"
    workers: int | None = None
    clip: Any = None
    tokenizer: Any = None
    dtype: str = "auto"
    memory_budget: str | int = "auto"
    feature_cache: str | None = None
    top: int = 1
    threshold: float = 0.0
    shortlist: int | None = None
    templates: tuple[str, ...] = (TEMPLATE,)
    exif: Exif | None = None
    inference: str = "exact"

    @classmethod
    def load(
        cls,
        run: str | os.PathLike[str],
        classes: Iterable[Any] | None = None,
        device: str = "auto",
        workers: int | None = None,
        clip: Any = None,
        tokenizer: Any = None,
        dtype: str = "auto",
        memory_budget: str | int = "auto",
        feature_cache: str | os.PathLike[str] | None = None,
        top: int = 1,
        threshold: float = 0.0,
        shortlist: int | None = None,
        exif: Exif | None = None,
        inference: str = "exact",
    ) -> Predictor:
        """A fitted classifier from its run folder, or one of the hub (`found_run`); arguments and errors as above."""
        names = None if classes is None else _names(classes)
        return cls(
            os.path.abspath(found_run(run)),
            names,
            device,
            workers,
            _lasting(clip),
            _lasting(tokenizer),
            dtype,
            memory_budget,
            _lasting(feature_cache, new=True),
            top,
            threshold,
            shortlist,
            exif=exif,
            inference=inference,
        )

    @classmethod
    def zero_shot(
        cls, clip: Any, classes: Iterable[Any], templates: Sequence[str] = (TEMPLATE,), **others: Any
    ) -> Predictor:
        """A CLIP as it is, with hand-written prompts: nothing is learned and no run is needed.

        `others` are those of `load` that are left: device, workers, tokenizer, dtype, memory_budget, feature_cache,
        top, threshold, exif.
        """
        names, given = _names(classes), [templates] if isinstance(templates, str) else templates
        for name in ("tokenizer", "feature_cache"):
            others[name] = _lasting(others.get(name), name == "feature_cache")
        return cls(None, names, clip=_lasting(clip), templates=tuple(given), **others)

    def __post_init__(self) -> None:
        for name in ("workers", "top"):
            number = getattr(self, name)
            if number is not None and (not hasattr(number, "__index__") or number < 1):
                raise InputError(f"{name}: expected a number of 1 or more; got {number!r}.")
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold: expected a probability, 0 to 1; got {self.threshold!r}.")
        _ = self._ready  # what cannot work is said here, and not in a far process

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Classify the pictures of a batch; a picture that cannot be read is an error in its row.

        Args:
            batch: {"image": [n]} paths, bytes of files, arrays [H, W, 3] of uint8, Pillow images, or Hugging Face's
                {"bytes", "path"}. Other keys are passed over.

        Returns:
            Lists of n: "class", as in `classes_`, or None; "probability" of the best class, or None; "top", the best
            classes as [{"class": ..., "probability": ...}, ...]; "error", None or a text. Probabilities are to the bit
            those of `PromptClassifier.predict_proba` of the pictures that can be read.

        Raises:
            InputError: a batch without "image". RunError: a probability is not finite.
        """
        if not isinstance(batch, Mapping) or "image" not in batch:
            raise InputError(
                f'batch: expected {{"image": [...]}}; got {sorted(batch) if isinstance(batch, Mapping) else batch!r}. '
                "Rename the column that holds the pictures."
            )
        pictures = [Named(_name(picture, n), picture) for n, picture in enumerate(batch["image"], 1)]
        ready = self._ready
        parts = encode(ready.clip, pictures, ready.store, self.workers, processes=0, exif=ready.exif)
        rows = self._predicted([row for part in parts for row in part])
        return {
            "class": [row.label for row in rows],
            "probability": [row.probability for row in rows],
            "top": [[{"class": label, "probability": p} for label, p in row.top] for row in rows],
            "error": [row.error for row in rows],
        }

    def stream(
        self, pictures: Iterable[Named], processes: int | None = None, distinct: bool = False
    ) -> Iterator[Prediction]:
        """Classify pictures as they come; memory does not grow with their number, unless they are to be `distinct`.

        A few batches are read ahead; `processes` and `distinct` are as in `encode`.
        """
        clip, _, _, store, exif = self._ready
        return self.stream_features(encode(clip, pictures, store, self.workers, processes, exif, distinct))

    def stream_features(self, rows: Iterable[list[EncodedRow[str]]]) -> Iterator[Prediction]:
        """`stream` for pictures that `encode` has encoded, or `read_features` gives."""
        for part in rows:
            yield from self._predicted(part)

    @property
    def classes_(self) -> tuple[Any, ...]:
        """[K] the classes that it tells apart."""
        return tuple(self._ready.classes.tolist())

    @property
    def inference_(self) -> str | None:
        """How classes are found, in words, and of how many images so far; None where images share their prompts."""
        model = self._ready.model
        return None if isinstance(model, PixelModel | HeadModel) else described(model)

    @property
    def bound_(self) -> str | None:
        """Why it classifies into its own classes alone; None where it takes others."""
        model = self._ready.model
        if isinstance(model, PixelModel | HeadModel):
            return "an exported model has its own"
        while not isinstance(model, Method):
            model = model.model
        return model.bound

    @property
    def clip_(self) -> CLIP:
        """The CLIP that it stands on. `InputError` of an exported model that takes pixels: it has no image features."""
        encoder = self.encoder_
        if not isinstance(encoder, CLIP):
            raise InputError(
                f"{self.run}: expected a model with image features; got an exported one that goes from pixels to "
                "probabilities. Export the run with --features, or take the run itself."
            )
        return encoder

    @property
    def encoder_(self) -> CLIP | PixelModel:
        """What takes the pixels of pictures: the CLIP, or an exported model."""
        return self._ready.clip

    def _predicted(self, rows: Sequence[EncodedRow[str]]) -> list[Prediction]:
        features = [row.feature for row in rows if row.feature is not None]
        ready = self._ready
        probabilities = iter(ready.probabilities(torch.stack(features)) if features else ())
        predictions = [self._prediction(row, ready.classes, probabilities) for row in rows]
        return [row._replace(feature=None) for row in predictions] if ready.model is ready.clip else predictions

    def _prediction(
        self, row: EncodedRow[str], labels: NDArray[Any], probabilities: Iterator[NDArray[np.float64]]
    ) -> Prediction:
        if row.feature is None:
            return Prediction(row.key, None, [], str(row.error), None)
        mine = next(probabilities)
        best = (-mine).argsort(kind="stable")[: self.top]
        top = list(zip(labels[best].tolist(), mine[best].tolist(), strict=True))
        return Prediction(row.key, top[0][0] if top[0][1] >= self.threshold else None, top, None, row.feature)

    @property
    def _threads(self) -> int:
        return self.workers or usable_cpus()

    @cached_property
    def _ready(self) -> _Ready:
        machine = {"device": self.device, "dtype": self.dtype, "memory_budget": self.memory_budget}
        if self.run is not None and is_exported(self.run):
            return self._exported(self.run, machine)
        if self.run is None:
            clip = load_clip(self.clip, tokenizer=self.tokenizer, **machine)
            labels, names = new_classes(self.classes or (), allow_equal=False)
            model: Inference = inference_of(ZeroShot(clip, names, self.templates), self.inference, self.shortlist)
            learned: Exif = "apply"
        else:
            classifier = Classifier.load(self.run, self.clip, self.tokenizer, **machine)
            if self.classes is not None:
                classifier.set_classes(self.classes)
            clip, labels = classifier.clip_, classifier.classes_
            model = classifier.inference(self.shortlist, self.inference)
            learned = classifier.exif
        store = feature_store(self.feature_cache, clip)
        return _Ready(clip, model, labels, store, chosen_exif(self.exif, learned))

    def _exported(self, folder: str, machine: dict[str, Any]) -> _Ready:
        fixed = {"classes": self.classes, "shortlist": self.shortlist, "inference": self.inference}
        names = {"clip": self.clip, "tokenizer": self.tokenizer, "feature_cache": self.feature_cache}
        model, labels, learned = load_exported(folder, fixed, names | machine)
        store = feature_store(self.feature_cache, model.clip) if isinstance(model.clip, CLIP) else None
        return _Ready(model.clip, model, np.array(labels), store, chosen_exif(self.exif, learned))

    def __getstate__(self) -> dict[str, Any]:
        if isinstance(self.clip, CLIP) or not isinstance(self.tokenizer, str | None):
            raise InputError(
                "Predictor: expected a CLIP and a tokenizer by name, to be pickled without weights; got a loaded one. "
                "Give what CLIP.load takes instead."
            )
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        made = f"load({self.run!r})" if self.run else f"zero_shot({self.clip!r})"
        return (
            f"Predictor.{made}: {len(self.classes_)} classes, {self.encoder_.device}; takes one process, "
            f"{self._threads} threads that decode and {torch.get_num_threads()} of torch"
        )


def _names(classes: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(new_classes(classes, allow_equal=False)[0].tolist())


def _lasting(place: Any, new: bool = False) -> Any:
    """A file or folder by its absolute path, which holds in other working directories; anything else as it is."""
    if isinstance(place, str | os.PathLike) and (new or os.path.exists(place)):
        return os.path.abspath(place)
    return place


def _name(picture: Any, number: int) -> str:
    path = picture.get("path") if isinstance(picture, Mapping) else picture
    return os.fspath(path) if isinstance(path, str | os.PathLike) else f"picture {number} of the batch"
