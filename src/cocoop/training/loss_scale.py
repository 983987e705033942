"""Loss scaling, without which small gradients of a float16 model would round to zero."""

from __future__ import annotations

import torch
from torch import Tensor

_START = 2.0**16
_PATIENCE = 2000
_SMALLEST = 2.0**-14  # float16's smallest normal number


class LossScale:
    """The factor of the loss before the backward pass; the update divides by it again.

    The rule of Micikevicius et al. (ICLR 2018, arXiv 1710.03740), with the numbers of torch's `GradScaler`: start at
    2^16, halve where a gradient overflows (that update is skipped), double after 2,000 sound steps in a row.
    `GradScaler` itself reads an overflow on the host, and has no word for a training that has stopped; this keeps all
    on the device.

    Attributes:
        value: the scale, a scalar tensor, always the same one.
        sound_steps: how many steps in a row were sound, a scalar int32 tensor, always the same one, too.
    """

    def __init__(self, device: torch.device) -> None:
        self.value = torch.tensor(_START, device=device)
        self.sound_steps = torch.zeros((), dtype=torch.int32, device=device)

    @property
    def is_spent(self) -> Tensor:
        """Whether so many steps overflowed that no scale can help: a scalar bool tensor."""
        return self.value < _SMALLEST

    def update(self, sound: Tensor, *, frozen: Tensor) -> None:
        """Learn from a step whether its gradients were finite; scalar bool tensors. Frozen, nothing changes."""
        steps = torch.where(sound, self.sound_steps + 1, 0)
        grown = steps == _PATIENCE
        larger = torch.where((self.value * 2).isfinite(), self.value * 2, self.value)
        value = torch.where(sound, torch.where(grown, larger, self.value), self.value / 2)
        self.value.copy_(torch.where(frozen, self.value, value))
        self.sound_steps.copy_(torch.where(frozen, self.sound_steps, torch.where(grown, 0, steps)))
