"""What ends a training before its last epoch, with what was learned until then."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any

from torch import Tensor

from cocoop.errors import RunError
from cocoop.ranks import Ranks
from cocoop.results import Epoch
from cocoop.training.step import Step


class _Stopped(BaseException):
    def __init__(self, message: str, history: Sequence[Epoch], tensors: Mapping[str, Tensor]) -> None:
        super().__init__(message)
        self.history = list(history)
        self.tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def __reduce__(self) -> tuple[Any, ...]:  # so that it can pass between processes
        return type(self), (str(self), self.history, self.tensors)


class DivergedError(_Stopped, RunError):
    """A loss or a gradient was not finite.

    Attributes:
        history: the epochs that were finished.
        tensors: the learned tensors, by state-dict name, that gave the last finite loss (or the start). The model
            that was trained is back at them, too.
    """


class TrainingInterrupted(_Stopped, KeyboardInterrupt):
    """Ctrl-C came while a prompt was learned; it has the attributes of a `DivergedError`."""


class Stop:
    """Ctrl-C and SIGTERM, put off until a step is over and its state is kept; the second one acts at once.

    What they do is what their handlers did before. A SIGTERM without one ends the process at once, as ever. Of several
    ranks that all stop after the same step each waits for a step that tells them so.

    Attributes:
        steps: of the epoch under way, that are over.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.steps, self._ranks, self._agreed = 0, ranks, False
        ranks.asked = False
        self._asked: int | None = None
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    @property
    def is_asked(self) -> bool:
        """Whether one has come; of several ranks, whether all know."""
        return self._agreed if self._ranks.size > 1 else self._asked is not None

    def agree(self, asked: bool) -> None:
        """Know what a step has told of all ranks."""
        self._agreed = asked

    def now(self) -> None:
        """Let it act, if one has come."""
        if not self.is_asked:
            return
        asked, self._asked, self._agreed, self._ranks.asked = self._asked, None, False, False
        if asked is not None:
            self._before[asked](asked, None)
            self._put_off()  # its handler lets the training go on
        elif self._ranks.size > 1:
            raise KeyboardInterrupt

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """The context in which they are put off. Only the main thread can: in others nothing changes."""
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            self._before = {number: handler for number, handler in handlers.items() if callable(handler)}
        self._put_off()
        try:
            yield
        finally:
            self._put_back()
        if self._asked is not None:
            self._before[self._asked](self._asked, None)

    def _put_off(self) -> None:
        for number in self._before:
            signal.signal(number, self._ask)

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._ask:
                signal.signal(number, handler)

    def _ask(self, number: int, _: FrameType | None) -> None:
        self._asked, self._ranks.asked = number, True
        self._put_back()


@contextmanager
def interruptible(step: Step, history: Sequence[Epoch], epochs: int, kept: bool) -> Iterator[Stop]:
    """Turn Ctrl-C inside into a `TrainingInterrupted`, with the model back at the tensors of the last finite loss.

    `history` has the finished ones of `epochs` when it comes. `kept`: whether there is a state to keep, until when it
    is put off, as it always is among ranks.
    """
    stop = Stop(step.ranks)
    try:
        with stop.put_off() if kept or step.ranks.size > 1 else nullcontext():
            yield stop
    except KeyboardInterrupt as error:
        step.restore()
        more = f" and {stop.steps:,} steps of the next" if stop.steps else ""
        message = f"training: interrupted after {len(history)} of {epochs} epochs{more}."
        raise TrainingInterrupted(message, history, step.model.state_dict()) from error


def explain(loss: float, epoch: int, step: int, rate: float, precision: str) -> str:
    """The message of a `DivergedError`: what was not finite, where (both counted from 0), and what to do."""
    finite_loss = loss - loss == 0
    if not finite_loss:
        wanted = f"a finite loss; got {loss}"
    elif precision == "float16":
        wanted = "gradients that fit float16 at some scale of the loss; got ones that overflow at every scale"
    else:
        wanted = f"finite gradients; got others, at a loss of {loss:.6g}"
    where = f"in epoch {epoch}, step {step}, both counted from 0 (learning rate {rate:g}, dtype {precision})"
    return f"training: expected {wanted} {where}. {_advice(epoch == step == 0, precision)}"


def _advice(at_once: bool, precision: str) -> str:
    wide = precision in ("float32", "float64")
    if at_once:
        cause = "Nothing was learned yet, so the image features or the CLIP's weights are at fault: "
        return cause + (
            "look for numbers in them that are not finite." if wide else "load the CLIP with dtype float32."
        )
    return "Lower the learning rate." if wide else "Lower the learning rate, or load the CLIP with dtype float32."
