"""How often `cocoop train` opens each image file, as Python's audit events count it."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from own_photos import write_photos

from cocoop.data import few_shot_indices, read_dataset

COUNTING = """
import collections, json, os, sys
openings = collections.Counter()
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)) and str(arguments[0]).endswith(".png"):
        openings[str(arguments[0])] += 1
sys.addaudithook(note)
from cocoop.cli import main
try:
    main()
finally:
    json.dump(openings, open("openings.json", "w"))
"""


def openings(folder: Path, *options: str) -> dict[Path, int]:
    command = [sys.executable, "-c", COUNTING, "train", str(folder / "photos"), *options]
    subprocess.run([*command, "--shots", "2"], cwd=folder, check=True, capture_output=True)
    return {Path(path): count for path, count in json.loads((folder / "openings.json").read_text()).items()}


@pytest.mark.parametrize(
    ("options", "of_learned"),
    [
        (["--augment", "--epochs", "3"], 1),
        (["--augment", "--epochs", "20", "--batch-size", "6"], 2),  # views of sixteen epochs at a time
        (["--no-augment", "--epochs", "2"], 1),
        (["--no-augment", "--epochs", "2", "--feature-cache", "kept"], 1),
        (["--augment", "--epochs", "2", "--feature-cache", "kept"], 1),
        (["--method", "zero-shot"], 1),
    ],
)
def test_each_image_is_opened_once(tmp_path, options, of_learned):
    root = write_photos(tmp_path / "photos", 8)
    examples = read_dataset(root).train
    picked = {examples[number].path for number in few_shot_indices([e.label for e in examples], 2, 1)}
    expected = {example.path: of_learned if example.path in picked else 1 for example in examples}
    for name in ("one", "two"):  # the second time with what the first has kept
        assert openings(tmp_path, "--out", name, *options) == expected


def test_test_images_are_opened_once_even_if_they_were_learned_from(tmp_path):
    for split in ("train", "test"):
        write_photos(tmp_path / "photos" / split, 4)
    counts = openings(tmp_path, "--out", "run", "--epochs", "2")
    assert Counter(counts.values()) == {1: len(counts)}
    test = [path for path in counts if path.parts[-3] == "test"]
    assert len(test) == sum(1 for _ in (tmp_path / "photos" / "test").rglob("*.png"))
