"""The folder a run leaves: config, learned tensors, training history, record and model card. No pickles."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cocoop.atomic import renamed_to, whole_folder, write_whole
from cocoop.errors import InputError, RunError
from cocoop.results.faults import fault_of_file
from cocoop.results.files import read_json, read_jsonl, write_json, write_jsonl, write_text
from cocoop.results.formats import config_from_json, epoch_from_json, record_from_json
from cocoop.results.places import check_free, real_place
from cocoop.results.schema import Epoch, RunConfig, RunRecord
from cocoop.results.tensors import Array, read_tensors, write_tensors
from cocoop.results.typed import MistypedError

T = TypeVar("T")

CONFIG, _TENSORS, HISTORY, _PREDICTIONS, _SAMPLE, _RECORD, CARD = (
    "config.json",
    "prompt.safetensors",
    "metrics.jsonl",
    "predictions.safetensors",
    "sample.safetensors",
    "record.json",
    "README.md",
)

REQUIRED = (CONFIG, _TENSORS, HISTORY, _RECORD)
"""The files that every run folder has."""
OPTIONAL = (_PREDICTIONS, _SAMPLE, CARD)
"""Those that it may have beside them, and pictures."""


class Run(NamedTuple):
    """What a run folder holds.

    config, record: declared in `schema.py`. tensors: what the method learned, by state-dict name.
    history: one `Epoch` per epoch of the training, if there was one.
    predictions: per test image, "TEST/label" and "TEST/predicted" (class numbers, int32 [N]) and "TEST/confidence"
    (the top probability, float32 [N]); of base-to-new also as the test "together", over both halves' classes and with
    base images first, with "together/base_score" (the largest probability of a base class); empty where no protocol
    scored the run.
    sample: "image_features" (float16 [n, E]) of some of the training images, on which tangent prompts are verified;
    empty where prompts are not conditional, and in older runs.
    """

    config: RunConfig
    tensors: dict[str, Array]
    history: Sequence[Epoch]
    record: RunRecord
    predictions: dict[str, Array]
    sample: dict[str, Array]


def write_run(folder: str | PathLike[str], run: Run, card: str, pictures: Mapping[str, bytes] | None = None) -> Path:
    """Write a run folder all at once: it appears complete, `record.json` included, and can be read, or not at all.

    Args:
        folder: must not exist yet, or be empty.
        run: what to write.
        card: text of the folder's README.md.
        pictures: file name -> content, as `run_pictures` has them.

    Raises:
        InputError: the folder is taken. RunError: the disk refuses, a figure is not finite, or a value is not of its
            declared type.
    """
    check_free(folder)
    with whole_folder(real_place(folder), "a run folder") as made:
        write_json(made / CONFIG, asdict(run.config))
        write_tensors(made / _TENSORS, run.tensors)
        if run.predictions:
            write_tensors(made / _PREDICTIONS, run.predictions)
        if run.sample:
            write_tensors(made / _SAMPLE, run.sample)
        write_jsonl(made / HISTORY, map(asdict, run.history))
        write_text(made / CARD, card)
        for name, content in (pictures or {}).items():
            write_whole(made / name, content, "a picture")
        write_json(made / _RECORD, asdict(run.record))
        _check_readable(folder, made)
    return Path(folder)


def rewrite_record(folder: str | PathLike[str], record: RunRecord, card: str) -> None:
    """Put another record and README.md into a run folder, when both are written; the record last, so that it holds.

    `RunError` where the disk refuses, or a figure is not finite.
    """
    with (
        renamed_to(Path(folder) / _RECORD, "a record") as new_record,
        renamed_to(Path(folder) / CARD, "a model card") as new_card,
    ):
        write_json(new_record, asdict(record))
        write_text(new_card, card)


def read_run(folder: str | PathLike[str]) -> Run:
    """Read a run folder back.

    Raises:
        InputError: no such folder, or a file is missing, damaged or of another version.
    """
    path = Path(folder)
    if not os.path.isdir(path):  # which, unlike that of `Path`, answers for names of any length
        there = "a file" if os.path.exists(path) else "no such folder"
        raise InputError(f"{path}: expected a run folder, as `cocoop train --out` leaves it; got {there}.")
    missing = [name for name in REQUIRED if not (path / name).is_file()]
    if missing:
        raise InputError(
            f"{path}: expected a finished run folder, as `cocoop train --out` leaves it; {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing. Give another folder, or train again."
        )
    return Run(
        read_config(path),
        read_tensors(path / _TENSORS),
        read_history(path),
        read_record(path),
        read_predictions(path),
        _read_if_there(path / _SAMPLE),
    )


def read_config(folder: str | PathLike[str]) -> RunConfig:
    """Read `Run.config` alone. `InputError` where the file is missing, damaged or of another version."""
    return _read_as(config_from_json, Path(folder) / CONFIG)


def read_record(folder: str | PathLike[str]) -> RunRecord:
    """Read `Run.record` alone; errors as in `read_config`."""
    return _read_as(record_from_json, Path(folder) / _RECORD)


def read_history(folder: str | PathLike[str]) -> Sequence[Epoch]:
    """Read `Run.history` alone; errors as in `read_config`."""
    return _read_as(_epochs_from_json, Path(folder) / HISTORY, read_jsonl)


def read_predictions(folder: str | PathLike[str]) -> dict[str, Array]:
    """Read `Run.predictions` alone. `InputError` where the file is damaged."""
    return _read_if_there(Path(folder) / _PREDICTIONS)


def _read_if_there(path: Path) -> dict[str, Array]:
    return read_tensors(path) if path.is_file() else {}


def _check_readable(folder: str | PathLike[str], made: Path) -> None:
    """Raise `RunError` unless what was written for `folder` can be read back."""
    try:
        read_run(made)
    except InputError as error:
        raise RunError(
            f"{folder}: expected a run that can be read back; {fault_of_file(error.__cause__ or error)}. Give numbers, "
            "texts and lists of the declared types."
        ) from error


def _epochs_from_json(lines: Sequence[Any]) -> list[Epoch]:
    return [epoch_from_json(line) for line in lines]


def _read_as(convert: Callable[[Any], T], path: Path, read: Callable[[Path], Any] = read_json) -> T:
    try:
        return convert(read(path))
    except MistypedError as error:
        raise InputError(f"{path}: expected a run's file as cocoop writes it; {error}. Train again.") from error
