"""What ends a training before its last epoch, with what was learned until then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from cocoop.errors import RunError
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


@contextmanager
def interruptible(step: Step, history: Sequence[Epoch], epochs: int) -> Iterator[None]:
    """Turn Ctrl-C inside into a `TrainingInterrupted`, with the model back at the tensors of the last finite loss.

    `history` has the finished ones of `epochs` when it comes.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        step.restore()
        message = f"training: interrupted after {len(history)} of {epochs} epochs."
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
