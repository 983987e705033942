"""What figures depend on beside the method: the words and the draw that sensitivity varies, one at a time."""

from __future__ import annotations

from typing import Literal, NamedTuple

from cocoop.data import OWN_TEMPLATE, PAPER_DATASETS, PLAIN_NAMES
from cocoop.methods import METHODS

TEMPLATES = ("a photo of a {}.", "an image of a {}.", "a photo of the {}.", "{}.")
"""Hand-written prompts in place of the data set's own."""


class Variant(NamedTuple):
    """Words and draw of a trial; the fields are those of `TrialRecord`."""

    names: Literal["own", "plain"] = "own"
    template: str | None = None
    draw: Literal["even", "lopsided"] = "even"


def variants(method: str, dataset: str, shots: int, most: int) -> list[Variant]:
    """What is tried of a method with so many shots: everything as it is and, at the most shots, one change at a time.

    Plain class names, where the data set has some; templates other than the data set's own, where the method takes one;
    a lopsided draw, where there is more than one image for each class. Zero-shot (0 shots) has the words alone.
    """
    if shots not in (0, most):
        return [Variant()]
    own = PAPER_DATASETS[dataset].template if dataset in PAPER_DATASETS else OWN_TEMPLATE
    takes_one = bool(METHODS[method].template_settings(OWN_TEMPLATE))
    return [
        Variant(),
        *([Variant(names="plain")] if dataset in PLAIN_NAMES else []),
        *(Variant(template=template) for template in TEMPLATES if takes_one and template != own),
        *([Variant(draw="lopsided")] if shots > 1 else []),
    ]
