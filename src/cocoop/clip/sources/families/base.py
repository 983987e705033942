"""What every family of checkpoints is read from, and what it is read into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from torch import Tensor

from cocoop.clip.image.resnet import ResNetTower
from cocoop.clip.image.vit import ImageTower
from cocoop.clip.text.tower import TextTower
from cocoop.errors import InputError

_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by the names they have in their file, and what is known beside them.

    Attributes:
        name: of the source, for messages.
        tensors: all of one model, floating-point or metadata, on the CPU.
        config: what the model's own config file states (`config.json` or `open_clip_config.json`), None without one.
        quick_gelu: whether that is the activation, of a state dict; files say it themselves.
    """

    name: str
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any] | None = None
    quick_gelu: bool = True


@dataclass(frozen=True)
class Towers:
    """The two halves of a CLIP, on the CPU and in the checkpoint's dtype.

    Attributes:
        text: the text tower.
        image: pixels [B, 3, N, N] -> image features [B, E], before the unit norm.
        logit_scale: 1/tau = exp of the learned value.
        eos_token_id: the token that the text tower is read at.
        vocabulary: the hub id of the tokenizer that the config names, if it does.
    """

    text: TextTower
    image: ImageTower | ResNetTower
    logit_scale: float
    eos_token_id: int
    vocabulary: str | None = None

    @property
    def formula(self) -> dict[str, Any]:
        """What both compute with their tensors, as far as these do not show it."""
        towers = (("text", self.text), ("image", self.image))
        return {f"{name} {setting}": value for name, tower in towers for setting, value in tower.formula.items()}


def take(checkpoint: Checkpoint, names: Mapping[str, str], ignored: Iterable[str] = ()) -> dict[str, Tensor]:
    """The checkpoint's tensors under other names: all of them, and nothing else.

    Args:
        checkpoint: where they are.
        names: the file's name of every tensor -> the new one.
        ignored: names that may be in the file and say nothing.

    Raises:
        InputError: a tensor is missing, is not floating-point, or has a name that is not listed.
    """
    missing = [name for name in names if name not in checkpoint.tensors]
    if missing:
        raise InputError(
            f"{checkpoint.name}: expected every tensor of a CLIP; {len(missing)} are missing, such as "
            f"{', '.join(missing[:_SHOWN])}; it has {', '.join([*checkpoint.tensors][:_SHOWN]) or 'none'}. Take the "
            "model's whole state dict, or download the file again."
        )
    unknown = sorted(set(checkpoint.tensors) - set(names) - set(ignored))
    if unknown:
        raise InputError(
            f"{checkpoint.name}: expected the tensors of a CLIP and no others; got {len(unknown)} more, such as "
            f"{', '.join(map(repr, unknown[:_SHOWN]))}. Leave them out if they do not change what the model computes."
        )
    taken = {new: checkpoint.tensors[old] for old, new in names.items()}
    for old, new in names.items():
        _check_tensor(f"{checkpoint.name}: {old}", taken[new])
    return taken


def _check_tensor(what: str, tensor: Tensor) -> None:
    if not tensor.is_floating_point():
        raise InputError(
            f"{what}: expected floating-point numbers; got {tensor.dtype}. Quantized checkpoints cannot be read: take "
            "the original one."
        )
    if not tensor.numel() or (tensor.dim() == 0 and not what.endswith("logit_scale")):
        raise InputError(f"{what}: expected the weights of a CLIP; got a tensor of shape {list(tensor.shape)}.")


def inverse_temperature(name: str, logit_scale: Tensor) -> float:
    """1/tau, the exponential of what is learned; `InputError` unless it is one finite number.

    torch's exponential differs in its last bit from processor to processor, and 1/tau is part of the fingerprint by
    which a run knows its CLIP. So it is rounded from 28 decimal digits, which are the same everywhere.
    """
    values = logit_scale.detach().double().reshape(-1)
    if len(values) != 1 or not values.isfinite().all() or values.item() >= 709:
        raise InputError(f"{name}: expected logit_scale to be one number below 709; got {logit_scale.tolist()}.")
    return float(Decimal(values.item()).exp())


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those tensors whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def count_layers(checkpoint: Checkpoint, prefix: str) -> int:
    """How many layers are named `prefix` + number + ".". Where the numbers have gaps, `take` misses a tensor."""
    numbers = {name.removeprefix(prefix).partition(".")[0] for name in checkpoint.tensors if name.startswith(prefix)}
    return len(numbers)


def heads_of(name: str, tower: str, width: int, head_width: int) -> int:
    """Heads of a tower whose heads are so wide; `InputError` unless they fill it."""
    if head_width < 1 or width % head_width:
        raise InputError(
            f"{name}: expected a {tower} tower whose width of {width} is made of whole heads; got heads {head_width} "
            "wide."
        )
    return width // head_width
