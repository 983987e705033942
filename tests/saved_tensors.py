"""Tensors of every kind for the tests of the weights reader, and what must hold of them once read."""

import os

import torch
from torch import nn

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn)


def tensors():
    """Every float dtype, whole numbers, no axis, no items, a strange order in memory, and one tensor twice."""
    draw = torch.Generator().manual_seed(7)
    state = {str(dtype).removeprefix("torch."): torch.randn(3, 5, generator=draw).to(dtype) for dtype in FLOATS}
    tied = torch.randn(4, generator=draw)
    return {
        **state,
        "block.number": torch.tensor(-(2**40)),
        "block.bytes": torch.arange(7, dtype=torch.uint8),
        "block.empty": torch.zeros(0, 512),
        "block.turned": torch.randn(6, 4, generator=draw).t()[1:, ::2],
        "block.nan": torch.tensor([float("nan"), float("inf"), -0.0]),
        "first": tied,
        "second": tied,
        "parameter": nn.Parameter(torch.randn(2, 2, generator=draw)),
    }


def expect_same(got, wanted):
    assert got.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert (got[name].dtype, got[name].shape) == (tensor.dtype, tensor.shape), name
        # As bytes: NaN equals NaN, and 0.0 is not -0.0.
        assert got[name].contiguous().reshape(-1).view(torch.uint8).tolist() == (
            tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist()
        ), name
        assert not got[name].requires_grad


def mappings(path):
    """Where the file lies in memory."""
    with open(f"/proc/{os.getpid()}/maps") as lines:
        spans = [line.split()[0].split("-") for line in lines if line.rstrip().endswith(str(path))]
    return [(int(start, 16), int(end, 16)) for start, end in spans]
