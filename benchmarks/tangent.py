"""Tangent prompts beside exact inference: `python benchmarks/tangent.py agreement | derivatives | speed`.

agreement: prompts learned with the bundled CLIP on the base classes of its own data sets, all seeds of a row together,
on the test images of the base, the new and all classes; then the prompts of shapes with 1,000 names of one to ten words
as classes, and one of them with another data set's images.
derivatives: of one such prompt, central differences beside forward-mode derivatives of the plain path, and what the
norm before or after the expansion does. speed: what `cocoop bench` measures of inference, for any K.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.func import jvp
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from cocoop import CLIP, CoCoOp, PromptClassifier, read_dataset
from cocoop.bench import INFERENCE_HEADER, inference_rows, measure_inference, random_clip
from cocoop.data import Dataset
from cocoop.methods import Shortlist, TangentPrompts
from cocoop.methods.expansion import Expansion
from cocoop.reports import text_table

SETS = {  # name -> data set, shots, epochs, random crops
    "digits": ("digits", 16, 10, False),
    "digits, crops": ("digits", 16, 10, True),
    "pictographs": ("pictographs", 4, 4, False),
    "shapes": ("shapes", 4, 4, False),
}
SHARES = ["tangent", "expansion", "mean prompt", "no pi", "mean's best 20", "no pi's best 20"]
AGREEMENT = ["prompt of", "classes", "K", "images", "anchors", *SHARES, "largest", "mean", "refined", "exact"]


class Learned(NamedTuple):
    """A prompt that was learned on the base classes of a data set."""

    classifier: PromptClassifier
    dataset: Dataset

    @property
    def model(self) -> CoCoOp:
        """What it is made of."""
        return cast(CoCoOp, self.classifier.model_)

    @property
    def sample(self) -> Tensor:
        """The features [n, E] that its run would keep."""
        return F.normalize(torch.from_numpy(self.classifier.fit_.sample).to(self.model.ctx.dtype), dim=-1)


class Beside(NamedTuple):
    """Of each image [N]: which of the `SHARES` have exact inference's top class, two differences, and what was done."""

    same: list[Tensor]
    largest: Tensor
    of_the_top: Tensor
    refined: Tensor
    exact: Tensor
    anchors: int
    classes: int


def learn(clip: CLIP, name: str, seed: int, root: str) -> Learned:
    """Learn a row of `SETS`."""
    source, shots, epochs, crops = SETS[name]
    dataset = read_dataset(source, root)
    base = dataset.select("base")
    classifier = PromptClassifier(clip=clip, shots=shots, seed=seed, epochs=epochs, augment=crops)
    classifier.fit([e.path for e in base.train], [e.label for e in base.train], base.class_names)
    return Learned(classifier, dataset)


def compare(learned: Learned, names: list[str], dataset: Dataset, count: int) -> Beside:
    """Classify `count` test images of a data set into these classes in all ways."""
    model = learned.model.set_classes(names)
    order = torch.randperm(len(dataset.test), generator=torch.Generator().manual_seed(0))[:count].tolist()
    images = learned.classifier.encode([dataset.test[i].path for i in order])[:]
    parts = images.split(64)
    tangent = TangentPrompts(model, learned.sample)
    found, exact = (torch.cat([way.probabilities(part) for part in parts]) for way in (tangent, model))
    top = exact.argmax(dim=1, keepdim=True)
    expanded = found if tangent.exact else tangent._expanded(images)[0]
    ranked = [Shortlist(model, min(20, len(names)), sample).classes(images) for sample in (learned.sample, None)]
    chosen = [found.argmax(dim=1, keepdim=True), expanded.argmax(dim=1, keepdim=True)]
    chosen += [classes[:, :1] for classes in ranked] + ranked
    differences = (found - exact).abs()
    refined, whole = (torch.tensor([float(tangent.counts[what])]) / len(images) for what in ("refined", "exact"))
    return Beside(
        [(classes == top).any(dim=1).double() for classes in chosen],
        differences.max(dim=1).values,
        differences.gather(1, top)[:, 0],
        refined,
        whole,
        tangent.check.anchors,
        len(names),
    )


def cells(seeds: list[Beside]) -> list[str]:
    """The cells of a row, of all seeds together."""
    same = [torch.cat(some) for some in zip(*(each.same for each in seeds), strict=True)]
    largest, top, refined, exact = (
        torch.cat([getattr(each, name) for each in seeds]) for name in ("largest", "of_the_top", "refined", "exact")
    )
    anchors = "/".join(str(each.anchors) for each in seeds)
    row = [f"{seeds[0].classes}", f"{len(largest):,}", anchors, *(f"{100 * float(share.mean()):.2f}" for share in same)]
    row += [f"{float(largest.max()):.4f}", f"{float(top.mean()):.5f}"]
    return row + [f"{100 * float(share.mean()):.2f}" for share in (refined, exact)]


