"""A run of three digits, and pictures of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from own_photos import write_photos

from cocoop import PromptClassifier
from cocoop.classifier import Classifier


class Learned(NamedTuple):
    classifier: Classifier
    run: Path
    paths: list[str]


@pytest.fixture(scope="session")
def learned(tmp_path_factory) -> Learned:
    root = tmp_path_factory.mktemp("serving")
    paths = sorted(map(str, write_photos(root / "photos", 12).glob("*/*")))
    classifier = PromptClassifier(shots=2, epochs=1, device="cpu", seed=3)
    classifier.fit(paths, [Path(path).parent.name for path in paths])
    return Learned(classifier, classifier.save(root / "run"), paths)
