"""Measures a saved small CLIP, loaded as any user would load it.

`python -m tools.tiny_clip.measure --model src/cocoop/clip/tiny`

Renderings come from the "test" stream, which training never draws from. The handwritten digits are scikit-learn's
1,797 real ones; nothing in training or in the choice of weights uses them.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from transformers import AutoTokenizer, CLIPModel

from cocoop.data.drawn.distort import SIZE
from cocoop.data.drawn.shapes import is_held_out

from . import model
from .pictures import DIGIT_NAMES, FAMILIES, class_names, render

PROMPT = "a photo of a {}."
TEST_SEED = 2
PICTURES_PER_CLASS = 10
SHOTS, PROBE_SEEDS = 16, (1, 2, 3)
Result = tuple[str, int, float]  # what, among how many classes, share of right answers


class Encoder:
    """The model and tokenizer of a folder."""

    def __init__(self, folder: Path) -> None:
        self.net = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def images(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Bytes [N, 32, 32, 3] -> unit features [N, E]."""
        return torch.cat([model.image_features(self.net, part) for part in torch.from_numpy(pixels).split(500)])

    @torch.no_grad()
    def texts(self, names: list[str]) -> Tensor:
        """The unit features of "a photo of a {name}.", [K, E]."""
        prompts = [PROMPT.format(name) for name in names]
        return model.text_features(self.net, self.tokenizer(prompts, padding=True, return_tensors="pt").input_ids)

    def accuracy(self, images: Tensor, labels: npt.NDArray[np.int64], names: list[str]) -> float:
        """Share of images [N, E] whose nearest prompt is that of their label."""
        return float(((images @ self.texts(names).T).argmax(1).numpy() == labels).mean())


def real_digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """scikit-learn's digits: 8 x 8 values 0..16 -> bytes, enlarged to 32 x 32 (bicubic), three equal channels."""
    digits = load_digits()
    small = np.round(digits.images * 255 / 16).astype(np.uint8)
    resized = [Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC) for image in small]
    return np.stack([np.asarray(image.convert("RGB")) for image in resized]), digits.target.astype(np.int64)


def measure_digits(encoder: Encoder) -> Iterator[Result]:
    """Zero-shot on the real digits, all and each half among itself; then a linear probe on a few of them."""
    pixels, labels = real_digits()
    images, base, names = encoder.images(pixels), labels < 5, list(DIGIT_NAMES)
    yield "real handwritten digits", 10, encoder.accuracy(images, labels, names)
    yield "real handwritten digits, base (0-4)", 5, encoder.accuracy(images[base], labels[base], names[:5])
    yield (
        "real handwritten digits, new (5-9)",
        5,
        encoder.accuracy(images[~base], labels[~base] - 5, names[5:]),
    )
    scores = []
    for seed in PROBE_SEEDS:
        order = np.random.default_rng(seed).permutation(len(labels))
        train = np.concatenate([order[labels[order] == digit][:SHOTS] for digit in range(10)])
        test = np.setdiff1d(order, train)
        probe = LogisticRegression(C=100, max_iter=2000).fit(images[train].numpy(), labels[train])
        scores.append(probe.score(images[test].numpy(), labels[test]))
    yield (
        f"real handwritten digits, linear probe, {SHOTS} shots, {len(scores)} draws",
        10,
        float(np.mean(scores)),
    )


def measure_renderings(encoder: Encoder) -> Iterator[Result]:
    """Zero-shot on fresh renderings of every family, each among all classes of the family."""
    for family in FAMILIES:
        names = list(class_names(family))
        count = max(1000, PICTURES_PER_CLASS * len(names)) // len(names) * len(names)
        pixels = np.stack([render(family, "test", TEST_SEED, index).pixels for index in range(count)])
        yield (
            f"rendered {family}",
            len(names),
            encoder.accuracy(encoder.images(pixels), np.arange(count) % len(names), names),
        )


def measure_held_out(encoder: Encoder) -> Iterator[Result]:
    """Zero-shot on the held-out combinations of texture, colour and shape, among all that turn up."""
    pictures = [render("shapes", "test", TEST_SEED, index) for index in range(12_000)]
    kept = [picture for picture in pictures if _combination_is_held_out(picture.names[0])]
    names = sorted({picture.names[0] for picture in kept})
    labels = np.array([names.index(picture.names[0]) for picture in kept])
    images = encoder.images(np.stack([picture.pixels for picture in kept]))
    yield (
        "rendered shapes, full names never seen in training",
        len(names),
        encoder.accuracy(images, labels, names),
    )


def _combination_is_held_out(usual_name: str) -> bool:
    """Reads "striped red star" or "red star" back into texture, colour and shape."""
    words = usual_name.split()
    textured = words[0] in ("striped", "dotted", "checkered", "hollow")
    texture, colour = (words[0], words[1]) if textured else ("plain", words[0])
    return is_held_out(texture, colour, " ".join(words[2 if textured else 1 :]))


def results(encoder: Encoder) -> Iterator[Result]:
    """Everything that is measured, one after the other."""
    for part in (measure_digits, measure_renderings, measure_held_out):
        yield from part(encoder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("src/cocoop/clip/tiny"))
    print("| pictures | classes | right |\n|---|---:|---:|")
    for what, classes, share in results(Encoder(parser.parse_args().model)):
        print(f"| {what} | {classes} | {share:.1%} |", flush=True)
