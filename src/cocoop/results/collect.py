"""Records of many runs: find them below folders, check that they are whole, and give their figures names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

from cocoop.atomic import is_unfinished
from cocoop.errors import InputError, plainly
from cocoop.results.faults import fault_of_file
from cocoop.results.files import read_json
from cocoop.results.formats import record_from_json
from cocoop.results.reliability import Reliability
from cocoop.results.run_folder import CONFIG, HISTORY, read_config, read_history, read_predictions
from cocoop.results.schema import Epoch, Figures, RunRecord, Together
from cocoop.results.tensors import Array
from cocoop.results.typed import MistypedError

_NAMED = 5  # damaged files in one message
_BULKY = ("picked", "trained_on", "validated_on")  # hashes of images: megabytes over many runs, in no report


@dataclass(frozen=True)
class Record:
    """One run: where it lies, and what its `record.json` says.

    folder: the run folder. content: the record, its lists of training images empty.
    """

    folder: Path
    content: RunRecord

    @property
    def protocol(self) -> str:
        """One of `PROTOCOL_NAMES`."""
        return self.content.protocol

    @property
    def dataset(self) -> str:
        """What it learned from; the run folder's name for a user's own images."""
        return self.content.dataset or self.folder.name

    @property
    def method(self) -> str:
        """The name of the method, such as "cocoop"."""
        return self.content.method

    @property
    def shots(self) -> int:
        """Training images per class; 0 where there was nothing to learn, or all images were taken."""
        return self.content.shots or 0

    @property
    def seed(self) -> int | None:
        """The seed of pick and training; None of an imported prompt that does not say it."""
        return self.content.seed

    @property
    def varied(self) -> tuple[str, ...]:
        """In which words or draw it differs from the data set's and the papers'; nothing of most runs."""
        return tuple(self.content.trial.varied) if self.content.trial else ()

    @property
    def clip(self) -> str:
        """The name of the CLIP."""
        return self.content.clip

    @property
    def clip_fingerprint(self) -> str:
        """What tells CLIPs apart, whatever they are called here and there."""
        return self.content.clip_fingerprint

    @property
    def settings(self) -> dict[str, Any]:
        """The method's settings and those of its training that are not at their defaults.

        Where both have one of the same name, that of the training is called "training ...".
        """
        own, learning = self.content.settings, self.content.learning
        chosen = [f.name for f in fields(learning) if getattr(learning, f.name) != f.default] if learning else []
        numbers = {name: getattr(learning, name) for name in chosen}
        return own | {f"training {name}" if name in own else name: value for name, value in numbers.items()}

    @property
    def results(self) -> dict[str, Figures]:
        """Name of a test -> its figures."""
        return self.content.results

    @property
    def together(self) -> Together | None:
        """Of base-to-new, the figures over both halves' classes at once; None where they were not scored."""
        return self.content.together

    @property
    def reliability(self) -> Reliability | None:
        """Of base-to-new, how well probabilities fit; None where that was not measured."""
        return self.content.reliability

    @property
    def zero_shot(self) -> dict[str, Figures]:
        """The same of zero-shot CLIP on the same images; empty where that is a run of its own."""
        return self.content.zero_shot

    def class_names(self) -> list[str]:
        """The classes that it learned, in the order of their numbers, read now; empty where the folder has no config.

        Raises:
            InputError: the file is damaged.
        """
        return read_config(self.folder).class_names if (self.folder / CONFIG).is_file() else []

    def history(self) -> Sequence[Epoch]:
        """The epochs of its training, read now; empty where nothing was learned, or the folder has no history.

        Raises:
            InputError: the file is damaged.
        """
        return read_history(self.folder) if (self.folder / HISTORY).is_file() else []

    def predictions(self) -> dict[str, Array]:
        """Per test image "TEST/label", "TEST/predicted", "TEST/confidence", read now; empty where none were kept.

        Raises:
            InputError: the file is damaged.
        """
        return read_predictions(self.folder)


def read_records(folders: Iterable[str | PathLike[str]]) -> list[Record]:
    """Read every `record.json` in `folders` and below them, at any depth, in the order of their paths.

    Unfinished runs, in hidden folders ".*.tmp", are passed over, and a run found twice counts once.

    Raises:
        InputError: no such folder; no record at all; records that are damaged or of another version: all are counted,
            and the first ones named.
    """
    places = [Path(folder) for folder in folders]
    folders_of_runs = {path.resolve(): path for place in places for path in _run_folders(place)}
    if not folders_of_runs:
        raise InputError(
            f"{', '.join(map(str, places)) or 'runs'}: expected run folders, or folders that hold some; got no "
            "record.json. Make runs with `cocoop benchmark` or `cocoop train`."
        )
    read = {folder: _read(folder) for _, folder in sorted(folders_of_runs.items())}
    faults = {folder / "record.json": fault for folder, fault in read.items() if isinstance(fault, str)}
    if faults:
        raise _damaged(str(places[0]) if len(places) == 1 else "runs", "records", faults, len(read))
    return [record for record in read.values() if isinstance(record, Record)]


def check_predictions(records: Iterable[Record]) -> None:
    """Read the predictions of records once, so that all damaged ones are named together.

    Raises:
        InputError: the predictions beside at least one record are damaged.
    """
    folders = dict.fromkeys(record.folder for record in records)
    faults = {}
    for folder in folders:
        try:
            read_predictions(folder)
        except InputError:
            faults[folder / "predictions.safetensors"] = "it is cut off, or cannot be read"
    if faults:
        raise _damaged("runs", "predictions", faults, len(folders))


def _run_folders(folder: Path) -> Iterator[Path]:
    if not os.path.isdir(folder):
        raise InputError(
            f"{folder}: expected a run folder, or a folder that holds some; got "
            f"{'a file' if os.path.exists(folder) else 'no such folder'}. Check the path."
        )
    for place, below, files in os.walk(folder, onerror=_refuse):
        below[:] = [name for name in below if not is_unfinished(name)]
        if "record.json" in files and os.path.isfile(os.path.join(place, "record.json")):  # a pipe would be waited for
            below.clear()  # a run folder holds no others
            yield Path(place)


def _refuse(error: OSError) -> None:
    """No run is left out of a table in silence."""
    raise InputError(
        f"{error.filename}: expected a folder that can be listed; got {plainly(error)}. Check its rights, or give the "
        "run folders by name."
    ) from error


def _read(folder: Path) -> Record | str:
    """The record of a run folder, or what is wrong with it."""
    try:
        content = read_json(folder / "record.json")
        if isinstance(content, dict):
            content |= {name: [] for name in _BULKY}
        return Record(folder, record_from_json(content))
    except (InputError, MistypedError) as error:
        return fault_of_file(error.__cause__ or error)


def _damaged(where: str, what: str, faults: Mapping[Path, str], total: int) -> InputError:
    """One error for all damaged files, the first ones by name."""
    count = len(faults)
    named = [f"{path}: {fault}" for path, fault in list(faults.items())[:_NAMED]]
    more = [f"and {count - _NAMED:,} more"] if count > _NAMED else []
    these = "this run folder" if count == 1 else "these run folders"
    others = ", or give the others by name" if count < total else ""
    return InputError(
        f"{where}: expected {what} as cocoop writes them; {count:,} of {total:,} {'is' if count == 1 else 'are'} "
        f"damaged: {'; '.join([*named, *more])}. Remove {these} and start the same benchmark again{others}."
    )
