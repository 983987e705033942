"""The small random CLIP behind the golden values, and the values themselves; see golden/README.md."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from cocoop import CLIP

FOLDER = Path(__file__).parent / "golden"
VOCABULARY = Path(__file__).parents[2] / "shared" / "clip_tokenizer"
"""OpenAI's vocabulary, where a copy lies beside the checkout. It is not part of this project."""

_spec = importlib.util.spec_from_file_location("tiny_clip", FOLDER / "tiny_clip.py")
assert _spec and _spec.loader
weights = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(weights)

FACTS: dict[str, Any] = json.loads((FOLDER / "golden.json").read_text())
VALUES: dict[str, Tensor] = load_file(FOLDER / "golden.safetensors")


class StandInTokenizer:
    """Knows the ids of exactly those texts that golden.json lists."""

    bos_token_id = 49406
    eos_token_id = 49407

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return list(FACTS["tokens"][text])


@cache
def state_dict() -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in weights.state_dict(FACTS["seed"]).items()}


def load(tokenizer: Any = None, dtype: str = "float32") -> CLIP:
    return CLIP.load(state_dict(), tokenizer=tokenizer or StandInTokenizer(), device="cpu", dtype=dtype)


def pixels() -> Tensor:
    return torch.from_numpy(weights.seeded("input.pixels", (6, 3, 32, 32), FACTS["seed"]))


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """|ours - theirs| / |theirs| of the whole tensor."""
    return float((ours - theirs).norm() / theirs.norm())
