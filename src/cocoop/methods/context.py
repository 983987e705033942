"""Learnable context vectors, from words or random."""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.errors import InputError

_RANDOM_STD = 0.02  # CoOp:trainers/coop.py and cocoop.py


def initial_context(clip: CLIP, context: str | None, context_length: int | None) -> Tensor:
    """The context to start from, [M, D], float32 (or the CLIP's dtype if that is wider).

    Args:
        clip: whose token embeddings the words take.
        context: words such as "a photo of a"; "_" counts as a space. None starts from N(0, 0.02), drawn from
            torch's global generator on the CPU, so that a seed gives the same vectors on every device.
        context_length: M. Needed with `context=None`; with words it may be left out, since M is their number of
            *tokens* (the original counts words, which is wrong where a word is several tokens).

    Raises:
        InputError: neither or contradicting arguments, or words that are no tokens.
    """
    dtype = torch.promote_types(clip.dtype, torch.float32)
    count = None
    if isinstance(context_length, Integral) and not isinstance(context_length, bool):
        count = int(context_length)
    if context is None:
        limit = clip.text.context_length
        if count is None or not 1 <= count <= limit:
            raise InputError(
                f"context_length: expected a number of random context vectors, at least 1 and at most {limit}, because "
                f"no context words are given; got {context_length!r}."
            )
        return torch.randn(count, clip.text.width).mul(_RANDOM_STD).to(clip.device, dtype)
    if not isinstance(context, str):
        raise InputError(f"context: expected words, or None for random vectors; got {context!r}.")
    ids = clip.token_ids(context.replace("_", " "))
    if not ids:
        raise InputError(f"context: expected at least one word, or None for random vectors; got {context!r}.")
    if context_length is not None and count != len(ids):
        raise InputError(
            f"context_length: expected {len(ids)}, the number of tokens of {context!r}, or nothing; "
            f"got {context_length!r}. For random vectors set context to None."
        )
    embeddings: Tensor = clip.text.token_embedding(torch.tensor(ids, device=clip.device))
    return embeddings.to(dtype)
