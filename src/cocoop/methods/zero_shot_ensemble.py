"""Zero-shot CLIP with an ensemble of templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cocoop.clip import CLIP
from cocoop.methods.template import PLAIN
from cocoop.methods.zero_shot import ZeroShot

TEMPLATES = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
"""What CLIP's authors chose of 80 for ImageNet: the set that did best (CLIP:notebooks, Prompt Engineering)."""


class ZeroShotEnsemble(ZeroShot):
    """`ZeroShot` with CLIP's seven templates and the data set's own; what averaging alone gives, without an image.

    CoOp:trainers/zsclip.py `ZeroshotCLIP2`, which leaves the data set's own out on ImageNet.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        templates: a list of texts with "{}" where the name goes.
    """

    def __init__(self, clip: CLIP, class_names: Sequence[str], templates: Sequence[str] = (*TEMPLATES, PLAIN)) -> None:
        super().__init__(clip, class_names, templates)

    @classmethod
    def template_settings(cls, template: str) -> dict[str, Any]:
        """The seven and the data set's."""
        return {"templates": [*TEMPLATES, template]}
