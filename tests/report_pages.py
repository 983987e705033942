"""Made-up runs of all protocols with predictions and pictures, for tests of the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import records
from PIL import Image

HOSTILE = "<script>document.title='broken'</script>"
"""A class name that would run if it were not escaped."""

CLASSES = ["Sea $or$ Lake", HOSTILE, "forest", 'a "quoted" & <b>bold</b> name']

TESTS = {
    "base-to-new": ("eurosat", ("base", "new")),
    "few-shot": ("eurosat", ("test",)),
    "cross-dataset": ("imagenet", ("imagenet", "dtd", "eurosat")),
    "domain-generalization": ("shapes", ("shapes", "shapes_blur", "shapes_noise")),
    "own-images": ("photos", ("test",)),
}


def write_runs(root: Path) -> Path:
    """Every protocol, all three methods, two seeds; one mistake's file is there, one is not, one is no image."""
    root.mkdir(parents=True)
    Image.new("RGB", (300, 200), (200, 30, 30)).save(root / "there.png")
    (root / "damaged.png").write_bytes(b"no image")
    generator = np.random.default_rng(0)
    for protocol, (dataset, tests) in TESTS.items():
        for method in records.SETTINGS:
            for seed in (1,) if method == "zero-shot" else (1, 2):
                _write(root, protocol, dataset, tests, method, seed, generator)
    return root


def _write(
    root: Path,
    protocol: str,
    dataset: str,
    tests: tuple[str, ...],
    method: str,
    seed: int,
    generator: np.random.Generator,
) -> None:
    results, arrays = {}, {}
    for test in tests:
        label = np.repeat(np.arange(len(CLASSES)), 25).astype(np.int32)
        confidence = generator.uniform(0.3, 1, len(label)).astype(np.float32)
        right = generator.random(len(label)) < confidence
        predicted = np.where(right, label, (label + 1) % len(CLASSES)).astype(np.int32)
        results[test] = records.test_figures(
            100 * float(right.mean()),
            dataset if test in ("base", "new", "test") else test,
            per_class_accuracy={name: 100 * float(right[label == k].mean()) for k, name in enumerate(CLASSES)},
            mistakes=[
                {"image": str(root / name), "label": CLASSES[0], "predicted": HOSTILE, "confidence": 0.9}
                for name in ("there.png", "gone.png", "damaged.png")
            ],
        )
        arrays |= {f"{test}/label": label, f"{test}/predicted": predicted, f"{test}/confidence": confidence}
    beside = {"zero_shot": {"test": results["test"] | {"accuracy": 50.0}}} if protocol == "own-images" else {}
    records.write(root, records.record(protocol, dataset, method, results, seed=seed, **beside), arrays)


VOID = {"meta", "link", "img", "br", "line", "circle", "rect", "polyline", "polygon", "image"}


class Page(HTMLParser):
    """Elements with their attributes; fails where they do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        # A mark holds its hint, so it has an end.
        self.feed(re.sub(r"(<(?:circle|rect|polygon)[^>]*>)(<title>.*?</title>)</\w+>", r"\1\2", text))
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag
        elif self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        self.words.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]
