"""Parquet files through pyarrow, which is an extra; and what stands in every file of features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

from cocoop.atomic import renamed_to
from cocoop.clip.precision import Precision
from cocoop.errors import InputError
from cocoop.features import EncodedRow

HEAD = b"cocoop"
"""Under which name a Parquet file's metadata has `clip_head`."""

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


def pyarrow_parquet() -> Any:
    """The module `pyarrow.parquet`. `InputError` where pyarrow is not installed."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            f"parquet: expected pyarrow, which reads and writes such files; got {error}. Install it: "
            "pip install 'cocoop[parquet]'."
        ) from error
    return parquet


def clip_head(clip: KnownClip) -> dict[str, str]:
    """What a file says of the CLIP that its features are of."""
    return {"clip": clip.name, "clip_fingerprint": clip.fingerprint, "dtype": clip.precision.name}


def plain(text: str) -> str:
    """A name of a file as text that can be stored: bytes that are not UTF-8 are written out."""
    return text.encode(errors="backslashreplace").decode()


class ParquetRows:
    """Rows of results as a Parquet file, a row group at a time.

    Args:
        path: which appears when the `with` block ends well.
        columns: of them "image", "class", "probability", "top", "error" and "embedding".
        clip: told in the file's metadata, for `read_features`.
    """

    def __init__(self, path: Path, columns: Sequence[str], clip: KnownClip) -> None:
        pyarrow_parquet()
        import pyarrow

        scored = pyarrow.struct([("class", pyarrow.string()), ("probability", pyarrow.float64())])
        kinds = {
            "image": pyarrow.string(),
            "class": pyarrow.string(),
            "probability": pyarrow.float64(),
            "top": pyarrow.list_(scored),
            "error": pyarrow.string(),
            "embedding": pyarrow.list_(pyarrow.float32()),
        }
        self.schema = pyarrow.schema(
            {name: kinds[name] for name in columns}, {HEAD: json.dumps(clip_head(clip)).encode()}
        )
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        """Begin the file. `RunError` where the disk refuses, here or later."""
        with ExitStack() as begun:
            hidden = begun.enter_context(renamed_to(self.path, "the results"))
            self.writer = begun.enter_context(pyarrow_parquet().ParquetWriter(hidden, self.schema))
            begun.push(self._end)
            self._begun = begun.pop_all()
        return self

    def write(self, row: dict[str, Any]) -> None:
        """Add a row by columns."""
        self.rows.append(row | {"image": plain(row["image"])})
        if len(self.rows) >= _ROWS:
            self._flush()

    def add(self, row: EncodedRow[str]) -> None:
        """Add a feature, see `FeatureFile`."""
        feature = None if row.feature is None else row.feature.cpu().numpy()
        self.write({"image": row.key, "embedding": feature, "error": row.error and str(row.error)})

    def _flush(self) -> None:
        import pyarrow

        self.writer.write_table(pyarrow.Table.from_pylist(self.rows, self.schema))
        self.rows.clear()

    def _end(self, kind: Any, *error: Any) -> None:
        if kind is None and self.rows:
            self._flush()

    def __exit__(self, *error: Any) -> None:
        """Put the file into place, or remove it."""
        self._begun.__exit__(*error)
