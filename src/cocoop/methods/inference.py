"""How the classes of images are found with a learned method: exactly, or in one of the ways that save work."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

from cocoop.errors import InputError, expect_choice
from cocoop.methods.base import Method
from cocoop.methods.calibrated import Calibrated
from cocoop.methods.shortlist import Shortlist
from cocoop.methods.tangent import TangentPrompts

INFERENCES = ("exact", "tangent")
"""The method itself, or its `TangentPrompts`."""

Approximation: TypeAlias = Shortlist | TangentPrompts
Inference: TypeAlias = Method | Approximation | Calibrated
"""What gives probabilities for image features."""


def described(chosen: Inference) -> str | None:
    """How classes are found, in words; None where there is no choice, because prompts are the same for all images."""
    if isinstance(chosen, Calibrated):
        text = described(chosen.model)
        return text and f"{text}; then calibrated, temperature {chosen.temperature:.2f}"
    if isinstance(chosen, Method):
        return "exact inference" if chosen.conditional else None
    return chosen.describe()


def inference_of(
    model: Method, inference: str = "exact", shortlist: int | None = None, sample: Tensor | None = None
) -> Method | Approximation:
    """The model itself, its tangent prompts, or its shortlists.

    Args:
        model: any method; a conditional one for anything but exact inference.
        inference: "exact" or "tangent".
        shortlist: as in `Shortlist`, or None.
        sample: features [N, E] of images such as those to come, by which both approximate; tangent prompts need them.

    Raises:
        InputError: another inference, both approximations, or as `TangentPrompts` and `Shortlist`.
    """
    expect_choice("inference", inference, INFERENCES)
    if inference == "exact":
        return model if shortlist is None else Shortlist(model, shortlist, sample)
    if shortlist is not None:
        raise InputError(f"inference: expected exact beside a shortlist; got {inference!r}. Give one of the two.")
    return TangentPrompts(model, sample)


def at_temperature(chosen: Method | Approximation, temperature: float | None) -> Inference:
    """The same with its logits divided by the temperature; with None as it is."""
    return chosen if temperature is None else Calibrated(chosen, temperature)
