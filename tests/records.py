"""Made-up runs by the contract of `record.json`, for tests and the benchmark of reports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from cocoop.results import Epoch, Parameters, Record, Run, RunConfig
from cocoop.results.formats import record_from_json

ENVIRONMENT = {
    "python": "3.11.2",
    "platform": "Linux-6.1-x86_64",
    "processor": "A processor",
    "cpu_count": 2,
    "packages": {"cocoop": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "numpy": "2.4.6", "pillow": "13.0.0"},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "zero-shot": {"templates": ["a photo of a {}."]},
    "coop": {
        "context": "a photo of a",
        "context_length": 4,
        "class_specific": False,
        "class_position": "end",
        "epochs": 200,
        "batch_size": 32,
        "lr": 0.002,
        "augment": True,
    },
    "cocoop": {
        "context": "a photo of a",
        "context_length": 4,
        "epochs": 10,
        "batch_size": 1,
        "lr": 0.002,
        "augment": True,
    },
}
UNUSED = {"views": None, "keep": "last", "patience": None, "class_weight": None}
LEARNING = ("epochs", "batch_size", "lr", "augment", *UNUSED)
"""Those of `SETTINGS` that a record keeps as its "learning"."""


def test_figures(accuracy: float, dataset: str = "dtd", n: int = 100, **more: Any) -> dict[str, Any]:
    """Figures of one test, `accuracy` in all rates but the calibration error."""
    return {
        "dataset": dataset,
        "test_hash": None,
        "exif": "apply",
        "n": n,
        "classes": 2,
        "correct": round(n * accuracy / 100),
        "accuracy": accuracy,
        "macro_f1": accuracy,
        "mean_per_class_accuracy": accuracy,
        "expected_calibration_error": 5.0,
        "per_class_accuracy": {"a": accuracy, "b": accuracy},
        "mistakes": [],
        **more,
    }


test_figures.__test__ = False  # type: ignore[attr-defined]


def record(
    protocol: str,
    dataset: str,
    method: str,
    results: Mapping[str, Any],
    shots: int = 16,
    seed: int = 1,
    clip: str = "openai/clip-vit-base-patch16",
    **more: Any,
) -> dict[str, Any]:
    """A record; a number under a test's name in `results` is its accuracy. `settings` may hold those of `LEARNING`."""
    tests = {
        name: {"dataset": dataset, "test_hash": None, "exif": "apply", "mistakes": [], **value}
        if isinstance(value, Mapping)
        else test_figures(value, dataset if name in ("base", "new", "test") else name)
        for name, value in results.items()
    }
    settings = more.pop("settings", SETTINGS.get(method, {}))
    learning = {name: settings[name] for name in LEARNING if name in settings}
    return {
        "format": 5,
        "together": None,
        "reliability": None,
        "search": None,
        "imported": None,
        "method": method,
        "settings": {name: value for name, value in settings.items() if name not in LEARNING},
        "learning": UNUSED | learning if learning else None,
        "kept_epoch": learning["epochs"] - 1 if "epochs" in learning else None,
        "clip": clip,
        "clip_fingerprint": sha256(clip.encode()).hexdigest(),
        "tokenizer": None,
        "class_tokens": None,
        "device": "cpu",
        "dtype": "float32",
        "seed": seed,
        "shots": 0 if method == "zero-shot" else shots,
        "classes": 2,
        "training_images": 0 if method == "zero-shot" else 2 * shots,
        "trainable_parameters": {"zero-shot": 0, "coop": 2048, "cocoop": 35360}.get(method, 512),
        "seconds": 1.5,
        "peak_memory_mb": 512.0,
        "peak_gpu_memory_mb": None,
        "processes": 1,
        "picked": [],
        "split_hash": None,
        "trained_on": [],
        "validation_images": 0,
        "validated_on": [],
        "environment": ENVIRONMENT,
        "protocol": protocol,
        "dataset": dataset,
        "results": tests,
        "zero_shot": {},
        "prompt_from": None,
        "trial": None,
        "calibration": None,
        **more,
    }


def read(folder: Path, content: Mapping[str, Any]) -> Record:
    """A record as reports have it, without a file."""
    return Record(folder, record_from_json(content))


def write(root: Path, content: Mapping[str, Any], predictions: Mapping[str, Sequence[Any]] | None = None) -> Path:
    """Write a run folder's record and predictions where a benchmark puts them; return the folder."""
    folder = root / content["protocol"] / content["dataset"] / content["method"]
    folder = folder / f"{content['shots']}-shots" / f"seed-{content['seed']}"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    if predictions:
        save_file(
            {name: np.asarray(values) for name, values in predictions.items()}, folder / "predictions.safetensors"
        )
    return folder


PARAMETERS = Parameters(
    method="coop",
    clip="tiny",
    settings=None,
    shots=16,
    seed=1,
    epochs=None,
    batch_size=None,
    lr=0.1,
    augment="auto",
    views=None,
    view_seed=None,
    exif="apply",
    tokenizer=None,
    keep="last",
    patience=None,
    class_weight=None,
    search=False,
)
RUN = Run(
    config=RunConfig(class_names=["cat", "dog"], classes=["cat", "dog"], settings={}, parameters=PARAMETERS),
    tensors={"ctx": np.arange(6, dtype=np.float32).reshape(2, 3).T, "bias": np.zeros(1)},
    history=[Epoch(0, 1e-5, 1 / 3, 50.0, 0.1), Epoch(1, 0.002, 0.25, 100.0, 0.1)],
    record=record_from_json(record("few-shot", "dtd", "coop", {"test": 200 / 3}, trained_on=["ab"])),
    predictions={"test/label": np.arange(3, dtype=np.int32), "test/confidence": np.full(3, 0.5, np.float32)},
    sample={"image_features": np.eye(2, 4, dtype=np.float16)},
)
"""A run with every kind of file."""
