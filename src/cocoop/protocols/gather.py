"""The data sets of a benchmark: read by name, split where they come without a split, checked before any training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cocoop.data import PAPER_DATASETS, Dataset, read_dataset, read_split_json, split_content
from cocoop.data import write_miniature as write_one
from cocoop.errors import InputError
from cocoop.protocols.plan import Trial, place_of
from cocoop.results import write_json


def gather(trials: Iterable[Trial], root: Path | None, splits: Path, keep: bool = True) -> dict[str, Dataset]:
    """Read every data set that the trials name.

    For data without a split one is drawn, written to `splits`/NAME.json and read from there the next time, so that all
    runs share it.

    Args:
        trials: what needs them.
        root: the data root of the papers' data sets.
        splits: the folder of the splits; need not exist.
        keep: whether to write splits.

    Raises:
        InputError: data sets that cannot be read, with all their names; two that would share a place; one to learn on
            without training images; a kept split that does not fit the data.
    """
    trials = list(trials)
    names = list(dict.fromkeys(name for trial in trials for name in trial.data))
    _check_places(names)
    datasets = _read_all(names, root)
    for trial in trials:
        if not datasets[trial.dataset].train:
            raise InputError(
                f"{trial.dataset}: expected training images to learn from; it has test images only. Learn on another "
                "data set and test on it (--targets)."
            )
    return {name: _with_split(dataset, splits / f"{place_of(name)}.json", keep) for name, dataset in datasets.items()}


def write_miniatures(names: Iterable[str], root: Path) -> None:
    """Write the miniatures of the papers' data sets that are not below `root` yet."""
    for name in names:
        if name in PAPER_DATASETS and not (root / PAPER_DATASETS[name].folder).exists():
            write_one(name, root)


def _check_places(names: Sequence[str]) -> None:
    for place, count in Counter(map(place_of, names)).items():
        if count > 1:
            raise InputError(
                f"data sets: expected names that differ in their last part; got {' and '.join(names)}, and {count} "
                f"would share the place {place!r}. Rename one, or give each an --out of its own."
            )


def _read_all(names: Sequence[str], root: Path | None) -> dict[str, Dataset]:
    # Nothing but the papers' data sets is looked for below the data root, or made there.
    readers: dict[str, Callable[[], Dataset]] = {
        name: partial(read_dataset, name, root if name in PAPER_DATASETS else None) for name in names
    }
    datasets, errors = {}, {}
    for name, read in readers.items():
        try:
            datasets[name] = read()
        except InputError as error:
            errors[name] = error
    if not errors:
        return datasets
    first = next(iter(errors.values()))
    if len(errors) == 1:
        raise first
    raise InputError(f"{first} {len(errors)} of {len(names)} data sets cannot be read: {', '.join(errors)}.") from first


def _with_split(dataset: Dataset, path: Path, keep: bool) -> Dataset:
    """The data set with a test split: its own, or that of the file `path`, or one drawn now."""
    split = dataset.with_split()
    if not split.split_made:
        return split
    if not path.is_file():
        if keep:
            write_json(path, split_content((split.train, split.val, split.test), split.image_root))
        return split
    train, val, test = read_split_json(path, split.image_root)
    kept, here = {*train, *val, *test}, {*split.train, *split.val, *split.test}
    if kept != here:
        raise InputError(
            f"{path}: expected a split of the {len(here):,} labelled images of {dataset.name}; got one that lacks "
            f"{len(here - kept):,} of them and has {len(kept - here):,} others. The data changed since: choose another "
            "--out."
        )
    return replace(split, train=train, val=val, test=test)
