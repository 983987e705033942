"""The forms that a model is exported in, by their names on the command line."""

from __future__ import annotations

import os
from pathlib import Path

from cocoop.serving.exported import onnx_form, tensors_form, torch_form
from cocoop.serving.exported.form import Form

FORMS = {
    "onnx": Form(
        words="an ONNX model",
        file="model.onnx",
        packages=("onnx", "onnxscript", "onnxruntime"),  # the last one reads it back
        pixels=True,
        make=onnx_form.make,
        save=onnx_form.save,
        read=onnx_form.read,
    ),
    "torch-export": Form(
        words="a program of torch.export",
        file="model.pt2",
        packages=(),
        pixels=True,
        make=torch_form.make,
        save=torch_form.save,
        read=torch_form.read,
    ),
    "safetensors-head": Form(
        words="the tensors of a head",
        file="head.safetensors",
        packages=(),
        pixels=False,
        make=tensors_form.make,
        save=tensors_form.save,
        read=tensors_form.read,
    ),
}
"""Name -> form."""


def form_of(folder: Path) -> Form | None:
    """The form of the model in a folder, None if there is none."""
    return next((form for form in FORMS.values() if os.path.isfile(folder / form.file)), None)
