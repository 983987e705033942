"""One step of training that never waits for its device, so that a GPU can be given many, or one recorded, at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cocoop.methods import Method
from cocoop.ranks import ALONE, Ranks
from cocoop.training.loss_scale import LossScale
from cocoop.training.optimizer import kept_of, optimizer_of
from cocoop.training.together import of_batch


class Facts(NamedTuple):
    """The results of a step: the loss before its update, and how many of its images were classified right.

    `stopped`: this step or one before met numbers that are not finite; nothing has changed since.
    `asked`: a rank was asked to stop, see `Ranks.asked`; never where there is one.
    """

    loss: float
    hits: int
    stopped: bool
    asked: bool


class Step:
    """A step of SGD, Adam or AdamW (torch's own, in one kernel) on the gradients that the method gives.

    Everything is decided on the device. A loss or a gradient that is not finite sets a flag, and while it is set no
    call changes anything: whoever reads the flag, however late, finds the model as it was, and `restore` takes it
    back to the learned tensors of the last finite loss. A CLIP in float16 has its loss scaled (`LossScale`); there
    the update is skipped where only a scaled gradient overflows.

    Args:
        model: what learns; has parameters.
        lr: learning rate, until `set_rate`.
        ranks: among which batches are divided: each calls with its part, and all learn from the whole batch.
        optimizer: further arguments of `optimizer_of`, by default SGD with the papers' numbers.
    """

    def __init__(self, model: Method, *, lr: float = 0.002, ranks: Ranks = ALONE, **optimizer: Any) -> None:
        device = model.clip.device
        self.model, self.ranks = model, ranks
        self.scale = LossScale(device) if model.clip.dtype == torch.float16 else None
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._good = [parameter.detach().clone() for parameter in self._parameters]
        self._keep: Tensor | None = None
        self._stopped = torch.zeros((), dtype=torch.bool, device=device)
        self._optimizer = optimizer_of(self._parameters, lr, **optimizer)

    def set_rate(self, rate: float) -> None:
        """The learning rate from the next step on."""
        (group,) = self._optimizer.param_groups
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

    def state(self) -> dict[str, Tensor]:
        """The tensors that steps change, by names of this class; they are the step's own, and may be written to."""
        learned = {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        kinds: dict[str, Sequence[Tensor]] = {"learned": self._parameters, "good": self._good}
        of_all = kept_of(self._optimizer, learned) | {
            f"{kind}.{name}": tensor
            for kind, tensors in kinds.items()
            for name, tensor in zip(learned, tensors, strict=True)
        }
        if self.scale is None:
            return of_all
        return of_all | {"scale": self.scale.value, "sound_steps": self.scale.sound_steps}

    def __call__(self, features: Tensor, targets: Tensor) -> Tensor:
        """Image features [B, E] and classes [B], both on the model's device -> `Facts` as a tensor [4] there."""
        with torch.enable_grad():
            # The mean of a part has larger gradients than its share of the whole batch's, and would overflow earlier.
            scale = None if self.scale is None else self.scale.value / self.ranks.size
            loss, logits, gradients = self.model.gradients(features, targets, scale)
        with torch.no_grad():
            hits = (logits.argmax(dim=1) == targets).sum()
            whole = of_batch(self.ranks, len(targets), loss, gradients, hits)
            self._update(whole.gradients, whole.loss.isfinite())
            return torch.stack([fact.to(loss) for fact in (whole.loss, whole.hits, self._stopped, whole.asked)])

    def _update(self, gradients: Sequence[Tensor], loss_is_finite: Tensor) -> None:
        # A sum is finite only if every term is: one pass without a tensor of its own.
        sound = torch.stack([gradient.sum() for gradient in gradients]).isfinite().all() & loss_is_finite
        self._keep = loss_is_finite & ~self._stopped
        self._copy_good()
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        # As torch's `GradScaler` tells it: what to divide gradients by, and whether to leave tensors and momenta alone.
        self._optimizer.grad_scale = None if self.scale is None else self.scale.value / self.ranks.size  # type: ignore[attr-defined]
        self._optimizer.found_inf = (self._stopped | ~sound).float()  # type: ignore[attr-defined]
        self._optimizer.step()
        if self.scale is None:
            self._stopped.logical_or_(~sound)
        else:
            self.scale.update(sound, frozen=self._stopped)
            self._stopped.logical_or_(~loss_is_finite | self.scale.is_spent)

    def _copy_good(self) -> None:
        """Take the parameters as good ones where the step says so, all of them: Ctrl-C may come in the middle."""
        if self._keep is None:
            return
        for good, parameter in zip(self._good, self._parameters, strict=True):
            good.copy_(torch.where(self._keep, parameter, good))
        self._keep = None

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """A context in which calls compute all of a step and change neither tensors nor momenta."""
        self._stopped.fill_(True)
        try:
            yield
        finally:
            self._stopped.fill_(False)

    @torch.no_grad()
    def restore(self) -> None:
        """Put the model back to the learned tensors that gave the last finite loss (or to its start)."""
        self._copy_good()
        for good, parameter in zip(self._good, self._parameters, strict=True):
            parameter.copy_(good)


def read(facts: Sequence[Tensor]) -> list[Facts]:
    """The tensors of some steps as numbers: waits for the device, once."""
    rows = torch.stack(list(facts)).tolist() if facts else []
    return [Facts(loss, int(hits), bool(stopped), bool(asked)) for loss, hits, stopped, asked in rows]
