"""Parquet files through pyarrow, which is an extra; and what stands in every file of features."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from cocoop.atomic import renamed_to
from cocoop.clip.precision import Precision
from cocoop.features import HEAD, EncodedRow, pyarrow_parquet

_ROWS = 1024  # of a row group


class KnownClip(Protocol):
    """A CLIP, by what a file says of it."""

    @property
    def name(self) -> str:
        """Where it is from."""

    @property
    def fingerprint(self) -> str:
        """Of what it computes."""

    @property
    def precision(self) -> Precision:
        """In which it computes."""


def clip_head(clip: KnownClip) -> dict[str, str]:
    """What a file says of the CLIP that its features are of."""
    return {"clip": clip.name, "clip_fingerprint": clip.fingerprint, "dtype": clip.precision.name}


def plain(text: str) -> str:
    """A name of a file as text that can be stored: bytes that are not UTF-8 are written out."""
    return text.encode(errors="backslashreplace").decode()


class ParquetTable:
    """Rows of results as Parquet, a row group at a time, with nothing in it that differs between two equal results.

    Args:
        sink: a path, or an open file, which stays open.
        columns: of them "image", "content", "class", "probability", "top", "error" and "embedding".
        head: told in the metadata, as JSON; with `clip_head` in it for `read_features`.
    """

    def __init__(self, sink: Any, columns: Sequence[str], head: Mapping[str, Any]) -> None:
        import pyarrow

        scored = pyarrow.struct([("class", pyarrow.string()), ("probability", pyarrow.float64())])
        kinds = {
            "image": pyarrow.string(),
            "content": pyarrow.binary(32),
            "class": pyarrow.string(),
            "probability": pyarrow.float64(),
            "top": pyarrow.list_(scored),
            "error": pyarrow.string(),
            "embedding": pyarrow.list_(pyarrow.float32()),
        }
        metadata = {HEAD: json.dumps(head, sort_keys=True).encode()}
        self.schema = pyarrow.schema({name: kinds[name] for name in columns}, metadata)
        self.rows: list[dict[str, Any]] = []
        plain_columns = [name for name in columns if name in ("class", "error")]
        self.writer = pyarrow_parquet().ParquetWriter(sink, self.schema, use_dictionary=plain_columns)

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row by columns."""
        self.rows.append({**row, "image": plain(row["image"])})
        if len(self.rows) >= _ROWS:
            self._flush()

    def add(self, row: EncodedRow[str]) -> None:
        """Add a feature, see `FeatureFile`."""
        feature = None if row.feature is None else row.feature.cpu().numpy()
        content = row.content or None
        error = row.error and str(row.error)
        self.write({"image": row.key, "content": content, "embedding": feature, "error": error})

    def _flush(self) -> None:
        import pyarrow

        columns = [
            _vectors([row[name] for row in self.rows]) if name == "embedding" else [row[name] for row in self.rows]
            for name in self.schema.names
        ]
        arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)]
        self.writer.write_table(pyarrow.Table.from_arrays(arrays, schema=self.schema))
        self.rows.clear()

    def end(self) -> None:
        """Write the rows that are left, and the footer."""
        if self.rows:
            self._flush()
        self.writer.close()


def _vectors(vectors: Sequence[Any]) -> Any:
    """Vectors [E] float32, or None, as one column; from numbers one by one it would take a hundred times as long."""
    import pyarrow

    there = [np.asarray(vector, dtype=np.float32) for vector in vectors if vector is not None]
    ends = np.cumsum([0 if vector is None else len(vector) for vector in vectors], dtype=np.int32)
    starts = np.concatenate([[0], ends]).astype(np.int32)
    missing = pyarrow.array([vector is None for vector in vectors], pyarrow.bool_())
    values = np.concatenate(there) if there else np.empty(0, dtype=np.float32)
    return pyarrow.ListArray.from_arrays(starts, pyarrow.array(values), mask=missing)


class ParquetRows:
    """A `ParquetTable` in a file, which appears when the `with` block ends well; `clip` is told in its metadata."""

    def __init__(self, path: Path, columns: Sequence[str], clip: KnownClip) -> None:
        pyarrow_parquet()
        self.path, self.columns, self.head = path, columns, clip_head(clip)

    def __enter__(self) -> Self:
        """Begin the file. `RunError` where the disk refuses, here or later."""
        with ExitStack() as begun:
            hidden = begun.enter_context(renamed_to(self.path, "the results"))
            self.table = ParquetTable(hidden, self.columns, self.head)
            begun.push(self._end)
            self._begun = begun.pop_all()
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row by columns."""
        self.table.write(row)

    def add(self, row: EncodedRow[str]) -> None:
        """Add a feature, see `FeatureFile`."""
        self.table.add(row)

    def _end(self, kind: Any, *error: Any) -> None:
        if kind is None:
            self.table.end()
        else:
            self.table.writer.close()

    def __exit__(self, *error: Any) -> None:
        """Put the file into place, or remove it."""
        self._begun.__exit__(*error)
