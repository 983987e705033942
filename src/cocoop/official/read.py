"""A prompt that the original code learned -> a classifier that can be saved as a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import torch

from cocoop.arguments import check_settings
from cocoop.classifier import Classifier
from cocoop.clip import CLIP
from cocoop.errors import InputError
from cocoop.fitting import Fit, load_clip, places_of
from cocoop.labels import new_classes
from cocoop.methods import METHODS, load_tensors
from cocoop.official.checkpoint import Prompt, read_checkpoint
from cocoop.official.places import Told, find_checkpoint, read_log
from cocoop.official.tokens import check_tokens
from cocoop.results import Imported, Parameters, environment
from cocoop.results.plain import plain


def read_official(
    place: str | os.PathLike[str],
    clip: Any,
    class_names: Iterable[Any],
    tokenizer: Any = None,
    settings: Mapping[str, Any] | None = None,
    checked: bool = True,
) -> Classifier:
    """A classifier with a prompt of the original CoOp or CoCoOp code; `save` makes a run of it.

    Seed, shots and data set are what log.txt beside the prompt's folder says, and unknown without it; see `gaps`.

    Args:
        place: a checkpoint, `prompt_learner/model.pth.tar-10` or the like, or a state dict alone; or an output folder
            of the original. Nothing in it is run.
        clip: what `CLIP.load` takes, or a loaded CLIP: the one that the prompt was learned on.
        class_names: [K] those that it was learned on, in their order.
        tokenizer: as in `CLIP.load`.
        settings: of the method, such as {"class_position": "middle"}, which no checkpoint tells; the default is what
            the log says, or "end".
        checked: compare the embeddings of tokens in the checkpoint with those of the CLIP and class names.

    Raises:
        InputError: another kind of file; a CLIP of other widths; class names, or a CLIP, whose tokens have other
            embeddings than the checkpoint; or settings that the method does not have.
    """
    path = find_checkpoint(place)
    prompt, told = read_checkpoint(path), read_log(path)
    loaded = load_clip(clip, tokenizer=tokenizer, device="auto" if isinstance(clip, CLIP) else "cpu")
    classes, names = new_classes(class_names, allow_equal=True)
    _check_sizes(prompt, loaded, len(names))
    if checked:
        check_tokens(prompt, loaded, names)
    own = _settings(prompt, told, settings or {})
    parameters: dict[str, Any] = {"method": prompt.method, "settings": own, "seed": told.seed, "shots": told.shots}
    classifier = Classifier(clip=loaded, exif="original", **parameters)
    with torch.random.fork_rng(devices=[]):  # the start that is replaced draws numbers
        model = METHODS[prompt.method](loaded, names, **own)
    load_tensors(
        model,
        {name: tensor.float().numpy() for name, tensor in prompt.learned.items()},
        f"{path}: expected a prompt for {loaded.name}",
    )
    classifier.clip_, classifier.model_, classifier.classes_ = loaded, model, classes
    classifier.fit_ = _fit(classifier, prompt, told, checked and prompt.prefix is not None)
    return classifier


def gaps(classifier: Classifier) -> list[str]:
    """What is not known of an imported prompt, in sentences for its user."""
    fit = classifier.fit_
    if fit.imported is None:
        return []
    said = {"seed": fit.parameters.seed, "images per class": fit.shots, "data set": fit.dataset}
    unknown = [name for name, value in said.items() if value is None]
    notes = [f"{', '.join(unknown)}: unknown, because no log.txt says it"] if unknown else []
    notes.append("which images it learned from is unknown, so that evaluate cannot leave them out")
    if not fit.imported.checked:
        notes.append("its CLIP and class names were not compared with the checkpoint: make sure that they are its own")
    if "class_position" in classifier.model_.settings:
        position = classifier.model_.settings["class_position"]
        notes.append(f"class names stand at the {position} of its prompts (--set class_position=... if they do not)")
    return notes


def _check_sizes(prompt: Prompt, clip: CLIP, count: int) -> None:
    wanted, got = {"text": prompt.width}, {"text": clip.text.width}
    if prompt.joint_width is not None:
        wanted["joint"], got["joint"] = prompt.joint_width, clip.embed_dim
    if wanted != got:
        needed, has = (" and ".join(f"{name} width {n}" for name, n in widths.items()) for widths in (wanted, got))
        raise InputError(
            f"{prompt.file}: expected a CLIP with {needed}, as the prompt has; got {clip.name} with {has}. Give the "
            "CLIP that it was learned on (--clip)."
        )
    if prompt.classes not in (None, count):
        raise InputError(
            f"{prompt.file}: expected {prompt.classes} class names, as many as it was learned on; got {count}. Give "
            "those, in their order (--classes); other classes can be predicted afterwards."
        )


def _settings(prompt: Prompt, told: Told, given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of the method: what the checkpoint tells, what the log says, and what is given."""
    check_settings(prompt.method, given)
    known: dict[str, Any] = {"context": None, "context_length": prompt.context_length}
    if prompt.method == "coop":
        known["class_specific"] = prompt.class_specific
    for name in known:
        if name in given:
            raise InputError(f"{name}: expected nothing, because the checkpoint tells it; got {given[name]!r}.")
    if prompt.method == "coop":
        known["class_position"] = told.class_position or "end"
    return known | dict(given)


def _fit(classifier: Classifier, prompt: Prompt, told: Told, checked: bool) -> Fit:
    clip, given = classifier.model_.clip, vars(classifier)
    kept = {field.name: given[field.name] for field in fields(Parameters)} | places_of(clip)
    dtype: Any = str(prompt.learned["ctx"].dtype).removeprefix("torch.")
    return Fit(
        parameters=Parameters(**plain(kept)),
        history=[],
        shots=told.shots,
        imported=Imported(file=prompt.file, sha256=prompt.sha256, epoch=prompt.epoch, dtype=dtype, checked=checked),
        learning=None,
        picked=[],
        split_hash=None,
        trained_on=[],
        dataset=told.dataset,
        device=str(clip.device),
        dtype=clip.precision.name,
        seconds=None,
        peak_memory_mb=None,
        peak_gpu_memory_mb=None,
        environment=environment(),
    )
