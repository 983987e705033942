"""How much cheaper the packed text encoder is than the plain one: `python benchmarks/text_encoding.py`.

One text tower of ViT-B/16's shape (width 512, 12 layers, 8 heads, random weights), prompts of K class names whose
lengths are distributed as ImageNet's (4.17 suffix tokens on average, 13 at most), CoCoOp's image-dependent prefix of
1 + 4 positions. Both paths run in turn in one process, so the ratio holds on a busy machine, too. The best of the
rounds counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from cocoop.clip import Prompts, slot
from cocoop.clip.text import TextTower

SUFFIX_LENGTHS = {3: 43, 4: 27, 5: 16, 6: 8, 7: 3, 8: 1, 10: 1, 13: 1}  # tokens: classes of a hundred
CONTEXT = 4
SOS, EOT = 49406, 49407


def build_tower(device: str, dtype: torch.dtype) -> TextTower:
    """A text tower of ViT-B/16's shape with random weights of the usual size."""
    from transformers import CLIPTextConfig

    torch.manual_seed(0)
    config = CLIPTextConfig(
        hidden_size=512, num_hidden_layers=12, num_attention_heads=8, intermediate_size=2048, vocab_size=49408
    )
    tower = TextTower(config, 512).requires_grad_(False)
    torch.nn.init.normal_(tower.positions, std=0.01)
    return tower.to(device, dtype)


def build_prompts(tower: TextTower, classes: int) -> Prompts:
    """Prompts [SOS, 4 context slots, name, EOT] of random tokens."""
    lengths = [length for length, count in SUFFIX_LENGTHS.items() for _ in range(count)]
    generator = torch.Generator().manual_seed(0)
    prompts = []
    for k in range(classes):
        name = torch.randint(SOS, (lengths[k % len(lengths)] - 1,), generator=generator).tolist()
        prompts.append([SOS, *map(slot, range(CONTEXT)), *name, EOT])
    return Prompts(tower, [f"class {k}" for k in range(classes)], prompts)


def forward(prompts: Prompts, context: Tensor) -> None:
    """Scoring: no gradients."""
    with torch.no_grad():
        prompts.encode(context)


def forward_and_backward(prompts: Prompts, context: Tensor) -> None:
    """Training: gradients of the context."""
    context = context.clone().requires_grad_()
    prompts.encode(context).square().sum().backward()


def saved_megabytes(prompts: Prompts, context: Tensor) -> float:
    """What one training pass keeps for its backward pass, weights left out."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not tensor.is_leaf:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        prompts.encode(context.clone().requires_grad_())
    return sum(sizes.values()) / 1e6


def best_seconds(
    work: Callable[[Prompts, Tensor], None], tower: TextTower, prompts: Prompts, context: Tensor, rounds: int
) -> dict[bool, float]:
    """`tower.plain` -> the fastest of `rounds` runs. The paths take turns; the first turn warms up."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds + 1):
        for tower.plain in seconds:
            started = time.perf_counter()
            work(prompts, context)
            if context.is_cuda:
                torch.cuda.synchronize()
            seconds[tower.plain].append(time.perf_counter() - started)
    return {plain: min(times[1:]) for plain, times in seconds.items()}


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=100, help="K")
    parser.add_argument("--images", type=int, default=1, help="B")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()

    tower = build_tower(options.device, getattr(torch, options.dtype))
    prompts = build_prompts(tower, options.classes)
    context = torch.randn(options.images, CONTEXT, tower.width, device=options.device) * 0.02
    print(f"K={options.classes} B={options.images} {options.dtype} {options.device} torch {torch.__version__}\n")
    print("| | plain | packed | ratio |")
    print("|---|---:|---:|---:|")
    for what, work in (("forward", forward), ("forward + backward", forward_and_backward)):
        best = best_seconds(work, tower, prompts, context, options.rounds)
        print(f"| {what}, s | {best[True]:.3f} | {best[False]:.4f} | {best[True] / best[False]:.1f} |")
    kept = []
    for tower.plain in (True, False):
        kept.append(saved_megabytes(prompts, context))
    print(f"| kept for the backward pass, MB | {kept[0]:.0f} | {kept[1]:.1f} | {kept[0] / kept[1]:.1f} |")


if __name__ == "__main__":
    main()
