"""The files of this package that one training step of CoCoOp runs through: `python tools/step_trace.py`.

It prints each with its lines, those of them that ran, and the sums: how much there is to read of a step. The step is
one image on the bundled CLIP, on a CPU; calls of other packages do not count.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import cocoop
from cocoop import CLIP, CoCoOp
from cocoop.reports import text_table
from cocoop.training import Step

SOURCE = Path(cocoop.__file__).parent


def traced(work: Callable[[], object]) -> dict[Path, set[int]]:
    """The files below `SOURCE` that run while `work` does, and the numbers of the lines that ran."""
    ran: dict[Path, set[int]] = defaultdict(set)

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        if not path.is_relative_to(SOURCE):
            return None
        ran[path].add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return dict(ran)


def trace_step() -> dict[Path, set[int]]:
    """`traced` of a CoCoOp's second step: the first also plans its memory (`clip/text/memory.py`)."""
    clip = CLIP.load("tiny", device="cpu")
    step = Step(CoCoOp(clip, ["cat", "dog", "red panda"]))
    features = clip.encode_images(torch.zeros(1, 3, clip.preprocess.size, clip.preprocess.size))
    step(features, torch.tensor([0]))
    return traced(lambda: step(features, torch.tensor([0])))


def main() -> None:
    """Print the table and the sums."""
    ran = trace_step()
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(ran)}
    rows = [(path.relative_to(SOURCE).as_posix(), lines[path], len(ran[path])) for path in lines]
    print(text_table(["file", "lines", "of which ran"], rows))
    print(f"\n{len(rows)} files, {sum(lines.values()):,} lines, of which {sum(map(len, ran.values())):,} ran")


if __name__ == "__main__":
    main()
