"""What to do with a run, said at the end of `cocoop train`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cocoop.progress import note

if TYPE_CHECKING:
    from cocoop.data import Dataset


def say_next(
    run: Path,
    source: str,
    dataset: Dataset,
    data_root: Path | None = None,
    class_names: Path | None = None,
    plugins: Sequence[Path] = (),
) -> None:
    """Print, on stderr, commands that a shell takes: on the pictures that the run is of, to be put in others' place.

    Args:
        run: the run folder.
        source: what it learned from, as it was given.
        dataset: what was read there.
        data_root: as it was given.
        class_names: the same.
        plugins: that the run's method needs.
    """
    from cocoop.reports.commands import run_commands
    from cocoop.results import read_record

    pictures = source if Path(source).is_dir() else (dataset.test or dataset.train)[0].path
    told = {"--data-root": data_root, "--class-names": class_names}
    labelled = [source, *(f"{name}={value}" for name, value in told.items() if value is not None)]
    labelled = labelled if read_record(run).results else []  # or else all of them were learned from
    for command in run_commands(run, pictures, labelled, [f"--plugin={path}" for path in plugins]):
        note(f"next: {command}")
