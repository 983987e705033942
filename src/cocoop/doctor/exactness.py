"""Whether text features and gradients come out on this machine as they are promised: the self-test.

The bundled CLIP's packed text encoder, and the plain one beside it, on each device and in each precision, against the
plain one on the CPU in float64: logits of CoCoOp for some images, and the gradients of one training step.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cocoop.doctor.devices import found_devices
from cocoop.doctor.finding import REPORT, Finding, findings_of

if TYPE_CHECKING:
    import torch

    from cocoop.clip import CLIP
    from cocoop.clip.precision import Tolerance

_CLASSES = ["cat", "red panda", "t-shirt"]  # of several lengths
_IMAGES = 2
_LOSS_SCALE = 2.0**10  # so that float16's small gradients are what a training sees


class _Results(NamedTuple):
    """Cosines [B, K], and all gradients of a step in one vector, both in float64 on the CPU."""

    cosines: torch.Tensor
    gradients: torch.Tensor


def exactness() -> Iterator[Finding]:
    """For each device and precision the largest error of a cosine, and that of the gradients, beside the tolerance."""
    from cocoop.clip.precision import TOLERANCES

    exact = _results("cpu", "float64", plain=True)
    for device in map(str, found_devices()):
        for precision, tolerance in TOLERANCES.items():
            if precision != "tf32" or device.startswith("cuda"):
                check = f"{precision} on {device}"
                yield from findings_of(check, partial(_compared, check, device, precision, tolerance, exact))


def _compared(check: str, device: str, precision: str, tolerance: Tolerance, exact: _Results) -> Iterator[Finding]:
    packed, plain = (_errors(_results(device, precision, plain), exact) for plain in (False, True))
    found = "; ".join(
        f"{what} to {ours:.0e} (plain path {theirs:.0e}, promised {most:.0e})"
        for what, ours, theirs, most in zip(tolerance._fields, packed, plain, tolerance, strict=True)
    )
    if _within(packed, tolerance):
        yield Finding(check, found)
    elif _within(plain, tolerance):
        yield Finding(check, found, "wrong", f"The packed text encoder is wrong here, the plain one is not. {REPORT}")
    else:
        remedy = f"{precision} is not as exact here as promised: choose another --dtype or --device. {REPORT}"
        yield Finding(check, found, "wrong", remedy)


def _errors(results: _Results, exact: _Results) -> tuple[float, float]:
    difference = (results.gradients - exact.gradients).norm() / exact.gradients.norm()
    return float((results.cosines - exact.cosines).abs().max()), float(difference)


def _within(errors: tuple[float, float], tolerance: Tolerance) -> bool:
    """Never, if an error is NaN."""
    return all(error < most for error, most in zip(errors, tolerance, strict=True))


def _results(device: str, precision: str, plain: bool) -> _Results:
    import torch
    from torch.nn.functional import cross_entropy, normalize

    from cocoop.clip import CLIP

    clip = CLIP.load("tiny", device=device, dtype=precision)
    clip.text.plain = plain
    model, generator = _model(clip), torch.Generator().manual_seed(0)
    features = normalize(torch.randn(_IMAGES, clip.embed_dim, generator=generator, dtype=torch.float64), dim=-1)
    labels = torch.arange(_IMAGES, device=clip.device) % len(_CLASSES)
    learned = [*model.parameters()]
    logits = model(features.to(clip.device, learned[0].dtype))
    scale = _LOSS_SCALE if precision == "float16" else 1.0
    with clip.products():
        gradients = torch.autograd.grad(cross_entropy(logits, labels) * scale, learned)
    flat = torch.cat([gradient.flatten().cpu().double() for gradient in gradients])
    return _Results(logits.detach().cpu().double() / clip.logit_scale, flat / scale)


def _model(clip: CLIP) -> torch.nn.Module:
    """A CoCoOp whose learned tensors are drawn in float32 on the CPU, so that they are the same everywhere."""
    import torch

    from cocoop.methods import METHODS

    model = METHODS["cocoop"](clip, _CLASSES)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5)
    return model
