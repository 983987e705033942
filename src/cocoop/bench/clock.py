"""Times that can be compared on a busy machine: works take turns in one process, and the best turn of each counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

PATIENCE = 60.0
"""Seconds after which no further turn begins."""


def timed(work: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """`work` as a function that returns the seconds of one call, until the device has finished."""

    def run() -> float:
        synchronize(device)
        started = time.perf_counter()
        work()
        synchronize(device)
        return time.perf_counter() - started

    return run


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has finished its work; a CPU always has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def best_seconds(works: Mapping[str, Callable[[], float]], rounds: int, patience: float = PATIENCE) -> dict[str, float]:
    """Name -> the fewest seconds that its work returned.

    Args:
        works: name -> a function that does the work once and returns the seconds.
        rounds: turns of each after the first, which warms up.
        patience: after this many seconds no further round begins, but one after the first always does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    started = time.perf_counter()
    for turn in range(rounds + 1):
        if turn > 1 and time.perf_counter() - started > patience:
            break
        for name, work in works.items():
            seconds[name].append(work())
    return {name: min(turns) for name, turns in seconds.items()}
