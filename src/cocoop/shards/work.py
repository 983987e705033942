"""What is done with the pictures of a shard: features, or predictions. And a shard from its pictures to its output."""

from __future__ import annotations

import io
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from cocoop.clip import CLIP
from cocoop.features import EncodedRow, features_key
from cocoop.methods.plugins import load_plugins
from cocoop.serving import COLUMNS, ParquetTable, Predictor, clip_head, encode, entry_of, read_features
from cocoop.shards.identity import code_hash, names_hash, run_hash
from cocoop.shards.places import at_hand, output_folder
from cocoop.shards.shard import Shard, pictures_of


@dataclass(frozen=True)
class Work(ABC):
    """What is done with pictures. It is pickled by what it was made of, and reads weights where it is at work.

    threads: how many decode pictures. machine: device, dtype, memory_budget and tokenizer, as `CLIP.load` takes them.
    """

    threads: int
    machine: dict[str, Any]

    @property
    @abstractmethod
    def columns(self) -> Sequence[str]:
        """Of the outputs."""

    @abstractmethod
    def made_of(self) -> dict[str, Any]:
        """What decides the outputs beside the pictures, for their metadata. `InputError` where it cannot work."""

    @abstractmethod
    def write(self, shard: Shard, table: ParquetTable) -> tuple[int, int]:
        """Put the rows of a shard into its table; how many there are, and how many of them are errors."""

    def on(self, device: str) -> Self:
        """The same on this device."""
        return replace(self, machine=self.machine | {"device": device})

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Embedding(Work):
    """Image features of a CLIP, by name, with the content hash of each picture."""

    clip: str

    columns = ("image", "content", "embedding", "error")

    @cached_property
    def _clip(self) -> CLIP:
        return CLIP.load(self.clip, **self.machine)

    def made_of(self) -> dict[str, Any]:
        """See `Work`."""
        return {"of": "embed", **clip_head(self._clip), "features": features_key(self._clip, "apply")}

    def write(self, shard: Shard, table: ParquetTable) -> tuple[int, int]:
        """See `Work`."""
        rows = errors = 0
        for part in encode(self._clip, pictures_of(shard), workers=self.threads, processes=0, distinct=True):
            for row in part:
                table.add(row)
                rows += 1
                errors += row.error is not None
        return rows, errors


@dataclass(frozen=True)
class Predicting(Work):
    """Classes and probabilities of a run, or zero-shot; pictures, or features that `Embedding` wrote.

    run, classes, clip, answers: as `Predictor` takes them, `answers` being its other arguments by name.
    embeddings: whether rows have the image features. plugins: files that register methods.
    """

    run: str | None
    classes: tuple[Any, ...] | None
    clip: str | None
    answers: dict[str, Any]
    embeddings: bool = False
    plugins: tuple[Path, ...] = ()

    @property
    def columns(self) -> Sequence[str]:
        """See `Work`."""
        return COLUMNS + ("embedding",) * self.embeddings

    @cached_property
    def predictor(self) -> Predictor:
        """Loaded when it is first asked for."""
        load_plugins(self.plugins)
        others = self.machine | self.answers | {"workers": self.threads}
        if self.run is None:
            return Predictor.zero_shot(self.clip, self.classes or (), **others)
        return Predictor.load(self.run, self.classes, clip=self.clip, **others)

    def made_of(self) -> dict[str, Any]:
        """See `Work`."""
        predictor = self.predictor
        run = {"run": run_hash(self.run)} if self.run is not None else {"templates": predictor.templates}
        given = {"embeddings": self.embeddings, **self.answers}
        return {
            "of": "predict",
            **clip_head(predictor.clip_ if self.embeddings else predictor.encoder_),
            **run,
            "classes": names_hash(predictor.classes_),
            **given,
        }

    def write(self, shard: Shard, table: ParquetTable) -> tuple[int, int]:
        """See `Work`."""
        rows = errors = 0
        if shard.kind == "features":
            predictions = self.predictor.stream_features(_features_in(shard, self.predictor.clip_))
        else:
            predictions = self.predictor.stream(pictures_of(shard), processes=0, distinct=True)
        for row in predictions:
            table.write(entry_of(row, self.embeddings))
            rows += 1
            errors += row.error is not None
        return rows, errors


def _features_in(shard: Shard, clip: CLIP) -> Iterator[list[EncodedRow[str]]]:
    with at_hand(shard.place) as path:
        yield from read_features(path, clip)


@dataclass(frozen=True)
class Line:
    """What the manifest says of a shard that is done. seconds: it took. made_of: see `Work`. code: of this package."""

    output: str
    shard: str
    rows: int
    errors: int
    seconds: float
    made_of: dict[str, Any]
    code: str


@dataclass(frozen=True)
class Job:
    """Works shards, one at a time, and puts the outputs into a folder, an absolute path or a URL. It can be pickled."""

    work: Work
    out: str

    @cached_property
    def made_of(self) -> dict[str, Any]:
        """See `Work`."""
        return self.work.made_of()

    def __call__(self, shard: Shard) -> Line:
        """Work one shard: its pictures, or their features, to one output and a line in the manifest.

        Whoever does it, and however often, the output has the same bytes, as long as torch takes the same number of
        threads on the same kind of machine. The line comes first, so that an output always has one.

        Raises:
            CocoopError: the shard is damaged, or a store or the disk refuses. No output is there then.
        """
        began, folder, content = time.perf_counter(), output_folder(self.out), io.BytesIO()
        table = ParquetTable(content, self.work.columns, head_of_output(self.made_of, shard))
        rows, errors = self.work.write(shard, table)
        table.end()
        seconds = round(time.perf_counter() - began, 3)
        output = f"{shard.stem}.parquet"
        line = Line(output, shard.name, rows, errors, seconds, self.made_of, code_hash())
        folder.write(f"manifest/{shard.stem}.json", json.dumps(asdict(line)).encode() + b"\n")
        folder.write(output, content.getvalue())
        folder.remove(f"set-aside/{shard.stem}.json")
        return line

    def __getstate__(self) -> dict[str, Any]:
        return {"work": self.work, "out": self.out}


def head_of_output(made_of: dict[str, Any], shard: Shard) -> dict[str, Any]:
    """What the metadata of a shard's output says."""
    part = None if shard.part is None else list(shard.part)
    return {**made_of, "shard": {"source": shard.name, "part": part, "column": shard.column, "mark": shard.mark}}
