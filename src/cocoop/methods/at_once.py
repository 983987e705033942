"""How many images a method may take in one step, so that their text features fit into memory."""

from __future__ import annotations

from typing import Protocol

from cocoop.clip import CLIP

_PAIRS_AT_ONCE = 65_536  # B x K of one step
_TEXT_FEATURES_AT_ONCE = 8_192  # of these with text features: more is no faster, and progress is told after each step
_COPIES = 4  # of them, from the tower through norm and product, float32
_SHARE = 4  # they may take a quarter of a given memory budget, beside the pass and the hoisted tensors


class _Classifies(Protocol):
    """What this asks of a model."""

    clip: CLIP
    class_names: list[str]

    @property
    def conditional(self) -> bool: ...


def images_at_once(model: _Classifies) -> int:
    """How many images to give a model in one step.

    Fewer where each image has text features of its own, and within a given memory budget.
    """
    pairs = _TEXT_FEATURES_AT_ONCE if model.conditional else _PAIRS_AT_ONCE
    if model.conditional and model.clip.text.memory_budget is not None:
        pairs = min(pairs, model.clip.text.memory_budget // (_SHARE * _COPIES * 4 * model.clip.embed_dim))
    return max(1, pairs // len(model.class_names))
