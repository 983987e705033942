"""Runs of three digits, pictures of them, and models that were exported of a run."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from exported_models import THOUSAND, Prompt
from own_photos import write_photos

from cocoop import PromptClassifier
from cocoop.classifier import Classifier
from cocoop.serving import export, load_learned


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


@pytest.fixture(scope="session")
def coop(tmp_path_factory) -> Prompt:
    """A CoOp of three digits that has learned, and pictures of them."""
    root = tmp_path_factory.mktemp("coop")
    paths = sorted(map(str, write_photos(root / "photos", 12).glob("*/*")))
    classifier = PromptClassifier("coop", shots=2, epochs=2, lr=0.1, augment=False, device="cpu", seed=3)
    classifier.fit(paths, [Path(path).parent.name for path in paths])
    return Prompt(classifier.save(root / "run"), classifier, paths)


@pytest.fixture(scope="session")
def exported(coop, tmp_path_factory):
    """`exported("onnx")` -> the folder, made once; with 1,000 classes instead of three, or from image features on."""
    root, made = tmp_path_factory.mktemp("exported"), {}

    def folder(to: str, classes: int = 3, features: bool = False) -> Path:
        key = f"{to}-{classes}-{features}"
        if key not in made:
            learned = load_learned(coop.run, None if classes == 3 else THOUSAND)
            made[key] = export(learned, to, root / key, features).folder
        return made[key]

    return folder
