"""Many trials into one folder: resumed where they stopped, several at a time, and none stops the others."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock, Timeout

from cocoop.clip import CLIP
from cocoop.data import Dataset
from cocoop.errors import CocoopError, InputError
from cocoop.progress import progress, silence
from cocoop.protocols.plan import Trial
from cocoop.protocols.runner import Runner
from cocoop.results import read_json


class Failure(NamedTuple):
    """A trial that came to nothing, and why."""

    trial: Trial
    reason: str


@dataclass(frozen=True)
class Benchmark:
    """Trials on one CLIP, and the folder that their run folders go to.

    A trial is done when its run folder is there, which appears whole or not at all; so a benchmark that was killed
    goes on where it stopped when the same is run again.

    clip: what `CLIP.load` takes by name. datasets: by the names that the trials use.
    """

    trials: Sequence[Trial]
    out: Path
    clip: str
    datasets: Mapping[str, Dataset]
    device: str = "auto"
    dtype: str = "auto"

    def open_trials(self) -> list[Trial]:
        """Those trials that are not done.

        Raises:
            InputError: the folder holds a run of the same place with other settings, or on another CLIP.
        """
        done = {trial.folder for trial in self.trials if (self.out / trial.folder / "record.json").is_file()}
        for trial in self.trials:
            if trial.folder in done:
                self._check_same(trial)
        return [trial for trial in self.trials if trial.folder not in done]

    def run(self, jobs: int = 1) -> list[Failure]:
        """Carry out what is not done, `jobs` at a time in processes of their own; with GPUs each takes the next.

        Raises:
            InputError: another process is at work in the folder, or it holds other runs.
        """
        with _alone_in(self.out):
            trials = self.open_trials()
            outcomes = self._in_processes(trials, jobs) if jobs > 1 else self._here(trials)
            found = progress(outcomes, "trials", len(trials))
            return [failure for failure in found if failure is not None]

    def runner(self, device: str | None = None) -> Runner:
        """The CLIP, loaded, and the data sets: what carries out the trials."""
        return Runner(CLIP.load(self.clip, device=device or self.device, dtype=self.dtype), self.datasets)

    def _here(self, trials: Sequence[Trial]) -> Iterator[Failure | None]:
        if not trials:
            return
        runner = self.runner()
        for trial in trials:
            yield _attempt(runner, trial, self.out)

    def _in_processes(self, trials: Sequence[Trial], jobs: int) -> Iterator[Failure | None]:
        waiting = list(trials)
        while waiting:
            suspects = []
            with self._pool(jobs) as pool:
                running: dict[Future[Failure | None], Trial] = {}
                while waiting or running:
                    # No more than can start at once: then those under way when a process dies are known.
                    while waiting and len(running) < jobs and not suspects:
                        trial = waiting.pop(0)
                        running[pool.submit(_attempt_in_process, trial)] = trial
                    if not running:
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        trial = running.pop(future)
                        try:
                            yield future.result()
                        except BrokenProcessPool:
                            suspects.append(trial)
            yield from self._one_by_one(suspects)

    def _one_by_one(self, suspects: Sequence[Trial]) -> Iterator[Failure | None]:
        """Trials that were under way when a process died (out of memory, say): alone, to see which one kills it."""
        for trial in suspects:
            with self._pool(1) as pool:
                try:
                    yield pool.submit(_attempt_in_process, trial).result()
                except BrokenProcessPool:
                    yield Failure(trial, "its process was killed, perhaps for want of memory; try fewer --jobs")

    def _pool(self, jobs: int) -> ProcessPoolExecutor:
        # "spawn": a forked process could not use a GPU, and would inherit locks of torch's threads.
        context = multiprocessing.get_context("spawn")
        devices: SimpleQueue[str] = context.SimpleQueue()
        for number in range(jobs):
            gpus = torch.cuda.device_count() if self.device == "auto" else 0
            devices.put(f"cuda:{number % gpus}" if gpus else self.device)
        threads = max(1, torch.get_num_threads() // jobs)
        return ProcessPoolExecutor(jobs, context, _start_process, (self, devices, threads))

    def _check_same(self, trial: Trial) -> None:
        folder = self.out / trial.folder
        record = read_json(folder / "record.json")
        # As JSON has it: tuples are lists there.
        here = json.loads(json.dumps(trial.as_dict() | {"clip": self.clip}))
        there = record.get("trial", {}) | {"clip": record.get("clip")}
        for name, value in here.items():
            if there.get(name) != value:
                raise InputError(
                    f"{folder}: expected a run with {name} {value!r}; found one with {there.get(name)!r}. Choose another "
                    "--out, or remove that folder."
                )


def _attempt(runner: Runner, trial: Trial, out: Path) -> Failure | None:
    try:
        runner.run(trial, out / trial.folder)
    except CocoopError as error:
        return Failure(trial, str(error))
    except Exception as error:  # whatever it is, the other trials go on
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Failure(trial, f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})")
    return None


_process: tuple[Runner, Path]


def _start_process(benchmark: Benchmark, devices: SimpleQueue[str], threads: int) -> None:
    global _process
    threading.Thread(target=_die_with_parent, daemon=True).start()
    silence()
    torch.set_num_threads(threads)
    _process = benchmark.runner(devices.get()), benchmark.out


def _attempt_in_process(trial: Trial) -> Failure | None:
    return _attempt(_process[0], trial, _process[1])


def _die_with_parent() -> None:
    """A killed benchmark must not leave processes behind that write into the folder of the next one."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Hold the folder for this process, and clear away what a killed one left half-written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock", blocking=False).acquire()
    except Timeout as error:
        raise InputError(f"{out}: expected a folder for this benchmark alone; another one is at work in it.") from error
    except OSError as error:
        raise InputError(f"{out}: expected a folder to write run folders into; got {error}. Choose another.") from error
    with lock:
        for leftover in out.rglob(".*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
