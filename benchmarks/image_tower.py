"""The image tower beside transformers' own forward and its matrix products: `python benchmarks/image_tower.py`.

Random weights, pixels to features. The works take turns in one process on one thread; the median of their processor
time counts, which leaves out what other programs take. "floor" is `cocoop bench`'s, without attention's own products;
"products" are the floor and attention's own, but for the last layer, where they are small.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from cocoop.bench import SHAPES, ImageFloor, random_clip
from cocoop.clip import CLIP
from cocoop.reports import text_table

HEADER = ("shape", "images", "transformers, ms", "ours, ms", "transformers / ours", "ours / floor", "ours / products")


def theirs(clip: CLIP) -> Callable[[Tensor], Tensor]:
    """The same tower as transformers computes it."""
    told: dict[str, Any] = clip.image_tower.describe()
    config = CLIPVisionConfig(
        hidden_size=told["width"],
        intermediate_size=told["hidden"],
        num_hidden_layers=told["layers"],
        num_attention_heads=told["heads"],
        image_size=told["image_size"],
        patch_size=told["patch"],
    )
    with torch.device("meta"):
        model = CLIPVisionModel(config).eval()
    state = clip.image_tower.state_dict()
    projection = state.pop("projection.weight")
    model.load_state_dict({name.removeprefix("vision_model."): t for name, t in state.items()}, assign=True)
    model.embeddings.position_ids = torch.arange(len(model.embeddings.position_embedding.weight))[None]
    return lambda pixels: functional.linear(model(pixel_values=pixels).pooler_output, projection)


def attention_products(clip: CLIP, images: int) -> Callable[[], None]:
    """Every query with every key, and the weights with the values, in all layers but the last, an image at a time."""
    told: dict[str, Any] = clip.image_tower.describe()
    tokens, heads = (told["image_size"] // told["patch"]) ** 2 + 1, told["heads"]
    states = torch.randn(heads, tokens, told["width"] // heads).to(clip.dtype)
    scores, mixed = torch.empty(heads, tokens, tokens, dtype=clip.dtype), torch.empty_like(states)

    def run() -> None:
        for _ in range(images * (told["layers"] - 1)):
            torch.bmm(states, states.mT, out=scores)
            torch.bmm(scores, states, out=mixed)

    return run


def measure(shape: str, images: int, dtype: str, rounds: int) -> list[str]:
    """One row of the table."""
    sizes = replace(SHAPES[shape], text_layers=1, vocabulary=100)  # no text is encoded here
    clip = random_clip(sizes, "cpu", dtype)
    pixels = torch.randn(images, 3, sizes.image_size, sizes.image_size).to(clip.dtype)
    reference = theirs(clip)
    works: dict[str, Callable[[], object]] = {
        "theirs": lambda: reference(pixels),
        "ours": lambda: clip.image_tower(pixels),
        "floor": ImageFloor(clip, images).forward,
        "attention": attention_products(clip, images),
    }
    turns: dict[str, list[float]] = {name: [] for name in works}
    with torch.no_grad():
        for turn in range(rounds + 1):
            for name, work in works.items():
                started = time.process_time()
                work()
                turns[name] += [time.process_time() - started] if turn else []
    ms = {name: 1000 * statistics.median(taken) / images for name, taken in turns.items()}
    ratios = (ms["theirs"] / ms["ours"], ms["ours"] / ms["floor"], ms["ours"] / (ms["floor"] + ms["attention"]))
    return [shape, str(images), f"{ms['theirs']:.1f}", f"{ms['ours']:.1f}", *(f"{ratio:.2f}" for ratio in ratios)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=["ViT-B/32", "ViT-B/16", "ViT-L/14"], choices=SHAPES)
    parser.add_argument("--images", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows = [
        measure(shape, images, arguments.dtype, arguments.rounds)
        for shape in arguments.shapes
        for images in arguments.images
    ]
    print(text_table(HEADER, rows))


if __name__ == "__main__":
    main()
