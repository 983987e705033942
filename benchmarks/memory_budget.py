"""Whether a memory budget holds, and what it costs: `python benchmarks/memory_budget.py`.

One training pass (forward and backward) of CoCoOp's text side on ViT-B/16's size with 21,841 class names, as many as
ImageNet-21k has, for one image. Each budget gets a fresh process, and its peak is the growth of the resident memory
over the model's ("-" where the system does not let it be told); a budget counts what encoding takes beside the weights.
The gradients of all that is learned, taken together, are compared with those of the first budget.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time

import torch

from cocoop.bench import SHAPES, class_names, random_clip
from cocoop.clip.text.memory import give_back_freed_memory, parse_memory
from cocoop.errors import InputError
from cocoop.methods import CoCoOp
from cocoop.reports import text_table
from cocoop.results import peak_memory_mb, reset_peak_memory


def measure(shape: str, classes: int, budget: str) -> None:
    """In a process of its own: print one training pass's peak in MB, its seconds, loss and gradient as JSON."""
    clip = random_clip(shape, "cpu", "float32")
    features = torch.nn.functional.normalize(torch.randn(1, clip.embed_dim, generator=torch.Generator().manual_seed(0)))
    labels = torch.tensor([0])
    torch.manual_seed(0)
    torch.nn.functional.cross_entropy(CoCoOp(clip, class_names(2))(features), labels).backward()
    names = class_names(classes)
    gc.collect()
    give_back_freed_memory(clip.device)  # a pass that went on with it would seem to need less
    counts = reset_peak_memory()
    before = peak_memory_mb() or 0.0
    clip.text.memory_budget = parse_memory(budget)
    torch.manual_seed(0)
    model = CoCoOp(clip, names)
    started = time.perf_counter()
    loss = torch.nn.functional.cross_entropy(model(features), labels)
    loss.backward()
    seconds = time.perf_counter() - started
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    peak = (peak_memory_mb() or 0.0) - before if counts else None
    print(json.dumps({"peak": peak, "seconds": seconds, "loss": loss.item(), "gradient": gradient.tolist()}))


def _budget(text: str) -> str:
    """The text, if it is a memory budget."""
    try:
        parse_memory(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="ViT-B/16", choices=SHAPES)
    parser.add_argument("--classes", type=int, default=21_841)
    parser.add_argument("--budgets", nargs="+", type=_budget, default=["8GB", "4GB", "2GB"], help="4GB, auto, ...")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.shape, options.classes, options.one)
        return
    rows, first = [], None
    for budget in options.budgets:
        command = [
            sys.executable,
            __file__,
            "--shape",
            options.shape,
            "--classes",
            str(options.classes),
            "--one",
            budget,
        ]
        measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        gradient = torch.tensor(measured["gradient"], dtype=torch.float64)
        first = gradient if first is None else first
        difference = float((gradient - first).norm() / first.norm())
        limit = parse_memory(budget)
        peak = "-" if measured["peak"] is None else f"{measured['peak']:,.0f}"
        rows.append(
            [
                budget if limit is None else f"{limit / 1e6:,.0f}",
                peak,
                f"{measured['seconds']:.1f}",
                f"{difference:.1e}",
            ]
        )
    print(f"{options.shape}, K = {options.classes:,}, B = 1, float32, forward and backward\n")
    print(text_table(["budget, MB", "peak, MB", "seconds", "gradient differs by"], rows))


if __name__ == "__main__":
    main()
