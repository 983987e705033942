"""torch's own optimisers as a step uses them: in one kernel, told on the device what to leave alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

_KEPT = {"momentum_buffer": "momentum", "exp_avg": "mean", "exp_avg_sq": "square", "step": "steps"}
"""torch's names of what an optimiser keeps of a tensor -> the names that the state of a training has."""


def optimizer_of(
    parameters: Sequence[nn.Parameter],
    lr: float,
    *,
    optimizer: str = "sgd",
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    eps: float = 1e-8,
) -> Optimizer:
    """An optimiser of these, whose state is there from the start; arguments as of `Recipe`.

    A first step that is skipped would leave a state of its own making as it finds the memory.
    """
    device = parameters[0].device
    # On a GPU the rate is a tensor, so that a recorded step reads the current one.
    rate = lr if device.type == "cpu" else torch.tensor(lr, device=device)
    if optimizer == "sgd":
        built: Optimizer = SGD(parameters, rate, momentum=momentum, weight_decay=weight_decay, fused=True)
        for parameter in parameters:
            built.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}
        return built
    kind, recordable = {"adam": Adam, "adamw": AdamW}[optimizer], device.type != "cpu"
    built = kind(parameters, rate, eps=eps, weight_decay=weight_decay, fused=True, capturable=recordable)
    for parameter in parameters:
        steps = torch.zeros((), dtype=torch.float32, device=device)
        moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        built.state[parameter] = {"step": steps, **moments}
    return built


def kept_of(optimizer: Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """What it keeps of each of these, by names such as "momentum.ctx": the tensors themselves, no copies."""
    return {
        f"{_KEPT[name]}.{of}": tensor
        for of, parameter in parameters.items()
        for name, tensor in optimizer.state[parameter].items()
    }
