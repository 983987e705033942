"""The head of an exported model as tensors in a safetensors file, for those who have image features of their own."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from cocoop.errors import InputError, plainly
from cocoop.serving.exported.description import KEY, Description
from cocoop.serving.exported.form import Opened
from cocoop.serving.exported.heads import LinearHead
from cocoop.serving.exported.tangent_head import TangentHead


def make(module: nn.Module, name: str, example: Tensor) -> dict[str, Tensor]:
    """A head's tensors under their names; see `Form`."""
    return module.state_dict()


def save(tensors: dict[str, Tensor], path: Path, description: str) -> None:
    """Write them; see `Form`."""
    path.write_bytes(save_tensors(tensors, {KEY: description}))  # safetensors' own file nobody else might read


def read(path: Path) -> Opened:
    """Open a file; see `Form`. `InputError` where it is damaged or has other tensors than a head."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
            metadata = (file.metadata() or {}).get(KEY)
        kind = Description.from_text(metadata, path).head
        head = LinearHead(**tensors) if kind == "linear" else TangentHead(kind == "tangent", **tensors)
    except (OSError, SafetensorError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: expected the tensors of an exported head; got {plainly(error)}. Export it anew."
        ) from error
    return Opened(metadata, head)
