"""The forms that a model is exported in, by their names on the command line."""

from __future__ import annotations

from pathlib import Path

from cocoop.serving.exported import onnx_form, tensors_form, torch_form
from cocoop.serving.exported.form import Form

FORMS = {
    "onnx": Form("an ONNX model", "model.onnx", True, onnx_form.make, onnx_form.save, onnx_form.read),
    "torch-export": Form(
        "a program of torch.export", "model.pt2", True, torch_form.make, torch_form.save, torch_form.read
    ),
    "safetensors-head": Form(
        "the tensors of a head", "head.safetensors", False, tensors_form.make, tensors_form.save, tensors_form.read
    ),
}
"""Name -> form."""


def form_of(folder: Path) -> Form | None:
    """The form of the model in a folder, None if there is none."""
    return next((form for form in FORMS.values() if (folder / form.file).is_file()), None)
