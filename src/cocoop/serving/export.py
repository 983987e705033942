"""A learned prompt, or zero-shot CLIP, as one file that needs neither text tower nor tokenizer where it runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cocoop.atomic import whole_folder
from cocoop.classifier import Classifier
from cocoop.clip import CLIP
from cocoop.errors import InputError, RunError, expect_choice
from cocoop.fitting import load_clip
from cocoop.labels import new_classes
from cocoop.methods import ConditionalPrompts, Method, ZeroShot
from cocoop.results import check_free, real_place, write_text
from cocoop.rgb import Exif
from cocoop.serving.exported import (
    FORMS,
    Description,
    Form,
    FromPixels,
    LinearHead,
    TangentFigures,
    TangentHead,
    Transform,
    Verification,
    export_card,
    extra_package,
    verified_head,
    write_beside,
)
from cocoop.serving.predictor import TEMPLATE

_MOST = 1e-4  # that a probability of the file may differ: some hundred times the rounding of float32
_INPUTS = 8  # random ones, that the file is tried with
_MACHINE = {"device": "cpu", "dtype": "float32"}  # what is written is float32, wherever the prompt was learned


class ExportedFile(NamedTuple):
    """What was written: the folder, the model's file in it and its size in bytes, what it says of itself, its check."""

    folder: Path
    file: Path
    size: int
    description: Description
    verification: Verification


class Learned(NamedTuple):
    """What is exported.

    name: of the method in `METHODS`. model: with its classes. labels: [K] of them. exif: how pictures become RGB.
    temperature: what logits are divided by, 1 where it is not calibrated. sample: features [N, E] of training images,
    which conditional prompts need.
    """

    name: str
    model: Method
    labels: list[Any]
    exif: Exif
    temperature: float = 1.0
    sample: Tensor | None = None


def load_learned(
    run: str | os.PathLike[str] | None, classes: Iterable[Any] | None = None, clip: Any = None, tokenizer: Any = None
) -> Learned:
    """A run with its own classes or others, or without a run zero-shot CLIP; in float32 on the CPU.

    Raises:
        InputError: as `PromptClassifier.load`, `CLIP.load` and `ZeroShot`; without a run, no CLIP or no classes.
    """
    if run is not None:
        classifier = Classifier.load(run, clip, tokenizer, **_MACHINE)
        if classes is not None:
            classifier.set_classes(classes)
        method, labels = classifier.fit_.parameters.method, classifier.classes_.tolist()
        temperature = classifier.temperature or 1.0
        return Learned(method, classifier.model_, labels, classifier.exif, temperature, classifier.sample_)
    if clip is None or classes is None:
        raise InputError("export: expected a run folder, or a CLIP and classes (--clip, --classes); got neither.")
    given, names = new_classes(classes, allow_equal=False)
    model = ZeroShot(load_clip(clip, tokenizer=tokenizer, **_MACHINE), names, (TEMPLATE,))
    return Learned("zero-shot", model, given.tolist(), "apply")


def export(learned: Learned, to: str, out: str | os.PathLike[str], features: bool = False) -> ExportedFile:
    """Write a folder with a model of these classes, read it back, and compare it with the prompt it was made of.

    The model goes from pixels, or with `features` from image features, to probabilities, for batches of any size; see
    `Description` and the card in the folder.

    Args:
        learned: what.
        to: a name in `FORMS`.
        out: the folder, which must not be there yet, or be empty.
        features: leave the image tower out. "safetensors-head" always does.

    Raises:
        InputError: an unknown form, a missing extra, a folder that is taken, or a method that has no head.
        RunError: the file's probabilities differ from the prompt's by more than 1e-4, or the disk refuses.
    """
    expect_choice("to", to, FORMS)
    check_free(out, "the exported model")
    form, clip = FORMS[to], learned.model.clip
    for package in form.packages:
        extra_package(package)
    head, tangent = _head(learned)
    pixels = form.pixels and not features
    description = Description(
        input="pixels" if pixels else "image_features",
        head=head.kind,
        classes=len(learned.labels),
        method=learned.name,
        temperature=learned.temperature,
        clip=clip.name,
        clip_fingerprint=clip.fingerprint,
        tangent=tangent,
        cocoop=version("cocoop"),
    )
    module = (FromPixels(clip.image_tower, head) if pixels else head).eval()
    inputs = _random_inputs(clip, pixels)
    transform = Transform.of(clip.preprocess, learned.exif)
    with whole_folder(real_place(out), "an exported model") as made, torch.no_grad():
        program, file = form.make(module, description.input, inputs[:2]), made / form.file
        form.save(program, file, description.to_text())
        image_features = clip.encode_images(inputs) if pixels else inputs
        expected = head(image_features) if tangent else _probabilities(learned, image_features)
        verification = _verify(form, file, inputs, expected)
        description = replace(description, verification=verification)
        form.save(program, file, description.to_text())
        write_beside(made, learned.labels, transform)
        write_text(made / "README.md", export_card(form, description, learned.labels, transform, clip.embed_dim))
    file = Path(out) / form.file
    return ExportedFile(Path(out), file, file.stat().st_size, description, verification)


def _head(learned: Learned) -> tuple[LinearHead | TangentHead, TangentFigures | None]:
    """The head of a method. `InputError` if it has none."""
    model = learned.model
    if isinstance(model, ConditionalPrompts):
        if learned.sample is None:
            raise InputError(
                "export: expected a sample of the training images, around which conditional prompts are expanded, and "
                "which a run keeps (sample.safetensors); got none. Train it again."
            )
        return verified_head(model, learned.sample, learned.temperature)
    if model.conditional:
        raise InputError(
            f"export: expected conditional prompts, of the class ConditionalPrompts, or ones that are the same for all "
            f"images; got {learned.name}, whose text features need the text tower. Export another run."
        )
    head, features = LinearHead.of(model, learned.temperature), _random_inputs(model.clip, pixels=False)
    if not torch.allclose(head(features), _probabilities(learned, features), rtol=0, atol=_MOST):
        raise InputError(
            f"export: expected a method whose logits are a linear function of the image features; got {learned.name}, "
            "whose are not. Export another run."
        )
    return head, None


@torch.no_grad()
def _probabilities(learned: Learned, image_features: Tensor) -> Tensor:
    logits: Tensor = learned.model(image_features)
    return (logits / learned.temperature).softmax(dim=-1)


def _random_inputs(clip: CLIP, pixels: bool) -> Tensor:
    """Pixels [B, 3, N, N], or unit-norm image features [B, E]; the same ones each time."""
    generator, size = torch.Generator().manual_seed(0), clip.preprocess.size
    if pixels:
        return torch.randn(_INPUTS, 3, size, size, generator=generator)
    return F.normalize(torch.randn(_INPUTS, clip.embed_dim, generator=generator), dim=-1)


def _verify(form: Form, file: Path, inputs: Tensor, expected: Tensor) -> Verification:
    """Read the file back and run it. `RunError` if it gives other probabilities than expected, [B, K]."""
    run = form.read(file).run
    largest = max(float((run(inputs[:n]) - expected[:n]).abs().max()) for n in (1, len(inputs)))
    if not largest <= _MOST:
        raise RunError(
            f"export: expected {form.words} with the probabilities of the prompt, to {_MOST:g}; got a difference of "
            f"{largest:.2g}. Nothing was written. Try another form, or another version of torch."
        )
    return Verification(images=len(inputs), largest_difference=largest)
