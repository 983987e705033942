"""How far the evidence of `cocoop explain` can be relied on: `python benchmarks/evidence.py`.

On the drawn data sets with the bundled CLIP and hand-written prompts, 200 test images each, three ways beside each
other: gradient times activation for the class's logit above the mean of all (HiResCAM, what `cocoop explain` shows),
the same for the logit alone, and Grad-CAM, which takes the mean of the gradient over the cells first.

alone: the picture, at half its size, in one quarter of a grey ground; which share of the evidence lies in that quarter
(25 % by chance), and how often that has the most. four: three pictures of other classes are in the other quarters.
covered: the rank correlation of a whole picture's 16 cells with what covering each in grey takes from the same logit.
shuffled: the rank correlation with the map when all weights of the image tower are shuffled, tensor by tensor.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional as F

from cocoop import CLIP, ZeroShot, read_dataset
from cocoop.data import Example
from cocoop.explain.evidence import evidence
from cocoop.methods import Method
from cocoop.reports import text_table

HEADER = ["data set", "evidence", "alone, %", "most there, %", "four, %", "most there, %", "covered", "shuffled"]
GREY = (122, 116, 104)  # the mean of what CLIPs are given

Maps = Callable[[Method, Tensor, Sequence[int]], Tensor]
"""Model, pixels [B, 3, N, N], classes [B] -> evidence [B, G, G] that sums to 1."""


def gradients(model: Method, pixels: Tensor, classes: Sequence[int], above_mean: bool) -> tuple[Tensor, Tensor]:
    """The cells [B, G * G, D] that features are pooled from, and the gradient of the classes' logits by them."""
    held: list[Tensor] = []
    tower = model.clip.image_tower

    def hold(tokens: Tensor) -> Tensor:
        held.append(tokens.detach().requires_grad_())
        return held[0]

    logits = model(F.normalize(tower(pixels, hold), dim=-1))
    targets = logits[torch.arange(len(logits)), classes] - (logits.mean(dim=1) if above_mean else 0)
    [gradient] = torch.autograd.grad(targets.sum(), held)
    return held[0].detach()[:, -(tower.grid**2) :], gradient[:, -(tower.grid**2) :]


def shares(products: Tensor) -> Tensor:
    """What is above 0 of each map [B, G * G], as shares [B, G, G]."""
    cells = products.clamp(min=0)
    side = int(cells.shape[1] ** 0.5)
    return (cells / cells.sum(dim=1, keepdim=True).clamp(min=1e-12)).view(-1, side, side)


def of_logit(model: Method, pixels: Tensor, classes: Sequence[int]) -> Tensor:
    """HiResCAM of the logit alone."""
    cells, gradient = gradients(model, pixels, classes, above_mean=False)
    return shares((cells * gradient).sum(dim=-1))


def grad_cam(model: Method, pixels: Tensor, classes: Sequence[int]) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017) of the logit above the mean."""
    cells, gradient = gradients(model, pixels, classes, above_mean=True)
    return shares((cells * gradient.mean(dim=1, keepdim=True)).sum(dim=-1))


WAYS: dict[str, Maps] = {"HiResCAM, above mean": evidence, "HiResCAM, logit": of_logit, "Grad-CAM": grad_cam}


class Canvases(NamedTuple):
    """Pictures in quarters: pixels [B, 3, N, N], the classes and quarters that are asked for."""

    pixels: Tensor
    classes: list[int]
    quarters: list[int]


def canvases(clip: CLIP, examples: Sequence[Example], beside: bool) -> Canvases:
    """Each picture in a quarter at random; `beside` it three of other classes, else grey."""
    draw, side = random.Random(0), clip.preprocess.size // 2
    pixels, quarters = [], []
    for example in examples:
        others = draw.sample([other for other in examples if other.label != example.label], 3)
        quarter = draw.randrange(4)
        places = [quarter, *(place for place in range(4) if place != quarter)]
        canvas = Image.new("RGB", (2 * side, 2 * side), GREY)
        for place, shown in zip(places, [example, *others] if beside else [example], strict=False):
            small = Image.open(shown.path).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
            canvas.paste(small, (place % 2 * side, place // 2 * side))
        pixels.append(clip.preprocess(canvas))
        quarters.append(quarter)
    return Canvases(torch.stack(pixels), [example.label for example in examples], quarters)


def in_quarters(maps: Maps, model: Method, of: Canvases) -> tuple[float, float]:
    """The share of the evidence in the quarter that is asked for, and how often that has the most; percent."""
    cells = maps(model, of.pixels, of.classes)
    half = cells.shape[1] // 2
    quarters = cells.view(-1, 2, half, 2, half).sum(dim=(2, 4)).flatten(1)
    rows = torch.arange(len(quarters))
    most = quarters.argmax(dim=1) == torch.tensor(of.quarters)
    return 100 * float(quarters[rows, of.quarters].mean()), 100 * float(most.double().mean())


@torch.no_grad()
def drops(model: Method, pixels: Tensor, classes: Sequence[int], above_mean: bool) -> Tensor:
    """What covering each cell in grey takes from the logit, [B, G, G]. Grey is 0 in pixels that are normalised."""

    def targets(of: Tensor) -> Tensor:
        logits = model(model.clip.encode_images(of))
        chosen: Tensor = logits[torch.arange(len(logits)), classes]
        return chosen - logits.mean(dim=1) if above_mean else chosen

    grid = model.clip.image_tower.grid
    cell, before = model.clip.preprocess.size // grid, targets(pixels)
    found = torch.empty(len(pixels), grid, grid)
    for row in range(grid):
        for column in range(grid):
            covered = pixels.clone()
            covered[:, :, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = 0
            found[:, row, column] = before - targets(covered)
    return found


def similarity(one: Tensor, other: Tensor) -> float:
    """The mean rank correlation of maps [B, G, G] with others, of pictures where neither is the same everywhere."""
    pairs = zip(one.flatten(1).numpy(), other.flatten(1).numpy(), strict=True)
    return float(np.mean([spearmanr(a, b).statistic for a, b in pairs if np.ptp(a) and np.ptp(b)]))


def shuffled() -> CLIP:
    """The bundled CLIP with an image tower whose every tensor is shuffled."""
    clip, generator = CLIP.load("tiny", device="cpu"), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in clip.image_tower.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return clip


def rows(name: str, images: int) -> Iterator[list[str]]:
    """One row for each way."""
    clip, dataset = CLIP.load("tiny", device="cpu"), read_dataset(name)
    examples = random.Random(0).sample(dataset.test, images)
    model, other = (ZeroShot(of, dataset.class_names) for of in (clip, shuffled()))
    alone, four = (canvases(clip, examples, beside) for beside in (False, True))
    whole = torch.stack([clip.preprocess(Image.open(example.path)) for example in examples])
    classes = [example.label for example in examples]
    for way, maps in WAYS.items():
        found = maps(model, whole, classes)
        covered = similarity(found, drops(model, whole, classes, above_mean=maps is not of_logit))
        again = similarity(found, maps(other, whole, classes))
        percents = [*in_quarters(maps, model, alone), *in_quarters(maps, model, four)]
        yield [name, way, *(f"{percent:.0f}" for percent in percents), f"{covered:.2f}", f"{again:.2f}"]


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=["digits", "shapes", "pictographs"])
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    print(text_table(HEADER, [row for name in options.datasets for row in rows(name, options.images)]))


if __name__ == "__main__":
    main()
