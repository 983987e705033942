"""Trainings whose batches several processes share, beside those of one process: `python benchmarks/torchrun.py`.

Digits with random crops and flips, the bundled CLIP, on the CPU (gloo). Each number of processes runs twice. Then one
of two processes is killed at a random moment of a training, five times, and the seconds until the other has ended are
counted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cocoop import METHODS, PromptClassifier, read_dataset
from cocoop.clip import CLIP
from cocoop.ranks import place
from cocoop.reports import text_table

CELLS = list(product(("coop", "cocoop"), ("float64", "float32", "bfloat16"), (6, 7, 32)))
"""Method, dtype, images a step: 7 is divided into 3 and 4, or 2, 2 and 3."""
SIZES = (1, 2, 3)
LEARNED: dict[str, Any] = {"shots": 8, "epochs": 3, "seed": 1, "augment": True, "views": 2, "device": "cpu"}
KILLS, SEED = 5, 0


def name_of(cell: tuple[str, str, int]) -> str:
    """The name of a cell's tensors."""
    return "/".join(map(str, cell))


def learn(data: Path, out: Path) -> None:
    """Learn all cells, as one of the processes or alone; rank 0 writes tensors and losses."""
    digits = read_dataset("digits", data)
    images, labels = [example.path for example in digits.train], [example.label for example in digits.train]
    tensors: dict[str, torch.Tensor] = {}
    losses: dict[str, list[float]] = {}
    for cell in CELLS:
        method, dtype, batch_size = cell
        fitted = PromptClassifier(method=method, dtype=dtype, batch_size=batch_size, **LEARNED)
        fitted.fit(images, labels, digits.class_names)
        tensors |= {f"{name_of(cell)}/{name}": tensor.clone() for name, tensor in fitted.model_.state_dict().items()}
        losses[name_of(cell)] = [epoch.loss for epoch in fitted.history_]
    if place().rank == 0:
        save_file(tensors, out, {"losses": json.dumps(losses)})


def started(size: int, *arguments: str) -> subprocess.Popen[str]:
    """Python with these arguments, by torchrun where there are several processes."""
    by = ("-m", "torch.distributed.run", "--nproc-per-node", str(size)) if size > 1 else ()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *by, *arguments], env=environment, stderr=subprocess.PIPE, text=True)


def learned_by(size: int, data: Path, out: Path) -> tuple[dict[str, torch.Tensor], dict[str, list[float]]]:
    """What so many processes have learned."""
    process = started(size, __file__, "--learn", str(data), str(out))
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(said)
    with safe_open(out, "pt") as file:
        losses = json.loads(file.metadata()["losses"])
    return load_file(out), losses


def row(cell: tuple[str, str, int], size: int, runs: dict[int, list[Any]], start: dict[str, torch.Tensor]) -> list[str]:
    """What differs in one cell between `size` processes and one."""
    name = name_of(cell)
    (one, one_losses), (first, losses), (second, _) = runs[1][0], *runs[size]
    mine = [key for key in one if key.startswith(f"{name}/")]
    moved = [key for key in mine if not torch.equal(one[key], start[key])]
    differs = max(float((first[key] - one[key]).abs().max() / (one[key] - start[key]).abs().max()) for key in moved)
    of_loss = max(abs(a - b) / b for a, b in zip(losses[name], one_losses[name], strict=True))
    same = all(torch.equal(first[key], second[key]) for key in mine)
    method, dtype, batch_size = cell
    return [method, dtype, str(batch_size), str(size), f"{differs:.1e}", f"{of_loss:.1e}", "yes" if same else "NO"]


def starts(data: Path) -> dict[str, torch.Tensor]:
    """The tensors before training, by cell."""
    names = read_dataset("digits", data).class_names
    tensors: dict[str, torch.Tensor] = {}
    for cell in CELLS:
        method, dtype, _ = cell
        torch.manual_seed(LEARNED["seed"])
        state = METHODS[method](CLIP.load("tiny", device="cpu", dtype=dtype), names).state_dict()
        tensors |= {f"{name_of(cell)}/{name}": tensor.clone() for name, tensor in state.items()}
    return tensors


def children(process: int) -> list[int]:
    """The processes that this one has started."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def kill_one(folder: Path, data: Path, delay: float, rank: int) -> tuple[float, list[str]]:
    """Kill one of two ranks so many seconds after the first epoch; until when the other ended, and what it said."""
    out = folder / f"run-{delay}"
    arguments = ("train", "digits", "--data-root", str(data), "--out", str(out), "--method", "coop", "--shots", "8")
    process = started(2, "-m", "cocoop", *arguments, "--epochs", "100000", "--device", "cpu")
    while not out.with_name(f".{out.name}.state").exists():
        time.sleep(0.05)
    time.sleep(delay)
    both = children(process.pid)  # in the order of their start, which is that of their ranks
    os.kill(both[rank], 9)
    other = both[1 - rank]
    began = time.monotonic()
    while Path(f"/proc/{other}").exists() and "Z" not in Path(f"/proc/{other}/stat").read_text().rpartition(")")[2][:3]:
        time.sleep(0.01)
    seconds = time.monotonic() - began
    _, said = process.communicate()
    return seconds, [line for line in said.splitlines() if line.startswith(("cocoop:", "note:"))]


def main() -> None:
    """Print the table, and what came of the kills."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learn", nargs=2, type=Path, metavar=("DATA", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.learn:
        learn(*options.learn)
        return
    with tempfile.TemporaryDirectory() as folder:
        root, data = Path(folder), Path(folder, "data")
        start = starts(data)
        runs = {size: [learned_by(size, data, root / f"{size}-{n}") for n in range(2)] for size in SIZES}
        header = ["method", "dtype", "batch", "processes", "tensors differ", "losses differ", "twice the same bits"]
        print(text_table(header, [row(cell, size, runs, start) for cell in CELLS for size in SIZES]))
        print("\n| kill | of rank | after, s | the other ended after, s | and said |\n|---:|---:|---:|---:|---|")
        stream = random.Random(SEED)
        for number in range(1, KILLS + 1):
            delay = stream.uniform(0, 3)
            seconds, said = kill_one(root, data, delay, number % 2)
            print(
                f"| {number} | {number % 2} | {delay:.2f} | {seconds:.2f} | {' / '.join(said).replace(folder, '')} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
