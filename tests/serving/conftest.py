"""Runs of three digits, pictures of them, and models that were exported of a run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from exported_models import THOUSAND, Prompt
from filelock import FileLock
from own_photos import write_photos
from safetensors.torch import load_file, save_file

from cocoop import PromptClassifier
from cocoop.classifier import Classifier
from cocoop.clip.sources.load import BUNDLED
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
def shared(tmp_path_factory) -> Path:
    """A folder of this run of the tests that all its processes have: an export takes ten seconds."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def shallow(shared) -> Path:
    """The bundled CLIP with the first two of its four image layers: exporters take seconds for each."""
    with FileLock(shared / "clip.lock"):
        return _shallow(shared / "clip")


def _shallow(folder: Path) -> Path:
    if (folder / "model.safetensors").exists():
        return folder
    shutil.copytree(BUNDLED["tiny"], folder, ignore=lambda *_: ["model.safetensors"])
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    deeper = tuple(f"vision_model.encoder.layers.{number}." for number in (2, 3))
    tensors = load_file(BUNDLED["tiny"] / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(deeper)}
    assert len(kept) == len(tensors) - 2 * 16
    save_file(kept, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def coop(shallow, tmp_path_factory) -> Prompt:
    """A CoOp of three digits that has learned, and pictures of them."""
    root = tmp_path_factory.mktemp("coop")
    paths = sorted(map(str, write_photos(root / "photos", 12).glob("*/*")))
    classifier = PromptClassifier("coop", shallow, shots=2, epochs=2, lr=0.1, augment=False, device="cpu", seed=3)
    classifier.fit(paths, [Path(path).parent.name for path in paths])
    return Prompt(classifier.save(root / "run"), classifier, paths)


@pytest.fixture(scope="session")
def exported(coop, shared):
    """`exported("onnx")` -> the folder, made once; with 1,000 classes instead of three, or from image features on."""

    def folder(to: str, classes: int = 3, features: bool = False) -> Path:
        made = shared / f"{to}-{classes}-{features}"
        with FileLock(f"{made}.lock"):
            if not made.exists():
                export(load_learned(coop.run, None if classes == 3 else THOUSAND), to, made, features)
        return made

    return folder
