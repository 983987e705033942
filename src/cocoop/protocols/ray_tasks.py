"""Trials as tasks of a Ray cluster. A trial that fails, or whose worker or node dies, does not stop the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from cocoop.errors import CocoopError, InputError, reason
from cocoop.progress import is_quiet
from cocoop.protocols.plan import Trial
from cocoop.workers import TICK, Failure, attempt, behave, connected_ray

Start = Callable[[str], Callable[[Trial], Path]]

_kept: tuple[str, Callable[[Trial], Path]] | None = None
"""What this worker process does trials with, and the benchmark that it is of."""


def in_tasks(
    start: Start, trials: Sequence[Trial], device: str, at_once: int | None, threads: int
) -> Iterator[list[Path | Failure[Trial]]]:
    """Carry out trials as tasks, of the cluster that Ray is connected to, or finds, or else of this machine.

    Yields and closes as `in_processes`. A task takes a CPU for each of its `threads`, and a GPU where the cluster has
    some and `device` allows it. Ray starts as many as there is room for, and `at_once` at most.

    Args:
        start: device -> what carries out a trial. Called once in each worker process, so it must survive pickling.
        trials: what to do.
        device: as `CLIP.load` takes it.
        at_once: how many tasks to hand over at a time; None is all.
        threads: of torch in each task.

    Raises:
        CocoopError: what `start` raises; an `InputError` where ray is not installed, or this machine has too few CPUs.
    """
    (ray, alone), running = connected_ray(), dict[Any, Trial]()
    there = ray.cluster_resources().get("CPU", 0)
    if alone and there < threads:  # another cluster may grow
        raise InputError(
            f"--threads: expected at most the {there:g} CPUs of this machine; got {threads}. Ask for fewer."
        )
    gpus = int(device in ("auto", "cuda") and ray.cluster_resources().get("GPU", 0) > 0)
    # Not tried again: what kills a worker once, such as want of memory, would do so again.
    task = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=0)(_attempt)
    given, waiting = (ray.put(start), uuid4().hex, device, threads, is_quiet()), deque(trials)
    try:
        while waiting or running:
            while waiting and (at_once is None or len(running) < at_once):
                trial = waiting.popleft()
                running[task.remote(*given, trial)] = trial
            ended, _ = ray.wait(list(running), num_returns=1, timeout=TICK)
            yield [_outcome(ray, ref, running.pop(ref)) for ref in ended]
    finally:
        for ref in running:
            ray.cancel(ref, force=True)


def _attempt(
    start: Start, benchmark: str, device: str, threads: int, quiet: bool, trial: Trial
) -> Path | Failure[Trial] | CocoopError:
    """Carry out a trial in a worker process; an error is of `start`, which no other trial could have done without."""
    global _kept
    if _kept is None or _kept[0] != benchmark:
        behave(threads, quiet)
        try:
            _kept = benchmark, start(device)
        except CocoopError as error:
            return error
    return attempt(_kept[1], trial)


def _outcome(ray: Any, ref: Any, trial: Trial) -> Path | Failure[Trial]:
    try:
        told: Path | Failure[Trial] | CocoopError = ray.get(ref)
    except ray.exceptions.RayError as error:
        return Failure(trial, f"its worker is gone ({reason(error)}); run the same again")
    if isinstance(told, CocoopError):
        raise told
    return told
