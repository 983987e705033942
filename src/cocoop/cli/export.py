"""`cocoop export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cocoop.cli.common import AnyClip, AsJson, Classes, Plugins, Tokenizer, print_json, split_names
from cocoop.errors import InputError, expect_choice
from cocoop.progress import note

_OFFICIAL = "official"

Run = Annotated[
    Path | None,
    typer.Argument(
        help="A run folder, as `cocoop train --out` leaves it, or one of the hub, owner/name[@revision]; without one, "
        "--clip and --classes."
    ),
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="onnx|torch-export|safetensors-head|official",
        help="A model; with safetensors-head the tensors of the part behind the image tower; or with official a "
        "checkpoint for the original code.",
    ),
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the model.")]
Features = Annotated[
    bool,
    typer.Option(
        "--features", help="Leave the image tower out: from image features to probabilities, in a small file."
    ),
]


def export(
    to: To,
    out: Out,
    run: Run = None,
    classes: Classes = None,
    features: Features = False,
    clip: AnyClip = None,
    tokenizer: Tokenizer = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Write a learned prompt, or zero-shot CLIP, for fixed classes as one file, from pixels to probabilities.

    Neither text tower nor tokenizer is needed where it runs. Beside the file are the classes, the numbers of the
    transform, and a README with code that runs it. CoCoOp's prompts become a first-order function of the image, which
    is compared with exact inference on training images. The file is read back and compared before the folder appears.
    Prints the file, its classes and bytes, and the largest difference of a probability; `cocoop predict` takes the
    folder as a run.

    With `--to official` it is the prompt alone, as the original CoOp and CoCoOp code takes it with --model-dir.

    Examples:
      cocoop export my-run --to onnx --out my-model
      cocoop export my-run --to torch-export --classes "cat,dog,red panda" --out my-model
      cocoop export my-run --to safetensors-head --out my-head
      cocoop export my-run --to onnx --features --out my-head
      cocoop export my-run --to official --out output
      cocoop export --clip openai/clip-vit-base-patch16 --classes "cat,dog" --to onnx --out zero-shot
    """
    from dataclasses import asdict

    from cocoop.methods.plugins import load_plugins
    from cocoop.serving import FORMS, TEMPLATE, export, load_learned
    from cocoop.sharing import found_run

    expect_choice("--to", to, [*FORMS, _OFFICIAL])
    load_plugins(plugin or ())
    names = None if classes is None else split_names("--classes", classes, at_least=2)
    run = None if run is None else found_run(run)
    if to == _OFFICIAL:
        _export_official(run, out, names, features, clip, tokenizer, as_json)
        return
    learned = load_learned(run, names, clip, tokenizer)
    if run is None:
        note(f"note: zero-shot, with the prompt {TEMPLATE!r}")
    exported = export(learned, to, out, features)
    tangent = exported.description.tangent
    if tangent is not None:
        note(
            f"note: {tangent.agreement:.4g} % of {tangent.images} training images have the same class as by exact "
            f"inference, and no probability differs by more than {tangent.largest_difference:.2g}"
        )
    if as_json:
        place = {"folder": str(exported.folder), "file": str(exported.file), "bytes": exported.size}
        print_json(place | asdict(exported.description))
        return
    differs = exported.verification.largest_difference
    print(f"{exported.file}\t{exported.description.classes}\t{exported.size}\t{differs:.1e}")


def _export_official(
    run: Path | None,
    out: Path,
    names: list[str] | None,
    features: bool,
    clip: str | None,
    tokenizer: str | None,
    as_json: bool,
) -> None:
    """Write a checkpoint for the original code, and print its place, classes and bytes."""
    from cocoop.classifier import Classifier
    from cocoop.official import write_official

    if run is None or features:
        got = "none" if run is None else "--features"
        raise InputError(f"--to official: expected a run folder and nothing of the image tower; got {got}.")
    classifier = Classifier.load(run, clip, tokenizer, device="cpu", dtype="float32")
    if names is not None:
        classifier.set_classes(names)
    file = write_official(classifier, out)
    size, count = file.stat().st_size, len(classifier.classes_)
    if as_json:
        print_json({"folder": str(out), "file": str(file), "bytes": size, "classes": count})
    else:
        print(f"{file}\t{count}\t{size}")
