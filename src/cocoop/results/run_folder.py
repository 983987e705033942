"""The folder a run leaves: config, learned tensors, training history, record and model card. No pickles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from cocoop.errors import InputError, RunError
from cocoop.results.files import read_json, read_jsonl, write_bytes, write_json, write_jsonl, write_text
from cocoop.results.places import check_free, real_place, unfinished

Array = NDArray[Any]

FORMAT = 1
"""Version of the folder's layout, stored in `config.json`."""

_CONFIG, _TENSORS, _HISTORY, _PREDICTIONS, _RECORD, _CARD = (
    "config.json",
    "prompt.safetensors",
    "metrics.jsonl",
    "predictions.safetensors",
    "record.json",
    "README.md",
)


class Run(NamedTuple):
    """What a run folder holds.

    config: how to build the method again. tensors: what it learned, by state-dict name.
    history: one dict per epoch. record: final figures, unrounded, and where they were made.
    predictions: per test image, "TEST/label" and "TEST/predicted" (class numbers, int32 [N]) and "TEST/confidence"
    (the top probability, float32 [N]); empty where no protocol scored the run.
    """

    config: dict[str, Any]
    tensors: dict[str, Array]
    history: Sequence[Mapping[str, Any]]
    record: dict[str, Any]
    predictions: dict[str, Array]


def write_run(folder: str | PathLike[str], run: Run, card: str) -> Path:
    """Write a run folder all at once: it appears complete, `record.json` included, or not at all.

    Args:
        folder: must not exist yet, or be empty.
        run: what to write.
        card: text of the folder's README.md.

    Raises:
        InputError: the folder is taken. RunError: the disk refuses, or a figure is not finite.
    """
    check_free(folder)
    path = real_place(folder)
    temporary = unfinished(path)
    try:
        temporary.mkdir(parents=True)
        write_json(temporary / _CONFIG, {"format": FORMAT, **run.config})
        write_tensors(temporary / _TENSORS, run.tensors)
        if run.predictions:
            write_tensors(temporary / _PREDICTIONS, run.predictions)
        write_jsonl(temporary / _HISTORY, run.history)
        write_text(temporary / _CARD, card)
        write_json(temporary / _RECORD, run.record)
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(
            f"{folder}: expected to write a run folder; got {error}. Check rights and free space."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Path(folder)


def clear_leftovers(folder: str | PathLike[str]) -> None:
    """Remove what calls of `write_run` for `folder` left beside it when their process was killed.

    Only where no process can be writing this run. One that is about to die may be: so each leftover gets another name
    first, under which it cannot be moved into place while half of it is gone.
    """
    path = Path(folder)
    for leftover in [*path.parent.glob(f".{path.name}.*.old"), *path.parent.glob(f".{path.name}.*.tmp")]:
        removed = leftover.with_suffix(".old")
        with suppress(OSError):  # what cannot be removed stays hidden
            os.replace(leftover, removed)
            shutil.rmtree(removed)


def read_run(folder: str | PathLike[str]) -> Run:
    """Read a run folder back.

    Raises:
        InputError: no such folder, a file is missing or damaged, or the format is from another version.
    """
    path = Path(folder)
    if not path.is_dir():
        found = "a file" if path.exists() else "no such folder"
        raise InputError(f"{path}: expected a run folder, as `cocoop train --out` leaves it; got {found}.")
    missing = [name for name in (_CONFIG, _TENSORS, _HISTORY, _RECORD) if not (path / name).is_file()]
    if missing:
        raise InputError(
            f"{path}: expected a finished run folder, as `cocoop train --out` leaves it; {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing. Give another folder, or train again."
        )
    config = _read_object(path / _CONFIG)
    if config.get("format") != FORMAT:
        raise InputError(
            f"{path / _CONFIG}: expected a run of format {FORMAT}; got {config.get('format')!r}. Use the cocoop "
            "version that wrote it."
        )
    return Run(
        config,
        _read_tensors(path / _TENSORS),
        read_jsonl(path / _HISTORY),
        _read_object(path / _RECORD),
        read_predictions(path),
    )


def read_predictions(folder: str | PathLike[str]) -> dict[str, Array]:
    """Read `Run.predictions` alone. `InputError` where the file is damaged."""
    path = Path(folder) / _PREDICTIONS
    return _read_tensors(path) if path.is_file() else {}


def write_tensors(path: str | PathLike[str], tensors: Mapping[str, Array]) -> None:
    """Write named arrays as a safetensors file, at once. `RunError` where the disk refuses."""
    # Not `save_file`, whose file nobody but the owner may read.
    write_bytes(path, save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}))


def _read_tensors(path: Path) -> dict[str, Array]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: expected a safetensors file; got {error}. Train again.") from error


def _read_object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object; got {type(content).__name__}. Train again.")
    return content
