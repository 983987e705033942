"""Trials in processes of their own. A trial that fails, or whose process dies, does not stop the others."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

import torch

from cocoop.child import serve
from cocoop.errors import CocoopError, RunError
from cocoop.progress import be_quiet, is_quiet, note_warnings, silence
from cocoop.protocols.plan import Trial
from cocoop.protocols.runner import Runner

_TICK = 1.0
"""Seconds between two looks at the clock."""


class Failure(NamedTuple):
    """A trial that failed, and why."""

    trial: Trial
    reason: str


def attempt(runner: Runner, trial: Trial) -> Failure | None:
    """Carry out one trial; whatever goes wrong with it is returned, not raised. Ctrl-C is raised."""
    try:
        runner.run(trial)
    except CocoopError as error:
        return Failure(trial, str(error))
    except Exception as error:  # a fault of this package, or no memory left on a GPU
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Failure(trial, f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})")
    return None


def in_processes(
    start: Callable[[str], Runner], trials: Sequence[Trial], devices: Sequence[str], threads: int
) -> Iterator[list[Failure | None]]:
    """Carry out trials, one process for each of `devices`, each with `threads` threads for torch.

    Yields, at least once a second, the outcomes of the trials that have ended since. Closing the iterator kills the
    processes.

    Args:
        start: device -> a runner. Called once in each process, so it must survive pickling.
        trials: what to do.
        devices: as `CLIP.load` takes them; one may stand there several times.
        threads: of each process.

    Raises:
        CocoopError: what `start` raises.
    """
    waiting = deque(trials)
    workers: list[_Worker] = []
    try:
        for device in devices[: len(waiting)]:
            workers.append(_Worker(start, device, threads))
            workers[-1].give(waiting.popleft())
        while workers:
            ready = wait([worker.connection for worker in workers], _TICK)
            ended = [worker for worker in workers if worker.connection in ready]
            yield [worker.outcome() for worker in ended]
            for worker in ended:
                if not (waiting and worker.process.is_alive()):
                    workers.remove(worker)
                    worker.kill()
                    if waiting:
                        worker = _Worker(start, worker.device, threads)
                        workers.append(worker)
                if waiting:
                    worker.give(waiting.popleft())
    finally:
        for worker in workers:
            worker.kill()


class _Worker:
    """A process that carries out one trial after another on one device."""

    def __init__(self, start: Callable[[str], Runner], device: str, threads: int) -> None:
        # "spawn": a forked process could not use a GPU, and would inherit locks of torch's threads.
        context = multiprocessing.get_context("spawn")
        self.device = device
        self.connection, theirs = context.Pipe()
        # A killed benchmark must not leave processes behind that write into the folder of the next one.
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        with _deaf_to_interrupts():
            self.process.start()
        theirs.close()
        self._send(partial(_work, start, device, threads, is_quiet()))

    def give(self, trial: Trial) -> None:
        """Let it begin `trial`."""
        self.trial = trial
        self._send(trial)

    def outcome(self) -> Failure | None:
        """Wait for the trial to end: its failure, or None."""
        try:
            told: CocoopError | Failure | None = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return Failure(
                self.trial,
                f"its process was killed (exit code {self.process.exitcode}), perhaps for want of memory; "
                "run the same again with fewer at a time",
            )
        if isinstance(told, CocoopError):
            raise told
        return told

    def _send(self, what: object) -> None:
        with suppress(OSError):  # its process is dead; `outcome` will say so
            self.connection.send(what)

    def kill(self) -> None:
        """End it at once. Its half-written run folder, if there is one, stays hidden."""
        self.process.kill()
        self.process.join()
        self.connection.close()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started inside never see Ctrl-C, which a terminal sends to all: the first process ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # starts with the first process otherwise, and unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(start: Callable[[str], Runner], device: str, threads: int, quiet: bool, connection: Connection) -> None:
    silence()
    be_quiet(quiet)
    note_warnings()
    torch.set_num_threads(threads)
    try:
        runner = start(device)
    except Exception as error:
        raised = error if isinstance(error, CocoopError) else RunError(f"{type(error).__name__}: {error}")
        connection.send(raised)
        return
    while True:
        connection.send(attempt(runner, connection.recv()))
