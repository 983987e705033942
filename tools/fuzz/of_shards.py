"""Folders of outputs that a command with `--shards` goes on with: lists of pictures, outputs, and shards."""

from __future__ import annotations

import tarfile
from contextlib import chdir
from functools import cache
from pathlib import Path

from PIL import Image

from cocoop.data import LeftOut
from cocoop.shards import Embedding, Here, Job, Tally, output_folder, shards_of, work_shards


@cache
def _embedding() -> Embedding:
    return Embedding(1, {"tokenizer": None, "device": "cpu", "dtype": "auto", "memory_budget": "auto"}, "tiny")


def make_outputs(folder: Path) -> None:
    """Two lists of pictures and their outputs, one of which is missing; the same of two archives."""
    for name in ("listed", "archived"):
        place = folder / name
        place.mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(place / f"{number}.png")
    for first in (0, 2):
        with tarfile.open(folder / "archived" / f"{first}.tar", "w") as archive:
            for number in (first, first + 1):
                archive.add(folder / "archived" / f"{number}.png", f"{number}.png")
    for name in ("listed", "archived"):
        go_on(folder / name)
        sorted((folder / name / "out").glob("*.parquet"))[0].unlink()


def go_on(folder: Path) -> None:
    """As `cocoop embed --shards` of the same pictures again; a shard that fails is an answer."""
    tars = sorted(folder.glob("*.tar"))
    with chdir(folder):  # outputs say by which names their pictures were given
        sources = [tar.name for tar in tars] or [f"{number}.png" for number in range(4)]
        shards = shards_of(sources, output_folder("out"), 2, LeftOut())
        tally = Tally(len(shards))
        work_shards(Job(_embedding(), str(folder / "out")), shards, Here("cpu", 1), tally)
        assert tally.done + len(tally.failed) == len(shards), "a shard that is neither done nor set aside"
