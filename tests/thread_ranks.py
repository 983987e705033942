"""Ranks that are threads of this process: the same rules as torchrun's, in milliseconds and for any number of ranks."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from torch import Tensor

from cocoop.errors import RunError
from cocoop.ranks import Ranks

T = TypeVar("T")


class _Meeting:
    """Where ranks give values, and wait for those of the others; or learn that one is gone."""

    def __init__(self, size: int) -> None:
        self.size, self.changed = size, threading.Condition()
        self.given: list[dict[int, Any]] = []
        self.gone: set[int] = set()

    def exchange(self, rank: int, number: int, value: Any) -> list[Any]:
        """The values of all ranks at their meeting of this number."""
        with self.changed:
            if len(self.given) == number:
                self.given.append({})
            here = self.given[number]
            here[rank] = value
            self.changed.notify_all()
            self.changed.wait_for(lambda: len(here) == self.size or self.gone - here.keys(), timeout=60)
            if len(here) < self.size:
                raise RunError("one is gone")
            return [here[other] for other in range(self.size)]

    def leave(self, rank: int) -> None:
        with self.changed:
            self.gone.add(rank)
            self.changed.notify_all()


class ThreadRanks(Ranks):
    """One of some threads."""

    def __init__(self, rank: int, meeting: _Meeting) -> None:
        super().__init__(rank, meeting.size)
        self.sums = self._meetings = 0
        self._meeting = meeting

    def sum(self, tensor: Tensor) -> None:
        self.sums += 1
        total, *others = self._met(tensor.clone())
        for other in others:
            total = total + other
        tensor.copy_(total)

    def _exchange(self, value: Any) -> list[Any]:
        return self._met(value)

    def _met(self, value: Any) -> list[Any]:
        self._meetings += 1
        values = self._meeting.exchange(self.rank, self._meetings - 1, pickle.dumps(value))
        return [pickle.loads(value) for value in values]


def in_ranks(size: int, work: Callable[[Ranks], T]) -> list[T | BaseException]:
    """What `work` gives or raises on each of so many ranks, which run side by side; one that raises is gone."""
    meeting = _Meeting(size)

    def run(rank: int) -> T | BaseException:
        try:
            return work(ThreadRanks(rank, meeting))
        except BaseException as error:
            return error
        finally:
            meeting.leave(rank)

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))
