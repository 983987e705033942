"""A learned prompt -> a checkpoint that the original code loads."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from cocoop.atomic import whole_folder
from cocoop.classifier import Classifier
from cocoop.errors import InputError, RunError
from cocoop.methods import CoCoOp, CoOp
from cocoop.official.checkpoint import PREFIX, SUFFIX
from cocoop.official.places import FOLDER, POINTER, checkpoint_name
from cocoop.official.tokens import expected_buffers
from cocoop.results import check_free, real_place, write_text


def write_official(classifier: Classifier, out: str | os.PathLike[str]) -> Path:
    """Write an output folder as the original's `--model-dir` takes it, of plain tensors and numbers.

    It is `prompt_learner/model.pth.tar-EPOCH` with the state dict, the epoch and no result, and the text file
    `checkpoint` with that name. There is no state of an optimizer, which its `--resume` would need. Numbers are
    float32, or of the checkpoint's dtype where the prompt was imported and its values are still those.

    Args:
        classifier: a fitted one, of CoOp, or of CoCoOp with one Meta-Net.
        out: the folder, which must not be there yet, or be empty.

    Returns:
        The checkpoint.

    Raises:
        InputError: another method or setting, which the original code does not have; or the folder is taken.
        RunError: the disk refuses.
    """
    model, imported = classifier.model_, classifier.fit_.imported
    method = {CoOp: "coop", CoCoOp: "cocoop"}.get(type(model))
    settings = {"similarity": "cosine"} | ({"meta_nets": "shared"} if method == "cocoop" else {})
    other = next(
        (f"{name}={model.settings[name]}" for name in settings if model.settings.get(name) != settings[name]), ""
    )
    if method is None or other:
        got = other or classifier.fit_.parameters.method
        raise InputError(
            f"export: expected a prompt of CoOp, or of CoCoOp with one Meta-Net, compared by the cosine, as the "
            f"original code has them; got {got}. Export it in another form."
        )
    check_free(out, "the checkpoint")
    dtype = torch.float32 if imported is None else getattr(torch, imported.dtype)
    learned = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    prefix, suffix = expected_buffers(model.clip, model.class_names, learned["ctx"].shape[-2])
    ordered = {"ctx": learned.pop("ctx"), PREFIX: prefix.cpu(), SUFFIX: suffix.cpu(), **learned}
    state = {name: tensor.to(dtype).contiguous() for name, tensor in ordered.items()}
    name = checkpoint_name(_epoch(classifier))
    with whole_folder(real_place(out), "a checkpoint") as made:
        write_text(made / FOLDER / POINTER, f"{name}\n")
        try:
            torch.save({"state_dict": state, "epoch": _epoch(classifier), "val_result": None}, made / FOLDER / name)
        except RuntimeError as error:  # of torch's own writer
            raise RunError(f"{out}: expected to write a checkpoint; got {error}. Make room for it.") from error
    return Path(out) / FOLDER / name


def _epoch(classifier: Classifier) -> int:
    """How many epochs the prompt was learned for."""
    fit = classifier.fit_
    if fit.imported is not None:
        return fit.imported.epoch or 0
    if fit.kept_epoch is not None:
        return fit.kept_epoch + 1
    return 0 if fit.learning is None else fit.learning.epochs
