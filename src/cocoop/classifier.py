"""`Classifier`: fit and predict. `PromptClassifier` of estimator.py is the same as a scikit-learn estimator."""

from __future__ import annotations

import operator
import time
from collections.abc import Sequence
from dataclasses import asdict
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cocoop.arguments import (
    OF_THE_MACHINE,
    as_tuple,
    check_numbers,
    check_pictures,
    check_same_clip,
    class_tokens,
    kept_parameters,
    lies_elsewhere,
    load_clip,
    method_settings,
    number_classes,
    number_labels,
    plain_numbers,
)
from cocoop.class_names import check_class_names, check_spelling
from cocoop.clip import CLIP
from cocoop.data import few_shot_indices, fingerprint, picked_hash
from cocoop.errors import InputError, expect_choice
from cocoop.evaluation import Agreement, Metrics, evaluate, predict_probabilities, verify_shortlist
from cocoop.features import (
    AugmentedFeatures,
    FeatureSource,
    FeatureStore,
    FixedFeatures,
    Picture,
    StoredFeatures,
    encode_pictures,
)
from cocoop.methods import METHODS, PromptMethod, Shortlist, load_tensors
from cocoop.results import Run, environment, peak_memory_mb, read_run, write_run
from cocoop.results.card import model_card
from cocoop.training import Epoch, train


