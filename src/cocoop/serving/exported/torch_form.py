"""An exported model as a program of torch.export, which torch loads without this package, in Python or C++."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from cocoop.errors import InputError, reason
from cocoop.serving.exported.description import KEY
from cocoop.serving.exported.form import Opened, silenced
from cocoop.serving.exported.vetted import vetted

_EXTRA = f"{KEY}.json"
_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def make(module: nn.Module, name: str, example: Tensor) -> ExportedProgram:
    """A module with one input as a program; see `Form`."""
    with _quiet():
        program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # lines of source, with this machine's paths
    return program


def save(program: ExportedProgram, path: Path, description: str) -> None:
    """Write a program; see `Form`."""
    content = io.BytesIO()  # torch's own writer of files ends the process where the disk refuses
    with _quiet():
        torch.export.save(program, content, extra_files={_EXTRA: description})
    path.write_bytes(content.getbuffer())


def read(path: Path) -> Opened:
    """Open a file, on the CPU; see `Form`. `InputError` where torch refuses the file, or it has more than a program."""
    extra = {_EXTRA: ""}
    try:
        with _quiet(), _weights_only():
            module = torch.export.load(vetted(path), extra_files=extra).module()
    except Exception as error:  # zip files, JSON, pickles and graphs each have their own
        raise InputError(
            f"{path}: expected a model that `cocoop export` wrote, with this version of torch; got {reason(error)}. "
            "Export it anew."
        ) from error
    return Opened(extra[_EXTRA], lambda batch: module(batch))


@contextmanager
def _weights_only() -> Iterator[None]:
    """Where torch falls back on pickles within the file, it takes tensors and nothing that could be executed."""
    before = os.environ.get(_WEIGHTS_ONLY)
    os.environ[_WEIGHTS_ONLY] = "1"
    try:
        yield
    finally:
        del os.environ[_WEIGHTS_ONLY]
        if before is not None:
            os.environ[_WEIGHTS_ONLY] = before


@contextmanager
def _quiet() -> Iterator[None]:
    with silenced("torch.export"), warnings.catch_warnings():  # it prints the traceback of a damaged file
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, of its pytrees
        # Of weights that lie channels last, as a ResNet's; they are on the CPU, where it does not matter.
        warnings.filterwarnings("ignore", "No complete tensor found in the group", UserWarning)
        yield
