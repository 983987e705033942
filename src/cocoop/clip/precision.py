"""The numbers that a CLIP computes in: the names of dtypes, and whether a GPU may shorten float32 products to TF32.

Whatever is chosen, learned tensors, the statistics of norms, the unit norm of features, logits and loss are float32
(or float64).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from cocoop.errors import InputError, expect_choice

_DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}


class Tolerance(NamedTuple):
    """How far results may be from those in float64, with the same weights.

    Attributes:
        cosines: the largest absolute difference. A logit is 1/tau times a cosine, which is 100 in released CLIPs.
        gradients: of all gradients of a step together, relative to their norm.
    """

    cosines: float
    gradients: float


TOLERANCES = {
    "float32": Tolerance(1e-6, 5e-5),
    "tf32": Tolerance(2e-3, 2e-2),  # float16's mantissa
    "float16": Tolerance(2e-3, 2e-2),
    "bfloat16": Tolerance(1e-2, 1e-1),
}
"""Name of a precision -> what is promised of it (docs/speed.md), of the text side on the small CLIPs of the tests."""


class Precision(NamedTuple):
    """How a CLIP computes. `dtype` is its tensors'; `tf32` tells that their products are taken as TF32."""

    dtype: torch.dtype
    tf32: bool = False

    @property
    def name(self) -> str:
        """The name that `CLIP.load` takes and records keep: "float32", "tf32", "bfloat16", ..."""
        return "tf32" if self.tf32 else str(self.dtype).removeprefix("torch.")


def find_precision(given: str | torch.dtype, device: torch.device) -> Precision:
    """The precision that `CLIP.load(dtype=given)` means on this device.

    Raises:
        InputError: an unknown name, or "tf32" where no NVIDIA GPU computes.
    """
    if isinstance(given, torch.dtype):
        given = str(given).removeprefix("torch.")
    if given == "auto":
        return Precision(torch.float16 if device.type == "cuda" else torch.float32)
    expect_choice("dtype", given, ["auto", *_DTYPES])
    if given == "tf32" and device.type != "cuda":
        raise InputError(
            f"dtype: expected float32, bfloat16, float16 or float64 on the device {device}; got 'tf32', which is a way "
            "of NVIDIA GPUs to multiply. Choose float32, or the device cuda."
        )
    return Precision(_DTYPES[given], given == "tf32")


@contextmanager
def products(precision: Precision, device: torch.device) -> Iterator[None]:
    """Inside, float32 products on a GPU are TF32 if the precision says so, and else float32 in full.

    Torch's switches are global, and by themselves take convolutions as TF32: here they hold for one model and only
    while it computes, backward passes included. They are left as they were.
    """
    if device.type != "cuda" or precision.dtype != torch.float32:
        yield
        return
    matrices, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = precision.tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matrices)
        torch.backends.cudnn.allow_tf32 = convolutions
