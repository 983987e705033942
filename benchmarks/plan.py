"""How near `cocoop plan` comes to what happens: `python benchmarks/plan.py`.

For some sizes of CLIP, with random weights, and each of its ways, in turns: the plan for some hundred JPEGs of 500 x
375 pixels, drawn here, and the seconds in which they are read, decoded, encoded, classified into 10 classes by CoCoOp,
and their features written to a Parquet file. Both on all cores; a row has the medians.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from cocoop.bench import class_names, measure_rates, measure_text, photographs, plan, random_clip
from cocoop.clip import CLIP
from cocoop.data import LeftOut
from cocoop.features import usable_cpus
from cocoop.methods import CoCoOp
from cocoop.progress import counter
from cocoop.reports import text_table
from cocoop.serving import encode, named_pictures, new_feature_file

_CLASSES = 10
_FIRST = 32  # pictures before any turn
_CELLS = [("tiny", "features", 10), ("tiny", "exact", 10), ("ViT-B/16", "features", 1), ("ViT-B/16", "exact", 1)]
"""Size, way, and how many times as many pictures as of the slowest."""


def _write(folder: Path, pictures: Sequence[bytes], count: int) -> None:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:05}.jpg").write_bytes(pictures[number % len(pictures)])


@torch.no_grad()
def carried_out(clip: CLIP, way: str, folder: Path, out: Path) -> float:
    """Seconds of all pictures of a folder."""
    model = CoCoOp(clip, class_names(_CLASSES), context=None, context_length=4)
    began = time.perf_counter()
    with new_feature_file(out, clip) as file:
        for rows in encode(clip, named_pictures([str(folder)], LeftOut())):
            for row in rows:
                file.add(row)
            if way == "exact":
                model.probabilities(torch.stack([row.feature for row in rows if row.feature is not None]))
    return time.perf_counter() - began


def main() -> None:
    """Print a row per cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=160, help="of the slowest CLIP")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as root, counter("turns", len(_CELLS) * options.rounds, " turns") as bar:
        pictures, first = photographs(options.images), Path(root, "first")
        _write(first, pictures[:_FIRST], _FIRST)
        for shape, way, times in _CELLS:
            clip, folder = random_clip(shape), Path(root, f"{shape.replace('/', '-')}-{way}")
            count = times * options.images
            _write(folder, pictures, count)
            carried_out(clip, way, first, Path(root, f"{folder.name}.parquet"))  # a plan leaves starting out
            planned, happened = [], []
            for turn in range(options.rounds):
                rates, [side] = measure_rates(clip, pictures, Path(root)), measure_text(clip, [way], _CLASSES)
                planned.append(plan(count, rates, side, usable_cpus()))
                happened.append(carried_out(clip, way, folder, Path(root, f"{folder.name}-{turn}.parquet")))
                bar.update(1)
            expected, took = median(one.seconds for one in planned), median(happened)
            waits = planned[-1].bottleneck.name
            ratio = f"{took / expected:.2f}"
            rows.append([shape, way, f"{count:,}", f"{expected:.1f}", f"{took:.1f}", ratio, waits])
    header = ["CLIP", "way", "pictures", "planned, s", "took, s", "took / planned", "bottleneck"]
    print(text_table(header, rows))


if __name__ == "__main__":
    main()
