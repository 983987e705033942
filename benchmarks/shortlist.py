"""What a shortlist saves of CoCoOp's inference: `python benchmarks/shortlist.py`.

A CLIP of ViT-B/16's shape with random weights, names as long as ImageNet's, image features at random. All K classes and
the best 20 of them take turns in one process, so the ratio holds on a busy machine, too; the best of the rounds
counts. The image tower is in neither. How often both agree is no matter of speed, and random weights say nothing of it:
`cocoop evaluate RUN IMAGES --shortlist 20 --verify` measures it on a learned prompt.
"""

from __future__ import annotations

import argparse

import torch
from torch.nn import functional as F

from cocoop import CoCoOp
from cocoop.bench import class_names, random_clip
from cocoop.bench.clock import best_seconds, timed
from cocoop.methods import Shortlist
from cocoop.reports import text_table

HEADER = [
    "classes",
    "all, ms an image",
    "shortlist, ms an image",
    "ratio",
    "ranking, once, ms",
    "worth it from, images",
]


def row(model: CoCoOp, size: int, images: int, rounds: int) -> list[str]:
    """Time both on as many random images and the ranking's text features, which are computed once per class list."""
    torch.manual_seed(0)
    features = F.normalize(torch.randn(images, model.clip.embed_dim), dim=-1).to(model.clip.device)
    shortlist = Shortlist(model, size)
    works = {
        "all": lambda: model.probabilities(features),
        "shortlist": lambda: shortlist.probabilities(features),
        "ranking": model.shared_text_features,
    }
    best = best_seconds({name: timed(work, model.clip.device) for name, work in works.items()}, rounds)
    full, short, ranking = best["all"] / images, best["shortlist"] / images, best["ranking"]
    worth = f"{int(ranking / (full - short)) + 1}" if full > short else "never"
    figures = (f"{1e3 * full:.1f}", f"{1e3 * short:.1f}", f"{full / short:.1f}", f"{1e3 * ranking:.1f}")
    return [f"{len(model.class_names):,}", *figures, worth]


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[100, 1000], help="K, one row each")
    parser.add_argument("--shortlist", type=int, default=20)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", default="ViT-B/16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()

    clip = random_clip(options.shape, options.device, options.dtype)
    rows = []
    for classes in options.classes:
        model = CoCoOp(clip, class_names(classes), context=None, context_length=4)
        rows.append(row(model, options.shortlist, options.images, options.rounds))
    what = f"{options.shape} {options.dtype} {options.device}, {torch.get_num_threads()} threads"
    print(f"shortlist of {options.shortlist}, {what}, torch {torch.__version__}\n")
    print(text_table(HEADER, rows))


if __name__ == "__main__":
    main()
