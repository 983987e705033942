"""Image features in Parquet files, as `cocoop embed --shards` leaves them: found by content hash, as in blocks."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cocoop.errors import InputError
from cocoop.reading import parse_json

HEAD = b"cocoop"
"""Under which name a Parquet file's metadata says what its rows are of, as JSON."""

_FILES = 2  # whose features are in memory: those that are asked for one after the other mostly lie in one


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


def head_of(schema: Any) -> Any:
    """What the metadata of a file of ours says, from its schema or footer; None of others. `ValueError` for no JSON."""
    head = (schema.metadata or {}).get(HEAD)
    return parse_json(head) if head else None


class ParquetBlock(NamedTuple):
    """Where the features [n, E] of a file lie; a row without any is none that anybody asks for."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any] = np.dtype(np.float32)

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features [len(numbers), E] in memory."""
        vectors, place = _vectors(self.path, os.stat(self.path).st_mtime_ns)
        return vectors[place[numbers]]


def files_of(folder: Path, key: str) -> list[Path]:
    """The files in a folder whose head has this key of features, see `features_key`, by name."""
    return [path for path in sorted(folder.glob("*.parquet")) if _key(path, path.stat().st_mtime_ns) == key]


def contents_in(path: Path) -> NDArray[np.bytes_]:
    """The content hashes [n] of a file's pictures; b"" of those without a feature."""
    return _contents(path, path.stat().st_mtime_ns)


@lru_cache(None)
def _key(path: Path, changed: int) -> Any:
    try:
        head = head_of(pyarrow_parquet().read_schema(path))
    except (OSError, ValueError):  # pyarrow's errors are of these
        return None
    return head.get("features") if isinstance(head, dict) else None


@lru_cache(None)
def _contents(path: Path, changed: int) -> NDArray[np.bytes_]:
    column = pyarrow_parquet().read_table(path, columns=["content"])["content"]
    return np.array([content or b"" for content in column.to_pylist()], dtype="S32")


@lru_cache(_FILES)
def _vectors(path: Path, changed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The features of a file [m, E] and, for each of its rows [n], which of them is its own."""
    column = pyarrow_parquet().read_table(path, columns=["embedding"])["embedding"].combine_chunks()
    there = np.asarray(column.is_valid())
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(int(there.sum()), -1), np.cumsum(there) - 1
