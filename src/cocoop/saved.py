"""A fitted classifier to a run folder, and back."""

from __future__ import annotations

import hashlib
import json
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cocoop.clip import CLIP
from cocoop.clip.sources.hub import SHORT_NAMES
from cocoop.clip.sources.load import BUNDLED
from cocoop.errors import InputError, expect_choice
from cocoop.methods import METHODS, Method, load_tensors
from cocoop.results import Parameters, Run, RunConfig, RunRecord, environment, peak_memory_mb, read_run
from cocoop.training import Epoch

OF_THE_MACHINE = ("device", "dtype", "memory_budget", "feature_cache", "cuda_graph")
"""Those of a classifier's parameters that are this machine's matter: no run folder keeps them."""


@dataclass(frozen=True)
class Learning:
    """How a prompt was learned: passes, images per step, top learning rate, and whether and how often views differ."""

    epochs: int
    batch_size: int
    lr: float
    augment: bool
    views: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """By name, ready for JSON; `views` only where they are fewer than the papers' one per epoch."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Fit:
    """What a fit leaves beside the model, as it was then; nothing that is set later changes it.

    parameters: the classifier's, with plain numbers, without the machine's; CLIP and tokenizer by name, or None.
    learning: how; None where there was nothing to learn.
    history: one `Epoch` per epoch. picked: indices of the training images. trained_on: the fingerprints of those that
    are files. split_hash: of the picked images, None of open ones. seconds: wall-clock time.
    """

    parameters: dict[str, Any]
    learning: Learning | None
    history: list[Epoch]
    picked: list[int]
    trained_on: list[str]
    split_hash: str | None
    seconds: float


class Saved(NamedTuple):
    """What a run folder says of a classifier: the method with these settings on these classes, and its fit."""

    method: type[Method]
    settings: dict[str, Any]
    class_names: list[str]
    classes: NDArray[Any]
    fit: Fit
    run: Run

    def model(self, clip: CLIP, folder: str | os.PathLike[str]) -> Method:
        """The learned method on this CLIP. `InputError` unless it is the one that the run was trained on."""
        with torch.inference_mode(False):  # it may be trained on
            model = self.method(clip, self.class_names, **self.settings)
        load_tensors(model, self.run.tensors, f"{folder}: expected a prompt for this CLIP ({clip.name})")
        _check_same_clip(folder, self.run.record, clip, self.class_names)
        return model


def to_run(fit: Fit, model: Method, classes: Sequence[Any]) -> Run:
    """All that a run folder holds, in memory; its record has no "results" yet."""
    clip = model.clip
    settings = plain_numbers(model.settings)
    config = RunConfig(
        class_names=[*model.class_names],
        classes=list(classes),
        settings=settings,
        parameters=Parameters(**plain_numbers(fit.parameters)),
    )
    record = RunRecord(
        method=fit.parameters["method"],
        settings={**settings, **(fit.learning.as_dict() if fit.learning else {})},
        clip=clip.name,
        clip_fingerprint=clip.fingerprint,
        tokenizer=clip.tokenizer_source,
        class_tokens=_class_tokens(clip, model.class_names),
        device=str(clip.device),
        dtype=clip.precision.name,
        seed=fit.parameters["seed"],
        shots=fit.parameters["shots"] if fit.picked else 0,
        classes=len(classes),
        training_images=len(fit.picked),
        trainable_parameters=model.trainable_parameters,
        seconds=fit.seconds,
        peak_memory_mb=peak_memory_mb(),
        picked=[*fit.picked],
        split_hash=fit.split_hash,
        trained_on=[*fit.trained_on],
        environment=environment(),
    )
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    return Run(config, tensors, [asdict(epoch) for epoch in fit.history], record, {})


def read_saved(folder: str | os.PathLike[str]) -> Saved:
    """Read a run folder. `InputError` if it is none, damaged, or of a method that is not registered here."""
    run = read_run(folder)
    try:
        parameters, record = asdict(run.config.parameters), run.record
        expect_choice(f"{os.fspath(folder)}: method (one of a plugin's needs --plugin)", parameters["method"], METHODS)
        method, names, settings = METHODS[parameters["method"]], run.config.class_names, run.config.settings
        classes = np.array(run.config.classes)
        if [str(name) for name in classes.tolist()] != names:
            raise ValueError("classes and class_names differ")
        unknown = set(settings) - set(method.setting_defaults())
        if unknown:
            raise ValueError(f"the method {parameters['method']} has no setting {', '.join(sorted(unknown))}")
        kept: dict[str, Any] = {field.name: record.settings.get(field.name) for field in fields(Learning)}
        fit = Fit(
            parameters=parameters,
            learning=Learning(**kept) if run.history else None,
            history=[Epoch(**epoch) for epoch in run.history],
            picked=record.picked,
            trained_on=record.trained_on,
            split_hash=record.split_hash,
            seconds=record.seconds,
        )
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise not_as_written(folder, error) from error
    return Saved(method, settings, names, classes, fit, run)


def not_as_written(folder: str | os.PathLike[str], error: Exception) -> InputError:
    """The error of a run folder whose files somebody changed."""
    return InputError(
        f"{os.fspath(folder)}: expected a run folder as cocoop wrote it; got one whose files were changed "
        f"({type(error).__name__}: {error}). Train again."
    )


def frozen_parameters(parameters: Mapping[str, Any], clip: CLIP) -> dict[str, Any]:
    """The parameters as a run folder keeps them: none of the machine's, and the CLIP and its tokenizer by name.

    A tokenizer that was given as an object has no name, and is None.
    """
    name, tokenizer = clip.name, clip.tokenizer_source
    places = {
        "clip": name if name in BUNDLED or name in SHORT_NAMES else _absolute(name),
        "tokenizer": None if tokenizer is None else _absolute(tokenizer),
    }
    kept = {name: value for name, value in parameters.items() if name not in OF_THE_MACHINE}
    return plain_numbers(kept | places)


def _absolute(place: str) -> str:
    """A file or folder by its absolute path, which holds in another working directory; anything else as it is."""
    return os.path.abspath(place) if os.path.exists(place) else place


def plain_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by name, copied, with numbers of NumPy and other kinds as Python's own, which JSON can hold."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain_numbers(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return operator.index(value) if hasattr(value, "__index__") else float(value)


def _class_tokens(clip: CLIP, names: Sequence[str]) -> str:
    """SHA-256 of what the CLIP's tokenizer makes of the names: tells tokenizers apart as far as it matters to them."""
    return hashlib.sha256(json.dumps([clip.token_ids(name) for name in names]).encode()).hexdigest()


