"""Options that several commands share, and printing."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocoop.errors import InputError
from cocoop.escapes import dumps
from cocoop.progress import note

if TYPE_CHECKING:
    from cocoop.data import Dataset

RunFolder = Annotated[
    Path,
    typer.Argument(help="A run folder, as `cocoop train --out` leaves it, or one of the hub, owner/name[@revision]."),
]
Source = Annotated[
    str,
    typer.Argument(
        help="Labelled images: a folder with one sub-folder per class, or with train, val and test folders of such; a "
        "manifest (.csv, .tsv, .jsonl: columns path, label, split); a split file (.json); hf:OWNER/NAME; or a name of "
        "`cocoop datasets list`."
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where data sets with a name lie. train and evaluate draw and unpack there, too."),
]
Clip = Annotated[
    str,
    typer.Option(
        metavar="CLIP",
        help='"tiny" (bundled, for trials), a hub id, ViT-B/16 and other names of OpenAI\'s, a Hugging Face folder, '
        "OpenAI's .pt archive, or an open_clip file. For photographs: openai/clip-vit-base-patch16.",
    ),
]
OtherClip = Annotated[
    str | None,
    typer.Option("--clip", metavar="CLIP", help="The CLIP, if it lies elsewhere now than at training."),
]
AnyClip = Annotated[
    str | None,
    typer.Option(
        metavar="CLIP", help="The CLIP, if it lies elsewhere now than at training; or, without a run, any CLIP."
    ),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|ID",
        help="A folder or hub id with the tokenizer, for a CLIP that has none of its own, such as OpenAI's .pt "
        "archive. Default: the CLIP's own, or else that of the hub id which matches.",
    ),
]
ClassNames = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where the labels are numbers, from 0: a text file with their names, one a line, or a list in .json.",
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME,...",
        help='Other class names: --classes "cat,dog,red panda", with quotes around a name that has a comma, or '
        "--classes @FILE, a text file with one a line, or a list in .json.",
    ),
]
FolderClasses = Annotated[
    bool, typer.Option("--folder-classes", help="Classify into the classes of these images, not those trained on.")
]
IncludeTraining = Annotated[bool, typer.Option("--include-training", help="Take the images it was trained on, too.")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps, ...")]
Dtype = Annotated[
    str, typer.Option(metavar="auto|float32|bfloat16|float16|float64|tf32", help="What it computes in; tf32 on a GPU.")
]
MemoryBudget = Annotated[
    str,
    typer.Option(metavar="SIZE", help="What the text side may take beside the weights: auto (what is free), 4GB, ..."),
]
Shortlist = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Approximate, methods with conditional prompts only: compute the prompts of each image's N likeliest "
        "classes by the prompt of the mean image, such as 20, and give the others probability 0. For few images and "
        "many classes. Without it all classes.",
    ),
]
InferenceOption = Annotated[
    str,
    typer.Option(
        "--inference",
        metavar="exact|tangent",
        help="How conditional prompts are computed: exactly, for every image; or by a first-order expansion, "
        "verified on training images and exact where classes are close: for hundreds of images.",
    ),
]
ExifOption = Annotated[
    str | None,
    typer.Option(
        "--exif",
        metavar="apply|ignore",
        help="Turn photos upright, as their EXIF data say, or leave them as they are stored. Default: as the run was "
        "learned, and that upright, but the papers' data sets as the original has them.",
    ),
]
FeatureCache = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Keep image features in this folder and take them from there: images are encoded once."
    ),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        help="Run this Python file of yours first: it registers a method. Several may be given.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def check_class_options(classes: str | None, folder_classes: bool) -> None:
    """`InputError` where both --classes and --folder-classes are given."""
    if classes is not None and folder_classes:
        raise InputError("--classes: expected nothing beside --folder-classes, which takes the images'. Give one.")


def split_names(option: str, given: str, at_least: int = 1) -> list[str]:
    """The names in one line of CSV, without blanks around them, or in the file after an "@"; see `read_class_names`.

    Raises:
        InputError: an empty name, quotes that are not closed, fewer names than `at_least`, or an unreadable file.
    """
    if given.startswith("@"):
        from cocoop.data import read_class_names

        names = read_class_names(given[1:])
    else:
        try:
            [names] = csv.reader([given], skipinitialspace=True, strict=True)
        except (csv.Error, ValueError) as error:  # ValueError: not one line
            raise InputError(f"{option}: expected names, comma-separated, on one line; got {given!r}.") from error
        names = [name.strip() for name in names]
    if not names or not all(names):
        raise InputError(f"{option}: expected names, comma-separated, none of them empty; got {given!r}.")
    if len(names) < at_least:
        raise InputError(
            f"{option}: expected {at_least} names or more, comma-separated; got only {names[0]!r}. Add one."
        )
    return names


def split_numbers(option: str, given: Sequence[str] | str | None) -> tuple[int, ...]:
    """The whole numbers in a line with commas, or in several; none of None."""
    if given is None or given == []:
        return ()
    line = given if isinstance(given, str) else ",".join(given)
    try:
        return tuple(int(text) for text in split_names(option, line))
    except ValueError as error:
        raise InputError(f"{option}: expected whole numbers, comma-separated, such as 1,2,3; got {line!r}.") from error


def read_source(source: str, data_root: Path | None, class_names: Path | None) -> Dataset:
    """`read_dataset`, and its notes on stderr."""
    from cocoop.data import read_dataset

    dataset = read_dataset(source, data_root, class_names)
    for text in dataset.notes:
        note(f"note: {text}")
    return dataset


def check_beside(out: Path, sources: Sequence[str]) -> None:
    """Raise `InputError` if a folder of results would lie in a folder of images, as a class of them the next time."""
    for source in sources:
        if os.path.isdir(source) and Path(source).resolve() in out.resolve().parents:
            raise InputError(
                f"--out: expected a folder outside {source}, where it would be read as a class of images the next "
                f"time; got {out}. Choose another."
            )


def check_new_run(out: Path, source: str) -> None:
    """Raise `InputError` unless a run folder of these images can be written as `out`."""
    from cocoop.results import check_new

    check_new(out)
    check_beside(out, [source])


def print_json(content: Any) -> None:
    """Print one JSON document on stdout."""
    print(dumps(content, indent=2))