def agreement(options: argparse.Namespace) -> Iterator[list[str]]:
    """A row for each prompt and each of its lists of classes."""
    clip = CLIP.load("tiny", device="cpu")
    for name in SETS:
        prompts = [learn(clip, name, seed, options.data_root) for seed in options.seeds]
        for part in ("base", "new", "all"):
            tests = [prompt.dataset.select(part) for prompt in prompts]
            pairs = zip(prompts, tests, strict=True)
            yield [name, part, *cells([compare(p, test.class_names, test, options.images) for p, test in pairs])]
        if name == "shapes":
            names = ragged_names(prompts[0].dataset.class_names)
            beside = [compare(prompt, names, prompt.dataset, options.images) for prompt in prompts]
            yield [name, "ragged names", *cells(beside)]
    prompt, others = (
        learn(clip, "shapes", options.seeds[0], options.data_root),
        read_dataset("digits", options.data_root),
    )
    names = prompt.dataset.select("base").class_names
    yield ["shapes", "base, of digits' images", *cells([compare(prompt, names, others, options.images)])]


def ragged_names(names: list[str], count: int = 1000, most: int = 10) -> list[str]:
    """Other names, all different, of one to ten of the words that these names have."""
    words = sorted({word for name in names for word in name.split()})
    draw = random.Random(0)
    made: dict[str, None] = {}
    while len(made) < count:
        made[" ".join(draw.choices(words, k=draw.randint(1, most)))] = None
    return list(made)


def derivatives(options: argparse.Namespace) -> None:
    """Print how far central differences are from forward-mode derivatives, and what the place of the norm does."""
    exact = torch.empty(0)
    for dtype in ("float64", "float32"):
        clip = CLIP.load("tiny", device="cpu", dtype=dtype)
        prompt = learn(clip, "digits, crops", options.seeds[0], options.data_root)
        model, sample = prompt.model.requires_grad_(False), prompt.sample
        codes = model.code(sample)
        code, spread = codes.mean(dim=0), float((codes - codes.mean(dim=0)).norm(dim=1).square().mean().sqrt())
        started = time.perf_counter()
        expansion = Expansion(model, code, spread)
        between = time.perf_counter()
        clip.text.plain = True
        with sdpa_kernel(SDPBackend.MATH):  # the others have no forward mode
            ways = torch.eye(len(code), dtype=code.dtype)
            function = lambda a, model=model: model.raw_text_features(a[None])[0]  # noqa: E731
            forward = torch.stack([jvp(function, (code,), (way,))[1] for way in ways], dim=-1)
        took, clip.text.plain = time.perf_counter() - between, False
        exact = forward if dtype == "float64" else exact
        central = expansion.slopes.unflatten(1, forward.shape[::2]).transpose(0, 1)
        errors = [float((slopes - exact).norm() / exact.norm()) for slopes in (central, forward)]
        print(f"{dtype}: central differences {between - started:.2f} s, error {errors[0]:.1e} of J; ", end="")
        print(f"forward mode {took:.2f} s, error {errors[1]:.1e}")
        if dtype == "float64":
            print(orders(model, sample, codes - code, model.raw_text_features(code[None])[0], central))


def orders(model: CoCoOp, images: Tensor, moved: Tensor, features: Tensor, slopes: Tensor) -> str:
    """The largest and mean error of a logit on the sample: norm after the expansion, before it, and both."""
    lengths = features.norm(dim=-1, keepdim=True)
    unit = features / lengths
    unit_slopes = (slopes - unit[..., None] * torch.einsum("ke,keh->kh", unit, slopes)[:, None]) / lengths[..., None]
    expanded = features + torch.einsum("keh,bh->bke", slopes, moved)
    unit_expanded = unit + torch.einsum("keh,bh->bke", unit_slopes, moved)
    ways = {"after": F.normalize(expanded, dim=-1), "before": unit_expanded, "both": F.normalize(unit_expanded, dim=-1)}
    errors = {way: (model.logits(images, texts) - model(images)).abs() for way, texts in ways.items()}
    return "; ".join(
        f"norm {way}: largest {float(e.max()):.4f}, mean {float(e.mean()):.5f}" for way, e in errors.items()
    )


def speed(options: argparse.Namespace) -> list[list[str]]:
    """A row for each K: milliseconds per image of all that an image may take."""
    clip = random_clip(options.shape)
    return inference_rows([measure_inference(clip, count, options.rounds, options.images) for count in options.classes])


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["agreement", "derivatives", "speed"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--images", type=int, default=None, help="of each test; default: 400, and of speed's exact: 2")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100, 1000], help="K of speed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", default="ViT-B/16")
    options = parser.parse_args()
    options.images = options.images or (2 if options.what == "speed" else 400)
    with torch.no_grad():
        if options.what == "agreement":
            torch.set_num_threads(1)  # as for all that the bundled CLIP learns
            with torch.enable_grad():
                print(text_table(AGREEMENT, list(agreement(options))))
        elif options.what == "derivatives":
            torch.set_num_threads(1)
            derivatives(options)
        else:
            print(f"{options.shape} float32 cpu, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
            print(text_table(INFERENCE_HEADER, speed(options)))


if __name__ == "__main__":
    main()
