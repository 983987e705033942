"""One thread that uses the models, and what it is asked: questions that come together are answered together."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

import torch

_PATIENCE = 10.0  # seconds for the last answer
_WAIT = 0.005  # seconds in which others may join a question; a small CLIP takes twice that for a picture
MOST = 16
"""Pictures that are answered at once, unless one question has more: what the image tower takes on a CPU."""


class Sized(Protocol):
    """A question that says how many pictures it is about."""

    @property
    def size(self) -> int:
        """1 or more."""


Q = TypeVar("Q", bound=Sized)
A = TypeVar("A")
T = TypeVar("T")


class ModelThread(Generic[Q, A]):
    """Answers questions in batches, in one thread, so that no model is used by two at a time.

    Args:
        answer: questions -> for each its answer, or the error that is raised where it was asked.
        threads: that torch takes in it.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Sequence[A | Exception]], threads: int) -> None:
        self._answer, self._threads = answer, threads
        self._waiting: queue.SimpleQueue[tuple[Q | Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="models", daemon=True)
        self._thread.start()

    async def ask(self, question: Q) -> A:
        """The answer to a question. One that nobody waits for any more is not begun."""
        return await asyncio.wrap_future(self._put(question))

    def call(self, function: Callable[[], T]) -> T:
        """What a function gives that uses the models, too; from any other thread."""
        done: Future[T] = self._put(function)
        return done.result()

    def close(self) -> None:
        """End when what has begun is answered: a thread that computes while Python ends makes torch abort."""
        self._waiting.put(None)
        self._thread.join(_PATIENCE)

    def _put(self, asked: Q | Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.put((asked, future))
        return future

    def _work(self) -> None:
        torch.set_num_threads(self._threads)  # which holds for this thread alone
        while (first := self._waiting.get()) is not None:
            batch, alone, ended = self._batch(first)
            self._answer_all(
                [(question, future) for question, future in batch if future.set_running_or_notify_cancel()]
            )
            for function, future in alone:
                if future.set_running_or_notify_cancel():
                    _settle(future, _outcome(function))
            if ended:
                return

    def _batch(self, first: Any) -> tuple[list[tuple[Q, Future[A]]], list[tuple[Callable[[], Any], Future[Any]]], bool]:
        """Those that come within a moment: questions, functions, and whether it is to end."""
        batch: list[tuple[Q, Future[A]]] = []
        alone: list[tuple[Callable[[], Any], Future[Any]]] = []
        until, pictures, item = time.monotonic() + _WAIT, 0, first
        while item is not None:
            asked, _ = item
            if callable(asked):
                alone.append(item)
                return batch, alone, False
            batch.append(item)
            pictures += asked.size
            if pictures >= MOST:
                return batch, alone, False
            try:
                item = self._waiting.get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                return batch, alone, False
        return batch, alone, True

    def _answer_all(self, batch: list[tuple[Q, Future[A]]]) -> None:
        if not batch:
            return
        outcome = _outcome(lambda: self._answer([question for question, _ in batch]))
        answers = [outcome] * len(batch) if isinstance(outcome, Exception) else outcome
        for (_, future), answer in zip(batch, answers, strict=True):
            _settle(future, answer)


def _outcome(function: Callable[[], T]) -> T | Exception:
    try:
        return function()
    except Exception as error:  # told to whom it concerns; the thread goes on
        return error


def _settle(future: Future[Any], outcome: Any) -> None:
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
