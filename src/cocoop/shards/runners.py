"""Who works the shards: this process, or several of this machine. `on_ray.py` has Ray's actors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch

from cocoop.shards.shard import Shard
from cocoop.shards.work import Job, Line
from cocoop.workers import Failure, attempt, in_processes

Outcome = Line | Failure[Shard]


class Runner(Protocol):
    """Works shards, in any order, each at least once; what comes of one is the same whoever does it."""

    @property
    def told(self) -> str:
        """What is at work, in words: how many, on what, with how many threads."""

    def made_of(self, job: Job) -> dict[str, Any]:
        """The job's `made_of`, from where it is at work. `InputError` where it cannot work."""

    def work(self, job: Job, shards: Sequence[Shard]) -> Iterator[list[Outcome]]:
        """Work the shards; yields what came of some of them, now and then of none."""


class Here:
    """The process itself, on the device of the work, with `threads` threads of torch, and as many that decode."""

    def __init__(self, device: str, threads: int) -> None:
        self.device, self.threads = device, threads

    @property
    def told(self) -> str:
        """See `Runner`."""
        return f"this process on {self.device}, {_threads(self.threads)}"

    def made_of(self, job: Job) -> dict[str, Any]:
        """See `Runner`."""
        return job.made_of

    def work(self, job: Job, shards: Sequence[Shard]) -> Iterator[list[Outcome]]:
        """See `Runner`."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            for shard in shards:
                yield [attempt(job, shard)]
        finally:
            torch.set_num_threads(before)


class Processes:
    """Processes of this machine, one for each of `devices`, with `threads` threads each, as `Here` has them."""

    def __init__(self, devices: Sequence[str], threads: int) -> None:
        self.devices, self.threads = devices, threads

    @property
    def told(self) -> str:
        """See `Runner`."""
        devices = ", ".join(dict.fromkeys(self.devices))
        return f"{len(self.devices)} processes on {devices}, {_threads(self.threads)} each"

    def made_of(self, job: Job) -> dict[str, Any]:
        """See `Runner`."""
        return job.made_of

    def work(self, job: Job, shards: Sequence[Shard]) -> Iterator[list[Outcome]]:
        """See `Runner`."""
        return in_processes(_Start(job), shards, self.devices, self.threads)


class _Start:
    """Makes the job of a process, on its device."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __call__(self, device: str) -> Job:
        return replace(self.job, work=self.job.work.on(device))


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''} of torch and as many that decode"


def devices_for(device: str, workers: int) -> list[str]:
    """A device for each of some workers: for "cuda", and "auto" where there are GPUs, those of this machine in turn."""
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    otherwise = "cpu" if device == "auto" else device
    return [f"cuda:{number % gpus}" if gpus else otherwise for number in range(workers)]
