"""Tasks in processes of their own. A task that fails, or whose process dies, does not stop the others."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from cocoop.child import serve
from cocoop.errors import CocoopError, InputError, RunError
from cocoop.progress import be_quiet, is_quiet, note_warnings, silence

T = TypeVar("T")
R = TypeVar("R")

TICK = 1.0
"""Seconds between two looks at the clock."""


class Failure(NamedTuple, Generic[T]):
    """A task that failed, and why."""

    task: T
    reason: str


def attempt(work: Callable[[T], R], task: T) -> R | Failure[T]:
    """Do one task; whatever goes wrong with it is returned, not raised. Ctrl-C is raised."""
    try:
        return work(task)
    except CocoopError as error:
        return Failure(task, str(error))
    except Exception as error:  # a fault of this package, or no memory left on a GPU
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Failure(task, f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})")


def in_processes(
    start: Callable[[str], Callable[[T], R]], tasks: Sequence[T], devices: Sequence[str], threads: int
) -> Iterator[list[R | Failure[T]]]:
    """Do tasks, one process for each of `devices`, each with `threads` threads for torch.

    Yields, at least once a second, the outcomes of the tasks that have ended since. Closing the iterator kills the
    processes.

    Args:
        start: device -> what does a task. Called once in each process, so it must survive pickling.
        tasks: what to do.
        devices: as `CLIP.load` takes them; one may stand there several times.
        threads: of each process.

    Raises:
        CocoopError: what `start` raises.
    """
    waiting = deque(tasks)
    workers: list[_Worker[T, R]] = []
    try:
        for device in devices[: len(waiting)]:
            workers.append(_Worker(start, device, threads))
            workers[-1].give(waiting.popleft())
        while workers:
            ready = wait([worker.connection for worker in workers], TICK)
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


class _Worker(Generic[T, R]):
    """A process that does one task after another on one device."""

    def __init__(self, start: Callable[[str], Callable[[T], R]], device: str, threads: int) -> None:
        self.device = device
        self.process, self.connection = started(partial(_work, start, device, threads, is_quiet()))

    def give(self, task: T) -> None:
        """Let it begin `task`."""
        self.task = task
        _send(self.connection, task)

    def outcome(self) -> R | Failure[T]:
        """Wait for the task to end: what came of it, or its failure."""
        try:
            told: CocoopError | R | Failure[T] = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return Failure(
                self.task,
                f"its process was killed (exit code {self.process.exitcode}), perhaps for want of memory; "
                "run the same again with fewer at a time",
            )
        if isinstance(told, CocoopError):
            raise told
        return told

    def kill(self) -> None:
        """End it at once. Its half-written run folder, if there is one, stays hidden."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def started(function: Callable[[Connection], object]) -> tuple[BaseProcess, Connection]:
    """A process that calls a function with one end of a pipe, and the other end.

    Ctrl-C does not reach it, and it ends when this process does. The function must survive pickling. If the process
    dies, receiving from it raises `EOFError` or `OSError`.
    """
    # "spawn": a forked process could not use a GPU, and would inherit locks of torch's threads.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    # A killed driver must not leave processes behind that write into the folder of the next one.
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    with _deaf_to_interrupts():
        process.start()
    theirs.close()
    _send(ours, function)
    return process, ours


def _send(connection: Connection, what: object) -> None:
    with suppress(OSError):  # its process is dead; who receives from it is told
        connection.send(what)


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


def behave(threads: int, quiet: bool) -> None:
    """Let this process be one of several: no bars, warnings as notes, so many threads for torch."""
    silence()
    be_quiet(quiet)
    note_warnings()
    torch.set_num_threads(threads)


def _work(
    start: Callable[[str], Callable[[Any], Any]], device: str, threads: int, quiet: bool, connection: Connection
) -> None:
    behave(threads, quiet)
    try:
        work = start(device)
    except Exception as error:
        raised = error if isinstance(error, CocoopError) else RunError(f"{type(error).__name__}: {error}")
        connection.send(raised)
        return
    while True:
        connection.send(attempt(work, connection.recv()))


def connected_ray() -> tuple[Any, bool]:
    """The module ray, connected to a cluster; and whether that is this machine alone. `InputError` without Ray."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of a user's runs
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what goes wrong comes as an error, too
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(
            f"--runner ray: expected Ray Data; got {error}. Install it: pip install 'cocoop[cluster]'."
        ) from error
    for handler in logging.getLogger("ray.data").handlers:  # its files in the session's folder have all
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.ERROR)
    if ray.is_initialized():
        return ray, False
    before = signal.getsignal(signal.SIGTERM)
    ray.init(log_to_driver=False, logging_level=logging.ERROR)
    if threading.current_thread() is threading.main_thread():  # Ray's handler says no word of how to go on
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    return ray, "RAY_ADDRESS" not in os.environ
