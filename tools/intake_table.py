"""What becomes of the pictures that people have: `python tools/intake_table.py` prints docs/intake.md.

Each row of `tests/intake_cases.py` is made in a folder and read, and what was read, noted or refused is written down;
so is what the model sees of each row of `tests/pixel_cases.py`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cocoop.data import open_image, read_dataset
from cocoop.errors import CocoopError

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
intake, pixels = import_module("intake_cases"), import_module("pixel_cases")

INTRODUCTION = """# What becomes of your pictures

Nothing is left out silently: what is not read is counted and named on stderr, or refused with what to do. Both tables
are printed by `python tools/intake_table.py`, which makes every folder and every picture in them and reads it; tests
hold each row to what it says. How to lay out images is in [datasets.md](datasets.md#your-own-images).
"""


def main() -> None:
    """Print the page."""
    print(INTRODUCTION)
    print("## Folders, tables and lists\n")
    print("| | what lies there | what happens |\n|---|---|---|")
    for name, case in intake.CASES.items():
        print(f"| {name} | {_lies_there(case)} | {_happens(case)} |")
    print("\n## Pictures\n\nGrey values and colours are compared, 0 to 255, with what they stand for.\n")
    print("| | file | largest difference |\n|---|---|---|")
    for name, file, image, expected, _ in pixels.MODES:
        with tempfile.TemporaryDirectory() as folder:
            pixels.save(image, Path(folder) / file)
            seen = np.asarray(open_image(Path(folder) / file), dtype=float)
        wanted = expected[..., None] if np.ndim(expected) == 2 else expected
        print(f"| {name} | {Path(file).suffix} | {np.abs(seen - wanted).max():.2g} |")


def _lies_there(case: Any) -> str:
    names = [*case.pictures.split(), *case.others]
    return ", ".join(f"`{name}`" for name in names[:5]) + (", ..." if len(names) > 5 else "")


def _happens(case: Any) -> str:
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(Path(folder) / "data")
        os.chdir(Path(folder) / "data")
        try:
            intake.make(case)
            dataset = read_dataset(case.source, class_names=case.class_names)
            told = [intake.summary(dataset), *(f"note: {note}" for note in dataset.notes)]
        except CocoopError as error:
            told = [f"refused: {error}"]
        finally:
            os.chdir(before)
        return (
            "<br>".join(told).replace(f"{os.path.realpath(folder)}/", "").replace(f"{folder}/", "").replace("|", "\\|")
        )


if __name__ == "__main__":
    main()
