"""Image features in a file, with the names of their pictures and the CLIP they are of: Parquet, or npy and a list."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol, Self

import numpy as np
import torch

from cocoop.atomic import renamed_to
from cocoop.clip import CLIP
from cocoop.data import ImageError
from cocoop.errors import InputError, RunError, plainly
from cocoop.escapes import dumps
from cocoop.features import EncodedRow, head_of, pyarrow_parquet
from cocoop.reading import lines, parse_json
from cocoop.serving.parquet import ParquetRows, clip_head, plain

_AT_ONCE = 256  # features that are read at once
_COLUMNS = ("image", "embedding", "error")


class FeatureFile(Protocol):
    """Where `cocoop embed` writes: a context manager, whose file appears when it ends well."""

    def add(self, row: EncodedRow[str]) -> None:
        """Add a picture's feature, or its error."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: Any, *error: Any) -> None:
        """Put the file into place, or remove it."""


def new_feature_file(out: Path, clip: CLIP) -> FeatureFile:
    """A new file by its ending, .npy or .parquet. `InputError` for others, or where it is there."""
    if out.suffix.lower() not in (".npy", ".parquet"):
        raise InputError(f"--out: expected a file that ends in .npy or .parquet; got {out}.")
    if out.exists():
        raise InputError(f"{out}: expected a new file for the features; it is there. Choose another.")
    return NpyFeatures(out, clip) if out.suffix.lower() == ".npy" else ParquetRows(out, _COLUMNS, clip)


def feature_files(source: str) -> list[str]:
    """The files that `read_features` reads: this one, or those in a folder that `cocoop embed --shards` filled.

    By name; none of anything else.
    """
    if os.path.isdir(source):
        with os.scandir(source) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(".parquet") and entry.name[0] != ".")
        files = [os.path.join(source, name) for name in names]
        return files if files and _parquet_head(files[0]) is not None else []
    ending = Path(source).suffix.lower()
    is_file = os.path.isfile(source) and (ending == ".npy" or (ending == ".parquet" and _parquet_head(source)))
    return [source] if is_file else []


def read_features(source: str, clip: CLIP) -> Iterator[list[EncodedRow[str]]]:
    """The rows of a file of features, some at a time.

    Raises:
        InputError: at once, a file of another CLIP, or one that `cocoop embed` did not write so.
    """
    return (_read_npy if source.lower().endswith(".npy") else _read_parquet)(source, clip)


class NpyFeatures:
    """Features [N, E] float32 in an npy file, and beside it FILE.keys.jsonl: what they are of, and a name for each.

    A picture that could not be read has no feature; its line there is {"image": ..., "error": ...}.
    """

    def __init__(self, path: Path, clip: CLIP) -> None:
        self.path, self.clip, self.count = path, clip, 0

    def __enter__(self) -> Self:
        """Begin both files. `RunError` where the disk refuses, here or later."""
        with ExitStack() as begun:
            hidden = begun.enter_context(renamed_to(self.path, "the features"))
            hidden_keys = begun.enter_context(renamed_to(_keys_beside(self.path), "the features' names"))
            self.features: IO[bytes] = begun.enter_context(open(hidden, "xb"))
            self.keys: IO[str] = begun.enter_context(open(hidden_keys, "x", encoding="utf-8"))
            begun.callback(self._write_head)
            self._write_head()
            self._tell(clip_head(self.clip))
            self._begun = begun.pop_all()
        return self

    def add(self, row: EncodedRow[str]) -> None:
        """Add a feature, see `FeatureFile`."""
        if row.feature is None:
            self._tell({"image": plain(row.key), "error": str(row.error)})
            return
        self._tell(plain(row.key))
        self.features.write(row.feature.cpu().numpy().astype("<f4").tobytes())
        self.count += 1

    def _tell(self, line: Any) -> None:
        self.keys.write(dumps(line) + "\n")

    def _write_head(self) -> None:
        """The head, which has one length for all numbers of rows."""
        shape = {"descr": "<f4", "fortran_order": False, "shape": (self.count, self.clip.embed_dim)}
        self.features.seek(0)
        np.lib.format.write_array_header_1_0(self.features, shape)

    def __exit__(self, *error: Any) -> None:
        """Put both files into place, the names first, or remove them."""
        self._begun.__exit__(*error)


def _keys_beside(path: str | Path) -> Path:
    return Path(f"{path}.keys.jsonl")


