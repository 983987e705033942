"""`PromptClassifier`: the whole thing as one object with scikit-learn manners."""

from __future__ import annotations

import os
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
from sklearn.base import BaseEstimator, ClassifierMixin

from cocoop.class_names import check_class_names
from cocoop.clip import CLIP
from cocoop.data import few_shot_indices, fingerprint
from cocoop.errors import InputError, expect_choice
from cocoop.evaluation import Metrics, evaluate, predict_probabilities
from cocoop.methods import METHODS
from cocoop.model_card import model_card
from cocoop.results import Run, environment, peak_memory_mb, read_run, write_run
from cocoop.training import AugmentedFeatures, FixedFeatures, Picture, encode_pictures, train


class PromptClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
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
        device: "auto", or a torch device.
        dtype: "auto", or a torch dtype or its name.

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
        device: str = "auto",
        dtype: str = "auto",
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
        self.device = device
        self.dtype = dtype

    def fit(self, images: Sequence[Picture], labels: Sequence[Any]) -> Self:
        """Pick `shots` images per class and learn from them.

        Args:
            images: [N] image files or Pillow images.
            labels: [N] class names; anything whose `str` is the name will do.

        Raises:
            InputError: lengths that differ, fewer than two classes, an image that does not decode, or a
                parameter that cannot work.
            RunError: the training diverged.
        """
        started = time.perf_counter()
        settings = self._method_settings()
        classes, targets = _classes_of(images, labels)
        picked = list(range(len(targets))) if self.shots is None else few_shot_indices(targets, self.shots, self.seed)
        names = [str(name) for name in classes]
        check_class_names(names)
        self.clip_ = self._load_clip()
        # The random start comes from `seed`; the global random state is left as it was.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.model_ = METHODS[self.method](self.clip_, names, **settings)
        pictures, targets = [images[i] for i in picked], [targets[i] for i in picked]
        # Encoding the plain images first also finds an image that does not decode before any training.
        features = encode_pictures(self.clip_, pictures)
        source = AugmentedFeatures(self.clip_, pictures, self.seed) if self.augment else FixedFeatures(features)
        self.history_ = train(
            self.model_,
            source,
            targets,
            epochs=self.model_.paper_epochs if self.epochs is None else self.epochs,
            batch_size=self.model_.paper_batch_size if self.batch_size is None else self.batch_size,
            seed=self.seed,
            lr=self.lr,
        )
        self.classes_ = classes
        self.picked_ = picked
        self.seconds_ = time.perf_counter() - started
        self._trained_on = [fingerprint(picture) for picture in pictures if not isinstance(picture, Image.Image)]
        return self

    def predict_proba(self, images: Sequence[Picture]) -> NDArray[np.float64]:
        """Class probabilities [N, K] float64 of image files or Pillow images; columns as in `classes_`."""
        self._check_fitted()
        features = encode_pictures(self.clip_, _nonempty(images))
        return predict_probabilities(self.model_, features).cpu().double().numpy()

    def predict(self, images: Sequence[Picture]) -> NDArray[Any]:
        """[N] the most probable class of each image, as in `classes_`."""
        found: NDArray[Any] = self.classes_[self.predict_proba(images).argmax(axis=1)]
        return found

    def evaluate(self, images: Sequence[Picture], labels: Sequence[Any]) -> Metrics:
        """Accuracy, macro-F1, per-class accuracy and calibration error, in percent, on labelled images.

        Raises:
            InputError: a label that is not among `classes_`; `set_classes` first for other classes.
        """
        self._check_fitted()
        numbers = {name: number for number, name in enumerate(self.classes_.tolist())}
        unknown = sorted({str(label) for label in labels if label not in numbers})
        if unknown:
            raise InputError(
                f"labels: expected classes of this model ({', '.join(self.model_.class_names)}); got "
                f"{', '.join(unknown)}. Set the class list first to score other classes."
            )
        features = encode_pictures(self.clip_, _nonempty(images))
        return evaluate(self.model_, features, [numbers[label] for label in labels])

    def set_classes(self, class_names: Sequence[str]) -> Self:
        """Classify into these classes from now on, with what was learned on the old ones."""
        self._check_fitted()
        check_class_names(class_names)
        self.model_.set_classes(class_names)
        self.classes_ = np.array(class_names)
        return self

    def was_trained_on(self, path: str | PathLike[str]) -> bool:
        """Whether this very image (by its bytes) was among the training images."""
        sizes = {size for size, _ in self._trained_on}
        return os.path.getsize(path) in sizes and fingerprint(path) in self._trained_on

    def save(self, folder: str | PathLike[str], results: dict[str, Any] | None = None) -> Path:
        """Write a run folder, which must be new; `results` are figures to keep in its record.

        Raises:
            InputError: not fitted, or the folder is taken. RunError: the disk refuses.
        """
        self._check_fitted()
        parameters = self.get_params()
        parameters["clip"] = self.clip_.name
        config = {
            "class_names": self.model_.class_names,
            "settings": self.model_.settings,
            "parameters": parameters,
        }
        tensors = {name: tensor.detach().cpu().numpy() for name, tensor in self.model_.state_dict().items()}
        record = {
            "method": self.method,
            "clip": self.clip_.name,
            "seed": self.seed,
            "classes": len(self.classes_),
            "training_images": len(self.picked_),
            "trainable_parameters": self.model_.trainable_parameters,
            "results": results or {},
            "seconds": self.seconds_,
            "peak_memory_mb": peak_memory_mb(),
            "trained_on": self._trained_on,
            "environment": environment(),
        }
        run = Run(config, tensors, [asdict(epoch) for epoch in self.history_], record)
        return write_run(folder, run, model_card(config, record))

    @classmethod
    def load(cls, folder: str | PathLike[str], clip: Any = None, device: str = "auto", dtype: str = "auto") -> Self:
        """Read a run folder back.

        Args:
            folder: what `save` or `cocoop train` wrote.
            clip: the CLIP to stand on, if the one it was trained on lies elsewhere now.
            device: as in `CLIP.load`.
            dtype: as in `CLIP.load`.

        Raises:
            InputError: not a run folder, a damaged one, or a CLIP of another shape.
        """
        run = read_run(folder)
        try:
            parameters = run.config["parameters"] | {"device": device, "dtype": dtype}
            self = cls(**(parameters if clip is None else parameters | {"clip": clip}))
            names = run.config["class_names"]
            self.clip_ = self._load_clip()
            self.model_ = METHODS[self.method](self.clip_, names, **run.config["settings"])
            self.model_.load_state_dict({name: torch.from_numpy(array) for name, array in run.tensors.items()})
        except (KeyError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{folder}: expected a run that fits its CLIP ({parameters['clip']}); got {reason}. Give the CLIP it "
                "was trained on."
            ) from error
        self.classes_ = np.array(names)
        self.history_, self.picked_ = [], list(range(run.record["training_images"]))
        self.seconds_ = run.record["seconds"]
        self._trained_on = [(size, digest) for size, digest in run.record["trained_on"]]
        return self

    def _load_clip(self) -> CLIP:
        return self.clip if isinstance(self.clip, CLIP) else CLIP.load(self.clip, device=self.device, dtype=self.dtype)

    def _method_settings(self) -> dict[str, Any]:
        """Those of the parameters that belong to the chosen method. Setting another method's is an error."""
        expect_choice("method", self.method, METHODS)
        takes = {name: set(signature(method).parameters) & set(self.get_params()) for name, method in METHODS.items()}
        defaults = signature(PromptClassifier).parameters
        for name in set.union(*takes.values()) - takes[self.method] - {"clip"}:
            if getattr(self, name) != defaults[name].default:
                owners = ", ".join(method for method in METHODS if name in takes[method])
                raise InputError(
                    f"{name}: expected nothing, because {self.method} has no such setting; it is {owners}'s."
                )
        return {name: getattr(self, name) for name in takes[self.method] - {"clip"}}

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise InputError("PromptClassifier: expected a fitted classifier. Call fit(images, labels) first.")


def _classes_of(images: Sequence[Picture], labels: Sequence[Any]) -> tuple[NDArray[Any], list[int]]:
    """The distinct labels, sorted, and each image's number among them."""
    if len(images) != len(labels):
        raise InputError(f"labels: expected one per image; got {len(images)} images and {len(labels)} labels.")
    classes, numbers = np.unique(np.asarray(labels), return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"labels: expected at least two classes; got {', '.join(map(repr, classes.tolist())) or 'none'}."
        )
    return classes, numbers.tolist()


def _nonempty(images: Sequence[Picture]) -> Sequence[Picture]:
    if isinstance(images, str | os.PathLike | Image.Image) or not len(images):
        raise InputError(f"images: expected a list of at least one image or image file; got {images!r}.")
    return images
