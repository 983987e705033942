"""Records of many runs: find them below folders, check that they are whole, and give their figures names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from cocoop.errors import InputError
from cocoop.results.files import read_json
from cocoop.results.run_folder import Array, read_predictions

PROTOCOL_NAMES = ("base-to-new", "cross-dataset", "domain-generalization", "few-shot", "own-images")
"""The values of a record's "protocol", in the order of reports."""

RATES = ("accuracy", "macro_f1", "mean_per_class_accuracy", "expected_calibration_error")
"""The figures of a test that are percent."""

_NEEDED = {
    "protocol": str,
    "method": str,
    "clip": str,
    "clip_fingerprint": str,
    "seed": int,
    "settings": dict,
    "results": dict,
}
_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "dataset": str,
    "shots": int,
    "zero_shot": dict,
    "environment": dict,
    "training_images": int,
    "trainable_parameters": int,
    "seconds": (int, float),
    "peak_memory_mb": (int, float),
}
_BULKY = ("picked", "trained_on")  # a hash per training image: megabytes over many runs, and in no report


@dataclass(frozen=True)
class Record:
    """One run: where it lies, and what its `record.json` says.

    folder: the run folder. content: the record, without the lists of training images.
    """

    folder: Path
    content: Mapping[str, Any]

    @property
    def protocol(self) -> str:
        """One of `PROTOCOL_NAMES`."""
        return str(self.content["protocol"])

    @property
    def dataset(self) -> str:
        """What it learned from; the run folder's name for a user's own images."""
        return str(self.content.get("dataset") or self.folder.name)

    @property
    def method(self) -> str:
        """The name of the method, such as "cocoop"."""
        return str(self.content["method"])

    @property
    def shots(self) -> int:
        """Training images per class; 0 where there was nothing to learn."""
        return int(self.content.get("shots") or 0)

    @property
    def seed(self) -> int:
        """The seed of pick and training."""
        return int(self.content["seed"])

    @property
    def clip(self) -> str:
        """The name of the CLIP."""
        return str(self.content["clip"])

    @property
    def clip_fingerprint(self) -> str:
        """What tells CLIPs apart, whatever they are called here and there."""
        return str(self.content["clip_fingerprint"])

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters of method and training."""
        return dict(self.content["settings"])

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """Name of a test -> its figures; rates in percent."""
        return dict(self.content["results"])

    @property
    def zero_shot(self) -> dict[str, dict[str, Any]]:
        """The same of zero-shot CLIP on the same images; empty where that is a run of its own."""
        return dict(self.content.get("zero_shot") or {})

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
        InputError: no such folder; no record at all; a record that is damaged or of another version, by name.
    """
    places = [Path(folder) for folder in folders]
    found = {path.resolve(): path for place in places for path in _run_folders(place)}
    if not found:
        raise InputError(
            f"{', '.join(map(str, places)) or 'runs'}: expected run folders, or folders that hold some; found no "
            "record.json. Make runs with `cocoop benchmark` or `cocoop train`."
        )
    return [_read(found[path]) for path in sorted(found)]


def _run_folders(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected a run folder, or a folder that holds some; got "
            f"{'a file' if folder.exists() else 'no such folder'}. Check the path."
        )
    for place, below, files in os.walk(folder):
        below[:] = [name for name in below if not (name.startswith(".") and name.endswith(".tmp"))]
        if "record.json" in files:
            below.clear()  # a run folder holds no others
            yield Path(place)


def _read(folder: Path) -> Record:
    path = folder / "record.json"
    content = read_json(path)
    fault = _fault(content)
    if fault is not None:
        raise InputError(f"{path}: expected a record as cocoop writes it; {fault}. Remove that run, or make it again.")
    return Record(folder, {name: value for name, value in content.items() if name not in _BULKY})


def _fault(content: Any) -> str | None:
    """What is wrong with a record, None if nothing is."""
    if not isinstance(content, dict):
        return f"it holds a {type(content).__name__}, not an object"
    if content.get("protocol") is None and not content.get("results"):
        content["protocol"] = "own-images"  # saved from Python without any test: a run without figures
    for name, kind in _NEEDED.items():
        if not isinstance(content.get(name), kind):
            return f"its {name!r} is {content.get(name)!r}"
    if content["protocol"] not in PROTOCOL_NAMES:
        return f"its 'protocol' is {content['protocol']!r}, not one of {', '.join(PROTOCOL_NAMES)}"
    for name, allowed in _OPTIONAL.items():
        if content.get(name) is not None and not isinstance(content[name], allowed):
            return f"its {name!r} is {content[name]!r}"
    tests = [*content["results"].items(), *(content.get("zero_shot") or {}).items()]
    return next(filter(None, (_fault_of_test(name, figures) for name, figures in tests)), None)


def _fault_of_test(name: str, figures: Any) -> str | None:
    if not isinstance(figures, dict):
        return f"its results of {name!r} are {figures!r}, not an object"
    for rate in RATES:
        value = figures.get(rate)
        if not isinstance(value, int | float) or not 0 <= value <= 100 + 1e-9:  # averages round
            return f"in its results of {name!r}, {rate!r} is {value!r}, not percent"
    classes, mistakes = figures.get("per_class_accuracy"), figures.get("mistakes", [])
    if not isinstance(classes, dict) or not all(isinstance(value, int | float) for value in classes.values()):
        return f"in its results of {name!r}, 'per_class_accuracy' is not percent by class"
    if not isinstance(mistakes, list) or not all(map(_is_mistake, mistakes)):
        return f"in its results of {name!r}, 'mistakes' are not of images, labels, predictions and confidences"
    count = figures.get("n")
    return None if count is None or isinstance(count, int) else f"in its results of {name!r}, 'n' is {count!r}"


def _is_mistake(mistake: Any) -> bool:
    return (
        isinstance(mistake, dict)
        and all(isinstance(mistake.get(name), str) for name in ("image", "label", "predicted"))
        and isinstance(mistake.get("confidence"), int | float)
    )
