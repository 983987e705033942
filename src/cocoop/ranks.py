"""The processes of one training, as torchrun starts them: rank 0, which alone writes and prints, and its equals.

Every rank does the same things in the same order. What one of them has alone, its part of the images or of a batch, is
exchanged by the methods of `Ranks`. Imports nothing heavy until ranks meet.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cocoop.errors import CocoopError, RunError, reason
from cocoop.progress import silence

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

_STEP = timedelta(seconds=45)
"""How long a rank waits for another within an epoch, where all do the same steps."""

_PHASE = timedelta(minutes=30)
"""How long elsewhere: one may encode more images than another, or write. A rank that dies is noticed at once."""


class Place(NamedTuple):
    """Which of how many processes this one is."""

    rank: int
    size: int


def place() -> Place:
    """What torchrun has told this process by its environment; 0 of 1 without it, or in a process's own child."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or multiprocessing.parent_process() is not None:
        return Place(0, 1)
    return Place(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


def ranks_here() -> int:
    """How many ranks share this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if place().size > 1 else 1


class _Failed(NamedTuple):
    error: CocoopError


def _given(outcome: Any) -> Any:
    if isinstance(outcome, _Failed):
        raise outcome.error
    return outcome


class Ranks:
    """The ranks of a training, of which this process is one.

    Args:
        rank: this one, 0 <= rank < size.
        size: how many there are; 1 without torchrun, where every method does at once what is asked.
        steps: torch's process group for `sum`, which waits shorter than the default group.
    """

    def __init__(self, rank: int = 0, size: int = 1, steps: Any = None) -> None:
        self.rank, self.size, self._steps = rank, size, steps
        self.asked = False
        """Whether this one was asked to stop, which the next step tells all."""

    @property
    def is_first(self) -> bool:
        """Whether this one writes and prints."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """The part of this rank of `count` things in a row: parts differ in length by one at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, tensor: Tensor) -> None:
        """Put the sum over all ranks into the tensor, on every rank the same bits, and in every run.

        Raises:
            RunError: a rank is gone.
        """
        if self.size > 1:
            from torch.distributed import all_reduce

            with self._noticing_absence():
                all_reduce(tensor, group=self._steps)

    def gather(self, work: Callable[[], T]) -> list[T]:
        """What `work` gives on each rank. Where it raises a `CocoopError` on one, all raise it."""
        try:
            outcome: T | _Failed = work()
        except CocoopError as error:
            if self.size == 1:
                raise
            outcome = _Failed(error)
        return [_given(one) for one in self._exchange(outcome)]

    def first(self, work: Callable[[], T]) -> T:
        """What `work` gives on rank 0, which alone does it. Where it raises, all do.

        Raises:
            RunError: a rank is gone; or, on the other ranks, `work` has raised what is no `CocoopError`.
        """
        if not self.is_first:
            value: T = _given(self._exchange(None)[0])
            return value
        try:
            value = work()
        except BaseException as error:
            told = error if isinstance(error, CocoopError) else RunError(f"rank 0 has ended: {reason(error)}.")
            self._exchange(_Failed(told))
            raise
        self._exchange(value)
        return value

    def _exchange(self, value: Any) -> list[Any]:
        """The values that all ranks have given."""
        values = [value] * self.size
        if self.size > 1:
            from torch.distributed import all_gather_object

            with self._noticing_absence():
                all_gather_object(values, value)
        return values

    @contextmanager
    def _noticing_absence(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            _be_deaf_to_sigterm()
            raise RunError(
                f"training: expected {self.size} processes that work together; rank {self.rank} found one gone "
                f"({_shortly(error)}). Repeat the command: it goes on from the state that was kept last."
            ) from error


def _shortly(error: RuntimeError) -> str:
    """The first sentence of what gloo or nccl says, without places in their code and addresses."""
    return " ".join(re.sub(r"\[[^]]*\]:?\d*", "", reason(error)).partition(". ")[0].replace(" : ", ": ").split())


def _be_deaf_to_sigterm() -> None:
    """End no more by what torchrun sends to all ranks that are left: it would cut short what this one has to say."""
    if place().size > 1 and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


ALONE = Ranks()
"""One process, as without torchrun."""

_joined: Ranks | None = None


def join() -> Ranks:
    """The ranks of this process: those of torch's process group, or of torchrun, which is joined; or it is alone.

    It is done once. Ranks above 0 show no progress from then on, and each takes the GPU of its local number.
    """
    global _joined
    if _joined is None:
        _joined = _join()
    return _joined


def _join() -> Ranks:
    group = sys.modules.get("torch.distributed")
    if place().size == 1 and (group is None or not group.is_available() or not group.is_initialized()):
        return ALONE
    import torch
    from torch import distributed

    if not distributed.is_initialized():
        gpus = torch.cuda.device_count()
        if gpus:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % gpus)
        distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=_PHASE)
        atexit.register(distributed.destroy_process_group)
    rank, size = distributed.get_rank(), distributed.get_world_size()
    if rank:
        silence()
    return Ranks(rank, size, distributed.new_group(timeout=_STEP)) if size > 1 else ALONE


def may_speak() -> bool:
    """Whether this process is the one that says why all of them end: the first that asks; without torchrun always."""
    if place().size == 1:
        return True
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        store = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=5))
        return store.add(f"cocoop/said/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", 1) == 1
    except RuntimeError:  # better twice than never
        return True
