"""How near `cocoop predict` comes to its image tower: `python benchmarks/predict.py`.

By default 5,000 JPEGs of 224 pixels, drawn here, a CLIP of ViT-B/16's size with random weights, and 10 classes,
zero-shot (CoOp computes the same; CoCoOp runs its text encoder for every image, which `cocoop bench` measures). In
turns, a part of them each: the bare tower, which encodes one batch that lies in memory again and again, and all that
`predict` does: list a folder, read, decode and transform the files, encode, classify, and write a CSV file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from end_to_end import draw

from cocoop.bench import class_names, random_clip
from cocoop.clip import CLIP
from cocoop.data import LeftOut
from cocoop.progress import counter
from cocoop.reports import text_table
from cocoop.serving import Predictor, named_pictures, open_results

_BATCH = 16  # as large as those of `predict` on a CPU


def bare(clip: CLIP, images: int) -> float:
    """Images a second of the tower alone."""
    pixels = torch.randn(_BATCH, 3, clip.preprocess.size, clip.preprocess.size)
    began = time.perf_counter()
    for _ in range(images // _BATCH):
        clip.encode_images(pixels)
    return images // _BATCH * _BATCH / (time.perf_counter() - began)


def predicted(predictor: Predictor, folder: Path, out: Path) -> float:
    """Images a second of a folder's predictions, from its listing to the last row of a file."""
    began = time.perf_counter()
    with open_results("csv", out, 1, False, False, predictor.clip_) as results:
        for row in predictor.stream(named_pictures([str(folder)], LeftOut())):
            results.write(row)
    seconds = time.perf_counter() - began
    if results.errors:
        raise SystemExit(f"{results.errors} of {results.count} pictures could not be read")
    return results.count / seconds


def main() -> None:
    """Print a row per round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="ViT-B/16")
    parser.add_argument("--classes", type=int, default=10, metavar="K")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--size", type=int, default=224, help="of the files' pictures, in pixels")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    clip = random_clip(options.shape, "cpu", "float32")
    predictor = Predictor.zero_shot(clip, class_names(options.classes))
    each = options.images // options.rounds
    measured: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as root, counter("rounds", options.rounds, "round") as bar:
        for number in range(options.rounds):
            folder, rng = Path(root, str(number)), np.random.default_rng(number)
            folder.mkdir()
            for image in range(each):
                draw(rng, image / each, options.size).save(folder / f"{image:05}.jpg", quality=90)
            bare(clip, _BATCH)  # warm
            pair = [0.0, 0.0]
            for which in (0, 1) if number % 2 == 0 else (1, 0):
                pair[which] = predicted(predictor, folder, Path(root, f"{number}.csv")) if which else bare(clip, each)
            measured.append((pair[0], pair[1]))
            bar.update(1)
    rows = [[str(n), f"{a:.2f}", f"{b:.2f}", f"{b / a:.3f}"] for n, (a, b) in enumerate(measured, 1)]
    middle = [median(column) for column in zip(*measured, strict=True)]
    ratio = median(b / a for a, b in measured)
    rows.append(["median", f"{middle[0]:.2f}", f"{middle[1]:.2f}", f"{ratio:.3f}"])
    print(text_table(["round", "bare tower, images/s", "predict, images/s", "predict / bare"], rows))


if __name__ == "__main__":
    main()
