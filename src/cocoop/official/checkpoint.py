"""A checkpoint of the original code: what was learned, and the embeddings of the class names' tokens beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from cocoop.errors import InputError
from cocoop.weights import read_weights

PREFIX, SUFFIX = "token_prefix", "token_suffix"

_META_NET = tuple(f"meta_net.{layer}.{kind}" for layer in ("linear1", "linear2") for kind in ("weight", "bias"))
_LEARNED = {"coop": ("ctx",), "cocoop": ("ctx", *_META_NET)}
_AXES = {
    "ctx": (2, 3),
    PREFIX: (3,),
    SUFFIX: (3,),
    **{name: (2 if name.endswith("weight") else 1,) for name in _META_NET},
}
"""Name -> how many axes it may have; three of ctx are those of class-specific contexts."""
_WRAPPERS = ("module.", "prompt_learner.")  # that torch, or a whole model's state dict, puts before the names
_SHOWN = 5


class Prompt(NamedTuple):
    """What a checkpoint holds.

    file: its name. sha256: of its bytes. epoch: which it is of; None where it does not say.
    method: "coop" or "cocoop". learned: tensors by state-dict name, in the file's dtype.
    prefix: the start token's embedding for each class, [K, 1, D]. suffix: of all tokens behind the context,
    [K, S, D]. Both None where the file has none.
    """

    file: str
    sha256: str
    epoch: int | None
    method: str
    learned: dict[str, Tensor]
    prefix: Tensor | None
    suffix: Tensor | None

    @property
    def context_length(self) -> int:
        """M."""
        return self.learned["ctx"].shape[-2]

    @property
    def width(self) -> int:
        """D, of the text tower."""
        return self.learned["ctx"].shape[-1]

    @property
    def joint_width(self) -> int | None:
        """E, which CoCoOp's Meta-Net tells."""
        first = self.learned.get("meta_net.linear1.weight")
        return None if first is None else first.shape[1]

    @property
    def class_specific(self) -> bool:
        """Whether every class has a context of its own."""
        return self.learned["ctx"].dim() == 3

    @property
    def classes(self) -> int | None:
        """K, where the file tells."""
        if self.class_specific:
            return len(self.learned["ctx"])
        return None if self.prefix is None else len(self.prefix)


def read_checkpoint(path: Path) -> Prompt:
    """Read a checkpoint, or a bare state dict, of `torch.save` or safetensors. Nothing in it is run.

    Raises:
        InputError: as `read_weights`; or other tensors than those of CoOp or CoCoOp.
    """
    weights = read_weights(path)
    tensors = _unwrapped(weights.tensors)
    learned = {name: tensor for name, tensor in tensors.items() if name not in (PREFIX, SUFFIX)}
    method = next((method for method, names in _LEARNED.items() if set(names) == set(learned)), None)
    if method is None or (PREFIX in tensors) != (SUFFIX in tensors):
        raise _other(path, f"{', '.join(list(tensors)[:_SHOWN])}{', ...' if len(tensors) > _SHOWN else ''}")
    for name, tensor in tensors.items():
        allowed = (2,) if (name, method) == ("ctx", "cocoop") else _AXES[name]
        if tensor.dim() not in allowed or not tensor.is_floating_point() or not tensor.numel():
            raise _other(path, f"{name} of shape {list(tensor.shape)} and {tensor.dtype}")
    return Prompt(
        file=path.name,
        sha256=_sha256(path),
        epoch=weights.epoch,
        method=method,
        learned=learned,
        prefix=tensors.get(PREFIX),
        suffix=tensors.get(SUFFIX),
    )


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors


def _other(path: Path, got: str) -> InputError:
    return InputError(
        f"{path}: expected a prompt of the original code, CoOp's ctx, or CoCoOp's ctx and {', '.join(_META_NET)}, with "
        f"or without {PREFIX} and {SUFFIX}; got {got}. Prompts of other methods cannot be imported; a CLIP is given "
        "to --clip."
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
