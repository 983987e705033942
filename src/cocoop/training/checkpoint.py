"""The state of a training in one file, from which the same training goes on after a stop, to the same bits."""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from cocoop.atomic import clear_leftovers
from cocoop.errors import InputError, RunError, plainly
from cocoop.progress import note
from cocoop.ranks import Ranks
from cocoop.results import Epoch, remove_state
from cocoop.results.files import parse_json
from cocoop.results.tensors import Array, read_with_texts, write_tensors
from cocoop.results.typed import from_json
from cocoop.training.cadence import EVERY, Cadence
from cocoop.training.step import Step
from cocoop.training.tally import SoFar
from cocoop.training.validation import Watch

_FORMAT = 2
_HEADER = "training"  # the entry of the file's metadata
_LOSSES = "losses"  # the tensor [steps] of an epoch that is not over
_FLUSHED_EVERY = 1.0  # seconds: a flush takes 5 ms (measured), as long as a short epoch


@dataclass(frozen=True)
class Identity:
    """What a training is of. Two that are equal in it learn the same bits on one machine.

    parameters: name -> a number, a text or a list. contents: name -> SHA-256, 64 hex digits.
    """

    parameters: dict[str, Any]
    contents: dict[str, str]


@dataclass(frozen=True)
class _Begun:
    """What is said of an epoch that is not over; the losses of its steps are a tensor of the file."""

    steps: int
    hits: int
    seconds: float


@dataclass(frozen=True)
class _Header:
    """The JSON beside the tensors."""

    format: int
    identity: Identity
    history: list[Epoch]
    begun: _Begun | None