def _check_same_clip(source: str, head: Any, clip: CLIP) -> None:
    """In another dtype than then, weights cannot be compared."""
    try:
        differs = head["dtype"] == clip.precision.name and head["clip_fingerprint"] != clip.fingerprint
        name, fingerprint = head["clip"], str(head["clip_fingerprint"])[:12]
    except (TypeError, KeyError) as error:
        raise _not_ours(source, f"no word of its CLIP ({error})") from error
    if differs:
        raise InputError(
            f"{source}: expected features of this CLIP ({clip.name}, fingerprint {clip.fingerprint[:12]}...); got "
            f"those of another ({name}, {fingerprint}...). Embed the pictures with this one."
        )


def _parquet_head(source: str) -> Any:
    """What a Parquet file says of its features' CLIP, or None."""
    try:
        schema = pyarrow_parquet().read_schema(source)
        return head_of(schema) if "embedding" in schema.names else None
    except (OSError, ValueError):  # pyarrow's errors are of these
        return None


def _read_parquet(source: str, clip: CLIP) -> Iterator[list[EncodedRow[str]]]:
    _check_same_clip(source, _parquet_head(source), clip)
    return _parquet_rows(source, clip)


def _parquet_rows(source: str, clip: CLIP) -> Iterator[list[EncodedRow[str]]]:
    with _told(source), pyarrow_parquet().ParquetFile(source) as file:
        for batch in file.iter_batches(_AT_ONCE, columns=list(_COLUMNS)):
            keys, errors = (batch.column(name).to_pylist() for name in ("image", "error"))
            vectors = batch.column("embedding")
            there = np.asarray(vectors.is_valid())
            features = iter(_tensor(vectors.flatten(), int(there.sum()), clip))
            yield [
                _row(key, next(features) if is_there else None, error)
                for key, is_there, error in zip(keys, there, errors, strict=True)
            ]


def _tensor(values: Any, count: int, clip: CLIP) -> torch.Tensor:
    """Features [count, E] of their numbers, one after the other."""
    if len(values) != count * clip.embed_dim:
        raise ValueError(f"{len(values):,} numbers for {count:,} features of {clip.embed_dim:,}")
    array = values.to_numpy(zero_copy_only=False).astype(np.float32).reshape(count, clip.embed_dim)
    return torch.from_numpy(array).to(clip.device)


def _row(key: Any, feature: torch.Tensor | None, error: Any) -> EncodedRow[str]:
    if not isinstance(key, str):
        raise ValueError(f"{type(key).__name__} for the name of a picture")
    if feature is None:
        return EncodedRow(key, None, ImageError(str(error or f"{key}: expected a feature; got none. Embed it anew.")))
    if not feature.isfinite().all():
        raise ValueError(f"numbers that are not finite for {key}")
    return EncodedRow(key, feature, None)


def _read_npy(source: str, clip: CLIP) -> Iterator[list[EncodedRow[str]]]:
    with _told(source), open(_keys_beside(source), encoding="utf-8") as file:
        features = np.load(source, mmap_mode="r", allow_pickle=False)
        head = parse_json(next(lines(file), ""))
    _check_same_clip(source, head, clip)
    if features.ndim != 2 or features.shape[1] != clip.embed_dim or features.dtype != np.float32:
        raise _not_ours(source, f"shape {list(features.shape)} of {features.dtype}")
    return _npy_rows(source, features, clip)


def _npy_rows(source: str, features: np.ndarray[Any, Any], clip: CLIP) -> Iterator[list[EncodedRow[str]]]:
    rows: list[EncodedRow[str]] = []
    left = iter(features)
    with _told(source), open(_keys_beside(source), encoding="utf-8") as file:
        for line in islice(lines(file), 1, None):
            key = parse_json(line)
            if isinstance(key, dict):
                rows.append(_row(key["image"], None, key["error"]))
            else:
                feature = next(left, None)
                if feature is None:
                    raise ValueError(f"more names than its {len(features):,} features")
                rows.append(_row(key, torch.from_numpy(feature.copy()).to(clip.device), None))
            if len(rows) >= _AT_ONCE:
                yield rows
                rows = []
    if rows:
        yield rows


@contextmanager
def _told(source: str) -> Iterator[None]:
    """Whatever a damaged file makes NumPy, pyarrow and JSON raise, as one `InputError`."""
    try:
        yield
    except (InputError, RunError):
        raise
    except Exception as error:  # struct.error, tokenize.TokenError, KeyError, ...
        raise _not_ours(source, plainly(error)) from error


def _not_ours(source: str, came: str) -> InputError:
    return InputError(
        f"{source}: expected features as `cocoop embed` writes them; got {came}. Embed the pictures anew."
    )
