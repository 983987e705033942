"""The most memory that a pass over the text tower takes beyond what was there before it: the model is not counted."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from cocoop.bench.encoding import Encoding
from cocoop.bench.shapes import Shape, random_clip
from cocoop.child import main_left_alone, serve
from cocoop.clip import CLIP
from cocoop.clip.text.memory import give_back_freed_memory
from cocoop.errors import RunError
from cocoop.results import peak_memory_mb, reset_peak_memory

PASSES = {"forward": Encoding.forward, "forward+backward": Encoding.forward_and_backward}
"""Name -> method of `Encoding`."""

_MB = 1e6


def peak_megabytes(
    clip: CLIP, shape: Shape, dtype: str, classes: int, images: int, plain: bool
) -> dict[str, float | None]:
    """Pass -> MB of 10^6 bytes at its peak, for K classes and B images at a time; None where it is unknown.

    On a GPU it is the most that was allocated, in this process. On a CPU it is the growth of the resident memory of a
    fresh process, whose allocator holds no freed memory, with a CLIP of `shape` and `dtype`; known on Linux only, where
    the peak can be reset.

    Raises:
        RunError: that process came to an end or met an error, for which too little memory is the usual reason.
    """
    if clip.device.type == "cuda":
        return _allocated(clip, classes, images, plain)
    if clip.device.type != "cpu":
        return dict.fromkeys(PASSES)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    with main_left_alone():
        process.start()
    theirs.close()
    try:
        ours.send(partial(_tell, partial(_grown, shape, dtype, torch.get_num_threads(), classes, images, plain)))
        told: dict[str, float | None] | RunError = ours.recv()
    except (EOFError, ConnectionError) as error:
        process.join()
        raise RunError(
            f"memory: expected a pass over {classes:,} classes and {images} images to end; its process came to exit "
            f"code {process.exitcode}. Most likely memory ran out: give smaller --class-counts or --batch-sizes."
        ) from error
    finally:
        process.kill()
        process.join()
    if isinstance(told, RunError):
        raise told
    return told


def _allocated(clip: CLIP, classes: int, images: int, plain: bool) -> dict[str, float | None]:
    peaks = {}
    for name, run in PASSES.items():
        encoding = _encoding(clip, classes, images, plain)
        peaks[name] = allocated_megabytes(clip.device, partial(run, encoding))
    return peaks


def _encoding(clip: CLIP, classes: int, images: int, plain: bool) -> Encoding:
    """The encoding to measure. The packed path builds its prompts in its first pass, so they count as its memory.

    The plain path does not use what is computed ahead in them, so its prompts are built before.
    """
    encoding = Encoding(clip, classes, images, plain)
    if plain:
        _ = encoding.prompts
    return encoding


def allocated_megabytes(device: torch.device, work: Callable[[], object]) -> float | None:
    """On a GPU of CUDA: the most memory in use during the work, less what was in use before it. Elsewhere None."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    torch.cuda.synchronize(device)
    return (torch.cuda.max_memory_allocated(device) - before) / _MB


def resident_mb(process: int) -> float:
    """The resident memory of a process, MB; 0 where it has ended. Linux only."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


def _tell(work: Callable[[], dict[str, float | None]], connection: Connection) -> None:
    """In a process of its own: send what the work returns, or the error that it meets."""
    told: dict[str, float | None] | RunError
    try:
        told = work()
    except Exception as error:
        reason = " ".join([type(error).__name__, *str(error).splitlines()[:1]])
        told = RunError(
            f"memory: expected a pass to end; got {reason}. If memory ran out, give smaller --class-counts or "
            "--batch-sizes."
        )
    connection.send(told)


def _grown(shape: Shape, dtype: str, threads: int, classes: int, images: int, plain: bool) -> dict[str, float | None]:
    """How far the resident memory of this process, which is a fresh one, grows in each pass."""
    torch.set_num_threads(threads)
    clip = random_clip(shape, "cpu", dtype)
    Encoding(clip, 2, 1, plain).forward_and_backward()  # loads libraries that the first pass needs
    encoding = _encoding(clip, classes, images, plain)
    gc.collect()
    give_back_freed_memory(clip.device)  # a pass that went on with it would seem to need less
    if not reset_peak_memory():
        return dict.fromkeys(PASSES)
    before = peak_memory_mb() or 0.0
    peaks: dict[str, float | None] = {}
    for name, run in PASSES.items():  # the smaller first: memory that it leaves to the next is counted once
        run(encoding)
        peaks[name] = (peak_memory_mb() or 0.0) - before
    return peaks
