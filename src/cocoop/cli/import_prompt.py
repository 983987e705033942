"""`cocoop import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cocoop.cli.common import AsJson, Clip, Tokenizer, print_json, split_names
from cocoop.progress import note

Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT",
        help="prompt_learner/model.pth.tar-10 or the like, a state dict alone (.pth, .safetensors), or an output "
        "folder of the original code.",
    ),
]
OwnClasses = Annotated[
    str,
    typer.Option(
        "--classes",
        metavar="NAME,NAME,...",
        help='The classes that it was learned on, in their order: --classes "cat,dog", or --classes @FILE, a text file '
        "with one a line, or a list in .json.",
    ),
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the run.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting that no checkpoint tells: class_position=middle or front of CoOp. Default: what log.txt says, "
        "or end.",
    ),
]
Unchecked = Annotated[
    bool,
    typer.Option(
        "--unchecked",
        help="Take it without comparing the tokens in it with the CLIP and the class names, as the original does.",
    ),
]


def import_prompt(
    checkpoint: Checkpoint,
    clip: Clip,
    classes: OwnClasses,
    out: Out,
    set_: Settings = None,
    unchecked: Unchecked = False,
    tokenizer: Tokenizer = None,
    as_json: AsJson = False,
) -> None:
    """Make a run folder of a prompt that the original CoOp or CoCoOp code learned. Nothing in its file is run.

    The checkpoint holds the embeddings of its class names' tokens: they are compared with those of --clip and
    --classes, and what differs is said. Seed, shots and data set are read from log.txt beside it, and unknown without
    that. Prints the run, its method, its classes and the epoch.

    Examples:
      cocoop import model.pth.tar-10 --clip ViT-B/16 --classes @names.txt --out my-run
      cocoop import output/oxford_pets/CoCoOp/seed1 --clip ViT-B/16 --classes @names.txt --out my-run
      cocoop import model.pth.tar-50 --clip RN50 --classes @names.txt --set class_position=middle --out my-run
    """
    from dataclasses import asdict

    from cocoop.cli.settings import parse_settings
    from cocoop.official import gaps, read_official
    from cocoop.results import check_new

    check_new(out)
    names = split_names("--classes", classes)
    classifier = read_official(checkpoint, clip, names, tokenizer, parse_settings(set_ or ()), not unchecked)
    classifier.save(out)
    for text in gaps(classifier):
        note(f"note: {text}")
    run = classifier.as_run()
    imported = run.record.imported
    if as_json:
        print_json(
            {"run": str(out), "method": run.record.method, "classes": names, "imported": imported and asdict(imported)}
        )
        return
    epoch = "unknown" if imported is None or imported.epoch is None else imported.epoch
    print(f"{out}\t{run.record.method}\t{len(names)}\t{epoch}")
