"""`cocoop push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cocoop.cli.common import AsJson, print_json
from cocoop.progress import note

Run = Annotated[Path, typer.Argument(help="A run folder, as `cocoop train --out` leaves it.")]
Repository = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Of the hub; made where missing.")]
Message = Annotated[str, typer.Option("--message", metavar="TEXT", help="Of the commit.")]
Private = Annotated[
    bool | None, typer.Option("--private/--public", show_default=False, help="Of a repository that is made.")
]
Branch = Annotated[str | None, typer.Option(metavar="BRANCH", help="Where to. Default: the main one.")]
CreatePr = Annotated[bool, typer.Option("--create-pr", help="Propose the commit, where you may not write.")]


def push(
    run: Run,
    repository: Repository,
    message: Message = "Push a learned prompt",
    private: Private = None,
    branch: Branch = None,
    create_pr: CreatePr = False,
    as_json: AsJson = False,
) -> None:
    """Push a run folder to the Hugging Face hub, and print the address of the commit.

    README.md there is a model card: data, shots, seed, measured figures beside zero-shot CLIP's, limits, how to load
    it, and the metadata that the hub indexes. The token is that of `hf auth login` or HF_TOKEN.

    Examples:
      cocoop push my-run owner/name
      cocoop push my-run owner/name --private --message "Sixteen shots"
    """
    from cocoop.results import read_run
    from cocoop.sharing import push_run, told_to_others

    for text in told_to_others(read_run(run)):
        note(f"note: {text}")
    address = push_run(run, repository, message, private, None, branch, create_pr)
    if as_json:
        print_json({"repository": repository, "address": address})
    else:
        print(address)
