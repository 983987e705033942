"""How long an HTML report of 484 runs takes: `python benchmarks/report_speed.py`.

Writes made-up runs of the few-shot protocol by the layout of `cocoop benchmark`: 11 data sets of 10 to 397 classes,
3 methods, 1 to 16 shots, 4 seeds, 2,000 test images each, and mistakes that show files of 500 x 375 pixels; the lists
of training images are as long as in a real run. Then `cocoop report` runs in a process of its own, several times per
format; the best counts, imports included.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from cocoop.results import environment

CLASSES = {
    "imagenet": 300,
    "caltech101": 100,
    "oxford_pets": 37,
    "stanford_cars": 196,
    "oxford_flowers": 102,
    "food101": 101,
    "fgvc_aircraft": 100,
    "sun397": 397,
    "dtd": 47,
    "eurosat": 10,
    "ucf101": 101,
}
SHOTS = {"zero-shot": (0,), "coop": (1, 2, 4, 8, 16), "cocoop": (1, 2, 4, 8, 16)}
SEEDS, TEST_IMAGES, MISTAKES = (1, 2, 3, 4), 2000, 12


def write_photos(folder: Path, generator: np.random.Generator) -> list[Path]:
    """Files for the mistakes: smooth colours with some noise, so that they compress as photographs do."""
    paths = []
    for k in range(MISTAKES):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)).astype(int)
        noisy = np.clip(pixels + generator.integers(-12, 13, pixels.shape), 0, 255).astype(np.uint8)
        paths.append(folder / f"photo_{k:04}.jpg")
        Image.fromarray(noisy).save(paths[-1], quality=90)
    return paths


def made_up_test(name: str, hits: np.ndarray, label: np.ndarray, photos: list[Path]) -> dict[str, Any]:
    """The figures of a test as a record has them, with its mistakes on `photos`."""
    accuracy = 100 * float(hits.mean())
    return {
        "dataset": name,
        "test_hash": None,
        "n": TEST_IMAGES,
        "classes": CLASSES[name],
        "correct": int(hits.sum()),
        "accuracy": accuracy,
        "macro_f1": accuracy,
        "mean_per_class_accuracy": accuracy,
        "expected_calibration_error": 5.0,
        "per_class_accuracy": {f"class number {k}": 100 * float(hits[label == k].mean()) for k in range(CLASSES[name])},
        "mistakes": [
            {"image": str(photo), "label": "class number 1", "predicted": "class number 2", "confidence": 0.9}
            for photo in photos
        ],
    }


def write_run(folder: Path, name: str, method: str, shots: int, seed: int, photos: list[Path]) -> None:
    """One run folder: record and predictions."""
    generator = np.random.default_rng([len(name), len(method), shots, seed])
    classes = CLASSES[name]
    label = np.sort(np.arange(TEST_IMAGES) % classes).astype(np.int32)
    confidence = generator.beta(4, 1.5, TEST_IMAGES).astype(np.float32)
    right = generator.random(TEST_IMAGES) < 0.4 + 0.5 * confidence
    predicted = np.where(right, label, generator.integers(0, classes, TEST_IMAGES)).astype(np.int32)
    images = generator.permutation(classes * shots)
    record = {
        "format": 3,
        "method": method,
        "settings": {"context": "a photo of a", "context_length": 4},
        "learning": {"epochs": 10, "batch_size": 1, "lr": 0.002, "augment": True, "views": None},
        "clip": "openai/clip-vit-base-patch16",
        "clip_fingerprint": "0123456789abcdef" * 4,
        "tokenizer": None,
        "class_tokens": None,
        "device": "cpu",
        "dtype": "float32",
        "seed": seed,
        "shots": shots,
        "classes": classes,
        "training_images": classes * shots,
        "trainable_parameters": 35360,
        "results": {"test": made_up_test(name, predicted == label, label, photos)},
        "seconds": 60.0,
        "peak_memory_mb": 1500.0,
        "peak_gpu_memory_mb": None,
        "picked": images.tolist(),
        "split_hash": "0123456789abcdef" * 4,
        "trained_on": [f"{image:064x}" for image in images],
        "environment": asdict(environment()),
        "protocol": "few-shot",
        "dataset": name,
        "zero_shot": {},
        "prompt_from": None,
        "trial": None,
    }
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    arrays = {"test/label": label, "test/predicted": predicted, "test/confidence": confidence}
    save_file(arrays, folder / "predictions.safetensors")


def write_runs(out: Path) -> int:
    """All runs below `out`; returns how many. Zero-shot is repeated for every seed."""
    photos = write_photos(out, np.random.default_rng(0))
    count = 0
    for name in CLASSES:
        for method, counts in SHOTS.items():
            for shots in counts:
                for seed in SEEDS:
                    folder = out / "few-shot" / name / method / f"{shots}-shots" / f"seed-{seed}"
                    write_run(folder, name, method, shots, seed, photos)
                    count += 1
    return count


def best_seconds(runs: Path, form: str, rounds: int) -> tuple[float, int]:
    """The fastest of `rounds` whole commands, and the bytes of what it wrote."""
    out = runs / f"out.{form}"
    command = [
        sys.executable,
        "-c",
        "from cocoop.cli import main; main()",
        "report",
        str(runs),
        "--format",
        form,
        "--out",
        str(out),
    ]
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return min(seconds), out.stat().st_size


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        count = write_runs(Path(folder))
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        print(f"{count} runs, {size / 1e6:.0f} MB of files, Python {platform.python_version()}\n")
        print("| `cocoop report --format` | seconds | kB written |")
        print("|---|---:|---:|")
        for form in ("table", "json", "html"):
            seconds, written = best_seconds(Path(folder), form, rounds)
            print(f"| {form} | {seconds:.2f} | {written / 1e3:.0f} |")


if __name__ == "__main__":
    main()
