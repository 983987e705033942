"""An exported model as an ONNX file, which onnxruntime runs on anything: opset 20, batches of any size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cocoop.errors import InputError, plainly
from cocoop.serving.exported.description import KEY, OUTPUT
from cocoop.serving.exported.form import Opened, extra_package, silenced

_OPSET = 20


def make(module: nn.Module, name: str, example: Tensor) -> Any:
    """A module with one input as a program; see `Form`."""
    with _quiet():
        program: Any = torch.onnx.export(
            module,
            (example,),
            input_names=[name],
            output_names=[OUTPUT],
            opset_version=_OPSET,
            dynamic_shapes=({0: "batch"},),
            dynamo=True,
            verbose=False,
        )
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # lines of source, with this machine's paths
    return program


def save(program: Any, path: Path, description: str) -> None:
    """Write a program; see `Form`."""
    program.model.metadata_props[KEY] = description
    program.save(path)


def read(path: Path) -> Opened:
    """Open a file, on the CPU; see `Form`. `InputError` where onnxruntime is missing or refuses the file."""
    runtime = extra_package("onnxruntime")
    try:
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        [given], described = session.get_inputs(), session.get_modelmeta().custom_metadata_map.get(KEY)
    except Exception as error:  # its errors have no class in common
        raise InputError(f"{path}: expected an ONNX model; got {plainly(error)}. Export it anew.") from error

    def run(batch: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {given.name: batch.numpy()})[0])

    return Opened(described, run)


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporter says on stderr that torchvision is not installed, which nothing here needs."""
    with silenced("torch.onnx"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, of its pytrees
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