def _check_same_clip(folder: str | os.PathLike[str], record: RunRecord, clip: CLIP, names: Sequence[str]) -> None:
    """Raise `InputError` unless this CLIP, tokenizer included, is the one that a run was trained on.

    As far as the run's record says. In another dtype than then, weights cannot be compared.
    """
    if record.class_tokens is not None and record.class_tokens != _class_tokens(clip, names):
        raise InputError(
            f"{folder}: expected the tokenizer that it was trained with; got one that makes other tokens of its class "
            "names. Say where that is (--tokenizer; tokenizer=... in Python)."
        )
    if record.dtype == clip.precision.name and record.clip_fingerprint != clip.fingerprint:
        raise InputError(
            f"{folder}: expected the CLIP that it was trained on ({record.clip}, fingerprint "
            f"{record.clip_fingerprint[:12]}...); got another ({clip.name}, {clip.fingerprint[:12]}...), for which its "
            "prompt means nothing. Say where that one is (--clip; clip=... in Python), or train again."
        )


def lies_elsewhere(error: InputError, folder: str | os.PathLike[str], kept: Mapping[str, Any]) -> InputError:
    """The error of a run folder's CLIP that does not load, with what may help.

    Args:
        error: why it does not.
        folder: the run folder.
        kept: its "clip" or "tokenizer" or both: those that it names and nobody named anew.
    """
    options, arguments = (", ".join(form.format(name) for name in kept) for form in ("--{}", "{}=..."))
    trained_on = " with the ".join(f"{name} {place}" for name, place in kept.items())
    return InputError(
        f"{error} {os.fspath(folder)} was trained on the {trained_on}: if that lies elsewhere now, say where "
        f"({options}; {arguments} in Python)."
    )
