"""A step recorded once and replayed: on a GPU a small step's kernels take less time than launching them one by one."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from cocoop.errors import InputError, RunError, expect_choice
from cocoop.training.step import Step

CUDA_GRAPH = ("auto", "on", "off")
"""When a training step is recorded: where that is possible; always, or the training fails; never."""

_WARM_UPS = 3  # what CUDA libraries set up at first use must not be part of a recording

Recorder = Callable[[Callable[[], Tensor], torch.device], tuple[Tensor, Callable[[], None]]]
"""Records a function on a device: gives its result tensor, and a call that recomputes it into the same tensor."""


def recorded(step: Step, cuda_graph: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The step, or its recording where `cuda_graph` asks for one and the device can.

    Raises:
        InputError: an unknown choice, or "on" without an NVIDIA GPU, or among ranks, whose exchange is not recorded.
    """
    expect_choice("cuda_graph", cuda_graph, CUDA_GRAPH)
    device = step.model.clip.device
    if cuda_graph == "on" and device.type != "cuda":
        raise InputError(
            f"cuda_graph: expected auto or off on the device {device}; got 'on', which needs an NVIDIA GPU. Take auto."
        )
    if cuda_graph == "on" and step.ranks.size > 1:
        raise InputError("cuda_graph: expected auto or off under torchrun, where no step is recorded; got 'on'.")
    if cuda_graph == "off" or device.type != "cuda" or step.ranks.size > 1:
        return step
    return RecordedStep(step, record_cuda, required=cuda_graph == "on")


class RecordedStep:
    """A `Step` whose work is recorded at its first call and replayed for every batch of the same shape.

    Batches are copied into the recording's own input tensors. A batch of another shape runs unrecorded.

    Args:
        step: what is recorded; its state lives on and may be used directly between calls.
        record: how.
        required: whether a recording that fails is an error (`RunError`); else a warning says so, once, and the step
            runs unrecorded.
    """

    def __init__(self, step: Step, record: Recorder, *, required: bool) -> None:
        self.step = step
        self._record, self._required = record, required
        self._inputs: tuple[Tensor, Tensor] | None = None
        self._facts = torch.empty(0)
        self._replay: Callable[[], None] | None = None

    def __call__(self, features: Tensor, targets: Tensor) -> Tensor:
        """Run the step: features [B, E] and classes [B] -> facts [4], as `Step` has them."""
        if self._inputs is None:
            self._inputs = features.clone(), targets.clone()
            self._try_recording(*self._inputs)
        if self._replay is None or features.shape != self._inputs[0].shape:
            return self.step(features, targets)
        for own, given in zip(self._inputs, (features, targets), strict=True):
            own.copy_(given)
        self._replay()
        return self._facts.clone()  # the next replay writes over it

    def _try_recording(self, features: Tensor, targets: Tensor) -> None:
        try:
            with self.step.rehearsal():
                self._facts, self._replay = self._record(lambda: self.step(features, targets), features.device)
        except RuntimeError as error:
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
            if self._required:
                raise RunError(
                    f"cuda_graph: expected a training step that CUDA can record; got {reason}. Set cuda_graph to off."
                ) from error
            warnings.warn(f"cocoop: the training step runs unrecorded, and slower ({reason})", stacklevel=2)


def record_cuda(run: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, Callable[[], None]]:
    """Record a function as a CUDA graph; see `Recorder`. It may not wait for the GPU, nor change anything that lasts.

    As torch's notes on CUDA graphs ask: first some calls on a side stream, then the one that is recorded. Recording
    computes nothing: the result is filled by the first replay.

    Raises:
        RuntimeError: what torch says when the function cannot be recorded.
    """
    # The outer context puts the current stream back: torch's own does not, where ending a recording fails.
    with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
        side, current = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                run()
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):  # its own choice of stream may be of another GPU
            facts = run()
    return facts, graph.replay