class Checkpoint:
    """The file that a training keeps its state in: a safetensors file with a JSON, never a pickle.

    The tensors are those that steps change (`Step.state`), those of the best epoch where that is kept, and the losses
    of an epoch that is not over. All else that a training depends on is decided by seed, epoch and number of the step.
    The file appears whole or not at all. It stays when the training is done, so that nothing is lost until what was
    learned is written somewhere; only a training that diverges removes it, because it would diverge again.

    Args:
        path: the file.
        identity: of the training that is to begin, or to go on.
        cadence: how often the state is kept inside an epoch.

    Attributes:
        history: the epochs that the file had when it was opened; none without a file.

    Raises:
        InputError: the file is damaged, or of another training; says what differs.
    """

    def __init__(self, path: Path, identity: Identity, cadence: Cadence | None = None) -> None:
        self.path, self.identity = path, identity
        self.history: list[Epoch] = []
        self._begun: _Begun | None = None
        self._kept: dict[str, Array] = {}
        self._cadence = cadence or Cadence(EVERY)
        self._failed, self._flushed = False, -math.inf
        clear_leftovers(path.parent, path.name)
        if os.path.lexists(path):
            header = self._header()
            self._check_same(header.identity)
            self.history, self._begun = header.history, header.begun

    def is_due(self, steps: int) -> bool:
        """Whether the state is to be kept now, when so many steps of an epoch are over."""
        return self._cadence.is_due(steps)

    def keep(self, step: Step, watch: Watch, history: Sequence[Epoch], so_far: SoFar | None = None) -> None:
        """Write the state after an epoch, or inside one, which has come `so_far`.

        Where the disk refuses, the state before stays, and a warning says so. Of several ranks the first writes.
        """
        if not step.ranks.is_first:
            return
        tensors = {name: tensor.detach().cpu().numpy() for name, tensor in _state(step, watch).items()}
        told: dict[str, Any] = {"format": _FORMAT, "identity": asdict(self.identity), "begun": None}
        told["history"] = [vars(epoch) for epoch in history]
        if so_far is not None:
            tensors[_LOSSES] = np.array(so_far.losses, dtype=np.float64)
            told["begun"] = vars(_Begun(len(so_far.losses), so_far.hits, so_far.seconds))
        self._cadence.begin(0 if so_far is None else len(so_far.losses))
        now = time.monotonic()
        flush = now - self._flushed >= _FLUSHED_EVERY
        try:
            write_tensors(self.path, tensors, {_HEADER: json.dumps(told)}, flush)
            self._flushed = now if flush else self._flushed
        except RunError as error:
            if not self._failed:
                warnings.warn(f"cocoop: the training goes on, but its state is not kept: {error}", stacklevel=2)
            self._failed = True

    @torch.no_grad()
    def take_up(self, step: Step, watch: Watch, epochs: int, steps: int) -> tuple[list[Epoch], SoFar]:
        """Put a training of so many epochs of so many steps to where the file has it.

        Gives the epochs that are over, and what has come of the next.

        Raises:
            InputError: the file has other tensors, epochs or steps than such a training.
        """
        begun = self._begun
        if not self.history and begun is None:
            return [], SoFar()
        numbers = [epoch.epoch for epoch in self.history]
        if numbers != list(range(len(numbers))) or len(numbers) > epochs:
            raise self._damaged(f"epochs {_shown(numbers)}, not the first ones of {epochs}")
        if not watch.take_up(self.history):
            raise self._damaged("accuracies on validation images where there are none, or none where there are")
        if begun is not None and not (0 < begun.steps < steps and len(numbers) < epochs):
            raise self._damaged(f"{begun.steps:,} steps of an epoch of {steps:,}, after {len(numbers)} of {epochs}")
        losses = torch.zeros(begun.steps if begun else 0, dtype=torch.float64)
        state = _state(step, watch) | ({_LOSSES: losses} if begun else {})
        kept = self._tensors(state)
        for name, tensor in state.items():
            tensor.copy_(kept[name])
        more = f" and {begun.steps:,} of {steps:,} steps of the next" if begun else ""
        note(f"note: the training goes on after epoch {len(self.history)} of {epochs}{more}")
        so_far = SoFar(losses.tolist(), begun.hits, begun.seconds) if begun else SoFar()
        return list(self.history), so_far

    @property
    def seconds(self) -> float:
        """The time that the steps took that the file had when it was opened."""
        return sum(epoch.seconds for epoch in self.history) + (self._begun.seconds if self._begun else 0)

    def remove(self) -> None:
        """Remove the file, if it is there."""
        remove_state(self.path)

    def _header(self) -> _Header:
        try:
            self._kept, texts = read_with_texts(self.path)
            header = from_json(_Header, parse_json(texts.get(_HEADER, "null"), "its header"))
        except (OSError, SafetensorError, ValueError) as error:  # an `InputError` is of these, too
            raise self._damaged(plainly(error)) from error
        if header.format != _FORMAT:
            raise self._refused(f"one of format {header.format}, which this version does not know")
        return header

    def _check_same(self, there: Identity) -> None:
        here = self.identity
        for name, now in here.parameters.items():
            before = there.parameters.get(name)
            if before != now:
                raise self._refused(f"one with {name} {_shown(before)}, where it is {_shown(now)} now")
        for name, content in here.contents.items():
            if there.contents.get(name) != content:
                raise self._refused(f"one with other {name}")
        more = [*there.parameters.keys() - here.parameters, *there.contents.keys() - here.contents]
        if more:
            raise self._refused(f"one with {_shown(sorted(more)[0])}, which it has not now")

    def _tensors(self, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those of the file, which are of the same names, sizes and dtypes as the wanted."""
        kept = {name: torch.from_numpy(array) for name, array in self._kept.items()}
        if kept.keys() != wanted.keys():
            raise self._damaged(f"tensors with and without {_shown(sorted(kept.keys() ^ wanted.keys())[0])}")
        for name, tensor in wanted.items():
            if kept[name].shape != tensor.shape:
                raise self._damaged(f"a {name} that is not of shape {list(tensor.shape)}")
            if kept[name].dtype != tensor.dtype:
                raise self._damaged(f"a {name} of {kept[name].dtype}, not {tensor.dtype}")
        return kept

    def _damaged(self, got: str) -> InputError:
        return self._refused(f"a damaged file ({got})")

    def _refused(self, got: str) -> InputError:
        return InputError(
            f"{self.path}: expected the state of this training, to go on from it; got {got}. Repeat the command that "
            "was stopped, choose another place (--out), or remove that file to begin anew (cocoop train --restart)."
        )


@torch.no_grad()
def _share(ranks: Ranks, state: Mapping[str, Tensor]) -> None:
    """Give these tensors the values that they have on rank 0."""
    of_first = ranks.first(lambda: {name: tensor.cpu() for name, tensor in state.items()})
    for name, tensor in state.items():
        tensor.copy_(of_first[name])


def _shown(value: object) -> str:
    """A value on one line that is not too long: a stranger may have written it."""
    return repr(value)[:200]


def _state(step: Step, watch: Watch) -> dict[str, Tensor]:
    """The tensors of step and watch themselves, no copies."""
    return step.state() | {f"best.{name}": tensor for name, tensor in watch.best.items()}


def taken_up(
    checkpoint: Checkpoint | None, step: Step, watch: Watch, epochs: int, steps: int
) -> tuple[list[Epoch], SoFar]:
    """`Checkpoint.take_up` on all ranks, of which the first reads; the very beginning without one."""
    ranks = step.ranks
    nothing: tuple[list[Epoch], SoFar] = [], SoFar()
    done = nothing if checkpoint is None else ranks.first(lambda: checkpoint.take_up(step, watch, epochs, steps))
    if ranks.size > 1:
        if not ranks.is_first:
            watch.take_up(done[0])
        _share(ranks, _state(step, watch))
    return done
