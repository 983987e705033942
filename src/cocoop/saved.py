"""A fitted classifier to a run folder, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cocoop.arguments import OF_A_TRAINING
from cocoop.clip import CLIP
from cocoop.errors import InputError, expect_choice
from cocoop.fitting import Fit
from cocoop.identity import class_tokens
from cocoop.methods import METHODS, Method, load_tensors
from cocoop.results import Run, RunConfig, RunRecord, read_run
from cocoop.results.plain import plain

_OF_THE_FIT = {field.name for field in fields(Fit)} & {field.name for field in fields(RunRecord)}
"""What a record says of the fit: a loaded classifier keeps it, whatever is set or done later."""


_SAMPLE = "image_features"
"""The tensor of `Run.sample`."""


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
    clip, settings = model.clip, plain(model.settings)
    fit = deepcopy(fit)  # a run may be changed without the fit
    config = RunConfig(
        class_names=[*model.class_names],
        classes=list(classes),
        settings=settings,
        parameters=fit.parameters,
    )
    of_the_fit = {name: getattr(fit, name) for name in _OF_THE_FIT}
    of_the_fit["clip_fingerprint"] = fit.clip_fingerprint or clip.fingerprint
    record = RunRecord(
        method=fit.parameters.method,
        settings=settings,
        clip=clip.name,
        tokenizer=clip.tokenizer_source,
        class_tokens=class_tokens(clip, model.class_names),
        seed=fit.parameters.seed,
        classes=len(classes),
        training_images=len(fit.picked) if fit.imported is None else None,
        trainable_parameters=model.trainable_parameters,
        **of_the_fit,
    )
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    sample = {} if fit.sample is None else {_SAMPLE: fit.sample}
    return Run(config, tensors, fit.history, record, {}, sample)


def read_saved(folder: str | os.PathLike[str]) -> Saved:
    """Read a run folder. `InputError` if it is none, damaged, or of a method that is not registered here."""
    run = read_run(folder)
    parameters, settings, names = run.config.parameters, run.config.settings, run.config.class_names
    classes, method = np.array(run.config.classes), _registered(folder, parameters.method)
    if [str(name) for name in classes.tolist()] != names:
        raise _changed(folder, "classes and class_names differ")
    unknown = set(settings) - set(method.setting_defaults())
    if unknown:
        raise _changed(folder, f"the method {parameters.method} has no setting {', '.join(sorted(unknown))}")
    if method.recipe is None:  # format 1 kept a learning rate of these, too
        nothing: dict[str, Any] = dict.fromkeys(OF_A_TRAINING)
        parameters = replace(parameters, **nothing)
    of_the_fit = {name: getattr(run.record, name) for name in _OF_THE_FIT}
    fit = Fit(parameters=parameters, history=[*run.history], sample=run.sample.get(_SAMPLE), **of_the_fit)
    return Saved(method, settings, names, classes, fit, run)


def _registered(folder: str | os.PathLike[str], name: str) -> type[Method]:
    try:
        expect_choice(f"{os.fspath(folder)}: method", name, METHODS)
    except InputError as error:
        raise InputError(f"{error} A method of your own has to be registered first (--plugin).") from error
    return METHODS[name]


def _changed(folder: str | os.PathLike[str], fault: str) -> InputError:
    """The error of a run folder whose files somebody changed."""
    return InputError(
        f"{os.fspath(folder)}: expected a run folder as cocoop wrote it; got one whose files were changed ({fault}). "
        "Train again."
    )


def _check_same_clip(folder: str | os.PathLike[str], record: RunRecord, clip: CLIP, names: Sequence[str]) -> None:
    """Raise `InputError` unless this CLIP and its tokenizer are those that a run was trained on.

    What the record does not say is not compared, nor are weights that were of another dtype then.
    """
    if record.class_tokens is not None and record.class_tokens != class_tokens(clip, names):
        raise InputError(
            f"{folder}: expected the tokenizer that it was trained with; got one that makes other tokens of its class "
            "names. Say where that is (--tokenizer; tokenizer=... in Python)."
        )
    dtype = "float32" if record.dtype == "tf32" else record.dtype  # a way to multiply, not of keeping numbers
    if dtype == str(clip.dtype).removeprefix("torch.") and record.clip_fingerprint != clip.fingerprint:
        raise InputError(
            f"{folder}: expected the CLIP that it was trained on ({record.clip}, fingerprint "
            f"{record.clip_fingerprint[:12]}...); got another ({clip.name}, {clip.fingerprint[:12]}...), for which its "
            "prompt means nothing. Say where that one is (--clip; clip=... in Python), or train again."
        )


def lies_elsewhere(error: InputError, folder: str | os.PathLike[str], kept: Mapping[str, Any]) -> InputError:
    """The error of a run folder whose CLIP or tokenizer is not found where the folder says, with what may help.

    Args:
        error: what loading them raised.
        folder: the run folder.
        kept: "clip" or "tokenizer" or both -> where the folder says that it is; not those that the caller named anew.
    """
    options, arguments = (", ".join(form.format(name) for name in kept) for form in ("--{}", "{}=..."))
    trained_on = " with the ".join(f"{name} {place}" for name, place in kept.items())
    return InputError(
        f"{error} {os.fspath(folder)} was trained on the {trained_on}: if that lies elsewhere now, say where "
        f"({options}; {arguments} in Python)."
    )
