"""Shards of small pictures, and what is done with them, by the bundled CLIP on the CPU."""

from __future__ import annotations

import io
import os
import signal
import tarfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from cocoop.shards import Embedding, Here, Job, Predicting, Runner, Shard, Tally, Work, pictures_of, work_shards

MACHINE = {"tokenizer": None, "device": "cpu", "dtype": "auto", "memory_budget": "auto"}
ANSWERS = {"top": 2, "threshold": 0.0, "shortlist": None, "inference": "exact", "exif": None}
CLASSES = ("star", "heart", "arrow")

EMBED = Embedding(1, MACHINE, "tiny")
PREDICT = Predicting(1, MACHINE, None, CLASSES, "tiny", ANSWERS)


class Pictures(NamedTuple):
    """root: of photos/, tars/ and a table. contents: of 50 pictures by number; number 7 is damaged, 23 is 3 again."""

    root: Path
    contents: list[bytes]


def png(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((24, 24)).save(file, "PNG")
    return file.getvalue()


def write_tar(path: Path, names: list[str], contents: list[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in zip(names, contents, strict=True):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            note = tarfile.TarInfo(f"{name[:-4]}.json")  # as WebDataset has them beside
            note.size = 2
            archive.addfile(note, io.BytesIO(b"{}"))


@dataclass(frozen=True)
class Naming(Work):
    """Writes down the keys, at once for want of a CLIP.

    Each of the shards in `deadly` kills the process that begins it, so many times; `marks` begins the files that count.
    """

    deadly: dict[str, int] = field(default_factory=dict)
    marks: str = ""

    columns = ("image", "error")

    def made_of(self):
        return {"of": "test"}

    def write(self, shard, table):
        for number in range(self.deadly.get(shard.stem, 0)):
            with suppress(FileExistsError), open(f"{self.marks}-{shard.stem}-{number}", "x"):
                os.kill(os.getpid(), signal.SIGKILL)
        keys = [named.key for named in pictures_of(shard)]
        for key in keys:
            table.write({"image": key, "error": None})
        return len(keys), 0


def work(job: Job, shards: list[Shard], runner: Runner | None = None) -> Tally:
    """Work them; what came of it."""
    tally = Tally(len(shards))
    work_shards(job, shards, runner or Here("cpu", 1), tally)
    return tally


def outputs(folder: Path) -> dict[str, bytes]:
    """The outputs by name."""
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