class Classifier:
    """Learn prompts from a few labelled images; classify images, into other classes too.

    Args:
        method: "cocoop", "coop" or "zero-shot".
        clip: what `CLIP.load` takes, or a loaded `CLIP`.
        shots: training images per class, the original's pick for this seed; None takes all.
        seed: decides the pick, the random start, the order and the views. Any integer, 0 too.
        epochs: passes over the images; None takes the paper's: 10 for CoCoOp, 200 for CoOp.
        batch_size: images per step; None takes the paper's: 1 for CoCoOp, 32 for CoOp.
        lr: learning rate at the top of the schedule.
        context: words the context starts from; None starts from `context_length` random vectors.
        context_length: M, needed with `context=None`.
        class_specific: CoOp only: a context for every class.
        class_position: CoOp only: "end", "middle" or "front".
        templates: zero-shot only: texts with "{}" for the class name.
        augment: train on random crops and flips, a fresh view per epoch; False encodes every image once.
        views: how many such views to take in turn; None takes one per epoch, as the papers do.
        view_seed: decides the views instead of `seed`, so that runs of several seeds can share them.
        features: a folder to find image features in and to keep them in, whoever computes them; see `FeatureStore`.
        tokenizer, device, dtype, memory_budget: as in `CLIP.load`; left out where `clip` is a loaded one, which has its
            own.
        compile: as in `training.train`: whether a GPU records the training step; "auto", "on" or "off".

    Attributes after `fit`:
        classes_: [K] the labels, in the order of the probabilities' columns.
        model_: the fitted `PromptMethod`. clip_: its `CLIP`.
        history_: one `Epoch` per epoch.
        picked_: indices into `images` of the training images.
        seconds_: wall-clock time of `fit`.
    """

    def __init__(
        self,
        method: str = "cocoop",
        clip: Any = "tiny",
        shots: int | None = 16,
        seed: int = 1,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float = 0.002,
        context: str | None = "a photo of a",
        context_length: int | None = None,
        class_specific: bool = False,
        class_position: str = "end",
        templates: Sequence[str] = ("a photo of a {}.",),
        augment: bool = True,
        views: int | None = None,
        view_seed: int | None = None,
        features: str | PathLike[str] | None = None,
        tokenizer: Any = None,
        device: str = "auto",
        dtype: str = "auto",
        memory_budget: str | int = "auto",
        compile: str = "auto",
    ) -> None:
        # scikit-learn's rule: store the arguments under their names, untouched; `fit` checks them.
        self.method = method
        self.clip = clip
        self.shots = shots
        self.seed = seed
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.context = context
        self.context_length = context_length
        self.class_specific = class_specific
        self.class_position = class_position
        self.templates = templates
        self.augment = augment
        self.views = views
        self.view_seed = view_seed
        self.features = features
        self.tokenizer = tokenizer
        self.device = device
        self.dtype = dtype
        self.memory_budget = memory_budget
        self.compile = compile

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name, as scikit-learn asks for them; none has parameters of its own."""
        return {name: getattr(self, name) for name in sorted(signature(type(self)).parameters)}

    def fit(self, images: Sequence[Picture], labels: Sequence[Any], class_names: Sequence[str] | None = None) -> Self:
        """Pick `shots` images per class and learn from them. A method without parameters (zero-shot) picks none.

        Args:
            images: [N] image files or Pillow images.
            labels: [N] class names; anything whose `str` is the name will do.
            class_names: [K] if given, `labels` are numbers into this list, and the classes keep its order; two of its
                names may be equal, as in ImageNet's.

        Raises:
            InputError: lengths that differ, fewer than two classes, an image that does not decode, or a
                parameter that cannot work.
            DivergedError: a loss or gradient is not finite; the error keeps the last good tensors.
        """
        started = time.perf_counter()
        parameters = self.get_params(deep=False)
        defaults = {name: parameter.default for name, parameter in signature(type(self)).parameters.items()}
        settings = method_settings(parameters, defaults)
        check_numbers(parameters)
        check_pictures(images, labels)
        images = list(images)  # by position: a column of pandas looks up row numbers
        classes, targets = number_classes(labels, class_names)
        names = [str(name) for name in classes.tolist()]
        seed = operator.index(self.seed)
        clip = load_clip(self.clip, parameters)
        # The random start comes from `seed`; the global random state is left as it was.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = METHODS[self.method](clip, names, **settings)
        picked = self._pick(targets, seed) if model.trainable_parameters else []
        pictures, targets = [images[i] for i in picked], [targets[i] for i in picked]
        history = self._learn(model, pictures, targets, seed) if picked else []
        trained_on = [fingerprint(picture) for picture in pictures if not isinstance(picture, Image.Image)]
        # All at once and last, so that a fit that fails leaves an earlier one whole.
        self.clip_, self.model_, self.history_ = clip, model, history
        self.classes_, self.picked_, self._trained_on = classes, picked, trained_on
        self._split_hash = picked_hash(images, picked, targets, names)
        self.seconds_ = time.perf_counter() - started
        return self

    def predict_proba(self, images: Sequence[Picture], shortlist: int | None = None) -> NDArray[np.float64]:
        """Class probabilities [N, K] float64 of image files or Pillow images; columns as in `classes_`.

        `shortlist`: CoCoOp only: approximate, on each image's likeliest classes alone; see `Shortlist`. None is exact.
        """
        self._check_fitted()
        check_pictures(images)
        model = self._inference(shortlist)
        return predict_probabilities(model, self.encode(images)).double().numpy()

    def predict(self, images: Sequence[Picture], shortlist: int | None = None) -> NDArray[Any]:
        """[N] the most probable class of each image, as in `classes_`; `shortlist` as in `predict_proba`."""
        best = self.predict_proba(images, shortlist).argmax(axis=1)
        found: NDArray[Any] = self.classes_[best]
        return found

    def evaluate(
        self,
        images: Sequence[Picture],
        labels: Sequence[Any],
        class_names: Sequence[str] | None = None,
        shortlist: int | None = None,
    ) -> Metrics:
        """Accuracy, macro-F1, per-class accuracy and calibration error, in percent, on labelled images.

        Args:
            images: [N] image files or Pillow images.
            labels: [N] members of `classes_`.
            class_names: if given, `labels` are numbers into this list, as in `fit`.
            shortlist: as in `predict_proba`.

        Raises:
            InputError: a label that is not among `classes_`; `set_classes` first for other classes.
        """
        self._check_fitted()
        check_pictures(images, labels)
        numbers, model = number_labels(self.classes_, labels, class_names), self._inference(shortlist)
        return evaluate(model, self.encode(images), numbers)

    def verify_shortlist(
        self,
        images: Sequence[Picture],
        labels: Sequence[Any],
        class_names: Sequence[str] | None = None,
        shortlist: int = 20,
    ) -> Agreement:
        """`evaluate` both with the shortlist and in full, on images encoded once, and compare; the same errors."""
        self._check_fitted()
        check_pictures(images, labels)
        numbers = number_labels(self.classes_, labels, class_names)
        self._inference(shortlist)  # refuses before the images are encoded
        return verify_shortlist(self.model_, self.encode(images), numbers, shortlist)

    def score(self, images: Sequence[Picture], labels: Sequence[Any], shortlist: int | None = None) -> float:
        """The share of images that are classified as labelled, 0..1; arguments and errors as in `evaluate`."""
        return self.evaluate(images, labels, shortlist=shortlist).accuracy / 100

    def encode(self, images: Sequence[Picture]) -> Tensor | StoredFeatures:
        """Image features [N, E], unit norm, without augmentation: read from `features`, as far as they are there."""
        self._check_fitted()
        return encode_pictures(self.clip_, list(images), self._store(self.clip_))

    def set_classes(self, class_names: Sequence[str], allow_equal: bool = False) -> Self:
        """Classify into these classes from now on, with what was learned on the old ones.

        Args:
            class_names: [K] names.
            allow_equal: whether two names may read the same in a prompt, as two of ImageNet's do.
        """
        self._check_fitted()
        if isinstance(class_names, str):
            raise InputError(f"class names: expected a list of names; got the text {class_names!r}.")
        classes = np.asarray(class_names)
        names = [str(name) for name in classes.tolist()]
        (check_spelling if allow_equal else check_class_names)(names)
        self.model_.set_classes(names)
        self.classes_ = classes
        return self

    def was_trained_on(self, path: str | PathLike[str]) -> bool:
        """Whether this very image file (by its bytes, not its name) was among the training images."""
        return fingerprint(path) in self.trained_on

    @property
    def trained_on(self) -> frozenset[str]:
        """The `fingerprint` of every training image that is a file."""
        self._check_fitted()
        return frozenset(self._trained_on)

    def as_run(self) -> Run:
        """All that a run folder holds, in memory; its record has no "results" yet. `InputError` if not fitted."""
        self._check_fitted()
        config = {
            "class_names": self.model_.class_names,
            "classes": self.classes_.tolist(),
            "settings": plain_numbers(self.model_.settings),
            "parameters": kept_parameters(self.get_params(deep=False), self.clip_),
        }
        tensors = {name: tensor.detach().cpu().numpy() for name, tensor in self.model_.state_dict().items()}
        views = {} if self.views is None else {"views": self.views}  # as few as these are not the papers'
        learned = {**self._schedule(self.model_), "augment": self.augment, **views} if self.history_ else {}
        record = {
            "method": self.method,
            "settings": plain_numbers({**self.model_.settings, **learned}),
            "clip": self.clip_.name,
            "clip_fingerprint": self.clip_.fingerprint,
            "tokenizer": self.clip_.tokenizer_source,
            "class_tokens": class_tokens(self.clip_, self.model_.class_names),
            "device": str(self.clip_.device),
            "dtype": self.clip_.precision.name,
            "seed": self.seed,
            "shots": self.shots if self.model_.trainable_parameters else 0,
            "classes": len(self.classes_),
            "training_images": len(self.picked_),
            "trainable_parameters": self.model_.trainable_parameters,
            "protocol": "own-images",
            "results": {},
            "seconds": self.seconds_,
            "peak_memory_mb": peak_memory_mb(),
            "picked": self.picked_,
            "split_hash": self._split_hash,
            "trained_on": self._trained_on,
            "environment": environment(),
        }
        return Run(config, tensors, [asdict(epoch) for epoch in self.history_], plain_numbers(record), {})

    def save(self, folder: str | PathLike[str], test: Metrics | None = None) -> Path:
        """Write a run folder, which must be new.

        Args:
            folder: where.
            test: figures to keep in the record and on its card, as `evaluate` gives them.

        Raises:
            InputError: not fitted, or the folder is taken. RunError: the disk refuses.
        """
        run = self.as_run()
        run.record["results"] = {"test": test.as_dict()} if test else {}
        return write_run(folder, run, model_card(run.config, run.record))

    @classmethod
    def load(cls, folder: str | PathLike[str], clip: Any = None, tokenizer: Any = None, **machine: Any) -> Self:
        """Read a run folder back.

        Args:
            folder: what `save` or `cocoop train` wrote.
            clip: the CLIP to stand on, if the one it was trained on lies elsewhere now.
            tokenizer: the same for the tokenizer that it was trained with.
            machine: device, dtype, memory_budget, features or compile, as the class takes them.

        Raises:
            InputError: not a run folder, a damaged one, another CLIP or tokenizer than it was trained with, or another
                name in `machine`.
        """
        for name in machine:
            expect_choice("load", name, OF_THE_MACHINE)
        run = read_run(folder)
        given = {name: value for name, value in (("clip", clip), ("tokenizer", tokenizer)) if value is not None}
        try:
            parameters = {name: as_tuple(value) for name, value in run.config["parameters"].items()}
            if isinstance(clip, CLIP):  # it has its own
                parameters["tokenizer"] = None
            self = cls(**parameters | machine | given)
            self.classes_ = np.array(run.config["classes"])
            self.picked_, self.seconds_ = run.record["picked"], run.record["seconds"]
            self._trained_on, self._split_hash = run.record["trained_on"], run.record["split_hash"]
            self.history_ = [Epoch(**epoch) for epoch in run.history]
            names, settings, method = run.config["class_names"], run.config["settings"], METHODS[self.method]
            signature(method).bind(None, names, **settings)
            if [str(name) for name in self.classes_.tolist()] != names:
                raise ValueError("classes and class_names differ")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(
                f"{folder}: expected a run folder as cocoop wrote it; got one whose files were changed "
                f"({type(error).__name__}: {error}). Train again."
            ) from error
        try:
            self.clip_ = load_clip(self.clip, self.get_params(deep=False))
        except InputError as error:
            named = {"clip": self.clip, "tokenizer": self.tokenizer}
            kept = {name: place for name, place in named.items() if place is not None and name not in given}
            if not kept:
                raise
            raise lies_elsewhere(error, folder, kept) from error
        self.model_ = method(self.clip_, names, **settings)
        load_tensors(self.model_, run.tensors, f"{folder}: expected a prompt for this CLIP ({self.clip_.name})")
        check_same_clip(folder, run.record, self.clip_, names)
        return self

    def __sklearn_clone__(self) -> Self:
        """An unfitted copy on the same CLIP: scikit-learn's own way would copy the frozen weights."""
        return type(self)(**self.get_params(deep=False))

    def _pick(self, targets: Sequence[int], seed: int) -> list[int]:
        return list(range(len(targets))) if self.shots is None else few_shot_indices(targets, self.shots, seed)

    def _learn(
        self, model: PromptMethod, pictures: Sequence[Picture], targets: Sequence[int], seed: int
    ) -> list[Epoch]:
        """Train on views of the pictures. Either way an image that does not decode is found before any training."""
        schedule, store = self._schedule(model), self._store(model.clip)
        if self.augment:
            view_seed = seed if self.view_seed is None else operator.index(self.view_seed)
            source: FeatureSource = AugmentedFeatures(
                model.clip, pictures, view_seed, schedule["epochs"], self.views, store
            )
        else:
            source = FixedFeatures(encode_pictures(model.clip, pictures, store, fill=True))
        return train(model, source, targets, seed=seed, compile=self.compile, **schedule)

    def _store(self, clip: CLIP) -> FeatureStore | None:
        return None if self.features is None else FeatureStore(self.features, clip)

    def _schedule(self, model: PromptMethod) -> dict[str, Any]:
        """Epochs, batch size and rate: this object's, or else the paper's for the method."""
        epochs = model.paper_epochs if self.epochs is None else self.epochs
        batch_size = model.paper_batch_size if self.batch_size is None else self.batch_size
        return plain_numbers({"epochs": epochs, "batch_size": batch_size, "lr": self.lr})

    def _inference(self, shortlist: int | None) -> PromptMethod | Shortlist:
        return self.model_ if shortlist is None else Shortlist(self.model_, shortlist)

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise InputError("PromptClassifier: expected a fitted classifier. Call fit(images, labels) first.")
