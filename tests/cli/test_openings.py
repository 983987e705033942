"""How often `cocoop train` opens each image file, as Python's audit events count it."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from own_photos import write_photos

from cocoop.data import few_shot_indices, read_dataset


class Openings:
    """Counts the openings of PNG files while a command runs; an audit hook can never be taken out again."""

    def __init__(self) -> None:
        self.counts: Counter[Path] | None = None
        sys.addaudithook(self._note)

    def of(self, cocoop, *arguments: str) -> dict[Path, int]:
        self.counts = counts = Counter()
        ran = cocoop(*arguments)
        self.counts = None
        assert ran.code == 0, ran.err
        return dict(counts)

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.counts is not None and event == "open" and isinstance(arguments[0], str | os.PathLike):
            path = Path(arguments[0])
            if path.suffix == ".png" and "photos" in path.parts:
                self.counts[path] += 1


@pytest.fixture(scope="module")
def openings():
    return Openings()


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
def test_each_image_is_opened_once(cocoop, openings, tmp_path, options, of_learned):
    root = write_photos(tmp_path / "photos", 8)
    examples = read_dataset(root).train
    picked = {examples[number].path for number in few_shot_indices([e.label for e in examples], 2, 1)}
    expected = {example.path: of_learned if example.path in picked else 1 for example in examples}
    for name in ("one", "two") if "kept" in options else ("one",):  # the second time with what the first has kept
        assert openings.of(cocoop, "train", str(root), "--shots", "2", "--out", name, *options) == expected


def test_test_images_are_opened_once_even_if_they_were_learned_from(cocoop, openings, tmp_path):
    for split in ("train", "test"):
        write_photos(tmp_path / "photos" / split, 4)
    root = tmp_path / "photos"
    counts = openings.of(cocoop, "train", str(root), "--shots", "2", "--out", "run", "--epochs", "2")
    assert Counter(counts.values()) == {1: len(counts)}
    test = [path for path in counts if path.parts[-3] == "test"]
    assert len(test) == sum(1 for _ in (root / "test").rglob("*.png"))
