"""Check a data set on this disk: what is missing or miscounted."""

import os
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from cocoop.data.dataset import Dataset
from cocoop.data.examples import Example
from cocoop.data.papers.guide import GUIDES, Part
from cocoop.data.papers.read import read_paper_dataset
from cocoop.data.papers.table import PAPER_DATASETS, PaperDataset
from cocoop.errors import InputError, expect_choice

SHOWN = 3
"""How many missing images a finding names."""


class Finding(NamedTuple):
    """One thing that is not as expected.

    what: the kind of thing. where: a path on this disk. expected, got: what should be there, and what is. note: whether
    it is only worth knowing, and not wrong.
    """

    what: str
    where: Path
    expected: str
    got: str
    note: bool = False


def check_dataset(name: str, root: str | PathLike[str]) -> list[Finding]:
    """Compare one of the fifteen data sets below the data root `root` with what the papers used.

    Looked for: its folder, the split file, the annotations (needed where there is no split file), the folders of
    images, the numbers of classes and of images in each split, and every image that the split lists. Images are not
    opened; one listing per folder tells which are there, so 100,000 take a few seconds.

    Returns:
        What is not as expected; [] for a whole data set. A split file that is absent while the annotations are there is
        a note. Where the layout is wrong, nothing is counted.

    Raises:
        InputError: an unknown name. A bad disk never raises.
    """
    expect_choice("data set", name, PAPER_DATASETS)
    row = PAPER_DATASETS[name]
    folder = Path(root) / row.folder
    if not os.path.isdir(folder):
        return [Finding("folder", folder, f"the folder of {row.title}", "no such folder")]
    findings = list(_check_parts(name, row, folder))
    if not all(finding.note for finding in findings):
        return findings
    try:
        dataset = read_paper_dataset(name, root)
    except (InputError, OSError) as error:
        # The reader ends its message with a hint to this check; its cause says the same without.
        return [*findings, Finding("contents", folder, "what its reader can read", str(error.__cause__ or error))]
    return [*findings, *_check_counts(row, folder, dataset), *_check_images(folder, dataset)]


def _check_parts(name: str, row: PaperDataset, folder: Path) -> Iterator[Finding]:
    has_split = row.split_file is not None and os.path.isfile(folder / row.split_file)
    missing = [part for part in GUIDES[name].parts if not (part.raw and has_split) and not _is_there(folder, part)]
    if row.split_file is not None and not has_split:
        other = not any(part.raw for part in missing)
        state = "none; a split can be drawn from the raw data" if other else "none"
        yield Finding("split file", folder / row.split_file, "the papers' split", state, note=other)
    for part in missing:
        kind = "folder" if part.path.endswith("/") else "file"
        yield Finding(kind, folder / part.path, part.holds, f"no such {kind}")


def _is_there(folder: Path, part: Part) -> bool:
    return (os.path.isdir if part.path.endswith("/") else os.path.isfile)(folder / part.path)


def _check_counts(row: PaperDataset, folder: Path, dataset: Dataset) -> Iterator[Finding]:
    counts = {"classes": len(dataset.class_names)}
    counts |= {f"{part} images": len(getattr(dataset, part)) for part in row.sizes._fields}
    expected = {"classes": row.classes}
    expected |= {f"{part} images": size for part, size in row.sizes._asdict().items()}
    for what, number in expected.items():
        if counts[what] != number:
            yield Finding(f"number of {what}", folder, f"{number:,}", f"{counts[what]:,}")


def _check_images(folder: Path, dataset: Dataset) -> Iterator[Finding]:
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    if dataset.val is dataset.test:  # ImageNet
        del splits["val"]
    for part, examples in splits.items():
        missing = _not_on_disk(examples)
        if missing:
            shown = ", ".join(os.path.relpath(path, folder) for path in missing[:SHOWN])
            more = ", ..." if len(missing) > SHOWN else ""
            expected = f"all {len(examples):,} that the {part} split lists"
            yield Finding(f"{part} images", folder, expected, f"{len(missing):,} missing: {shown}{more}")


def _not_on_disk(examples: Iterable[Example]) -> list[str]:
    """Paths of the images that are not there, in the order of `examples`; one listing per folder, no look at files."""
    paths = [os.path.split(example.path) for example in examples]
    there = {folder: _files(folder) for folder in {folder for folder, _ in paths}}
    return [os.path.join(folder, name) for folder, name in paths if name not in there[folder]]


def _files(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()
