"""The folder a run leaves: config, learned tensors, training history, record and model card. No pickles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from cocoop.atomic import whole_folder, write_whole
from cocoop.errors import InputError
from cocoop.results.files import read_json, read_jsonl, write_json, write_jsonl, write_text
from cocoop.results.formats import config_from_json, record_from_json
from cocoop.results.places import check_free, real_place
from cocoop.results.schema import RunConfig, RunRecord
from cocoop.results.typed import MistypedError

Array = NDArray[Any]
T = TypeVar("T")

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

    config, record: declared in `schema.py`. tensors: what the method learned, by state-dict name.
    history: one dict per epoch.
    predictions: per test image, "TEST/label" and "TEST/predicted" (class numbers, int32 [N]) and "TEST/confidence"
    (the top probability, float32 [N]); empty where no protocol scored the run.
    """

    config: RunConfig
    tensors: dict[str, Array]
    history: Sequence[Mapping[str, Any]]
    record: RunRecord
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
    with whole_folder(real_place(folder), "a run folder") as made:
        write_json(made / _CONFIG, asdict(run.config))
        write_tensors(made / _TENSORS, run.tensors)
        if run.predictions:
            write_tensors(made / _PREDICTIONS, run.predictions)
        write_jsonl(made / _HISTORY, run.history)
        write_text(made / _CARD, card)
        write_json(made / _RECORD, asdict(run.record))
    return Path(folder)


def read_run(folder: str | PathLike[str]) -> Run:
    """Read a run folder back.

    Raises:
        InputError: no such folder, or a file is missing, damaged or of another version.
    """
    path = Path(folder)
    if not path.is_dir():
        there = "a file" if path.exists() else "no such folder"
        raise InputError(f"{path}: expected a run folder, as `cocoop train --out` leaves it; got {there}.")
    missing = [name for name in (_CONFIG, _TENSORS, _HISTORY, _RECORD) if not (path / name).is_file()]
    if missing:
        raise InputError(
            f"{path}: expected a finished run folder, as `cocoop train --out` leaves it; {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing. Give another folder, or train again."
        )
    return Run(
        read_config(path),
        _read_tensors(path / _TENSORS),
        read_jsonl(path / _HISTORY),
        read_record(path),
        read_predictions(path),
    )


def read_config(folder: str | PathLike[str]) -> RunConfig:
    """Read `Run.config` alone. `InputError` where the file is missing, damaged or of another version."""
    return _read_as(config_from_json, Path(folder) / _CONFIG)


def read_record(folder: str | PathLike[str]) -> RunRecord:
    """Read `Run.record` alone; errors as in `read_config`."""
    return _read_as(record_from_json, Path(folder) / _RECORD)


def read_predictions(folder: str | PathLike[str]) -> dict[str, Array]:
    """Read `Run.predictions` alone. `InputError` where the file is damaged."""
    path = Path(folder) / _PREDICTIONS
    return _read_tensors(path) if path.is_file() else {}


def write_tensors(path: str | PathLike[str], tensors: Mapping[str, Array]) -> None:
    """Write named arrays as a safetensors file, at once. `RunError` where the disk refuses."""
    # Not `save_file`, whose file only the owner may read.
    content = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    write_whole(Path(path), content, "tensors")


def _read_tensors(path: Path) -> dict[str, Array]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: expected a safetensors file; got {error}. Train again.") from error


def _read_as(from_json: Callable[[Any], T], path: Path) -> T:
    try:
        return from_json(read_json(path))
    except MistypedError as error:
        raise InputError(f"{path}: expected a run's file as cocoop writes it; {error}. Train again.") from error
