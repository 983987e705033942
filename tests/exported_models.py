"""Exported models run without this package, and by a predictor."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from torch.nn import functional as F

from cocoop import CLIP, Predictor, PromptClassifier
from cocoop.bench import class_names
from cocoop.serving.exported import read_exported

NEAR = {"rtol": 0, "atol": 1e-4}
"""What is promised. Float32 rounds by 2e-7 here (measured), and other CPUs sum in another order."""

THOUSAND = class_names(1000)


class Prompt(NamedTuple):
    run: Path
    classifier: PromptClassifier
    paths: list[str]


def run_alone(folder: Path, batch: torch.Tensor) -> np.ndarray:
    """What the file gives without anything of this package."""
    if (folder / "model.pt2").exists():
        return torch.export.load(folder / "model.pt2").module()(batch).numpy()
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch.numpy()})[0]


def random_pixels(clip: CLIP, count: int) -> torch.Tensor:
    size = clip.preprocess.size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def random_features(clip: CLIP, count: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, clip.embed_dim, generator=torch.Generator().manual_seed(2)), dim=1)


def takes_features(folder: Path) -> bool:
    return read_exported(folder).description.input == "image_features"


def class_probabilities_of(folder: Path, paths: list[str], clip: CLIP) -> np.ndarray:
    """[N, K] by the predictor."""
    predictor = Predictor.load(folder, top=3, **({"clip": clip} if takes_features(folder) else {}))
    rows = [{entry["class"]: entry["probability"] for entry in top} for top in predictor({"image": paths})["top"]]
    return np.array([[row[name] for name in predictor.classes_] for row in rows])


def run_code(card: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(card.split("```python\n")[1].split("```")[0], names)
    return names
